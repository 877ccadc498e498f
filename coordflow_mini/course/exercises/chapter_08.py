"""Examiners of chapter 08, from weights to bits."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from coordflow_mini.course.exercises.examiner import Mistake, answer, call, close, diagnose, exercise
from coordflow_mini.course.lesson import ladder

INTEGERS = np.array(
    [-1, 0, 0, 2, 0, -1, 1, 0, 0, 5, -1, 0], dtype=np.int32
)  # counts that tell mistakes apart


@exercise(chapter=8, stand_in=ladder.entropy)
def entropy(theirs: Any) -> None:
    """Mean bits per integer, from relative frequencies."""
    right = ladder.entropy(INTEGERS)
    _, counts = np.unique(INTEGERS, return_counts=True)
    share = counts / counts.sum()
    diagnose(
        answer(theirs, INTEGERS, shape=()),
        right,
        {
            "You use the natural logarithm, which gives nats; for bits use the logarithm to base 2, "
            "np.log2.": right * np.log(2),
            "You use the logarithm to base 10. For bits use np.log2.": right * np.log10(2),
            "Your sign is wrong: a share is below 1, so its logarithm is negative, and bits are "
            "-log2(share).": -right,
            "You sum the bits of all integers. Entropy is the mean, bits *per* integer.": right
            * len(INTEGERS),
            "You average over the distinct integers as if all were equally frequent. Weight the bits of "
            "each one by its share.": -np.log2(share).mean(),
            "You sum -log2(share) without weights: a frequent integer must count more.": -(
                np.log2(share)
            ).sum(),
            "You take the logarithm of the number of distinct integers. That is their cost if all are "
            "equally likely; here they are not.": np.log2(len(counts)),
            "You take the logarithm of the counts. Divide them by the number of integers first, which makes "
            "them shares.": -(counts * np.log2(counts)).sum(),
            "You count every integer's share once per occurrence. Sum over the *distinct* integers.": -(
                counts * share * np.log2(share)
            ).sum(),
        },
    )
    if not close(answer(theirs, np.array([0, 1, 0, 1]), shape=()), 1.0):
        raise Mistake("Two equally likely integers cost 1 bit each; your result differs.")
    if not close(answer(theirs, np.array([7, 7, 7]), shape=()), 0.0):
        raise Mistake("If all integers are the same, there is no information: 0 bits.")


def _tensors() -> list[Tensor]:
    """Three tensors of very different magnitude; the extreme value of the last one is negative."""
    wave = torch.arange(1, 13).float()
    return [
        torch.sin(2.3 * wave).view(3, 4),
        0.031 * torch.cos(1.7 * wave[:5])[None],
        6.0 * torch.sin(wave) - 1.3,
    ]


BITS = 5


@exercise(chapter=8, stand_in=ladder.quantize_all)
def quantize_all(theirs: Any) -> None:
    """Integers and step of each tensor."""
    tensors = _tensors()
    found = call(theirs, [tensor.clone() for tensor in tensors], BITS)
    if found is None:
        raise Mistake("Your function returns None. Is the return missing?")
    pairs = _pairs(found, len(tensors))
    right = ladder.quantize_all(tensors, BITS)
    steps = torch.tensor([step for _, step in right], dtype=torch.float64)
    _diagnose_steps(torch.tensor([step for _, step in pairs], dtype=torch.float64), steps, tensors)
    for number, ((integers, _), (wanted, step)) in enumerate(zip(pairs, right, strict=True)):
        if integers.shape != wanted.shape:
            raise Mistake(
                f"Integers have the shape of their tensor, {list(wanted.shape)}; yours have "
                f"{list(integers.shape)}."
            )
        _diagnose_integers(integers, wanted, tensors[number].double().numpy(), step)


def _pairs(found: Any, count: int) -> list[tuple[Any, float]]:
    """Integers and step of each tensor; raises Mistake for an answer of another form."""
    shape = "a list with one pair (integers, step) per tensor"
    try:
        pairs = [(np.asarray(integers), float(step)) for integers, step in found]
    except (TypeError, ValueError, RuntimeError):
        try:  # perhaps pairs in reverse order
            swapped = all(np.ndim(step) == 0 and np.ndim(rest) > 0 for step, rest in found)
        except (TypeError, ValueError):
            swapped = False
        if swapped:
            raise Mistake("Your pairs are (step, integers). The integers come first.") from None
        raise Mistake(f"Return {shape}.") from None
    if len(pairs) != count:
        raise Mistake(f"Return {shape}; you return {len(pairs)} for {count} tensors.")
    if any(integers.dtype.kind not in "iuf" for integers, _ in pairs):
        raise Mistake(f"Return {shape}, all numbers.")
    return pairs


def _diagnose_steps(found: Tensor, right: Tensor, tensors: list[Tensor]) -> None:
    largest = 2 ** (BITS - 1) - 1
    peaks = [float(tensor.abs().max()) for tensor in tensors]

    def steps(make: Any) -> Tensor:
        return torch.tensor([make(peak) for peak in peaks], dtype=torch.float64)

    on_grid = ladder.grid_step
    diagnose(
        found,
        right,
        {
            "You use one step for all tensors, that of the largest. A tensor with small weights is then "
            "rounded to almost nothing: each one needs its own step.": steps(
                lambda _: on_grid(max(peaks) / largest)
            ),
            "You use the exact step. A file stores steps as small integers, so use a step on the grid: "
            "grid_step(...).": steps(lambda peak: peak / largest),
            f"Your integers reach {2**BITS - 1}: positive ones alone would use all the bits. One bit is for "
            "the sign, so the largest integer is 2 ** (bits - 1) - 1.": steps(
                lambda peak: on_grid(peak / (2**BITS - 1))
            ),
            "Your largest integer is 2 ** bits. One bit is for the sign, and the largest integer is "
            "2 ** (bits - 1) - 1.": steps(lambda peak: on_grid(peak / 2**BITS)),
            "You divide by 2 ** (bits - 1). That integer does not fit: the largest one is one less.": steps(
                lambda peak: on_grid(peak / 2 ** (BITS - 1))
            ),
            "You use the largest weight, but ignore the most negative one: in the last tensor the largest "
            "magnitude is below zero. Take abs() before max().": torch.tensor(
                [on_grid(float(tensor.max()) / largest) for tensor in tensors], dtype=torch.float64
            ),
            "You divide by the number of bits. The largest integer with that many bits is "
            "2 ** (bits - 1) - 1.": steps(lambda peak: on_grid(peak / BITS)),
            "Your steps are inverted: the step is the largest weight over the largest integer.": steps(
                lambda peak: on_grid(largest / peak)
            ),
        },
        otherwise=f"The step of the first tensor should be {float(right[0]):.4g}: its largest magnitude, "
        f"{peaks[0]:.3g}, over the largest integer of {BITS} bits, {largest}, on the grid. Yours is "
        f"{float(found[0]):.4g}.",
    )


def _diagnose_integers(found: Any, right: Any, values: Any, step: float) -> None:
    ratio = values / step
    if found.shape == right.shape and np.allclose(found, right * step, atol=1e-6) and not close(found, right):
        raise Mistake(
            "You return the rounded weights. The file stores the integers: drop the final '* step'."
        )
    diagnose(
        found.astype(np.float64),
        right.astype(np.float64),
        {
            "You truncate: conversion to an integer type drops the fraction, so 0.9 becomes 0 and the error "
            "doubles. Round to the nearest integer first.": np.trunc(ratio),
            "You round down. That makes all weights smaller; round to the nearest integer.": np.floor(ratio),
            "You round up. Round to the nearest integer.": np.ceil(ratio),
            "You do not round: w / step is not an integer yet.": ratio,
            "You multiply by the step; the integer is w / step, rounded.": np.rint(values * step),
            "You round before you divide by the step; divide first.": np.rint(values) / step,
            "You drop the sign of the weights.": np.abs(right),
        },
    )


def _coded() -> list[Any]:
    """Integers of two tensors with different histograms."""
    return [INTEGERS.reshape(3, 4), np.array([3, 3, -8, 3, 4, 3, -8], dtype=np.int32)]


@exercise(chapter=8, stand_in=ladder.coded_bits)
def coded_bits(theirs: Any) -> None:
    """Bits of a file: integers at their entropy, steps and tables."""
    tensors = _coded()
    found = answer(lambda *given: theirs(*given), tensors, shape=())
    right, step, line = ladder.coded_bits(tensors), ladder.STEP_BITS, ladder.TABLE_BITS
    lines = [len(np.unique(tensor)) for tensor in tensors]
    payload = sum(tensor.size * ladder.entropy(tensor) for tensor in tensors)
    together = np.concatenate([tensor.ravel() for tensor in tensors])
    mixed = together.size * ladder.entropy(together)
    diagnose(
        found,
        right,
        {
            "You count the integers only. The decoder does not know the tables: without them it cannot read "
            "a single integer. It needs the steps, too.": payload,
            "You forget the tables. What the decoder must know has to be in the file: one row for each "
            "*distinct* integer of each tensor.": payload + step * len(tensors),
            "You forget the steps. Without its step, a tensor's integers mean nothing: one step per "
            "tensor.": payload + line * sum(lines),
            "You count one step for the whole file. Each tensor has its own.": payload
            + step
            + line * sum(lines),
            "You count one table row per tensor. A table has one row per distinct integer.": payload
            + (step + line) * len(tensors),
            "You count a table row for every integer. A table lists each *distinct* integer once; "
            "np.unique finds them.": payload + step * len(tensors) + line * together.size,
            "You sum bits *per integer*. Multiply each entropy by the number of integers.": sum(
                map(ladder.entropy, tensors)
            )
            + step * len(tensors)
            + line * sum(lines),
            "You count the rows of a tensor, len(), instead of its integers, tensor.size.": sum(
                len(tensor) * ladder.entropy(tensor) for tensor in tensors
            )
            + step * len(tensors)
            + line * sum(lines),
            "You merge all tensors into one histogram. Each has its own step, so the same integer means "
            "different things, and each has its own table.": mixed
            + step * len(tensors)
            + line * len(np.unique(together)),
            "You merge all tensors into one histogram with one table. Here each has its own.": mixed
            + step * len(tensors)
            + line * sum(lines),
            "You return bytes. Return bits.": right / 8,
            "You return bits per weight. Return all bits of the file.": right / together.size,
        },
    )


FREQUENCIES = [3, 9, 3, 1]
LOW, WIDTH, SYMBOL = 4_000, 1_003, 2  # 1,003 is no multiple of 16, so the order of operations shows


@exercise(chapter=8, stand_in=ladder.narrow)
def narrow(theirs: Any) -> None:
    """The part of an interval that belongs to a symbol."""
    found = call(theirs, LOW, WIDTH, SYMBOL, list(FREQUENCIES))
    if found is None:
        raise Mistake("Your function returns None. Is the return missing?")
    try:
        low, width = found
        numbers = torch.tensor([float(low), float(width)], dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError):
        raise Mistake("Return two numbers, (low, width).") from None
    _diagnose_interval(numbers)
    if not (isinstance(low, int | np.integer) and isinstance(width, int | np.integer)):
        raise Mistake(_FLOATS)
    huge = 3**120
    if tuple(call(theirs, 0, huge, 1, list(FREQUENCIES))) != ladder.narrow(0, huge, 1, FREQUENCIES):
        raise Mistake(
            "Right for small intervals, wrong for huge ones: somewhere you use a float, which keeps only 53 "
            "bits. Divide with //."
        )


_FLOATS = (
    "You divide with /, which gives floats. They round, and two machines may round differently; then the "
    "decoder reads garbage. Divide integers with //."
)


def _diagnose_interval(found: Tensor) -> None:
    total, own = sum(FREQUENCIES), FREQUENCIES[SYMBOL]
    before, unit = sum(FREQUENCIES[:SYMBOL]), WIDTH // total

    def interval(low: float, width: float) -> Tensor:
        return torch.tensor([low, width], dtype=torch.float64)

    right_low, right_width = LOW + unit * before, unit * own
    diagnose(
        found,
        interval(right_low, right_width),
        {
            "You do not move low. A symbol's part begins where the parts of all symbols before it "
            "end.": interval(LOW, right_width),
            "You forget the old low: the new interval is inside the old one.": interval(
                unit * before, right_width
            ),
            "You keep the width. The interval must shrink to unit · frequency.": interval(right_low, WIDTH),
            _FLOATS: interval(LOW + WIDTH / total * before, WIDTH / total * own),
            "You multiply before you divide. With integers the order matters: first the unit, "
            "width // total, then times a frequency, in the encoder and the decoder alike.": interval(
                LOW + WIDTH * before // total, WIDTH * own // total
            ),
            "You move low with the new width. First compute the unit of the *old* width, then both "
            "numbers.": interval(LOW + right_width // total * before, right_width),
            "Your low includes the symbol's own frequency. It begins after the symbols *before* it: "
            "frequencies[:symbol].": interval(LOW + unit * (before + own), right_width),
            "You move low by the symbol's own frequency. Sum the frequencies of the symbols before "
            "it.": interval(LOW + unit * own, right_width),
            "You move low by the symbol instead of by frequencies: the width of a part is proportional to "
            "its frequency.": interval(LOW + unit * SYMBOL, right_width),
            "You divide by the number of symbols. The unit is width // sum(frequencies).": interval(
                LOW + WIDTH // len(FREQUENCIES) * before, WIDTH // len(FREQUENCIES) * own
            ),
            "You return the end of the part. The second number is its width.": interval(
                right_low, right_low + right_width
            ),
            "Your numbers are in the wrong order: low first, then width.": interval(right_width, right_low),
        },
        tolerance=1e-7,
    )
