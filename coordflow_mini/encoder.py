"""Encoding: pick a width for the rate, fit, fine-tune, write bytes, and check that they decode.

    data = encode(video, bpp=0.1)  # bytes; Path("clip.cfv").write_bytes(data)

Each shot of a clip is a segment with a model of its own, and a long one can be split into several; all models
have the same shape. `plan` lists the segments, `encode_segment` encodes one, in this process or another, and
`assembled` joins them into a file.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np
import torch

from coordflow_mini import __version__, bitstream
from coordflow_mini.bitstream import Header
from coordflow_mini.config import MODEL_LIMITS, CodecConfig, FitConfig, ModelConfig, Recipe, Selection
from coordflow_mini.coords import frame_times
from coordflow_mini.decoder import build_model, tensor_shapes
from coordflow_mini.measure.metrics import psnr_db
from coordflow_mini.model import CoordFlow, weight_count
from coordflow_mini.motion.measure import Motion, measure
from coordflow_mini.ops.checkpoint import Checkpoint
from coordflow_mini.ops.run import OnStep, finetune
from coordflow_mini.ops.run import fit as fit_video
from coordflow_mini.quantize import QuantizedTensor
from coordflow_mini.render import pictures
from coordflow_mini.sampling import default_model
from coordflow_mini.train import Progress
from coordflow_mini.video.clip import Video
from coordflow_mini.video.device import uploaded
from coordflow_mini.video.shots import shots

_OCTAVES = 4  # of t for a measured motion: misses those of hand-held cameras by 0.1 pixels (LOG.md)
_WIDE = 128  # from here on, seven hidden units less are at most a tenth of the weights
_LEAST = 3  # times the frames of the shortest segment are at least those of the longest
_BRIEF = 100  # steps of fine-tuning, at most, after Ctrl-C


class EncodeError(ValueError):
    """The clip cannot be encoded as requested; the message gives the reason and a request that works."""


@dataclass(frozen=True)
class EncodeResult:
    """A finished file and how it was made."""

    data: bytes
    header: Header
    parameters: int  # of all segments
    target_bytes: int
    unquantized_psnr_db: float  # of the model before fine-tuning [dB], on `checked_frames`
    psnr_db: float  # of the model decoded from `data`, on the same frames [dB]
    seconds: float
    history: tuple[Progress, ...]
    interrupted: bool = False

    @property
    def bits_per_weight(self) -> float:
        """Bits of the whole file per weight, including header, tables and checksums."""
        return 8 * len(self.data) / self.parameters


def encode(
    video: Video,
    recipe: Recipe | None = None,
    *,
    bpp: float | None = None,
    device: torch.device | str = "cpu",
    on_step: OnStep | None = None,
) -> bytes:
    """A `.cfv` file of at most `bpp` bits per pixel, and at most 5 % below.

    recipe: default `Recipe()`.  bpp: overrides the recipe's rate.
    Raises `EncodeError`, `DivergenceError`.  Taught in chapters 00 and 08.
    """
    return compress(video, recipe, bpp=bpp, device=device, on_step=on_step).data


def compress(
    video: Video,
    recipe: Recipe | None = None,
    planned: "Plan | None" = None,
    *,
    bpp: float | None = None,
    device: torch.device | str = "cpu",
    on_step: OnStep | None = None,
    checkpoint: Checkpoint | None = None,
) -> EncodeResult:
    """`encode`, with a record of how the file was made.

    Ctrl-C during training ends it early and still returns a file, with `interrupted` set.  In a clip of
    several segments it raises KeyboardInterrupt instead.
    planned: the `plan` of this video and recipe, if it is known already.
    checkpoint: where to resume from and save to; the bytes are the same with and without one.  Remove it
    once the file is written.  After Ctrl-C, it resumes the full training.
    """
    recipe = recipe or Recipe()
    recipe = recipe if bpp is None else replace(recipe, bpp=bpp)
    planned = planned or plan(video, recipe)
    results = [
        encode_segment(
            video,
            planned,
            index,
            recipe,
            device=device,
            on_step=on_step,
            checkpoint=checkpoint and checkpoint.part(index),
        )
        for index in range(len(planned.segments))
    ]
    return assembled(header_of(video, planned.model, recipe.fit), planned, results)


# --- planning: the rate, the model, the segments ----------------------------------------------------


@dataclass(frozen=True)
class Plan:
    """The model of every segment, the size limit, and the frames of each segment and shot."""

    model: ModelConfig
    target_bytes: int  # of the whole file
    segments: tuple[range, ...]
    shots: tuple[range, ...] = ()
    motion: Motion | None = field(default=None, repr=False, compare=False)  # of the first longest segment

    def share(self, index: int, total: int) -> int:
        """The part of a total that segment `index` gets; all shares sum to the total.

        One half of the total is shared equally, since all models have as many weights, the other by frames.
        """
        frames, time, count = self.segments[index], self.segments[-1].stop, len(self.segments)
        start, stop = count * frames.start + time * index, count * frames.stop + time * (index + 1)
        return total * stop // (2 * count * time) - total * start // (2 * count * time)

    def name(self, index: int, text: str = "{}") -> str:
        """A text with the segment's name in it, such as "segment 2 of 5"; empty for an only segment."""
        count = len(self.segments)
        return "" if count == 1 else text.format(f"segment {index + 1} of {count}")


