"""Downloads a file into its place: resumed, bounded in size, and from no other server.

requests would resume nothing and follow redirects anywhere.  Its timeouts end a silent connection; a server
that keeps sending a little is waited for.  The file name that a server suggests is ignored.
"""

import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

from coordflow_mini import __version__
from coordflow_mini.fetch.store import SPARE, FetchError, OnBytes, Place, check_free
from coordflow_mini.ops.files import replacing
from coordflow_mini.ops.lazy import lazily
from coordflow_mini.video.catalog import Source

with lazily():  # belongs to the extra [fetch]
    import requests
    import urllib3

OnRetry = Callable[[str], None]  # why an attempt failed, and when the next one begins

_CHUNK = 1 << 16  # bytes
_LONGEST = 1 << 34  # bytes of a file whose length is unknown
_LONGEST_PAUSE = 30.0  # seconds
_REDIRECTS = 5
_BUSY = (408, 425, 429)  # temporary, like all statuses from 500 on


@dataclass(frozen=True)
class Patience:
    """Persistence with a bad connection."""

    attempts: int = 6  # in a row without progress
    pause: float = 1.0  # seconds before the second attempt, doubled before each further one
    timeout: float = 30.0  # seconds without a byte


def address(url: str, sha256: str | None = None) -> Source:
    """The source of any video file on the web.

    Raises FetchError if the address is invalid, or names no file.

    >>> address("https://example.org/films/boat.mp4").file
    'boat.mp4'
    """
    _check_address(url)
    file = unquote(urlsplit(url).path).rpartition("/")[2]
    if not re.fullmatch(r"\w[\w .()+-]*\.\w+", file) or file.endswith((".json", ".fetching")):
        raise FetchError(f"{url!r} does not end in the name of a video file, such as boat.mp4")
    if file.lower().endswith((".7z", ".zip", ".gz", ".tar", ".rar", ".xz")):
        raise FetchError(f"{file} is an archive; only those of UVG are unpacked: give the clip's own address")
    if sha256 is not None and not re.fullmatch(r"[0-9a-fA-F]{64}", sha256):
        raise FetchError(f"a SHA-256 has 64 hexadecimal digits, got {sha256!r}")
    return Source(file, url, file, sha256=sha256.lower() if sha256 else None)


def _check_address(url: str) -> None:
    """Refuses invalid addresses, and those with a password, which would be shown and stored.

    http:// is accepted, since some footage has no other; then only a SHA-256 proves what it brings.
    """
    try:
        parts = urlsplit(url)
        host = parts.hostname if parts.port != 0 else None
    except ValueError:
        parts, host = urlsplit(""), None
    if "@" in parts.netloc:
        raise FetchError(
            f"an address with a user or password is not fetched, got one of {host or 'no host'}; "
            "put them into ~/.netrc, and leave them out of the address"
        )
    plain = url.isprintable() and "\\" not in url  # programs disagree on where others lead
    if parts.scheme not in ("http", "https") or not host or not plain:
        raise FetchError(
            f"{url.rpartition('@')[2]!r:.200} is no address; expected https://HOST/PATH/FILE.mp4"
        )


def download(place: Place, on_bytes: OnBytes, on_retry: OnRetry, patience: Patience) -> None:
    """Completes `place.part`, continuing what an earlier attempt, or process, has left there.

    Raises FetchError if the server does not deliver; what has arrived by then is kept.
    """
    _check_address(place.source.url)
    with requests.Session() as session:
        # Otherwise requests reads the body of every redirect into memory, however long it is
        session.get_redirect_target = lambda resp: None  # type: ignore[method-assign]
        _Download(place, session, on_bytes, patience.timeout).run(on_retry, patience)


