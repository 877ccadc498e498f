"""The training loop: a clip in, a fitted model out.

`descend` is the loop, `Training` holds what it works on.  Rollback, checkpoints, Ctrl-C and several processes
wrap the stream of progress from outside, see `Around`; users call `ops.run.fit`, which has them all.
"""

import copy
import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from coordflow_mini.config import FitConfig, ModelConfig
from coordflow_mini.loss import LossTerms
from coordflow_mini.model import CoordFlow
from coordflow_mini.motion.measure import Motion, started
from coordflow_mini.muon import learning_rate, memory, optimizers_for, restore, set_rates, trapezoid
from coordflow_mini.sampling import Sampler, Weights, default_model
from coordflow_mini.video.clip import Video

_GRAY = 0.25  # the largest mean squared error of a gray picture


@dataclass(frozen=True)
class Progress:
    """State of a fit or of fine-tuning at one of its steps."""

    stage: str  # "start 1 of 3", "fit", "fine-tune"
    step: int
    steps: int
    psnr_db: float  # of the pixels seen since the last report
    seconds: float  # since the stage began
    bits_per_weight: float | None = None  # fine-tuning only

    @property
    def seconds_left(self) -> float:
        """Estimate from the mean speed so far [s]."""
        return self.seconds / max(1, self.step) * (self.steps - self.step)


