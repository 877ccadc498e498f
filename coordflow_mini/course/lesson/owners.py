"""Chapter 06: the layer loss, which makes layers compete for pixels like the centers of k-means."""

from fractions import Fraction
from typing import Any

import numpy as np
import torch
from torch import Tensor

from coordflow_mini import similarity
from coordflow_mini.config import Selection
from coordflow_mini.coords import half_side, pixel_grid
from coordflow_mini.video.clip import Video
from coordflow_mini.video.scenes import Scene, cutout

DECIDED = 0.95  # a pixel is decided if one layer has more than this share of it

_FINE = 2  # drawn at twice the size, for soft silhouettes
_WINDOWS = {1: (0, 0), 2: (0.25, 0.25)}  # seed -> upper left corner, as fractions of the frame


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


def trio(
    height: int = 32, width: int = 48, frames: int = 24
) -> tuple[Video, np.ndarray[Any, np.dtype[np.bool_]]]:
    """A clip of two flowers over a background, all moving, and masks of what is visible where.

    Masks: bool [3, frames, height, width]; 0 is the background, the last flower is in front.

    >>> trio(frames=3)[0]
    Video('trio', 3 frames of 48x32, 24 fps, rgb)
    """
    rows, columns = _FINE * height, _FINE * width
    picture = cutout(rows, columns, frames).layers[0].astype(np.float32)
    owner = np.zeros(picture.shape[:3], int)
    for index, (seed, corner) in enumerate(_WINDOWS.items(), start=1):
        flower = cutout(rows * 3 // 4, columns * 3 // 4, frames, seed)
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
