"""`Video`: frames with their rate and origin; frame selection, exact area resizing, other frame rates.

Frames are uint8 RGB [time, height, width, 3] everywhere in the library.
"""

import os
import sys
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cache
from typing import Any

import numpy as np

from coordflow_mini.config import Selection
from coordflow_mini.video.raw import Frames, VideoError, YuvFrames

MATRICES = ("rgb", "bt601", "bt709")  # values of `Video.matrix`


@dataclass(frozen=True, eq=False, repr=False)
class Video:
    """A clip: uint8 RGB frames [time, height, width, 3] and their origin.

    frames: a C-contiguous array, or `YuvFrames`, which converts a frame each time it is indexed: iterate
    over them, and 600 frames of 1080p need almost no memory.
    fps: exact frames per second.  name: for titles and tables.
    selection: the part of the source that this is, fully resolved; by default all of these frames.
    matrix: the YUV matrix of the source, one of `MATRICES`; "rgb" for RGB sources.
    Raises ValueError unless the frames are uint8 [time, height, width, 3].

    >>> Video(np.zeros((24, 64, 96, 3), np.uint8), name="black")
    Video('black', 24 frames of 96x64, 25 fps, rgb)
    """

    frames: Frames | YuvFrames
    fps: Fraction = Fraction(25)
    name: str = "video"
    selection: Selection = field(default_factory=Selection)
    matrix: str = "rgb"

    def __post_init__(self) -> None:
        frames = self.frames
        known = isinstance(frames, (np.ndarray, YuvFrames))
        kind, shape = getattr(frames, "dtype", type(frames).__name__), tuple(getattr(frames, "shape", ()))
        if not known or kind != np.uint8 or len(shape) != 4 or shape[3] != 3:
            raise ValueError(
                f"frames must be uint8 [time, height, width, 3], got {kind} {shape}; "
                f"colors in [0, 1] become so by np.uint8(frames * 255 + 0.5)"
            )
        if not all(shape):
            raise ValueError(f"frames must hold at least one frame of one pixel, got {shape}")
        if self.matrix not in MATRICES or self.fps <= 0:
            raise ValueError(
                f"matrix must be one of {MATRICES} and fps positive, got {self.matrix!r} and {self.fps}"
            )
        if isinstance(frames, np.ndarray):
            object.__setattr__(self, "frames", np.ascontiguousarray(frames))
        object.__setattr__(self, "fps", Fraction(self.fps))
        if self.selection.stop is None or self.selection.width is None:
            object.__setattr__(self, "selection", Selection(0, self.time, 1, self.width, self.height))

    def __repr__(self) -> str:
        rate = f"{float(self.fps):.5g} fps"
        return (
            f"Video({self.name!r}, {self.time} frames of {self.width}x{self.height}, {rate}, {self.matrix})"
        )

    @property
    def time(self) -> int:
        """Number of frames."""
        return int(self.frames.shape[0])

    @property
    def height(self) -> int:
        """Rows per frame."""
        return int(self.frames.shape[1])

    @property
    def width(self) -> int:
        """Columns per frame."""
        return int(self.frames.shape[2])

    @property
    def pixels(self) -> int:
        """Pixels in all frames: the denominator of bpp."""
        return self.time * self.height * self.width

    def select(self, selection: Selection) -> "Video":
        """Selects frames and resizes them; the result's `selection` still refers to the source.

        A step divides fps, so the clip lasts as long as before.
        Raises VideoError if the selection exceeds the clip.
        """
        frames, inner = select_frames(self.frames, selection, self.name)
        mine = self.selection
        outer = replace(
            inner,
            start=mine.start + inner.start * mine.step,
            stop=min(mine.stop or 0, mine.start + (inner.stop or 0) * mine.step),
            step=mine.step * inner.step,
        )
        return replace(self, frames=frames, fps=self.fps / inner.step, selection=outer)


