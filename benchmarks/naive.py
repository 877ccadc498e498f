"""CoordFlow written the way the chapters build it: what the library's speed is measured against.

A Python loop over layers, everything evaluated for every pixel (the motion, too), a clip of floats,
no reduced precision, PyTorch's own Adam.  Nothing is slowed down on purpose.  `tests/test_naive.py`
asserts that pictures, loss and gradients equal the library's in float32.
"""

import itertools

import torch
from torch import Tensor, nn

from coordflow_mini import similarity
from coordflow_mini.config import ModelConfig
from coordflow_mini.coords import frame_times, pixel_grid
from coordflow_mini.model import CoordFlow, fourier_features, octave_frequencies, spiral_frequencies
from coordflow_mini.muon import cosine
from coordflow_mini.video.clip import Video

__all__ = ["NaiveLayer", "NaiveModel", "Training", "from_library", "loss_of", "render"]


class NaiveLayer(nn.Module):
    """One layer: (x, y, t) of every pixel -> RGB and an alpha logit."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        c = config
        self.space = spiral_frequencies(c.space_frequencies, c.lowest_frequency, c.highest_frequency)
        self.time = octave_frequencies(c.time_frequencies)
        self.flow_time = octave_frequencies(c.flow_frequencies)
        self.flow = nn.Sequential(
            nn.Linear(1 + 2 * c.flow_frequencies, c.flow_width), nn.Tanh(), nn.Linear(c.flow_width, 4)
        )
        inputs = 2 * c.space_frequencies + 1 + 2 * c.time_frequencies
        sizes = [inputs, *[c.width] * c.depth, 4]
        self.color = nn.ModuleList(nn.Linear(*pair) for pair in itertools.pairwise(sizes))

    def forward(self, points: Tensor, times: Tensor) -> tuple[Tensor, Tensor]:
        """RGB [pixels, 3] and alpha logit [pixels] of points [pixels, 2] at times [pixels]."""
        times = times[:, None]
        transforms = self.flow(torch.cat([times, fourier_features(times, self.flow_time)], dim=-1))
        place = fourier_features(similarity.apply(transforms, points), self.space)
        hidden = torch.cat([place, times, fourier_features(times, self.time)], dim=-1)
        for linear in list(self.color)[:-1]:
            hidden = torch.sin(linear(hidden))
        output = self.color[-1](hidden)
        return output[:, :3] + 0.5, output[:, 3]


class NaiveModel(nn.Module):
    """N layers, one after the other, blended by a softmax over alpha."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.layers = nn.ModuleList(NaiveLayer(config) for _ in range(config.layers))

    def forward(self, points: Tensor, times: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The blend [pixels, 3], each layer's color [layers, pixels, 3], alpha [layers, pixels]."""
        colors, logits = zip(*(layer(points, times) for layer in self.layers), strict=True)
        layer_rgb, alpha = torch.stack(colors), torch.softmax(torch.stack(logits), dim=0)
        return (alpha[..., None] * layer_rgb).sum(dim=0), layer_rgb, alpha


@torch.no_grad()
def from_library(model: CoordFlow) -> NaiveModel:
    """The same weights, laid out naively.  Motion must be "similarity"."""
    naive = NaiveModel(model.config)
    for index, layer in enumerate(naive.layers):
        source = model.layer(index)
        assert source.flow is not None, "a naive layer always moves"
        for ours, theirs in zip(layer.flow, source.flow, strict=True):
            ours.load_state_dict(theirs.state_dict())
        for ours, theirs in zip(layer.color, source.color[::2], strict=True):  # between them, sines
            ours.load_state_dict(theirs.state_dict())
    return naive


def loss_of(model: NaiveModel, points: Tensor, times: Tensor, color: Tensor, gamma: float) -> Tensor:
    """L_rec + γ·L_layer of pixels [pixels, ...], as in `coordflow_mini.loss`."""
    rgb, layer_rgb, alpha = model(points, times)
    layer_errors = ((layer_rgb - color) ** 2).mean(dim=-1)
    return ((rgb - color) ** 2).mean() + gamma * (alpha * layer_errors).sum(dim=0).mean()


class Training:
    """The plain recipe: random pixels of the whole clip, Adam, cosine annealing."""

    def __init__(
        self,
        model: NaiveModel,
        video: Video,
        *,
        steps: int,
        batch: int,
        rate: float,
        gamma: float,
        seed: int = 0,
    ):
        self.model, self.steps, self.batch, self.gamma = model, steps, batch, gamma
        self.clip = torch.from_numpy(video.frames.copy()).float() / 255  # [time, height, width, 3]
        self.colors = self.clip.reshape(-1, 3)
        self.points, self.times = pixel_grid(video.height, video.width), frame_times(video.time)
        self.generator = torch.Generator().manual_seed(seed)
        self.optimizer = torch.optim.Adam(model.parameters(), rate, betas=(0.9, 0.99))
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimizer, lambda step: cosine(step / steps))

    def step(self) -> Tensor:
        """One step of gradient descent; the loss."""
        index = torch.randint(len(self.colors), (self.batch,), generator=self.generator)
        frame, place = index // len(self.points), index % len(self.points)
        loss = loss_of(self.model, self.points[place], self.times[frame], self.colors[index], self.gamma)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.schedule.step()
        return loss.detach()


@torch.no_grad()
def render(model: NaiveModel, times: Tensor, height: int, width: int) -> Tensor:
    """Frames at the given times, uint8 [time, height, width, 3]: one by one, every pixel with its own t."""
    points, frames = pixel_grid(height, width), []
    for time in times:
        rgb, _, _ = model(points, time.expand(len(points)))
        frames.append((rgb.clamp(0, 1) * 255).round().to(torch.uint8).view(height, width, 3))
    return torch.stack(frames)
