"""The one coordinate convention: pixel <-> (x, y, t), and batches of random pixels.

* x points right, y points down, both measured at pixel centers.
* Isotropic: both are divided by half the larger side, so a rotation is a rotation.
  Landscape: x in (-1, 1), y in (-h/w, h/w).  Portrait: y in (-1, 1), x in (-w/h, w/h).
* t runs from -1 (first frame) to 1 (last frame); a single frame has t = 0.

Nothing else in the project normalizes a pixel by hand.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from coordflow_mini.sampling import Clip, colors_at

__all__ = [
    "PatchBatch",
    "PixelBatch",
    "Places",
    "frame_times",
    "half_side",
    "pixel_grid",
    "pixel_points",
    "pixels_at",
    "point_pixels",
    "random_patches",
    "random_pixels",
    "random_places",
    "scaled_size",
]


def half_side(height: int, width: int) -> float:
    """How many pixels one coordinate unit spans: half the larger side [pixels].

    >>> half_side(64, 96)
    48.0
    """
    return max(height, width) / 2


def pixel_points(columns: Tensor, rows: Tensor, height: int, width: int) -> Tensor:
    """Points (x, y) of pixel indices, [..., 2]; fractional indices are allowed.

    columns, rows: same shape, pixel index from the left and from the top.  Taught in chapter 02.

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
    """Rows and columns of a picture at a scale of both sides, at least one each [pixels].

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

    With a scale other than 1 the same area is sampled by more or fewer pixels.  band: these rows alone.
    """
    rows, columns = scaled_size(height, width, scale)
    column = (torch.arange(columns, device=device) + 0.5) * (width / columns) - 0.5
    row = (torch.arange(rows, device=device) + 0.5) * (height / rows) - 0.5
    row, column = torch.meshgrid(row[band], column, indexing="ij")
    return pixel_points(column.reshape(-1), row.reshape(-1), height, width)


def frame_times(frames: int, *, at: Tensor | None = None) -> Tensor:
    """t of every frame, [time] in [-1, 1]; `at` gives other (fractional) frame indices.

    >>> frame_times(5)
    tensor([-1.0000, -0.5000,  0.0000,  0.5000,  1.0000])
    """
    index = torch.arange(frames, dtype=torch.float32) if at is None else at.float()
    return index * (2 / (frames - 1)) - 1 if frames > 1 else torch.zeros_like(index)


class Places(NamedTuple):
    """Pixels of a clip by number."""

    frames: Tensor  # [frames] int64, the frame of each row
    place: Tensor  # [frames, pixels] int64, index in the frame in reading order


class PixelBatch(NamedTuple):
    """Random pixels of a clip: where, when, and their true colors."""

    points: Tensor  # [frames, pixels, 2]
    frames: Tensor  # [frames] int64, the frame of each row
    place: Tensor  # [frames, pixels] int64, index in the frame in reading order
    color: Tensor  # [frames, pixels, 3] in [0, 1]


def random_places(clip: Clip, count: int, generator: torch.Generator, frames: Tensor) -> Places:
    """Where to look: about `count` random pixels, equally many from each frame, on the clip's own device.

    Rows of equal length let everything that depends on time alone be computed once per frame and
    broadcast; the equal shares also make the gradient less noisy than independent draws.  With
    more frames than 128 a random subset of them is used.

    clip: uint8 [time, height, width, 3], see `pixels`.  frames: [n] int64, the frames to draw from.
    """
    _, height, width, _ = clip.shape
    if len(frames) > _MOST_FRAMES:
        order = torch.randperm(len(frames), generator=generator, device=clip.device)
        frames = frames[order[:_MOST_FRAMES]]
    shape = (len(frames), max(1, count // len(frames)))
    return Places(frames, torch.randint(height * width, shape, generator=generator, device=clip.device))


def pixels_at(clip: Clip, places: Places) -> PixelBatch:
    """The pixels of a clip at some places; only they become floats."""
    _, height, width, _ = clip.shape
    frames, place = places
    row = torch.div(place, width, rounding_mode="floor")
    points = pixel_points((place - row * width).float(), row.float(), height, width)
    return PixelBatch(points, frames, place, colors_at(clip, frames[:, None], place))


def random_pixels(clip: Clip, count: int, generator: torch.Generator, frames: Tensor) -> PixelBatch:
    """About `count` random pixels of a clip: see `random_places` and `pixels_at`."""
    return pixels_at(clip, random_places(clip, count, generator, frames))


_MOST_FRAMES = 128  # a batch of 8192 then still holds 64 pixels of each


class PatchBatch(NamedTuple):
    """Random square patches of a clip, for losses that look at neighborhoods."""

    points: Tensor  # [patches, height * width, 2]
    frames: Tensor  # [patches] int64
    color: Tensor  # [patches, height * width, 3] in [0, 1]
    height: int
    width: int


def random_patches(
    clip: Clip, generator: torch.Generator, frames: Tensor, *, count: int = 4, side: int = 48
) -> PatchBatch:
    """`count` patches of side x side pixels (less where the clip is smaller), each from a random frame."""
    _, clip_height, clip_width, _ = clip.shape
    device, height, width = clip.device, min(side, clip_height), min(side, clip_width)

    def draw(limit: int) -> Tensor:
        return torch.randint(limit, (count, 1, 1), generator=generator, device=device)

    frame = frames[draw(len(frames))[:, 0, 0]]
    rows = draw(clip_height - height + 1) + torch.arange(height, device=device)[:, None]
    columns = draw(clip_width - width + 1) + torch.arange(width, device=device)
    rows, columns = torch.broadcast_tensors(rows, columns)
    points = pixel_points(columns.float(), rows.float(), clip_height, clip_width).flatten(1, 2)
    color = colors_at(clip, frame[:, None], (rows * clip_width + columns).flatten(1, 2))
    return PatchBatch(points, frame, color, height, width)
