"""Layers and their alphas: what chapter 05 builds and later chapters use."""

import torch
from torch import Tensor

from coordflow_mini.measure.metrics import match_layers

__all__ = ["alone_db", "blend", "logit_gradient", "object_iou"]


def blend(output: Tensor) -> Tensor:
    """Colors of pixels from what every layer's network returns there, [pixels, 3]: Σ αᵢ cᵢ.

    output: [layers, pixels, 4], red, green, blue and the alpha logit; α is the softmax over the layers.
    """
    alpha = torch.softmax(output[..., 3], dim=0)
    return (alpha[..., None] * output[..., :3]).sum(dim=0)


def logit_gradient(colors: Tensor, alpha: Tensor, slope: Tensor) -> Tensor:
    """The loss's gradient with respect to the alpha logits, [layers, pixels]: αᵢ ⟨slope, cᵢ - ŷ⟩.

    colors: [layers, pixels, 3].  alpha: [layers, pixels], sums to 1 over the layers.
    slope: [pixels, 3], the loss's gradient with respect to the blended color ŷ = Σ αᵢ cᵢ.
    """
    blended = (alpha[..., None] * colors).sum(dim=0)
    return alpha * (slope * (colors - blended)).sum(dim=-1)


def object_iou(alpha: Tensor, mask: Tensor) -> float:
    """IoU of the object with the layer that plays it best; a layer is seen where its alpha exceeds 1/2.

    alpha: [layers, time, height, width].  mask: bool [time, height, width].
    """
    return match_layers(alpha > 0.5, mask[None]).iou


def alone_db(color: Tensor, alpha: Tensor, frames: Tensor) -> float:
    """PSNR of one layer's own color where its alpha exceeds 1/2 [dB]; NaN if that is nowhere.

    How well a layer explains, without any other one's help, the pixels that it shows.  Over all its
    pixels at once, not frame by frame: in some frame it may have none.
    color: uint8 [time, height, width, 3].  alpha: [time, height, width].  frames: uint8, as color.
    """
    own = alpha > 0.5
    error = (color[own].double() - frames[own].double()).square().mean()
    return float(10 * torch.log10(255**2 / error))
