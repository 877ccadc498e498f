"""From a video to a file's bytes: choose a width for the rate, fit, fine-tune, write, verify.

data = encode(video, bpp=0.1)      # bytes; open(path, "wb").write(data)
"""

import time
from dataclasses import dataclass, replace

import numpy as np
import torch

from coordflow_mini import __version__, bitstream
from coordflow_mini.bitstream import Header
from coordflow_mini.config import MODEL_LIMITS, CodecConfig, FitConfig, ModelConfig
from coordflow_mini.coords import frame_times
from coordflow_mini.decoder import build_model, tensor_shapes
from coordflow_mini.finetune import finetune
from coordflow_mini.fit import OnStep, Progress, default_model
from coordflow_mini.fit import fit as fit_video
from coordflow_mini.metrics import psnr_db
from coordflow_mini.model import CoordFlow, weight_count
from coordflow_mini.quantize import QuantizedTensor
from coordflow_mini.video import Video

__all__ = [
    "EncodeError",
    "Encoding",
    "Plan",
    "checked_frames",
    "compress",
    "default_bpp",
    "encode",
    "header_of",
    "model_for",
    "plan",
    "target_bytes",
]


class EncodeError(ValueError):
    """The clip cannot be encoded as asked; the message says why and what would work."""


@dataclass(frozen=True)
class Encoding:
    """A finished file and the record of its making."""

    data: bytes
    header: Header
    parameters: int
    target_bytes: int
    unquantized_psnr_db: float  # of the model before fine-tuning [dB], on frames spread over the clip
    psnr_db: float  # of the model decoded from `data`, on the same frames [dB]
    seconds: float
    history: tuple[Progress, ...]
    interrupted: bool = False

    @property
    def bits_per_weight(self) -> float:
        """Bits of the whole file per weight: header, tables and checksums counted."""
        return 8 * len(self.data) / self.parameters


def encode(
    video: Video,
    *,
    bpp: float | None = None,
    model: ModelConfig | None = None,
    fit: FitConfig | None = None,
    codec: CodecConfig | None = None,
    device: torch.device | str = "cpu",
    on_step: OnStep | None = None,
) -> bytes:
    """A `.cfv` file of at most `bpp` bits per pixel, and not more than 5 % below.

    bpp: 8 · bytes / (time · height · width); `default_bpp` if not given.  model: only its `width` is
    chosen by the rate, unless `codec.choose_width` is off.  Raises `EncodeError`,
    `DivergenceError`.  Taught in chapters 00 and 08.
    """
    return compress(video, bpp=bpp, model=model, fit=fit, codec=codec, device=device, on_step=on_step).data


def compress(
    video: Video,
    *,
    bpp: float | None = None,
    model: ModelConfig | None = None,
    fit: FitConfig | None = None,
    codec: CodecConfig | None = None,
    device: torch.device | str = "cpu",
    on_step: OnStep | None = None,
) -> Encoding:
    """`encode`, with the record of what happened on the way."""
    began = time.perf_counter()
    codec, fit_config = codec or CodecConfig(), fit or FitConfig()
    planned = plan(video, bpp=bpp, model=model, codec=codec)
    config, target = planned.model, planned.target_bytes
    header = header_of(video, config, fit_config)  # before training, because it refuses what no file can hold
    fitted = fit_video(video, config, fit_config, device=device, on_step=on_step)
    if fitted.interrupted:  # by somebody who does not want to wait for all of what follows, either
        part = fitted.history[-1].step / fit_config.steps if fitted.history else 0
        codec = replace(codec, steps=max(1, min(codec.steps, 100), round(part * codec.steps)))
    unquantized = _psnr_db(fitted.model, video)

    def file_size(tensors: list[QuantizedTensor]) -> int:
        return len(bitstream.write(header, tensors))

    tuned = finetune(fitted, video, codec, target, file_size, device=device, on_step=on_step)
    data = bitstream.write(header, tuned.tensors)
    decoded = _verify(data, header, tuned.tensors).to(device)
    if len(data) > target and not tuned.interrupted:
        raise EncodeError(
            f"the file has {len(data)} bytes where {target} were asked for; "
            f"use a smaller width than {config.width}, or more bits per pixel"
        )
    return Encoding(
        data=data,
        header=header,
        parameters=decoded.parameter_count,
        target_bytes=target,
        unquantized_psnr_db=unquantized,
        psnr_db=_psnr_db(decoded, video),
        seconds=time.perf_counter() - began,
        history=fitted.history + tuned.history,
        interrupted=fitted.interrupted or tuned.interrupted,
    )


@dataclass(frozen=True)
class Plan:
    """What an encode is about to do: the shape of the model, and how large its file may be."""

    model: ModelConfig
    target_bytes: int


