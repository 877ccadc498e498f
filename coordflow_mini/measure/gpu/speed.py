"""How fast a GPU trains and decodes models of each size, and the naive version beside it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import torch
from torch._C._autograd import DeviceType
from torch.profiler import profile

from coordflow_mini.config import PRESETS, FitConfig, ModelConfig
from coordflow_mini.coords import frame_times
from coordflow_mini.measure.gpu import naive
from coordflow_mini.measure.gpu.card import Card, Figures, fitting, tuning
from coordflow_mini.measure.gpu.graph import captured
from coordflow_mini.measure.metrics import psnr_db
from coordflow_mini.model import CoordFlow, training_dtype
from coordflow_mini.ops.compiling import compiled, rounded_factors
from coordflow_mini.render import pictures
from coordflow_mini.sampling import default_model, pixel_terms
from coordflow_mini.train import Training, descend
from coordflow_mini.video import scenes
from coordflow_mini.video.clip import Video

_ENOUGH = 0.5  # seconds of a measurement, at least
_FRAMES = 4  # decoded in turn


@dataclass(frozen=True)
class Size:
    """A model, its batch, and the frames that it learns."""

    model: ModelConfig
    batch: int
    height: int
    width: int
    enlarged: int = 1  # frames are drawn smaller, which takes less time

    def clip(self) -> Video:
        """64 frames of the generated scene; eight of them, again and again."""
        k = self.enlarged
        drawn = np.asarray(scenes.cutout(self.height // k, self.width // k, 8).video.frames)
        return Video(np.tile(drawn.repeat(k, axis=1).repeat(k, axis=2), (8, 1, 1, 1)))


SIZES = {"course": Size(ModelConfig(), FitConfig.batch, 108, 192)} | {
    name: Size(recipe.model or ModelConfig(), recipe.fit.batch, 1080, 1920, 4)
    for name, recipe in PRESETS.items()
}
_TINY = Size(ModelConfig(width=16), 256, 16, 24)


def measured(card: Card, name: str) -> Figures:
    """Steps and frames per second of one size."""
    size = SIZES[name] if card.real else replace(_TINY, model=replace(SIZES[name].model, width=16))
    video = size.clip()
    model = replace(size.model, highest_frequency=default_model(video).highest_frequency)
    fit = fitting(card.device, video, model, size.batch)
    with rounded_factors():
        training = _training(card, fit)
    peak = _matrix_rate(card)
    best = max(training[kind] for kind in ("eager", "compiled", "captured") if kind in training)
    slow = naive.training_step(naive.layers_of(fit.model), video, size.batch, FitConfig.gamma)
    return {
        **training,
        "naive": _rate(card, slow),
        "TFLOP/s": peak / 1e12,
        "share of peak": 3 * _flops(model) * size.batch * best / peak,
        **_decoding(card, fit.model, size),
    }


def _training(card: Card, fit: Training) -> Figures:
    """Steps per second of a fit and of its fine-tuning."""
    if card.real:
        torch.cuda.reset_peak_memory_stats(card.device)
    figures: Figures = {"eager": _rate(card, lambda: _step(fit))}
    if card.real:
        figures["GB"] = torch.cuda.max_memory_allocated(card.device) / 1e9
        figures["launches"] = _launches(card, fit)
        fit.sampler.pixel_terms = compiled(pixel_terms, (fit.model.config, fit.config.batch))
        figures["compiled"] = _rate(card, lambda: _step(fit))
        figures["launches, compiled"] = _launches(card, fit)
    if card.device.type == "cuda":
        figures["captured"] = _rate(card, captured(fit))
    fit.sampler.pixel_terms = pixel_terms
    tune = tuning(fit)
    figures["fine-tuning"] = _rate(card, lambda: _step(tune))
    tune.step = tune.codec.steps * 3 // 4
    figures["settled"] = _rate(card, lambda: _step(tune))
    return figures


def _step(training: Training) -> None:
    for squared in descend(training, training.step + 1):
        training.observe(squared)


def _rate(card: Card, action: Callable[[], object]) -> float:
    """Times per second that the action is done."""
    for _ in range(3):
        action()
    count = 1
    while (seconds := card.seconds(action, count)) < _ENOUGH and card.real:
        count *= 2
    return count / seconds


def _launches(card: Card, training: Training) -> int:
    """Kernels and copies of a step, as the profiler counts them."""
    with profile() as profiled:
        _step(training)
        card.wait()
    return sum(event.device_type == DeviceType.CUDA for event in profiled.events() or [])


def _matrix_rate(card: Card) -> float:
    """Multiplications and additions per second of matrix products in the dtype of training."""
    side = 4096 if card.real else 64
    left, right = torch.randn(2, side, side, device=card.device).to(training_dtype(card.device))
    return 2 * side**3 * _rate(card, lambda: left @ right)


def _flops(model: ModelConfig) -> int:
    """Multiplications and additions of all matrix products for one pixel; sines are not counted."""
    sizes = [2 * model.space_frequencies, *[model.width] * model.depth, 4]
    return 2 * model.layers * sum(a * b for a, b in pairwise(sizes))


def _decoding(card: Card, model: CoordFlow, size: Size) -> Figures:
    """Frames per second in float32 and float16, what float16 costs, and the naive version's."""
    times, layers = frame_times(64)[:_FRAMES].to(card.device), naive.layers_of(model)

    def shown(dtype: torch.dtype) -> list[torch.Tensor]:
        return list(pictures(model, times, size.height, size.width, dtype=dtype))

    exact, half = (torch.stack(shown(dtype)) for dtype in (torch.float32, torch.float16))
    return {
        "frames/s": _FRAMES * _rate(card, lambda: shown(torch.float32)),
        "float16 frames/s": _FRAMES * _rate(card, lambda: shown(torch.float16)),
        "float16 [dB]": psnr_db(exact, half),
        "naive frames/s": _rate(card, lambda: naive.picture(layers, times[0], size.height, size.width)),
    }