class Training:
    """A training run that can be saved, resumed elsewhere, or rolled back."""

    stage = "fit"
    every = 50  # steps between two reports
    cure = "use a learning rate below {:g}, for example {:g}, another seed, or less width"

    def __init__(self, sampler: Sampler, model: CoordFlow, config: FitConfig, rate: float):
        self.sampler, self.model, self.config, self.rate = sampler, model, config, rate
        self.searching = model.flow is not None and config.flow_start == "random"  # for motion
        self.optimizers, self.rates = optimizers_for(model, config, rate, sampler.video)
        self.step, self.steps, self.last, self.seconds = 0, config.steps, config.steps, 0.0
        self.lowered = 0  # times that rates were divided by 10
        self.limit = 0.0  # mean squared error of a model that has diverged; 0 before the first step
        self.errors: list[Tensor] = []  # of the steps since the last report
        self.history: list[Progress] = []

    def aim(self) -> None:
        """Choose the next batch, from the middle frames outwards, and its learning rates."""
        part, grow = self.step / self.steps, max(1, min(self.config.grow, self.config.steps // 2))
        self.sampler.aim(self.step, (self.step + 1) / grow if self.searching else 1.0)
        rates = [rate * 0.1**self.lowered * trapezoid(part) for rate in self.rates]
        warm = min(1.0, (self.step + 20) / min(self.config.warm_up, max(1, self.config.steps // 3)))
        set_rates(self.optimizers, rates, warm, others=part >= self.config.flow_still)

    def loss(self) -> LossTerms:
        """Loss to descend."""
        return self.sampler.terms(self.model)

    def freeze(self) -> None:
        """Drop gradients of what must not move yet: at first, only motion may explain change over time."""
        static = min(self.config.static, self.config.steps * 3 // 4)
        if self.searching and self.step < static:
            self.model.color.time_weight.grad = None

    def observe(self, squared: Tensor) -> None:
        """Take note of the mean squared error of a step."""
        self.errors.append(squared)

    def reports(self, stop: int) -> Iterator[Progress]:
        """Train until step `stop` of the schedule; progress every 50 steps, and at the end."""
        began = time.perf_counter() - self.seconds
        for squared in descend(self, stop):
            self.observe(squared)
            if self.step % self.every == 0 or self.step == stop:
                self.seconds = time.perf_counter() - began
                yield self.report()

    def error(self) -> float:
        """Mean squared error since the last report, or as last reported."""
        if self.errors:
            errors = torch.stack(self.errors).tolist()
            self.limit = self.limit or min(1.0, max(_GRAY, 2 * errors[0]))
            return sum(errors) / len(errors)
        return 10 ** (-self.history[-1].psnr_db / 10) if self.history else 0.0

    def report(self) -> Progress:
        """Add progress to the history."""
        psnr_db = -10 * math.log10(max(self.error(), 1e-10))
        self.errors = []
        self.history.append(Progress(self.stage, self.step, self.steps, psnr_db, self.seconds))
        return self.history[-1]

    def finish(self) -> None:
        """Report what came after the last report; before the first one, the error of a batch."""
        if not self.errors and not self.history:
            self.sampler.aim(self.step)
            self.errors = [self.sampler.terms(self.model).squared]
        if self.errors:
            self.report()

    def state(self) -> dict[str, Any]:
        """A copy of everything that the next steps depend on, and the history."""
        return {
            "step": self.step,
            "seconds": self.seconds,
            "lowered": self.lowered,
            "limit": self.limit,
            "history": [list(vars(progress).values()) for progress in self.history],
            "model": copy.deepcopy(self.model.state_dict()),
            "optimizers": {str(i): memory(optimizer) for i, optimizer in enumerate(self.optimizers)},
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a `state`, which is copied.  Raises ValueError and others where it does not fit."""
        self.history = [Progress(*row) for row in state["history"]]
        steps = [0, *(progress.step for progress in self.history), state["step"] + 1, self.last + 2]
        if steps != sorted(set(map(int, steps))):
            raise ValueError("its steps are not in order")
        self.step, self.seconds, self.errors = state["step"], float(state["seconds"]), []
        self.lowered, self.limit = int(state["lowered"]), float(state["limit"])
        self.model.load_state_dict(state["model"])
        for i, optimizer in enumerate(self.optimizers):
            restore(optimizer, state["optimizers"][str(i)])


# A wrapper may look at or change the training at every report, and passes on those that count.
Around = Callable[[Training, Iterator[Progress]], Iterator[Progress]]


def descend(training: Training, stop: int) -> Iterator[Tensor]:
    """Train until step `stop`; the mean squared error of each step's batch."""
    while training.step < stop:
        training.aim()
        squared = advance(training)
        training.step += 1
        yield squared


def advance(training: Training) -> Tensor:
    """One step on the device, which nothing waits for; the mean squared error of its batch."""
    terms = training.loss()
    terms.total.backward()
    training.freeze()
    for optimizer in training.optimizers:
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    return terms.squared


def run(training: Training, reports: Iterator[Progress], around: Sequence[Around] = ()) -> None:
    """Train to the end of the reports, wrapped by `around`, the innermost first."""
    for wrap in around:
        reports = wrap(training, reports)
    for _ in reports:
        pass


@dataclass(frozen=True)
class FitResult:
    """A fitted model and how it got there."""

    model: CoordFlow
    config: FitConfig
    history: tuple[Progress, ...]
    interrupted: bool = False  # by Ctrl-C: the model is what was reached by then


def fit(
    video: Video,
    model: ModelConfig | None = None,
    config: FitConfig | None = None,
    *,
    weights: Weights | None = None,
    frames: Iterable[int] | None = None,
    motion: Motion | None = None,
    device: torch.device | str = "cpu",
    around: Sequence[Around] = (),
) -> FitResult:
    """Fit a model to a clip by stochastic gradient descent on random pixels; of several starts, the best one.

    motion: to start from; None: measured if the config says so.  Taught in chapters 02, 04 to 06.
    """
    model, config, device = model or default_model(video), config or FitConfig(), torch.device(device)
    config, motion = started(video, model, config, motion)
    sampler = Sampler(video, config, device, weights=weights, frames=frames, motion=motion)
    runs: list[Training] = []
    for start in range(config.starts):
        network = CoordFlow(model, torch.Generator().manual_seed(config.seed + 1000 * start)).to(device)
        network.start_from(motion.transforms if motion else None)
        training = Training(sampler, network, config, learning_rate(config, model))
        runs.append(training)
        if config.starts > 1:
            training.stage = f"start {start + 1} of {config.starts}"
            run(training, training.reports(min(config.start_steps, config.steps)), around)
        if training.stage == "fit":  # a wrapper has resumed it after the starts
            break
    training = best(runs)
    training.stage = "fit"
    run(training, training.reports(config.steps), around)
    return FitResult(training.model, config, tuple(training.history))


def best(runs: Sequence[Training]) -> Training:
    """The run with the highest PSNR so far."""
    return max(runs, key=lambda run: run.history[-1].psnr_db if run.history else 0)
