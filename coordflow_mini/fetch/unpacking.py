"""Archives: the one expected file of a .7z, and nothing else of it."""

import hashlib
import io
from pathlib import PureWindowsPath
from typing import TYPE_CHECKING, Any, BinaryIO

from coordflow_mini.fetch.records import OnBytes
from coordflow_mini.fetch.sources import FetchError
from coordflow_mini.fetch.storage import SPARE, Place

if TYPE_CHECKING:
    from py7zr import FileInfo
    from py7zr.archiveinfo import Folder

__all__ = ["unpack"]

_CONTENTS = 1 << 20  # bytes of an archive's table of contents; those of UVG have a few hundred
_DICTIONARY = 1 << 30  # bytes that a decoder may look back; 7-Zip's strongest setting takes 64 MB
_LZMA, _LZMA2, _PPMD = b"\x03\x01\x01", b"\x21", b"\x03\x04\x01"


def unpack(place: Place, on_bytes: OnBytes) -> str:
    """Writes the expected file of the archive to `place.unpacked`; its SHA-256.

    No path of the archive is used for anything: py7zr hands over bytes, and where they go is ours.
    Memory: at most about a gigabyte, whatever the archive says.
    Raises FetchError if the archive is damaged, dangerous, or another one.
    """
    import py7zr

    source, archive = place.source, place.whole
    assert source.size is not None, "only archives of known content are unpacked"
    with place.unpacked.open("wb") as file, archive.open("rb") as packed:
        sink = _sink(file, source.size, on_bytes)
        try:
            _check_contents(packed, place)
            with py7zr.SevenZipFile(packed, max_extract_size=source.size + SPARE) as opened:
                streams = opened.header.main_streams
                _check_coders(streams.unpackinfo.folders if streams else [], place)
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


def _check_contents(packed: BinaryIO, place: Place) -> None:
    """Refuses a table of contents that is large, or, being packed itself, becomes large.

    py7zr would read all of it before anything could be said about it.
    """
    from py7zr.archiveinfo import HeaderStreamsInfo, SignatureHeader

    packed.seek(0)
    start = SignatureHeader.retrieve(packed)  # leaves the file behind itself
    sizes = [start.nextheadersize or 0]
    if sizes[0] <= _CONTENTS:
        packed.seek(start.nextheaderofs or 0, io.SEEK_CUR)
        table = io.BytesIO(packed.read(sizes[0]))
        if table.read(1) == b"\x17":  # packed: what follows says where, and how large it becomes
            folders = HeaderStreamsInfo.retrieve(table).unpackinfo.folders
            sizes += [size for folder in folders for size in folder.unpacksizes]
            _check_coders(folders, place)
    if sum(sizes) > _CONTENTS:
        raise FetchError(
            f"{place.whole.name} from {place.source.url} has a table of contents of {sum(sizes):,} bytes, "
            f"at most {_CONTENTS:,} are read; it was removed: do not trust that server"
        )
    packed.seek(0)


def _check_coders(folders: "list[Folder]", place: Place) -> None:
    """Refuses decoders that want very much memory."""
    for coder in (coder for folder in folders for coder in folder.coders):
        wanted = _dictionary(coder["method"], coder.get("properties") or b"")
        if wanted > _DICTIONARY:
            raise FetchError(
                f"{place.whole.name} from {place.source.url} takes {wanted:,} bytes of memory to unpack, "
                f"at most {_DICTIONARY:,} are given; it was removed: do not trust that server"
            )


def _dictionary(method: bytes, properties: bytes) -> int:
    """Bytes that a decoder keeps, as far as its settings say.

    >>> _dictionary(_LZMA2, bytes([24])), _dictionary(_LZMA, bytes.fromhex("5d00000004"))
    (16777216, 67108864)
    """
    if method == _LZMA2 and properties:
        return (2 | properties[0] & 1) << (properties[0] // 2 + 11)
    if method in (_LZMA, _PPMD):
        return int.from_bytes(properties[1:5], "little")
    return 0


def _member(members: "list[FileInfo]", place: Place) -> str:
    """The name of the expected file in an archive that holds nothing dangerous."""
    source, archive = place.source, place.whole.name
    for member in members:
        path = PureWindowsPath(member.filename)  # knows both slashes, and drives
        if path.anchor or ".." in path.parts or not (member.is_file or member.is_directory):
            raise FetchError(
                f"{archive} from {source.url} holds {member.filename!r:.100}, which leads out of its folder; "
                "nothing was unpacked and it was removed: do not trust that server"
            )
    found = [member for member in members if PureWindowsPath(member.filename).name == source.file]
    if len(found) != 1:
        names = ", ".join(sorted(f"{member.filename:.60}" for member in members)[:4]) or "nothing"
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
