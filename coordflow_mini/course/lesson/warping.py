"""Chapter 03: sampling pictures at arbitrary points, and moving their content."""

import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from coordflow_mini import similarity
from coordflow_mini.coords import pixel_grid, point_pixels


def sample(picture: Tensor, points: Tensor) -> Tensor:
    """Colors of a picture at points, [..., channels]: bilinear inside, black outside.

    picture: float [height, width, channels].  points: [..., 2], see `coords`.  Differentiable in both.
    """
    height, width, channels = picture.shape
    columns, rows = point_pixels(points.reshape(-1, 2), height, width)
    corners = torch.stack([(2 * columns + 1) / width - 1, (2 * rows + 1) / height - 1], dim=-1)
    stacked = picture.movedim(-1, 0)[None]
    colors = grid_sample(stacked, corners[None, None].to(picture.dtype), align_corners=False)
    return colors.view(channels, -1).T.reshape(*points.shape[:-1], channels)


def warp(picture: Tensor, motion: Tensor) -> Tensor:
    """A picture with its content moved by a similarity, [height, width, channels].

    Each pixel takes its color from where its content came from: the *inverse* motion of its own position.
    """
    height, width, _ = picture.shape
    return sample(picture, similarity.apply(similarity.inverse(motion), pixel_grid(height, width))).view_as(
        picture
    )
