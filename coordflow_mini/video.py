"""Clips in memory and on disk: `Video`, and how it is read from and written to files.

The only module (with `baselines`) that knows PyAV, so the only one that knows codecs and containers.
"""

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np

from coordflow_mini.config import Selection

__all__ = ["Frames", "Video", "VideoError"]

Frames = np.ndarray[Any, np.dtype[np.uint8]]  # [time, height, width, 3]


class VideoError(ValueError):
    """A clip cannot be read or written; the message is one line: what came, expected, what to do."""


@dataclass(frozen=True, eq=False)
class Video:
    """A clip: uint8 RGB frames [time, height, width, 3] and where they come from.

    frames: C-contiguous.  fps: exact [frames per second].  name: for titles and tables.
    selection: which part of the source this is, fully resolved; by default "all of these frames".
    matrix: how YUV became RGB, "bt601" or "bt709"; "rgb" for sources that were RGB already.
    Raises ValueError if the frames are anything else than uint8 [time, height, width, 3].
    """

    frames: Frames
    fps: Fraction = Fraction(25)
    name: str = "video"
    selection: Selection = Selection()
    matrix: str = "rgb"

    def __post_init__(self) -> None:
        frames, shape = self.frames, np.shape(self.frames)
        if np.asarray(frames).dtype != np.uint8 or len(shape) != 4 or shape[-1] != 3:
            raise ValueError(
                f"frames must be uint8 [time, height, width, 3], got {np.asarray(frames).dtype} {shape}; "
                f"convert with Video.from_float(frames)"
            )
        if not all(shape):
            raise ValueError(f"frames must hold at least one pixel of one frame, got {shape}")
        object.__setattr__(self, "frames", np.ascontiguousarray(frames))
        object.__setattr__(self, "fps", Fraction(self.fps))
        if self.selection.stop is None or self.selection.width is None:
            whole = Selection(0, self.time, 1, self.width, self.height)
            object.__setattr__(self, "selection", whole)

    @property
    def time(self) -> int:
        """Number of frames."""
        return int(self.frames.shape[0])

    @property
    def height(self) -> int:
        """Rows of a frame [pixels]."""
        return int(self.frames.shape[1])

    @property
    def width(self) -> int:
        """Columns of a frame [pixels]."""
        return int(self.frames.shape[2])

    @property
    def pixels(self) -> int:
        """Pixels of all frames together: the denominator of bpp."""
        return self.time * self.height * self.width
