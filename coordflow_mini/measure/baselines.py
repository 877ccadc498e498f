"""Conventional codecs on the same frames at the same bytes: x264, x265, SVT-AV1.

The comparison is fair by construction.  The encoder gets exactly the frames that we encode.  Only the bytes
of the raw stream count, without a container (an mp4 adds 1.6 to 4.4 kB) or the encoder's signature.  The
stream is decoded from those bytes and scored in RGB like our own file.  The rate is met by a search over
CRF (constant quality), so no rate control interferes.

Frames are converted to yuv420p and back by BT.601, limited range, which is FFmpeg's default and how the
field's numbers are made.  Raw yuv420p in BT.601 with even sides (`YuvFrames`) skips the conversion, as in
the field: the encoder gets the planes of the file, and `settings` says "source planes".  These codecs can
do better in RGB PSNR: see pix_fmt of `encode` and accurate_rgb of `decode`, and quote both before you claim
to beat them. Odd or very small sides are padded by repeating the last row or column, and cropped after
decoding. Encoders run on one thread, so streams do not depend on the number of cores.
"""

import math
import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeGuard

import av
import numpy as np
from av.video.codeccontext import VideoCodecContext
from av.video.reformatter import ColorRange, Colorspace, Interpolation

from coordflow_mini.measure import metrics
from coordflow_mini.measure.results import RatePoint
from coordflow_mini.ops.lazy import lazily
from coordflow_mini.video.raw import YuvFrames
from coordflow_mini.video.read import raw_picture

with lazily():
    import torch

if TYPE_CHECKING:
    from coordflow_mini.video.clip import Video
    from coordflow_mini.video.raw import Frames


@dataclass(frozen=True)
class Codec:
    """Names and limits of a codec; `encoder` and `decoder` are names in libavcodec."""

    encoder: str
    decoder: str
    preset: str  # the default
    presets: tuple[str, ...]
    pix_fmts: tuple[str, ...]
    min_side: int  # smaller frames are padded to it
    max_crf: float
    crf_step: float  # the smallest that makes a difference


_NEW = int(av.__version__.split(".")[0]) >= 18  # older versions have an SVT-AV1 without quarter CRFs
_FAST = ("ultrafast", "superfast", "veryfast", "faster", "fast", "medium")
_WORDS = (*_FAST, "slow", "slower", "veryslow", "placebo")
_DIGITS = tuple(str(preset) for preset in range(14))
CODECS = {
    "x264": Codec("libx264", "h264", "medium", _WORDS, ("yuv420p", "yuv444p"), 2, 51, 0.02),
    "x265": Codec("libx265", "hevc", "medium", _WORDS, ("yuv420p", "yuv444p"), 64, 51, 0.02),
    "av1": Codec("libsvtav1", "libdav1d", "6", _DIGITS, ("yuv420p",), 16, 63, 0.25 if _NEW else 1),
}
"""Codecs by their names on the command line.

x265's CU tree writes past its buffers and crashes Python if frames are at most 48 pixels wide (PyAV 18.1):
hence 64.
"""


@dataclass(frozen=True)
class BaselineStream:
    """A raw elementary stream with the settings that made it.

    data: Annex B (x264, x265) or open bitstream units (AV1).  shape: (time, height, width).
    """

    codec: str
    data: bytes = field(repr=False)
    shape: tuple[int, int, int]
    preset: str
    tune: str | None
    pix_fmt: str
    crf: float
    encode_seconds: float
    source_planes: bool = False  # the encoder got the planes of a raw file, not RGB

    @property
    def settings(self) -> str:
        """One line from which the stream can be made again."""
        tune = f" tune={self.tune}" if self.tune else ""
        made = f"preset={self.preset}{tune} crf={self.crf:g} {self.pix_fmt}"
        planes = "source planes, " if self.source_planes else ""
        return f"{made}, {planes}BT.601 limited, raw stream, PyAV {av.__version__}"


def available() -> tuple[str, ...]:
    """Names of codecs that the installed PyAV can both encode and decode."""
    have = av.codec.codecs_available
    return tuple(name for name, codec in CODECS.items() if {codec.encoder, codec.decoder} <= have)


