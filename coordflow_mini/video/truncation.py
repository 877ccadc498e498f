"""Detection of video files that are cut off, as by an interrupted download or a full disk.

ffmpeg plays the rest of such a file without an error.  MP4, Matroska, AVI, GIF and Y4M state the length of
the file or of its frames; only these lengths are read.
"""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

_MOST_BOXES = 100_000  # a fragmented MP4 has one or two a second
_LONGEST_LINE = 1024  # of a Y4M header
_MEDIA = (b"moov", b"moof", b"mdat")  # boxes that must be complete
_SLACK = 8  # some AVI writers count the first eight bytes as well


def bytes_missing(path: str | Path) -> int:
    """The least number of bytes missing at the end; 0 if the file does not state its length."""
    with open(path, "rb") as file:
        start, size = file.read(12), os.fstat(file.fileno()).st_size
        for belongs, end in _ENDS:
            if belongs(start):
                file.seek(0)
                return max(0, end(file, size) - size)
    return 0


def _end_of_boxes(file: BinaryIO, size: int) -> int:
    """End of the last media box (ISO/IEC 14496-12, 4.2)."""
    position, end = 0, 0
    for _ in range(_MOST_BOXES):
        file.seek(position)
        head = file.read(16)
        length, kind = int.from_bytes(head[:4], "big"), head[4:8]
        if length == 1:
            length = int.from_bytes(head[8:], "big")
        if length < 8:  # 0: to the end of the file
            break
        position += length
        end = position if kind in _MEDIA else end
        if position >= size:
            break
    return end


def _end_of_segment(file: BinaryIO, size: int) -> int:
    """End of a Matroska segment (RFC 8794); 0 if its length is unknown, as in live recordings."""
    file.seek(4)
    header = _length(file)
    file.seek(header or 0, os.SEEK_CUR)
    if header is None or file.read(4) != b"\x18\x53\x80\x67":
        return 0
    length = _length(file)
    return 0 if length is None else file.tell() + length


def _length(file: BinaryIO) -> int | None:
    """The next length, None if unknown; its leading zero bits give the number of bytes that follow."""
    first = int.from_bytes(file.read(1), "big")
    more = 8 - first.bit_length()
    if more > 7:
        return None
    length = int.from_bytes(bytes([first & (0x7F >> more)]) + file.read(more), "big")
    return None if length == 2 ** (7 * (more + 1)) - 1 else length


def _end_of_riff(file: BinaryIO, size: int) -> int:
    """End of an AVI, or of its first gigabyte; 0 if the length is unknown, as when written to a pipe."""
    length = int.from_bytes(file.read(8)[4:], "little")
    return 0 if length == 0xFFFFFFFF else length + 8 - _SLACK


def _end_of_gif(file: BinaryIO, size: int) -> int:
    """One byte beyond the file if its trailer is missing (GIF89a, 18 to 27), else 0."""
    head = file.read(13)
    file.seek(_colors(head[10:11]), os.SEEK_CUR)
    while (kind := file.read(1)) in (b"\x21", b"\x2c"):
        if kind == b"\x2c":
            file.seek(_colors(file.read(9)[8:]), os.SEEK_CUR)
        file.seek(1, os.SEEK_CUR)  # the extension's label, or the LZW code size
        while length := file.read(1):
            if length == b"\x00":
                break
            file.seek(length[0], os.SEEK_CUR)
    return size + 1 if kind == b"" else 0


def _end_of_y4m(file: BinaryIO, size: int) -> int:
    """End of the last frame that a Y4M file begins; 0 if its pixel layout is unknown."""
    parts = file.readline(_LONGEST_LINE).decode("ascii", "replace").split()[1:]
    tags = {part[0]: part[1:] for part in parts}
    if "C" not in tags and any(part.startswith("XYSCSS") for part in parts):  # ffmpeg's old layout tag
        return 0
    layout = re.fullmatch(r"(420|422|444|mono)[a-z]*([0-9]*)", tags.get("C", "420").replace("420p2", "420"))
    if not layout or not (tags.get("W", "") + tags.get("H", "")).isdecimal():
        return 0
    width, height = int(tags.get("W") or 0), int(tags.get("H") or 0)
    columns, rows = {"420": (2, 2), "422": (2, 1), "444": (1, 1), "mono": (1, 0)}[layout[1]]
    chroma = 2 * -(-width // columns) * -(-height // rows) if rows else 0
    frame = (width * height + chroma) * (2 if int(layout[2] or 8) > 8 else 1)
    while file.readline(_LONGEST_LINE):
        file.seek(frame, os.SEEK_CUR)
    return file.tell()


def _colors(flags: bytes) -> int:
    """Size of the color table that GIF flags announce."""
    return 3 << ((flags[0] & 7) + 1) if flags and flags[0] & 0x80 else 0


_ENDS: tuple[tuple[Callable[[bytes], bool], Callable[[BinaryIO, int], int]], ...] = (
    (lambda start: start[4:8] in (b"ftyp", b"styp", b"wide", b"skip", b"free", *_MEDIA), _end_of_boxes),
    (lambda start: start[:4] == b"\x1a\x45\xdf\xa3", _end_of_segment),
    (lambda start: start[:4] == b"RIFF" and start[8:] == b"AVI ", _end_of_riff),
    (lambda start: start[:6] in (b"GIF87a", b"GIF89a"), _end_of_gif),
    (lambda start: start[:10] == b"YUV4MPEG2 ", _end_of_y4m),
)
