"""A clip on the training device: colors of single pixels from as few bytes as possible.

Frames that are RGB in memory become a uint8 tensor [time, height, width, 3]; raw YUV on disk becomes a
`YuvClip`.  Only the pixels that are asked for become floats.
"""

import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from coordflow_mini.video.raw import Frames, YuvFrames

_SHARE = 0.5  # of a GPU's free memory that a clip may take; training needs the rest


class YuvClip(NamedTuple):
    """Planar YUV bytes from which `colors_at` makes exactly the colors of their `YuvFrames`.

    On a CPU the bytes are the mapped file itself: only pages that hold a wanted pixel are read.  On other
    devices they are a copy, 1.5 bytes per pixel for 4:2:0 where RGB takes 3.
    """

    data: Tensor  # [bytes] uint8
    tables: Tensor  # [5, 256] int32, see `raw.color_tables`
    shape: tuple[int, int, int, int]  # time, height, width, 3
    subsampling: tuple[int, int]  # columns, rows
    first: int  # offset of the first frame in `data`
    stride: int  # bytes from one frame to the next

    @property
    def device(self) -> torch.device:
        """Device of the bytes."""
        return self.data.device


Clip = Tensor | YuvClip


def clip_on(frames: Frames | YuvFrames, device: torch.device | str) -> Clip:
    """The frames on a device, or on the CPU if they would take more than half of a GPU's free memory.

    On a CPU, without a copy.  Within a block of `uploaded`, what that has made.
    """
    device = torch.device(device)
    for known, place, clip in _uploads.get():
        if known is frames and device in (place, torch.device(place.type)):
            return clip
    device = _place(frames, device)
    if isinstance(frames, YuvFrames):
        return _mapped(frames) if device.type == "cpu" else _copied(frames, device)
    own = frames if frames.flags.writeable else frames.copy()  # PyTorch warns about read-only arrays
    return torch.from_numpy(own).to(device)


_uploads: ContextVar[tuple[tuple[Frames | YuvFrames, torch.device, Clip], ...]] = ContextVar(
    "uploads", default=()
)


@contextmanager
def uploaded(frames: Frames | YuvFrames, device: torch.device | str) -> Iterator[None]:
    """Within the block, `clip_on` gives one clip to all that ask for these frames on this device."""
    place = torch.empty(0, device=device).device  # with its number, as models and samplers say it
    token = _uploads.set((*_uploads.get(), (frames, place, clip_on(frames, device))))
    try:
        yield
    finally:
        _uploads.reset(token)


def _place(frames: Frames | YuvFrames, device: torch.device) -> torch.device:
    """The device, or the CPU if the frames would crowd it."""
    if device.type != "cuda":
        return device
    size = len(frames) * frames.raw.frame_bytes if isinstance(frames, YuvFrames) else frames.nbytes
    free = torch.cuda.mem_get_info(device)[0]
    free += torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)  # kept by PyTorch
    return device if size <= _SHARE * free else torch.device("cpu")


def _mapped(frames: YuvFrames) -> YuvClip:
    size, span = frames.raw.frame_bytes, frames.span
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # the mapping is read-only, and nothing writes to it
        data = torch.from_numpy(frames.file.reshape(-1))
    return _clip(frames, data, span.start * size, span.step * size)


def _copied(frames: YuvFrames, device: torch.device | str) -> YuvClip:
    """Copies frame by frame, so that the host never holds the whole clip."""
    size = frames.raw.frame_bytes
    data = torch.empty((len(frames), size), dtype=torch.uint8, device=device)
    for index, target in enumerate(data):
        target.copy_(torch.from_numpy(np.array(frames.source(index))))
    return _clip(frames, data.view(-1), 0, size)


def _clip(frames: YuvFrames, data: Tensor, first: int, stride: int) -> YuvClip:
    tables = torch.from_numpy(frames.tables).to(data.device)
    return YuvClip(data, tables, frames.shape, frames.raw.subsampling, first, stride)


def moved(tensor: Tensor, device: torch.device | str) -> Tensor:
    """The tensor on a device; to a GPU through pinned memory, which lets the host go on at once."""
    if tensor.device.type == "cpu" and torch.device(device).type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def finish(device: torch.device | str) -> None:
    """Wait for all that was begun on a device."""
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)


def arriving(made: Iterable[tuple[Tensor, ...]]) -> Iterator[tuple[Tensor, ...]]:
    """The tensors on the CPU; those of a GPU are copied while it computes the next ones.

    PyTorch hands out the same pinned memory again and again: that of two items.
    """
    due: tuple[list[Tensor], torch.Event] | None = None
    for tensors in made:
        if tensors[0].device.type == "cpu":
            yield tensors
            continue
        copies = [torch.empty(t.shape, dtype=t.dtype, pin_memory=True) for t in tensors]
        for copy, tensor in zip(copies, tensors, strict=True):
            copy.copy_(tensor, non_blocking=True)
        done = torch.Event(tensors[0].device)
        done.record()
        if due:
            yield _arrived(*due)
        due = copies, done
    if due:
        yield _arrived(*due)


def _arrived(copies: list[Tensor], done: torch.Event) -> tuple[Tensor, ...]:
    done.synchronize()
    return tuple(copy.clone() for copy in copies)  # pinned memory is short


def colors_at(clip: Clip, frames: Tensor, indices: Tensor) -> Tensor:
    """Colors of pixels in [0, 1], float32 [..., 3].

    frames, indices: int64 of shapes that broadcast; frame, and pixel in the frame in reading order.
    """
    if isinstance(clip, Tensor):
        _, height, width, _ = clip.shape
        return clip.view(-1, 3)[indices + frames * (height * width)].float() / 255
    return _rgb(clip, frames, indices).float() / 255


def _rgb(clip: YuvClip, frames: Tensor, indices: Tensor) -> Tensor:
    """Colors of pixels, int32 [..., 3] from 0 to 255."""
    _, height, width, _ = clip.shape
    columns, rows = clip.subsampling
    across, down = -(-width // columns), -(-height // rows)
    row = torch.div(indices, width, rounding_mode="floor")
    chroma = torch.div(row, rows, rounding_mode="floor") * across
    chroma = chroma + torch.div(indices - row * width, columns, rounding_mode="floor")
    start = clip.first + frames * clip.stride
    y = clip.data[start + indices].long()
    u = clip.data[start + (height * width + chroma)].long()
    v = clip.data[start + (height * width + across * down + chroma)].long()
    to_all, red, green_u, green_v, blue = clip.tables
    shares = torch.stack([red[v], green_u[u] + green_v[v], blue[u]], dim=-1)
    return ((shares + to_all[y][..., None]) >> 16).clamp(0, 255)