def measure(
    video: "Video",
    codec: str,
    *,
    target_bytes: int | None = None,
    bpp: float | None = None,
    accurate_rgb: bool = False,
    on_try: "OnTry | None" = None,
    **settings: Any,
) -> RatePoint:
    """Rate and quality of `codec` on these frames, with the largest stream within the target.

    Give either target_bytes or bpp.  accurate_rgb: see `decode`.  on_try, settings: see `encode_at`.
    Raises ValueError as `encode_at` does.
    """
    if (target_bytes is None) == (bpp is None):
        raise ValueError(f"expected either target_bytes or bpp, got {target_bytes} and {bpp}")
    if bpp is not None:
        target_bytes = math.floor(bpp * video.pixels / 8)
    stream = encode_at(video, codec, target_bytes or 0, on_try=on_try, **settings)
    start = time.perf_counter()
    frames = decode(stream, accurate_rgb=accurate_rgb)
    seconds = time.perf_counter() - start
    return RatePoint(
        codec=codec,
        clip=video.name,
        bytes=len(stream.data),
        bpp=metrics.bits_per_pixel(len(stream.data), video),
        psnr_db=metrics.psnr_db(video.frames, frames),
        ms_ssim=metrics.ms_ssim(video.frames, frames),
        encode_seconds=stream.encode_seconds,
        decode_seconds=seconds,
        settings=stream.settings + (", accurate RGB" if accurate_rgb else ""),
    )


# --- search for a rate --------------------------------------------------------------------------------

OnTry = Callable[[BaselineStream], None]
CLOSE_ENOUGH = 0.003  # of the target; 0.3 % of the rate is 0.01 to 0.02 dB
MAX_TRIES = 8  # by then, the jumps of x265's sizes exceed the remaining interval


def encode_at(
    video: "Video", codec: str, target_bytes: int, *, on_try: OnTry | None = None, **settings: Any
) -> BaselineStream:
    """The largest stream found that does not exceed the target.

    Interpolation over CRF, since bytes fall exponentially with it; ends within 0.3 % of the target or after
    eight tries, each a complete encode.  Sizes jump with an encoder's decisions, so the largest admissible
    stream of all tries is returned, not the last.
    on_try: called with every stream.  settings: preset, tune and pix_fmt of `encode`.
    Raises ValueError if even the smallest stream exceeds the target, or a setting is unknown.
    """
    limits = checked(codec, **settings)
    sizes: dict[float, int] = {}
    best: BaselineStream | None = None
    crf: float | None = round(0.6 * limits.max_crf)
    while crf is not None and (best is None or len(sizes) < MAX_TRIES):
        stream = encode(video, codec, crf, **settings)
        size = sizes[crf] = len(stream.data)
        if on_try:
            on_try(stream)
        if size <= target_bytes and (best is None or size > len(best.data)):
            best = stream
        if best and len(best.data) >= (1 - CLOSE_ENOUGH) * target_bytes:
            break
        crf = _next_crf(sizes, target_bytes, limits)
    if best is None:
        raise ValueError(
            f"{codec} cannot code {video.time} frames of {video.width}x{video.height} in {target_bytes} "
            f"bytes: its smallest stream has {min(sizes.values())}; ask for a higher rate"
        )
    return best


def _next_crf(sizes: dict[float, int], target: int, limits: Codec) -> float | None:
    """The CRF to try next, or None if it was tried already."""

    def allowed(crf: float) -> float:
        steps = round(min(limits.max_crf, max(0, crf)) / limits.crf_step)
        return round(steps * limits.crf_step, 4)

    coarse = min((crf for crf, size in sizes.items() if size <= target), default=math.inf)
    fine = max((crf for crf, size in sizes.items() if size > target and crf < coarse), default=-math.inf)
    if math.isinf(coarse - fine):  # not bracketed yet: bytes halve about every 6 CRF; go a little further
        crf, beyond = (coarse, -1) if math.isinf(fine) else (fine, 1)
        guess = allowed(crf + 7 * math.log2(max(sizes[crf], 1) / max(target, 1)) + beyond)
    else:
        aim = (1 - CLOSE_ENOUGH / 2) * target
        share = math.log(sizes[fine] / aim) / math.log(sizes[fine] / max(sizes[coarse], 1))
        guess = allowed(fine + min(0.9, max(0.1, share)) * (coarse - fine))
        if guess in sizes:
            guess = allowed((fine + coarse) / 2)
    return None if guess in sizes else guess


