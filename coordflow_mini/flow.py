"""The flow network: time -> one similarity transform per layer -> canonical coordinates."""

import math

import torch
from torch import Tensor, nn

from coordflow_mini import similarity
from coordflow_mini.fourier import fourier_features, octave_frequencies

__all__ = ["FlowNetwork"]


class FlowNetwork(nn.Module):
    """t -> (log s, θ, dx, dy) for every layer, as stacked weights [layers, in, out].

    The motion depends on time alone: all pixels of a layer move together, which is what makes a
    layer a thing (CoordFlow sec. 3).  The last weights start near zero, so every layer starts at
    the identity and still receives a gradient.  Width and encoding are ours.  Taught in chapter 04.
    """

    frequencies: Tensor

    def __init__(self, layers: int, width: int, frequencies: int, generator: torch.Generator | None = None):
        super().__init__()
        inputs = 1 + 2 * frequencies
        self.register_buffer("frequencies", octave_frequencies(frequencies), persistent=False)
        bound = math.sqrt(3 / inputs)
        self.weight_in = nn.Parameter(
            bound * (2 * torch.rand(layers, inputs, width, generator=generator) - 1)
        )
        self.bias_in = nn.Parameter(torch.zeros(layers, 1, width))
        self.weight_out = nn.Parameter(1e-3 * (2 * torch.rand(layers, width, 4, generator=generator) - 1))
        self.bias_out = nn.Parameter(torch.zeros(layers, 1, 4))

    def transforms(self, times: Tensor) -> Tensor:
        """The similarity of every layer at every time, frame -> canonical, [layers, times, 4]."""
        times = times[:, None]
        features = torch.cat([times, fourier_features(times, self.frequencies)], dim=-1)
        hidden = torch.tanh(features @ self.weight_in + self.bias_in)  # [layers, times, width]
        return hidden @ self.weight_out + self.bias_out

    def forward(self, points: Tensor, times: Tensor) -> Tensor:
        """Canonical coordinates of frame points under each layer's motion, [layers, times, pixels, 2].

        points: [times or 1, pixels, 2], see `coords`.  times: [times].
        """
        return similarity.apply(self.transforms(times)[:, :, None], points)
