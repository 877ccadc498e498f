"""Examiners of chapter 06, the layer loss."""

from typing import Any

import torch
from torch import Tensor

from coordflow_mini.course.exercises.examiner import Mistake, answer, call, close, diagnose, exercise
from coordflow_mini.course.lesson import owners


def _pixels() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Colors [3, 5, 3] of three layers at five pixels, logits and shares [3, 5], true colors [5, 3]."""
    place = torch.arange(45.0).view(3, 5, 3)
    colors = 0.5 + 0.4 * torch.sin(1.7 * place)
    logits = 1.5 * torch.cos(2.3 * torch.arange(15.0)).view(3, 5)
    truth = 0.5 + 0.4 * torch.cos(0.9 * torch.arange(15.0)).view(5, 3)
    return colors, logits, torch.softmax(logits, dim=0), truth


@exercise(chapter=6, stand_in=owners.layer_loss)
def layer_loss(theirs: Any) -> None:
    """Each layer's own error, weighted by its share."""
    colors, logits, alpha, truth = _pixels()
    found = answer(theirs, colors, alpha, truth)
    if tuple(found.shape) == (5,):
        raise Mistake("Your result is one number per pixel; average over the pixels.")
    if tuple(found.shape) != ():
        raise Mistake(f"Your result has the shape {list(found.shape)}, expected one number, a scalar.")
    squares = (colors - truth).square()  # [layers, pixels, 3]
    errors = squares.mean(-1)
    blend = (alpha[..., None] * colors).sum(0)
    per_layer = (alpha * errors).sum(1) / alpha.sum(1)
    right = (alpha * errors).sum(0).mean()
    diagnose(
        found,
        right,
        {
            "Your errors are not weighted: every layer pays for every pixel, visible or not. Multiply each "
            "layer's error by its αᵢ.": errors.sum(0).mean(),
            "Your errors are not weighted, and averaged over the layers: every layer pays for every pixel, "
            "visible or not. Multiply each layer's error by its αᵢ and sum.": errors.mean(),
            "This is the error of the blend, L_rec. Take the error of each layer first, and weight the "
            "errors, not the colors.": (blend - truth).square().mean(),
            "You compare αᵢ cᵢ with y. Weight the error, not the color: αᵢ ‖cᵢ - y‖².": (
                (alpha[..., None] * colors - truth).square().mean(-1).sum(0).mean()
            ),
            "You normalize per layer: each layer's error is divided by the sum of its own alphas, so a layer "
            "visible in ten pixels counts as much as one visible in a thousand. Divide by the number of "
            "pixels.": per_layer.sum(),
            "You normalize per layer, by the sum of its own alphas, and average. Divide by the number of "
            "pixels instead.": per_layer.mean(),
            "You compare each layer with the blend. Compare each layer with the true color y.": (
                alpha * (colors - blend).square().mean(-1)
            )
            .sum(0)
            .mean(),
            "You square the share, too: αᵢ² ‖cᵢ - y‖². The share is a single factor.": (
                (alpha.square() * errors).sum(0).mean()
            ),
            "You sum over the three channels; divide by 3, as the reconstruction loss does.": 3 * right,
            "You sum over the pixels; average over them.": 5 * right,
            "You divide by the number of layers. Shares already sum to 1: sum over the layers.": right / 3,
            "You take absolute values of the differences; square them.": (
                (alpha * (colors - truth).abs().mean(-1)).sum(0).mean()
            ),
        },
        otherwise=f"Your result is {float(found):.4g}, expected {float(right):.4g}. For each layer and pixel "
        "the mean squared difference of the three channels; times αᵢ; the sum over layers; the mean over "
        "pixels.",
    )
    _check_gradient(theirs, colors, logits, truth)


def _check_gradient(theirs: Any, colors: Tensor, logits: Tensor, truth: Tensor) -> None:
    """Check that the gradient reaches colors and shares."""
    colors, logits = colors.clone().requires_grad_(), logits.clone().requires_grad_()
    value = call(lambda *given: theirs(*given), colors, torch.softmax(logits, dim=0), truth)
    if not isinstance(value, Tensor) or not value.requires_grad:
        raise Mistake(
            "Right, but your result carries no gradient. Stay with tensors: no .item(), no .detach(), no "
            "NumPy."
        )
    to_colors, to_logits = torch.autograd.grad(value, (colors, logits), allow_unused=True)
    if to_logits is None or not to_logits.any():
        raise Mistake(
            "The value is right, but you detach alpha: no gradient reaches the shares, so a badly "
            "explained pixel never changes its owner. Do not detach alpha."
        )
    if to_colors is None or not to_colors.any():
        raise Mistake("The value is right, but no gradient reaches the colors. Do not detach them.")


