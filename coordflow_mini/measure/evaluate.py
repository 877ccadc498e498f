"""Evaluation of a .cfv file against the frames it was made from, and what a file says about itself.

The file knows which frames of the source it holds and at which size.  Frames are compared at 8 bits, one at
a time; the rate counts the whole file.
"""

import os
import platform
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from coordflow_mini import __version__, bitstream
from coordflow_mini.bitstream import BitstreamError, Header, Section
from coordflow_mini.measure import metrics
from coordflow_mini.measure.results import RatePoint
from coordflow_mini.ops.lazy import lazily
from coordflow_mini.video import catalog, scenes
from coordflow_mini.video.clip import Video
from coordflow_mini.video.raw import Masks, RawFormat, VideoError, format_of
from coordflow_mini.video.read import load

with lazily():  # `coordflow info` needs no PyTorch
    import torch

    from coordflow_mini import applications, decoder, model
    from coordflow_mini.video import device as places


@dataclass(frozen=True)
class Evaluation:
    """The result of `evaluate`.

    shape: (time, height, width).  parameters: number of weights in all segments.
    mask_iou: of the foreground and the layer that matches it best in each segment; None without a mask.
    """

    point: RatePoint
    shape: tuple[int, int, int]
    parameters: int
    mask_iou: float | None = None

    @property
    def bits_per_weight(self) -> float:
        """Bits of the whole file per weight."""
        return 8 * self.point.bytes / self.parameters

    def to_json(self) -> dict[str, Any]:
        """A flat object, as `coordflow evaluate --json` prints it."""
        point = self.point
        return {
            "clip": point.clip,
            "frames": self.shape[0],
            "height": self.shape[1],
            "width": self.shape[2],
            "psnr_db": point.psnr_db,
            "ms_ssim": point.ms_ssim,
            "bpp": point.bpp,
            "bytes": point.bytes,
            "bits_per_weight": self.bits_per_weight,
            "params": self.parameters,
            "mask_iou": self.mask_iou,
            "decode_seconds": point.decode_seconds,
            "settings": point.settings,
        }


def evaluate(
    source: Video | str | Path,
    encoded: bytes | str | Path,
    *,
    raw: RawFormat | None = None,
    device: "torch.device | str" = "cpu",
) -> Evaluation:
    """Quality and rate of a .cfv file, measured against the video it was made from; time to decode it.

    source: exactly the frames that were encoded, or a file or `clip:` name, of which those frames are read.
    encoded: the file's bytes, or its path.  raw: layout of a raw YUV source; its matrix is the file's.
    Raises BitstreamError, VideoError if the source lacks those frames or was converted to RGB by another
    matrix, and ValueError if the shapes differ.
    """
    data = encoded if isinstance(encoded, bytes) else Path(encoded).read_bytes()
    header = bitstream.read_header(data)
    video, mask = (source, None) if isinstance(source, Video) else _load(header, source, raw)
    shape = (header.time, header.height, header.width)
    if video.frames.shape[:3] != shape:
        raise ValueError(f"the file holds (time, height, width) = {shape}, got {video}")
    psnr_db, ms_ssim, seconds = [], [], 0.0
    decoded = decoder.decode_frames(data, device=device)
    for frame in video.frames:
        began = time.perf_counter()
        picture = next(decoded)
        places.finish(device)  # a GPU has begun with the next one
        seconds += time.perf_counter() - began
        pair = [places.moved(torch.from_numpy(np.array(one))[None], device) for one in (frame, picture)]
        psnr_db.append(metrics.psnr_db(*pair))
        ms_ssim.append(metrics.ms_ssim(*pair))
    point = rate_point(
        data,
        video.name,
        sum(psnr_db) / len(psnr_db),
        sum(ms_ssim) / len(ms_ssim),
        decode_seconds=seconds,
    )
    iou = None
    if mask is not None:
        tops = map(applications.masks, decoder.decode_renderings(data, device=device))
        iou = _mask_iou(np.concatenate(list(tops), axis=1), mask, bitstream.segments(data))
    return Evaluation(point, shape, weight_count(data), iou)


def _load(header: Header, name: str | Path, raw: RawFormat | None) -> tuple[Video, Masks | None]:
    """The frames of a source that a file holds, and the foreground mask of `clip:cutout`."""
    if str(name).startswith("clip:cutout"):
        _check_memory(header)
        scene = scenes.scene(str(name), header.selection)
        return scene.video, scene.masks
    raw = format_of(catalog.path_of(str(name)) or name, raw)
    if raw is None or (raw.width, raw.height) != (header.width, header.height):
        _check_memory(header)
    if raw is not None and header.matrix != "rgb":
        raw = replace(raw, matrix=header.matrix)
    video = load(name, header.selection, raw)
    if {video.matrix, header.matrix} == {"bt601", "bt709"}:
        raise VideoError(
            f"{name} is tagged {video.matrix}, but the file was made from {header.matrix} video; "
            f"give the source that was encoded"
        )
    return video, None


