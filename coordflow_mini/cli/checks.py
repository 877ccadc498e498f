"""Everything that can be refused before any work begins, without loading PyTorch.

Each function returns what an argument means, or raises ValueError with the line that `coordflow` prints.
"""

import math
import os
import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from coordflow_mini import bitstream
from coordflow_mini.bitstream import Header
from coordflow_mini.config import Selection
from coordflow_mini.ops import files
from coordflow_mini.video import catalog, clip, read, write
from coordflow_mini.video.clip import Video
from coordflow_mini.video.raw import RawFormat

# Bytes of a file name that leave room for the names of its checkpoints and their temporary files
_LONGEST_NAME = 255 - len("..checkpoint.1234567.01234567.part")
_LARGEST_FILE = 2**32  # bytes: nine minutes of 1080p at 60 fps (`bitstream.MOST_PIXELS`) and 0.5 bpp
_BOUNDS = {field.name: field for field in bitstream.HEADER_FIELDS}


# --- the input ----------------------------------------------------------------------------------------


def source(name: str) -> None:
    """Refuses what is neither a known clip nor an existing path; content is checked on reading."""
    if catalog.path_of(name) or name.startswith("clip:"):
        return
    path = Path(name)
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        known = ", ".join(info.name for info in catalog.builtin())
        raise ValueError(f"{name} does not exist; give a file, a folder of PNGs, or one of {known}") from None
    if path.is_file() and path.suffix.lower() == ".cfv":
        raise ValueError(f"{name} is encoded already; `coordflow decode` turns it back into a video")


def selection(frames: str | None, size: str | None) -> Selection:
    """The selection of `--frames` and `--size`; refuses sizes that no .cfv file can hold."""
    chosen = Selection.parse(frames, size)
    for name in ("width", "height"):
        if getattr(chosen, name) is not None:
            storable(name, getattr(chosen, name))
    return chosen


def raw_format(name: str, raw: str | None, matrix: str | None = None) -> RawFormat | None:
    """The format of raw YUV; refuses `--raw` and `--matrix` for other sources."""
    if name.startswith("clip:") and (raw or matrix):
        raise ValueError(f"{name} is not raw YUV; leave out --raw and --matrix")
    return catalog.layout(name, None if raw is None else RawFormat.parse(raw), matrix)


def mask(path: str, video: Video) -> "np.ndarray[Any, np.dtype[np.bool_]]":
    """True where `--mask` is white, [time, height, width]; a single picture counts for all frames."""
    given = read.load(path)
    if given.frames.shape[1:3] != video.frames.shape[1:3]:
        raise ValueError(
            f"--mask {path} is {given.width}x{given.height}, the frames are {video.width}x{video.height}; "
            "`coordflow export` with the same --frames and --size writes frames to draw it on"
        )
    if given.time not in (1, video.time):
        raise ValueError(
            f"--mask {path} has {given.time} pictures, the clip {video.time} frames; "
            f"expected 1 or {video.time} pictures"
        )
    white = np.stack([picture.mean(axis=-1) >= 128 for picture in given.frames])
    marked = np.broadcast_to(white, video.frames.shape[:3])
    if not marked.any():
        raise ValueError(f"--mask {path} has no white pixel; white areas are filled")
    if marked.all():
        raise ValueError(f"--mask {path} is white all over, which leaves nothing to learn from")
    return marked


@dataclass(frozen=True)
class Coded:
    """The bytes of a .cfv file, and its header."""

    data: bytes
    header: Header


def read_coded(path: Path) -> Coded:
    """A .cfv file with a sound header and checksums; of any other file, only four bytes are read."""
    if path.is_dir():
        raise ValueError(f"{path} is a folder; give a .cfv file")
    if not path.is_file():
        raise ValueError(f"{path} is no ordinary file" if path.exists() else f"{path} does not exist")
    if path.stat().st_size > _LARGEST_FILE:
        raise ValueError(f"{path} has {path.stat().st_size:,} bytes; the most is {_LARGEST_FILE:,}")
    with open(path, "rb") as file:
        start = file.read(len(bitstream.MAGIC))
        data = start + (file.read() if start == bitstream.MAGIC else b"")
    try:
        return Coded(data, bitstream.parse(data).header)
    except bitstream.BitstreamError as error:
        raise bitstream.BitstreamError(f"{path}: {error}") from None


def selected(header: Header, frames: str | None) -> range:
    """Frames of a file that `--frames` selects, counted from its first."""
    chosen = Selection.parse(frames)
    clip.check_range(chosen, header.time, "the file")
    return range(header.time)[chosen.start : chosen.stop : chosen.step]


def one_segment(coded: Coded, name: str) -> None:
    """Refuses several segments: the applications need one model for all frames."""
    count = len(bitstream.segments(coded.data))
    if count > 1:
        raise ValueError(
            f"{name} has {count} segments with separate layers, and this needs a single one; "
            "encode with --ignore-cuts and without --segment-frames, or pass the video that "
            "`coordflow decode` writes"
        )


# --- numbers ------------------------------------------------------------------------------------------


def rate(bpp: float | None) -> None:
    """Refuses `--bpp` outside (0, 24]; 24 is uncompressed RGB."""
    if bpp is not None and not 0 < bpp <= 24:
        raise ValueError(f"--bpp must lie above 0, up to 24 (raw RGB), got {bpp:g}; 0.1 is typical")


