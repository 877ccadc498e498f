"""Chapter 07: applications of layers built by hand, their measures, and motions beyond similarities.

The baselines that they compete with are in `alternatives`.
"""

import math
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from torch import Tensor

from coordflow_mini import similarity
from coordflow_mini.coords import frame_times, half_side, pixel_grid
from coordflow_mini.course.lesson import canonical, warping
from coordflow_mini.video import scenes
from coordflow_mini.video.clip import Video

Frames = np.ndarray[Any, np.dtype[np.uint8]]
Masks = np.ndarray[Any, np.dtype[np.bool_]]

# ---------------------------------------------------------------- built by hand


def masked_error(rgb: Tensor, color: Tensor, hole: Tensor) -> Tensor:
    """Mean squared error over the pixels outside the hole, scalar.

    rgb, color: [pixels, 3].  hole: bool [pixels], somewhere False.
    """
    return (rgb - color).square()[~hole].mean()


def still_camera(motion: Tensor) -> Tensor:
    """Transforms from the picture of a still camera to each frame, [time, 4].

    motion: [time, 4], frame -> canonical.  The still camera is that of the middle frame.
    """
    return similarity.compose(similarity.inverse(motion), motion[len(motion) // 2])


def finer_points(height: int, width: int, factor: int) -> Tensor:
    """Points of a grid `factor` times as fine over the same picture, [factor² * height * width, 2].

    >>> finer_points(1, 2, 2)[:2]
    tensor([[-0.7500, -0.2500],
            [-0.2500, -0.2500]])
    """
    return pixel_grid(factor * height, factor * width)


def times_between(frames: int) -> Tensor:
    """Times t halfway between neighboring frames, [frames - 1].

    >>> times_between(3)
    tensor([-0.5000,  0.5000])
    """
    times = frame_times(frames)
    return (times[:-1] + times[1:]) / 2


def temporal_median(frames: Tensor, holes: Tensor) -> Tensor:
    """Median over time of each pixel where it is visible, [height, width, 3].

    frames: float [time, height, width, 3].  holes: bool [time, height, width].  0.5 where never visible.
    """
    seen = frames.masked_fill(holes[..., None], math.nan)
    return seen.nanmedian(dim=0).values.nan_to_num(0.5)


# ---------------------------------------------------------------- measures


def hole_db(shown: Frames, truth: Frames, holes: Masks) -> float:
    """PSNR inside the holes only [dB].

    shown, truth: uint8 [time, height, width, 3].  holes: bool [time, height, width], somewhere True.
    """
    apart = (shown.astype(float) - truth)[holes] / 255
    return -10 * math.log10(max(float((apart**2).mean()), 1e-10))


def drift(transforms: Tensor, motion: Tensor, height: int, width: int) -> float:
    """Mean displacement left at the corners of a stabilized clip [pixels].

    transforms: [time, 4], stable -> frame.  motion: [time, 4], frame -> canonical, the truth.
    """
    corners = canonical.outline(similarity.identity().double(), height, width)
    frame = similarity.apply(transforms.double()[:, None], corners)
    true = similarity.inverse(still_camera(motion.double()))
    stable = similarity.apply(true[:, None], frame)
    return float((stable - corners).norm(dim=-1).mean()) * half_side(height, width)


# ---------------------------------------------------------------- motions beyond similarities

BENDS = ("turn", "shear", "perspective")


def bend(kind: str, amount: float) -> Tensor:
    """A 3x3 matrix for points (x, y, 1): "turn" is a similarity, "shear" and "perspective" are not."""
    matrix = torch.eye(3)
    if kind == "turn":
        return similarity.matrix(torch.tensor([0.0, amount, 0.0, 0.0]))
    if kind == "shear":
        matrix[0, 1] = amount
    elif kind == "perspective":
        matrix[2, 0] = amount
    else:
        raise ValueError(f"kind must be one of {', '.join(BENDS)}, got {kind!r}")
    return matrix


def bent(matrices: Tensor, height: int = 32, width: int = 48) -> Video:
    """A clip of a still pattern; pixel p of frame t shows the pattern at M_t p.

    matrices: [time, 3, 3], applied to (x, y, 1); the result is divided by its third component.
    """
    pattern = torch.from_numpy(scenes.pan(256, 384, frames=1).video.frames[0]).float()
    fine = pixel_grid(height, width, scale=3)
    frames = []
    for matrix in matrices:
        seen = warping.sample(pattern, 0.7 * project(matrix, fine))
        block = seen.view(height, 3, width, 3, 3)
        frames.append(block.mean((1, 3)).round().to(torch.uint8))
    return Video(torch.stack(frames).numpy(), Fraction(12), "bent")


def project(matrix: Tensor, points: Tensor) -> Tensor:
    """Points [..., 2] mapped by a 3x3 matrix in homogeneous coordinates."""
    image = torch.cat([points, torch.ones_like(points[..., :1])], dim=-1) @ matrix.T.to(points)
    return image[..., :2] / image[..., 2:]
