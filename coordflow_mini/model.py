"""The model: layers that move by similarities and are blended by a softmax, in the order of the computation.

    t ──> flow ──> (log s, θ, dx, dy) of every layer
    (x, y) ──> canonical coordinates ──> color ──> RGB and alpha logit of every layer ──> blend

All layers are computed at once, with weights stacked as [layers, in, out]; `CoordFlow.layer` shows one
layer as plain modules.  CoordFlow, arXiv 2501.00975; taught in chapters 01 to 05.
"""

import math
import platform
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from coordflow_mini import similarity
from coordflow_mini.config import ModelConfig
from coordflow_mini.coords import frame_times

# --- Fourier features -----------------------------------------------------------------------------

# A coordinate network alone learns low frequencies first and fine texture hardly at all.  Given the sines
# and cosines of its inputs, it learns both (Tancik et al., arXiv 2006.10739).  The CoordFlow paper does not
# specify an encoding; this one is our choice.


def octave_frequencies(count: int) -> Tensor:
    """Angular frequencies π/2, π, 2π, 4π, ... for one input, [1, count] in radians per unit.

    Over t in [-1, 1] the first sine rises strictly, so it tells all times apart.
    """
    return (math.pi / 2) * 2.0 ** torch.arange(count)[None]


def spiral_frequencies(count: int, lowest: float, highest: float) -> Tensor:
    """Plane-wave vectors in all directions, [2, count] in radians per unit.

    Lengths grow geometrically from `lowest` to `highest` half-waves per unit; directions turn by the
    golden angle.  These are random Fourier features without the randomness, so a decoder needs no seed.
    On clip:bunny they match axis-aligned octaves (LOG.md) without being tied to powers of two.
    """
    index = torch.arange(count, dtype=torch.float64)
    length = math.pi * lowest * (highest / lowest) ** (index / max(1, count - 1))
    angle = index * math.pi * (3 - math.sqrt(5))
    return torch.stack([length * torch.cos(angle), length * torch.sin(angle)]).float()


def fourier_features(values: Tensor, frequencies: Tensor) -> Tensor:
    """sin and cos of values @ frequencies, [..., 2 * count].  Taught in chapter 01.

    values: [..., inputs].  frequencies: [inputs, count], radians per unit of the input.
    """
    phase = phases(values, frequencies)
    return torch.cat([torch.sin(phase), torch.cos(phase)], dim=-1)


def phases(values: Tensor, frequencies: Tensor) -> Tensor:
    """values @ frequencies by multiplying and adding, which no GPU rounds to TF32's 10 bits.

    At 1080p, coordinates of 10 bits would cost all that is above 34 dB.
    """
    total = values[..., :1] * frequencies[0]
    for column in range(1, len(frequencies)):
        total = torch.addcmul(total, values[..., column : column + 1], frequencies[column])
    return total


def _time_features(times: Tensor, frequencies: Tensor) -> Tensor:
    """t and its Fourier features, [times, 1 + 2 * count]."""
    times = times[:, None]
    return torch.cat([times, fourier_features(times, frequencies)], dim=-1)


# --- arithmetic -----------------------------------------------------------------------------------