# --- one stream ---------------------------------------------------------------------------------------


def encode(
    video: "Video",
    codec: str,
    crf: float,
    *,
    preset: str | None = None,
    tune: str | None = None,
    pix_fmt: str = "yuv420p",
) -> BaselineStream:
    """The raw stream of these frames at one CRF.

    preset: "medium", "veryslow" ... for x264 and x265, "0" (slow) to "13" for av1; None: see `CODECS`.
    tune: "psnr", or None for the encoder's default (x264 and x265 then spend bits on visual quality that PSNR
    does not measure; av1 tunes for PSNR anyway).
    pix_fmt: "yuv420p" stores a quarter of the chroma samples, like nearly all video and the field's numbers;
    small or saturated frames suffer at any rate: on `clip:cutout` no 4:2:0 stream reaches 31 dB.
    "yuv444p" (x264, x265) keeps all samples.
    encode_seconds includes any conversion to YUV.
    Raises ValueError if a setting is unknown or the encoder refuses the frames.
    """
    known = checked(codec, preset, tune, pix_fmt)
    preset, frames = preset or known.preset, video.frames
    height, width = (max(known.min_side, side + side % 2) for side in (video.height, video.width))
    start = time.perf_counter()
    if planes := _has_planes(frames, pix_fmt, height, width):
        pictures = (raw_picture(frames.source(index), frames.raw) for index in range(len(frames)))
    else:
        pictures = (_yuv(frame, pix_fmt, height, width) for frame in frames)
    try:
        context = _context(known.encoder, "w")
        context.height, context.width, context.pix_fmt = height, width, pix_fmt
        context.framerate, context.time_base = video.fps, 1 / video.fps
        context.options = _options(codec, crf, preset, tune)
        packets = []
        for index, picture in enumerate(pictures):
            picture.pts = index
            packets += context.encode(picture)
        data = b"".join(map(bytes, [*packets, *context.encode(None)]))
    except av.FFmpegError as error:
        clip = f"{video.time} frames of {video.width}x{video.height}"
        raise ValueError(f"{codec} refuses {clip} at crf {crf:g}: {error.strerror}") from None
    if codec == "x264":
        data = _SIGNATURE.sub(b"", data)
    seconds = time.perf_counter() - start
    shape = (video.time, video.height, video.width)
    return BaselineStream(codec, data, shape, preset, tune, pix_fmt, crf, seconds, planes)


def decode(stream: BaselineStream, *, accurate_rgb: bool = False) -> "Frames":
    """The frames of a stream, uint8 [time, height, width, 3], from its bytes alone.

    accurate_rgb: interpolate chroma and round.  FFmpeg's default, used by the field, repeats chroma samples
    and truncates, which is about 1 gray level too dark: it costs these codecs 0.15 to 0.3 dB of RGB PSNR near
    29 dB, and more at higher quality.
    Raises ValueError if the bytes do not hold the declared number of frames.
    """
    frames = np.empty((*stream.shape, 3), np.uint8)
    count = 0
    context = _context(CODECS[stream.codec].decoder, "r")
    try:
        for packet in [*context.parse(stream.data), *context.parse(b""), None]:
            for frame in context.decode(packet):
                if count < len(frames):
                    frames[count] = _rgb(frame, accurate_rgb)[: stream.shape[1], : stream.shape[2]]
                count += 1
    except (av.FFmpegError, ValueError) as error:
        raise ValueError(f"damaged {stream.codec} stream: {error}") from None
    if count != len(frames):
        raise ValueError(f"damaged {stream.codec} stream: expected {len(frames)} frames, got {count}")
    return frames


