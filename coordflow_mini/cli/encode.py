"""`coordflow encode`: a video as a .cfv file, by one process or by several under torchrun."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from coordflow_mini.cli.options import (
    Bpp,
    Computing,
    Footage,
    Input,
    Messages,
    Modeling,
    Training,
    recipe_for,
)
from coordflow_mini.cli.output import lengths, print_json, say
from coordflow_mini.config import PRESETS, FitConfig, ModelConfig, Recipe
from coordflow_mini.ops import files
from coordflow_mini.ops.console import Console, duration, plural
from coordflow_mini.ops.lazy import lazily

with lazily():
    import torch

    from coordflow_mini import bitstream, encoder
    from coordflow_mini.cli import checks
    from coordflow_mini.measure import metrics
    from coordflow_mini.ops import checkpoint as checkpoints
    from coordflow_mini.ops import distributed
    from coordflow_mini.sweeps import budget
    from coordflow_mini.video import clip


@dataclass(frozen=True)
class Coding(Modeling):
    """Model"""

    width: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Hidden units per layer; without --bpp, it also sets the rate.  "
            "[default: what the rate allows]",
        ),
    ] = None
    depth: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help=f"Hidden layers of each layer's network.  [default: {ModelConfig.depth}, or the preset's]",
        ),
    ] = None
    motion: Annotated[
        Literal["similarity", "none"],
        typer.Option(help="Layers shift, turn and zoom; or do not move, the plain (x, y, t) network."),
    ] = "similarity"
    flow: Annotated[
        Literal["measured", "random"],
        typer.Option(
            help="Start the layers' motion from what is measured in the video; or learn it from scratch, "
            "the paper's way."
        ),
    ] = "measured"
    gamma: Annotated[
        float, typer.Option(metavar="G", help="Weight of the layer loss: how strongly layers specialize.")
    ] = FitConfig.gamma

    def recipe(self, training: Training, bpp: float | None) -> Recipe:
        """The recipe of all options; without a rate, a preset keeps its width."""
        checks.rate(bpp)
        checks.storable("gamma", self.gamma)
        wanted = asdict(self)
        if self.preset and bpp is None and self.width is None:
            wanted["width"] = (PRESETS[self.preset].model or ModelConfig()).width
        return recipe_for(training, bpp=bpp, **wanted)


@dataclass(frozen=True)
class Checkpoints:
    """Checkpoints"""

    resume: Annotated[
        bool | None,
        typer.Option(
            "--resume/--restart",
            help="Continue from OUT.cfv.checkpoint.N, or discard it.  [default: refuse if there is one]",
            show_default=False,
        ),
    ] = None
    every: Annotated[
        float, typer.Option("--checkpoint-every", metavar="S", help="Seconds between two checkpoints.", min=0)
    ] = 120.0

    def open(self, output: Path) -> "checkpoints.Checkpoint":
        """The checkpoint of an output.  Raises ValueError if one is left and no option mentions it."""
        path = output.with_name(f"{output.name}.checkpoint")
        checkpoint = checkpoints.Checkpoint(path, every=self.every, cure="add --restart to start over")
        if self.resume is None and (left := checkpoint.files()):
            raise ValueError(
                f"{left[0]} is left from an unfinished encode: add --resume to continue it, "
                "or --restart to start over"
            )
        return checkpoint

    def begin(self, checkpoint: "checkpoints.Checkpoint", console: Console) -> None:
        """Discard the checkpoint, or announce where training continues."""
        if self.resume is False and distributed.rank() == 0:
            checkpoint.remove()
        distributed.agreed(0)  # other processes must not read it earlier
        if self.resume:
            left = checkpoint.files()
            console.say(f"resuming from {left[-1]}" if left else "no checkpoint: starting at step 0")


def encode(
    source: Input,
    output: Annotated[Path, typer.Argument(metavar="OUT.cfv", help="The file to write.", show_default=False)],
    *,
    bpp: Bpp = None,
    coding: Coding,
    training: Training,
    footage: Footage,
    checkpointing: Checkpoints,
    computing: Computing,
    messages: Messages,
) -> None:
    """Encode a video into a .cfv file.

    Fits layered networks to the video, fine-tunes them to take few bits, and writes their weights.  The same
    steps, seed and threads give the same file.  Each shot gets networks of its own.

    Ctrl-C ends the fit and fine-tunes the model as it is; another Ctrl-C ends that, too.  The file is
    complete but of lower quality, and --resume still leads to the full one.  With several segments, Ctrl-C
    stops the encode, and --resume continues it.

    OUT.cfv.checkpoint.N holds the training so far until the file is done: after a crash or a power cut, the
    same command with --resume ends with the same file.

    \b
    coordflow encode clip:cutout cutout.cfv
    coordflow encode clip:bunny bunny.cfv --frames 0:96 --size 192x108 --bpp 0.075
    coordflow encode long.mp4 long.cfv --minutes 10 --segment-frames 120
    coordflow encode film.mp4 film.cfv --preset uvg-m --bpp 0.02 --resume
    coordflow encode X_1920x1080_120fps_420_8bit_YUV.yuv x.cfv --frames 0:60 --json
    torchrun --nproc-per-node=4 -m coordflow_mini encode film.mp4 film.cfv --preset uvg-l
    """
    recipe, real = coding.recipe(training, bpp), checks.coded_output(output, source)
    with ExitStack() as stack:
        stack.enter_context(_locked(real))
        checkpoint = checkpointing.open(real)
        video = footage.load(source)
        stack.enter_context(_resumable(checkpoint))
        device = computing.start()
        stack.enter_context(distributed.joined(device.type))
        console = Console(quiet=messages.quiet or distributed.rank() > 0)
        recipe = encoder.adapted(recipe, video)
        if video.pixels > 2**24:  # which takes two seconds or more
            console.say("looking for cuts and motion")
        plan = encoder.plan(video, recipe)
        checks.room(real, plan.target_bytes)
        checkpointing.begin(checkpoint, console)
        recipe = _in_steps(recipe, checkpoint, video, plan, device, console)
        console.say(_intention(video, plan, recipe))
        with console.training() as tell:
            result = encoder.compress(video, recipe, plan, device=device, on_step=tell, checkpoint=checkpoint)
        if distributed.rank() > 0:
            return
        _write(output, result.data)
        if not result.interrupted:
            checkpoint.remove()
    if messages.as_json:
        print_json({**_figures(output, result), "shots": [len(shot) for shot in plan.shots]})
    elif not messages.quiet:
        say(_summary(output, result))


@contextmanager
def _locked(output: Path) -> Iterator[None]:
    """Keeps other encodes from this output; under torchrun, the first process locks it for all."""
    follower = int(os.environ.get("WORLD_SIZE", 1)) > 1 and os.environ.get("RANK") != "0"
    with nullcontext() if follower else files.locked(output):
        yield


@contextmanager
def _resumable(checkpoint: "checkpoints.Checkpoint") -> Iterator[None]:
    """Points to the checkpoint when an encode ends early, also by SIGTERM."""
    before = signal.getsignal(signal.SIGTERM)
    if before is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        yield
    except checkpoints.CheckpointError:  # its message has a cure
        raise
    except (KeyboardInterrupt, SystemExit, RuntimeError, OSError, ValueError) as error:
        # divergence is a RuntimeError, a full disk an OSError
        if not (left := checkpoint.files()):
            raise
        interrupted = isinstance(error, KeyboardInterrupt)
        what = "interrupted" if interrupted else "stopped"
        say(f"\n{what}; the training so far is in {left[-1]}, --resume continues it", err=True)
        if interrupted:
            raise typer.Exit(130) from None
        raise
    finally:
        signal.signal(signal.SIGTERM, before)


def _in_steps(
    recipe: Recipe,
    checkpoint: "checkpoints.Checkpoint",
    video: "clip.Video",
    plan: "encoder.Plan",
    device: "torch.device",
    console: Console,
) -> Recipe:
    """The recipe with its minutes turned into steps, once: a resumed encode keeps its number."""
    if recipe.minutes is None:
        return recipe
    begun = checkpoint.part(0).subject("fit")
    if begun is None:
        timed = budget.steps_within(recipe, video, plan.model, segments=plan.segments, device=device)
        return recipe.with_steps(distributed.agreed(timed.fit.steps))
    console.say("--minutes is not used: a resumed encode keeps its steps")
    return recipe.with_steps(int(checkpoints.figure(begun, "steps", least=1)))


def _write(output: Path, data: bytes) -> None:
    with files.replacing(output) as temporary:
        temporary.write_bytes(data)


def _intention(video: "clip.Video", plan: "encoder.Plan", recipe: Recipe) -> str:
    several = len(plan.segments) > 1
    shots = f", {lengths([len(shot) for shot in plan.shots], 'shots')}," if len(plan.shots) > 1 else ""
    parts = "" if plan.segments == plan.shots else lengths([len(frames) for frames in plan.segments])
    return _found(plan, recipe) + (
        f"{video.name}: {video.time} frames of {video.width}x{video.height}{shots} into at most "
        f"{plan.target_bytes:,} bytes{parts and f' in segments: {parts}'}; "
        f"{plan.model.layers} layers of width {plan.model.width}, "
        f"{recipe.fit.steps:,} steps and {recipe.codec.steps:,} of fine-tuning{' each' if several else ''}"
    )


def _found(plan: "encoder.Plan", recipe: Recipe) -> str:
    """A line on the measured motion, if it was looked for."""
    if recipe.fit.flow_start == "random" or plan.model.motion == "none":
        return ""
    if plan.motion is None:
        return "no motion explains half of the textured pixels: motion is learned from scratch\n"
    motions = f"{plural(plan.motion.layers, 'motion')} explain{'s' if plan.motion.layers == 1 else ''}"
    return f"{motions} {plan.motion.explained:.0%} of the textured pixels\n"


def _figures(output: Path, result: "encoder.EncodeResult") -> dict[str, Any]:
    header = result.header
    model = header.model
    return {
        "file": str(output),
        "bytes": len(result.data),
        "target_bytes": result.target_bytes,
        "bpp": metrics.bits_per_pixel(len(result.data), header.time * header.height * header.width),
        "psnr_db": result.psnr_db,
        "unquantized_psnr_db": result.unquantized_psnr_db,
        "bits_per_weight": result.bits_per_weight,
        "params": result.parameters,
        "segments": [segment.frames for segment in bitstream.segments(result.data)],
        "layers": model.layers,
        "width": model.width,
        "depth": model.depth,
        "seconds": result.seconds,
        "interrupted": result.interrupted,
    }


def _summary(output: Path, result: "encoder.EncodeResult") -> str:
    bpp = _figures(output, result)["bpp"]
    lines = [
        f"{output}: {len(result.data):,} bytes, {bpp:.4f} bits per pixel",
        f"{result.psnr_db:.2f} dB ({result.unquantized_psnr_db:.2f} dB before quantization), "
        f"{result.parameters:,} weights at {result.bits_per_weight:.2f} bits, {duration(result.seconds)}",
    ]
    if result.interrupted:
        over = len(result.data) - result.target_bytes
        lines.append("interrupted: the file is complete, but could be better; --resume finishes the training")
        lines += [f"it has {over:,} bytes more than asked for"] if over > 0 else []
    return "\n".join(lines)