def _check_memory(header: Header) -> None:
    """Raises BitstreamError if frames that are read as a whole exceed the memory allowed for them."""
    size = 3 * header.time * header.height * header.width
    if size > bitstream.MOST_HELD:
        raise BitstreamError(
            f"{header.time:,} frames of {header.width}x{header.height} are {size:,} bytes, more than the "
            f"{bitstream.MOST_HELD:,} allowed in memory; give raw YUV, which is read frame by frame"
        )


def _mask_iou(tops: Masks, mask: Masks, segments: Sequence[Section]) -> float:
    """IoU of the foreground with the layer that matches it best in each segment: layers have no names.

    tops: [layers, time, height, width], where each layer is on top.  mask: [time, height, width].
    """
    found = np.empty_like(mask)
    for segment in segments:
        frames = slice(segment.first, segment.first + segment.frames)
        (layer,) = metrics.match_layers(tops[:, frames], mask[None, frames]).order
        found[frames] = tops[layer, frames]
    return metrics.iou(found, mask)


# --- files --------------------------------------------------------------------------------------------


def describe(data: bytes) -> dict[str, Any]:
    """Header, rate, and bytes by section as JSON values (`coordflow info --json`).

    Raises BitstreamError unless data is a good file.
    """
    file = bitstream.parse(data)
    header, weights = file.header, weight_count(data)
    return {
        "bytes": len(data),
        "bpp": metrics.bits_per_pixel(len(data), header.time * header.height * header.width),
        "bits_per_weight": 8 * len(data) / weights,
        "params": weights,
        "segments": [
            {"first": segment.first, "frames": segment.frames, "bytes": segment.end - segment.at}
            for segment in file.segments
        ],
        "frames": header.time,
        "height": header.height,
        "width": header.width,
        "fps": str(header.fps),
        "matrix": header.matrix,
        "selection": asdict(header.selection),
        "model": asdict(header.model),
        "gamma": header.gamma,
        "seed": header.seed,
        "version": header.version,
        "sections": asdict(file.sizes(decoder.tensor_shapes)),
    }


def rate_point(
    data: bytes,
    clip: str,
    psnr_db: float,
    ms_ssim: float,
    *,
    encode_seconds: float = 0.0,
    decode_seconds: float = 0.0,
) -> RatePoint:
    """The record of a file among those of other codecs; rate and settings are read from the file.

    From the settings and the number of steps, the file can be made again.
    """
    file = bitstream.parse(data, check=False)
    header, model = file.header, file.header.model
    settings = f"layers={model.layers} width={model.width} depth={model.depth} motion={model.motion}"
    if header.matrix == "bt709":  # BT.601 and RGB go without saying
        settings += " matrix=bt709"
    if (longest := max(segment.frames for segment in file.segments)) != header.time:
        settings += f" segment_frames={longest}"
    return RatePoint(
        codec="CoordFlow",
        clip=clip,
        bytes=len(data),
        bpp=metrics.bits_per_pixel(len(data), header.time * header.height * header.width),
        psnr_db=psnr_db,
        ms_ssim=ms_ssim,
        encode_seconds=encode_seconds,
        decode_seconds=decode_seconds,
        settings=f"{settings}, gamma={header.gamma:g} seed={header.seed}, coordflow-mini {header.version}",
    )


def weight_count(data: bytes) -> int:
    """Number of weights in all segments of a file; raises BitstreamError."""
    file = bitstream.parse(data, check=False)
    return len(file.segments) * model.weight_count(file.header.model)


def psnr_db_in(
    dtype: "torch.dtype", data: bytes, positions: Sequence[float], *, device: "torch.device | str" = "cpu"
) -> float:
    """PSNR of frames computed in a dtype against float32 [dB], at up to three of the positions."""
    some = positions[:: -(-len(positions) // 3)]
    exact, fast = (
        np.stack(list(decoder.decode_frames(data, some, device=device, dtype=kind)))
        for kind in (torch.float32, dtype)
    )
    return metrics.psnr_db(exact, fast)


# --- machine ------------------------------------------------------------------------------------------


def hardware() -> str:
    """The machine in words: processor, cores this process may use, threads, GPU."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    words = [_processor(), f"{cores} cores", f"{torch.get_num_threads()} threads"]
    if torch.cuda.is_available():
        words.append(torch.cuda.get_device_name())
    return ", ".join(words)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


def versions() -> dict[str, str]:
    """Versions of the packages that results depend on."""
    names = ("torch", "numpy", "av", "constriction")
    ours = {"coordflow-mini": __version__, "python": platform.python_version()}
    return ours | {name: metadata.version(name) for name in names}