@exercise(chapter=6, stand_in=owners.handover)
def handover(theirs: Any) -> None:
    """Gradient of the layer loss with respect to the alpha logits."""
    colors, _, alpha, truth = _pixels()
    errors = 8 * (colors - truth).square().mean(-1)
    mean = (alpha * errors).sum(0)
    diagnose(
        answer(theirs, alpha, errors, shape=(3, 5)),
        owners.handover(alpha, errors),
        {
            "The αᵢ is missing: this is eᵢ - ē. A layer with a small share gets a small gradient.": errors
            - mean,
            "This is αᵢ eᵢ: each layer is judged by itself. But the shares sum to 1, so a layer is judged "
            "against the others: subtract the pixel's mean error ē.": alpha * errors,
            "This is the gradient of the shares, eᵢ. The softmax stands between logit and share.": errors,
            "The sign is wrong: the loss *grows* with the logit of a layer that is worse than the mean, so "
            "its gradient is positive. (Descent then goes the other way.)": alpha * (mean - errors),
            "Your ē is the plain mean over the layers. Use the mean weighted by shares, Σ αᵢ eᵢ.": alpha
            * (errors - errors.mean(0)),
            "Your ē is a mean over the pixels. Each pixel has its own ē: sum over the layers.": alpha
            * (errors - (alpha * errors).sum(1, keepdim=True)),
            "You let αᵢ change by αᵢ (1 - αᵢ) but leave the other shares alone. The softmax changes them, "
            "too.": alpha * (1 - alpha) * errors,
            "There is one factor αᵢ too many.": alpha.square() * (errors - mean),
        },
        otherwise="The gradient is wrong. First ē = Σ αᵢ eᵢ, one number per pixel; then αᵢ (eᵢ - ē).",
    )


@exercise(chapter=6, stand_in=owners.best_centers)
def best_centers(theirs: Any) -> None:
    """The best centers for given shares."""
    points = torch.tensor([[-7.0, -1.0], [-6.5, -1.5], [4.0, 0.5], [3.0, 2.0], [5.0, -2.0]])
    logits = torch.tensor(
        [[2.0, 1.0, -1.0, -2.0, -0.5], [0.0, -1.0, 0.5, 1.0, 1.5], [-1.0, 0.5, 2.0, 0.3, -2]]
    )
    alpha = torch.softmax(logits, dim=0)
    found = answer(theirs, points, alpha)
    if tuple(found.shape) == (2, 3):
        raise Mistake("Your result is [2, 3], coordinates by centers; return one row per center, [3, 2].")
    if tuple(found.shape) != (3, 2):
        raise Mistake(
            f"Your result has the shape {list(found.shape)}, expected [3, 2]: one point per center."
        )
    hard = torch.nn.functional.one_hot(alpha.argmax(0), 3).T.float()
    diagnose(
        found,
        owners.best_centers(points, alpha),
        {
            "You divide by the number of points. A center that owns a fifth of them would end up five "
            "times too close to 0: divide by the sum of its own shares.": alpha @ points / len(points),
            "You forget to divide: Σ αᵢ v is a sum. Divide by the sum of the center's shares.": alpha
            @ points,
            "Every center is at the mean of all points: weight each point by the center's "
            "share.": points.mean(0).expand(3, 2),
            "You divide by the shares of a point, which sum to 1. Sum over the points, for each "
            "center.": alpha @ points / alpha.sum(0).sum(),
            "You assign each point entirely to the center with the largest share. That is textbook "
            "k-means, but here points are shared: weight by αᵢ.": hard @ points / hard.sum(1, keepdim=True),
            "You weight by αᵢ². The derivative of αᵢ ‖c - v‖² with respect to c has one "
            "αᵢ.": owners.best_centers(points, alpha.square()),
        },
        otherwise="Not yet. For each center: the sum of αᵢ v over all points, divided by the sum of its αᵢ.",
    )