def plan(video: Video, recipe: Recipe) -> Plan:
    """The model, size and segments that `compress` will use, without training.

    With `codec.choose_width` off and no rate, the width sets the rate: `codec.bits_per_weight` for each
    weight.  Raises `EncodeError`.
    """
    codec, model = recipe.codec, recipe.model or default_model(video)
    _check_format(video, model)  # before its frames are looked through
    found = (range(video.time),) if recipe.ignore_cuts else shots(video.frames)
    segments = segmented(found, recipe.segment_frames)
    count = len(segments)
    if recipe.bpp is None and not codec.choose_width:
        target = round(count * weight_count(model) * codec.bits_per_weight / 8) + _framing(count)
    else:
        target = target_bytes(video, default_bpp(video, count) if recipe.bpp is None else recipe.bpp)
    motion = _motion(video, segments, model, recipe)
    if motion:
        model = replace(model, layers=motion.layers, flow_frequencies=max(_OCTAVES, model.flow_frequencies))
    planned = Plan(model_for(video, target, model, codec, count), target, segments, found, motion)
    _check_format(video, planned.model)
    _check_bits(planned)
    return planned


def _motion(video: Video, segments: Sequence[range], model: ModelConfig, recipe: Recipe) -> Motion | None:
    """The measured motion of the longest segment; None if motion is to be learned."""
    if recipe.fit.flow_start == "random" or model.motion == "none":
        return None
    auto = recipe.auto_layers or recipe.model is None
    return measure(cut(video, max(segments, key=len)), None if auto else model.layers)


def adapted(recipe: Recipe, video: Video) -> Recipe:
    """The recipe with the model's highest frequency set for the video's resolution.

    For presets and command-line options, which do not know the clip.
    """
    if recipe.model is None:
        return recipe
    highest = default_model(video).highest_frequency
    return replace(recipe, model=replace(recipe.model, highest_frequency=highest))


def default_bpp(video: Video, segments: int = 1) -> float:
    """The rate if none is requested: 0.1, or more for short clips or segments, up to 0.8.

    15 kB hold a network of about 25,000 weights; with much less, layers have no room to form.
    """
    return min(0.8, max(0.1, 8 * 15_000 * segments / video.pixels))


def target_bytes(video: Video, bpp: float) -> int:
    """The size of the largest file within a rate.  Raises `EncodeError` unless 0 < bpp <= 24."""
    if not 0 < bpp <= 24:
        raise EncodeError(f"bpp must lie above 0 and up to 24 (raw RGB), got {bpp:g}; 0.1 is usual")
    return int(bpp * video.pixels / 8)