def training_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 where the hardware multiplies it natively, else float16 on a GPU, else float32."""
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.bfloat16 if native else torch.float16
    return torch.bfloat16 if device.type == "cpu" and _multiplies_bfloat16() else torch.float32


def _multiplies_bfloat16() -> bool:
    """True for a processor with instructions for it; PyTorch computes it on others too, but slowly."""
    if platform.machine().lower() in ("x86_64", "amd64") and hasattr(torch.cpu, "_is_amx_tile_supported"):
        return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


_HALF_SCALE = 1024.0  # of gradients in float16, which would lose those of single pixels, 1e-7 and less


class _Conversion(torch.autograd.Function):
    """To or from float16; the gradient is scaled up where it enters float16, and down where it leaves it."""

    @staticmethod
    def forward(context: Any, values: Tensor, dtype: torch.dtype) -> Tensor:
        context.dtype = values.dtype
        return values.to(dtype)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Any:
        scale = _HALF_SCALE if context.dtype == torch.float16 else 1 / _HALF_SCALE
        return (gradient.float() * scale).to(context.dtype), None


def _to(values: Tensor, dtype: torch.dtype) -> Tensor:
    """Values in another dtype, with gradients that float16 can hold."""
    if values.dtype == dtype or torch.float16 not in (values.dtype, dtype):
        return values.to(dtype)
    result: Tensor = _Conversion.apply(values, dtype)  # type: ignore[no-untyped-call]
    return result


def sine(values: Tensor, dtype: torch.dtype) -> Tensor:
    """sin of all values in a dtype; by polynomials in compiled bfloat16, which is faster.

    Values and derivatives are off by less than 5e-5, where bfloat16 itself rounds by up to 2e-3.
    """
    if dtype != torch.bfloat16 or not torch.compiler.is_compiling():
        return _to(torch.sin(values), dtype)
    result: Tensor = _PolynomialSine.apply(values)  # type: ignore[no-untyped-call]
    return result


class _PolynomialSine(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, values: Tensor) -> Tensor:
        context.save_for_backward(values)
        turns = _turns(values)
        return (turns * _polynomial(turns * turns, _SINE)).bfloat16()

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:
        (values,) = context.saved_tensors
        turns = _turns(values)
        return (gradient.float() * _polynomial(turns * turns, _COSINE)).to(values.dtype)


# sin(2πu) / u and cos(2πu) for |u| <= 1/2 in powers of u², highest first; least squares of the largest error
_SINE = (32.0821612, -74.0620432, 81.2825749, -41.3246579, 6.2829069)
_COSINE = (45.6204067, -82.3905244, 64.6714040, -19.7309408, 0.9999590)


def _turns(values: Tensor) -> Tensor:
    """Angles in turns, reduced to -1/2 .. 1/2, float32."""
    turns = values.float() / (2 * math.pi)
    return turns - torch.round(turns)


def _polynomial(x: Tensor, coefficients: tuple[float, ...]) -> Tensor:
    result = coefficients[0] * x + coefficients[1]
    for coefficient in coefficients[2:]:
        result = result * x + coefficient
    return result


# --- flow: where a layer is -----------------------------------------------------------------------


_RIDGE = 1e-4  # keeps the weights of a measured motion below 1, for few bits


class FlowNetwork(nn.Module):
    """t -> (log s, θ, dx, dy) of every layer.

    Motion depends on time alone: all pixels of a layer move together, which is what makes a layer one
    object (CoordFlow sec. 3).  The last weights start near zero, so every layer starts at the identity
    and still receives a gradient.  Width and features are our choice.  Taught in chapter 04.
    """

    frequencies: Tensor

    def __init__(self, config: ModelConfig, generator: torch.Generator | None = None):
        super().__init__()
        layers, width, inputs = config.layers, config.flow_width, 1 + 2 * config.flow_frequencies
        self.register_buffer("frequencies", octave_frequencies(config.flow_frequencies), persistent=False)
        self.weight_in = _uniform(layers, inputs, width, math.sqrt(3 / inputs), generator)
        self.bias_in = nn.Parameter(torch.zeros(layers, 1, width))
        self.weight_out = _uniform(layers, width, 4, 1e-3, generator)
        self.bias_out = nn.Parameter(torch.zeros(layers, 1, 4))

    def transforms(self, times: Tensor) -> Tensor:
        """Similarities, frame -> canonical, [layers, times, 4]; see `similarity`."""
        features = _time_features(times.to(self.frequencies.device), self.frequencies)
        hidden = torch.tanh(_exact_product(features, self.weight_in) + self.bias_in)
        return _exact_product(hidden, self.weight_out) + self.bias_out

    @torch.no_grad()
    def start_from(self, motion: Tensor) -> None:
        """Set the last weights by least squares, so that the network gives motion [layers, time, 4]."""
        features = _time_features(frame_times(motion.shape[1]).to(self.frequencies.device), self.frequencies)
        hidden = torch.tanh(_exact_product(features, self.weight_in) + self.bias_in)
        hidden = torch.cat([hidden, torch.ones_like(hidden[..., :1])], dim=-1).double()
        gram = hidden.mT @ hidden + _RIDGE * torch.eye(hidden.shape[-1], device=hidden.device)
        solved = torch.linalg.solve(gram, hidden.mT @ motion.to(hidden)).float()
        self.weight_out.copy_(solved[:, :-1])
        self.bias_out.copy_(solved[:, -1:])

    def forward(self, points: Tensor, times: Tensor) -> Tensor:
        """Canonical coordinates of frame points, [layers, times, pixels, 2].

        points: [times or 1, pixels, 2], see `coords`.  times: [times].
        """
        return similarity.apply(self.transforms(times)[:, :, None], points)


def _exact_product(rows: Tensor, matrices: Tensor) -> Tensor:
    """rows @ matrices as a sum of products, for the few rows of times; see `phases`."""
    return (rows[..., None] * matrices[:, None]).sum(dim=-2)


def _uniform(
    layers: int, rows: int, columns: int, bound: float, generator: torch.Generator | None
) -> nn.Parameter:
    return nn.Parameter(bound * (2 * torch.rand(layers, rows, columns, generator=generator) - 1))


# --- color: what a layer shows --------------------------------------------------------------------


class ColorNetwork(nn.Module):
    """Canonical coordinates and time -> RGB and an alpha logit of every layer.

    A perceptron with sine activations: SIREN (arXiv 2006.09661) without its factor 30, since the Fourier
    features already supply high frequencies.  Time enters the first layer only; its share is the same for
    all pixels of a frame and is computed once per frame.  The paper's summary specifies none of this.
    Taught in chapters 01, 02 and 04.
    """

    space: Tensor
    time: Tensor

    def __init__(self, config: ModelConfig, generator: torch.Generator | None = None):
        super().__init__()
        c, layers, width, inputs = config, config.layers, config.width, 2 * config.space_frequencies
        spiral = spiral_frequencies(c.space_frequencies, c.lowest_frequency, c.highest_frequency)
        self.register_buffer("space", spiral, persistent=False)
        self.register_buffer("time", octave_frequencies(c.time_frequencies), persistent=False)
        self.time_weight = nn.Parameter(  # zero: a fresh network shows a still picture
            torch.zeros(layers, 1 + 2 * c.time_frequencies, width)
        )
        self.weights = nn.ParameterList([_uniform(layers, inputs, width, math.sqrt(6 / inputs), generator)])
        for _ in range(c.depth - 1):
            self.weights.append(_uniform(layers, width, width, math.sqrt(6 / width), generator))
        self.weights.append(_uniform(layers, width, 4, math.sqrt(1 / width), generator))
        sizes = [width] * c.depth + [4]
        self.biases = nn.ParameterList(nn.Parameter(torch.zeros(layers, 1, size)) for size in sizes)

    def forward(
        self, points: Tensor, times: Tensor, dtype: torch.dtype = torch.float32
    ) -> tuple[Tensor, Tensor]:
        """RGB around [0, 1], [layers, times, pixels, 3], and alpha logits, [layers, times, pixels].

        points: canonical, [layers, times, pixels, 2].  times: [times] in [-1, 1].
        dtype: of the perceptron; phases are always float32, because bfloat16 would show steps.
        """
        return self.from_share(points, self.time_share(times), dtype)

    def time_share(self, times: Tensor) -> Tensor:
        """The part of the first hidden layer that depends on time alone, [layers, times, 1, width]."""
        features = _time_features(times.to(self.time.device), self.time)
        return (_exact_product(features, self.time_weight) + self.biases[0])[:, :, None]

    def from_share(self, points: Tensor, share: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """`forward` after `time_share`, which pieces of one frame have in common."""
        layers, frames, pixels, _ = points.shape
        phase = phases(points.reshape(layers, frames * pixels, 2), self.space)
        features = torch.cat([sine(phase, dtype), _shifted_sine(phase, math.pi / 2, dtype)], dim=-1)
        hidden = torch.bmm(features, _to(self.weights[0], dtype)).view(layers, frames, pixels, -1)
        hidden = _shifted_sine(hidden, _to(share, dtype), dtype).flatten(1, 2)
        for weight, bias in zip(list(self.weights)[1:-1], list(self.biases)[1:-1], strict=True):
            hidden = _shifted_sine(torch.bmm(hidden, _to(weight, dtype)), _to(bias, dtype), dtype)
        output = torch.bmm(hidden, _to(self.weights[-1], dtype)) + _to(self.biases[-1], dtype)
        output = _to(output, torch.float32).view(layers, frames, pixels, 4)
        return output[..., :3] + 0.5, output[..., 3]  # a fresh network shows middle gray


def _shifted_sine(values: Tensor, shift: Tensor | float, dtype: torch.dtype) -> Tensor:
    """sin(values + shift), in place of the values where no gradient needs them: rendering is faster."""
    if torch.is_grad_enabled():
        return sine(values + shift, dtype)
    return values.add_(shift).sin_().to(dtype)


# --- blend ----------------------------------------------------------------------------------------


class Blend(NamedTuple):
    """Colors and blending weights of all layers at some pixels."""

    layer_rgb: Tensor  # [layers, times, pixels, 3] around [0, 1]
    alpha: Tensor  # [layers, times, pixels], positive, sums to 1 over the layers

    @property
    def rgb(self) -> Tensor:
        """The blended color Σ αᵢ cᵢ (CoordFlow sec. 3), [times, pixels, 3]."""
        return (self.alpha[..., None] * self.layer_rgb).sum(dim=0)


class CoordFlow(nn.Module):
    """A video as a function of (x, y, t).  Taught in chapters 04 to 06.

    >>> model = CoordFlow(ModelConfig(layers=2, width=8))
    >>> blend = model(torch.zeros(1, 5, 2), torch.tensor([-1.0, 0.0, 1.0]))
    >>> blend.rgb.shape, blend.alpha.sum(dim=0).allclose(torch.ones(3, 5))
    (torch.Size([3, 5, 3]), True)
    """

    def __init__(self, config: ModelConfig, generator: torch.Generator | None = None):
        super().__init__()
        self.config = config
        self.flow = FlowNetwork(config, generator) if config.motion == "similarity" else None
        self.color = ColorNetwork(config, generator)

    def __repr__(self) -> str:
        c = self.config
        return (
            f"CoordFlow({c.layers} layers, motion {c.motion}, width {c.width}, depth {c.depth}, "
            f"{self.parameter_count} weights)"
        )

    @property
    def device(self) -> torch.device:
        """Where the weights are, and where points must be."""
        return self.color.space.device

    @property
    def parameter_count(self) -> int:
        """Number of weights, which is what a file stores."""
        return sum(parameter.numel() for parameter in self.parameters())

    def start_from(self, motion: Tensor | None) -> None:
        """Let the layers move as measured, [layers, time, 4], if any motion was."""
        if motion is not None and self.flow is not None:
            self.flow.start_from(motion)

    def transforms(self, times: Tensor) -> Tensor:
        """Motion of every layer, frame -> canonical, [layers, times, 4]; see `similarity`."""
        if self.flow is None:
            return torch.zeros(self.config.layers, len(times), 4, device=self.device)
        return self.flow.transforms(times)

    def canonical(self, points: Tensor, times: Tensor) -> Tensor:
        """Frame points in each layer's own coordinates, [layers, times, pixels, 2]."""
        if self.flow is None:
            return points.expand(self.config.layers, len(times), -1, -1)
        return self.flow(points, times)

    def forward(self, points: Tensor, times: Tensor, dtype: torch.dtype = torch.float32) -> Blend:
        """Layer colors and blending weights at frame points; `render` makes pictures of them.

        points: [times or 1, pixels, 2].  times: [times] in [-1, 1].  dtype: see `ColorNetwork`.
        """
        layer_rgb, logits = self.color(self.canonical(points, times), times, dtype)
        return Blend(layer_rgb, torch.softmax(logits, dim=0))

    def layer(self, index: int) -> "Layer":
        """One layer as plain modules, for reading and teaching; it shares no storage with the model."""
        if not 0 <= index < self.config.layers:
            raise ValueError(f"layer must be 0 to {self.config.layers - 1}, got {index}")
        return Layer(self, index)


