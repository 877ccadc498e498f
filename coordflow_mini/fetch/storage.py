"""Where fetched clips lie, finished and on the way; who may work there, and whether there is room."""

import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from coordflow_mini.fetch.sources import FetchError
from coordflow_mini.ops.occupation import OccupiedError, lock_file, occupied
from coordflow_mini.video.catalog import Source

__all__ = ["SPARE", "Place", "check_free", "check_space", "free_space", "missing"]

SPARE = 1 << 24  # bytes: what an archive may hold beside its clip, and what stays free on the disk


def missing(sources: Iterable[Source], folder: Path) -> list[Source]:
    """Those that are to be downloaded still."""
    return [source for source in sources if not os.path.lexists(folder / source.file)]


@dataclass(frozen=True)
class Place:
    """The files of one source in a folder.

    All that is unfinished lies in one folder beside the target, `NAME.fetching`, and only a whole, checked
    file leaves it; so whatever has the target's name can be used.
    """

    source: Source
    folder: Path

    @property
    def target(self) -> Path:
        """The clip."""
        return self.folder / self.source.file

    @property
    def record(self) -> Path:
        """What is remembered of its first download."""
        return self.folder / f"{self.source.file}.json"

    @property
    def work(self) -> Path:
        """The folder of all that is unfinished."""
        return self.folder / f"{self.source.file}.fetching"

    @property
    def part(self) -> Path:
        """What has come of the download."""
        return self.work / "part"

    @property
    def state(self) -> Path:
        """Which version of the file the part is of."""
        return self.work / "part.json"

    @property
    def whole(self) -> Path:
        """The download when all of it is here: an archive, or the clip."""
        return self.work / (Path(urlsplit(self.source.url).path).name if self.source.packed else "whole")

    @property
    def unpacked(self) -> Path:
        """What has come out of the archive."""
        return self.work / "unpacked"

    @property
    def is_unfinished(self) -> bool:
        """Whether somebody is at work here, or was killed."""
        return self.work.exists() or lock_file(self.target).exists()

    @property
    def _continued(self) -> tuple[Path, ...]:
        return self.part, self.state, self.whole

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Makes the work folder and keeps other processes out; a killed process loses its lock.

        What cannot be gone on with is removed, also what a killed process left; at the end the folder, too,
        if nothing else is in it.
        Raises FetchError if another process is at work there.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            with occupied(self.target):
                self.work.mkdir(exist_ok=True)
                self.clear(*self._continued)
                try:
                    yield
                finally:
                    self.clear(*self._continued)
                    if not (self.part.exists() or self.whole.exists()):
                        self.clear()
                        self.work.rmdir()
        except OccupiedError:
            raise FetchError(
                f"another process is bringing {self.source.name} into {self.folder}; wait until it is done"
            ) from None

    def clear(self, *kept: Path) -> None:
        """Removes what is unfinished, but for what is to be kept."""
        for path in self.work.iterdir():
            if path not in kept:
                path.unlink(missing_ok=True)


# --- room ---------------------------------------------------------------------------------------------


def check_space(sources: Sequence[Source], folder: Path) -> None:
    """Refuses to begin what will not fit: all files, and the largest archive while it is unpacked.

    Raises FetchError if the disk of the folder has not that many bytes free.
    """
    wanted = missing(sources, folder)
    archives = [max((source.download or 0) - _come(Place(source, folder)), 0) for source in wanted]
    check_free(folder, sum(source.size or 0 for source in wanted) + max(archives, default=0))


def _come(place: Place) -> int:
    """Bytes of a download that are here already."""
    return sum(path.stat().st_size for path in (place.part, place.whole) if path.is_file())


def free_space(folder: Path) -> int:
    """Bytes free on the disk of a folder, which need not exist yet."""
    disk = next(place for place in (folder.absolute(), *folder.absolute().parents) if place.exists())
    return shutil.disk_usage(disk).free


def check_free(folder: Path, needed: int) -> None:
    """Raises FetchError if the disk of a folder, which need not exist yet, has not that many bytes free."""
    free = free_space(folder)
    if needed and needed + SPARE > free:
        raise FetchError(
            f"{folder} needs {_gigabytes(needed + SPARE)} free, its disk has {_gigabytes(free)}; "
            "make room, choose fewer --sequences, or another folder by --to"
        )


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.2f} GB"
