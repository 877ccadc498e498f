"""Fourier features: how a smooth network gets to see fine detail.

A coordinate network alone learns low frequencies first and fine texture hardly at all.  Given the
sines and cosines of its inputs it learns both (Tancik et al., arXiv 2006.10739).  The paper's
summary names no encoding, so this one is our choice.
"""

import math

import torch
from torch import Tensor

__all__ = ["fourier_features", "octave_frequencies", "spiral_frequencies"]


def octave_frequencies(count: int) -> Tensor:
    """Angular frequencies π/2, π, 2π, 4π ... for one input, [1, count] in radians per unit.

    The first is a quarter turn either way over t in [-1, 1]: enough to tell its two ends apart.
    """
    return (math.pi / 2) * 2.0 ** torch.arange(count)[None]


def spiral_frequencies(count: int, lowest: float, highest: float) -> Tensor:
    """Plane-wave vectors in all directions, [2, count] in radians per unit.

    Lengths grow geometrically from `lowest` to `highest` half-waves per unit, directions turn by
    the golden angle: random Fourier features without the randomness, so a decoder needs no seed.
    On clip:bunny they did about as well as axis-aligned octaves (LOG.md); they need no powers of two.
    """
    index = torch.arange(count, dtype=torch.float64)
    length = math.pi * lowest * (highest / lowest) ** (index / max(1, count - 1))
    angle = index * math.pi * (3 - math.sqrt(5))
    return torch.stack([length * torch.cos(angle), length * torch.sin(angle)]).float()


def fourier_features(values: Tensor, frequencies: Tensor) -> Tensor:
    """sin and cos of values @ frequencies, [..., 2 * count].  Taught in chapter 01.

    values: [..., inputs].  frequencies: [inputs, count], radians per unit of the input.
    """
    phase = values @ frequencies
    return torch.cat([torch.sin(phase), torch.cos(phase)], dim=-1)
