"""Archives: the one expected file of a .7z, and nothing else of it."""

import hashlib
from pathlib import PureWindowsPath
from typing import TYPE_CHECKING, Any, BinaryIO

from coordflow_mini.fetch.records import OnBytes
from coordflow_mini.fetch.sources import FetchError
from coordflow_mini.fetch.storage import SPARE, Place

if TYPE_CHECKING:
    from py7zr import FileInfo

__all__ = ["unpack"]


def unpack(place: Place, on_bytes: OnBytes) -> str:
    """Writes the expected file of the archive to `place.unpacked`; its SHA-256.

    No path of the archive is used for anything: py7zr hands over bytes, and where they go is ours.
    Raises FetchError if the archive is damaged, dangerous, or another one.
    """
    import py7zr

    source, archive = place.source, place.whole
    assert source.size is not None, "only archives of known content are unpacked"
    with place.unpacked.open("wb") as file, archive.open("rb") as packed:
        sink = _sink(file, source.size, on_bytes)
        try:
            with py7zr.SevenZipFile(packed, max_extract_size=source.size + SPARE) as opened:
                member = _member(opened.list(), place)
                opened.extract(path=place.work, targets=[member], factory=_factory(sink))
        except FetchError:
            raise
        except Exception as error:  # py7zr meets damage with errors of every kind
            if sink.failure is not None:  # a full disk is no damaged archive
                raise sink.failure from None
            raise FetchError(
                f"{archive.name} from {source.url} is damaged ({type(error).__name__}); "
                "it was removed: try again"
            ) from None
    return str(sink.digest.hexdigest())


def _member(members: "list[FileInfo]", place: Place) -> str:
    """The name of the expected file in an archive that holds nothing dangerous."""
    source, archive = place.source, place.whole.name
    for member in members:
        path = PureWindowsPath(member.filename)  # knows both slashes, and drives
        if path.anchor or ".." in path.parts or not (member.is_file or member.is_directory):
            raise FetchError(
                f"{archive} from {source.url} holds {member.filename!r}, which leads out of its folder; "
                "nothing was unpacked and it was removed: do not trust that server"
            )
    found = [member for member in members if PureWindowsPath(member.filename).name == source.file]
    if len(found) != 1:
        names = ", ".join(sorted(member.filename for member in members)[:4]) or "nothing"
        raise FetchError(f"{archive} holds {names}, expected {source.file}; it was removed: try again")
    size = source.size or 0
    if found[0].uncompressed != size or sum(member.uncompressed for member in members) > size + SPARE:
        raise FetchError(
            f"{archive} holds {found[0].uncompressed:,} bytes of {source.file}, expected {size:,} "
            f"({source.frames} frames), and little else; it was removed: try again"
        )
    return found[0].filename


def _factory(sink: Any) -> Any:
    """What py7zr asks for a place to write to."""
    from py7zr.io import WriterFactory

    class Factory(WriterFactory):
        def create(self, filename: str) -> Any:
            return sink

    return Factory()


def _sink(file: BinaryIO, size: int, on_bytes: OnBytes) -> Any:
    """What py7zr writes to: into the file, summed up on the way."""
    from py7zr.io import Py7zIO

    class Sink(Py7zIO):
        def __init__(self) -> None:
            self.digest, self.done = hashlib.sha256(), 0
            self.failure: OSError | None = None

        def write(self, s: bytes | bytearray) -> int:
            try:
                file.write(s)
            except OSError as error:
                self.failure = error
                raise
            self.done += len(s)
            self.digest.update(s)
            on_bytes("unpack", self.done, size)
            return len(s)

        def read(self, size: int | None = None) -> bytes:
            return b""

        def seek(self, offset: int, whence: int = 0) -> int:
            return 0

        def flush(self) -> None:
            pass

        def size(self) -> int:
            return self.done

    return Sink()
