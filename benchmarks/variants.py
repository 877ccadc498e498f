"""Variants of training that the library does not offer, for `benchmarks.learning` to compare.

The default `TrainingSettings` are those of `coordflow_mini.train` with `FitConfig()`; a variant changes one
field. All phases are shares of the run, so that a variant with slower steps has the same opening in fewer.
"""

import importlib
import itertools
import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from coordflow_mini.config import FitConfig, ModelConfig
from coordflow_mini.coords import frame_times, pixel_points
from coordflow_mini.draws import key_of
from coordflow_mini.loss import loss_terms
from coordflow_mini.model import CoordFlow, training_dtype
from coordflow_mini.muon import cosine, make_optimizer, trapezoid
from coordflow_mini.sampling import PixelBatch, random_pixels
from coordflow_mini.video.clip import Video

__all__ = ["Draws", "ImportantDraws", "Training", "TrainingSettings", "available", "rate_share"]

_PACKAGES = {"soap": "pytorch_optimizer", "schedule-free": "schedulefree"}  # optional, from PyPI
_BLOCK = 8  # pixels on a side of the blocks whose importance is kept
_UNIFORM = 0.5  # share of the draws that ignore importance, so that no pixel is forgotten
_MEMORY = 0.7  # of a block's error, each time it is drawn
_AVERAGE = 0.05  # share of the run over which the weights are averaged


@dataclass(frozen=True)
class TrainingSettings:
    """Training settings: the library's defaults, and alternatives to them."""

    optimizer: str = "muon"  # or adam, soap, schedule-free
    learning_rate: float = 0.04
    batch: tuple[int, int] = (8192, 8192)  # pixels per step, first and last; by powers of two between them
    importance: str = ""  # or "error", "gradient": where in a frame pixels are drawn
    reweight: bool = False  # divide by the density of the draws: unbiased, but noisier
    schedule: str = "trapezoid"  # or cosine, linear, constant
    average: bool = False  # the result is a moving average of the weights
    warm_up: float = 300 / 1200  # share of the run until colors learn at the full rate
    grow: float = 300 / 1200  # until all frames are seen
    static: float = 700 / 1200  # until colors see time
    starts: int = 1  # short fits from different seeds, of which the best continues
    start: float = 150 / 1200  # how long these are

    def steps_of(self, steps: float) -> int:
        """Steps of the run that continues, when all runs together have `steps`."""
        return max(2, round(steps / (1 + (self.starts - 1) * self.start)))


def available(settings: TrainingSettings) -> bool:
    """True if the package of the settings's optimizer is installed."""
    name = _PACKAGES.get(settings.optimizer)
    return name is None or importlib.util.find_spec(name) is not None


def rate_share(schedule: str, part: float) -> float:
    """Learning rate after a part of all steps, as a share of the largest."""
    shares = {"trapezoid": trapezoid(part), "cosine": cosine(part), "linear": 1 - part, "constant": 1.0}
    return shares[schedule]


