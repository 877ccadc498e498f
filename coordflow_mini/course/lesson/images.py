"""Chapter 01: pictures as functions of (x, y)."""

import math
import zlib
from collections.abc import Iterable, Sequence
from itertools import pairwise

import torch
from torch import Tensor

from coordflow_mini.measure.metrics import psnr_db
from coordflow_mini.model import fourier_features
from coordflow_mini.show.figure import Pixels


def psnr(first: Pixels, second: Pixels) -> float:
    """PSNR of two 8-bit pictures, or of any matching parts [dB]; `metrics.psnr_db` compares clips.

    first, second: uint8 [..., 3], same shape.
    """
    return psnr_db(first.reshape(1, -1, 1, 3), second.reshape(1, -1, 1, 3))


def count_weights(sizes: Sequence[int]) -> int:
    """Number of parameters of a perceptron: the weights and biases of all layers.

    sizes: widths of the input, of each hidden layer and of the output.

    >>> count_weights([2, 4, 3])
    27
    """
    return sum((inputs + 1) * outputs for inputs, outputs in pairwise(sizes))


def features(points: Tensor, waves: Tensor) -> Tensor:
    """Sines, then cosines, of plane waves at points, [points, 2 * count].

    points: [points, inputs].  waves: [inputs, count], in half-waves per unit of the input.
    """
    return fourier_features(points, math.pi * waves)


def sine_layer(inputs: Tensor, weight: Tensor, bias: Tensor, factor: float = 30.0) -> Tensor:
    """A SIREN layer (arXiv 2006.09661, section 3.2), [points, out].

    inputs: [points, in].  weight: [in, out].  bias: [out].  factor: the paper's ω₀.
    """
    return torch.sin(factor * (inputs @ weight + bias))


def scrambled(names: Iterable[str]) -> list[str]:
    """The names in a fixed order that reveals nothing about them: sorted by CRC-32."""
    return sorted(names, key=lambda name: zlib.crc32(name.encode()))