class _Download:
    def __init__(self, place: Place, session: "requests.Session", on_bytes: OnBytes, timeout: float) -> None:
        self.place, self.url, self.part = place, place.source.url, place.part
        self.session, self.on_bytes, self.timeout = session, on_bytes, timeout

    def run(self, on_retry: OnRetry, patience: Patience) -> None:
        """Tries until the part is complete, or `patience` ends."""
        failures, most = 0, self.place.arrived
        while reason := self._tried():
            have = self.place.arrived
            failures = 0 if have > most else failures + 1
            most = max(have, most)
            if failures >= patience.attempts:
                kept = f"{have:,} bytes have come and are kept: the same command resumes from there"
                raise FetchError(
                    f"{self.url}: {reason}, {failures} times in a row; check the connection"
                    + (f"; {kept}" if have else ", or try again later")
                )
            pause = min(patience.pause * 2**failures, _LONGEST_PAUSE)
            on_retry(f"{reason}; again in {pause:.3g} s")
            time.sleep(pause)

    def _tried(self) -> str:
        """Continues the part; returns why it is still incomplete, or an empty string."""
        try:
            return self._attempt()
        except FetchError:
            raise
        except ValueError as error:  # InvalidURL, InvalidHeader, ...
            raise FetchError(
                f"{self.url}: {str(error)!r:.200}; check the address and the proxy settings, "
                "or try again later"
            ) from None
        except (requests.exceptions.RequestException, urllib3.exceptions.HTTPError) as error:
            return f"the connection failed ({type(error).__name__})"

    def _attempt(self) -> str:
        state = self._read_state()
        if not state:
            self._forget()  # a part of an unknown file
        have = self.place.arrived
        if have and have == state.get("total"):
            return ""
        with self._opened(have, state.get("etag")) as response:
            status = response.status_code
            if status in (206, 416):
                return self._continued(response, have, state.get("total"))
            if status in _BUSY or status >= 500:
                return f"the server answers {status} {response.reason}"
            if status != 200:
                raise FetchError(
                    f"{self.url}: the server answers {status} {response.reason}, expected the file; "
                    "check the address in a browser"
                )
            length = response.headers.get("Content-Length", "")
            return self._append(response, 0, int(length) if re.fullmatch(r"\d{1,18}", length) else None)

    def _opened(self, have: int, etag: str | None) -> "requests.Response":
        """The server's answer, after redirects within the same origin or to listed ones."""
        headers = {"Accept-Encoding": "identity", "User-Agent": f"coordflow-mini/{__version__}"}
        if have:
            headers["Range"] = f"bytes={have}-"
            if etag:
                headers["If-Range"] = etag
        url, allowed = self.url, {_origin(self.url), *self.place.source.redirects}
        for _ in range(_REDIRECTS):
            response = self.session.get(
                url, headers=headers, stream=True, allow_redirects=False, timeout=self.timeout
            )
            if not response.is_redirect:
                return response
            response.close()
            try:
                url = urljoin(url, response.headers["Location"])
                origin = _origin(url)
            except ValueError as error:
                raise FetchError(f"{self.url} leads to no address: {error}") from None
            if origin not in allowed:
                raise FetchError(
                    f"{self.url} leads to {url!r:.300}, on another server or by another scheme, and "
                    "was not followed; if you trust it, fetch that address"
                )
        raise FetchError(f"{self.url} leads in circles: {_REDIRECTS} redirects; check it in a browser")

    def _continued(self, response: "requests.Response", have: int, expected: int | None) -> str:
        """Appends a range (206), or learns that the part is complete (416)."""
        start, total = _content_range(response.headers.get("Content-Range", ""))
        if response.status_code == 416 and have and total == have:
            return ""
        if start != have or (expected or total) != total:
            self._forget()
            return "the server's answer does not continue what had come"
        return self._append(response, have, total)

    def _append(self, response: "requests.Response", have: int, total: int | None) -> str:
        """Writes an answer's body behind the first `have` bytes."""
        encoding = response.headers.get("Content-Encoding", "identity")
        if encoding != "identity":
            raise FetchError(f"{self.url} comes encoded as {encoding!r}, expected it as it is")
        limit = self._limit(have, total)
        if not have:
            tag = response.headers.get("ETag", "")
            self._write_state({"etag": tag if tag.startswith('"') else "", "total": total})
        response.raw.enforce_content_length = False  # keeps the last bytes before an early end
        with self.part.open("ab" if have else "wb") as file:
            while chunk := response.raw.read1(_CHUNK, decode_content=False):
                have += len(chunk)
                if have > limit:
                    break
                file.write(chunk)
                self.on_bytes("download", have, total)
        if have > limit:
            self._forget()
            raise FetchError(f"{self.url} sends more than the {limit:,} bytes expected; try again")
        if total is None or have == total:
            return ""
        return f"the connection ended at {have:,} of {total:,} bytes"

    def _limit(self, have: int, total: int | None) -> int:
        """The most bytes to accept; refuses a length that is wrong or does not fit on the disk."""
        size, packed = self.place.source.size, self.place.source.packed
        if total is None:
            return _LONGEST if size is None else size + SPARE * packed
        wrong = size is not None and (total > size + SPARE if packed else total != size)
        if wrong or total == 0:
            expected = f"{'at most ' if packed else ''}{size:,}" if size else "more"
            raise FetchError(
                f"{self.url} is {total:,} bytes long, expected {expected}; "
                "the file there is another one: check the address in a browser"
            )
        check_free(self.place.folder, total - have + (size or 0) * packed)
        return total

    def _forget(self) -> None:
        self.part.unlink(missing_ok=True)
        self.place.state.unlink(missing_ok=True)

    def _read_state(self) -> dict[str, Any]:
        try:
            state = json.loads(self.place.state.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return state if isinstance(state, dict) and state.get("url") == self.url else {}

    def _write_state(self, state: dict[str, Any]) -> None:
        with replacing(self.place.state) as temporary:
            temporary.write_text(json.dumps({"url": self.url, **state}), encoding="utf-8")


def _content_range(text: str) -> tuple[int | None, int | None]:
    """First byte and total length stated by a Content-Range.

    >>> _content_range("bytes 500-999/1000"), _content_range("bytes */1000"), _content_range("bytes")
    ((500, 1000), (None, 1000), (None, None))
    """
    found = re.fullmatch(r"bytes (?:(\d{1,18})-\d{1,18}|\*)/(\d{1,18}|\*)", text.strip())
    if not found:
        return None, None
    first, total = found.groups()
    return (int(first) if first else None), (int(total) if total != "*" else None)


def _origin(url: str) -> str:
    """Scheme, host and port; a user or password makes it another origin.

    >>> _origin("https://Example.org/films/boat.mp4")
    'https://example.org'
    """
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.lower()}"
