"""Videos into files: `encode`, with checkpoints, alone or with the other processes of torchrun."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from coordflow_mini.cli.estimates import timed
from coordflow_mini.cli.figures import lengths, print_json, say
from coordflow_mini.cli.options import (
    Bpp,
    Depth,
    Device,
    Frames,
    Gamma,
    Input,
    Json,
    Layers,
    Matrix,
    Minutes,
    Motion,
    PresetName,
    Quiet,
    Raw,
    Seed,
    SegmentFrames,
    Size,
    Steps,
    Threads,
    ToCoded,
    Width,
    device_for,
    load,
    recipe_for,
)
from coordflow_mini.config import PRESETS, FitConfig, ModelConfig, Recipe
from coordflow_mini.ops.console import Console, duration

if TYPE_CHECKING:
    import torch

    from coordflow_mini.encoder import EncodeResult, Plan
    from coordflow_mini.ops.checkpoint import Checkpoint
    from coordflow_mini.video.clip import Video

__all__ = ["encode"]


Resume = Annotated[
    bool | None,
    typer.Option(
        "--resume/--restart",
        help="Go on from OUT.cfv.checkpoint.N, or discard it.  [default: refuse where there is one]",
        show_default=False,
    ),
]
Every = Annotated[
    float,
    typer.Option("--checkpoint-every", metavar="S", help="Seconds between two checkpoints.", min=0),
]


def encode(
    source: Input,
    output: ToCoded,
    bpp: Bpp = None,
    steps: Steps = None,
    minutes: Minutes = None,
    frames: Frames = None,
    size: Size = None,
    raw: Raw = None,
    matrix: Matrix = None,
    layers: Layers = ModelConfig.layers,
    gamma: Gamma = FitConfig.gamma,
    motion: Motion = "similarity",
    width: Width = None,
    depth: Depth = None,
    preset: PresetName = None,
    segment_frames: SegmentFrames = None,
    seed: Seed = FitConfig.seed,
    resume: Resume = None,
    every: Every = 120.0,
    device: Device = "auto",
    threads: Threads = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Encode a video into a .cfv file.

    Fits layered networks to the clip, fine-tunes them for few bits, writes their weights.  The same
    steps, seed and threads give the same file.

    Ctrl-C stops the fit and fine-tunes briefly; Ctrl-C again stops that, too.  The file is written either
    way, with exit code 0.  A clip in segments stops without a file.  What was trained is kept in
    OUT.cfv.checkpoint.N until the file is complete: after Ctrl-C, a kill or a power cut, the same command
    with --resume ends with the same file as without an interruption.  A second encode into OUT.cfv is
    refused while the first one runs.

    \b
    coordflow encode clip:cutout cutout.cfv
    coordflow encode clip:bunny bunny.cfv --frames 0:96 --size 192x108 --bpp 0.075
    coordflow encode video.mp4 video.cfv --minutes 10 --layers 3
    coordflow encode long.mp4 long.cfv --segment-frames 120
    coordflow encode film.mp4 film.cfv --preset uvg-m --bpp 0.02 --resume
    coordflow encode X_1920x1080_120fps_420_8bit_YUV.yuv x.cfv --frames 0:60 --json
    torchrun --nproc-per-node=4 -m coordflow_mini encode film.mp4 film.cfv --preset uvg-l
    """
    from coordflow_mini.cli import arguments

    arguments.check_rate(bpp)
    if preset and bpp is None and width is None:
        width = (PRESETS[preset].model or ModelConfig()).width
    recipe = recipe_for(
        preset=preset,
        layers=layers,
        motion=motion,
        width=width,
        depth=depth,
        steps=steps,
        minutes=minutes,
        gamma=gamma,
        seed=seed,
    )
    recipe = replace(recipe, bpp=bpp, segment_frames=segment_frames)
    real = arguments.coded_output(output, source)
    with ExitStack() as stack:
        stack.enter_context(_alone(real))
        checkpoint = _checkpoint(real, resume, every)
        video = load(source, frames, size, raw, matrix)
        stack.enter_context(_explained(checkpoint))

        from coordflow_mini import encoder
        from coordflow_mini.ops import distributed

        place = device_for(device, threads)
        stack.enter_context(distributed.joined(place.type))
        console = Console(quiet=quiet or distributed.rank() > 0)
        recipe = encoder.adapted(recipe, video)
        plan = encoder.plan(video, recipe)
        arguments.check_room(real, plan.target_bytes)
        _begin(checkpoint, resume, console)
        recipe = _with_steps(recipe, checkpoint, video, plan, place, console)
        console.say(_intention(video, plan, recipe))
        if minutes is None and not console.quiet:
            _estimate(recipe, video, plan, place, console, always=preset is not None)
        with console.training() as on_step:
            result = encoder.compress(video, recipe, device=place, on_step=on_step, checkpoint=checkpoint)
        if distributed.rank() > 0:
            return
        _write(output, result.data)
        if not result.interrupted:
            checkpoint.remove()
    if as_json:
        print_json(_figures(output, result))
    elif not quiet:
        say(_summary(output, result))


@contextmanager
def _alone(output: Path) -> Iterator[None]:
    """Nobody else encodes into this output meanwhile; of torchrun's processes, the first one sees to that.

    Raises ValueError if another process does so already.
    """
    from coordflow_mini.ops.occupation import occupied

    follows = int(os.environ.get("WORLD_SIZE", 1)) > 1 and os.environ.get("RANK") != "0"
    with nullcontext() if follows else occupied(output):
        yield


