"""Tensors <-> integers at a step.

    integers = round(tensor / step),    tensor ≈ integers · step

Steps lie on a grid of eighths of an octave, step(index) = 2^(index / 8).  A step is stored as one small
integer and is the same 64 bits on every machine.  Taught in chapter 08.
"""

from dataclasses import dataclass
from math import ldexp, log2
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:  # integers are read without PyTorch
    from torch import Tensor

FIRST_INDEX, LAST_INDEX = -160, 40  # steps 2^-20 to 2^5
LARGEST = 2**20  # magnitude of integers; beyond it the step is far too small

# 2^(i / 8), correctly rounded.  Constants, because pow may differ between machines.
_OCTAVE = (
    1.0,
    1.0905077326652577,
    1.189207115002721,
    1.2968395546510096,
    1.4142135623730951,
    1.5422108254079407,
    1.681792830507429,
    1.8340080864093424,
)


@dataclass(frozen=True, eq=False)
class QuantizedTensor:
    """A tensor's integers (int32, the tensor's shape) and the index of their step."""

    integers: NDArray[np.int32]
    step_index: int

    @property
    def values(self) -> NDArray[np.float32]:
        """integers · step in float32, rounded once: the weights of a decoder."""
        values: NDArray[np.float32] = self.integers.astype(np.float32) * np.float32(step(self.step_index))
        return values


def step(index: int) -> float:
    """2^(index / 8), bit-identical everywhere.  Raises ValueError outside FIRST_INDEX..LAST_INDEX.

    >>> step(-32), step(4)
    (0.0625, 1.4142135623730951)
    """
    if not FIRST_INDEX <= index <= LAST_INDEX:
        raise ValueError(f"step index must be {FIRST_INDEX}..{LAST_INDEX}, got {index}")
    return ldexp(_OCTAVE[index % 8], index // 8)


def nearest_index(step: float) -> int:
    """Index of the grid's nearest step by ratio, clamped to the ends of the grid.

    >>> nearest_index(0.06), nearest_index(1e-9)
    (-32, -160)
    """
    if not 0 < step < float("inf"):
        raise ValueError(f"step must be positive and finite, got {step}")
    return min(max(round(8 * log2(step)), FIRST_INDEX), LAST_INDEX)


def quantize(tensor: "Tensor | NDArray[np.floating]", step: float) -> NDArray[np.int32]:
    """tensor / step rounded to integers, halves to even, int32 of the same shape.

    Computed in float64 on the CPU, so the result does not depend on the tensor's device.
    Raises ValueError if the tensor is not finite or an integer would exceed `LARGEST`.

    >>> quantize(np.array([0.5, 1.5, -1.24]), step=1.0).tolist()
    [0, 2, -1]
    """
    values = tensor if isinstance(tensor, np.ndarray) else tensor.detach().double().cpu().numpy()
    ratio = np.rint(values.astype(np.float64) / step)
    largest = float(np.abs(ratio).max(initial=0.0))
    if not largest <= LARGEST:
        raise ValueError(
            f"tensor / step must be finite and within +-{LARGEST}, got {largest:g} "
            f"with step {step:g}; use a larger step, or look for the NaN"
        )
    return ratio.astype(np.int32)
