"""Shots, a camera's continuous takes, and the cuts between them.

A cut changes both the picture and the colors in it.  Motion changes mostly the picture, light mostly the
colors, so the change between two frames is the geometric mean of both.  Boreczky and Rowe compare the two in
"Comparison of video shot boundary detection techniques", 1996.
"""

import numpy as np

from coordflow_mini.video.clip import area_resize
from coordflow_mini.video.raw import Frames, YuvFrames

SHORTEST = 4  # frames of a shot; fewer are a flash, or too few for a segment
_RATIO = 2.0  # of the change at a cut to the second largest step around it; LOG.md has the measurement
_NOISE = 2.0  # added to steps, so that noise and single gray levels do not count


def shots(frames: Frames | YuvFrames) -> tuple[range, ...]:
    """The frames of each shot, in order; together they are all frames.

    At a cut, each of four frames differs from each of the four that follow.  The differences are more than
    twice the steps from frame to frame among them, which are large in fast motion; one larger step is
    allowed, since it may be the next cut.  A flash of up to three frames does not end a shot.  Fades and
    dissolves are no cuts.
    """
    near, count = SHORTEST, len(frames)
    changes, bounds = _changes(frames), [0]
    for cut in range(near, count - near + 1):
        across = min(changes[i, j - i] for i in range(cut - near, cut) for j in range(cut, cut + near))
        steps = np.sort(np.delete(changes[cut - near : cut + near - 1, 1], near - 1))
        if cut >= bounds[-1] + near and across > _RATIO * (steps[-2] + _NOISE):
            bounds.append(cut)
    return tuple(map(range, bounds, [*bounds[1:], count]))


def _changes(frames: Frames | YuvFrames) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """[time, lag]: the change from a frame to the one `lag` later, below 8; infinite beyond the end.

    The geometric mean of the mean difference of 32x18 pictures, in gray levels, and the part of pixels, in
    percent, that have another of 512 colors.  From sums of integers: the same on every machine.
    """
    pictures, colors = [], []
    for frame in frames:
        frame = frame[:: max(1, frame.shape[0] // 108), :: max(1, frame.shape[1] // 192)]
        pictures.append(area_resize(frame, 18, 32).astype(np.int16))
        codes = (frame >> 5) @ np.array([64, 8, 1], np.uint16)
        colors.append(np.bincount(codes.ravel(), minlength=512))
    picture, color = np.stack(pictures), np.stack(colors)
    changes = np.full((len(frames), 2 * SHORTEST), np.inf)
    for lag in range(1, min(2 * SHORTEST, len(frames))):
        moved = np.abs(picture[lag:] - picture[:-lag]).mean((1, 2, 3))
        recolored = np.abs(color[lag:] - color[:-lag]).sum(1) * 50 / color[0].sum()
        changes[:-lag, lag] = np.sqrt(moved * recolored)
    return changes
