"""The model: N layers that move by a similarity each, blended by a softmax over alpha."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn

from coordflow_mini import similarity
from coordflow_mini.color import ColorNetwork
from coordflow_mini.config import ModelConfig
from coordflow_mini.coords import pixel_grid, scaled_size
from coordflow_mini.flow import FlowNetwork
from coordflow_mini.fourier import fourier_features

__all__ = [
    "Blend",
    "CoordFlow",
    "Layer",
    "Rendering",
    "Sine",
    "parameter_shapes",
    "to_uint8",
    "training_dtype",
    "weight_count",
]


_BAND = 1 << 22  # pixels of all layers together that are floats at once: some 250 MB
_FARTHEST = 2.0**30  # coordinate units that motion carries a point at most; nobody sees that far


class Blend(NamedTuple):
    """What every layer shows at some pixels, and with which weight."""

    layer_rgb: Tensor  # [layers, times, pixels, 3] around [0, 1]
    alpha: Tensor  # [layers, times, pixels], positive, sums to 1 over the layers

    @property
    def rgb(self) -> Tensor:
        """The blended color, [times, pixels, 3]: Σ αᵢ cᵢ (CoordFlow sec. 3)."""
        return (self.alpha[..., None] * self.layer_rgb).sum(dim=0)


@dataclass(frozen=True, eq=False)
class Rendering:
    """Frames of a model as 8-bit pictures: the blend, each layer alone, and its alpha."""

    rgb: Tensor  # uint8 [time, height, width, 3]
    layer_rgb: Tensor  # uint8 [layers, time, height, width, 3]
    alpha: Tensor  # float32 [layers, time, height, width], sums to 1 over the layers


class CoordFlow(nn.Module):
    """A video as a function of (x, y, t).  arXiv 2501.00975; taught in chapters 04 to 06.

    >>> model = CoordFlow(ModelConfig(layers=2, width=8))
    >>> blend = model(torch.zeros(1, 5, 2), torch.tensor([-1.0, 0.0, 1.0]))
    >>> blend.rgb.shape, blend.alpha.sum(dim=0).allclose(torch.ones(3, 5))
    (torch.Size([3, 5, 3]), True)
    """

    def __init__(self, config: ModelConfig, generator: torch.Generator | None = None):
        super().__init__()
        self.config = config
        self.flow = (
            FlowNetwork(config.layers, config.flow_width, config.flow_frequencies, generator)
            if config.motion == "similarity"
            else None
        )
        self.color = ColorNetwork(
            config.layers,
            config.width,
            config.depth,
            config.space_frequencies,
            config.time_frequencies,
            config.lowest_frequency,
            config.highest_frequency,
            generator,
        )

    def __repr__(self) -> str:
        c = self.config
        return (
            f"CoordFlow({c.layers} layers, motion {c.motion}, width {c.width}, depth {c.depth}, "
            f"{self.parameter_count} weights)"
        )

    @property
    def parameter_count(self) -> int:
        """How many numbers a file of this model holds."""
        return sum(parameter.numel() for parameter in self.parameters())

    def transforms(self, times: Tensor) -> Tensor:
        """The motion of every layer, frame -> canonical, [layers, times, 4]; see `similarity`."""
        if self.flow is None:
            return torch.zeros(self.config.layers, len(times), 4, device=times.device)
        return self.flow.transforms(times)

    def canonical(self, points: Tensor, times: Tensor) -> Tensor:
        """Frame points in each layer's own coordinates, [layers, times, pixels, 2]."""
        if self.flow is None:
            return points.expand(self.config.layers, len(times), -1, -1)
        return self.flow(points, times)

    def forward(self, points: Tensor, times: Tensor, dtype: torch.dtype = torch.float32) -> Blend:
        """Layer colors and blending weights at frame points.

        points: [times or 1, pixels, 2].  times: [times] in [-1, 1].  dtype: see `ColorNetwork`.
        """
        layer_rgb, logits = self.color(self.canonical(points, times), times, dtype)
        return Blend(layer_rgb, torch.softmax(logits, dim=0))

    @torch.no_grad()
    def still(self, points: Tensor, time: Tensor, dtype: torch.dtype = torch.float32) -> Blend:
        """One moment at frame points [pixels, 2], as `forward` has it: see `ColorNetwork.still`."""
        matrices = similarity.matrix(self.transforms(time[None])[:, 0])[:, :2]  # [layers, 2, 3]
        matrices = matrices.nan_to_num(0.0).clamp(-_FARTHEST, _FARTHEST)  # so all that follows is finite
        canonical = matrices[:, :, :2] @ points.T + matrices[:, :, 2:]
        output = self.color.still(canonical, time, dtype)  # [layers, 4, pixels]
        alpha = torch.softmax(output[:, 3], dim=0)
        return Blend(output[:, None, :3].mT, alpha[:, None])

    def bands(self, height: int, width: int, scale: float = 1.0) -> Iterator[slice]:
        """The rows of a frame in as large parts as may be floats at once."""
        rows, columns = scaled_size(height, width, scale)
        step = max(1, _BAND // (self.config.layers * columns))
        return (slice(first, min(first + step, rows)) for first in range(0, rows, step))

    def _blends(
        self, time: Tensor, height: int, width: int, scale: float, dtype: torch.dtype
    ) -> Iterator[tuple[slice, Blend]]:
        """A frame in bands of whole rows, after their pixels, so that a large one is never all floats."""
        columns, device = scaled_size(height, width, scale)[1], self.color.space.device
        for band in self.bands(height, width, scale):
            points = pixel_grid(height, width, scale=scale, band=band, device=device)
            yield slice(columns * band.start, columns * band.stop), self.still(points, time, dtype)

    def pictures(
        self,
        times: Tensor,
        height: int,
        width: int,
        *,
        scale: float = 1.0,
        layer: int | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> Iterator[Tensor]:
        """Frames, uint8 [height, width, 3] on the CPU, one by one: a long video never stands in memory.

        layer: this one alone instead of the blend.
        """
        rows, columns = scaled_size(height, width, scale)
        for number in range(len(times)):  # not `in times`, which would make a tensor for each of a million
            time = times[number].to(self.color.space.device)
            picture = torch.empty(rows * columns, 3, dtype=torch.uint8)
            for pixels, blend in self._blends(time, height, width, scale, dtype):
                picture[pixels] = to_uint8(blend.rgb if layer is None else blend.layer_rgb[layer])[0].cpu()
            yield picture.view(rows, columns, 3)

    def render_frames(
        self,
        times: Tensor,
        height: int,
        width: int,
        *,
        scale: float = 1.0,
        dtype: torch.dtype = torch.float32,
    ) -> Iterator[Rendering]:
        """Renderings of one frame each, one by one."""
        size = scaled_size(height, width, scale)
        layers, count = self.config.layers, size[0] * size[1]
        for number in range(len(times)):
            time = times[number].to(self.color.space.device)
            picture = torch.empty(1, count, 3, dtype=torch.uint8)
            layer_rgb = torch.empty(layers, 1, count, 3, dtype=torch.uint8)
            alpha = torch.empty(layers, 1, count)
            for pixels, blend in self._blends(time, height, width, scale, dtype):
                picture[:, pixels] = to_uint8(blend.rgb).cpu()
                layer_rgb[:, :, pixels] = to_uint8(blend.layer_rgb).cpu()
                alpha[:, :, pixels] = blend.alpha.cpu()
            yield Rendering(
                picture.unflatten(1, size), layer_rgb.unflatten(2, size), alpha.unflatten(2, size)
            )

    def render(
        self,
        times: Tensor,
        height: int,
        width: int,
        *,
        scale: float = 1.0,
        dtype: torch.dtype = torch.float32,
    ) -> Rendering:
        """All the given times at once, as one `Rendering`.

        times: [time] in [-1, 1], see `coords.frame_times`.  scale: of both sides of the picture.
        """
        frames = list(self.render_frames(times, height, width, scale=scale, dtype=dtype))
        return Rendering(
            torch.cat([frame.rgb for frame in frames]),
            torch.cat([frame.layer_rgb for frame in frames], dim=1),
            torch.cat([frame.alpha for frame in frames], dim=1),
        )

    def layer(self, index: int) -> "Layer":
        """One layer as plain modules that share no storage with the model, for reading and teaching."""
        if not 0 <= index < self.config.layers:
            raise ValueError(f"layer must be 0 to {self.config.layers - 1}, got {index}")
        return Layer(self, index)


def to_uint8(rgb: Tensor) -> Tensor:
    """Colors in [0, 1] as 8-bit values, rounded to the nearest, on the same device; NaN becomes 0, black."""
    return (rgb.nan_to_num(0.0).clamp(0, 1) * 255).round().to(torch.uint8)


def parameter_shapes(config: ModelConfig) -> list[tuple[int, ...]]:
    """The shapes of a model's tensors in the order of `parameters()`.

    Counted, not asked of a model on PyTorch's "meta" device: the first arithmetic there imports for a second.
    """
    c = config
    flow = [(1 + 2 * c.flow_frequencies, c.flow_width), (1, c.flow_width), (c.flow_width, 4), (1, 4)]
    sizes = [2 * c.space_frequencies, *[c.width] * c.depth, 4]
    color = [(1 + 2 * c.time_frequencies, c.width), *pairwise(sizes), *((1, size) for size in sizes[1:])]
    shapes = flow + color if c.motion == "similarity" else color
    return [(c.layers, *shape) for shape in shapes]


def training_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 where the hardware multiplies it natively, else float32."""
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        native = device.type == "cpu" and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return torch.bfloat16 if native else torch.float32


def weight_count(config: ModelConfig) -> int:
    """How many weights a model has, without allocating it."""
    return sum(math.prod(shape) for shape in parameter_shapes(config))


class Layer(nn.Module):
    """One layer of a `CoordFlow`, written the way one writes a single network."""

    space: Tensor
    time: Tensor
    flow_time: Tensor

    def __init__(self, model: CoordFlow, index: int):
        super().__init__()
        self.config, color = model.config, model.color
        self.register_buffer("space", color.space.clone(), persistent=False)
        self.register_buffer("time", color.time.clone(), persistent=False)
        first = torch.cat([color.weights[0][index], color.time_weight[index]])
        weights = [first, *(weight[index] for weight in list(color.weights)[1:])]
        self.color = nn.Sequential()
        for weight, bias in zip(weights, color.biases, strict=True):
            self.color.extend([_linear(weight, bias[index]), Sine()])
        del self.color[-1]  # the output is linear
        self.flow = None
        if model.flow is not None:
            self.register_buffer("flow_time", model.flow.frequencies.clone(), persistent=False)
            self.flow = nn.Sequential(
                _linear(model.flow.weight_in[index], model.flow.bias_in[index]),
                nn.Tanh(),
                _linear(model.flow.weight_out[index], model.flow.bias_out[index]),
            )

    def transforms(self, times: Tensor) -> Tensor:
        """The layer's motion, frame -> canonical, [times, 4]."""
        if self.flow is None:
            return torch.zeros(len(times), 4, device=times.device)
        times = times[:, None]
        return self.flow(torch.cat([times, fourier_features(times, self.flow_time)], dim=-1))

    def forward(self, points: Tensor, times: Tensor) -> tuple[Tensor, Tensor]:
        """RGB [pixels, 3] and alpha logit [pixels] of points [pixels, 2] at times [pixels]."""
        points = similarity.apply(self.transforms(times), points)
        times = times[:, None]
        time_features = torch.cat([times, fourier_features(times, self.time)], dim=-1)
        output = self.color(torch.cat([fourier_features(points, self.space), time_features], dim=-1))
        return output[:, :3] + 0.5, output[:, 3]


class Sine(nn.Module):
    """The activation sin(x)."""

    def forward(self, values: Tensor) -> Tensor:
        """Sines of all values, same shape."""
        return torch.sin(values)


def _linear(weight: Tensor, bias: Tensor) -> nn.Linear:
    """A linear layer of a weight [in, out] and a bias [1, out]."""
    linear = nn.Linear(*weight.shape)
    with torch.no_grad():
        linear.weight.copy_(weight.T)
        linear.bias.copy_(bias[0])
    return linear
