# ruff: noqa: F811
import math
from collections import Counter

import numpy as np

from coordflow_mini.course.lesson.ladder import STEP_BITS, TABLE_BITS, grid_step
from coordflow_mini.course.lesson.ladder import entropy as right_entropy
from tests.exercises import wrong


def shares(integers):
    return np.unique(integers, return_counts=True)[1] / len(integers)


@wrong(says="natural logarithm")
def entropy(integers):
    "nats"
    p = shares(integers)
    return -(p * np.log(p)).sum()


@wrong(says="base 10")
def entropy(integers):
    "log10"
    p = shares(integers)
    return -(p * np.log10(p)).sum()


@wrong(says="sign is wrong")
def entropy(integers):
    "forgets the minus"
    p = shares(integers)
    return (p * np.log2(p)).sum()


@wrong(says="equally frequent")
def entropy(integers):
    "plain mean over the different integers"
    return np.mean(-np.log2(shares(integers)))


@wrong(says="without weights")
def entropy(integers):
    "sums -log2 p"
    return -np.log2(shares(integers)).sum()


@wrong(says="bits of all integers")
def entropy(integers):
    "total instead of mean"
    counts = Counter(integers.tolist())
    return sum(-n * math.log2(n / len(integers)) for n in counts.values())


@wrong(says="equally likely; here they are not")
def entropy(integers):
    "log of the number of different integers"
    return np.log2(len(set(integers.tolist())))


@wrong(says="logarithm of the counts")
def entropy(integers):
    "counts instead of shares"
    n = np.unique(integers, return_counts=True)[1]
    return -(n * np.log2(n)).sum()


@wrong(says="per occurrence")
def entropy(integers):
    "sums over all integers, weighted twice"
    values = integers.tolist()
    return -sum(values.count(v) / len(values) * math.log2(values.count(v) / len(values)) for v in values)


@wrong(says="return missing")
def entropy(integers):
    "forgets to return"
    np.log2(shares(integers))


def steps_for(tensors, bits):
    return [grid_step(float(tensor.abs().max()) / (2 ** (bits - 1) - 1)) for tensor in tensors]


@wrong(says="truncate")
def quantize_all(tensors, bits):
    "int() instead of round()"
    return [((t / s).int(), s) for t, s in zip(tensors, steps_for(tensors, bits), strict=True)]


@wrong(says="round down")
def quantize_all(tensors, bits):
    "floor"
    return [((t / s).floor().int(), s) for t, s in zip(tensors, steps_for(tensors, bits), strict=True)]


@wrong(says="one step for all tensors")
def quantize_all(tensors, bits):
    "one global step"
    s = grid_step(max(float(t.abs().max()) for t in tensors) / (2 ** (bits - 1) - 1))
    return [((t / s).round().int(), s) for t in tensors]


@wrong(says="positive ones alone")
def quantize_all(tensors, bits):
    "forgets the sign bit"
    steps = [grid_step(float(t.abs().max()) / (2**bits - 1)) for t in tensors]
    return [((t / s).round().int(), s) for t, s in zip(tensors, steps, strict=True)]


@wrong(says="does not fit")
def quantize_all(tensors, bits):
    "one integer too many"
    steps = [grid_step(float(t.abs().max()) / 2 ** (bits - 1)) for t in tensors]
    return [((t / s).round().int(), s) for t, s in zip(tensors, steps, strict=True)]


@wrong(says="Take abs() before max()")
def quantize_all(tensors, bits):
    "max without abs"
    steps = [grid_step(float(t.max()) / (2 ** (bits - 1) - 1)) for t in tensors]
    return [((t / s).round().int(), s) for t, s in zip(tensors, steps, strict=True)]


@wrong(says="grid_step")
def quantize_all(tensors, bits):
    "a step off the grid"
    steps = [float(t.abs().max()) / (2 ** (bits - 1) - 1) for t in tensors]
    return [((t / s).round().int(), s) for t, s in zip(tensors, steps, strict=True)]


@wrong(says="rounded weights")
def quantize_all(tensors, bits):
    "returns weights instead of integers"
    return [((t / s).round() * s, s) for t, s in zip(tensors, steps_for(tensors, bits), strict=True)]


@wrong(says="do not round")
def quantize_all(tensors, bits):
    "forgets to round"
    return [(t / s, s) for t, s in zip(tensors, steps_for(tensors, bits), strict=True)]


@wrong(says="integers come first")
def quantize_all(tensors, bits):
    "step first"
    return [(s, (t / s).round().int()) for t, s in zip(tensors, steps_for(tensors, bits), strict=True)]


@wrong(says="3 tensors")
def quantize_all(tensors, bits):
    "returns inside of the loop"
    for tensor in tensors:
        size = grid_step(float(tensor.abs().max()) / (2 ** (bits - 1) - 1))
        return [((tensor / size).round().int(), size)]
    return None


