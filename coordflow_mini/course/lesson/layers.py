"""Chapter 05: blending layers, and how well a layer finds an object."""

import torch
from torch import Tensor

from coordflow_mini.measure.metrics import match_layers


def blend(output: Tensor) -> Tensor:
    """Blended colors Σ αᵢ cᵢ from the outputs of all layers, [pixels, 3].

    output: [layers, pixels, 4]: red, green, blue and the alpha logit; α is the softmax over layers.
    """
    alpha = torch.softmax(output[..., 3], dim=0)
    return (alpha[..., None] * output[..., :3]).sum(dim=0)


def logit_gradient(colors: Tensor, alpha: Tensor, slope: Tensor) -> Tensor:
    """Gradient of the loss with respect to the alpha logits, αᵢ ⟨slope, cᵢ - ŷ⟩, [layers, pixels].

    colors: [layers, pixels, 3].  alpha: [layers, pixels], sums to 1 over the layers.
    slope: [pixels, 3], gradient of the loss with respect to the blended color ŷ = Σ αᵢ cᵢ.
    """
    blended = (alpha[..., None] * colors).sum(dim=0)
    return alpha * (slope * (colors - blended)).sum(dim=-1)


def object_iou(alpha: Tensor, mask: Tensor) -> float:
    """Largest IoU of the object's mask with any layer's; a layer is visible where its alpha exceeds 1/2.

    alpha: [layers, time, height, width].  mask: bool [time, height, width].
    """
    return match_layers(alpha > 0.5, mask[None]).iou


def alone_db(color: Tensor, alpha: Tensor, frames: Tensor) -> float:
    """PSNR of one layer's own color where its alpha exceeds 1/2 [dB]; NaN if it does so nowhere.

    Measures how well a layer alone explains the pixels that it shows, pooled over all frames because a
    frame may have none of them.
    color: uint8 [time, height, width, 3].  alpha: [time, height, width].  frames: uint8, same shape as color.
    """
    own = alpha > 0.5
    error = (color[own].double() - frames[own].double()).square().mean()
    return float(10 * torch.log10(255**2 / error))
