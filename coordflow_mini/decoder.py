"""From the bytes of a `.cfv` file to frames; nothing else is needed.

A file may hold several segments, each with its own model. Only the segments of the wanted frames are
decoded, one at a time.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch

from coordflow_mini import bitstream
from coordflow_mini.bitstream import MOST_HELD, BitstreamError, File, Header
from coordflow_mini.coords import frame_times
from coordflow_mini.model import CoordFlow, parameter_shapes, training_dtype
from coordflow_mini.quantize import QuantizedTensor
from coordflow_mini.render import Rendering, pictures, render_frames
from coordflow_mini.video.clip import Video


def tensor_shapes(header: Header) -> list[tuple[int, ...]]:
    """Shapes of a file's tensors: all layers of the first parameter, then of the next, and so on."""
    return [shape[1:] for shape in parameter_shapes(header.model) for _ in range(shape[0])]


@torch.no_grad()
def build_model(header: Header, tensors: Sequence[QuantizedTensor]) -> CoordFlow:
    """The model with the weights that these tensors stand for, on the CPU."""
    model = CoordFlow(header.model)
    layers = [layer for parameter in model.parameters() for layer in parameter]
    for layer, tensor in zip(layers, tensors, strict=True):
        layer.copy_(torch.from_numpy(tensor.values))
    return model


def read_model(data: bytes, segment: int | None = None) -> tuple[Header, CoordFlow]:
    """The header and the model of a file, on the CPU.

    segment: its number, for a file of several; the model's t runs from -1 to 1 over that segment's frames.
    Raises `BitstreamError` if the file is not valid, or has several segments and no number is given.
    Taught in chapters 00 and 08.
    """
    header, tensors = bitstream.read(data, tensor_shapes, segment)
    return header, build_model(header, tensors)


def decode(data: bytes, *, device: torch.device | str = "cpu", most_bytes: int = MOST_HELD) -> Video:
    """The video of a file, as 8-bit frames in memory.

    most_bytes: of all frames together, because a header of 60 bytes can ask for 200 GB.
    Raises `BitstreamError` if the file is not valid or the video is larger.  Taught in chapter 00.
    """
    header = bitstream.parse(data, check=False).header
    size = 3 * header.time * header.height * header.width
    if size > most_bytes:
        raise BitstreamError(
            f"{header.time} frames of {header.width}x{header.height} take {size:,} bytes, more than the "
            f"limit of {most_bytes:,}; use decode_frames(data), or pass most_bytes={size}"
        )
    frames = decode_frames(data, device=device)
    first = next(frames)  # before memory is claimed for all
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
    """Frames one by one, uint8 [height, width, 3]; only one is held in memory.

    frames: indices in any order, also fractional (1.5 lies between two frames); default: all.  Each change
    of segment decodes one, so read a file of several in the order of time.
    scale: of both sides.  layer: show this layer alone instead of the blend.
    dtype: float32 is what the encoder verified; `fast_dtype` is less exact.
    Raises `BitstreamError` if the file is not valid, ValueError if a frame or the layer does not exist.
    """
    file = bitstream.parse(data, check=False)
    header = file.header
    if layer is not None and not 0 <= layer < header.model.layers:
        raise ValueError(f"layer must be 0 to {header.model.layers - 1}, got {layer}")
    for model, times in _models(file, frames, device):
        shown = pictures(model, times, header.height, header.width, scale=scale, layer=layer, dtype=dtype)
        yield from (picture.numpy() for picture in shown)


def fast_dtype(device: torch.device | str) -> torch.dtype:
    """The fastest dtype to decode in: float16 on a GPU, where it is at most one level of 255 off.

    On a processor as in training: bfloat16, up to six levels off, if it has instructions for it, or float32.
    """
    device = torch.device(device)
    return torch.float16 if device.type == "cuda" else training_dtype(device)


def decode_renderings(
    data: bytes,
    frames: Iterable[float] | None = None,
    *,
    scale: float = 1.0,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Iterator[Rendering]:
    """`decode_frames` with every layer and its alpha: one `Rendering` per frame."""
    file = bitstream.parse(data, check=False)
    for model, times in _models(file, frames, device):
        yield from render_frames(
            model, times, file.header.height, file.header.width, scale=scale, dtype=dtype
        )


def _models(
    file: File, frames: Iterable[float] | None, device: torch.device | str
) -> Iterator[tuple[CoordFlow, torch.Tensor]]:
    """Models, each with t of the wanted frames that come next from it; decoded when the first is due.

    A position belongs to the segment of the nearest frame, so motion between two segments is extrapolated by
    up to half a frame.
    """
    positions = _positions(file.header, frames)
    firsts = torch.tensor([segment.first for segment in file.segments])
    owners = torch.searchsorted(firsts, torch.floor(positions + 0.5), right=True) - 1
    numbers, counts = torch.unique_consecutive(owners, return_counts=True)
    for number, own in zip(numbers.tolist(), positions.split(counts.tolist()), strict=True):
        segment = file.segments[number]
        model = build_model(file.header, file.tensors(segment, tensor_shapes))
        yield model.to(device), frame_times(segment.frames, at=own - segment.first)


def _positions(header: Header, frames: Iterable[float] | None) -> torch.Tensor:
    """The wanted frames, float32 [frames].  Raises ValueError if one does not exist."""
    if frames is None:
        return torch.arange(header.time, dtype=torch.float32)
    positions = torch.tensor(list(frames), dtype=torch.float32)
    if len(positions) and not (positions.min() >= 0 and positions.max() <= header.time - 1):
        low, high = positions.min(), positions.max()
        raise ValueError(f"frames must lie in 0 to {header.time - 1}, got {low:g} to {high:g}")
    return positions
