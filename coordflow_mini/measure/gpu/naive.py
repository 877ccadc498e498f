"""CoordFlow as the chapters build it, which the library's speed is measured against.

A Python loop over layers, everything for every pixel, motion too; float32, and PyTorch's own Adam.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from coordflow_mini.coords import frame_times, pixel_grid
from coordflow_mini.model import CoordFlow
from coordflow_mini.render import to_uint8
from coordflow_mini.video.clip import Video

_PIECE = 1 << 18  # pixels of a frame that are computed at once


def layers_of(model: CoordFlow) -> nn.ModuleList:
    """The layers of a model as plain modules."""
    return nn.ModuleList(model.layer(index) for index in range(model.config.layers))


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
