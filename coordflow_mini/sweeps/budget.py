"""Minutes as training steps: measured on this machine, with this clip and model."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch

from coordflow_mini.config import CodecConfig, FitConfig, ModelConfig, Recipe
from coordflow_mini.coords import frame_times
from coordflow_mini.encoder import checked_frames, cut
from coordflow_mini.ops import distributed
from coordflow_mini.ops.run import finetune, fit
from coordflow_mini.render import pictures
from coordflow_mini.train import FitResult
from coordflow_mini.video.clip import Video
from coordflow_mini.video.device import uploaded

_MOST_STEPS = 64  # that are timed


def steps_within(
    recipe: Recipe,
    video: Video,
    model: ModelConfig,
    *,
    segments: Sequence[range] | None = None,
    device: torch.device | str = "cpu",
) -> Recipe:
    """The recipe with the number of steps that fit into its minutes; unchanged if it has none.

    segments: of `encoder.Plan`; they share the minutes, and the longest is timed.
    The minutes include timing and the frames that an encode renders to check itself, but training gets at
    least half of them.  The number varies with the load of the machine: to repeat a file, give the steps.
    """
    if recipe.minutes is None:
        return recipe
    began, seconds = time.perf_counter(), 60 * recipe.minutes
    count = len(segments or [1])
    video = cut(video, max(segments, key=len)) if segments else video
    timed = pace(video, model, recipe, enough=seconds / 50, device=device)
    step = timed.fit_seconds + recipe.codec.steps / recipe.fit.steps * timed.tune_seconds
    left = 0.97 * seconds - (time.perf_counter() - began) - count * timed.check_seconds
    return recipe.with_steps(max(1, int(max(left, seconds / 2) / count / step)))


@dataclass(frozen=True)
class Pace:
    """Seconds for a step of the fit, for one of fine-tuning, and for the frames that an encode checks."""

    fit_seconds: float
    tune_seconds: float
    check_seconds: float


def pace(
    video: Video,
    model: ModelConfig,
    recipe: Recipe,
    *,
    enough: float = 1.0,
    device: torch.device | str = "cpu",
) -> Pace:
    """Measured over runs of at most 64 steps or `enough` seconds, once the clip is on the device.

    Steps are timed uncompiled, unless `fit.compile` is set: compiling takes longer than all of them.  A long
    fit is compiled, and so faster than this says.  Raises KeyboardInterrupt.
    """
    codec = recipe.codec
    config = replace(recipe.fit, compile=bool(recipe.fit.compile), flow_start="random")  # measure no motion
    with uploaded(video.frames, device):
        fitted = _fit(video, model, config, 2, device)  # the first steps are slow
        return Pace(
            _seconds_per_step(lambda steps: _fit(video, model, config, steps, device), enough),
            _seconds_per_step(lambda steps: _tune(fitted, video, codec, steps, device), enough),
            2 * _render_seconds(fitted, video),
        )


def _seconds_per_step(train: Callable[[int], object], enough: float) -> float:
    steps = 2
    while True:
        began = time.perf_counter()
        train(steps)
        seconds = time.perf_counter() - began
        if distributed.agreed(int(seconds >= enough or steps >= _MOST_STEPS)):  # on all ranks, or none
            return seconds / steps
        steps *= 2


def _fit(
    video: Video, model: ModelConfig, config: FitConfig, steps: int, device: torch.device | str
) -> FitResult:
    result = fit(video, model, replace(config, steps=steps, starts=1), device=device)
    if result.interrupted:
        raise KeyboardInterrupt
    return result


def _tune(
    fitted: FitResult, video: Video, codec: CodecConfig, steps: int, device: torch.device | str
) -> None:
    """Fine-tune for a few steps; the size of the file is made up."""
    size = round(fitted.model.parameter_count * codec.bits_per_weight / 8)
    short = replace(codec, steps=steps, rounds=0)
    if finetune(fitted, video, short, size, lambda tensors: size, device=device).interrupted:
        raise KeyboardInterrupt


def _render_seconds(fitted: FitResult, video: Video) -> float:
    """Seconds to render the frames that an encode checks, from the faster of two."""
    seconds = []
    for time_of_frame in frame_times(video.time)[:1].repeat(2):
        began = time.perf_counter()
        list(pictures(fitted.model, time_of_frame[None], video.height, video.width))
        seconds.append(time.perf_counter() - began)
    return len(checked_frames(video)) * min(seconds)
