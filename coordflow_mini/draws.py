"""Random numbers by a hash of (seed, step, number): the same on every device, in any order.

A PyTorch generator draws other numbers on a GPU than on a CPU, and others again on a larger GPU.  These
depend on nothing else, so unlike machines train on equal batches, and a resumed run has no generator to
restore.  A Weyl sequence goes through the hash lowbias32 (Chris Wellons, "Prospecting for Hash Functions",
2018), in int64, which every device multiplies exactly.
"""

import math
from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import Tensor

Integers = TypeVar("Integers", int, Tensor)

_MASK = 0xFFFFFFFF
_WEYL = 0x9E3779B1  # 2^32 divided by the golden ratio, made odd
_FACTORS = (
    (16, 0x7FEB352D),
    (15, 0x846CA68B - 2**32),
)  # modulo 2^32: int64 holds the products


def hashed(values: Integers) -> Integers:
    """Well-mixed numbers from 0 to 2^32 - 1, one for each of `values` in the same range.

    >>> hashed(1), hashed(2)
    (1753845952, 3507691905)
    """
    for shift, factor in _FACTORS:
        values = ((values ^ (values >> shift)) * factor) & _MASK
    return values ^ (values >> 16)


def key_of(seed: int, step: int) -> int:
    """The key of all numbers of one step.  seed: up to 64 bits.  step: below 2^32."""
    return hashed(hashed(hashed(seed & _MASK) ^ (seed >> 32)) ^ step)


def random_bits(key: int | Tensor, shape: Sequence[int], device: torch.device | str = "cpu") -> Tensor:
    """Random numbers from 0 to 2^32 - 1, int64 of a shape.  key: see `key_of`; a tensor is on the device."""
    numbers = torch.arange(math.prod(shape), device=device).view(*shape)
    return hashed((numbers * _WEYL + key) & _MASK)


def below(bits: Tensor, limit: int | Tensor) -> Tensor:
    """Integers from 0 to limit - 1 made of random bits, int64.  limit: at most 2^31."""
    return (bits * limit) >> 32
