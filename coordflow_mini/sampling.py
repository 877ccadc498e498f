"""A clip as training wants it: colors of single pixels, on the device, from as few bytes as possible.

Where the frames are RGB in memory, the clip is a plain uint8 tensor [time, height, width, 3].  Where they
are raw YUV on disk, it is a `YuvClip`.  `clip_on` makes either, `colors_at` reads either.
"""

import warnings
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from coordflow_mini.video.raw import Frames, YuvFrames

__all__ = ["Clip", "YuvClip", "clip_on", "colors_at"]


class YuvClip(NamedTuple):
    """Planar YUV bytes from which `colors_at` makes the very colors of the `YuvFrames` they came from.

    On a CPU the bytes are the mapped file itself: only the pages in which a pixel lies are read.  On
    another device they are a copy, 1.5 bytes a pixel for 4:2:0 where RGB has 3.
    """

    data: Tensor  # [bytes] uint8
    tables: Tensor  # [5, 256] int32, see `raw.color_tables`
    shape: tuple[int, int, int, int]  # time, height, width, 3
    subsampling: tuple[int, int]  # columns, rows
    first: int  # where the first frame begins in `data`
    stride: int  # from one frame to the next

    @property
    def device(self) -> torch.device:
        """Where the bytes are."""
        return self.data.device


Clip = Tensor | YuvClip  # uint8 [time, height, width, 3], or what stands for it


def clip_on(frames: Frames | YuvFrames, device: torch.device | str) -> Clip:
    """The frames on a device; on a CPU, without a copy."""
    if isinstance(frames, YuvFrames):
        return _mapped(frames) if torch.device(device).type == "cpu" else _copied(frames, device)
    own = frames if frames.flags.writeable else frames.copy()  # or PyTorch warns
    return torch.from_numpy(own).to(device)


def _mapped(frames: YuvFrames) -> YuvClip:
    """The clip of a file that stays on disk."""
    size, span = frames.raw.frame_bytes, frames.span
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that it cannot be written to: nobody does
        data = torch.from_numpy(frames.file.reshape(-1))
    return _clip(frames, data, span.start * size, span.step * size)


def _copied(frames: YuvFrames, device: torch.device | str) -> YuvClip:
    """The clip of a copy of the wanted frames, made frame by frame."""
    size = frames.raw.frame_bytes
    data = torch.empty((len(frames), size), dtype=torch.uint8, device=device)
    for index, target in enumerate(data):
        target.copy_(torch.from_numpy(np.array(frames.source(index))))
    return _clip(frames, data.view(-1), 0, size)


def _clip(frames: YuvFrames, data: Tensor, first: int, stride: int) -> YuvClip:
    tables = torch.from_numpy(frames.tables).to(data.device)
    return YuvClip(data, tables, frames.shape, frames.raw.subsampling, first, stride)


def colors_at(clip: Clip, frames: Tensor, place: Tensor) -> Tensor:
    """Colors of pixels in [0, 1], float32 [..., 3]; only they become floats.

    frames, place: int64, of shapes that broadcast: the frame, and the index in it in reading order.
    """
    if isinstance(clip, Tensor):
        _, height, width, _ = clip.shape
        return clip.view(-1, 3)[place + frames * (height * width)].float() / 255
    return _rgb(clip, frames, place).float() / 255


def _rgb(clip: YuvClip, frames: Tensor, place: Tensor) -> Tensor:
    """Colors of pixels, int32 [..., 3] from 0 to 255."""
    _, height, width, _ = clip.shape
    columns, rows = clip.subsampling
    across, down = -(-width // columns), -(-height // rows)
    row = torch.div(place, width, rounding_mode="floor")
    chroma = torch.div(row, rows, rounding_mode="floor") * across
    chroma = chroma + torch.div(place - row * width, columns, rounding_mode="floor")
    start = clip.first + frames * clip.stride
    y = clip.data[start + place].long()
    u = clip.data[start + (height * width + chroma)].long()
    v = clip.data[start + (height * width + across * down + chroma)].long()
    to_all, red, green_u, green_v, blue = clip.tables
    shares = torch.stack([red[v], green_u[u] + green_v[v], blue[u]], dim=-1)
    return ((shares + to_all[y][..., None]) >> 16).clamp(0, 255)
