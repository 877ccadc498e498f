"""Addresses to fetch from."""

import re
from urllib.parse import unquote, urlsplit

from coordflow_mini.video.catalog import Source
from coordflow_mini.video.raw import VideoError

__all__ = ["FetchError", "address", "check_address"]


class FetchError(VideoError):
    """A clip cannot be brought here; the message is one line: what came, what was expected, what to do."""


def check_address(url: str) -> None:
    """Refuses what is no address, and one with a password: it would be shown and stored.  Raises FetchError.

    http:// is an address, too, as some footage has no other; then only a SHA-256 tells what it brings.
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
    plain = url.isprintable() and "\\" not in url  # of others programs disagree where they lead
    if parts.scheme not in ("http", "https") or not host or not plain:
        raise FetchError(
            f"{url.rpartition('@')[2]!r:.200} is no address; expected https://HOST/PATH/FILE.mp4"
        )


def address(url: str, sha256: str | None = None) -> Source:
    """Any video file by its address; nothing is known about it but, perhaps, its SHA-256.

    Raises FetchError if the address is none, or names no file.

    >>> address("https://example.org/films/boat.mp4").file
    'boat.mp4'
    """
    check_address(url)
    file = unquote(urlsplit(url).path).rpartition("/")[2]
    if not re.fullmatch(r"\w[\w .()+-]*\.\w+", file) or file.endswith((".json", ".fetching")):
        raise FetchError(f"{url!r} does not end in the name of a video file, such as boat.mp4")
    if file.lower().endswith((".7z", ".zip", ".gz", ".tar", ".rar", ".xz")):
        raise FetchError(
            f"{file} is an archive; only those of UVG are unpacked: give the address of the clip"
        )
    if sha256 is not None and not re.fullmatch(r"[0-9a-fA-F]{64}", sha256):
        raise FetchError(f"a SHA-256 has 64 hexadecimal digits, got {sha256!r}")
    return Source(file, url, file, sha256=sha256.lower() if sha256 else None)
