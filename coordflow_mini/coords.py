"""The one coordinate convention: pixel <-> (x, y, t).

* x points right, y points down; a pixel stands for its center.
* Both are divided by half the larger side, so that a rotation stays a rotation.
  Landscape: x in (-1, 1), y in (-h/w, h/w).  Portrait: y in (-1, 1), x in (-w/h, w/h).
* t runs from -1 (first frame) to 1 (last frame); a single frame has t = 0.

All other code normalizes pixels through these functions.
"""

import torch
from torch import Tensor


def half_side(height: int, width: int) -> float:
    """Length of one coordinate unit: half the larger side [pixels].

    >>> half_side(64, 96)
    48.0
    """
    return max(height, width) / 2


def pixel_points(columns: Tensor, rows: Tensor, height: int, width: int) -> Tensor:
    """Points (x, y) of pixel indices, which may be fractional, [..., 2].

    columns, rows: indices from the left and from the top, of the same shape.  Taught in chapter 02.

    >>> pixel_points(torch.tensor([0.0, 95.0]), torch.tensor([0.0, 63.0]), 64, 96)
    tensor([[-0.9896, -0.6562],
            [ 0.9896,  0.6562]])
    """
    unit = half_side(height, width)
    return torch.stack([(columns + 0.5 - width / 2) / unit, (rows + 0.5 - height / 2) / unit], dim=-1)


def point_pixels(points: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Fractional pixel indices (columns, rows) of points [..., 2]; inverse of `pixel_points`."""
    unit = half_side(height, width)
    return points[..., 0] * unit + width / 2 - 0.5, points[..., 1] * unit + height / 2 - 0.5


def scaled_size(height: int, width: int, scale: float) -> tuple[int, int]:
    """Rows and columns of a frame with both sides scaled, at least one each [pixels].

    Raises ValueError if the scale is not positive and finite.
    """
    if not 0 < scale < float("inf"):
        raise ValueError(f"scale must be positive and finite, got {scale}")
    return max(1, round(scale * height)), max(1, round(scale * width))


def pixel_grid(
    height: int,
    width: int,
    *,
    scale: float = 1.0,
    band: slice = slice(None),
    device: torch.device | str = "cpu",
) -> Tensor:
    """Points of all pixels in reading order, [round(scale * height) * round(scale * width), 2].

    scale: sample the same area by more or fewer pixels.  band: only these rows.
    """
    rows, columns = scaled_size(height, width, scale)
    column = (torch.arange(columns, device=device) + 0.5) * (width / columns) - 0.5
    row = (torch.arange(rows, device=device) + 0.5) * (height / rows) - 0.5
    row, column = torch.meshgrid(row[band], column, indexing="ij")
    return pixel_points(column.reshape(-1), row.reshape(-1), height, width)


def frame_times(frames: int, *, at: Tensor | None = None) -> Tensor:
    """t of every frame, or of the (fractional) frame indices `at`, [time] in [-1, 1].

    >>> frame_times(5)
    tensor([-1.0000, -0.5000,  0.0000,  0.5000,  1.0000])
    """
    index = torch.arange(frames, dtype=torch.float32) if at is None else at.float()
    return index * (2 / (frames - 1)) - 1 if frames > 1 else torch.zeros_like(index)
