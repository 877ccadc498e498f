"""How good a file is: its frames beside the very frames that it was made of.

The file says which frames of the source it holds, at which size, so nobody has to remember.  What is
compared are 8-bit frames, one at a time; rate is the size of the file.
"""

import math
import os
import platform
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from coordflow_mini import __version__, bitstream
from coordflow_mini.bitstream import BitstreamError, Header, Section
from coordflow_mini.measure import metrics
from coordflow_mini.measure.results import RatePoint
from coordflow_mini.video import read as clips
from coordflow_mini.video.clip import Video, VideoError
from coordflow_mini.video.raw import RawFormat, format_of

if TYPE_CHECKING:
    import torch

__all__ = [
    "Evaluation",
    "Source",
    "Stopwatch",
    "describe",
    "evaluate",
    "frame_work",
    "hardware",
    "loss_of_fast",
    "rate_point",
    "settings",
    "source_of",
    "versions",
    "weight_count",
]

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Source:
    """The frames that a file was made of, and the truth about them where it is known.

    mask: bool [time, height, width], the foreground of `clip:cutout`; None for all other clips.
    """

    video: Video
    mask: np.ndarray[Any, np.dtype[np.bool_]] | None = None


@dataclass(frozen=True)
class Evaluation:
    """What `evaluate` measured.

    parameters: number of weights, of all segments.  mask_iou: the foreground's, by the layer that shows it
    best in each segment, in [0, 1].
    """

    point: RatePoint
    shape: tuple[int, int, int]  # time, height, width
    parameters: int
    mask_iou: float | None = None

    @property
    def bits_per_weight(self) -> float:
        """Bits of the whole file per weight."""
        return 8 * self.point.bytes / self.parameters

    def to_json(self) -> dict[str, Any]:
        """All figures by the names that `coordflow evaluate --json` prints, in one flat object."""
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


def source_of(data: bytes, name: str | Path, raw: RawFormat | None = None) -> Source:
    """The frames of a source that a file holds: those it names, at its size, raw YUV by its matrix.

    Raises VideoError if the source does not have them, or became RGB by another matrix, so that even its
    own frames would differ; BitstreamError if the file is none.
    """
    header = bitstream.read_header(data)
    if str(name).startswith("clip:cutout"):
        _check_held(header)
        scene = clips.scene(str(name), header.selection)
        return Source(scene.video, scene.masks)
    raw = format_of(clips.place(name), raw)
    if raw is None or (raw.width, raw.height) != (header.width, header.height):
        _check_held(header)
    if raw is not None and header.matrix != "rgb":
        raw = replace(raw, matrix=header.matrix)
    video = clips.load(name, header.selection, raw)
    if {video.matrix, header.matrix} == {"bt601", "bt709"}:
        raise VideoError(
            f"{name} is tagged {video.matrix}, but the file was made of {header.matrix} video; "
            f"give the source that was encoded"
        )
    return Source(video)


def _check_held(header: Header) -> None:
    """Raises BitstreamError if a source's frames, at the size that the file says, are too many for memory."""
    size = 3 * header.time * header.height * header.width
    if size > bitstream.MOST_HELD:
        raise BitstreamError(
            f"{header.time:,} frames of {header.width}x{header.height} are {size:,} bytes, more than the "
            f"{bitstream.MOST_HELD:,} to be held at once; give raw YUV of that size, which is not held"
        )


def evaluate(
    data: bytes,
    source: Source,
    *,
    device: "torch.device | str" = "cpu",
    dtype: "torch.dtype | None" = None,
) -> Evaluation:
    """Decode a file and measure it against its source, frame by frame.

    source: see `source_of`.  dtype: float32 unless given.
    Raises BitstreamError, and ValueError if the source has another shape.
    """
    import torch

    from coordflow_mini import applications, decoder

    video, header = source.video, bitstream.read_header(data)
    shape = (header.time, header.height, header.width)
    if video.frames.shape[:3] != shape:
        raise ValueError(f"the file holds (time, height, width) = {shape}, got {video}")
    clock = Stopwatch(decoder.decode_renderings(data, device=device, dtype=dtype or torch.float32))
    psnr_db, ms_ssim, tops = [], [], []
    for frame, rendering in zip(video.frames, clock, strict=True):
        psnr_db.append(metrics.psnr_db(frame[None], rendering.rgb))
        ms_ssim.append(metrics.ms_ssim(frame[None], rendering.rgb))
        if source.mask is not None:
            tops.append(applications.masks(rendering))
    point = rate_point(
        data,
        video.name,
        sum(psnr_db) / len(psnr_db),
        sum(ms_ssim) / len(ms_ssim),
        decode_seconds=clock.seconds,
    )
    iou = None
    if source.mask is not None:
        iou = _mask_iou(np.concatenate(tops, axis=1), source.mask, bitstream.segments(data))
    return Evaluation(point, shape, weight_count(data), iou)


