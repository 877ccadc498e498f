"""The loop: a clip in, a fitted model out.

result = fit(video, ModelConfig(), FitConfig(steps=1000))
render.render(result.model, coords.frame_times(video.time), video.height, video.width)
"""

import logging
import math
import time
from array import array
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any
from zlib import crc32

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from coordflow_mini.config import FitConfig, ModelConfig
from coordflow_mini.coords import (
    Places,
    frame_times,
    half_side,
    pixels_at,
    random_patches,
    random_places,
)
from coordflow_mini.loss import LossTerms, loss_terms, structure_loss
from coordflow_mini.model import CoordFlow, training_dtype, weight_count
from coordflow_mini.muon import make_optimizer, restore
from coordflow_mini.ops import distributed
from coordflow_mini.ops.checkpoint import Checkpoint, State, figure
from coordflow_mini.ops.compiling import compiled, keep_memory
from coordflow_mini.ops.guard import LOWERED, DivergenceError, Guard, is_finite
from coordflow_mini.sampling import Clip, clip_on
from coordflow_mini.video.clip import Video

__all__ = [
    "DivergenceError",
    "FitResult",
    "History",
    "Progress",
    "Resumable",
    "Sampler",
    "cosine",
    "default_model",
    "fit",
    "learning_rate",
    "trapezoid",
    "worth_compiling",
]

_REPORT = 50  # steps between two entries of the history; each is a state to come back to
_USUAL = {"muon": 0.08, "adam": 0.02}  # learning rates up to which none was seen to end at a single color
_log = logging.getLogger("coordflow_mini")
_GRAY = 0.25  # the largest mean squared error of a gray picture: a model that is worse has run away


@dataclass(frozen=True)
class Progress:
    """Where a fit or fine-tuning stands; given to `on_step` and kept as history."""

    stage: str  # "start 1 of 3", "fit", "fine-tune"
    step: int
    steps: int
    psnr_db: float  # of the pixels seen since the last report
    seconds: float  # since the stage began
    bits_per_weight: float | None = None  # fine-tuning only
    model: CoordFlow | None = field(
        default=None, repr=False, compare=False
    )  # for `on_step` of a fit to look at

    @property
    def seconds_left(self) -> float:
        """Estimate from the mean speed so far [s]."""
        return self.seconds / max(1, self.step) * (self.steps - self.step)


OnStep = Callable[[Progress], None]


class History:
    """The reports of one training, in order.

    Beside them it keeps what a checkpoint holds of them: numbers, because there may be millions.
    """

    def __init__(self) -> None:
        self._reports: list[Progress] = []
        self._stages: list[str] = []  # each once
        self._numbers = array("d")  # six a report

    def __len__(self) -> int:
        return len(self._reports)

    def __getitem__(self, index: int) -> Progress:
        return self._reports[index]

    def __iter__(self) -> Iterator[Progress]:
        return iter(self._reports)

    def cut(self, count: int) -> None:
        """Leave as many reports, the first ones."""
        del self._reports[count:], self._numbers[6 * count :]

    def append(self, report: Progress) -> None:
        """One more; its model is not stored."""
        if report.stage not in self._stages:
            self._stages.append(report.stage)
        bits = -1.0 if report.bits_per_weight is None else report.bits_per_weight
        stage = self._stages.index(report.stage)
        self._numbers.extend((stage, report.step, report.steps, report.psnr_db, report.seconds, bits))
        self._reports.append(report)

    def to_state(self) -> State:
        """The distinct stages, and a row per report: stage, step, steps, dB, seconds, bits (-1: none)."""
        numbers = torch.from_numpy(np.array(self._numbers)).reshape(len(self), 6)
        return {"stages": list(self._stages), "numbers": numbers}

    @classmethod
    def from_state(cls, state: State, last: int) -> "History":
        """What `to_state` described; none is after step `last`.  Raises ValueError for anything else."""
        stages, numbers = state["stages"], state["numbers"]
        if not isinstance(stages, list) or not all(isinstance(stage, str) for stage in stages):
            raise ValueError(f"its history has the stages {stages!r:.40}")
        if not isinstance(numbers, Tensor) or numbers.dtype != torch.float64 or numbers.shape[1:] != (6,):
            raise ValueError(f"its history has {numbers!r:.40}")
        counts, figures = numbers[:, :3], numbers[:, 3:]
        whole = (counts == counts.floor()) & (counts >= 0) & (counts <= 2**53)
        known = whole.all() and (counts[:, 0] < len(stages)).all() and figures.isfinite().all()
        if not known or not (counts[:, 1].diff() > 0).all() or not (counts[:, 1] <= last).all():
            raise ValueError("its history has numbers that are none of reports in order")
        history = cls()
        for stage, step, steps, psnr_db, seconds, bits in numbers.tolist():
            per_weight = None if bits == -1 else bits
            history.append(Progress(stages[int(stage)], int(step), int(steps), psnr_db, seconds, per_weight))
        return history


