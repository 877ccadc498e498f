"""Where fetched clips lie, what is remembered of their first download, and whether there is room."""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from coordflow_mini.ops.files import InUseError, lock_file, locked, replacing
from coordflow_mini.video.catalog import Source
from coordflow_mini.video.raw import RawFormat, VideoError

SPARE = 1 << 24  # bytes: allowed in an archive beside its clip, and left free on the disk
_LARGEST_RECORD = 1 << 16  # characters

OnBytes = Callable[[str, int, int | None], None]  # download, unpack or check; bytes done; total if known


class FetchError(VideoError):
    """A clip cannot be fetched; the message is one line with a cure."""


@dataclass(frozen=True)
class Fetched:
    """A clip that is complete and checked.  fresh: downloaded just now."""

    path: Path
    size: int
    sha256: str
    frames: int | None
    fresh: bool


class Place:
    """The files of one source in a folder.

    Unfinished files lie in a work folder beside the target, and only a complete, checked file leaves it.
    """

    def __init__(self, source: Source, folder: Path) -> None:
        self.source, self.folder = source, folder
        self.target = folder / source.file
        self.record = folder / f"{source.file}.json"  # of the first download
        self.work = folder / f"{source.file}.fetching"
        self.part = self.work / "part"  # the download so far: the clip, or its archive
        self.state = self.work / "part.json"  # address, version and length of the file that it is part of
        self.unpacked = self.work / "unpacked"

    @property
    def is_unfinished(self) -> bool:
        """True while a process works here, and after it was killed."""
        return self.work.exists() or lock_file(self.target).exists()

    @property
    def arrived(self) -> int:
        """Bytes downloaded so far."""
        return self.part.stat().st_size if self.part.is_file() else 0

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Makes the work folder, and keeps other processes out; only a download outlives the block.

        Raises FetchError if another process is at work.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            with locked(self.target):
                self.work.mkdir(exist_ok=True)
                shutil.rmtree(self.unpacked, ignore_errors=True)
                try:
                    yield
                finally:
                    shutil.rmtree(self.unpacked, ignore_errors=True)
                    if not self.part.exists():
                        self.clear()
        except InUseError:
            raise FetchError(
                f"another process is fetching {self.source.name} into {self.folder}; wait until it is done"
            ) from None

    def clear(self) -> None:
        """Removes everything unfinished."""
        shutil.rmtree(self.work, ignore_errors=True)


# --- records ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Record:
    """A first download, as remembered in a JSON file beside the clip."""

    url: str
    file: str
    size: int
    sha256: str
    archive_sha256: str | None = None

    def result(self, place: Place, *, fresh: bool) -> Fetched:
        """The clip that the record describes."""
        layout = _layout(place.source)
        frames = self.size // layout.frame_bytes if layout else place.source.frames
        return Fetched(place.target, self.size, self.sha256, frames, fresh)


def read_record(place: Place) -> Record | None:
    """The record beside a clip, if any.  Raises FetchError if it is damaged."""
    try:
        with place.record.open(encoding="utf-8") as file:
            record = Record(**json.loads(file.read(_LARGEST_RECORD)))
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


def write_record(place: Place, record: Record) -> None:
    """Writes a record beside the clip."""
    with replacing(place.record) as temporary:
        temporary.write_text(json.dumps(asdict(record), indent=1) + "\n", encoding="utf-8")


def check_present(place: Place, on_bytes: OnBytes) -> Fetched:
    """Compares an existing file with its source and record; makes a record if there is none.

    Raises FetchError if the file is another one.
    """
    source, target, record = place.source, place.target, read_record(place)
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
        write_record(place, record)
    return record.result(place, fresh=False)


def check_size(source: Source, size: int, who: str) -> None:
    """Raises FetchError for an unexpected size, or an incomplete raw frame.  who: begins the message."""
    if source.size is not None and size != source.size:
        frames = f", {source.frames} frames" if source.frames else ""
        raise FetchError(
            f"{who} {size:,} bytes of {source.file}, expected {source.size:,}{frames}; "
            "remove what is there, or choose another folder by --to, and try again"
        )
    layout = _layout(source)
    if size == 0 or (layout and size % layout.frame_bytes):
        raise FetchError(f"{who} {size:,} bytes of {source.file}, not a whole number of frames")


def _layout(source: Source) -> RawFormat | None:
    """The layout of raw frames, if the file name states it."""
    return RawFormat.from_name(source.file) if source.file.endswith(".yuv") else None


def checksum(path: Path, on_bytes: OnBytes) -> str:
    """The SHA-256 of a file."""
    digest, done, size = hashlib.sha256(), 0, path.stat().st_size
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
            done += len(chunk)
            on_bytes("check", done, size)
    return digest.hexdigest()


# --- disk space ---------------------------------------------------------------------------------------


def missing(sources: Iterable[Source], folder: Path) -> list[Source]:
    """The sources that are yet to be downloaded."""
    return [source for source in sources if not os.path.lexists(folder / source.file)]


def check_space(sources: Sequence[Source], folder: Path) -> None:
    """Raises FetchError unless the disk has room for all files, and for the largest archive meanwhile."""
    wanted = missing(sources, folder)
    archives = [(source.download or 0) - Place(source, folder).arrived for source in wanted]
    check_free(folder, sum(source.size or 0 for source in wanted) + max(0, *archives, 0))


def check_free(folder: Path, needed: int) -> None:
    """Raises FetchError unless that many bytes, and `SPARE`, are free on the disk of a folder."""
    disk = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    free = shutil.disk_usage(disk).free
    if needed and needed + SPARE > free:
        raise FetchError(
            f"{folder} needs {(needed + SPARE) / 1e9:.2f} GB free, its disk has {free / 1e9:.2f} GB; "
            "make room, choose fewer --sequences, or another folder by --to"
        )
