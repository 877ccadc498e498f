"""From a file's bytes back to pictures; needs nothing but the bytes.

A file may hold several segments, each with a model of its own: only those whose frames are asked for are
decoded, one at a time.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch

from coordflow_mini import bitstream
from coordflow_mini.bitstream import MOST_HELD, BitstreamError, Header
from coordflow_mini.coords import frame_times
from coordflow_mini.model import CoordFlow, parameter_shapes
from coordflow_mini.quantize import QuantizedTensor
from coordflow_mini.render import Rendering, pictures, render_frames
from coordflow_mini.video.clip import Video

__all__ = [
    "build_model",
    "decode",
    "decode_frames",
    "decode_renderings",
    "read_model",
    "tensor_shapes",
]


def tensor_shapes(header: Header) -> list[tuple[int, ...]]:
    """Shapes of a file's tensors: all layers of the first parameter, then of the next, and so on."""
    return [shape[1:] for shape in parameter_shapes(header.model) for _ in range(shape[0])]


def build_model(header: Header, tensors: Sequence[QuantizedTensor]) -> CoordFlow:
    """The model whose weights these integers stand for."""
    model = CoordFlow(header.model)
    values = iter(tensors)
    with torch.no_grad():
        for parameter in model.parameters():
            for layer in parameter:
                layer.copy_(torch.from_numpy(next(values).values))
    return model


def read_model(data: bytes, segment: int | None = None) -> tuple[Header, CoordFlow]:
    """What a file says about itself, and its model on the CPU.

    segment: whose model, where there are several; its t runs from -1 to 1 over its own frames.
    Raises `BitstreamError` on anything but a good file, and on one of several segments without a number.
    Taught in chapters 00 and 08.
    """
    header, tensors = bitstream.read(data, tensor_shapes, segment)
    return header, build_model(header, tensors)


def decode(data: bytes, *, device: torch.device | str = "cpu", most_bytes: int = MOST_HELD) -> Video:
    """The video in a `.cfv` file's bytes, as 8-bit frames, all in memory.

    most_bytes: of all frames together; a header of 60 bytes could ask for 200 GB.
    Raises `BitstreamError` on anything but a good file, and on a video that is larger.  Taught in chapter 00.
    """
    header = bitstream.read_header(data)
    size = 3 * header.time * header.height * header.width
    if size > most_bytes:
        raise BitstreamError(
            f"{header.time} frames of {header.width}x{header.height} are {size:,} bytes, more than the "
            f"{most_bytes:,} to be held at once; go through decode_frames(data), or give most_bytes={size}"
        )
    frames: Iterator[Any] = decode_frames(data, device=device)
    first = next(frames)
    video = np.empty((header.time, *first.shape), np.uint8)
    video[0] = first
    for number, frame in enumerate(frames, start=1):
        video[number] = frame
    return Video(video, header.fps, "decoded", header.selection, header.matrix)


def decode_frames(
    data: bytes,
    frames: Iterable[float] | None = None,
    *,
    scale: float = 1.0,
    layer: int | None = None,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Iterator[np.ndarray[Any, np.dtype[np.uint8]]]:
    """Frames one after another, uint8 [height, width, 3]; no more than one is held in memory.

    frames: indices, also between frames (1.5) and in any order; all of them if not given.  Every change
    of segment decodes one, so a file of several is best read in the order of time.
    scale: of both sides.  layer: show this layer alone instead of the blend.
    dtype: float32 is what the encoder checked; bfloat16 is faster on some hardware and less exact.
    """
    header = bitstream.read_header(data)
    if layer is not None and not 0 <= layer < header.model.layers:
        raise ValueError(f"layer must be 0 to {header.model.layers - 1}, got {layer}")
    for model, times in _runs(data, header, frames):
        shown = pictures(
            model.to(device), times, header.height, header.width, scale=scale, layer=layer, dtype=dtype
        )
        yield from (picture.numpy() for picture in shown)


def decode_renderings(
    data: bytes,
    frames: Iterable[float] | None = None,
    *,
    scale: float = 1.0,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Iterator[Rendering]:
    """Like `decode_frames`, with every layer and its alpha: one `Rendering` per frame."""
    header = bitstream.read_header(data)
    for model, times in _runs(data, header, frames):
        yield from render_frames(
            model.to(device), times, header.height, header.width, scale=scale, dtype=dtype
        )


def _runs(
    data: bytes, header: Header, frames: Iterable[float] | None
) -> Iterator[tuple[CoordFlow, torch.Tensor]]:
    """A model, and t of the wanted frames that come next from it; decoded when the first of them is due.

    A position belongs to the segment of the nearest frame.  Between the last frame of one segment and the
    first of the next, motion so goes on for half a frame beyond t = 1, and begins half a frame before -1.
    """
    segments, positions = bitstream.segments(data), _positions(header, frames)
    firsts = torch.tensor([segment.first for segment in segments])
    owners = torch.searchsorted(firsts, torch.floor(positions + 0.5), right=True) - 1
    start = 0
    for owner, count in zip(*torch.unique_consecutive(owners, return_counts=True), strict=True):
        segment, stop = segments[int(owner)], start + int(count)
        tensors = bitstream.segment_tensors(data[segment.at : segment.end], header, tensor_shapes)
        own = positions[start:stop] - segment.first
        yield build_model(header, tensors), frame_times(segment.frames, at=own)
        start = stop


def _positions(header: Header, frames: Iterable[float] | None) -> torch.Tensor:
    """The wanted frames, all if None, [frames] float32.  Raises ValueError."""
    if frames is None:
        return torch.arange(header.time, dtype=torch.float32)
    positions = torch.tensor(list(frames), dtype=torch.float32)
    if len(positions) and not (positions.min() >= 0 and positions.max() <= header.time - 1):
        low, high = positions.min(), positions.max()
        raise ValueError(f"frames must lie in 0 to {header.time - 1}, got {low:g} to {high:g}")
    return positions
