"""The last good state of a training, and the way back to it when its numbers run away.

A training asks whether it is well at every report, which comes after a fixed number of steps, and in between
about three times a second.  A look in between finds nothing that the report would not: what is not finite
stays so, and a sum of errors only grows.  So the clock decides when a fault is seen, and nothing else.

The way back leads to the last report.  The first time, the same steps are made again: a fault of the machine
does not come twice, and the result is then that of a training without it, to the last bit.  What comes twice
is due to the training, and from there on it learns at a tenth of the rate.
"""

import logging
import math
import time
from typing import Any

import torch
from torch import Tensor

from coordflow_mini.ops import distributed
from coordflow_mini.ops.states import copied

__all__ = ["LOWERED", "DivergenceError", "Guard", "is_finite"]

_log = logging.getLogger("coordflow_mini")

_PAUSE = 0.3  # seconds between two looks, less than 1 also where steps become three times as slow in between
LOWERED = 3  # times that the rate is lowered before training is given up


class DivergenceError(RuntimeError):
    """Training ran away, also at lower learning rates; the message names the cure.

    what: the message without the cure.  reached: the `FitResult` of the last good state, if a fit made it.
    """

    def __init__(self, what: str, cure: str = ""):
        super().__init__(f"{what}; {cure}" if cure else what)
        self.what = what
        self.reached: Any = None


class Guard:
    """Knows the way back of one training.

    lowered: how many times the learning rate was, by a factor of ten; a part of the training's state.
    """

    def __init__(self) -> None:
        self.lowered = 0
        self._good: dict[str, Any] = {}
        self._again = False  # the steps after the good state have been made twice
        self._every, self._steps, self._looked = 1, 0, time.monotonic()

    @property
    def share(self) -> float:
        """What is left of the learning rate: exactly 1 where nothing has happened."""
        return 0.1**self.lowered

    @property
    def good(self) -> dict[str, Any]:
        """The last good state; not to be changed."""
        return self._good

    def keep(self, state: dict[str, Any]) -> None:
        """This state is good: remember it."""
        self._good, self._again = copied(state), False
        self._steps, self._looked = 0, time.monotonic()  # to know that, somebody has looked

    def due(self) -> bool:
        """Called after every step: whether it is time to look.  All processes of a job agree."""
        self._steps += 1
        if self._steps < self._every:
            return False
        now = time.monotonic()
        fitting = distributed.agreed(int(self._steps * _PAUSE / max(now - self._looked, 1e-6)))
        self._every = max(1, min(2 * self._every, fitting))
        if fitting >= 2 * self._steps:  # it is not even half the time
            return False
        self._steps, self._looked = 0, now
        return True

    def back(self, stage: str, where: str, reason: str, rate: float, cure: str) -> dict[str, Any]:
        """The good state to go on from; one line of warning says so.  Raises DivergenceError in the end.

        where: "step 73 of 1,200".  rate: the learning rate that was asked for.
        """
        if self._again and self.lowered == LOWERED:
            raise DivergenceError(
                f"{stage} diverged at {where} ({reason}), also at learning rates down to "
                f"{self.share * rate:g}",
                cure,
            )
        self.lowered += self._again
        how = f"on with the learning rate {self.share * rate:g}" if self._again else "once more"
        self._again = True
        if distributed.rank() == 0:
            _log.warning("%s: %s at %s; back to the last good state and %s", stage, reason, where, how)
        return {**self.good, "lowered": self.lowered}


def is_finite(value: Any) -> bool:
    """Whether all floating-point numbers of a state are finite, in tensors, lists and dicts."""
    numbers = _numbers(value)
    plain = all(math.isfinite(number) for number in numbers if isinstance(number, float))
    tensors = [number for number in numbers if isinstance(number, Tensor) and number.numel()]
    if not plain or not tensors:
        return plain
    largest: list[Tensor] = []
    for device in {tensor.device for tensor in tensors}:
        largest += torch._foreach_norm([t for t in tensors if t.device == device], math.inf)
    place = max((tensor.device for tensor in largest), key=lambda device: device.type != "cpu")
    return bool(torch.stack([tensor.to(place) for tensor in largest]).isfinite().all())  # one wait for a GPU


def _numbers(value: Any) -> list[Any]:
    """The floating-point tensors and the floats of a state."""
    if isinstance(value, Tensor):
        return [value.detach()] if value.is_floating_point() else []
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, (list, tuple)):
        return [value] if isinstance(value, float) else []
    return [number for inner in value for number in _numbers(inner)]
