"""Uses of a layered model: masks, filled holes, other sizes and frame rates, a still camera, less noise.

A mask is where a layer's alpha is largest; a function of (x, y, t) has a value at any (x, y, t), also where
it was not trained; a layer's motion is known, so it can be undone.  `segment`, `upscale`, `interpolate` and
`stabilize` take a fitted model, `inpaint` and `denoise` fit one.  Taught in chapter 07, each beside the
obvious alternative.  `on_step` reports on fits, `counted` on rendering.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from torch import Tensor

from coordflow_mini import similarity
from coordflow_mini.config import FitConfig, ModelConfig, Selection
from coordflow_mini.coords import frame_times, pixel_grid, point_pixels, scaled_size
from coordflow_mini.model import CoordFlow
from coordflow_mini.ops.run import OnStep, fit
from coordflow_mini.render import Rendering, bands, pictures, render_frames, still, to_uint8
from coordflow_mini.sampling import default_model
from coordflow_mini.video.clip import Video, timeline
from coordflow_mini.video.raw import Frames, Masks

Counted = Callable[[Iterable[Any], int], Iterable[Any]]  # passes on so many items, and may show progress


@dataclass(frozen=True)
class Extent:
    """The properties of a `Video` without its frames."""

    time: int
    height: int
    width: int
    fps: Fraction
    name: str
    selection: Selection
    matrix: str


def silently(items: Iterable[Any], total: int) -> Iterable[Any]:
    """The items; the default of `counted`."""
    return items


def masks(rendering: Rendering) -> Masks:
    """Masks of the layers, bool [layers, time, height, width]; each pixel belongs to exactly one layer.

    That is the layer with the largest alpha, and the first one of equals.  The model does not know which
    layer is the object; `metrics.match_layers` finds it.

    >>> colors = torch.zeros(2, 1, 1, 3, 3, dtype=torch.uint8)
    >>> alpha = torch.tensor([0.9, 0.5, 0.2]).expand(1, 1, 3)
    >>> masks(Rendering(colors[0], colors, torch.stack([alpha, 1 - alpha]))).astype(int)[:, 0, 0]
    array([[1, 1, 0],
           [0, 0, 1]])
    """
    top = rendering.alpha.argmax(dim=0)
    layers = torch.arange(len(rendering.alpha), device=top.device)
    return (top == layers[:, None, None, None]).cpu().numpy()


def segment(model: CoordFlow, like: Video | Extent, *, counted: Counted = silently) -> Masks:
    """`masks` of all frames of the fitted clip.  like: the clip, or its extent."""
    found = np.empty((model.config.layers, like.time, like.height, like.width), bool)
    renderings = render_frames(model, frame_times(like.time), like.height, like.width)
    for number, rendering in enumerate(counted(renderings, like.time)):
        found[:, number : number + 1] = masks(rendering)
    return found


def background(found: Masks) -> int:
    """Index of the layer that covers the most pixels, the first one of equals.  found: see `masks`."""
    return int(found.sum(axis=(1, 2, 3)).argmax())


def grown(found: Masks, pixels: int) -> Masks:
    """Masks grown by so many pixels in every direction, bool [time, height, width].

    A hole should be larger than the object, whose soft edge would otherwise remain as a rim.

    >>> grown(np.array([[[False, False, False, True]]]), 2).astype(int)
    array([[[0, 1, 1, 1]]])
    """
    result = found.copy()
    for axis in (-2, -1):
        before, size = result.copy(), result.shape[axis]
        there, here = np.moveaxis(before, axis, 0), np.moveaxis(result, axis, 0)
        for shift in range(1, min(pixels, size - 1) + 1):
            here[shift:] |= there[:-shift]
            here[:-shift] |= there[shift:]
    return result


def upscale(model: CoordFlow, scale: float, like: Video | Extent, *, counted: Counted = silently) -> Video:
    """The clip at `scale` times its width and height: the same function on a finer grid.

    Where things move, frames share detail between their pixels; detail that no frame has is interpolated
    smoothly.
    """
    frames = _shown(model, like, counted, scale=scale)
    return Video(frames, like.fps, f"{like.name}, {scale:g} times as large")


def interpolate(
    model: CoordFlow, factor: float, like: Video | Extent, *, counted: Counted = silently
) -> Video:
    """The clip at `factor` times its frame rate, over the same span of time."""
    line = timeline(range(like.time), like.fps, factor)
    times = frame_times(like.time, at=torch.tensor(line.positions))
    frames = _shown(model, like, counted, times=times)
    return Video(frames, line.fps, f"{like.name}, {factor:g} times the frames")


@dataclass(frozen=True, eq=False)
class Stabilized:
    """A clip in which one layer stands still.

    seen: bool [time, height, width], True where the camera saw what is shown; the rest comes from other
    frames, or from nowhere.
    """

    video: Video
    seen: Masks

    @property
    def crop(self) -> tuple[slice, slice]:
        """Rows and columns of the largest centered part of the clip's proportions that all frames saw.

        Empty slices if there is none.
        """
        always: Any = self.seen.all(axis=0)
        height, width = always.shape
        for inset in range((height + 1) // 2):
            aside = round(inset * width / height)
            rows, columns = slice(inset, height - inset), slice(aside, width - aside)
            if always[rows, columns].size and always[rows, columns].all():
                return rows, columns
        return slice(0, 0), slice(0, 0)


def stabilize(
    model: CoordFlow, layer: int, like: Video | Extent, *, counted: Counted = silently
) -> Stabilized:
    """The clip as seen by a camera that moves with a layer, usually the `background`.

    Every frame is evaluated where the layer's canonical picture lies as in the middle frame, see
    `stabilizing`.  Nothing is resampled, and the edges show what the model knows from other frames.
    Raises ValueError if there is no such layer.
    """
    device = model.device
    times = frame_times(like.time).to(device)
    seen = np.empty((like.time, like.height, like.width), bool)
    frames = np.empty((*seen.shape, 3), np.uint8)
    transforms = stabilizing(model, layer, times)
    for index, transform in enumerate(counted(transforms, len(transforms))):
        for band in bands(model, like.height, like.width):
            grid = pixel_grid(like.height, like.width, band=band, device=device)
            points = similarity.apply(transform, grid)
            picture = to_uint8(still(model, points, times[index]).rgb[0])
            frames[index, band] = picture.cpu().numpy().reshape(-1, like.width, 3)
            inside = _inside(points, like.height, like.width)
            seen[index, band] = inside.cpu().numpy().reshape(-1, like.width)
    return Stabilized(Video(frames, like.fps, f"{like.name}, stabilized", like.selection, like.matrix), seen)


def _inside(points: Tensor, height: int, width: int) -> Tensor:
    """True for points [n, 2] on a pixel of the frame, bool [n]."""
    column, row = point_pixels(points, height, width)
    inside = (column.round() >= 0) & (column.round() < width)
    return inside & (row.round() >= 0) & (row.round() < height)


@torch.no_grad()
def stabilizing(model: CoordFlow, layer: int, times: Tensor) -> Tensor:
    """Similarity transforms of a still camera's points into each frame, stable -> frame, [times, 4].

    The layer's flow F maps a frame to its canonical picture, so a point p at the middle one of the given
    times lies at F(t)⁻¹ F(middle) p in the frame at t.
    """
    if not 0 <= layer < model.config.layers:
        raise ValueError(f"layer must be 0 to {model.config.layers - 1}, got {layer}")
    motion = model.transforms(times)[layer]
    return similarity.compose(similarity.inverse(motion), motion[len(motion) // 2])


def _shown(
    model: CoordFlow,
    like: Video | Extent,
    counted: Counted = silently,
    *,
    times: Tensor | None = None,
    scale: float = 1.0,
) -> Frames:
    """The model's pictures, uint8 [time, height, width, 3]; times: by default those of the clip's frames."""
    times = frame_times(like.time) if times is None else times
    frames = np.empty((len(times), *scaled_size(like.height, like.width, scale), 3), np.uint8)
    shown = pictures(model, times, like.height, like.width, scale=scale)
    for number, picture in enumerate(counted(shown, len(times))):
        frames[number] = picture.numpy()
    return frames


# --- uses that fit a model of their own ----------------------------------------------------------------


def inpaint(
    video: Video,
    holes: Masks,
    model: ModelConfig | None = None,
    config: FitConfig | None = None,
    *,
    device: torch.device | str = "cpu",
    on_step: OnStep | None = None,
    counted: Counted = silently,
) -> Video:
    """The clip with its holes filled from other frames, moved into place.

    The fit sees no pixel of a hole; outside the holes the clip keeps its pixels.
    holes: bool [time, height, width], True where to fill.  model: one layer by default, because there is one
    scene behind an object, and nothing holds a second layer where the hole is.
    Raises ValueError if the holes have another shape, or leave nothing to learn from.
    """
    if holes.shape != video.frames.shape[:3] or holes.dtype != bool:
        raise ValueError(
            f"holes must be bool [time, height, width] = {video.frames.shape[:3]}, "
            f"got {holes.dtype} {holes.shape}"
        )
    if holes.all():
        raise ValueError("the holes cover every pixel of the clip: nothing is left to learn from")
    model = model or replace(default_model(video), layers=1)
    fitted = fit(video, model, config, weights=~holes, device=device, on_step=on_step)
    frames = _shown(fitted.model, video, counted)
    for shown, hole, own in zip(frames, holes, video.frames, strict=True):
        shown[~hole] = own[~hole]
    return replace(video, frames=frames, name=f"{video.name}, filled")


def denoise(
    video: Video,
    model: ModelConfig | None = None,
    config: FitConfig | None = None,
    *,
    device: torch.device | str = "cpu",
    on_step: OnStep | None = None,
    counted: Counted = silently,
) -> Video:
    """The clip as a small network reproduces it: what repeats from frame to frame stays, noise does not.

    model: half the default width by default; narrower ones keep less noise and less detail.
    """
    if model is None:
        model = default_model(video)
        model = replace(model, width=model.width // 2)
    fitted = fit(video, model, config, device=device, on_step=on_step)
    return replace(video, frames=_shown(fitted.model, video, counted), name=f"{video.name}, denoised")
