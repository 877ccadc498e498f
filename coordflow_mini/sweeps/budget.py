"""From minutes to training steps, and back: timed on this machine, with this clip and width."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch

from coordflow_mini.config import CodecConfig, FitConfig, ModelConfig, Recipe
from coordflow_mini.coords import frame_times
from coordflow_mini.encoder import checked_frames, cut
from coordflow_mini.finetune import finetune
from coordflow_mini.ops import distributed
from coordflow_mini.render import render
from coordflow_mini.train import FitResult, fit
from coordflow_mini.video.clip import Video

__all__ = ["Pace", "pace", "steps_within"]


def steps_within(
    recipe: Recipe,
    video: Video,
    model: ModelConfig,
    *,
    segments: Sequence[range] | None = None,
    device: torch.device | str = "cpu",
) -> Recipe:
    """The recipe with as many steps as an encode of `recipe.minutes` has time for; unchanged without minutes.

    segments: of `encoder.Plan`; they share the minutes, and the first of them is what is timed.
    A few steps of each kind are timed first, and the pictures that an encode renders to check itself; where
    these alone take long, training still gets half of the time.
    The number of steps depends on the machine's mood: give the steps, not the minutes, to repeat a file.
    """
    if recipe.minutes is None:
        return recipe
    began, seconds = time.perf_counter(), 60 * recipe.minutes
    count = len(segments or [1])
    video = cut(video, segments[0]) if segments else video
    share = recipe.codec.steps / recipe.fit.steps
    timed = pace(video, model, recipe, enough=seconds / 50, device=device)
    checks = count * timed.check_seconds
    left = max(0.97 * seconds - (time.perf_counter() - began) - checks, seconds / 2)
    return recipe.with_steps(max(1, int(left / count / (timed.fit_seconds + share * timed.tune_seconds))))


@dataclass(frozen=True)
class Pace:
    """What training costs here: a step of the fit, one of fine-tuning, the pictures of the checks [s]."""

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
    """What a step costs, from runs of up to 64 steps or `enough` seconds.

    Without compiling, which would take longer than the rest: a long fit is compiled, and then faster.
    Raises KeyboardInterrupt.
    """
    codec = recipe.codec
    plain = replace(recipe.fit, compile=False) if recipe.fit.compile is None else recipe.fit
    fitted = _fit(video, model, plain, 2, device)  # the first steps are slow
    return Pace(
        _seconds_per_step(lambda steps: _fit(video, model, plain, steps, device), enough),
        _seconds_per_step(lambda steps: _tune(fitted, video, codec, steps, device), enough),
        2 * _render_seconds(fitted, video),
    )


def _seconds_per_step(train: Callable[[int], object], enough: float) -> float:
    """Seconds of one step, from the first run that lasts `enough` seconds or 64 steps."""
    steps = 2
    while True:
        began = time.perf_counter()
        train(steps)
        seconds = time.perf_counter() - began
        if distributed.agreed(int(seconds >= enough or steps >= 64)):  # or some would train and others not
            return seconds / steps
        steps *= 2


def _fit(
    video: Video, model: ModelConfig, config: FitConfig, steps: int, device: torch.device | str
) -> FitResult:
    """A fit of a few steps.  Raises KeyboardInterrupt where a longer fit would keep what it has."""
    result = fit(video, model, replace(config, steps=steps, starts=1), device=device)
    if result.interrupted:
        raise KeyboardInterrupt
    return result


def _tune(
    fitted: FitResult, video: Video, codec: CodecConfig, steps: int, device: torch.device | str
) -> None:
    """A few steps of fine-tuning towards a size that the file is said to have."""
    size = round(fitted.model.parameter_count * codec.bits_per_weight / 8)
    short = replace(codec, steps=steps, rounds=0)
    if finetune(fitted, video, short, size, lambda tensors: size, device=device).interrupted:
        raise KeyboardInterrupt


def _render_seconds(fitted: FitResult, video: Video) -> float:
    """Seconds to render the frames on which an encode checks its quality, from the faster of two."""
    seconds = []
    for time_of_frame in frame_times(video.time)[:1].repeat(2):
        began = time.perf_counter()
        render(fitted.model, time_of_frame[None], video.height, video.width)
        seconds.append(time.perf_counter() - began)
    return len(checked_frames(video)) * min(seconds)
