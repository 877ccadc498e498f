"""Examiners of chapter 01, images as functions."""

import math
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from coordflow_mini.course.exercises.examiner import Mistake, answer, close, diagnose, exercise
from coordflow_mini.course.lesson import images
from coordflow_mini.show.figure import Pixels


@exercise(chapter=1, stand_in=images.psnr)
def psnr(theirs: Any) -> None:
    """PSNR of two 8-bit pictures [dB]."""
    first, second = _two_pictures()
    found = _number(theirs, first, second)
    diagnose(
        found,
        images.psnr(first, second),
        _wrong_psnrs(first, second),
        otherwise=f"Your result is {float(found):.4g} dB, expected {images.psnr(first, second):.4g} dB. Go "
        "step by step: differences, their squares, the mean of all squares, then 10 log10(255² / mean).",
    )


def _two_pictures() -> tuple[Pixels, Pixels]:
    """Two pictures up to 28 levels apart, differently in each channel and row; neither reaches 255."""
    rows, columns, channels = np.meshgrid(range(6), range(9), range(3), indexing="ij")
    first = 40 + 21 * rows + 9 * columns + 5 * channels
    apart = (7 * rows + 5 * columns + 11 * channels) % 37 - 18 + 2 * rows * (channels - 1)
    return first.astype(np.uint8), (first + apart).astype(np.uint8)


def _decibels(ratio: Any) -> Any:
    return 10 * np.log10(ratio)


def _wrong_psnrs(first: Pixels, second: Pixels) -> dict[str, Any]:
    """Results of typical mistakes."""
    apart = first.astype(float) - second
    error, wrapped = np.mean(apart**2), first - second
    rows, channels = np.mean(apart**2, axis=(1, 2)), np.mean(apart**2, axis=(0, 1))
    return {
        "Your 8-bit numbers wrap around: in uint8, 3 - 5 is 254, and squares are never above 255. Convert "
        "with astype(float) before you subtract.": _decibels(255**2 / np.mean(wrapped**2)),
        "Your squares are right, but not the differences: 3 - 5 is 254 in uint8, which has no negative "
        "numbers. Convert the pictures before you subtract.": _decibels(
            255**2 / np.mean(wrapped.astype(float) ** 2)
        ),
        "Your peak is 1, but these pictures run from 0 to 255: put 255² above the mean.": _decibels(
            1 / error
        ),
        "You divide the pictures by 255 and still use the peak 255. Do one or the other.": _decibels(
            255**4 / error
        ),
        "Your peak is the largest value in the picture. Use 255 for any 8-bit picture, or a dark picture "
        "would be measured differently.": _decibels(float(first.max()) ** 2 / error),
        "You take the natural logarithm. Decibels use log10.": 10 * math.log(255**2 / error),
        "You forget the factor 10: these are bels, not decibels.": math.log10(255**2 / error),
        "You square the peak and use the factor 20. Use 20 log10(255 / root of the mean) or "
        "10 log10(255² / mean).": 20 * math.log10(255**2 / error),
        "You forget to square the peak: the mean below is one of squares, so use 255² above.": _decibels(
            255 / error
        ),
        "Your fraction is inverted: a smaller error must give more decibels.": _decibels(error / 255**2),
        "You take the mean of absolute differences; PSNR uses the mean of squares.": _decibels(
            255**2 / np.mean(abs(apart))
        ),
        "You take the root of the mean square, but 10 log10 needs the mean square itself.": _decibels(
            255**2 / np.sqrt(error)
        ),
        "You sum the squares; PSNR uses their mean, or large pictures would look worse.": _decibels(
            255**2 / np.sum(apart**2)
        ),
        "You average one PSNR per color channel. Take the mean of all squares first, then the "
        "logarithm, once.": np.mean(_decibels(255**2 / channels)),
        "You average one PSNR per row: metrics.psnr_db expects a clip, and took the picture's rows for "
        "frames. Take the mean of all squares, then the logarithm.": np.mean(_decibels(255**2 / rows)),
    }


def _number(theirs: Any, *arguments: Any) -> Tensor:
    """Result of the learner's function, which must be one number."""
    found = answer(theirs, *arguments)
    if found.numel() != 1:
        raise Mistake(
            f"Your function returns {found.numel()} numbers, of shape {list(found.shape)}; return one."
        )
    return found.reshape(())


