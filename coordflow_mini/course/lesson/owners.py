"""Chapter 06: the layer loss, which makes layers compete for pixels like the centers of k-means."""

import torch
from torch import Tensor

from coordflow_mini import similarity
from coordflow_mini.coords import half_side, pixel_grid
from coordflow_mini.video.scenes import Scene

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

DECIDED = 0.95  # a pixel is decided if one layer has more than this share of it


def layer_loss(layer_rgb: Tensor, alpha: Tensor, color: Tensor) -> Tensor:
    """Σᵢ αᵢ ‖cᵢ - y‖² / 3, averaged over pixels, scalar; the same as `loss.layer_error`.

    layer_rgb: [layers, pixels, 3].  alpha: [layers, pixels], sums to 1.  color: [pixels, 3].
    """
    errors = (layer_rgb - color).square().mean(dim=-1)  # [layers, pixels]
    return (alpha * errors).sum(dim=0).mean()


def handover(alpha: Tensor, errors: Tensor) -> Tensor:
    """Gradient of Σᵢ αᵢ eᵢ with respect to the alpha logits, αᵢ (eᵢ - ē), [layers, pixels].

    ē = Σᵢ αᵢ eᵢ.  alpha, errors: [layers, pixels]; alpha is a softmax over the layers.
    """
    return alpha * (errors - (alpha * errors).sum(dim=0))


def best_centers(points: Tensor, alpha: Tensor) -> Tensor:
    """Centers that minimize Σᵢ αᵢ ‖cᵢ - v‖² over the points v: weighted means, [centers, 2].

    points: [points, 2].  alpha: [centers, points], with some share for every center.
    """
    return alpha @ points / alpha.sum(dim=1, keepdim=True)


def owner_picture(layer_rgb: Tensor, alpha: Tensor) -> Tensor:
    """Each pixel in the color of the layer with the largest alpha there, [..., 3].

    layer_rgb: [layers, ..., 3].  alpha: [layers, ...].
    """
    owner = alpha.argmax(dim=0)[None, ..., None].expand_as(layer_rgb[:1])
    return layer_rgb.gather(0, owner)[0]


def best_start(errors: Tensor, last: int) -> int:
    """Index of the start with the smallest mean error over the last steps; errors: [starts, steps]."""
    return int(errors[:, -last:].mean(dim=1).argmin())


def decided(alpha: Tensor) -> float:
    """Fraction of pixels where one alpha exceeds `DECIDED`; alpha: [layers, ...]."""
    return (alpha.amax(dim=0) > DECIDED).double().mean().item()


def regions(alpha: Tensor) -> Tensor:
    """Masks of the pixels that each layer owns by the largest alpha, bool [layers, ...]."""
    return torch.stack([alpha.argmax(dim=0) == layer for layer in range(len(alpha))])


def displacements(scene: Scene, frame: int, span: int) -> Tensor:
    """True motion of what each pixel shows over `span` frames around `frame` [pixels], [pixels, 2].

    Components point right and down.
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
