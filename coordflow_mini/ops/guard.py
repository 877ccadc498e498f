"""Divergence: seen at the next report, undone by going back to the last good one.

The first time, the same steps are made once more: a fault of the machine does not come twice, and the result
is then, to the bit, that of a run without it.  A fault that comes twice is due to the training, which goes on
from the last good report at a tenth of the learning rate.
"""

import logging
import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from coordflow_mini.ops import distributed
from coordflow_mini.train import Progress, Training

_LOWERED = 3  # times that the learning rate is lowered before training is given up
_log = logging.getLogger("coordflow_mini")


class DivergenceError(RuntimeError):
    """Training diverged, at lower learning rates too; the message names the cure.

    what: the message without the cure.  reached: the `FitResult` of the last good report of a fit.
    """

    def __init__(self, what: str, cure: str = ""):
        super().__init__(f"{what}; {cure}" if cure else what)
        self.what = what
        self.reached: Any = None


class Guard:
    """Passes on good reports only; a bad one leads back to the last good one.  Raises DivergenceError.

    Ctrl-C, too, leaves the training in a good state.  good: the last good state.
    """

    def __init__(self) -> None:
        self.good: dict[str, Any] = {}

    def __call__(self, training: Training, reports: Iterator[Progress]) -> Iterator[Progress]:
        """The good ones of the reports."""
        self.good, retried = training.state(), False
        try:
            for progress in reports:
                state = training.state()
                fault = _fault(training, state)
                if distributed.anywhere(bool(fault)):
                    self._go_back(training, progress, fault or "in another process", retried)
                    retried = True
                else:
                    self.good, retried = state, False
                    yield progress
        except KeyboardInterrupt:
            if _fault(training, training.state()):
                training.restore(self.good)
            raise

    def _go_back(self, training: Training, progress: Progress, fault: str, retried: bool) -> None:
        lowered = training.lowered + retried
        training.restore(self.good)
        training.lowered = min(lowered, _LOWERED)
        where = f"{progress.stage} diverged at step {progress.step:,} of {progress.steps:,} ({fault})"
        rate = training.rate * 0.1**training.lowered
        if lowered > _LOWERED:
            cure = training.cure.format(training.rate, training.rate / 10)
            raise DivergenceError(f"{where}, even at a learning rate of {rate:g}", cure)
        if distributed.rank() == 0:
            how = f"with a learning rate of {rate:g}" if retried else "once more"
            _log.warning("%s; back to step %d, %s", where, training.step, how)


def _fault(training: Training, state: dict[str, Any]) -> str:
    """Description of a divergence; empty if there is none."""
    error = training.error()
    if not math.isfinite(error):
        return "the squared error is not finite"
    if error > training.limit:
        return f"the squared error rose above {training.limit:.2g}"
    numbers = {name: value for name, value in state.items() if name != "history"}  # only grows
    return "" if is_finite(numbers) else "not all weights are finite"


def is_finite(value: Any) -> bool:
    """True if all floating-point numbers of a state are finite, in tensors, lists and dicts.

    A GPU is waited for once: for sums in float64, which are finite if all their terms are.
    """
    leaves = list(_leaves(value))
    tensors = [leaf for leaf in leaves if isinstance(leaf, Tensor) and leaf.is_floating_point()]
    sums: dict[torch.device, list[Tensor]] = {}
    for tensor in tensors:
        sums.setdefault(tensor.device, []).append(tensor.sum(dtype=torch.float64))
    return all(math.isfinite(leaf) for leaf in leaves if isinstance(leaf, float)) and all(
        bool(torch.stack(some).isfinite().all()) for some in sums.values()
    )


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, (dict, list, tuple)):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _leaves(part)
    else:
        yield value
