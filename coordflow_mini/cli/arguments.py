"""What can be said about arguments before any work begins; PyTorch is not imported for it.

Each function returns what the argument means, or raises ValueError with the one line that `coordflow`
prints.
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

__all__ = [
    "Coded",
    "check_factor",
    "check_folder",
    "check_held",
    "check_layer",
    "check_one_segment",
    "check_rate",
    "check_room",
    "check_scale",
    "check_source",
    "check_training",
    "check_video_output",
    "chosen_layers",
    "coded_output",
    "holes",
    "raw_format",
    "read_coded",
    "selected",
    "selection",
]

# Bytes of a name that leave room for its checkpoints, and for what those are written to
_LONGEST_NAME = 255 - len("..checkpoint.1234567.01234567.part")
_LARGEST_FILE = 2**32  # bytes: nine minutes of 1080p at 60 fps (`bitstream.MOST_PIXELS`) and 0.5 bpp
_BOUNDS = {field.name: field for field in bitstream.HEADER_FIELDS}


def selection(frames: str | None, size: str | None) -> Selection:
    """What `--frames` and `--size` select; a size that no file can hold is refused."""
    chosen = Selection.parse(frames, size)
    for name in ("width", "height"):
        if getattr(chosen, name) is not None:
            _BOUNDS[name].check(getattr(chosen, name))
    return chosen


def raw_format(source: str, text: str | None, matrix: str | None = None) -> RawFormat | None:
    """What `--raw` and `--matrix` say about a source; a matrix for what is not raw YUV is refused."""
    if source.startswith("clip:") and (text or matrix):
        raise ValueError(f"{source} is no raw YUV; leave out --raw and --matrix")
    raw = None if text is None else RawFormat.parse(text)
    return catalog.layout(source, raw, matrix)


def check_rate(bpp: float | None) -> None:
    """Refuses rates that are no rates, or more than uncompressed RGB has."""
    if bpp is not None and not 0 < bpp <= 24:
        raise ValueError(f"--bpp must lie above 0 and up to 24 (raw RGB), got {bpp:g}; 0.1 is usual")


def check_room(output: Path, size: int) -> None:
    """Refuses an output of so many bytes whose disk has no room for it, before hours are spent on it."""
    free = shutil.disk_usage(files.destination(output).parent).free
    if size > free:
        raise ValueError(
            f"{output} takes up to {size:,} bytes, its disk has {free:,} free; make room, or write elsewhere"
        )


def check_training(steps: int | None, minutes: float | None, gamma: float, seed: int) -> None:
    """Refuses training without end or without beginning, and what the header of a file cannot hold."""
    if steps is not None and minutes is not None:
        raise ValueError("give --steps or --minutes, not both")
    if steps is not None and not 1 <= steps <= 10**8:
        raise ValueError(f"--steps must be 1 to {10**8}, got {steps}")
    if minutes is not None and not 0 < minutes <= 10**5:
        raise ValueError(f"--minutes must lie above 0 and up to {10**5}, got {minutes:g}")
    _BOUNDS["gamma"].check(gamma)
    _BOUNDS["seed"].check(seed)


def check_scale(scale: float, width: int, height: int, layers: int = 1) -> None:
    """Refuses a `--scale` that makes pictures beyond those of any file."""
    sides = (scale * width, scale * height)
    if not (0 < scale < math.inf) or max(sides) > bitstream.LONGEST_SIDE or min(map(round, sides)) < 1:
        raise ValueError(
            f"--scale {scale:g} of {width}x{height} pixels must leave "
            f"1 to {bitstream.LONGEST_SIDE} pixels per side; use a factor such as 2 or 0.5"
        )
    try:
        bitstream.check_frame(round(scale * height), round(scale * width), layers)
    except bitstream.BitstreamError as error:
        raise ValueError(f"--scale {scale:g} of {width}x{height} pixels is too large: {error}") from None


def check_factor(option: str, factor: float, frames: int = 1) -> None:
    """Refuses times the frame rate, `--fps-scale` for example, that no file has; so many frames it makes."""
    if not 1 / 1000 <= factor <= 1000:
        raise ValueError(f"{option} must be 1/1000 to 1000, got {factor:g}; 2 doubles the frames")
    if frames * factor > bitstream.MOST_FRAMES:
        raise ValueError(
            f"{option} {factor:g} makes {round(frames * factor):,} frames of {frames:,}, "
            f"the most is {bitstream.MOST_FRAMES:,}; use a smaller factor or fewer frames"
        )


def check_held(header: Header, bytes_per_pixel: float = 3) -> None:
    """Refuses a video that would not fit in memory, where all frames have to be there at once."""
    size = round(bytes_per_pixel * header.time * header.height * header.width)
    if size > bitstream.MOST_HELD:
        raise ValueError(
            f"{header.time:,} frames of {header.width}x{header.height} would take {size:,} bytes of memory, "
            f"the most is {bitstream.MOST_HELD:,}; `coordflow decode` with --frames and --scale goes through "
            "them one by one"
        )


def check_source(source: str) -> None:
    """Refuses what is no clip and no path that exists; what is in it shows when it is read."""
    if catalog.check_name(source):
        return
    path = Path(source)
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        known = ", ".join(info.name for info in catalog.builtin())
        raise ValueError(
            f"{source} does not exist; give a file, a folder of PNGs, or one of {known}"
        ) from None
    if path.is_file() and path.suffix.lower() == ".cfv":
        raise ValueError(f"{source} is encoded already; use `coordflow decode` to get a video back")


def coded_output(output: Path, source: str) -> Path:
    """Where an encode writes: the output, or what it is a link to, so that checkpoints lie beside the file.

    Refuses what is no name for a new .cfv file: another suffix may be a video that would be lost.
    """
    if output.suffix.lower() != ".cfv":
        raise ValueError(f"{output} must end in .cfv: encode INPUT OUT.cfv")
    if output.is_dir():
        raise ValueError(f"{output} is a folder; give the name of a file in it")
    target = files.destination(output)
    if len(os.fsencode(target.name)) > _LONGEST_NAME:
        raise ValueError(
            f"{output} has too long a name: its checkpoint could not lie beside it; "
            f"give one of at most {_LONGEST_NAME} bytes"
        )
    if not target.parent.is_dir():
        raise ValueError(f"{output} cannot be written: there is no folder {target.parent}")
    _check_free(output, source)
    return target if output.is_symlink() else output


def check_video_output(output: Path, source: Path) -> None:
    """Refuses what `video.write` cannot write, and the source."""
    write.check_output(output)
    _check_free(output, source)


def check_folder(output: Path, source: str | Path, known: str) -> None:
    """Refuses an output folder that cannot be made, or that holds other things than `known`, a pattern."""
    if output.exists() and not output.is_dir():
        raise ValueError(f"{output} is a file; give a new folder")
    if output.is_dir():
        strange = [entry.name for entry in output.iterdir() if not re.fullmatch(known, entry.name)]
        if strange:
            raise ValueError(f"{output} holds other things ({min(strange)}); give a new folder")
    _check_free(output, source)


def _check_free(output: Path, source: str | Path) -> None:
    """Refuses an output that the source is or lies in, is no file or folder, or may not be written."""
    target = files.destination(output)
    if target.exists():
        if not os.access(target, os.W_OK):
            raise ValueError(f"{output} is write-protected")
        if os.path.exists(source):
            if os.path.samefile(target, source):
                raise ValueError(f"{output} is the input; give another name, for it would be lost")
            if target in Path(os.path.realpath(source)).parents:
                raise ValueError(f"the input lies in {output}; give another folder, for it would be lost")
    folder = next(parent for parent in target.parents if parent.exists())
    try:
        with tempfile.TemporaryFile(dir=folder, prefix=".coordflow."):
            pass
    except OSError:
        raise ValueError(f"{output} cannot be written: {folder} is no folder that you may write to") from None


@dataclass(frozen=True)
class Coded:
    """An encoded file's bytes and what its header says."""

    data: bytes
    header: Header