def parameter_shapes(config: ModelConfig) -> list[tuple[int, ...]]:
    """Shapes of a model's tensors in the order of `parameters()`, without building the model.

    Computed by hand: PyTorch's "meta" device would import for a second first.
    """
    c = config
    flow = [(1 + 2 * c.flow_frequencies, c.flow_width), (1, c.flow_width), (c.flow_width, 4), (1, 4)]
    sizes = [2 * c.space_frequencies, *[c.width] * c.depth, 4]
    color = [(1 + 2 * c.time_frequencies, c.width), *pairwise(sizes), *((1, size) for size in sizes[1:])]
    shapes = flow + color if c.motion == "similarity" else color
    return [(c.layers, *shape) for shape in shapes]


def weight_count(config: ModelConfig) -> int:
    """Number of weights of a model, without building it."""
    return sum(math.prod(shape) for shape in parameter_shapes(config))


# --- one layer, to be read ------------------------------------------------------------------------


class Layer(nn.Module):
    """One layer of a `CoordFlow`, written as a single network of plain modules."""

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
        return self.flow(_time_features(times, self.flow_time))

    def forward(self, points: Tensor, times: Tensor) -> tuple[Tensor, Tensor]:
        """RGB, [pixels, 3], and alpha logits, [pixels], of points [pixels, 2] at times [pixels]."""
        points = similarity.apply(self.transforms(times), points)
        features = [fourier_features(points, self.space), _time_features(times, self.time)]
        output = self.color(torch.cat(features, dim=-1))
        return output[:, :3] + 0.5, output[:, 3]


class Sine(nn.Module):
    """The activation sin(x)."""

    def forward(self, values: Tensor) -> Tensor:
        """Sines of all values, same shape."""
        return torch.sin(values)


def _linear(weight: Tensor, bias: Tensor) -> nn.Linear:
    """A linear layer with weight [in, out] and bias [1, out]."""
    linear = nn.Linear(weight.shape[0], weight.shape[1], device=weight.device)
    with torch.no_grad():
        linear.weight.copy_(weight.T)
        linear.bias.copy_(bias[0])
    return linear