@dataclass(frozen=True)
class FitResult:
    """A fitted model and how it got there."""

    model: CoordFlow
    config: FitConfig
    history: tuple[Progress, ...]
    interrupted: bool = False  # by Ctrl-C: the model is what was reached by then


class Sampler:
    """Batches of a clip that lives as bytes on the training device, or in its file: see `pixels`.

    weights: [time, height, width], how much each pixel counts; frames: the frames to learn from.
    compiling: the models' configuration, if the loss is to be compiled: see `worth_compiling`.
    """

    def __init__(
        self,
        video: Video,
        config: FitConfig,
        device: torch.device,
        *,
        weights: Tensor | NDArray[Any] | None = None,
        frames: Iterable[int] | None = None,
        compiling: ModelConfig | None = None,
    ):
        self.clip = clip_on(video.frames, device)
        self.config = config
        self.times = frame_times(video.time).to(device)
        self.video, self.frames = video, _checked_frames(frames, video).to(device)
        self.weights = None if weights is None else _checked_weights(weights, video).to(device)
        if weights is not None and config.ms_ssim:
            raise ValueError("ms_ssim looks at neighborhoods and knows no weights; leave one of them out")
        self.generator = torch.Generator(device).manual_seed(config.seed)
        self.dtype = training_dtype(device)
        self.pixel_terms = _pixel_terms
        if compiling:
            same = replace(config, seed=0)  # which no loss depends on
            use = (compiling, same, type(video.frames), video.frames.shape, weights is None, str(device))
            self.pixel_terms = compiled(_pixel_terms, use)

    def spread(self) -> float:
        """The mean squared error of the best single color, judged from up to 16 frames."""
        some = self.video.frames[:: -(-self.video.time // 16)]
        return float(np.var(np.asarray(some).reshape(-1, 3) / np.float32(255), axis=0).mean())

    def places(self, reach: float = 1.0) -> Places:
        """The next random pixels, of the frames with |t| up to `reach`; always as many, of as many frames.

        Of several processes, each gets its own part.
        """
        frames = self.frames
        if reach < 1:
            away = self.times[frames].abs()
            near = frames[away <= max(reach, float(away.min()))]
            first = torch.randint(len(near), (1,), generator=self.generator, device=near.device)
            turn = torch.arange(len(frames), device=near.device) + first
            frames = near[turn % len(near)]  # in turn, so that none is seen more often
        places = random_places(self.clip, self.config.batch, self.generator, frames)
        return Places(places.frames, distributed.share(places.place))

    def terms(self, model: nn.Module, places: Places, dtype: torch.dtype | None = None) -> LossTerms:
        """The loss of a `CoordFlow`, or of a module that is called like one, at some places of the clip."""
        dtype = dtype or self.dtype
        terms = self.pixel_terms(model, self.clip, self.times, places, self.weights, self.config, dtype)
        if not self.config.ms_ssim:
            return terms
        patch = random_patches(self.clip, self.generator, self.frames)
        blend = model(patch.points, self.times[patch.frames], dtype)
        structure = structure_loss(blend, patch.color, patch.height, patch.width)
        return LossTerms(terms.total + self.config.ms_ssim * structure, terms.squared, terms.layer)


def _pixel_terms(
    model: nn.Module,
    clip: Clip,
    times: Tensor,
    places: Places,
    weights: Tensor | None,
    config: FitConfig,
    dtype: torch.dtype,
) -> LossTerms:
    """The loss of single pixels: all that a training step computes, in one function to be compiled."""
    batch = pixels_at(clip, places)
    blend = model(batch.points, times[batch.frames], dtype)
    weight = None if weights is None else weights[batch.frames[:, None], batch.place]
    return loss_terms(blend, batch.color, config, weight)


def worth_compiling(config: FitConfig, weights: int, steps: int, graphs: int = 1) -> bool:
    """Whether training is long enough to win back what compiling costs: ten seconds a graph, or more.

    `config.compile` decides if it is set.  Else the amount of work does, and not a clock: compiled sums
    round differently, and the same settings shall give the same weights.
    """
    if config.compile is not None:
        return config.compile
    return weights * config.batch * steps >= _WORTH * graphs


_WORTH = 5e11  # weights x pixels: 2,500 steps of 8,192 pixels at width 64, 800 at width 128; LOG.md


def _checked_frames(frames: Iterable[int] | None, video: Video) -> Tensor:
    """Frame indices to learn from, int64; all of them if None.  Raises ValueError."""
    chosen = [float(index) for index in (range(video.time) if frames is None else frames)]
    if not chosen or not all(index in range(video.time) for index in chosen):
        raise ValueError(f"frames must be indices from 0 to {video.time - 1}, at least one, got {chosen[:8]}")
    return torch.tensor(chosen).long()


def _checked_weights(weights: Tensor | NDArray[Any], video: Video) -> Tensor:
    """How much each pixel counts, float32 [time, height * width].  Raises ValueError."""
    values, shape = torch.as_tensor(weights).float(), video.frames.shape[:3]
    if values.shape != shape or not (torch.isfinite(values) & (values >= 0)).all():
        raise ValueError(
            f"weights must be finite, not negative, and [time, height, width] = {shape}, got "
            f"{tuple(values.shape)} with values from {values.min():g} to {values.max():g}"
        )
    return values.flatten(1)


class Resumable:
    """A training that can be gone on with, by another process too, or led back to its last good report.

    keep: told the state after every report.
    """

    sampler: Sampler
    guard: Guard
    history: History
    keep: Callable[[State], None] | None = None

    def state(self) -> State:
        """All that the next steps depend on, and what was reported."""
        return {**self._numbers(), "history": self.history.to_state()}

    def restore(self, state: State) -> None:
        """Go on from a `state`, which stays as it is.  Raises ValueError if it is not finite."""
        self.history = History.from_state(state["history"], self._set(state))

    def _remember(self) -> None:
        """This is a state to come back to."""
        self.guard.keep({**self._numbers(), "reports": len(self.history)})

    def _return(self, good: State) -> None:
        """Go on from what `_remember` kept."""
        self._set(good)
        self.history.cut(good["reports"])

    def _numbers(self) -> State:
        """All that the next steps depend on: as much after a million reports as after one."""
        generator = self.sampler.generator.get_state()
        return {**self._own_numbers(), "generator": generator, "lowered": self.guard.lowered}

    def _set(self, state: State) -> int:
        """Go on from these numbers; at which step."""
        if not is_finite(state):
            raise ValueError("not all of its numbers are finite")
        self.guard.lowered = int(figure({"lowered": 0, **state}, "lowered", most=LOWERED))
        step = self._set_own(state)
        self.sampler.generator.set_state(state["generator"])
        return step

    def _own_numbers(self) -> State:
        """Those of this kind of training."""
        raise NotImplementedError

    def _set_own(self, state: State) -> int:
        """Go on from `_own_numbers`; at which step."""
        raise NotImplementedError


class _Run(Resumable):
    """One model under training: the loop of `fit` from a given seed."""

    def __init__(
        self, sampler: Sampler, model: CoordFlow, config: FitConfig, stage: str, on_step: OnStep | None
    ):
        self.sampler, self.model, self.config, self.stage, self.on_step = (
            sampler,
            model,
            config,
            stage,
            on_step,
        )
        self.optimizer = make_optimizer(config.optimizer, model.parameters(), config.learning_rate)
        self.step, self.seconds = 0, 0.0
        self.history = History()
        self.guard, self.warned = Guard(), False
        self.most = 0.0  # mean squared error of a model that has run away; 0: not known yet
        self.recent: list[Tensor] = []  # squared errors of the steps since the last report

    def advance(self, stop: int) -> None:
        """Train until step `stop` of the whole schedule.  Raises DivergenceError."""
        began = time.perf_counter() - self.seconds
        self._remember()
        while self.step < stop:
            self._descend()
            ends = self.step % _REPORT == 0 or self.step == stop
            if not (self.guard.due() or ends):
                continue
            window = len(self.recent) + (0 if ends else min(stop - self.step, -self.step % _REPORT))
            if fault := distributed.first(self._fault(window)):
                self._go_back(fault)
            elif ends:
                self.seconds = time.perf_counter() - began
                self._report()

    def _descend(self) -> None:
        """One step."""
        self._set_rates()
        terms = self.sampler.terms(self.model, self.sampler.places(self._reach()))
        self.optimizer.zero_grad(set_to_none=True)
        terms.total.backward()
        if not self._sees_time():
            self.model.color.time_weight.grad = None
        self.recent.append(distributed.average(self.model.parameters(), terms.squared))
        self.optimizer.step()
        self.step += 1

    def _own_numbers(self) -> State:
        return {
            "step": self.step,
            "seconds": self.seconds,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "most": self.most,
        }

    def _set_own(self, state: State) -> int:
        self.step = int(figure(state, "step", most=self.config.steps))
        self.seconds = figure(state, "seconds")
        self.most = figure({"most": 0.0, **state}, "most", most=1)
        self.recent = []
        self.model.load_state_dict(state["model"])
        restore(self.optimizer, state["optimizer"])
        return self.step

    def _set_rates(self) -> None:
        """Annealing at the end; wide weights (the colors) warm up."""
        config = self.config
        rate = self._full_rate() * self.guard.share * trapezoid(self.step / config.steps)
        warm_up = min(config.warm_up, max(1, config.steps // 3))
        for group in self.optimizer.param_groups:
            slow = group.get("wide", True)
            group["lr"] = rate * (min(1.0, (self.step + 20) / warm_up) if slow else 1.0)

    def _sees_time(self) -> bool:
        """Whether colors may learn to change over time: at first only motion shall explain change."""
        static = min(self.config.static, self.config.steps * 3 // 4)
        return self.model.flow is None or self.step >= static

    def _reach(self) -> float:
        """Up to which |t| frames are seen now."""
        grow = max(1, min(self.config.grow, self.config.steps // 2))
        return 1.0 if self.model.flow is None else (self.step + 1) / grow

    def _full_rate(self) -> float:
        return learning_rate(self.config, self.model.config)

    def _fault(self, window: int) -> str:
        """What is wrong with this run; empty if nothing is.

        window: steps from the last report to the next one, whose mean error counts: an earlier look finds
        only what is wrong however the rest of them goes.
        """
        errors = torch.stack(self.recent)
        if not self.most:
            self.most = min(1.0, max(_GRAY, 2 * errors[0].item()))
        mean = errors.mean().item() if len(errors) == window else errors.sum().item() / window / _ROUNDING
        if not math.isfinite(mean):
            return "the squared error is no number any more"
        if mean > self.most:
            return f"the squared error rose above {self.most:.2g}"
        return "" if is_finite(self._numbers()) else "not all weights are finite"

    def _go_back(self, fault: str) -> None:
        """To the last good state.  Raises DivergenceError, with the model in that state."""
        rate, where = self._full_rate(), f"step {self.step:,} of {self.config.steps:,}"
        cure = f"use a learning rate below {rate:g}, for example {rate / 10:g}, another seed, or less width"
        try:
            self._return(self.guard.back(self.stage, where, fault, rate, cure))
        except DivergenceError:
            self._return(self.guard.good)
            raise

    def _report(self) -> None:
        error = torch.stack(self.recent).mean().item()
        self.recent = []
        distributed.same_weights(self.model.parameters())
        progress = self._progress(error)
        self.history.append(progress)
        self._remember()
        self._warn(error)
        if self.keep:
            self.keep(self.state())
        if self.on_step:
            self.on_step(replace(progress, model=self.model))

    def _warn(self, error: float) -> None:
        """Say so, once, where a learning rate above the usual keeps a model at what a single color shows."""
        rate, late = self.config.learning_rate, self.config.steps // 4 <= self.step
        if not late or self.warned or rate <= _USUAL[self.config.optimizer] or distributed.rank() > 0:
            return
        self.warned = True
        if error > 0.9 * self.sampler.spread() > 0:
            _log.warning(
                "%s: at step %d of %d the model shows no more than a single color would; "
                "use a learning rate below %g, for example %g",
                *(self.stage, self.step, self.config.steps, rate, rate / 10),
            )

    def _progress(self, error: float) -> Progress:
        psnr_db = -10 * math.log10(max(error, 1e-10))
        return Progress(self.stage, self.step, self.config.steps, psnr_db, self.seconds)

    @torch.no_grad()
    def stopped(self) -> None:
        """After a Ctrl-C at any moment: what there is, or the last good state; the history ends there.

        Before the first report, a history of at least one entry is made of what one more batch shows.
        """
        if (self.recent and self._fault(len(self.recent))) or not is_finite(self._numbers()):
            self._return(self.guard.good)
        if not self.recent and not self.history:
            self.sampler.pixel_terms = _pixel_terms  # without compiling, which may be what was interrupted
            self.recent = [self.sampler.terms(self.model, self.sampler.places()).squared]
        if self.recent:
            self.history.append(self._progress(torch.stack(self.recent).mean().item()))
            self.recent = []


_ROUNDING = 1.001  # more than sums of errors differ by, in one order or another


def learning_rate(config: FitConfig, model: ModelConfig) -> float:
    """The learning rate of a model: the configured one up to width 68, then less: as width ** -1.5.

    In a wider network the changes of more weights add up.  At the full rate, width 89 ends 3 dB below where
    it ends at two thirds of it, and below width 68 (LOG.md).
    """
    return config.learning_rate * min(1.0, _TUNED_WIDTH / model.width) ** 1.5


_TUNED_WIDTH = 68  # the widest for which the default rate is the best


def trapezoid(part: float) -> float:
    """Learning rate after a part of all steps, as a share of the largest: full for 70 %, then straight to 0.

    About 1 dB ahead of half a cosine after as many steps (LOG.md).
    """
    return min(1.0, (1 - part) / 0.3)


def cosine(part: float) -> float:
    """Learning rate after a part of all steps, as a share of the largest: half a cosine from 1 to 0."""
    return 0.5 * (1 + math.cos(math.pi * part))


def default_model(video: Video) -> ModelConfig:
    """The model when nothing else is asked for, but for its width, which follows from the rate.

    The highest frequency follows the resolution: a quarter of what the pixels can hold, because
    the sine layers add its harmonics.
    """
    half = half_side(video.height, video.width)
    return ModelConfig(highest_frequency=max(4.0, round(half / 4)))


def fit(
    video: Video,
    model: ModelConfig | None = None,
    config: FitConfig | None = None,
    *,
    weights: Tensor | NDArray[Any] | None = None,
    frames: Iterable[int] | None = None,
    device: torch.device | str = "cpu",
    on_step: OnStep | None = None,
    checkpoint: Checkpoint | None = None,
) -> FitResult:
    """Fit a model to a clip by stochastic gradient descent on random pixels.

    With `config.starts` > 1, that many models train for `start_steps` steps from different seeds and
    the one with the smallest loss goes on, as one does for k-means: which layer catches which motion
    is decided early.  Ctrl-C stops and keeps what was reached; the history then ends at that step.
    Numbers that run away lead back to the last report, at a lower learning rate if they do so again, see
    `guard`; a warning is logged.

    weights: [time, height, width], how much each pixel counts (inpainting: 0 in the hole).
    frames: indices of the frames to learn from (interpolation: every other one).
    on_step: called every 50 steps.  checkpoint: go on from what it holds, if it holds anything, and keep in
    it what is reached (of the starts, only the one that goes on).
    Raises `DivergenceError`, `CheckpointError`.  Taught in chapters 02 and 04 to 06.
    """
    model, config, device = model or default_model(video), config or FitConfig(), torch.device(device)
    compiling = model if worth_compiling(config, weight_count(model), config.steps) else None
    keep_memory()
    runs: list[_Run] = []
    interrupted = False

    def begin(start: int, stage: str) -> _Run:
        sampler = Sampler(video, config, device, weights=weights, frames=frames, compiling=compiling)
        generator = torch.Generator().manual_seed(config.seed + 1000 * start)
        runs.append(_Run(sampler, CoordFlow(model, generator).to(device), config, stage, on_step))
        return runs[-1]

    frames = None if frames is None else list(frames)
    of = _subject(video, model, config, weights, frames) if checkpoint else {}
    try:
        if checkpoint and (state := checkpoint.restored("fit", of)):
            with checkpoint.taken_up("fit"):
                begin(0, "fit").restore(state)
        elif config.starts == 1:
            begin(0, "fit")
        else:
            for start in range(config.starts):
                run = begin(start, f"start {start + 1} of {config.starts}")
                run.advance(min(config.start_steps, config.steps))
        run = _best(runs)
        run.stage = "fit"
        if checkpoint and distributed.rank() == 0:
            run.keep = partial(checkpoint.reached, "fit", of)
        run.advance(config.steps)
    except KeyboardInterrupt:
        if not runs or distributed.world_size() > 1:
            raise  # there is nothing to keep yet, or others do not know of it
        run, interrupted = _best(runs), True
        run.stopped()
    except DivergenceError as error:
        run = _best(runs)
        error.reached = FitResult(run.model, config, tuple(run.history))
        raise
    finally:
        if checkpoint and distributed.rank() == 0:
            checkpoint.end()
    return FitResult(run.model, config, tuple(run.history), interrupted)


def _best(runs: list[_Run]) -> _Run:
    """The run with the smallest loss so far."""
    return max(runs, key=lambda run: run.history[-1].psnr_db if run.history else 0)


def _subject(
    video: Video,
    model: ModelConfig,
    config: FitConfig,
    weights: Tensor | NDArray[Any] | None,
    frames: list[int] | None,
) -> State:
    """What a fit depends on, for its checkpoint: the pixels of up to 16 frames stand for all."""
    some = range(0, video.time, -(-video.time // 16))
    pixels = 0
    for index in some:
        pixels = crc32(video.frames[index].tobytes(), pixels)
    return {
        "clip": f"{video.time} frames of {video.width}x{video.height}, CRC {pixels:08x}",
        **asdict(model),
        **asdict(config),
        "weights": "" if weights is None else f"{crc32(np.asarray(weights).tobytes()):08x}",
        "frames": "" if frames is None else str(frames),
    }
