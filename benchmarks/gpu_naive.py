"""CoordFlow as the chapters build it, on a GPU: what `coordflow gpu-check` says of speed is held against it.

python -m benchmarks.gpu_naive    # steps and decoded frames per second of every size of the check

A Python loop over layers, everything for every pixel, motion too; float32, and PyTorch's own Adam.
"""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor, nn

from coordflow_mini.config import FitConfig
from coordflow_mini.coords import frame_times, pixel_grid
from coordflow_mini.course.lesson.modules import Layer
from coordflow_mini.measure.gpu.card import Card, Figures
from coordflow_mini.measure.gpu.speed import SIZES, Size, rate
from coordflow_mini.model import CoordFlow
from coordflow_mini.ops.compiling import device_named
from coordflow_mini.render import to_uint8
from coordflow_mini.sampling import default_model
from coordflow_mini.video.clip import Video

_PIECE = 1 << 18  # pixels of a frame that are computed at once


def layers_of(model: CoordFlow) -> nn.ModuleList:
    """The layers of a model as plain modules."""
    return nn.ModuleList(Layer(model, index) for index in range(model.config.layers))


def _blend(layers: nn.ModuleList, points: Tensor, times: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """RGB [pixels, 3], and of each layer RGB and alpha."""
    colors, logits = zip(*(layer(points, times) for layer in layers), strict=True)
    layer_rgb, alpha = torch.stack(colors), torch.softmax(torch.stack(logits), dim=0)[..., None]
    return (alpha * layer_rgb).sum(dim=0), layer_rgb, alpha


@torch.no_grad()
def picture(layers: nn.ModuleList, time: Tensor, height: int, width: int) -> Tensor:
    """A frame, uint8 [height, width, 3] on the CPU."""
    points = pixel_grid(height, width, device=time.device)
    pieces = [to_uint8(_blend(layers, some, time.expand(len(some)))[0]) for some in points.split(_PIECE)]
    return torch.cat(pieces).view(height, width, 3).cpu()


def training_step(layers: nn.ModuleList, video: Video, batch: int, gamma: float) -> Callable[[], None]:
    """A function that makes a step on random pixels of the whole clip."""
    device = next(layers.parameters()).device
    colors = (torch.from_numpy(video.frames).to(device).float() / 255).view(-1, 3)
    points, times = pixel_grid(video.height, video.width, device=device), frame_times(video.time).to(device)
    optimizer = torch.optim.Adam(layers.parameters(), 1e-3)

    def step() -> None:
        index = torch.randint(len(colors), (batch,), device=device)
        frame, place, color = index // len(points), index % len(points), colors[index]
        rgb, layer_rgb, alpha = _blend(layers, points[place], times[frame])
        layer_errors = (layer_rgb - color).square().mean(dim=-1, keepdim=True)
        loss = (rgb - color).square().mean() + gamma * (alpha * layer_errors).sum(dim=0).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def measured(card: Card, size: Size) -> Figures:
    """Steps and frames per second of one size."""
    video = size.clip()
    config = replace(size.model, highest_frequency=default_model(video).highest_frequency)
    layers = layers_of(CoordFlow(config, torch.Generator().manual_seed(0)).to(card.device))
    step = training_step(layers, video, size.batch, FitConfig.gamma)
    time = torch.zeros((), device=card.device)
    return {
        "steps/s": rate(card, step),
        "frames/s": rate(card, lambda: picture(layers, time, size.height, size.width)),
    }


def main() -> None:
    """Print a line for each size."""
    card = Card(device_named("cuda"))
    for name, size in SIZES.items():
        figures = measured(card, size)
        print(f"{name}: {', '.join(f'{value:,.3g} {unit}' for unit, value in figures.items())}")


if __name__ == "__main__":
    main()
