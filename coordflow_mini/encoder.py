"""From a video to a file's bytes: choose a width for the rate, fit, fine-tune, write, verify.

data = encode(video, bpp=0.1)      # bytes; open(path, "wb").write(data)

A long clip can be cut into segments of equal shape that know nothing of each other: `plan` says which,
`encode_segment` makes one of them, here or in another process, and `join` makes a file of them all.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import torch

from coordflow_mini import __version__, bitstream
from coordflow_mini.bitstream import Header
from coordflow_mini.config import MODEL_LIMITS, CodecConfig, FitConfig, ModelConfig, Recipe, Selection
from coordflow_mini.coords import frame_times
from coordflow_mini.decoder import build_model, tensor_shapes
from coordflow_mini.finetune import finetune
from coordflow_mini.measure.metrics import psnr_db
from coordflow_mini.model import CoordFlow, weight_count
from coordflow_mini.ops import distributed
from coordflow_mini.ops.checkpoint import Checkpoint
from coordflow_mini.quantize import QuantizedTensor
from coordflow_mini.train import OnStep, Progress, default_model
from coordflow_mini.train import fit as fit_video
from coordflow_mini.video.clip import Video

__all__ = [
    "EncodeError",
    "EncodeResult",
    "Plan",
    "SegmentResult",
    "adapted",
    "assembled",
    "checked_frames",
    "compress",
    "cut",
    "cuts",
    "default_bpp",
    "encode",
    "encode_segment",
    "header_of",
    "join",
    "model_for",
    "plan",
    "target_bytes",
]


class EncodeError(ValueError):
    """The clip cannot be encoded as asked; the message says why and what would work."""


@dataclass(frozen=True)
class EncodeResult:
    """A finished file and the record of its making."""

    data: bytes
    header: Header
    parameters: int  # of all segments
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
    recipe: Recipe | None = None,
    *,
    bpp: float | None = None,
    device: torch.device | str = "cpu",
    on_step: OnStep | None = None,
) -> bytes:
    """A `.cfv` file of at most `bpp` bits per pixel, and not more than 5 % below.

    recipe: rate, model, training and segments; `Recipe()` if not given.  bpp: takes the place of the
    recipe's.  Raises `EncodeError`, `DivergenceError`.  Taught in chapters 00 and 08.
    """
    return compress(video, recipe, bpp=bpp, device=device, on_step=on_step).data


def compress(
    video: Video,
    recipe: Recipe | None = None,
    *,
    bpp: float | None = None,
    device: torch.device | str = "cpu",
    on_step: OnStep | None = None,
    checkpoint: Checkpoint | None = None,
) -> EncodeResult:
    """`encode`, with the record of what happened on the way.

    Ctrl-C ends the training of its segment; those that follow are trained briefly, so that the file is
    whole, and each Ctrl-C more ends one of them, too.
    checkpoint: go on from what it holds, and keep in it what is reached; the file is the same as without.
    Remove it once the data is written.  After a Ctrl-C it still leads to the file that was asked for.
    """
    recipe = recipe or Recipe()
    recipe = recipe if bpp is None else replace(recipe, bpp=bpp)
    planned = plan(video, recipe)
    header = header_of(video, planned.model, recipe.fit)
    results = _encode_segments(video, planned, recipe, device, on_step, checkpoint)
    return assembled(header, planned, results)


def assembled(header: Header, plan: "Plan", results: "Sequence[SegmentResult]") -> EncodeResult:
    """The file of all segments of a plan, and the record of their making.  Raises RuntimeError as `join`."""
    return EncodeResult(
        data=join(header, results),
        header=header,
        parameters=sum(result.parameters for result in results),
        target_bytes=plan.target_bytes,
        unquantized_psnr_db=_mean(results, lambda result: result.unquantized_psnr_db),
        psnr_db=_mean(results, lambda result: result.psnr_db),
        seconds=sum(result.seconds for result in results),
        history=tuple(progress for result in results for progress in result.history),
        interrupted=any(result.interrupted for result in results),
    )


def _encode_segments(
    video: Video,
    planned: "Plan",
    recipe: Recipe,
    device: torch.device | str,
    on_step: OnStep | None,
    checkpoint: Checkpoint | None,
) -> "list[SegmentResult]":
    """All segments of a plan, one after the other; briefly from a Ctrl-C on."""
    results: list[SegmentResult] = []
    lost = 0  # the segment that a Ctrl-C between two trainings took away; the first ends the whole
    for index in range(len(planned.segments)):
        while len(results) == index:
            try:
                results.append(
                    encode_segment(
                        video,
                        planned,
                        index,
                        recipe,
                        device=device,
                        on_step=on_step,
                        checkpoint=checkpoint and checkpoint.part(index),
                    )
                )
            except KeyboardInterrupt:
                if lost == index or distributed.world_size() > 1:
                    raise
                lost = index
            if lost == index > 0 or results[-1].interrupted:
                recipe, checkpoint = _brief(recipe), None
    return results


_BRIEF = 100  # steps of what is trained after a Ctrl-C, by somebody who does not want to wait


def _brief(recipe: Recipe) -> Recipe:
    """How the segments after an interrupted one are trained."""
    fit, codec = recipe.fit, recipe.codec
    fit = replace(fit, steps=min(fit.steps, _BRIEF), starts=1)
    return replace(recipe, fit=fit, codec=replace(codec, steps=min(codec.steps, _BRIEF)))


# --- one segment ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class SegmentResult:
    """A finished segment and the record of its making; goes from one process to another.

    section: its bytes in the file.  Quality: as in `EncodeResult`, on frames of this segment.
    """

    frames: range
    section: bytes
    parameters: int
    unquantized_psnr_db: float
    psnr_db: float
    seconds: float
    history: tuple[Progress, ...]
    interrupted: bool = False


def encode_segment(
    video: Video,
    plan: "Plan",
    index: int,
    recipe: Recipe,
    *,
    device: torch.device | str = "cpu",
    on_step: OnStep | None = None,
    checkpoint: Checkpoint | None = None,
) -> SegmentResult:
    """Segment number `index` of a plan, coded within its share of the file.

    video: the whole clip, of which only the segment's frames are looked at.
    Raises `EncodeError` if the bytes do not fit, `DivergenceError`.
    """
    began = time.perf_counter()
    if recipe.minutes is not None:
        raise EncodeError("minutes must become steps before an encode: see sweeps.budget.steps_within")
    codec, fit, frames = recipe.codec, recipe.fit, plan.segments[index]
    header = header_of(video, plan.model, fit)  # before training, because it refuses what no file can hold
    clip, on_step = cut(video, frames), _named(on_step, plan, index)
    fitted = fit_video(clip, plan.model, fit, device=device, on_step=on_step, checkpoint=checkpoint)
    before = checkpoint.before if checkpoint else 0.0
    if fitted.interrupted:  # by somebody who does not want to wait for all of what follows, either
        checkpoint = None  # what follows is not what was asked for
        part = fitted.history[-1].step / fit.steps if fitted.history else 0
        codec = replace(codec, steps=max(1, min(codec.steps, _BRIEF), round(part * codec.steps)))
    unquantized = _psnr_db(fitted.model, clip)
    target, start = (
        plan.share(index, plan.target_bytes),
        plan.share(index, len(bitstream.header_bytes(header))),
    )

    def file_size(tensors: list[QuantizedTensor]) -> int:
        return start + len(bitstream.segment_bytes(frames.start, len(frames), tensors))

    tuned = finetune(
        fitted, clip, codec, target, file_size, device=device, on_step=on_step, checkpoint=checkpoint
    )
    section = bitstream.segment_bytes(frames.start, len(frames), tuned.tensors)
    decoded = _verify(section, header, tuned.tensors).to(device)
    if start + len(section) > target and not tuned.interrupted:
        name, size = plan.name(index) or "the file", start + len(section)
        raise EncodeError(
            f"{name} has {size} bytes where {target} were asked for; "
            f"use a smaller width than {plan.model.width}, or more bits per pixel"
        )
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


def join(header: Header, results: Sequence[SegmentResult]) -> bytes:
    """The file of all segments, in the order of time.

    Raises RuntimeError if they do not code every frame once.
    """
    ordered = sorted(results, key=lambda result: result.frames.start)
    data = bitstream.header_bytes(header) + b"".join(result.section for result in ordered)
    try:
        bitstream.index(data)
    except bitstream.BitstreamError as error:
        given = ", ".join(f"{result.frames.start}:{result.frames.stop}" for result in ordered)
        raise RuntimeError(
            f"segments of frames {given or 'none'} make no file of {header.time} frames: {error}"
        ) from None
    return data


def cuts(frames: int, longest: int | None = None) -> tuple[range, ...]:
    """The frames of each segment: as few segments of at most `longest` frames as cover all, of equal length.

    Lengths differ by one frame at most.  Raises `EncodeError` if `longest` is no positive integer.

    >>> [len(segment) for segment in cuts(250, 120)]
    [84, 83, 83]
    """
    if longest is None:
        return (range(frames),)
    if not isinstance(longest, int) or isinstance(longest, bool) or longest < 1:
        raise EncodeError(f"segment_frames must be an integer of at least 1, got {longest!r}")
    count = -(-frames // longest)
    bounds = [-(-frames * number // count) for number in range(count + 1)]
    return tuple(range(start, stop) for start, stop in pairwise(bounds))


def cut(video: Video, frames: range) -> Video:
    """Some frames in a row of a clip, without a copy; the clip itself if they are all."""
    if len(frames) == video.time:
        return video
    whole = video.selection
    start = whole.start + frames.start * whole.step
    stop = whole.start + (frames.stop - 1) * whole.step + 1
    selection = Selection(start, stop, whole.step, video.width, video.height)
    return replace(video, frames=video.frames[frames.start : frames.stop], selection=selection)


def _named(on_step: OnStep | None, plan: "Plan", index: int) -> OnStep | None:
    """A listener that hears which segment it is about."""
    return on_step and (lambda progress: on_step(_renamed(progress, plan, index)))


def _renamed(progress: Progress, plan: "Plan", index: int) -> Progress:
    """Progress whose stage says the segment, too: "segment 2 of 5, fit"."""
    return replace(progress, stage=plan.name(index, "{}, ") + progress.stage)


def _mean(results: Sequence[SegmentResult], figure: Callable[[SegmentResult], float]) -> float:
    """The mean over all frames of a figure of each segment."""
    frames = sum(len(result.frames) for result in results)
    return sum(figure(result) * len(result.frames) for result in results) / frames


# --- what is about to be done ---------------------------------------------------------------------


@dataclass(frozen=True)
class Plan:
    """What an encode is about to do: the shape of each segment's model, and how large the file may be."""

    model: ModelConfig
    target_bytes: int  # of the file
    segments: tuple[range, ...]  # the frames of each

    @property
    def parameters(self) -> int:
        """Number of weights in the file, of all segments."""
        return len(self.segments) * weight_count(self.model)

    def share(self, index: int, total: int) -> int:
        """What segment `index` has of a total, in proportion to its frames; all shares sum to the total."""
        frames, time = self.segments[index], self.segments[-1].stop
        return total * frames.stop // time - total * frames.start // time

    def name(self, index: int, text: str = "{}") -> str:
        """A text with the segment's name in it, such as "segment 2 of 5"; empty if it is the only one."""
        count = len(self.segments)
        return "" if count == 1 else text.format(f"segment {index + 1} of {count}")


