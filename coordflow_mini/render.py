"""Pictures of a model: every frame at any time and size, as 8-bit colors, its layers and their alpha.

Memory is bounded by the result: a frame is computed in bands of rows, and a band in pieces that fit into
the processor's cache, which makes a frame on a CPU 2.5 times as fast (LOG.md).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from coordflow_mini.coords import pixel_grid, scaled_size
from coordflow_mini.model import Blend, CoordFlow
from coordflow_mini.video.device import arriving


@dataclass(frozen=True, eq=False)
class Rendering:
    """Frames as 8-bit pictures: the blend, each layer alone, and its alpha.  On the CPU."""

    rgb: Tensor  # uint8 [time, height, width, 3]
    layer_rgb: Tensor  # uint8 [layers, time, height, width, 3]
    alpha: Tensor  # float32 [layers, time, height, width], sums to 1 over the layers


def render(
    model: CoordFlow,
    times: Tensor,
    height: int,
    width: int,
    *,
    scale: float = 1.0,
    dtype: torch.dtype = torch.float32,
) -> Rendering:
    """All given times as one `Rendering`.

    times: [time] in [-1, 1], see `coords.frame_times`.  scale: of both sides.
    dtype: of the perceptron, see `model.ColorNetwork`.
    """
    shape, layers = (len(times), *scaled_size(height, width, scale)), model.config.layers
    rgb = torch.empty(*shape, 3, dtype=torch.uint8)
    layer_rgb = torch.empty(layers, *shape, 3, dtype=torch.uint8)
    alpha = torch.empty(layers, *shape)
    shown = render_frames(model, times, height, width, scale=scale, dtype=dtype)
    for number, one in enumerate(shown):
        rgb[number], layer_rgb[:, number], alpha[:, number] = one.rgb[0], one.layer_rgb[:, 0], one.alpha[:, 0]
    return Rendering(rgb, layer_rgb, alpha)


def render_frames(
    model: CoordFlow,
    times: Tensor,
    height: int,
    width: int,
    *,
    scale: float = 1.0,
    dtype: torch.dtype = torch.float32,
) -> Iterator[Rendering]:
    """A `Rendering` of each time, made when it is asked for, see `pictures`."""

    def drawn(time: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        layers, size, device = model.config.layers, scaled_size(height, width, scale), time.device
        rgb = torch.empty(1, *size, 3, dtype=torch.uint8, device=device)
        layer_rgb = torch.empty(layers, 1, *size, 3, dtype=torch.uint8, device=device)
        alpha = torch.empty(layers, 1, *size, device=device)
        for rows, blend in _blends(model, time, height, width, scale, dtype):
            rgb[0, rows] = to_uint8(blend.rgb[0]).view(-1, size[1], 3)
            layer_rgb[:, 0, rows] = to_uint8(blend.layer_rgb[:, 0]).view(layers, -1, size[1], 3)
            alpha[:, 0, rows] = blend.alpha[:, 0].view(layers, -1, size[1])
        return rgb, layer_rgb, alpha

    times = times.to(model.device)
    numbers = range(len(times))  # not `in times`, which makes a tensor of each beforehand
    yield from (Rendering(*parts) for parts in arriving(drawn(times[number]) for number in numbers))


def pictures(
    model: CoordFlow,
    times: Tensor,
    height: int,
    width: int,
    *,
    scale: float = 1.0,
    layer: int | None = None,
    dtype: torch.dtype = torch.float32,
) -> Iterator[Tensor]:
    """A picture of each time, uint8 [height, width, 3] on the CPU, made when it is asked for.

    A GPU begins with the next one before it hands out this one.
    layer: show this layer alone instead of the blend.
    """

    def drawn(time: Tensor) -> tuple[Tensor]:
        size = scaled_size(height, width, scale)
        picture = torch.empty(*size, 3, dtype=torch.uint8, device=time.device)
        for rows, blend in _blends(model, time, height, width, scale, dtype):
            rgb = blend.rgb if layer is None else blend.layer_rgb[layer]
            picture[rows] = to_uint8(rgb[0]).view(-1, size[1], 3)
        return (picture,)

    times = times.to(model.device)
    shown = arriving(drawn(times[number]) for number in range(len(times)))
    yield from (picture for (picture,) in shown)


def _blends(
    model: CoordFlow, time: Tensor, height: int, width: int, scale: float, dtype: torch.dtype
) -> Iterator[tuple[slice, Blend]]:
    """Bands of rows of one frame, each with its `still`."""
    for rows in bands(model, height, width, scale):
        points = pixel_grid(height, width, scale=scale, band=rows, device=time.device)
        yield rows, still(model, points, time, dtype)


_BAND = 1 << 22  # pixels of all layers that are floats at once: some 250 MB


def bands(model: CoordFlow, height: int, width: int, scale: float = 1.0) -> Iterator[slice]:
    """A frame's rows in bands that are small enough to be computed at once."""
    rows, columns = scaled_size(height, width, scale)
    step = max(1, _BAND // (model.config.layers * columns))
    return (slice(first, min(first + step, rows)) for first in range(0, rows, step))


_FARTHEST = 2.0**30  # coordinate units; no point is moved farther, so that every sine is defined


@torch.no_grad()
def still(model: CoordFlow, points: Tensor, time: Tensor, dtype: torch.dtype = torch.float32) -> Blend:
    """`model(points[None], time[None])`, in bounded memory and without gradients.

    points: [pixels, 2] on the model's device.  time: [] in [-1, 1].
    """
    canonical = model.canonical(points[None], time[None]).nan_to_num(0.0).clamp_(-_FARTHEST, _FARTHEST)
    share = model.color.time_share(time[None])
    layer_rgb = canonical.new_empty(*canonical.shape[:3], 3)  # made beforehand: small results that stay
    logits = canonical.new_empty(canonical.shape[:3])  # between large blocks that go would grow the heap
    step = _piece(model, points.device.type)
    for first in range(0, len(points), step):
        piece = slice(first, first + step)
        found = model.color.from_share(canonical[:, :, piece], share, dtype)
        layer_rgb[:, :, piece], logits[:, :, piece] = found
    return Blend(layer_rgb, torch.softmax(logits, dim=0))


_PIECE, _PIECE_ELSEWHERE = 1 << 11, 1 << 18  # pixels on a CPU: 0.5 MB of activations a layer at width 64
_NUMBERS, _NUMBERS_ELSEWHERE = 1 << 23, 1 << 29  # activations, which limit the pieces of wide models


def _piece(model: CoordFlow, kind: str) -> int:
    """Number of pixels to compute at once on this kind of device."""
    pixels, numbers = (_PIECE, _NUMBERS) if kind == "cpu" else (_PIECE_ELSEWHERE, _NUMBERS_ELSEWHERE)
    config = model.config
    return max(1, min(pixels, numbers // (config.layers * max(config.width, 2 * config.space_frequencies))))


def to_uint8(rgb: Tensor) -> Tensor:
    """Colors in [0, 1] as the nearest 8-bit values, on the same device; NaN becomes 0."""
    return (rgb.nan_to_num(0.0).clamp(0, 1) * 255).round().to(torch.uint8)
