"""Chapter 02: coordinates, training samples and nominal size of the plain network."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from coordflow_mini.coords import frame_times, pixel_points


def pixel_to_point(frame: Tensor, row: Tensor, column: Tensor, size: tuple[int, int, int]) -> Tensor:
    """(x, y, t) of the pixels clip[frame, row, column], [..., 3].

    frame, row, column: indices, same shape.  size: (time, height, width) of the clip.

    >>> pixel_to_point(torch.tensor([23]), torch.tensor([0]), torch.tensor([0]), (24, 64, 96))
    tensor([[-0.9896, -0.6562,  1.0000]])
    """
    time, height, width = size
    points = pixel_points(column.float(), row.float(), height, width)
    return torch.cat([points, frame_times(time, at=frame)[..., None]], dim=-1)


def sample_pixels(clip: Tensor, index: Tensor) -> Tensor:
    """Training samples (x, y, t, r, g, b), colors in [0, 1], of the pixels at `index`, [pixels, 6].

    clip: uint8 [time, height, width, 3].  index: int64 [pixels], numbering all pixels in reading order.
    """
    time, height, width, _ = clip.shape
    frame, row, column = index // (height * width), index // width % height, index % width
    point = pixel_to_point(frame, row, column, (time, height, width))
    return torch.cat([point, clip[frame, row, column].float() / 255], dim=-1)


def nominal_bytes(sizes: Sequence[int]) -> float:
    """Size of a perceptron's file at 6 bits per weight [bytes].

    sizes: widths of the input, of each hidden layer and of the output.

    >>> nominal_bytes([55, 32, 32, 32, 4])
    3027.0
    """
    weights = sum((inputs + 1) * outputs for inputs, outputs in pairwise(sizes))
    return weights * 6 / 8


def slice_riddle(
    line: np.ndarray[tuple[int, int], np.dtype[np.uint8]], frames: int = 24
) -> dict[str, np.ndarray[tuple[int, int, int], np.dtype[np.uint8]]]:
    """x-t slices, each [frames, width, 3], of four clips made from one row of pixels.

    line: uint8 [width, 3], repeated beyond its ends.
    """
    width = len(line)
    frame, column = np.arange(frames)[:, None], np.arange(width)[None]
    middle = (width - 1) / 2
    light = 0.7 + 0.3 * np.cos(2.4 * frame[..., None])

    def looks_at(
        places: np.ndarray[tuple[int, int], np.dtype[np.float64]],
    ) -> np.ndarray[tuple[int, int, int], np.dtype[np.uint8]]:
        return line[np.round(places).astype(int) % width]

    return {
        "A": looks_at(column + 1.5 * frame),
        "B": (looks_at(column + 0.0 * frame) * light).astype(np.uint8),
        "C": looks_at(middle + (column - middle) / (1 + frame / 12)),
        "D": looks_at(column - 2.5 * frame),
    }
