"""Layers as the centers of k-means, and alphas as shares: what chapter 06 builds."""

import torch
from torch import Tensor

from coordflow_mini import similarity
from coordflow_mini.coords import half_side, pixel_grid
from coordflow_mini.video.read import Scene

__all__ = [
    "DECIDED",
    "best_centers",
    "best_start",
    "decided",
    "displacements",
    "handover",
    "layer_loss",
    "owner_picture",
    "regions",
]

DECIDED = 0.95  # a pixel is decided where one layer has more than this share


def layer_loss(layer_rgb: Tensor, alpha: Tensor, color: Tensor) -> Tensor:
    """Σᵢ αᵢ ‖cᵢ - y‖² / 3, mean over pixels, scalar: `loss.layer_error` of one list of pixels.

    layer_rgb: [layers, pixels, 3].  alpha: [layers, pixels], sums to 1.  color: [pixels, 3].
    """
    errors = (layer_rgb - color).square().mean(dim=-1)  # [layers, pixels]
    return (alpha * errors).sum(dim=0).mean()


def handover(alpha: Tensor, errors: Tensor) -> Tensor:
    """Gradient of Σᵢ αᵢ eᵢ with respect to the logits of the shares, [layers, pixels]: αᵢ (eᵢ - ē).

    ē = Σᵢ αᵢ eᵢ.  alpha, errors: [layers, pixels]; alpha is a softmax over the layers.
    """
    return alpha * (errors - (alpha * errors).sum(dim=0))


def best_centers(points: Tensor, alpha: Tensor) -> Tensor:
    """Where Σᵢ αᵢ ‖cᵢ - v‖², summed over the points v, is smallest: their weighted means, [centers, 2].

    points: [points, 2].  alpha: [centers, points], no center without any share.
    """
    return alpha @ points / alpha.sum(dim=1, keepdim=True)


def owner_picture(layer_rgb: Tensor, alpha: Tensor) -> Tensor:
    """Every pixel as the layer with its largest share shows it, without help of the others, [..., 3].

    layer_rgb: [layers, ..., 3].  alpha: [layers, ...].
    """
    owner = alpha.argmax(dim=0)[None, ..., None].expand_as(layer_rgb[:1])
    return layer_rgb.gather(0, owner)[0]


def best_start(errors: Tensor, last: int) -> int:
    """The start to go on with: the smallest mean error of the last steps.  errors: [starts, steps]."""
    return int(errors[:, -last:].mean(dim=1).argmin())


def decided(alpha: Tensor) -> float:
    """Share of the pixels of which one layer has nearly everything; alpha: [layers, ...]."""
    return (alpha.amax(dim=0) > DECIDED).double().mean().item()


def regions(alpha: Tensor) -> Tensor:
    """What each layer owns, bool [layers, ...]: where its share is the largest."""
    return torch.stack([alpha.argmax(dim=0) == layer for layer in range(len(alpha))])


def displacements(scene: Scene, frame: int, span: int) -> Tensor:
    """How far what each pixel shows moves within `span` frames around this one [pixels], [pixels, 2].

    To the right and down.  It is the true motion of whatever the scene shows there.
    """
    _, height, width, _ = scene.video.frames.shape
    grid, foreground = pixel_grid(height, width).double(), torch.from_numpy(scene.masks[frame]).flatten()
    moved = torch.zeros_like(grid)
    for motion, shown in zip(scene.motion, (~foreground, foreground), strict=True):
        canonical = similarity.apply(motion[frame], grid)
        to_frame = similarity.inverse(motion)
        before, after = frame - span // 2, frame + (span + 1) // 2
        path = similarity.apply(to_frame[after], canonical) - similarity.apply(to_frame[before], canonical)
        moved[shown] = path[shown]
    return (moved * half_side(height, width)).float()
