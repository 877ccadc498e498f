"""Pictures as functions of (x, y): what chapter 01 builds and later chapters use."""

import math
import zlib
from collections.abc import Iterable, Sequence
from itertools import pairwise

import torch
from torch import Tensor

from coordflow_mini.fourier import fourier_features
from coordflow_mini.measure.metrics import psnr_db
from coordflow_mini.show.figure import Pixels

__all__ = ["count_weights", "features", "psnr", "scrambled", "sine_layer"]


def psnr(first: Pixels, second: Pixels) -> float:
    """How alike two 8-bit pictures are [dB]; `metrics.psnr_db` for one picture or any part of one.

    first, second: uint8 arrays of one shape, [..., 3].
    """
    return psnr_db(first.reshape(1, -1, 1, 3), second.reshape(1, -1, 1, 3))


def count_weights(sizes: Sequence[int]) -> int:
    """How many numbers a perceptron has: every layer's weights and biases.

    sizes: of the input, of every hidden layer, of the output.

    >>> count_weights([2, 4, 3])
    27
    """
    return sum((inputs + 1) * outputs for inputs, outputs in pairwise(sizes))


def features(points: Tensor, waves: Tensor) -> Tensor:
    """Sines, then cosines, of plane waves at points, [places, 2 * count].

    points: [places, inputs].  waves: [inputs, count], half-waves per unit of the input.
    """
    return fourier_features(points, math.pi * waves)


def sine_layer(inputs: Tensor, weight: Tensor, bias: Tensor, factor: float = 30.0) -> Tensor:
    """A layer of SIREN (arXiv 2006.09661, section 3.2), [places, out].

    inputs: [places, in].  weight: [in, out].  bias: [out].  factor: the paper's ω₀.
    """
    return torch.sin(factor * (inputs @ weight + bias))


def scrambled(names: Iterable[str]) -> list[str]:
    """The names in an order that is always the same and gives nothing away: that of their CRC-32."""
    return sorted(names, key=lambda name: zlib.crc32(name.encode()))