@exercise(chapter=1, stand_in=images.count_weights)
def count_weights(theirs: Any) -> None:
    """Number of weights and biases of a perceptron."""
    sizes = [3, 7, 5, 4]
    pairs = list(pairwise(sizes))
    weights = sum(a * b for a, b in pairs)
    found = _number(theirs, sizes)
    diagnose(
        found,
        images.count_weights(sizes),
        {
            "You forget the biases: each neuron adds one number of its own to its weighted sum.": weights,
            "You count one bias per layer; there is one per neuron.": weights + len(pairs),
            "You count biases of the inputs: inputs are not computed, so only the layers after them "
            "have biases.": weights + sum(sizes),
            "You count one bias per input of a layer; there is one per output.": sum(
                a * (b + 1) for a, b in pairs
            ),
            "You count neurons. Each neuron has one weight per input, and a bias.": sum(sizes),
            "You count the neurons of the layers, which are the biases. Add one weight for each neuron "
            "and input.": sum(sizes[1:]),
            "You leave out the last layer: the outputs have weights and biases, too.": images.count_weights(
                sizes[:-1]
            ),
            "You leave out the first layer, from the inputs to the first hidden layer.": images.count_weights(
                sizes[1:]
            ),
            "You multiply all sizes together; only neighboring layers are connected.": math.prod(sizes),
        },
        otherwise=f"For sizes {sizes} your result is {float(found):g}, expected "
        f"{images.count_weights(sizes)}. Go layer by layer, each with its inputs and outputs.",
    )
    other = [2, 6, 6, 6, 3]
    diagnose(
        _number(theirs, other),
        images.count_weights(other),
        otherwise=f"Right for sizes {sizes}, but not for {other}: it must work for any number of layers.",
    )


@exercise(chapter=1, stand_in=images.features)
def features(theirs: Any) -> None:
    """Sines and cosines of plane waves, given in half-waves per unit."""
    points = torch.tensor([[0.31, -0.42], [-0.77, 0.13], [0.05, 0.58], [0.9, 0.66]])
    waves = torch.tensor([[1.0, -0.6, 2.2], [0.4, 1.7, -1.3]])
    found = answer(theirs, points, waves)
    _check_feature_shape(found)
    diagnose(
        found,
        images.features(points, waves),
        _wrong_features(points, waves),
        otherwise="Your numbers are wrong. For one point and one wave, the phase is π(fx x + fy y); "
        "return the "
        "sines of all waves first, then their cosines.",
    )


def _check_feature_shape(found: Tensor) -> None:
    """Diagnose a wrong shape: 4 points and 3 waves should give [4, 6]."""
    reasons = {
        (4, 3): "you return only sines or only cosines; return both, side by side",
        (4, 12): "you take sines of x and y separately. A plane wave has one phase: add fx x + fy y first",
        (4, 2): "you sum over the waves; each wave is a feature of its own",
        (8, 3): "you stack sines and cosines as additional points; put them side by side, with dim=-1",
        (2, 4, 3): "use torch.cat with dim=-1 to put sines and cosines side by side, not torch.stack",
        (4, 3, 2): "use torch.cat with dim=-1 to put sines and cosines side by side, not torch.stack",
        (4, 2, 3): "use torch.cat with dim=-1 to put sines and cosines side by side, not torch.stack",
    }
    shape = tuple(found.shape)
    if shape in reasons:
        raise Mistake(f"Your result has the shape {list(shape)}, expected [4, 6]: {reasons[shape]}.")
    if shape != (4, 6):
        raise Mistake(f"For 4 points and 3 waves your result has the shape {list(shape)}, expected [4, 6].")


def _wrong_features(points: Tensor, waves: Tensor) -> dict[str, Tensor]:
    """Results of typical mistakes."""
    turns = points @ waves

    def both(phase: Tensor) -> Tensor:
        return torch.cat([torch.sin(phase), torch.cos(phase)], dim=-1)

    x, y = (math.pi * points[:, axis, None] * waves[axis] for axis in (0, 1))
    right = both(math.pi * turns)
    sines, cosines = right.chunk(2, dim=-1)
    return {
        "You forget π: waves are given in half-waves per unit, and one half-wave is π radians.": both(turns),
        "You use 2π; these are *half*-waves per unit, and one half-wave is π radians.": both(
            2 * math.pi * turns
        ),
        "You multiply by 180 instead of π: torch.sin expects radians.": both(180 * turns),
        "Your cosines come first. The order matters to trained networks: all sines, then all "
        "cosines.": torch.cat([cosines, sines], dim=-1),
        "You return the sines twice.": torch.cat([sines, sines], dim=-1),
        "You return the cosines twice.": torch.cat([cosines, cosines], dim=-1),
        "You put sine and cosine of each wave next to each other; return all sines, then all "
        "cosines.": torch.stack([sines, cosines], dim=-1).flatten(1),
        "You add the sines of x and y. A plane wave is one sine of one phase: add fx x + fy y "
        "first.": torch.cat([x.sin() + y.sin(), x.cos() + y.cos()], dim=-1),
        "You multiply the sines of x and y. A plane wave is one sine of one phase: add fx x + fy y "
        "first.": torch.cat([x.sin() * y.sin(), x.cos() * y.cos()], dim=-1),
        "You have x and y swapped: the first row of waves belongs to x.": both(
            math.pi * points.flip(-1) @ waves
        ),
        "Your waves ignore y: the phase is π(fx x + fy y).": both(x),
    }