@wrong(says="integers only")
def coded_bits(tensors):
    "ignores steps and tables"
    return sum(t.size * right_entropy(t) for t in tensors)


@wrong(says="forget the tables")
def coded_bits(tensors):
    "ignores the tables"
    return sum(t.size * right_entropy(t) + STEP_BITS for t in tensors)


@wrong(says="forget the steps")
def coded_bits(tensors):
    "does not store the steps"
    return sum(t.size * right_entropy(t) + TABLE_BITS * len(np.unique(t)) for t in tensors)


@wrong(says="one step for the whole file")
def coded_bits(tensors):
    "one step"
    return STEP_BITS + sum(t.size * right_entropy(t) + TABLE_BITS * len(np.unique(t)) for t in tensors)


@wrong(says="one table row per tensor")
def coded_bits(tensors):
    "one line per tensor"
    return sum(t.size * right_entropy(t) + STEP_BITS + TABLE_BITS for t in tensors)


@wrong(says="for every integer")
def coded_bits(tensors):
    "a line per integer"
    return sum(t.size * (right_entropy(t) + TABLE_BITS) + STEP_BITS for t in tensors)


@wrong(says="Multiply each entropy")
def coded_bits(tensors):
    "adds entropies"
    return sum(right_entropy(t) + STEP_BITS + TABLE_BITS * len(np.unique(t)) for t in tensors)


@wrong(says="len()")
def coded_bits(tensors):
    "len of a matrix"
    return sum(len(t) * right_entropy(t) + STEP_BITS + TABLE_BITS * len(np.unique(t)) for t in tensors)


@wrong(says="one histogram. Each has")
def coded_bits(tensors):
    "one histogram for all tensors"
    everything = np.concatenate([t.ravel() for t in tensors])
    table = TABLE_BITS * len(np.unique(everything))
    return everything.size * right_entropy(everything) + STEP_BITS * len(tensors) + table


@wrong(says="return bytes")
def coded_bits(tensors):
    "bytes"
    return sum(t.size * right_entropy(t) + STEP_BITS + TABLE_BITS * len(np.unique(t)) for t in tensors) / 8


@wrong(says="do not move low")
def narrow(low, width, symbol, frequencies):
    "low stays"
    return low, width // sum(frequencies) * frequencies[symbol]


@wrong(says="gives floats")
def narrow(low, width, symbol, frequencies):
    "true division"
    unit = width / sum(frequencies)
    return low + unit * sum(frequencies[:symbol]), unit * frequencies[symbol]


@wrong(says="multiply before you divide")
def narrow(low, width, symbol, frequencies):
    "multiplies first"
    total = sum(frequencies)
    return low + width * sum(frequencies[:symbol]) // total, width * frequencies[symbol] // total


@wrong(says="with the new width")
def narrow(low, width, symbol, frequencies):
    "shrinks before it moves"
    width = width // sum(frequencies) * frequencies[symbol]
    low = low + width // sum(frequencies) * sum(frequencies[:symbol])
    return low, width


@wrong(says="symbol's own frequency. It begins")
def narrow(low, width, symbol, frequencies):
    "includes the symbol itself"
    unit = width // sum(frequencies)
    return low + unit * sum(frequencies[: symbol + 1]), unit * frequencies[symbol]


@wrong(says="forget the old low")
def narrow(low, width, symbol, frequencies):
    "starts at zero again"
    unit = width // sum(frequencies)
    return unit * sum(frequencies[:symbol]), unit * frequencies[symbol]


@wrong(says="keep the width")
def narrow(low, width, symbol, frequencies):
    "only moves"
    return low + width // sum(frequencies) * sum(frequencies[:symbol]), width


@wrong(says="the end of the part")
def narrow(low, width, symbol, frequencies):
    "low and high"
    unit = width // sum(frequencies)
    start = low + unit * sum(frequencies[:symbol])
    return start, start + unit * frequencies[symbol]


@wrong(says="wrong order: low first")
def narrow(low, width, symbol, frequencies):
    "width first"
    unit = width // sum(frequencies)
    return unit * frequencies[symbol], low + unit * sum(frequencies[:symbol])


@wrong(says="number of symbols")
def narrow(low, width, symbol, frequencies):
    "equal parts"
    unit = width // len(frequencies)
    return low + unit * sum(frequencies[:symbol]), unit * frequencies[symbol]


@wrong(says="53 bits")
def narrow(low, width, symbol, frequencies):
    "a float on the way"
    unit = int(width / sum(frequencies))
    return low + unit * sum(frequencies[:symbol]), unit * frequencies[symbol]


@wrong(says="two numbers")
def narrow(low, width, symbol, frequencies):
    "only low"
    return low + width // sum(frequencies) * sum(frequencies[:symbol])