def plan(
    video: Video,
    *,
    bpp: float | None = None,
    model: ModelConfig | None = None,
    codec: CodecConfig | None = None,
) -> Plan:
    """The model and the size of file that `compress` will choose, without training.

    A given width (`codec.choose_width` off) without a rate sets the rate: `codec.bits_per_weight` for
    each of its weights.  Raises `EncodeError`.
    """
    codec, model = codec or CodecConfig(), model or default_model(video)
    if bpp is None and not codec.choose_width:
        target = round(weight_count(model) * codec.bits_per_weight / 8) + _FRAMING
    else:
        target = target_bytes(video, default_bpp(video) if bpp is None else bpp)
    model = model_for(video, target, model, codec)
    if weight_count(model) > bitstream.MOST_WEIGHTS:
        raise EncodeError(
            f"a file holds at most {bitstream.MOST_WEIGHTS:,} weights, this model has "
            f"{weight_count(model):,}; ask for fewer bits per pixel, or less width, depth or layers"
        )
    bits = 8 * (target - _FRAMING) / weight_count(model)
    if not 1 <= bits <= 16:
        raise EncodeError(
            f"{target} bytes give the {weight_count(model):,} weights of width {model.width} {bits:.2g} bits "
            f"each, expected 1 to 16; use a {'larger' if bits > 16 else 'smaller'} width, or another rate"
        )
    return Plan(model, target)


def default_bpp(video: Video) -> float:
    """The rate when none is asked for: 0.1, and more for short clips, up to 0.8.

    15 kB hold a network of about 25,000 weights; much below, layers have no room to form.
    """
    return min(0.8, max(0.1, 8 * 15_000 / video.pixels))


def target_bytes(video: Video, bpp: float) -> int:
    """The largest file that a rate allows.  Raises `EncodeError` if no file can be that small."""
    if not 0 < bpp <= 24:
        raise EncodeError(f"bpp must lie above 0 and up to 24 (raw RGB), got {bpp:g}; 0.1 is usual")
    return int(bpp * video.pixels / 8)


def model_for(video: Video, target: int, model: ModelConfig | None, codec: CodecConfig) -> ModelConfig:
    """The widest model whose weights fit into `target` bytes at `codec.bits_per_weight`.

    Raises `EncodeError` if not even the narrowest model fits.
    """
    model = model or default_model(video)
    if not codec.choose_width:
        return model
    room = 8 * (target - _FRAMING) / codec.bits_per_weight
    low, high = map(int, MODEL_LIMITS["width"])
    if weight_count(replace(model, width=low)) > room:
        least = weight_count(replace(model, width=low)) * codec.bits_per_weight / 8 + _FRAMING
        raise EncodeError(
            f"{target} bytes are too few: the smallest model of {model.layers} layers needs {least:.0f}; "
            f"ask for at least {8 * least / video.pixels:.3g} bpp, or fewer layers"
        )
    while low < high:  # the largest width that fits
        middle = (low + high + 1) // 2
        fits = weight_count(replace(model, width=middle)) <= room
        low, high = (middle, high) if fits else (low, middle - 1)
    return replace(model, width=low)


_FRAMING = 120  # bytes of header, steps, symbol models and checksums of a small file


def header_of(video: Video, model: ModelConfig, fit: FitConfig) -> Header:
    """What a file that this version writes says about itself."""
    return Header(
        time=video.time,
        height=video.height,
        width=video.width,
        fps=video.fps,
        matrix=video.matrix,
        selection=video.selection,
        model=model,
        gamma=fit.gamma,
        seed=fit.seed,
        version=__version__,
    )


def checked_frames(video: Video) -> list[int]:
    """Evenly spaced frames of at most 2^22 pixels in all: what quality is checked on while encoding."""
    count = min(video.time, max(1, 2**22 // (video.height * video.width)))
    return [round(index) for index in np.linspace(0, video.time - 1, count)]


def _psnr_db(model: CoordFlow, video: Video) -> float:
    """PSNR of the model's 8-bit pictures of `checked_frames` [dB]."""
    chosen = checked_frames(video)
    times = frame_times(video.time, at=torch.tensor(chosen))
    renderings = model.render_frames(times, video.height, video.width)
    pairs = zip(renderings, chosen, strict=True)
    return sum(psnr_db(video.frames[[frame]], rendering.rgb) for rendering, frame in pairs) / len(chosen)


def _verify(data: bytes, header: Header, tensors: list[QuantizedTensor]) -> CoordFlow:
    """The model that a decoder reads from the bytes just written.

    Raises RuntimeError unless every decoded integer is the one that was written.
    """
    found, decoded = bitstream.read(data, tensor_shapes)
    same = all(
        a.step_index == b.step_index and np.array_equal(a.integers, b.integers)
        for a, b in zip(decoded, tensors, strict=True)
    )
    if found != header or not same:
        raise RuntimeError(
            "the written bytes do not decode to the weights they were made of; please report this"
        )
    return build_model(found, decoded)
