"""The color network: canonical coordinates and time -> RGB and an alpha logit."""

import math
from typing import Any

import torch
from torch import Tensor, nn

from coordflow_mini.fourier import fourier_features, octave_frequencies, spiral_frequencies

__all__ = ["ColorNetwork", "sine"]


_PIECE = 1 << 11  # pixels: 0.5 MB of activations a layer at width 64
_PIECE_ELSEWHERE = 1 << 18
_NUMBERS, _NUMBERS_ELSEWHERE = 1 << 23, 1 << 29  # a piece of a very wide model has fewer pixels: 32 MB, 2 GB


class ColorNetwork(nn.Module):
    """Colors of canonical points for every layer, as stacked weights [layers, in, out].

    A perceptron with sine activations (SIREN, arXiv 2006.09661, without its factor 30, because
    Fourier features already supply the high frequencies).  Time enters the first layer only: its
    share is the same for all pixels of a frame, so it is computed once per frame, not per pixel.
    The paper's summary fixes none of this.  Taught in chapters 01, 02 and 04.
    """

    space: Tensor
    time: Tensor

    def __init__(
        self,
        layers: int,
        width: int,
        depth: int,
        space_frequencies: int,
        time_frequencies: int,
        lowest_frequency: float,
        highest_frequency: float,
        generator: torch.Generator | None = None,
    ):
        super().__init__()
        spiral = spiral_frequencies(space_frequencies, lowest_frequency, highest_frequency)
        self.register_buffer("space", spiral, persistent=False)
        self.register_buffer("time", octave_frequencies(time_frequencies), persistent=False)

        def uniform(rows: int, columns: int, bound: float) -> nn.Parameter:
            return nn.Parameter(bound * (2 * torch.rand(layers, rows, columns, generator=generator) - 1))

        inputs = 2 * space_frequencies
        self.time_weight = nn.Parameter(
            torch.zeros(layers, 1 + 2 * time_frequencies, width)
        )  # a still picture
        self.weights = nn.ParameterList([uniform(inputs, width, math.sqrt(6 / inputs))])
        self.weights.extend(uniform(width, width, math.sqrt(6 / width)) for _ in range(depth - 1))
        self.weights.append(uniform(width, 4, math.sqrt(1 / width)))
        sizes = [width] * depth + [4]
        self.biases = nn.ParameterList(nn.Parameter(torch.zeros(layers, 1, size)) for size in sizes)

    def forward(
        self, points: Tensor, times: Tensor, dtype: torch.dtype = torch.float32
    ) -> tuple[Tensor, Tensor]:
        """RGB around [0, 1], [layers, times, pixels, 3], and alpha logits [layers, times, pixels].

        points: canonical [layers, times, pixels, 2].  times: [times] in [-1, 1].
        dtype: of the perceptron; the encoding is always float32, where bfloat16 would see steps.
        """
        layers, frames, pixels, _ = points.shape
        phase = points.reshape(layers, frames * pixels, 2) @ self.space
        features = torch.cat([sine(phase, dtype), sine(phase + math.pi / 2, dtype)], dim=-1)
        hidden = torch.bmm(features, self.weights[0].to(dtype)).view(layers, frames, pixels, -1)
        hidden = sine(hidden + self._time_share(times).to(dtype), dtype).flatten(1, 2)
        for weight, bias in zip(list(self.weights)[1:-1], list(self.biases)[1:-1], strict=True):
            hidden = sine(torch.bmm(hidden, weight.to(dtype)) + bias.to(dtype), dtype)
        output = torch.bmm(hidden, self.weights[-1].to(dtype)) + self.biases[-1].to(dtype)
        output = output.float().view(layers, frames, pixels, 4)
        return output[..., :3] + 0.5, output[..., 3]  # a fresh network shows middle gray

    @torch.no_grad()
    def still(self, points: Tensor, time: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        """RGB and alpha logits of one moment, channels first, [layers, 4, pixels]: `forward`, for rendering.

        Long rows of pixels suit matrix products and sines better than short rows of channels, and pieces
        that stay in the processor's cache better than whole frames: three times as fast on a CPU (LOG.md).

        points: canonical [layers, 2, pixels].  time: [] in [-1, 1].  dtype: see `forward`.
        """
        share = self._time_share(time[None])[:, 0].mT.to(dtype)  # [layers, width, 1]
        weights = [weight.mT.to(dtype) for weight in self.weights]
        biases = [bias.mT.to(dtype) for bias in self.biases]
        outputs = []
        for piece in points.split(self._piece(points.device.type), dim=2):
            phase = self.space.mT @ piece
            hidden = torch.cat([torch.sin(phase), torch.cos(phase)], dim=1).to(dtype)
            hidden = torch.bmm(weights[0], hidden).add_(share).sin_()
            for weight, bias in zip(weights[1:-1], biases[1:-1], strict=True):
                hidden = torch.bmm(weight, hidden).add_(bias).sin_()
            outputs.append(torch.bmm(weights[-1], hidden).add_(biases[-1]).float())
        output = torch.cat(outputs, dim=2)
        output[:, :3] += 0.5
        return output

    def _piece(self, kind: str) -> int:
        """How many pixels to compute at once on such a device."""
        pixels, numbers = (_PIECE, _NUMBERS) if kind == "cpu" else (_PIECE_ELSEWHERE, _NUMBERS_ELSEWHERE)
        widest = len(self.weights[0]) * max(matrix.shape[1] for matrix in self.weights)
        return max(1, min(pixels, numbers // widest))

    def _time_share(self, times: Tensor) -> Tensor:
        """What time adds to the first hidden layer of every pixel, [layers, times, 1, width]."""
        times = times[:, None]
        features = torch.cat([times, fourier_features(times, self.time)], dim=-1)
        return (features @ self.time_weight + self.biases[0])[:, :, None]


def sine(values: Tensor, dtype: torch.dtype) -> Tensor:
    """sin of all values in a dtype; in compiled bfloat16 by polynomials, exact enough for it and faster.

    Their error stays below 5e-5 for the sine and its derivative, where bfloat16 itself rounds by up to 2e-3.
    """
    if dtype != torch.bfloat16 or not torch.compiler.is_compiling():
        return torch.sin(values).to(dtype)
    result: Tensor = _PolynomialSine.apply(values)  # type: ignore[no-untyped-call]
    return result


class _PolynomialSine(torch.autograd.Function):
    """sin in bfloat16, and its derivative, by polynomials in turns after whole turns are taken off."""

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


# sin(2πu) / u and cos(2πu) for |u| <= 1/2 in powers of u², least squares of the largest error; highest first
_SINE = (32.0821612, -74.0620432, 81.2825749, -41.3246579, 6.2829069)
_COSINE = (45.6204067, -82.3905244, 64.6714040, -19.7309408, 0.9999590)


def _turns(values: Tensor) -> Tensor:
    """Angles in turns, float32, from -1/2 to 1/2."""
    turns = values.float() / (2 * math.pi)
    return turns - torch.round(turns)


def _polynomial(x: Tensor, coefficients: tuple[float, ...]) -> Tensor:
    """Horner's scheme."""
    result = coefficients[0] * x + coefficients[1]
    for coefficient in coefficients[2:]:
        result = result * x + coefficient
    return result
