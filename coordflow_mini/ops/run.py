"""Training as users run it: `train.fit` and `finetune.finetune` with their wrappers.

From the inside out: several processes and compiling (set up before the first step), the guard against
divergence, checkpoints, listeners.  The guard comes before checkpoints, so that these hold good states only.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any
from zlib import crc32

import numpy as np
import torch

from coordflow_mini import train
from coordflow_mini.config import CodecConfig, FitConfig, ModelConfig
from coordflow_mini.finetune import FileSize, FineTuned, Quantizer, RateControl, Tuning
from coordflow_mini.model import CoordFlow
from coordflow_mini.motion.measure import Motion, started
from coordflow_mini.ops import distributed
from coordflow_mini.ops.checkpoint import Checkpoint
from coordflow_mini.ops.compiling import compiling, keep_memory, on_tensor_cores
from coordflow_mini.ops.guard import DivergenceError, Guard, is_finite
from coordflow_mini.sampling import Sampler, Weights, default_model, pixel_terms
from coordflow_mini.train import Around, FitResult, Progress, Training, best
from coordflow_mini.video.clip import Video

_GRAPHS = 2  # that fine-tuning compiles: training in bfloat16, then in float32


@dataclass(frozen=True)
class LiveProgress(Progress):
    """Progress as listeners get it: with the model, which they may render."""

    model: CoordFlow | None = None


OnStep = Callable[[Progress], None]  # it gets a LiveProgress


def fit(
    video: Video,
    model: ModelConfig | None = None,
    config: FitConfig | None = None,
    *,
    weights: Weights | None = None,
    frames: Iterable[int] | None = None,
    motion: Motion | None = None,
    device: torch.device | str = "cpu",
    on_step: OnStep | None = None,
    checkpoint: Checkpoint | None = None,
) -> FitResult:
    """Fit a model to a clip by stochastic gradient descent on random pixels; see `train.fit`.

    Ctrl-C stops and keeps what was reached; the history then ends at that step.  Divergence leads back to the
    last report, at a lower learning rate if it happens again; a warning is logged (see `guard`).

    weights: [time, height, width], how much each pixel counts (inpainting: 0 in the hole).
    frames: indices of the frames to learn from (interpolation: every other one).
    motion: to start from, see `FitConfig.flow_start`; None: it is measured.
    on_step: called every 50 steps.  checkpoint: resume from what it holds, and keep in it what is reached (of
    several starts, only the one that goes on).
    Raises `DivergenceError`, `CheckpointError`.  Taught in chapters 02 and 04 to 06.
    """
    model, config = model or default_model(video), config or FitConfig()
    frames = None if frames is None else list(frames)
    config, motion = started(video, model, config, motion)
    subject = _subject(video, model, config, weights, frames) if checkpoint else {}
    runs: list[Training] = []
    wraps = _around("fit", runs, compiling(config.steps), checkpoint, subject, on_step)
    keep_memory()
    try:
        return train.fit(
            video, model, config, weights=weights, frames=frames, motion=motion, device=device, around=wraps
        )
    except KeyboardInterrupt:
        if not runs or distributed.world_size() > 1:
            raise  # there is nothing to keep yet, or the other processes do not know of it
        reached = best(runs)
        reached.sampler.pixel_terms = pixel_terms  # compiling it may be what was interrupted
        reached.finish()
        return FitResult(reached.model, config, tuple(reached.history), interrupted=True)
    except DivergenceError as error:
        reached = best(runs)
        error.reached = FitResult(reached.model, config, tuple(reached.history))
        raise
    finally:
        _save(checkpoint)


def finetune(
    fitted: FitResult,
    video: Video,
    config: CodecConfig,
    target_bytes: int,
    file_size: FileSize,
    *,
    device: torch.device | str | None = None,
    on_step: OnStep | None = None,
    checkpoint: Checkpoint | None = None,
) -> FineTuned:
    """Continue a fit with quantized weights until their file has at most `target_bytes`.

    file_size: see `RateControl`.  The fit's model is trained in place; device: where to move it first.
    Ctrl-C, divergence, on_step and checkpoint: as in `fit`.
    Raises ValueError if the fit is not finite, `DivergenceError`, `CheckpointError`.  Taught in chapter 08.
    """
    if not is_finite(fitted.model.state_dict()):
        raise ValueError("the model to be fine-tuned has weights that are not finite; fit it again")
    subject = {**asdict(config), "target_bytes": target_bytes}
    model = fitted.model.to(device or fitted.model.device)
    control = RateControl(Quantizer(model), config, target_bytes, file_size)
    tuning = Tuning(fitted, Sampler(video, fitted.config, model.device), control)
    around = _around("fine-tune", [], compiling(config.steps, _GRAPHS), checkpoint, subject, on_step)
    interrupted = False
    try:
        train.run(tuning, tuning.rounds(), around)
    except KeyboardInterrupt:
        if distributed.world_size() > 1:
            raise
        interrupted = True
        tuning.finish()
    finally:
        _save(checkpoint)
    return FineTuned(tuning.quantizer.quantized(), tuple(tuning.history), interrupted)


def _into(runs: list[Training]) -> Around:
    """Remembers each training run, for what follows an interruption."""

    def wrap(training: Training, reports: Iterator[Progress]) -> Iterator[Progress]:
        runs.append(training)
        return reports

    return wrap


def _around(
    stage: str,
    runs: list[Training],
    compiled: Around,
    checkpoint: Checkpoint | None,
    subject: Mapping[str, Any],
    on_step: OnStep | None,
) -> list[Around]:
    """All wrappers, the innermost first."""
    guard = Guard()
    around: list[Around] = [_into(runs), compiled, on_tensor_cores, guard, distributed.together]
    around += [_resuming(checkpoint, stage, subject, guard)] if checkpoint else []
    return [*around, _listening(on_step)] if on_step else around


def _resuming(checkpoint: Checkpoint, stage: str, subject: Mapping[str, Any], guard: Guard) -> Around:
    """Resumes the stage from a checkpoint, and keeps its good states there: the copies that the guard has."""

    def wrap(training: Training, reports: Iterator[Progress]) -> Iterator[Progress]:
        if training.step == 0 and (state := checkpoint.restored(stage, subject)):
            with checkpoint.restoring(stage):
                _check_numbers(state)
                training.restore(state)
            training.stage = stage
        for progress in reports:
            if training.stage == stage and distributed.rank() == 0:
                together = distributed.world_size() > 1  # the others may have changed the figures
                checkpoint.reached(stage, subject, training.state() if together else guard.good)
            yield progress

    return wrap


def _check_numbers(state: dict[str, Any]) -> None:
    """Raises ValueError, or TypeError, for numbers that no training leaves."""
    if not is_finite(state):
        raise ValueError("not all of its numbers are finite")
    if not all(value is None or type(value) in (int, float) for row in state["history"] for value in row[1:]):
        raise ValueError("its history is not one of numbers")


def _listening(on_step: OnStep) -> Around:
    def wrap(training: Training, reports: Iterator[Progress]) -> Iterator[Progress]:
        for progress in reports:
            on_step(LiveProgress(**vars(progress), model=training.model))
            yield progress

    return wrap


def _save(checkpoint: Checkpoint | None) -> None:
    if checkpoint and distributed.rank() == 0:
        checkpoint.end()


def _subject(
    video: Video, model: ModelConfig, config: FitConfig, weights: Weights | None, frames: list[int] | None
) -> dict[str, Any]:
    """Everything that a fit depends on; the pixels of up to 16 frames stand for all."""
    pixels = 0
    for index in range(0, video.time, -(-video.time // 16)):
        pixels = crc32(video.frames[index].tobytes(), pixels)
    return {
        "clip": f"{video.time} frames of {video.width}x{video.height}, CRC {pixels:08x}",
        **asdict(model),
        **asdict(config),
        "weights": "" if weights is None else f"{crc32(np.asarray(weights).tobytes()):08x}",
        "frames": "" if frames is None else str(frames),
    }