@exercise(chapter=1, stand_in=images.sine_layer)
def sine_layer(theirs: Any) -> None:
    """A SIREN layer: sin(factor (inputs W + b))."""
    inputs = torch.tensor([[0.2, -0.5, 0.7], [0.9, 0.3, -0.1]])
    weight = torch.tensor([[0.11, -0.2, 0.05, 0.3], [0.02, 0.4, -0.13, 0.21], [-0.3, 0.08, 0.17, 0.1]])
    bias, factor = torch.tensor([0.1, -0.06, 0.04, 0.09]), 7.0
    found = answer(theirs, inputs, weight, bias, factor, shape=(2, 4))
    summed = inputs @ weight
    diagnose(
        found,
        images.sine_layer(inputs, weight, bias, factor),
        {
            "Your factor leaves out the bias: it multiplies the whole weighted sum, bias "
            "included.": torch.sin(factor * summed + bias),
            "You leave out the factor: it multiplies the weighted sum inside the sine.": torch.sin(
                summed + bias
            ),
            "You forget the bias.": torch.sin(factor * summed),
            "Your factor is outside the sine, where it makes the wave taller; inside, it makes it "
            "faster.": factor * torch.sin(summed + bias),
            "You add the bias after the sine; it belongs to the weighted sum inside.": torch.sin(
                factor * summed
            )
            + bias,
            "You take the sine of the inputs. First the weighted sum, then the sine.": torch.sin(
                factor * inputs
            )
            @ weight
            + bias,
            "You always multiply by 30; use the argument `factor`.": torch.sin(30 * (summed + bias)),
            "You take the cosine.": torch.cos(factor * (summed + bias)),
        },
        otherwise="Your numbers are wrong. Three steps: the weighted sum inputs @ weight + bias, times the "
        "factor, then the sine.",
    )
    if not close(answer(theirs, inputs, weight, bias), images.sine_layer(inputs, weight, bias)):
        raise Mistake("Right for a given factor, but the default should be 30: keep factor=30.0.")


NONE, ONE_WAY, GOOD, FAST = "no encoding", "waves in x only", "waves up to 32", "waves up to 128"
ENCODINGS = dict(zip("ABCD", images.scrambled([NONE, ONE_WAY, GOOD, FAST]), strict=True))


@exercise(chapter=1, stand_in=ENCODINGS)
def which_encoding(theirs: Any) -> None:
    """The encoding behind each picture."""
    if not isinstance(theirs, dict) or theirs.keys() != ENCODINGS.keys():
        raise Mistake('Your answer must look like {"A": "...", "B": "...", "C": "...", "D": "..."}.')
    if ... in theirs.values():
        raise Mistake("Replace all dots by encodings.")
    known = ", ".join(map(repr, sorted(ENCODINGS.values())))
    for encoding in theirs.values():
        if encoding not in ENCODINGS.values():
            raise Mistake(f"{str(encoding)!r} is not one of the four encodings: {known}.")
    if len(set(theirs.values())) < len(ENCODINGS):
        raise Mistake("Each encoding made one picture; use each of them once.")
    chosen = {encoding: ENCODINGS[letter] for letter, encoding in theirs.items()}  # chosen -> true
    if chosen[ONE_WAY] != ONE_WAY:
        raise Mistake(
            "One picture does not change at all from top to bottom. Which input is missing for such a "
            "picture?"
        )
    if chosen[NONE] == FAST:
        raise Mistake(
            "You take the noisy picture for the one without an encoding. Noise needs fast waves; without "
            "them, only a blur is left."
        )
    if chosen[FAST] == GOOD:
        raise Mistake(
            "Two pictures get the pixels right, and you have them swapped: the faster the waves, the more "
            "they can do *between* the pixels."
        )
    if chosen != {encoding: encoding for encoding in chosen}:
        raise Mistake("Look for the blurred picture: without fast waves no edge gets sharp.")