def model_for(
    video: Video, target: int, model: ModelConfig, codec: CodecConfig, segments: int = 1
) -> ModelConfig:
    """The widest model whose weights fit `target` bytes at `codec.bits_per_weight`, once per segment.

    Wide models get a multiple of 8, because GPUs multiply aligned rows faster; each weight then gets a little
    more than those bits.  Raises `EncodeError` if even the narrowest model is too large.
    """
    if not codec.choose_width:
        return model
    room = 8 * (target - _framing(segments)) / codec.bits_per_weight / segments
    low, high = map(int, MODEL_LIMITS["width"])
    if weight_count(replace(model, width=low)) > room:
        raise EncodeError(_too_few_bytes(video, target, replace(model, width=low), codec, segments))
    while low < high:  # bisect for the largest width that fits
        middle = (low + high + 1) // 2
        fits = weight_count(replace(model, width=middle)) <= room
        low, high = (middle, high) if fits else (low, middle - 1)
    return replace(model, width=low - low % 8 if low >= _WIDE else low)


def _too_few_bytes(video: Video, target: int, least: ModelConfig, codec: CodecConfig, segments: int) -> str:
    size = segments * weight_count(least) * codec.bits_per_weight / 8 + _framing(segments)
    bpp, several = 8 * size / video.pixels, segments > 1
    cure = f"ask for at least {bpp:.3g} bpp, or fewer {'segments or ' if several else ''}layers"
    cure += "; --ignore-cuts makes one segment of all shots" if several else ""
    return (
        f"{target} bytes are too few: the smallest model of {least.layers} layers"
        f"{f', once for each of {segments} segments,' if several else ''} needs {size:.0f}; "
        + (cure if bpp <= 24 else "give a width instead of a rate")
    )


def _framing(segments: int) -> int:
    """Bytes that a small file needs besides its weights: header, steps, symbol models, checksums."""
    return 50 + 70 * segments


def _check_format(video: Video, model: ModelConfig) -> None:
    """Raises `EncodeError` for a model or video that no file can hold or no decoder would accept."""
    if weight_count(model) > bitstream.MOST_WEIGHTS:
        raise EncodeError(
            f"a segment holds at most {bitstream.MOST_WEIGHTS:,} weights, this model has "
            f"{weight_count(model):,}; ask for fewer bits per pixel, or less width, depth or layers"
        )
    try:
        header_of(video, model, FitConfig())
        bitstream.check_work(video.height, video.width, weight_count(model))
    except bitstream.BitstreamError as error:
        raise EncodeError(
            f"{video!r} does not fit in a .cfv file: {error}; select fewer frames or a smaller size"
        ) from None


def _check_bits(plan: Plan) -> None:
    """Raises `EncodeError` if a segment has too few or too many bytes for its weights."""
    room, weights = plan.target_bytes - _framing(len(plan.segments)), weight_count(plan.model)
    for index in range(len(plan.segments)):
        bits = 8 * plan.share(index, room) / weights
        if not 1 <= bits <= 16:
            raise EncodeError(
                f"{plan.target_bytes} bytes give the {weights:,} weights of width {plan.model.width} "
                f"{bits:.2g} bits each{plan.name(index, ' in {}')}, expected 1 to 16; "
                f"use a {'larger' if bits > 16 else 'smaller'} width, or another rate"
            )


