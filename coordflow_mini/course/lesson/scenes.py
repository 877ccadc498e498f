"""Chapter 06: a generated scene with two objects and known masks."""

from fractions import Fraction
from typing import Any

import numpy as np

from coordflow_mini.config import Selection
from coordflow_mini.video import scenes
from coordflow_mini.video.clip import Video

__all__ = ["trio"]

_FINE = 2  # drawn at twice the size, for soft silhouettes
_WINDOWS = {1: (0, 0), 2: (0.25, 0.25)}  # seed -> upper left corner, as fractions of the frame


def trio(
    height: int = 32, width: int = 48, frames: int = 24
) -> tuple[Video, np.ndarray[Any, np.dtype[np.bool_]]]:
    """A clip of two flowers over a background, all moving, and masks of what is visible where.

    Masks: bool [3, frames, height, width]; 0 is the background, the last flower is in front.

    >>> trio(frames=3)[0]
    Video('trio', 3 frames of 48x32, 24 fps, rgb)
    """
    rows, columns = _FINE * height, _FINE * width
    picture = scenes.cutout(rows, columns, frames).layers[0].astype(np.float32)
    owner = np.zeros(picture.shape[:3], int)
    for index, (seed, corner) in enumerate(_WINDOWS.items(), start=1):
        flower = scenes.cutout(rows * 3 // 4, columns * 3 // 4, frames, seed)
        top, left = round(corner[0] * rows), round(corner[1] * columns)
        window = np.s_[:, top : top + rows * 3 // 4, left : left + columns * 3 // 4]
        picture[window][flower.masks] = flower.layers[1][flower.masks]
        owner[window][flower.masks] = index
    coarse = (frames, height, _FINE, width, _FINE)
    small = picture.reshape(*coarse, 3).mean((2, 4))
    shares = np.stack([(owner == index).reshape(coarse).mean((2, 4)) for index in range(3)])
    truth = np.stack([shares.argmax(0) == index for index in range(3)])
    place = Selection(stop=frames, width=width, height=height)
    return Video((small + 0.5).astype(np.uint8), Fraction(24), "trio", place), truth