def select_frames(
    frames: Frames | YuvFrames, selection: Selection, name: str
) -> tuple[Frames | YuvFrames, Selection]:
    """The selected frames, resized by `area_resize`, and the selection, fully resolved.

    Copies arrays; `YuvFrames` stay mapped unless they are resized.
    Raises VideoError if the selection exceeds the frames, or memory.
    """
    check_range(selection, len(frames), name)
    height, width = selection.height or frames.shape[1], selection.width or frames.shape[2]
    chosen = replace(selection, stop=selection.stop or len(frames), width=width, height=height)
    part = frames[chosen.start : chosen.stop : chosen.step]
    if isinstance(part, YuvFrames) and part.shape[1:3] == (height, width):
        return part, chosen
    check_memory(len(part), 3 * height * width, name)
    result = np.empty((len(part), height, width, 3), np.uint8)
    for frame, target in zip(part, result, strict=True):
        target[...] = area_resize(frame, height, width)
    return result, chosen


def check_range(selection: Selection, count: int, name: str) -> None:
    """Raises VideoError if the selection exceeds the `count` frames of a source."""
    if count == 0:
        raise VideoError(f"{name} holds no frames")
    if selection.start >= count or (selection.stop or 0) > count:
        asked = f"{selection.start}:{'' if selection.stop is None else selection.stop}"
        raise VideoError(f"frames {asked} of {name} do not exist: it has {count} frames")


def check_memory(frames: int, size: int, name: str) -> None:
    """Raises VideoError if that many frames of `size` bytes exceed the machine's memory."""
    if frames * size > _memory():
        raise VideoError(
            f"{name} needs {frames * size / 1e9:,.0f} GB of memory or more as RGB, this machine has "
            f"{_memory() / 1e9:,.0f} GB; select fewer --frames or a smaller --size"
        )


@cache
def _memory() -> int:
    """Physical memory [bytes]; unlimited where the system does not report it."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return sys.maxsize


def area_resize(frame: Frames, height: int, width: int) -> Frames:
    """The frame [height, width, channels] at another size: the exact mean over each new pixel's area.

    Old pixels count by the fraction that is covered.  Integer arithmetic: the same on every machine.

    >>> area_resize(np.array([[[0], [90], [30]]], np.uint8), 1, 2).ravel()
    array([30, 50], dtype=uint8)
    """
    if frame.shape[:2] == (height, width):
        return frame
    area = frame.shape[0] * frame.shape[1]
    wide = frame.astype(np.int32 if 511 * area < 2**31 else np.int64)
    sums = _covered_sums(_covered_sums(wide, height, 0), width, 1)
    return np.asarray((2 * sums + area) // (2 * area), np.uint8)


def _covered_sums(values: Any, size: int, axis: int) -> Any:
    """Old values times covered length [1/size old pixels], summed for each of `size` new cells of an axis."""
    length = values.shape[axis]
    start = np.arange(size, dtype=np.int64) * length  # cell i covers start[i] to start[i] + length
    first = start // size
    total: Any = 0
    for tap in range(-(-length // size) + 1):
        old = first + tap
        covered = np.minimum((old + 1) * size, start + length) - np.maximum(old * size, start)
        weight = np.maximum(covered, 0).astype(values.dtype).reshape(-1, *(1,) * (values.ndim - 1 - axis))
        total += values.take(np.minimum(old, length - 1), axis) * weight
    return total


@dataclass(frozen=True)
class Timeline:
    """Frame positions (1.5 lies between frames 1 and 2), and the rate at which they are shown."""

    positions: tuple[float, ...]
    fps: Fraction


def timeline(frames: range, fps: Fraction, factor: float = 1.0) -> Timeline:
    """Positions of some frames of a clip at `factor` times their frame rate, from the first to the last.

    fps: of the whole clip.  A factor below 1 skips frames.
    Raises ValueError if the factor is not positive.

    >>> timeline(range(3), Fraction(25), 2)
    Timeline(positions=(0.0, 0.5, 1.0, 1.5, 2.0), fps=Fraction(50, 1))
    >>> timeline(range(10, 40, 10), Fraction(30), 0.5).positions
    (10.0, 30.0)
    """
    ratio = Fraction(factor).limit_denominator(1000) if 0 < factor < float("inf") else Fraction(0)
    if ratio <= 0:
        raise ValueError(f"factor must be positive and at least 1/1000, got {factor:g}")
    count = int((len(frames) - 1) * ratio) + 1
    positions = (float(frames.start + frames.step * number / ratio) for number in range(count))
    return Timeline(tuple(positions), fps / frames.step * ratio)