def training(steps: int | None, minutes: float | None) -> None:
    """Refuses `--steps` with `--minutes`, and numbers that are out of range."""
    if steps is not None and minutes is not None:
        raise ValueError("give --steps or --minutes, not both")
    if steps is not None and not 1 <= steps <= 10**8:
        raise ValueError(f"--steps must be 1 to {10**8}, got {steps}")
    if minutes is not None and not 0 < minutes <= 10**5:
        raise ValueError(f"--minutes must be above 0 and at most {10**5}, got {minutes:g}")


def storable(name: str, value: float) -> None:
    """Refuses what a field of a file's header cannot hold."""
    _BOUNDS[name].check(value)


def scale(times: float, width: int, height: int, layers: int = 1) -> None:
    """Refuses a `--scale` whose frames exceed the limits of the file format."""
    sides = (times * width, times * height)
    if not (0 < times < math.inf) or max(sides) > bitstream.LONGEST_SIDE or min(map(round, sides)) < 1:
        raise ValueError(
            f"--scale {times:g} of {width}x{height} pixels must leave "
            f"1 to {bitstream.LONGEST_SIDE} pixels per side; use a factor such as 2 or 0.5"
        )
    try:
        bitstream.check_frame(round(times * height), round(times * width), layers)
    except bitstream.BitstreamError as error:
        raise ValueError(f"--scale {times:g} of {width}x{height} pixels is too large: {error}") from None


def factor(option: str, times: float, frames: int = 1) -> None:
    """Refuses a factor of the frame rate that is out of range or makes too many of so many frames."""
    if not 1 / 1000 <= times <= 1000:
        raise ValueError(f"{option} must be 1/1000 to 1000, got {times:g}; 2 doubles the frames")
    if frames * times > bitstream.MOST_FRAMES:
        raise ValueError(
            f"{option} {times:g} turns {frames:,} frames into {round(frames * times):,}, "
            f"the most is {bitstream.MOST_FRAMES:,}; use a smaller factor or fewer frames"
        )


def layer(option: str, index: int, count: int) -> None:
    """Refuses the index of a layer that does not exist."""
    if not 0 <= index < count:
        raise ValueError(f"{option} must be 0 to {count - 1}, got {index}")


def held(header: Header, bytes_per_pixel: float = 3) -> None:
    """Refuses more than `bitstream.MOST_HELD` bytes, for commands that hold all frames in memory."""
    size = round(bytes_per_pixel * header.time * header.height * header.width)
    if size > bitstream.MOST_HELD:
        raise ValueError(
            f"{header.time:,} frames of {header.width}x{header.height} would take {size:,} bytes of memory, "
            f"the most is {bitstream.MOST_HELD:,}; `coordflow decode` with --frames and --scale "
            "handles them one by one"
        )


# --- the output ---------------------------------------------------------------------------------------


def coded_output(output: Path, name: str) -> Path:
    """The .cfv file to write, links resolved, so that checkpoints lie beside it; refuses other suffixes."""
    if output.suffix.lower() != ".cfv":
        raise ValueError(f"{output} must end in .cfv: encode INPUT OUT.cfv")
    if output.is_dir():
        raise ValueError(f"{output} is a folder; give the name of a file in it")
    target = files.destination(output)
    if len(os.fsencode(target.name)) > _LONGEST_NAME:
        raise ValueError(
            f"the name of {output} is too long for its checkpoints; use at most {_LONGEST_NAME} bytes"
        )
    if not target.parent.is_dir():
        raise ValueError(f"{output} cannot be written: there is no folder {target.parent}")
    _writable(output, name)
    return target if output.is_symlink() else output


def room(output: Path, size: int) -> None:
    """Refuses an output whose disk has less than `size` bytes free."""
    free = shutil.disk_usage(files.destination(output).parent).free
    if size > free:
        raise ValueError(
            f"{output} takes up to {size:,} bytes, but its disk has {free:,} free; "
            "make room, or write elsewhere"
        )


def video_output(output: Path, name: str | Path) -> None:
    """Refuses what `write.write` cannot write, and the source `name`."""
    write.check_output(output)
    _writable(output, name)


def folder(output: Path, name: str | Path, known: str) -> None:
    """Refuses a folder that cannot be made, or with entries other than `known`, a regular expression."""
    if output.exists() and not output.is_dir():
        raise ValueError(f"{output} is a file; give a new folder")
    if output.is_dir():
        strange = [entry.name for entry in output.iterdir() if not re.fullmatch(known, entry.name)]
        if strange:
            raise ValueError(f"{output} holds other things ({min(strange)}); give a new folder")
    _writable(output, name)


def _writable(output: Path, name: str | Path) -> None:
    target = files.destination(output)
    if target.exists():
        if not os.access(target, os.W_OK):
            raise ValueError(f"{output} is write-protected")
        if os.path.exists(name):
            if os.path.samefile(target, name):
                raise ValueError(f"{output} is the input and would be lost; give another name")
            if target in Path(os.path.realpath(name)).parents:
                raise ValueError(f"{output} holds the input, which would be lost; give another folder")
    parent = next(parent for parent in target.parents if parent.exists())
    try:
        with tempfile.TemporaryFile(dir=parent, prefix=".coordflow."):
            pass
    except OSError:
        raise ValueError(f"{output} cannot be written: no permission to write to {parent}") from None