def plan(
    video: Video,
    recipe: Recipe,
) -> Plan:
    """The model, the size of file and the segments that `compress` will choose, without training.

    A given width (`codec.choose_width` off) without a rate sets the rate: `codec.bits_per_weight` for
    each of its weights.  Raises `EncodeError`.
    """
    bpp, codec, model = recipe.bpp, recipe.codec, recipe.model or default_model(video)
    segments = cuts(video.time, recipe.segment_frames)
    count = len(segments)
    if bpp is None and not codec.choose_width:
        target = round(count * weight_count(model) * codec.bits_per_weight / 8) + _framing(count)
    else:
        target = target_bytes(video, default_bpp(video, count) if bpp is None else bpp)
    model = model_for(video, target, model, codec, count)
    if weight_count(model) > bitstream.MOST_WEIGHTS:
        raise EncodeError(
            f"a segment holds at most {bitstream.MOST_WEIGHTS:,} weights, this model has "
            f"{weight_count(model):,}; ask for fewer bits per pixel, or less width, depth or layers"
        )
    _check_header(video, model)
    planned = Plan(model, target, segments)
    _check_bits(planned)
    return planned


def _check_header(video: Video, model: ModelConfig) -> None:
    """Raises `EncodeError` if no file can hold a video of this shape, or nobody could show its frames."""
    try:
        header_of(video, model, FitConfig())
        bitstream.check_work(video.height, video.width, weight_count(model))
    except bitstream.BitstreamError as error:
        raise EncodeError(
            f"{video!r} is no video for a .cfv file: {error}; select fewer frames or a smaller size"
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


def adapted(recipe: Recipe, video: Video) -> Recipe:
    """The recipe with the highest frequency that suits this video's resolution.

    For presets and options, which are written without knowing the clip.
    """
    if recipe.model is None:
        return recipe
    suitable = default_model(video).highest_frequency
    return replace(recipe, model=replace(recipe.model, highest_frequency=suitable))


def default_bpp(video: Video, segments: int = 1) -> float:
    """The rate when none is asked for: 0.1, and more for short clips or segments, up to 0.8.

    15 kB hold a network of about 25,000 weights; much below, layers have no room to form.
    """
    return min(0.8, max(0.1, 8 * 15_000 * segments / video.pixels))


def target_bytes(video: Video, bpp: float) -> int:
    """The largest file that a rate allows.  Raises `EncodeError` if no file can be that small."""
    if not 0 < bpp <= 24:
        raise EncodeError(f"bpp must lie above 0 and up to 24 (raw RGB), got {bpp:g}; 0.1 is usual")
    return int(bpp * video.pixels / 8)


def model_for(
    video: Video, target: int, model: ModelConfig | None, codec: CodecConfig, segments: int = 1
) -> ModelConfig:
    """The widest model whose weights fit into `target` bytes at `codec.bits_per_weight`, once a segment.

    Raises `EncodeError` if not even the narrowest model fits.
    """
    model = model or default_model(video)
    if not codec.choose_width:
        return model
    room = 8 * (target - _framing(segments)) / codec.bits_per_weight / segments
    low, high = map(int, MODEL_LIMITS["width"])
    if weight_count(replace(model, width=low)) > room:
        smallest = weight_count(replace(model, width=low)) * codec.bits_per_weight / 8
        least, several = segments * smallest + _framing(segments), segments > 1
        bpp, fewer = 8 * least / video.pixels, f"fewer {'segments or ' if several else ''}layers"
        raise EncodeError(
            f"{target} bytes are too few: the smallest model of {model.layers} layers"
            f"{f', once for each of {segments} segments,' if several else ''} needs {least:.0f}; "
            + (
                f"ask for at least {bpp:.3g} bpp, or {fewer}"
                if bpp <= 24
                else "give a width instead of a rate"
            )
        )
    while low < high:  # the largest width that fits
        middle = (low + high + 1) // 2
        fits = weight_count(replace(model, width=middle)) <= room
        low, high = (middle, high) if fits else (low, middle - 1)
    return replace(model, width=low)


def _framing(segments: int) -> int:
    """Bytes of header, steps, symbol models and checksums of a small file."""
    return 50 + 70 * segments


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


def _verify(section: bytes, header: Header, tensors: list[QuantizedTensor]) -> CoordFlow:
    """The model that a decoder reads from a segment's bytes just written.

    Raises RuntimeError unless the header comes back, and every decoded integer is the one that was written.
    """
    found = bitstream.read_header(bitstream.header_bytes(header))
    decoded = bitstream.segment_tensors(section, found, tensor_shapes)
    same = all(
        a.step_index == b.step_index and np.array_equal(a.integers, b.integers)
        for a, b in zip(decoded, tensors, strict=True)
    )
    if found != header or not same:
        raise RuntimeError(
            "the written bytes do not decode to the weights they were made of; please report this"
        )
    return build_model(found, decoded)
