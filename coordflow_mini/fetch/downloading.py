"""Bytes from a server: resumed, counted, and from nowhere else.

pooch decides whether to download and checks the checksum.  Going on where a download stopped is ours, as
pooch begins again; so is refusing redirects to other servers, and servers that send without end or hardly at
all (`pacing` keeps the clock).  What a server calls the file (Content-Disposition) is not looked at.
"""

import json
import os
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from coordflow_mini import __version__
from coordflow_mini.fetch.records import OnBytes, OnRetry, Record
from coordflow_mini.fetch.sources import FetchError, check_address
from coordflow_mini.fetch.storage import SPARE, Place, check_free, free_space
from coordflow_mini.ops.files import replacing

if TYPE_CHECKING:
    import requests

__all__ = ["Patience", "changed", "download"]

_CHUNK = 1 << 16  # bytes at a time
_LONGEST = 1 << 34  # bytes of an answer that does not say how long it is
_LONGEST_PAUSE = 30.0  # seconds
_REDIRECTS = 5
_BUSY = (408, 425, 429)  # with all from 500 on: answers that may be others a little later


@dataclass(frozen=True)
class Patience:
    """How long to bear with a bad connection; seconds."""

    attempts: int = 6  # in a row that bring less than `timeout` seconds of the slowest pace would
    pause: float = 1.0  # before the second attempt, twice as long before each further one
    timeout: float = 30.0  # without a byte, without whole headers, or below the slowest pace
    slowest: float = 1000.0  # bytes per second; a gigabyte would take days


def download(
    place: Place, record: Record | None, on_bytes: OnBytes, on_retry: OnRetry, patience: Patience
) -> None:
    """Brings `place.whole`; its SHA-256 is the one that is known, or was recorded the first time.

    Raises FetchError if it is another, or the server does not deliver; what has come by then is kept.
    """
    import pooch
    import requests

    from coordflow_mini.fetch.pacing import Paced

    source = place.source
    check_address(source.url)
    before = None if record is None else record.archive_sha256 if source.packed else record.sha256
    known = before if source.packed else source.sha256 or before
    pooch.get_logger().setLevel("WARNING")
    with requests.Session() as session:
        for scheme in ("http://", "https://"):
            session.mount(scheme, Paced(patience.timeout, patience.slowest))
        # or requests reads the body of every redirect into memory, however long it is
        session.get_redirect_target = lambda resp: None  # type: ignore[method-assign]
        downloader = _Resuming(place, session, on_bytes, on_retry, patience)
        try:
            pooch.retrieve(source.url, known, place.whole.name, place.work, downloader=downloader)
        except FetchError:
            raise
        except ValueError:  # so pooch says that the checksum is another
            place.clear()
            if known == before:
                raise changed(place) from None
            raise FetchError(
                f"{source.url} brought a file whose SHA-256 is not the expected {str(known)[:12]}…; "
                "it was removed: try again, or look for the clip elsewhere"
            ) from None
    downloader.forget()


def changed(place: Place) -> FetchError:
    """The error for a file that was another at its first download."""
    return FetchError(
        f"{place.source.url} is not what it was: its SHA-256 is not that of the first download; try again, "
        f"or remove {place.record} if the new file is the one you want"
    )