def _mask_iou(
    tops: np.ndarray[Any, np.dtype[np.bool_]],
    mask: np.ndarray[Any, np.dtype[np.bool_]],
    segments: Sequence[Section],
) -> float:
    """IoU of the foreground with, in each segment, the layer that shows it best: layers have no names.

    tops: [layers, time, height, width].  mask: [time, height, width].
    """
    found = np.empty_like(mask)
    for segment in segments:
        frames = slice(segment.first, segment.first + segment.frames)
        (layer,) = metrics.match_layers(tops[:, frames], mask[None, frames]).order
        found[frames] = tops[layer, frames]
    return metrics.iou(found, mask)


def describe(data: bytes) -> dict[str, Any]:
    """What a file says about itself and where its bytes go, as JSON values (`coordflow info --json`).

    Raises BitstreamError on anything but a good file.
    """
    from coordflow_mini import decoder

    header, weights = bitstream.read_header(data), weight_count(data)
    return {
        "bytes": len(data),
        "bpp": metrics.bits_per_pixel(len(data), header.time * header.height * header.width),
        "bits_per_weight": 8 * len(data) / weights,
        "params": weights,
        "segments": [
            {"first": segment.first, "frames": segment.frames, "bytes": segment.end - segment.at}
            for segment in bitstream.segments(data)
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
        "sections": asdict(bitstream.sizes(data, decoder.tensor_shapes)),
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
    """A file's record among those of other codecs; rate and settings are read from the file."""
    header = bitstream.read_header(data)
    longest = max(segment.frames for segment in bitstream.segments(data))
    return RatePoint(
        codec="CoordFlow",
        clip=clip,
        bytes=len(data),
        bpp=metrics.bits_per_pixel(len(data), header.time * header.height * header.width),
        psnr_db=psnr_db,
        ms_ssim=ms_ssim,
        encode_seconds=encode_seconds,
        decode_seconds=decode_seconds,
        settings=settings(header, longest),
    )


def settings(header: Header, segment_frames: int | None = None) -> str:
    """One line from which, with the number of steps, a file can be made again.

    segment_frames: of the longest segment.
    """
    model = header.model
    shape = f"layers={model.layers} width={model.width} depth={model.depth} motion={model.motion}"
    if header.matrix == "bt709":  # BT.601 and RGB go without saying
        shape += " matrix=bt709"
    if segment_frames not in (None, header.time):
        shape += f" segment_frames={segment_frames}"
    return f"{shape}, gamma={header.gamma:g} seed={header.seed}, coordflow-mini {header.version}"


def weight_count(data: bytes) -> int:
    """How many weights a file holds, all segments together.  Raises BitstreamError if it is none."""
    from coordflow_mini import decoder

    shapes = decoder.tensor_shapes(bitstream.read_header(data))
    return len(bitstream.segments(data)) * sum(math.prod(shape) for shape in shapes)


def frame_work(data: bytes) -> int:
    """Multiplications that a frame of a file takes: its pixels times the weights of a segment."""
    header = bitstream.read_header(data)
    return header.height * header.width * (weight_count(data) // len(bitstream.segments(data)))


def loss_of_fast(data: bytes, positions: Sequence[float], *, device: "torch.device | str" = "cpu") -> float:
    """PSNR of frames computed in bfloat16 against exact ones [dB], by up to three of the positions."""
    import torch

    from coordflow_mini import decoder

    some = positions[:: -(-len(positions) // 3)]
    exact, fast = (
        np.stack(list(decoder.decode_frames(data, some, device=device, dtype=dtype)))
        for dtype in (torch.float32, torch.bfloat16)
    )
    return metrics.psnr_db(exact, fast)


class Stopwatch(Iterator[T]):
    """Items of an iterator, and the seconds that it took to make them, without what is done with them.

    >>> clock = Stopwatch(range(3))
    >>> list(clock), clock.seconds < 1
    ([0, 1, 2], True)
    """

    def __init__(self, items: Iterable[T]) -> None:
        self.seconds = 0.0
        self._items = iter(items)

    def __next__(self) -> T:
        began = time.perf_counter()
        try:
            return next(self._items)
        finally:
            self.seconds += time.perf_counter() - began


# --- where it was measured ----------------------------------------------------------------------------


def hardware() -> str:
    """The machine in words: processor, cores that this process may use, threads, graphics card."""
    import torch

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    words = [_processor(), f"{cores} cores", f"{torch.get_num_threads()} threads"]
    if torch.cuda.is_available():
        words.append(torch.cuda.get_device_name())
    return ", ".join(words)


def _processor() -> str:
    """The processor's name, as Linux tells it, or at least its architecture."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


def versions() -> dict[str, str]:
    """Versions of the packages that figures depend on."""
    names = ("torch", "numpy", "av", "constriction", "torchmetrics")
    ours = {"coordflow-mini": __version__, "python": platform.python_version()}
    return ours | {name: metadata.version(name) for name in names}
