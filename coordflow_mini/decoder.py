"""From a file's bytes back to pictures; needs nothing but the bytes."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch

from coordflow_mini import bitstream
from coordflow_mini.bitstream import Header
from coordflow_mini.coords import frame_times, scaled_size
from coordflow_mini.model import CoordFlow, Rendering, parameter_shapes, to_uint8
from coordflow_mini.quantize import QuantizedTensor
from coordflow_mini.video import Video

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


def read_model(data: bytes) -> tuple[Header, CoordFlow]:
    """What a file says about itself, and its model on the CPU.

    Raises `BitstreamError` on anything but a good file.  Taught in chapters 00 and 08.
    """
    header, tensors = bitstream.read(data, tensor_shapes)
    return header, build_model(header, tensors)


def decode(data: bytes, *, device: torch.device | str = "cpu") -> Video:
    """The video in a `.cfv` file's bytes, as 8-bit frames.

    Raises `BitstreamError` on anything but a good file.  Taught in chapter 00.
    """
    header = bitstream.read_header(data)
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

    frames: indices, also between frames (1.5) and in any order; all of them if not given.
    scale: of both sides.  layer: show this layer alone instead of the blend.
    dtype: float32 is what the encoder checked; bfloat16 is faster on some hardware and less exact.
    """
    layers = bitstream.read_header(data).model.layers
    if layer is not None and not 0 <= layer < layers:
        raise ValueError(f"layer must be 0 to {layers - 1}, got {layer}")
    header, model = read_model(data)
    times, size = _times(header, frames), scaled_size(header.height, header.width, scale)
    for blend in model.to(device).stills(times, header.height, header.width, scale=scale, dtype=dtype):
        rgb = blend.rgb if layer is None else blend.layer_rgb[layer]  # [1, pixels, 3]
        yield to_uint8(rgb[0]).unflatten(0, size).contiguous().cpu().numpy()


def decode_renderings(
    data: bytes,
    frames: Iterable[float] | None = None,
    *,
    scale: float = 1.0,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Iterator[Rendering]:
    """Like `decode_frames`, with every layer and its alpha: one `Rendering` per frame."""
    header, model = read_model(data)
    times = _times(header, frames)
    yield from model.to(device).render_frames(times, header.height, header.width, scale=scale, dtype=dtype)


def _times(header: Header, frames: Iterable[float] | None) -> torch.Tensor:
    """t of the wanted frames, of all if None.  Raises ValueError."""
    index = torch.arange(header.time) if frames is None else torch.tensor(list(frames), dtype=torch.float32)
    if len(index) and not (index.min() >= 0 and index.max() <= header.time - 1):
        raise ValueError(f"frames must lie in 0 to {header.time - 1}, got {index.min():g} to {index.max():g}")
    return frame_times(header.time, at=index)
