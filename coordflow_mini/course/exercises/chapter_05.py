"""Examiners of chapter 05, two layers and alpha."""

from typing import Any

import torch
from torch import Tensor

from coordflow_mini.course.exercises.examiner import Mistake, answer, close, diagnose, exercise
from coordflow_mini.course.lesson import layers


def _output() -> Tensor:
    """Outputs of three networks at five pixels, [3, 5, 4]: all different, colors in [0, 1]."""
    numbers = torch.sin(1.9 * torch.arange(60) + 0.4).view(3, 5, 4)
    return torch.cat([0.5 + 0.4 * numbers[..., :3], 2 * numbers[..., 3:]], dim=-1)


@exercise(chapter=5, stand_in=layers.blend)
def blend(theirs: Any) -> None:
    """Colors of pixels, blended by a softmax over the layers."""
    output = _output()
    colors, logits = output[..., :3], output[..., 3]
    alpha = torch.softmax(logits, dim=0)
    found = answer(theirs, output)
    _check_blend_shape(found, colors, alpha)

    def weighted(alpha: Tensor, of: Tensor = colors) -> Tensor:
        return (alpha[..., None] * of).sum(dim=0)

    diagnose(
        found,
        weighted(alpha),
        {
            "Your softmax runs over the pixels: the shares of one layer in all pixels sum to 1. Layers "
            "compete for a pixel, pixels do not compete for a layer: take the dimension of the "
            "layers.": weighted(torch.softmax(logits, dim=1)),
            "You put the colors through a softmax as well. Colors are averaged; only the logits "
            "become shares.": weighted(alpha, torch.softmax(output, dim=0)[..., :3]),
            "You put the colors through a softmax over red, green and blue. Leave colors as they "
            "are.": weighted(alpha, torch.softmax(colors, dim=-1)),
            "Your shares ignore the logits: this is the plain average of the layers.": colors.mean(0),
            "You weight by the logits themselves. They may be negative and sum to anything; a softmax "
            "turns them into shares.": weighted(logits),
            "You take a sigmoid of each logit. Then shares are independent of each other and do not sum "
            "to 1.": weighted(torch.sigmoid(logits)),
            "Your weights are exp(logit): all positive, but they do not sum to 1 yet. Divide by their "
            "sum.": weighted(logits.exp()),
            "You show only the layer with the largest logit. That is a hard mask, without soft edges and "
            "without a gradient for the logits.": weighted(
                torch.nn.functional.one_hot(logits.argmax(0), 3).T.to(colors)
            ),
        },
        otherwise="The colors are wrong. Two steps: shares, a softmax of the logits over the layers; "
        "then the "
        "sum over the layers of share times color.",
    )
    _check_large_logits(theirs)


def _check_blend_shape(found: Tensor, colors: Tensor, alpha: Tensor) -> None:
    """Diagnose any shape other than [5, 3], and a sum over layers before the weighting."""
    if tuple(found.shape) == (5, 4):
        raise Mistake(
            "Your result is [pixels, 4]: the logit was blended as if it were a color. Only the first three "
            "numbers of each layer are its color."
        )
    if close(found, colors.sum(0)) or close(found, alpha[..., None] * colors.sum(0)):
        raise Mistake(
            "Your alpha comes after the blending: you sum the colors first and weight the sum. Weight each "
            "layer's color by its own alpha, then sum."
        )
    if tuple(found.shape) == (3, 5, 3):
        raise Mistake("Your result still has the layers, [layers, pixels, 3]. Sum over dim 0.")
    if tuple(found.shape) != (5, 3):
        raise Mistake(f"Your result has the shape {list(found.shape)}, expected [5, 3].")


def _check_large_logits(theirs: Any) -> None:
    large = torch.tensor([[[0.2, 0.4, 0.6, 200.0]], [[0.8, 0.1, 0.3, 100.0]]])
    try:
        found = answer(theirs, large)
    except Mistake as mistake:
        raise Mistake(
            "Right for small logits, but exp overflows for a logit of 200. Subtract the largest logit "
            f"first (the shares stay the same), or use torch.softmax. ({mistake})"
        ) from None
    if not close(found, layers.blend(large)):
        raise Mistake("Right for small logits, but not for logits of 200 and 100.")