def _context(name: str, mode: Literal["r", "w"]) -> VideoCodecContext:
    context = av.CodecContext.create(name, mode)
    assert isinstance(context, VideoCodecContext), name
    context.thread_count = 1
    return context


def checked(name: str, preset: str | None = None, tune: str | None = None, pix_fmt: str = "yuv420p") -> Codec:
    """The codec of that name.  Raises ValueError for settings that it does not have."""
    if name not in available():
        raise ValueError(f"codec must be one of {', '.join(available())}, got {name!r}")
    codec = CODECS[name]
    if preset is not None and preset not in codec.presets:
        raise ValueError(f"preset of {name} must be one of {', '.join(codec.presets)}, got {preset!r}")
    if tune not in (None, "psnr"):
        raise ValueError(f"tune must be None or 'psnr', got {tune!r}")
    if pix_fmt not in codec.pix_fmts:
        raise ValueError(f"pix_fmt of {name} must be one of {', '.join(codec.pix_fmts)}, got {pix_fmt!r}")
    return codec


# An H.264 SEI message "user data, unregistered" (NAL type 6, payload type 5): x264 writes its name and
# settings into one, 670 bytes that no decoder needs and that x265 omits with info=0.
_SIGNATURE = re.compile(rb"\x00?\x00\x00\x01\x06\x05.*?(?=\x00?\x00\x00\x01|\Z)", re.DOTALL)


def _options(codec: str, crf: float, preset: str, tune: str | None) -> dict[str, str]:
    """Options of libavcodec: the encoder's defaults, but for the rate and a single thread."""
    options = {"preset": preset, "crf": f"{crf:g}"} | ({"tune": tune} if tune else {})
    if codec == "x264":
        # Its macroblock tree in AVX-512 reads uninitialized memory (PyAV 18.1): the same frames then give
        # streams whose sizes differ by up to 4 % from call to call.
        avx512 = torch.backends.cpu.get_cpu_capability().startswith("AVX512")
        return options | ({"x264-params": "asm=avx2"} if avx512 else {})
    if codec == "x265":
        return options | {"x265-params": "info=0:log-level=none:pools=none:frame-threads=1"}
    os.environ.setdefault("SVT_LOG", "1")  # errors only; SVT-AV1 has no other way to be quiet
    return {"preset": preset, "svtav1-params": f"crf={crf:g}:lp=1" + (":tune=1" if tune else "")}


def _has_planes(frames: "Frames | YuvFrames", pix_fmt: str, height: int, width: int) -> TypeGuard[YuvFrames]:
    """True if the encoder can take the frames as they are on disk, without conversion or padding."""
    return (
        isinstance(frames, YuvFrames)
        and (frames.raw.pix_fmt, frames.raw.matrix) == (pix_fmt, "bt601")
        and frames.shape[1:3] == (height, width)
    )


def _yuv(frame: "Frames", pix_fmt: str, height: int, width: int) -> av.VideoFrame:
    more = ((0, height - frame.shape[0]), (0, width - frame.shape[1]), (0, 0))
    return av.VideoFrame.from_ndarray(np.pad(frame, more, mode="edge"), format="rgb24").reformat(
        format=pix_fmt,
        dst_colorspace=Colorspace.ITU601,
        dst_color_range=ColorRange.MPEG,
        interpolation=Interpolation.BICUBIC,
    )


_ACCURATE = 0x2000 | 0x40000  # swscale's FULL_CHR_H_INT and ACCURATE_RND; named in PyAV from 18 on


def _rgb(frame: av.VideoFrame, accurate_rgb: bool) -> "Frames":
    flags = int(Interpolation.BICUBIC) | (_ACCURATE if accurate_rgb else 0)
    picture = frame.reformat(
        format="rgb24",
        src_colorspace=Colorspace.ITU601,
        dst_colorspace=Colorspace.ITU601,
        src_color_range=ColorRange.MPEG,
        interpolation=flags,
    )
    return np.asarray(picture.to_ndarray())