@exercise(chapter=6, stand_in=owners.owner_picture)
def owner_picture(theirs: Any) -> None:
    """Each pixel in the color of its owner."""
    place = torch.arange(3 * 4 * 6 * 3.0).view(3, 4, 6, 3)
    colors = 0.5 + 0.4 * torch.sin(1.3 * place)
    alpha = torch.softmax(2 * torch.cos(2.1 * torch.arange(72.0)).view(3, 4, 6), dim=0)
    found = answer(theirs, colors, alpha)
    if found.shape != (4, 6, 3):
        raise Mistake(
            f"Your result has the shape {list(found.shape)}, expected [4, 6, 3]: one color per pixel. "
            "(layer_rgb[owner] picks a whole picture per pixel.)"
        )
    right = owners.owner_picture(colors, alpha)
    hard = torch.nn.functional.one_hot(alpha.argmax(0), 3).movedim(-1, 0)[..., None]
    diagnose(
        found,
        right,
        {
            "This is the blend. Here, only the layer with the largest share shows the pixel.": (
                alpha[..., None] * colors
            ).sum(0),
            "You multiply the owner's color by its share, which makes the pixel too dark. Use the color "
            "unweighted.": (hard * alpha[..., None] * colors).sum(0),
            "You take the layer with the smallest share.": owners.owner_picture(colors, -alpha),
            "You take the largest color. The owner is the layer with the largest alpha.": colors.amax(0),
            "You take the layer with the largest alpha · color. Only the share decides which layer owns a "
            "pixel.": colors.gather(0, (alpha[..., None] * colors).argmax(0, keepdim=True))[0],
            "You let one layer show the whole picture. Each pixel has its own owner.": colors[
                int(alpha.sum((1, 2)).argmax())
            ],
        },
        otherwise="Not yet. First the owner of each pixel, alpha.argmax(dim=0); then that layer's color "
        "at the "
        "pixel.",
    )


@exercise(chapter=6, stand_in=owners.best_start)
def best_start(theirs: Any) -> None:
    """The best of several short runs."""
    errors = _runs()
    for order in ([6, 0, 1, 2, 3, 4, 5], [6, 3, 4, 0, 5, 2, 1]):
        runs = errors[order]
        found = answer(theirs, runs, 10)
        if found.shape != () or not close(found, found.round()) or not 0 <= int(found) < len(runs):
            raise Mistake(
                "Return one integer, the index of a start; torch.argmin gives it. "
                f"You return {found.flatten()[:4].tolist()}."
            )
        diagnose(
            found,
            owners.best_start(runs, 10),
            {
                "You take the start with the largest error; continue the one with the smallest.": runs[
                    :, -10:
                ]
                .mean(1)
                .argmax(),
                "You use the very last step only. A batch of random pixels may be easy by chance: average "
                "over the last steps.": runs[:, -1].argmin(),
                "You take the start that once had the smallest error. One lucky batch proves nothing: "
                "average "
                "over the last steps.": runs.amin(1).argmin(),
                "You average over the whole run. A run that began badly may have become the best: only "
                "the last steps count.": runs.mean(1).argmin(),
                "You use the first steps instead of the last.": runs[:, :10].mean(1).argmin(),
                "You always take the first start.": 0,
            },
            otherwise=f"You choose start {int(found)}, expected {owners.best_start(runs, 10)}: the smallest "
            "mean of the last 10 steps.",
        )


def _runs() -> Tensor:
    """Errors [7, 40] of seven starts, such that each mistake picks a different one."""
    step = torch.arange(40.0)
    falling = torch.stack(
        [
            0.060 - 0.030 * torch.exp(-step / 10),  # starts best, ends badly
            0.029 + 0.300 * torch.exp(-step / 8),  # the best at the end
            0.036 + 0.010 * torch.exp(-step / 5),  # the best on average
            0.041 + 0.100 * torch.exp(-step / 10),
            0.080 + 0.100 * torch.exp(-step / 10),  # the worst
            0.050 + 0.090 * torch.exp(-step / 10),
            0.055 + 0.080 * torch.exp(-step / 10),
        ]
    )
    errors = falling * (1 + 0.1 * torch.sin(2.6 * step))
    errors[3, 39] = 0.020  # a lucky last batch
    errors[5, 20] = 0.001  # a lucky batch
    return errors