def _optimizer(settings: TrainingSettings, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    rate = settings.learning_rate
    if settings.optimizer == "soap":
        soap = importlib.import_module("pytorch_optimizer").SOAP
        return soap(parameters, lr=rate, weight_decay=0.0)
    if settings.optimizer == "schedule-free":
        free = importlib.import_module("schedulefree").AdamWScheduleFree
        optimizer = free(parameters, lr=rate, betas=(0.9, 0.99))
        optimizer.train()
        return optimizer
    return make_optimizer(settings.optimizer, parameters, rate)


class Draws:
    """Uniform pixels of a clip, equally many per frame, as in the library."""

    def __init__(self, video: Video, seed: int):
        self.clip = torch.from_numpy(video.frames.copy())
        self.times = frame_times(video.time)
        self.generator, self.steps, self.seed = torch.Generator().manual_seed(seed), itertools.count(), seed

    def frames(self, reach: float) -> Tensor:
        """As many frames as there are, all with |t| up to `reach`."""
        if reach >= 1:
            return torch.arange(len(self.times))
        away = self.times.abs()
        near = torch.nonzero(away <= max(reach, float(away.min())))[:, 0]
        first = torch.randint(len(near), (1,), generator=self.generator)
        return near[(torch.arange(len(self.times)) + first) % len(near)]

    def draw(self, count: int, reach: float) -> tuple[PixelBatch, Tensor | None]:
        """A batch and what each pixel counts."""
        away, order = torch.sort(self.times.abs(), stable=True)
        near = int((away <= max(reach, float(away[0]))).sum())
        return random_pixels(self.clip, count, key_of(self.seed, next(self.steps)), order, near), None

    def learn(self, batch: PixelBatch, error: Tensor) -> None:
        """Take note of the error [frames, pixels] of a batch."""


class ImportantDraws(Draws):
    """Pixels drawn from blocks in proportion to their recent error or their local gradient.

    Within each frame, half of the draws follow the importance and half are uniform.
    """

    def __init__(self, video: Video, seed: int, settings: TrainingSettings):
        super().__init__(video, seed)
        self.settings = settings
        self.height, self.width = video.height, video.width
        self.rows, self.columns = -(-self.height // _BLOCK), -(-self.width // _BLOCK)
        tall = _sides(self.rows, self.height)[:, None]
        self.area = (tall * _sides(self.columns, self.width)).flatten() / (self.height * self.width)
        self.value = torch.ones(video.time, self.rows * self.columns)
        if settings.importance == "gradient":
            self.value = _gradient_blocks(self.clip)

    def draw(self, count: int, reach: float) -> tuple[PixelBatch, Tensor | None]:
        """A batch, and the inverse of the density it was drawn by if the settings ask for it."""
        frames = self.frames(reach)
        value = self.value[frames]
        mean = (value * self.area).sum(1, keepdim=True).clamp_min(1e-12)
        density = _UNIFORM + (1 - _UNIFORM) * value / mean  # [frames, blocks], 1: as if uniform
        sums = (density * self.area).cumsum(1)
        shape = (len(frames), max(1, count // len(frames)))
        aim = torch.rand(shape, generator=self.generator) * sums[:, -1:]
        block = torch.searchsorted(sums, aim).clamp_max(sums.shape[1] - 1)
        row = self._within(block // self.columns, self.height)
        column = self._within(block % self.columns, self.width)
        points = pixel_points(column.float(), row.float(), self.height, self.width)
        color = self.clip[frames[:, None], row, column].float() / 255
        batch = PixelBatch(points, frames, row * self.width + column, color)
        return batch, (1 / density.gather(1, block) if self.settings.reweight else None)

    def _within(self, block: Tensor, length: int) -> Tensor:
        """A random pixel index of each block along a side of `length` pixels."""
        start = block * _BLOCK
        size = (length - start).clamp_max(_BLOCK)
        return start + (torch.rand(block.shape, generator=self.generator) * size).long()

    def learn(self, batch: PixelBatch, error: Tensor) -> None:
        """Move the blocks that were drawn towards their error in this batch."""
        if self.settings.importance != "error":
            return
        row, column = batch.indices // self.width, batch.indices % self.width
        blocks = self.rows * self.columns
        index = (row // _BLOCK) * self.columns + column // _BLOCK + batch.frames[:, None] * blocks
        flat = index.flatten()
        count = torch.zeros(self.value.numel()).index_add_(0, flat, torch.ones(flat.shape))
        total = torch.zeros(self.value.numel()).index_add_(0, flat, error.flatten().float())
        old = self.value.view(-1)
        seen = count > 0
        old[seen] = _MEMORY * old[seen] + (1 - _MEMORY) * (total / count.clamp_min(1))[seen]


def _sides(blocks: int, length: int) -> Tensor:
    """Pixels along each side of the blocks."""
    return (length - torch.arange(blocks) * _BLOCK).clamp_max(_BLOCK).float()


def _gradient_blocks(clip: Tensor) -> Tensor:
    """Mean absolute difference to the pixels below and to the right, by block, [time, blocks]."""
    gray = clip.float().mean(-1) / 255
    change = torch.zeros_like(gray)
    change[:, :-1] += (gray[:, 1:] - gray[:, :-1]).abs()
    change[:, :, :-1] += (gray[:, :, 1:] - gray[:, :, :-1]).abs()
    return nn.functional.avg_pool2d(change[:, None], _BLOCK, ceil_mode=True).flatten(1)


class Training:
    """One model, trained with some settings for a number of steps."""

    def __init__(
        self, video: Video, model: ModelConfig, settings: TrainingSettings, steps: int, seed: int = 0
    ):
        self.settings, self.steps, self.step = settings, steps, 0
        self.draws = ImportantDraws(video, seed, settings) if settings.importance else Draws(video, seed)
        self.model = CoordFlow(model, torch.Generator().manual_seed(seed))
        self.optimizer = _optimizer(settings, self.model.parameters())
        self.dtype = training_dtype(torch.device("cpu"))
        self.mean = [parameter.detach().clone() for parameter in self.model.parameters()]
        self.squared = torch.zeros(())  # of the last batch

    def advance(self, stop: int) -> None:
        """Train until step `stop`."""
        while self.step < stop:
            self._set_rates()
            self._descend(*self.draws.draw(self._batch(), self._part(self.settings.grow)))
            if self.settings.average:
                share = min(1.0, 1 / (_AVERAGE * self.steps))
                torch._foreach_lerp_(self.mean, [p.detach() for p in self.model.parameters()], share)
            self.step += 1

    def _descend(self, batch: PixelBatch, weight: Tensor | None) -> None:
        blend = self.model(batch.points, self.draws.times[batch.frames], self.dtype)
        terms = loss_terms(blend, batch.color, FitConfig(), weight)
        self.optimizer.zero_grad(set_to_none=True)
        terms.total.backward()
        self.optimizer.step()
        self.squared = terms.squared
        if self.settings.importance:
            self.draws.learn(batch, (blend.rgb.detach() - batch.color).square().mean(-1))

    def _part(self, share: float) -> float:
        """The share of a phase that is over; an empty phase is over at once."""
        return (self.step + 1) / max(1, round(share * self.steps))

    def _batch(self) -> int:
        low, high = (math.log2(size) for size in self.settings.batch)
        return 2 ** round(low + (high - low) * self.step / self.steps)

    def _set_rates(self) -> None:
        settings = self.settings
        rate = settings.learning_rate * rate_share(settings.schedule, self.step / self.steps)
        warm = min(1.0, (self.step + 20) / max(1, round(settings.warm_up * self.steps)))
        for group in self.optimizer.param_groups:
            group["lr"] = rate * (warm if group.get("wide", True) else 1.0)
        sees_time = self.step >= round(settings.static * self.steps)
        self.model.color.time_weight.requires_grad_(sees_time)

    def finish(self) -> CoordFlow:
        """The model as it is to be judged."""
        if self.settings.average:
            with torch.no_grad():
                torch._foreach_copy_(list(self.model.parameters()), self.mean)
        if self.settings.optimizer == "schedule-free":
            self.optimizer.eval()  # type: ignore[attr-defined]  # swaps in the averaged weights
        return self.model.requires_grad_(True)