@exercise(chapter=5, stand_in=layers.logit_gradient)
def logit_gradient(theirs: Any) -> None:
    """Gradient of the loss with respect to the alpha logits."""
    output = _output()
    colors, alpha = output[..., :3], torch.softmax(output[..., 3], dim=0)
    slope = torch.cos(1.3 * torch.arange(15)).view(5, 3)
    found = answer(theirs, colors, alpha, slope)
    if tuple(found.shape) == (3, 5, 3):
        raise Mistake(
            "Your result is [layers, pixels, 3]. A logit is one number per layer and pixel, and changes all "
            "three channels at once: sum over them."
        )
    if tuple(found.shape) != (3, 5):
        raise Mistake(f"Your result has the shape {list(found.shape)}, expected [3, 5].")
    blended = (alpha[..., None] * colors).sum(0)

    def dot(values: Tensor) -> Tensor:
        return (slope * values).sum(-1)

    diagnose(
        found,
        alpha * dot(colors - blended),
        {
            "The αᵢ is missing: this is ⟨slope, cᵢ - ŷ⟩, as if every layer were fully visible. A logit "
            "changes the blend by αᵢ (cᵢ - ŷ).": dot(colors - blended),
            "You forget what the other layers lose. If one share grows, all others shrink, so the factor is "
            "not cᵢ but cᵢ - ŷ.": alpha * dot(colors),
            "The sign is wrong: towards cᵢ is cᵢ - ŷ, not ŷ - cᵢ.": alpha * dot(blended - colors),
            "This is the gradient of the shares, ⟨slope, cᵢ⟩. The softmax stands between logit and "
            "share.": dot(colors),
            "You let αᵢ change by αᵢ (1 - αᵢ) but leave the other shares alone. The softmax changes them, "
            "too.": alpha * (1 - alpha) * dot(colors),
            "There is one factor αᵢ too many.": alpha**2 * dot(colors - blended),
            "You average over the channels; the chain rule sums over them.": alpha
            * dot(colors - blended)
            / 3,
            "Your ŷ is the plain average of the layers. Use the blend, each color weighted by its "
            "share.": alpha * dot(colors - colors.mean(0)),
        },
        otherwise="The gradient is wrong. First the blend ŷ = Σ αᵢ cᵢ; then, for each layer, αᵢ times "
        "the sum over the channels of slope · (cᵢ - ŷ).",
    )


def _alphas() -> tuple[Tensor, Tensor]:
    """Alphas [3, 2, 6, 10] of three layers, and the mask of an object that layer 2 roughly matches."""
    row, column = torch.arange(6.0)[:, None], torch.arange(10.0)[None]
    logits = torch.stack(
        [
            torch.stack([3 - column + row, 2.5 - column + 0 * row]),
            torch.stack([column - 7 + 0 * row, column - 7.4 - 0.2 * row]),
            torch.stack([2 - (column - 5).abs() - (row - 3).abs() / 2] * 2),
        ]
    )
    mask = ((column - 4.2).abs() + (row - 2.6).abs() / 2 < 2.7).expand(2, 6, 10).clone()
    mask[1, 0] = True
    return torch.softmax(logits, dim=0), mask


@exercise(chapter=5, stand_in=layers.object_iou)
def object_iou(theirs: Any) -> None:
    """IoU of an object with the layer that matches it best."""
    alpha, mask = _alphas()
    for order in ([0, 1, 2], [2, 0, 1], [1, 2, 0]):  # the object is layer 2, then 0, then 1
        found = answer(theirs, alpha[order], mask, shape=())
        _diagnose_iou(found, alpha[order], mask, player=order.index(2))