def _with_steps(
    recipe: Recipe,
    checkpoint: "Checkpoint",
    video: "Video",
    plan: "Plan",
    place: "torch.device",
    console: Console,
) -> Recipe:
    """The recipe in steps.  Minutes become steps once: an encode that is resumed keeps its number."""
    from coordflow_mini.ops import distributed
    from coordflow_mini.ops.checkpoint import figure
    from coordflow_mini.sweeps import budget

    if recipe.minutes is None:
        return recipe
    begun = checkpoint.part(0).subject("fit")
    if begun is None:
        timed = budget.steps_within(recipe, video, plan.model, segments=plan.segments, device=place)
        return recipe.with_steps(distributed.agreed(timed.fit.steps))
    console.say("--minutes is not used: the encode that goes on keeps its steps")
    return recipe.with_steps(int(figure(begun, "steps", least=1)))


def _estimate(
    recipe: Recipe, video: "Video", plan: "Plan", place: "torch.device", console: Console, *, always: bool
) -> None:
    """Say how long a long training will take, before it begins."""
    from coordflow_mini.ops import distributed
    from coordflow_mini.sweeps import budget

    seconds = len(plan.segments) * budget.guessed_seconds(plan.model, recipe)
    if (always or seconds > 60) and distributed.world_size() == 1:  # a step is timed alone
        console.say(f"at most about {timed(video, plan, recipe, place).text}")


def _checkpoint(output: Path, resume: bool | None, every: float) -> "Checkpoint":
    """The checkpoint of this output.  Raises ValueError if one is left and nobody said what to do with it."""
    from coordflow_mini.ops.checkpoint import Checkpoint

    path = output.with_name(f"{output.name}.checkpoint")
    checkpoint = Checkpoint(path, every=every, cure="add --restart to begin anew")
    if resume is None and (files := checkpoint.files()):
        raise ValueError(
            f"{files[0]} is left from an encode that did not end: add --resume to go on with it, "
            f"or --restart to begin anew"
        )
    return checkpoint


def _begin(checkpoint: "Checkpoint", resume: bool | None, console: Console) -> None:
    """Discard the checkpoint, or say that it is gone on with."""
    from coordflow_mini.ops import distributed

    if resume is False and distributed.rank() == 0:
        checkpoint.remove()
    distributed.agreed(0)  # nobody looks at it before that
    if resume:
        files = checkpoint.files()
        console.say(f"going on from {files[-1]}" if files else "nothing to go on from: starting at step 0")


@contextmanager
def _explained(checkpoint: "Checkpoint") -> Iterator[None]:
    """Where work ends early, say how to go on; the system's request to end (SIGTERM) ends it well, too."""
    from coordflow_mini.ops.checkpoint import CheckpointError

    before = signal.getsignal(signal.SIGTERM)
    if before is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        yield
    except CheckpointError:  # says itself what to do
        raise
    except (KeyboardInterrupt, SystemExit, RuntimeError, OSError, ValueError) as error:
        # training that ran away is a RuntimeError, a full disk an OSError
        if not (files := checkpoint.files()):
            raise
        interrupted = isinstance(error, KeyboardInterrupt)
        what = "interrupted" if interrupted else "ended"
        say(f"\n{what}; what was trained is in {files[-1]}: --resume goes on from there", err=True)
        if interrupted:
            raise typer.Exit(130) from None
        raise
    finally:
        signal.signal(signal.SIGTERM, before)


def _write(output: Path, data: bytes) -> None:
    """The bytes as a file, all of them or nothing."""
    from coordflow_mini.ops.files import replacing

    with replacing(output) as temporary:
        temporary.write_bytes(data)


def _intention(video: "Video", plan: "Plan", recipe: Recipe) -> str:
    """What an encode is about to do, in one line."""
    several = len(plan.segments) > 1
    segments = f" in segments: {lengths([len(frames) for frames in plan.segments])}" if several else ""
    return (
        f"{video.name}: {video.time} frames of {video.width}x{video.height} into at most "
        f"{plan.target_bytes:,} bytes{segments}; {plan.model.layers} layers of width {plan.model.width}, "
        f"{recipe.fit.steps:,} steps and {recipe.codec.steps:,} of fine-tuning{' each' if several else ''}"
    )


def _figures(output: Path, result: "EncodeResult") -> dict[str, Any]:
    """What `encode --json` prints."""
    from coordflow_mini import bitstream
    from coordflow_mini.measure.metrics import bits_per_pixel

    header = result.header
    model = header.model
    segments = bitstream.segments(result.data)
    return {
        "file": str(output),
        "bytes": len(result.data),
        "target_bytes": result.target_bytes,
        "bpp": bits_per_pixel(len(result.data), header.time * header.height * header.width),
        "psnr_db": result.psnr_db,
        "unquantized_psnr_db": result.unquantized_psnr_db,
        "bits_per_weight": result.bits_per_weight,
        "params": result.parameters,
        "segments": [segment.frames for segment in segments],
        "layers": model.layers,
        "width": model.width,
        "depth": model.depth,
        "seconds": result.seconds,
        "interrupted": result.interrupted,
    }


def _summary(output: Path, result: "EncodeResult") -> str:
    """What `encode` prints."""
    figures = _figures(output, result)
    lines = [
        f"{output}: {len(result.data):,} bytes, {figures['bpp']:.4f} bits per pixel",
        f"{result.psnr_db:.2f} dB ({result.unquantized_psnr_db:.2f} dB before quantization), "
        f"{result.parameters:,} weights at {result.bits_per_weight:.2f} bits, "
        f"{duration(result.seconds)}",
    ]
    if result.interrupted:
        over = len(result.data) - result.target_bytes
        lines.append("interrupted: the file is whole, but worse than it could be; --resume trains the rest")
        lines += [f"it has {over:,} bytes more than asked for"] if over > 0 else []
    return "\n".join(lines)