def segmented(shots: Sequence[range], longest: int | None = None) -> tuple[range, ...]:
    """The frames of each segment: a shot, or an even part of a shot of more than `longest` frames.

    All models have as many weights, so no segment may be much shorter than others: while a shot has less than
    a third of the frames of the longest, or of `longest`, the shortest one joins its shorter neighbor.
    Raises `EncodeError` if `longest` is not a positive integer.

    >>> [len(segment) for segment in segmented([range(250)], 120)]
    [84, 83, 83]
    >>> segmented([range(0, 50), range(50, 60), range(60, 100), range(100, 130)])
    (range(0, 50), range(50, 100), range(100, 130))
    """
    if longest is not None and (not isinstance(longest, int) or isinstance(longest, bool) or longest < 1):
        raise EncodeError(f"segment_frames must be an integer of at least 1, got {longest!r}")
    bounds, most = [0, *(shot.stop for shot in shots)], longest or shots[-1].stop
    while _LEAST * min(lengths := [b - a for a, b in pairwise(bounds)]) < min(max(lengths), most):
        short = lengths.index(min(lengths))
        ends = {short, short + 1} & set(range(1, len(lengths)))
        del bounds[min(sorted(ends), key=lambda end: bounds[end + 1] - bounds[end - 1])]
    counts = [-(-length // most) for length in lengths]
    return tuple(
        range(start - (-length * part // count), start - (-length * (part + 1) // count))
        for start, length, count in zip(bounds, lengths, counts, strict=False)
        for part in range(count)
    )


def cut(video: Video, frames: range) -> Video:
    """Consecutive frames of a clip, as a view."""
    if len(frames) == video.time:
        return video
    whole = video.selection
    start = whole.start + frames.start * whole.step
    stop = whole.start + (frames.stop - 1) * whole.step + 1
    selection = Selection(start, stop, whole.step, video.width, video.height)
    return replace(video, frames=video.frames[frames.start : frames.stop], selection=selection)


# --- one segment ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SegmentResult:
    """A finished segment and how it was made.  Can be pickled and sent to another process."""

    frames: range
    section: bytes  # the segment's bytes in the file
    parameters: int
    unquantized_psnr_db: float  # as in `EncodeResult`, on frames of this segment [dB]
    psnr_db: float
    seconds: float
    history: tuple[Progress, ...]
    interrupted: bool = False


def encode_segment(
    video: Video,
    plan: Plan,
    index: int,
    recipe: Recipe,
    *,
    device: torch.device | str = "cpu",
    on_step: OnStep | None = None,
    checkpoint: Checkpoint | None = None,
) -> SegmentResult:
    """Segment `index` of a plan, encoded within its share of the file.

    video: the whole clip; only the segment's frames are read.
    Raises `EncodeError` if the bytes do not fit, `DivergenceError`, and KeyboardInterrupt as `compress` does.
    """
    if recipe.minutes is not None:
        raise EncodeError("a recipe with minutes needs steps first; see sweeps.budget.steps_within")
    began, frames, fit, codec = time.perf_counter(), plan.segments[index], recipe.fit, recipe.codec
    motion = plan.motion if frames == max(plan.segments, key=len) else None  # others measure their own
    header = header_of(video, plan.model, recipe.fit)  # before training: it may refuse the recipe
    clip, on_step = cut(video, frames), _named(on_step, plan, index)
    target = plan.share(index, plan.target_bytes)
    start = plan.share(index, len(bitstream.header_bytes(header)))

    def file_size(tensors: list[QuantizedTensor]) -> int:
        return start + len(bitstream.segment_bytes(frames.start, len(frames), tensors))

    with uploaded(clip.frames, device):
        fitted = fit_video(
            clip, plan.model, fit, motion=motion, device=device, on_step=on_step, checkpoint=checkpoint
        )
        before = checkpoint.before if checkpoint else 0.0
        if fitted.interrupted:  # fine-tune in proportion, and keep the fit's checkpoint for --resume
            _give_up_several(plan)
            part = fitted.history[-1].step / recipe.fit.steps if fitted.history else 0
            codec = replace(codec, steps=max(1, min(codec.steps, _BRIEF, round(part * codec.steps))))
            checkpoint = None
        unquantized = _psnr_db(fitted.model, clip)
        tuned = finetune(
            fitted, clip, codec, target, file_size, device=device, on_step=on_step, checkpoint=checkpoint
        )
    if tuned.interrupted:
        _give_up_several(plan)
    elif (size := file_size(tuned.tensors)) > target:
        raise EncodeError(
            f"{plan.name(index) or 'the file'} has {size} bytes where {target} were asked for; "
            f"use a smaller width than {plan.model.width}, or more bits per pixel"
        )
    section = bitstream.segment_bytes(frames.start, len(frames), tuned.tensors)
    decoded = _verified(section, header, tuned.tensors).to(device)
    return SegmentResult(
        frames=frames,
        section=section,
        parameters=decoded.parameter_count,
        unquantized_psnr_db=unquantized,
        psnr_db=_psnr_db(decoded, clip),
        seconds=time.perf_counter() - began + before,
        history=tuple(_renamed(progress, plan, index) for progress in fitted.history + tuned.history),
        interrupted=fitted.interrupted or tuned.interrupted,
    )


def _give_up_several(plan: Plan) -> None:
    """Raises KeyboardInterrupt if the plan has several segments: a file needs all of them."""
    if len(plan.segments) > 1:
        raise KeyboardInterrupt


def _named(on_step: OnStep | None, plan: Plan, index: int) -> OnStep | None:
    return on_step and (lambda progress: on_step(_renamed(progress, plan, index)))


def _renamed(progress: Progress, plan: Plan, index: int) -> Progress:
    """Progress with the segment in its stage: "segment 2 of 5, fit"."""
    return replace(progress, stage=plan.name(index, "{}, ") + progress.stage)


# --- the file ---------------------------------------------------------------------------------------


def header_of(video: Video, model: ModelConfig, fit: FitConfig) -> Header:
    """The header of a file written by this version."""
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


def assembled(header: Header, plan: Plan, results: Sequence[SegmentResult]) -> EncodeResult:
    """The file of all segments, in any order, and how it was made.

    Raises RuntimeError unless the segments cover every frame once.
    """
    results = sorted(results, key=lambda result: result.frames.start)
    data = bitstream.header_bytes(header) + b"".join(result.section for result in results)
    try:
        bitstream.index(data)
    except bitstream.BitstreamError as error:
        given = ", ".join(f"{result.frames.start}:{result.frames.stop}" for result in results)
        raise RuntimeError(
            f"segments of frames {given or 'none'} make no file of {header.time} frames: {error}"
        ) from None

    def mean(figure: Callable[[SegmentResult], float]) -> float:
        return sum(figure(result) * len(result.frames) for result in results) / header.time

    return EncodeResult(
        data=data,
        header=header,
        parameters=sum(result.parameters for result in results),
        target_bytes=plan.target_bytes,
        unquantized_psnr_db=mean(lambda result: result.unquantized_psnr_db),
        psnr_db=mean(lambda result: result.psnr_db),
        seconds=sum(result.seconds for result in results),
        history=tuple(progress for result in results for progress in result.history),
        interrupted=any(result.interrupted for result in results),
    )


# --- checking ---------------------------------------------------------------------------------------


def checked_frames(video: Video) -> list[int]:
    """Evenly spaced frames, 2^22 pixels at most in total, on which an encode measures its quality."""
    count = min(video.time, max(1, 2**22 // (video.height * video.width)))
    return [round(index) for index in np.linspace(0, video.time - 1, count)]


def _psnr_db(model: CoordFlow, video: Video) -> float:
    """PSNR of the model's 8-bit pictures of `checked_frames` [dB]."""
    chosen = checked_frames(video)
    times = frame_times(video.time, at=torch.tensor(chosen))
    shown = pictures(model, times, video.height, video.width)
    pairs = zip(shown, chosen, strict=True)
    return sum(psnr_db(video.frames[[frame]], picture[None]) for picture, frame in pairs) / len(chosen)


def _verified(section: bytes, header: Header, tensors: list[QuantizedTensor]) -> CoordFlow:
    """The model that a decoder reads from the header and a segment just written.

    Raises RuntimeError unless the header and every integer come back as they were written.
    """
    found = bitstream.read_header(bitstream.header_bytes(header))
    decoded = bitstream.segment_tensors(section, found, tensor_shapes)
    same = all(
        a.step_index == b.step_index and np.array_equal(a.integers, b.integers)
        for a, b in zip(decoded, tensors, strict=True)
    )
    if found != header or not same:
        raise RuntimeError("the written bytes do not decode to the encoded weights; please report this")
    return build_model(found, decoded)
