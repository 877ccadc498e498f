"""The loss: named terms, one equation each.  L = L_rec + γ·L_layer (CoordFlow sec. 3)."""

from dataclasses import dataclass

import torch
from torch import Tensor

from coordflow_mini.config import FitConfig
from coordflow_mini.measure.metrics import ms_ssim_loss
from coordflow_mini.model import Blend


@dataclass(frozen=True)
class LossTerms:
    """The loss and what it is made of, scalars; `total` carries the gradient."""

    total: Tensor
    squared: Tensor  # mean squared error of the blend: -10 log10 of it is the PSNR of the batch [dB]
    layer: Tensor


def squared_error(blend: Blend, color: Tensor, weight: Tensor | None = None) -> Tensor:
    """Mean of ‖ŷ - y‖² / 3 over pixels; ŷ = Σ αᵢ cᵢ.

    color: [times, pixels, 3].  weight: [times, pixels], how much each pixel counts (1).
    """
    return _mean((blend.rgb - color).square().mean(-1), weight)


def absolute_error(blend: Blend, color: Tensor, weight: Tensor | None = None) -> Tensor:
    """Mean of |ŷ - y| over pixels and channels."""
    return _mean((blend.rgb - color).abs().mean(-1), weight)


def layer_error(blend: Blend, color: Tensor, weight: Tensor | None = None) -> Tensor:
    """The layer loss, Σᵢ αᵢ ‖cᵢ - y‖² / 3, mean over pixels.

    Each layer pays for its *own* error where it is visible, so a layer cannot hide behind another's
    correction.  It is the soft k-means objective: cᵢ are the centers, αᵢ the assignments, and the
    gradient through αᵢ hands a badly explained pixel to another layer.  Taught in chapter 06.
    """
    errors = (blend.layer_rgb - color).square().mean(-1)  # [layers, times, pixels]
    return _mean((blend.alpha * errors).sum(0), weight)


def structure_loss(blend: Blend, color: Tensor, height: int, width: int) -> Tensor:
    """1 - MS-SSIM of a batch that is whole patches, [patches, height * width, 3]."""
    pictures = [rgb.unflatten(1, (height, width)).permute(0, 3, 1, 2) for rgb in (blend.rgb, color)]
    return ms_ssim_loss(*pictures)


def guide_error(blend: Blend, owner: Tensor, weight: Tensor) -> Tensor:
    """Weighted mean cross-entropy of alpha and the measured owners of the pixels, Σ -w log α_owner / n.

    owner: [times, pixels] int64, numbers of layers.  weight: [times, pixels].
    """
    chosen = torch.gather(blend.alpha, 0, owner[None])[0]
    return -(weight * torch.log(chosen.clamp_min(1e-4))).mean()


def loss_terms(blend: Blend, color: Tensor, config: FitConfig, weight: Tensor | None = None) -> LossTerms:
    """All terms that need single pixels only, weighted by `config`; the structure term is added by `fit`."""
    squared = squared_error(blend, color, weight)
    layer = layer_error(blend, color, weight)
    total = config.squared * squared
    if config.absolute:
        total = total + config.absolute * absolute_error(blend, color, weight)
    if config.gamma and len(blend.alpha) > 1:
        total = total + config.gamma * layer
    if config.flow_start == "measured" and len(blend.alpha) > 1:
        total = total + config.front * blend.alpha[1:].sum(0).mean()
    return LossTerms(total, squared.detach(), layer.detach())


def _mean(error: Tensor, weight: Tensor | None) -> Tensor:
    """Mean over pixels [times, pixels], or the weighted mean."""
    if weight is None:
        return error.mean()
    return (weight * error).sum() / weight.sum().clamp_min(torch.finfo(error.dtype).tiny)
