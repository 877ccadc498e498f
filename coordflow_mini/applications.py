"""What falls out of a layered model: masks, single layers, other sizes, times between the frames.

Nothing here is trained for it: a mask is where a layer's alpha wins, and a function of (x, y, t) can be
asked at any (x, y, t).
"""

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import torch

from coordflow_mini.coords import frame_times
from coordflow_mini.model import CoordFlow, Rendering
from coordflow_mini.video import Video

__all__ = ["Timeline", "interpolated", "layer_video", "masks", "timeline", "upscaled"]


def masks(rendering: Rendering) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Which layer is on top, bool [layers, time, height, width]; each pixel belongs to exactly one layer.

    The layer with the largest alpha wins; of equal ones, the first.  Which layer is the object nobody told
    the model: `metrics.match_layers` finds it.  Taught in chapters 05 and 07.

    >>> colors = torch.zeros(2, 1, 1, 3, 3, dtype=torch.uint8)
    >>> alpha = torch.tensor([0.9, 0.5, 0.2]).expand(1, 1, 3)
    >>> masks(Rendering(colors[0], colors, torch.stack([alpha, 1 - alpha]))).astype(int)[:, 0, 0]
    array([[1, 1, 0],
           [0, 0, 1]])
    """
    top = rendering.alpha.argmax(dim=0)
    layers = torch.arange(len(rendering.alpha), device=top.device)
    return (top == layers[:, None, None, None]).cpu().numpy()


def layer_video(model: CoordFlow, layer: int, like: Video) -> Video:
    """One layer alone, shown everywhere: also where others cover it, as far as the model knows.

    like: the clip that was fitted; says how many frames of which size.
    Raises ValueError if there is no such layer.  Taught in chapters 05 and 07.
    """
    if not 0 <= layer < model.config.layers:
        raise ValueError(f"layer must be 0 to {model.config.layers - 1}, got {layer}")
    renderings = model.render_frames(frame_times(like.time), like.height, like.width)
    frames = np.concatenate([rendering.layer_rgb[layer].numpy() for rendering in renderings])
    return Video(frames, like.fps, f"{like.name}, layer {layer}")


def upscaled(model: CoordFlow, scale: float, like: Video) -> Video:
    """The clip at `scale` times its width and height: the same function, asked at a finer grid.

    Detail that the clip did not have is made up smoothly, not found.  Taught in chapter 07.
    """
    times = frame_times(like.time)
    frames = [frame.rgb.numpy() for frame in model.render_frames(times, like.height, like.width, scale=scale)]
    return Video(np.concatenate(frames), like.fps, f"{like.name}, {scale:g} times as large")


def interpolated(model: CoordFlow, factor: float, like: Video) -> Video:
    """The clip at `factor` times its frame rate, with frames between those that were fitted.

    It shows the same span of time, from the first frame to the last.  Taught in chapter 07.
    """
    line = timeline(range(like.time), like.fps, factor)
    times = frame_times(like.time, at=torch.tensor(line.positions))
    frames = [frame.rgb.numpy() for frame in model.render_frames(times, like.height, like.width)]
    return Video(np.concatenate(frames), line.fps, f"{like.name}, {factor:g} times the frames")


@dataclass(frozen=True)
class Timeline:
    """Frame positions (1.5 lies between frames 1 and 2) and how many of them are shown per second."""

    positions: tuple[float, ...]
    fps: Fraction


def timeline(frames: range, fps: Fraction, factor: float = 1.0) -> Timeline:
    """Some frames of a clip at `factor` times their frame rate, from the first of them to the last.

    fps: of the whole clip.  A factor below 1 leaves frames out.
    Raises ValueError if the factor is not positive.

    >>> timeline(range(3), Fraction(25), 2)
    Timeline(positions=(0.0, 0.5, 1.0, 1.5, 2.0), fps=Fraction(50, 1))
    >>> timeline(range(10, 40, 10), Fraction(30), 0.5).positions
    (10.0, 30.0)
    """
    ratio = Fraction(factor).limit_denominator(1000) if 0 < factor < float("inf") else Fraction(0)
    if ratio <= 0:
        raise ValueError(f"factor must be positive and at least 1/1000, got {factor:g}")
    count = int((len(frames) - 1) * ratio) + 1
    positions = (float(frames.start + frames.step * number / ratio) for number in range(count))
    return Timeline(tuple(positions), fps / frames.step * ratio)