def read_coded(path: Path) -> Coded:
    """The file, if header and checksums are sound; of what is no .cfv file only four bytes are read."""
    if path.is_dir():
        raise ValueError(f"{path} is a folder; give a .cfv file")
    if not path.is_file():
        raise ValueError(f"{path} does not exist" if not path.exists() else f"{path} is no ordinary file")
    if path.stat().st_size > _LARGEST_FILE:
        raise ValueError(f"{path} has {path.stat().st_size:,} bytes; the most is {_LARGEST_FILE:,}")
    with open(path, "rb") as file:
        start = file.read(len(bitstream.MAGIC))
        data = start + (file.read() if start == bitstream.MAGIC else b"")
    try:
        bitstream.index(data)
        return Coded(data, bitstream.read_header(data))
    except bitstream.BitstreamError as error:
        raise bitstream.BitstreamError(f"{path}: {error}") from None


def check_one_segment(coded: Coded, source: str) -> None:
    """Refuses a file of several segments, where one model has to stand for all frames."""
    count = len(bitstream.segments(coded.data))
    if count > 1:
        raise ValueError(
            f"{source} has {count} segments, each with layers of its own, and this needs a file of one; "
            "encode without --segment-frames, or give a video that `coordflow decode` made of it"
        )


def check_layer(option: str, layer: int, count: int) -> None:
    """Refuses a layer that is not there."""
    if not 0 <= layer < count:
        raise ValueError(f"{option} must be 0 to {count - 1}, got {layer}")


def chosen_layers(header: Header, layer: int | None) -> range:
    """The layers that `--layer` means: that one, or all."""
    if layer is None:
        return range(header.model.layers)
    check_layer("--layer", layer, header.model.layers)
    return range(layer, layer + 1)


def holes(mask: str, clip: Video) -> "np.ndarray[Any, np.dtype[np.bool_]]":
    """What `--mask` marks in the frames of a clip, bool [time, height, width]: where it is white.

    One picture counts for all frames.  Raises ValueError if it has another size or number of pictures, or
    marks nothing.
    """
    given = read.load(mask)
    size, pictures = f"{clip.width}x{clip.height}", f"1 or {clip.time} pictures"
    if given.frames.shape[1:3] != clip.frames.shape[1:3]:
        raise ValueError(
            f"--mask {mask} is {given.width}x{given.height}, the frames are {size}; "
            "draw it on a frame that `coordflow export` writes with the same --frames and --size"
        )
    if given.time not in (1, clip.time):
        raise ValueError(
            f"--mask {mask} has {given.time} pictures, the clip {clip.time} frames; expected {pictures}"
        )
    white = np.stack([picture.mean(axis=-1) >= 128 for picture in given.frames])
    marked = np.broadcast_to(white, clip.frames.shape[:3])
    if not marked.any():
        raise ValueError(f"--mask {mask} has no white pixel; what is white is filled")
    if marked.all():
        raise ValueError(f"--mask {mask} is white all over; nothing is left to learn from")
    return marked


def selected(header: Header, frames: str | None) -> range:
    """The frames of a file that `--frames` selects, counted from its first."""
    chosen = Selection.parse(frames)
    clip.check_range(chosen, header.time, "the file")
    return range(header.time)[chosen.start : chosen.stop : chosen.step]
