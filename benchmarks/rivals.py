"""The networks that a `CoordFlow` has to beat, in plain PyTorch, shaped so that our codec takes them.

Both answer like a `CoordFlow` of one layer that does not move.  So `Sampler.terms`, `finetune` and the file
format take them as they are: the same loss, the same quantization and fine-tuning, real bytes.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from coordflow_mini.config import FitConfig, ModelConfig
from coordflow_mini.model import Blend, fourier_features, octave_frequencies, spiral_frequencies
from coordflow_mini.muon import make_optimizer, trapezoid
from coordflow_mini.sampling import Sampler
from coordflow_mini.video.clip import Video

__all__ = ["KINDS", "FourierNetwork", "Rival", "Settings", "Siren", "Training", "rival"]

_OCTAVES = 3  # of t alone, as the library has
_WARM_UP = 0.05  # of the steps, until the full learning rate
_SIREN_FACTOR = 30.0  # of the hidden layers: arXiv 2006.09661


@dataclass(frozen=True)
class Settings:
    """The tuned settings: optimizer, learning rate, and one factor of the network's inputs."""

    optimizer: str  # "adam" or "muon": the library's
    rate: float
    factor: float  # Fourier features: spread of the waves' frequencies in t; SIREN: of the first layer


class Rival(nn.Module):
    """A perceptron (x, y, t) -> RGB with sine activations; weights [1, in, out], as the codec wants them."""

    flow = None  # nothing moves

    def __init__(self, sizes: list[int], bounds: list[float], factor: float, generator: torch.Generator):
        super().__init__()
        self.factor = factor  # of the layers between the first and the last

        def uniform(rows: int, columns: int, bound: float) -> nn.Parameter:
            return nn.Parameter(bound * (2 * torch.rand(1, rows, columns, generator=generator) - 1))

        shapes = zip(pairwise(sizes), bounds, strict=True)
        self.weights = nn.ParameterList(uniform(*pair, bound) for pair, bound in shapes)
        self.biases = nn.ParameterList(nn.Parameter(torch.zeros(1, 1, size)) for size in sizes[1:])

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.weights[0].device

    @property
    def parameter_count(self) -> int:
        """The count of numbers in a file of this network."""
        return sum(parameter.numel() for parameter in self.parameters())

    def first(self, inputs: Tensor, dtype: torch.dtype) -> Tensor:
        """The first hidden layer of (x, y, t), [pixels, width]."""
        raise NotImplementedError(f"{type(self).__name__} must say what its first layer is")

    def forward(self, points: Tensor, times: Tensor, dtype: torch.dtype = torch.float32) -> Blend:
        """Colors as the only layer of a blend; points [times or 1, pixels, 2], times [times]."""
        points = points.expand(len(times), -1, -1)
        moments = times[:, None, None].expand(-1, points.shape[1], 1)
        hidden = self.first(torch.cat([points, moments], dim=-1).flatten(0, 1), dtype)
        for weight, bias in zip(list(self.weights)[1:-1], list(self.biases)[1:-1], strict=True):
            hidden = torch.sin(self.factor * _linear(hidden, weight, bias, dtype))
        color = _linear(hidden, self.weights[-1], self.biases[-1], dtype).float() + 0.5
        color = color.view(1, *points.shape[:2], 3)
        return Blend(color, torch.ones_like(color[..., 0]))


def _linear(values: Tensor, weight: Tensor, bias: Tensor, dtype: torch.dtype) -> Tensor:
    return torch.addmm(bias[0].to(dtype), values, weight[0].to(dtype))


class FourierNetwork(Rival):
    """Sines and cosines of plane waves in (x, y, t), and of t alone, into a perceptron.

    In a frame the waves are the library's spiral; each also moves: its frequency in t is drawn with a
    standard deviation of `spread` quarter turns per unit.  With 0 this is the library's network without
    layers and motion.  A decoder needs the seed only.
    """

    waves: Tensor
    octaves: Tensor

    def __init__(self, config: ModelConfig, width: int, spread: float, seed: int):
        generator = torch.Generator().manual_seed(seed)
        count, deep = config.space_frequencies, config.depth - 1
        inputs = 2 * count + 1 + 2 * _OCTAVES
        bounds = [math.sqrt(6 / inputs), *[math.sqrt(6 / width)] * deep, math.sqrt(1 / width)]
        super().__init__([inputs, *[width] * (deep + 1), 3], bounds, 1.0, generator)
        drift = spread * (math.pi / 2) * torch.randn(1, count, generator=generator)
        space = spiral_frequencies(count, config.lowest_frequency, config.highest_frequency)
        self.register_buffer("waves", torch.cat([space, drift]), persistent=False)
        self.register_buffer("octaves", octave_frequencies(_OCTAVES), persistent=False)

    def first(self, inputs: Tensor, dtype: torch.dtype) -> Tensor:
        """A sine layer on the Fourier features."""
        time = inputs[:, 2:]
        features = [fourier_features(inputs, self.waves), time, fourier_features(time, self.octaves)]
        return torch.sin(_linear(torch.cat(features, -1).to(dtype), self.weights[0], self.biases[0], dtype))


class Siren(Rival):
    """Sine layers on raw (x, y, t), with the initialization of arXiv 2006.09661: four, as there.

    first: the factor of the first layer, which sets the finest detail; the paper has 30 there, too.
    """

    def __init__(self, config: ModelConfig, width: int, first: float, seed: int):
        bounds = [1 / 3, *[math.sqrt(6 / width) / _SIREN_FACTOR] * (config.depth + 1)]
        sizes = [3, *[width] * (config.depth + 1), 3]
        super().__init__(sizes, bounds, _SIREN_FACTOR, torch.Generator().manual_seed(seed))
        self.first_factor = first

    def first(self, inputs: Tensor, dtype: torch.dtype) -> Tensor:
        """A sine layer in float32, because bfloat16 would see steps."""
        phase = _linear(inputs, self.weights[0], self.biases[0], torch.float32)
        return torch.sin(self.first_factor * phase).to(dtype)


KINDS: dict[str, Callable[[ModelConfig, int, float, int], Rival]] = {
    "Fourier features": FourierNetwork,
    "SIREN": Siren,
}


def rival(kind: str, config: ModelConfig, weights: int, factor: float, seed: int = 0) -> Rival:
    """The widest network of a kind that has at most that many weights."""
    width = 1
    while KINDS[kind](config, width + 1, factor, seed).parameter_count <= weights:
        width += 1
    return KINDS[kind](config, width, factor, seed)


class Training:
    """A rival being fitted: a short warm-up, the library's annealing, uniform pixels of all frames."""

    def __init__(self, video: Video, model: Rival, settings: Settings, steps: int, seed: int = 0):
        self.model, self.settings, self.steps, self.step = model, settings, steps, 0
        self.sampler = Sampler(video, FitConfig(seed=seed), torch.device("cpu"))
        self.optimizer = make_optimizer(settings.optimizer, model.parameters(), settings.rate)

    def advance(self, stop: int) -> None:
        """Train until step `stop`."""
        while self.step < stop:
            warm = min(1.0, (self.step + 1) / max(1, round(_WARM_UP * self.steps)))
            for group in self.optimizer.param_groups:
                group["lr"] = self.settings.rate * warm * trapezoid(self.step / self.steps)
            self.sampler.aim(self.step)
            terms = self.sampler.terms(self.model)
            self.optimizer.zero_grad(set_to_none=True)
            terms.total.backward()
            self.optimizer.step()
            self.step += 1
