"""Unpacks the one expected file of a .7z archive."""

import errno
from collections.abc import Iterable
from pathlib import Path, PureWindowsPath
from typing import Any

from coordflow_mini.fetch.store import SPARE, FetchError, OnBytes, Place
from coordflow_mini.ops.lazy import lazily
from coordflow_mini.video.catalog import Source

with lazily():  # belongs to the extra [fetch]
    import py7zr

_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # errors that say nothing about the archive


def unpack(place: Place, on_bytes: OnBytes) -> Path:
    """Unpacks the expected file of `place.part`, and no other; returns its path in the work folder.

    Raises FetchError if the archive is damaged, unsafe, or another one; OSError if the disk is full.
    """
    size = place.source.size
    assert size is not None, "only archives of known content are unpacked"
    on_bytes("unpack", 0, size)
    try:
        with py7zr.SevenZipFile(place.part, max_extract_size=size + SPARE) as archive:
            member = _member(archive.list(), place.source, size)
            archive.extract(path=place.unpacked, targets=[member])  # trusted: one checked path
    except FetchError:
        raise
    except Exception as error:  # damage makes py7zr raise errors of every kind
        if isinstance(error, OSError) and error.errno in _DISK:
            raise
        raise FetchError(
            f"the archive from {place.source.url} is damaged ({type(error).__name__}); "
            "it was removed: try again"
        ) from None
    return place.unpacked / member


def _member(members: Iterable[Any], source: Source, size: int) -> str:
    archive, found, total = f"the archive from {source.url}", {}, 0
    for member in members:
        path = PureWindowsPath(member.filename)  # understands both slashes, and drives
        if path.anchor or ".." in path.parts or not (member.is_file or member.is_directory):
            raise FetchError(
                f"{archive} holds {member.filename!r:.100}, which leads out of its folder; "
                "nothing was unpacked and it was removed: do not trust that server"
            )
        total += member.uncompressed
        if path.name == source.file:
            found[member.filename] = member.uncompressed
    if list(found.values()) != [size] or total > size + SPARE:
        raise FetchError(
            f"{archive} does not hold one {source.file} of {size:,} bytes ({source.frames} frames) and "
            "little else; it was removed: try again"
        )
    return str(next(iter(found)))