def _diagnose_iou(found: Tensor, alpha: Tensor, mask: Tensor, player: int) -> None:
    seen = alpha > 0.5
    both, either = (seen & mask).sum((1, 2, 3)), (seen | mask).sum((1, 2, 3))
    overlaps = both / either
    alike = (seen == mask).double().mean((1, 2, 3))
    soft = (alpha * mask).sum((1, 2, 3)) / (alpha + mask - alpha * mask).sum((1, 2, 3))
    per_frame = ((seen & mask).sum((2, 3)) / (seen | mask).sum((2, 3))).mean(1)
    suspects = {
        f"You always take layer {layer} for the object. Any layer may have become the object: try each one "
        "and keep the best.": overlaps[layer]
        for layer in range(len(alpha))
        if layer != player
    }
    suspects |= {
        "You average over the layers. Only one of them is the object: keep the best.": overlaps.mean(),
        "You take the worst layer; keep the best.": overlaps.min(),
        "You count all pixels that agree, background included. An empty mask would score well, too; IoU "
        "ignores pixels in neither mask.": alike.max(),
        "You divide by the object's pixels only. A layer that is visible everywhere would get 1: divide by "
        "the union.": (both / mask.sum()).max(),
        "You divide by the layer's pixels only. A layer that is visible in one pixel would get 1: divide by "
        "the union.": (both / seen.sum((1, 2, 3))).max(),
        "This is twice the intersection over the sum of both areas (the Dice score). Divide the intersection "
        "by the union.": (2 * both / (seen.sum((1, 2, 3)) + mask.sum())).max(),
        "You compare the alphas themselves; first decide where a layer is visible: alpha > 0.5.": soft.max(),
        "You average one IoU per frame. Count over all frames at once, or a frame with a small object would "
        "weigh as much as one with a large object.": per_frame.max(),
        "You count pixels; divide by the pixels of the union.": both.max(),
    }
    diagnose(
        found,
        overlaps.max(),
        suspects,
        otherwise=f"You get {float(found):.3f}, expected {float(overlaps.max()):.3f}. For each layer: pixels "
        "in both masks, divided by pixels in at least one; then the largest.",
    )


@exercise(chapter=5, stand_in=layers.alone_db)
def alone_db(theirs: Any) -> None:
    """PSNR of a layer on its own, where it is visible."""
    place = torch.arange(360).view(2, 6, 10, 3)
    frames = (127 + 90 * torch.sin(place / 7)).to(torch.uint8)
    off = (9 * torch.sin(place / 3.1) - 40 * torch.cos((place // 3 + 4) / 11).clamp(max=0)).round()
    color = (frames + off).clamp(0, 255).to(torch.uint8)
    alpha = 0.5 + 0.49 * torch.cos(torch.arange(120) / 11).view(2, 6, 10)
    own, error = alpha > 0.5, (color.double() - frames.double()).square()
    wrapped = (color - frames).double().square()

    def db(square: Tensor, peak: float = 255) -> Tensor:
        return 10 * torch.log10(peak**2 / square)

    diagnose(
        answer(theirs, color, alpha, frames, shape=()),
        db(error[own].mean()),
        {
            "You use the whole frame. Where another layer is visible, this one may have any color. Only "
            "pixels with alpha > 0.5 count.": db(error.mean()),
            "You sum the errors of the layer's pixels, but divide by all pixels of the clip.": db(
                (error * own[..., None]).sum() / error.numel()
            ),
            "Divide by three times as many: each pixel has three channels.": db(error[own].sum() / own.sum()),
            "You subtract 8-bit numbers, where 3 - 5 is 254. Convert both to float first.": db(
                wrapped[own].mean()
            ),
            "You use the pixels that the layer does not show: alpha < 0.5.": db(error[~own].mean()),
            "You weight the errors by alpha. That is a good idea (chapter 06 trains with it), but here, "
            "count only pixels with alpha > 0.5.": db((alpha[..., None] * error).sum() / alpha.sum() / 3),
            "You multiply the color by alpha before you compare. Use the layer's own color, unweighted.": db(
                ((alpha[..., None] * color.double()) - frames.double()).square()[own].mean()
            ),
            "Your peak is 1, but 8-bit colors go up to 255.": db(error[own].mean(), 1),
            "This is the mean squared error; convert it to decibels.": error[own].mean(),
            "You use the natural logarithm; decibels use log10.": 10 * torch.log(255**2 / error[own].mean()),
        },
        otherwise="Not yet. Pick the pixels with alpha > 0.5 from both clips, take the mean squared "
        "difference, then 10 log10(255² / MSE).",
    )