class _Resuming:
    """A downloader for pooch that goes on where the last attempt, also of another process, stopped."""

    def __init__(
        self,
        place: Place,
        session: "requests.Session",
        on_bytes: OnBytes,
        on_retry: OnRetry,
        patience: Patience,
    ) -> None:
        self.place, self.source, self.part = place, place.source, place.part
        self.session, self.on_bytes, self.on_retry, self.patience = session, on_bytes, on_retry, patience

    def __call__(self, url: str, output: str, _pooch: Any = None) -> None:
        from requests.exceptions import InvalidSchema, InvalidURL, RequestException
        from urllib3.exceptions import HTTPError, LocationValueError

        idle, most = 0, self._have()
        while True:
            try:
                reason = self._attempt(url)
            except FetchError:
                raise
            except (InvalidURL, InvalidSchema, LocationValueError) as error:
                raise FetchError(f"{url}, or the proxy that is set, is no address: {error}") from None
            except ValueError as error:  # such as InvalidHeader; left alone, it would mean a wrong checksum
                raise FetchError(
                    f"{url}: the server's answer makes no sense: {str(error)!r:.200}; "
                    "try again later, or look for the clip elsewhere"
                ) from None
            except (RequestException, HTTPError) as error:
                reason = _plain(error)
            if not reason:
                break
            have = self._have()
            idle = 0 if have - most >= self.patience.timeout * self.patience.slowest else idle + 1
            most = max(have, most)
            if idle >= self.patience.attempts:
                raise FetchError(f"{url}: {reason}, {idle} times in a row; {_cure(have)}")
            pause = min(self.patience.pause * 2**idle, _LONGEST_PAUSE)
            self.on_retry(f"{reason}; again in {pause:.3g} s")
            time.sleep(pause)
        self._hand_over(output)

    def _hand_over(self, output: str) -> None:
        """Gives pooch the file, under a second name: the part stays until pooch has looked at it."""
        os.unlink(output)
        try:
            os.link(self.part, output)
        except OSError:  # not every file system has links
            os.replace(self.part, output)

    def _attempt(self, url: str) -> str:
        """Goes on with the part; empty when it is whole, else why it is not."""
        state = self._read_state()
        if not state:
            self.forget()  # whatever lies there, it is not known of what it is a part
        have = self._have()
        if have and have == state.get("total"):
            return ""
        with self._open(url, have, state.get("etag")) as response:
            status = response.status_code
            if status in (206, 416):
                return self._go_on(response, have, state.get("total"))
            if status in _BUSY or status >= 500:
                return f"the server answers {status} {response.reason}"
            if status != 200:
                raise FetchError(
                    f"{url}: the server answers {status} {response.reason}, expected the file; "
                    "check the address in a browser"
                )
            return self._append(response, 0, _length(response.headers.get("Content-Length", "")))

    def _open(self, url: str, have: int, etag: str | None) -> "requests.Response":
        """The server's answer, behind redirects that stay where they may."""
        headers = {"Accept-Encoding": "identity", "User-Agent": f"coordflow-mini/{__version__}"}
        if have:
            headers["Range"] = f"bytes={have}-"
            if etag:
                headers["If-Range"] = etag
        allowed = {_origin(url), *self.source.redirects}
        for _ in range(_REDIRECTS):
            response = self.session.get(
                url, headers=headers, stream=True, allow_redirects=False, timeout=self.patience.timeout
            )
            if not response.is_redirect:
                return response
            response.close()
            try:
                url = urljoin(url, response.headers["Location"])
                origin = _origin(url)
            except ValueError as error:
                raise FetchError(f"{self.source.url} leads to no address: {error}") from None
            if origin not in allowed:
                raise FetchError(
                    f"{self.source.url} leads to {url!r:.300}, on another server or by another scheme, and "
                    "was not followed; if you trust it, fetch that address"
                )
        raise FetchError(f"{self.source.url} leads in circles: five redirects; check it in a browser")

    def _go_on(self, response: "requests.Response", have: int, expected: int | None) -> str:
        """What to make of a part of the file, or of the answer that there is no such part."""
        start, total = _content_range(response.headers.get("Content-Range", ""))
        if response.status_code == 416 and have and total == have:
            return ""
        if start != have or (expected or total) != total:
            self.forget()
            return "what the server sent does not continue what had come"
        return self._append(response, have, total)

    def _append(self, response: "requests.Response", have: int, total: int | None) -> str:
        """Writes what comes behind the first `have` bytes."""
        encoding = response.headers.get("Content-Encoding", "identity")
        if encoding != "identity":
            raise FetchError(f"{self.source.url} comes encoded as {encoding!r}, expected it as it is")
        limit = self._limit(have, total)
        if not have:
            tag = response.headers.get("ETag", "")
            self._write_state({"etag": tag if tag.startswith('"') else "", "total": total})
        response.raw.enforce_content_length = False  # or the last bytes before an early end are lost
        with self.part.open("ab" if have else "wb") as file:
            while chunk := response.raw.read1(_CHUNK, decode_content=False):
                have += len(chunk)
                if have > limit:
                    break
                file.write(chunk)
                self.on_bytes("download", have, total)
        if have > limit:
            self.forget()
            raise FetchError(f"{self.source.url} sends more than the {limit:,} bytes expected; try again")
        if total is None or have == total:
            return ""
        return f"the connection ended at {have:,} of {total:,} bytes"

    def _limit(self, have: int, total: int | None) -> int:
        """How many bytes may come at most; refuses a length that cannot be right or does not fit.

        Of what nobody knows how long it is, half of the disk that is free at most.
        """
        size, packed = self.source.size, self.source.packed
        if total is None and size is not None:
            return size + SPARE * packed
        if total is None:
            check_free(self.place.folder, SPARE)
            return min(_LONGEST, have + free_space(self.place.folder) // 2)
        wrong = size is not None and (total > size + SPARE if packed else total != size)
        if wrong or total == 0:
            expected = f"{'at most ' if packed else ''}{size:,}" if size else "more"
            raise FetchError(
                f"{self.source.url} is {total:,} bytes long, expected {expected}; "
                "the file there is another one: check the address in a browser"
            )
        check_free(self.place.folder, total - have + (size or 0) * packed)
        return total

    def _have(self) -> int:
        """Bytes that have come."""
        return self.part.stat().st_size if self.part.is_file() else 0

    def forget(self) -> None:
        """Removes the part: it is not needed any more, or no part of this file."""
        self.part.unlink(missing_ok=True)
        self.place.state.unlink(missing_ok=True)

    def _read_state(self) -> dict[str, Any]:
        try:
            state = json.loads(self.place.state.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return state if isinstance(state, dict) and state.get("url") == self.source.url else {}

    def _write_state(self, state: dict[str, Any]) -> None:
        with replacing(self.place.state) as temporary:
            temporary.write_text(json.dumps({"url": self.source.url, **state}), encoding="utf-8")


def _length(text: str) -> int | None:
    """Bytes, by a Content-Length.

    >>> _length("1000"), _length("")
    (1000, None)
    """
    if len(text) > 18:
        raise ValueError(f"a Content-Length of {len(text):,} characters")
    return int(text) if text.isdecimal() else None


def _content_range(text: str) -> tuple[int | None, int | None]:
    """First byte and length of the whole of a Content-Range.

    >>> _content_range("bytes 500-999/1000"), _content_range("bytes */1000"), _content_range("bytes")
    ((500, 1000), (None, 1000), (None, None))
    """
    found = re.fullmatch(r"bytes (?:(\d{1,18})-\d{1,18}|\*)/(\d{1,18}|\*)", text.strip())
    if not found:
        return None, None
    first, total = found.groups()
    return (int(first) if first else None), (int(total) if total != "*" else None)


def _origin(url: str) -> str:
    """Scheme, host and port; a user or password makes it another one.

    >>> _origin("https://Example.org/films/boat.mp4")
    'https://example.org'
    """
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.lower()}"


def _cure(have: int) -> str:
    """What to do when the attempts are used up."""
    if not have:
        return "check the connection, or try again later"
    kept = f"{have:,} bytes have come and are kept"
    return f"{kept}: check the connection, and the same command goes on from there"


def _plain(error: Exception) -> str:
    """What went wrong with a connection, in a few words."""
    name = type(error).__name__
    known = {
        "ConnectTimeout": "the server does not answer",
        "ReadTimeout": "the server fell silent",
        "SSLError": "the server's certificate is not trusted",
        "ProxyError": "the proxy refuses",
        "ChunkedEncodingError": "the connection broke",
        "ConnectionError": "there is no connection",
        "ProtocolError": "the connection broke",
        "IncompleteRead": "the connection broke",
        "ReadTimeoutError": "the server fell silent",
        "TooSlowError": str(error),
    }
    return known.get(name, f"the download failed ({name})")
