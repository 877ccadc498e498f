"""Similarity transforms of the plane: p' = s R(θ) p + d.

A transform is a tensor [..., 4] = (log s, θ, dx, dy): angle in radians, shift in coordinate units
(see `coords`).  With y pointing down, a positive θ turns x towards y, which looks *clockwise*.
The logarithm keeps the scale positive and makes "no change" the zero vector.
"""

import torch
from torch import Tensor


def identity(*shape: int) -> Tensor:
    """The transform that leaves every point in place, zeros [*shape, 4]."""
    return torch.zeros(*shape, 4)


def _scaled_rotation(transform: Tensor) -> tuple[Tensor, Tensor]:
    """s cos θ and s sin θ, each [...]."""
    scale = torch.exp(transform[..., 0])
    return scale * torch.cos(transform[..., 1]), scale * torch.sin(transform[..., 1])


def apply(transform: Tensor, points: Tensor) -> Tensor:
    """Transformed points, [..., 2].  CoordFlow sec. 2; taught in chapter 03.

    transform: [..., 4] and points: [..., 2] broadcast against each other.

    >>> quarter_turn = torch.tensor([0.0, torch.pi / 2, 0.0, 0.0])
    >>> apply(quarter_turn, torch.tensor([1.0, 0.0])).round(decimals=3).abs()
    tensor([0., 1.])
    """
    cos, sin = _scaled_rotation(transform)
    x, y = points[..., 0], points[..., 1]
    return torch.stack([cos * x - sin * y + transform[..., 2], sin * x + cos * y + transform[..., 3]], dim=-1)


def inverse(transform: Tensor) -> Tensor:
    """The inverse transform, [..., 4]: scale 1/s, angle -θ, shift -R(-θ) d / s."""
    turn_back = torch.cat([-transform[..., :2], torch.zeros_like(transform[..., 2:])], dim=-1)
    return torch.cat([-transform[..., :2], -apply(turn_back, transform[..., 2:])], dim=-1)


def compose(after: Tensor, before: Tensor) -> Tensor:
    """`before` followed by `after`, as one transform [..., 4]; the angle is not wrapped."""
    return torch.cat([after[..., :2] + before[..., :2], apply(after, before[..., 2:])], dim=-1)


def matrix(transform: Tensor) -> Tensor:
    """The 3x3 matrix for homogeneous points (x, y, 1), [..., 3, 3]."""
    cos, sin = _scaled_rotation(transform)
    zero, one = torch.zeros_like(cos), torch.ones_like(cos)
    rows = [cos, -sin, transform[..., 2], sin, cos, transform[..., 3], zero, zero, one]
    return torch.stack(rows, dim=-1).reshape(*cos.shape, 3, 3)
