"""What is remembered of a first download, and how later files are compared with it."""

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from coordflow_mini.fetch.sources import FetchError
from coordflow_mini.fetch.storage import Place
from coordflow_mini.ops.files import replacing
from coordflow_mini.video.catalog import Source
from coordflow_mini.video.raw import RawFormat

__all__ = [
    "Fetched",
    "OnBytes",
    "OnRetry",
    "Record",
    "check_present",
    "check_size",
    "checksum",
    "read",
    "write",
]

_LARGEST = 1 << 16  # characters of a record

OnBytes = Callable[[str, int, int | None], None]  # download, unpack or check; bytes done; in all, if known
OnRetry = Callable[[str], None]  # why an attempt failed, and when the next one begins


@dataclass(frozen=True)
class Fetched:
    """A clip that is here: checked, whole.  fresh: it was downloaded just now."""

    path: Path
    size: int
    sha256: str
    frames: int | None
    fresh: bool


@dataclass(frozen=True)
class Record:
    """A first download; it lies beside the clip as JSON."""

    url: str
    file: str
    size: int
    sha256: str
    archive_sha256: str | None = None

    def result(self, place: Place, *, fresh: bool) -> Fetched:
        """What is told of it."""
        layout = _layout(place.source)
        frames = self.size // layout.frame_bytes if layout else place.source.frames
        return Fetched(place.target, self.size, self.sha256, frames, fresh)


def read(place: Place) -> Record | None:
    """The record of a place, if there is one.  Raises FetchError if it is damaged."""
    try:
        with place.record.open(encoding="utf-8") as file:
            record = Record(**json.loads(file.read(_LARGEST)))
        digests = (record.sha256, record.archive_sha256 or "0" * 64)
        texts = isinstance(record.url, str) and isinstance(record.file, str)
        known = all(re.fullmatch("[0-9a-f]{64}", text) for text in digests)
        if texts and known and type(record.size) is int and record.size > 0:
            return record
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, RecursionError, IsADirectoryError):
        pass
    raise FetchError(f"{place.record} is no record of a download; remove it, and a new one is made")


def write(place: Place, record: Record) -> None:
    """Puts a record beside the clip."""
    with replacing(place.record) as temporary:
        temporary.write_text(json.dumps(asdict(record), indent=1) + "\n", encoding="utf-8")


def check_present(place: Place, on_bytes: OnBytes) -> Fetched:
    """A file that lies there, compared with what is known of it; without a record it gets one.

    Raises FetchError if it is another one.
    """
    source, target, record = place.source, place.target, read(place)
    if not target.is_file():
        raise FetchError(f"{target} is no ordinary file; remove it, or choose another folder by --to")
    if record is not None and record.url != source.url and source.sha256 is None:
        raise FetchError(
            f"{target} came from {record.url!r:.300}; remove it, or choose another folder by --to"
        )
    size = target.stat().st_size
    check_size(source, size, f"{target} has")
    sha256, expected = checksum(target, on_bytes), source.sha256 or (record.sha256 if record else None)
    if expected is not None and sha256 != expected:
        raise FetchError(
            f"{target} has changed: its SHA-256 is {sha256[:12]}…, expected {expected[:12]}…; "
            "remove it to download it again"
        )
    if record is None:
        record = Record(source.url, source.file, size, sha256)
        write(place, record)
    return record.result(place, fresh=False)


def check_size(source: Source, size: int, who: str) -> None:
    """Refuses another size than the expected one, or raw frames that are not whole."""
    if source.size is not None and size != source.size:
        frames = f", {source.frames} frames" if source.frames else ""
        raise FetchError(
            f"{who} {size:,} bytes of {source.file}, expected {source.size:,}{frames}; "
            "remove what is there, or choose another folder by --to, and try again"
        )
    layout = _layout(source)
    if size == 0 or (layout and size % layout.frame_bytes):
        raise FetchError(f"{who} {size:,} bytes of {source.file}: that is no whole number of frames")


def _layout(source: Source) -> RawFormat | None:
    """How raw frames are laid out, as far as the file's name says."""
    return RawFormat.from_name(source.file) if source.file.endswith(".yuv") else None


def checksum(path: Path, on_bytes: OnBytes) -> str:
    """The SHA-256 of a file; seconds for a gigabyte, so it is told how far it has come."""
    digest, done, size = hashlib.sha256(), 0, path.stat().st_size
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
            done += len(chunk)
            on_bytes("check", done, size)
    return digest.hexdigest()
