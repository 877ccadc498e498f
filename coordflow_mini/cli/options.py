"""Options that commands share, each explained once, and what they select: frames, and where to compute."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from coordflow_mini.config import PRESETS, FitConfig, ModelConfig, Recipe

if TYPE_CHECKING:
    import torch

    from coordflow_mini.video.clip import Video

__all__ = [
    "Bpp",
    "Coded",
    "Depth",
    "Device",
    "Folder",
    "Frames",
    "Gamma",
    "Input",
    "Json",
    "Layers",
    "Matrix",
    "Minutes",
    "Motion",
    "Out",
    "PresetName",
    "Quiet",
    "Raw",
    "Seed",
    "SegmentFrames",
    "Size",
    "Steps",
    "Threads",
    "ToCoded",
    "Width",
    "device_for",
    "load",
    "recipe_for",
]

Input = Annotated[
    str,
    typer.Argument(
        metavar="INPUT",
        help="A clip of `coordflow clips`, a video file, a folder of PNGs, a .npy, or raw .yuv.",
        show_default=False,
    ),
]
Coded = Annotated[Path, typer.Argument(metavar="IN.cfv", help="An encoded file.", show_default=False)]
ToCoded = Annotated[Path, typer.Argument(metavar="OUT.cfv", help="The file to write.", show_default=False)]
Out = Annotated[
    Path, typer.Argument(metavar="OUT", help="OUT.mp4, .y4m, .npy or a folder for PNGs.", show_default=False)
]
Folder = Annotated[Path, typer.Argument(metavar="DIR", help="The folder to write.", show_default=False)]
Bpp = Annotated[
    float | None,
    typer.Option(
        metavar="RATE",
        help="Bits per pixel that the file may have; it ends within 5 % below.  "
        "[default: 0.1, and more for short clips: up to 15 kB a segment or 0.8]",
    ),
]
Layers = Annotated[int, typer.Option(metavar="N", help="How many layers.")]
Gamma = Annotated[
    float, typer.Option(metavar="G", help="Weight of the layer loss: how strongly layers specialize.")
]
Steps = Annotated[
    int | None, typer.Option(metavar="N", help=f"Training steps.  [default: {FitConfig.steps}]")
]
Minutes = Annotated[
    float | None,
    typer.Option(metavar="M", help="Instead of --steps: as many as take so long, timed at the start."),
]
Seed = Annotated[int, typer.Option(metavar="N", help="Another seed is another try.")]
SegmentFrames = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=1,
        help="Cut the clip into segments of at most N frames, each with networks and layers of its own: "
        "any frame can then be decoded without the other segments.  Every segment is trained for all "
        "--steps; they share --minutes and the rate.  [default: one for all frames]",
    ),
]
Frames = Annotated[
    str | None,
    typer.Option(
        metavar="A:B[:STEP]", help="Frames A to B-1, every STEP-th, counted from 0.  [default: all]"
    ),
]
Size = Annotated[
    str | None, typer.Option(metavar="WxH", help="Resize by an area filter.  [default: as the input is]")
]
Raw = Annotated[
    str | None,
    typer.Option(
        metavar="WxH:FORMAT:FPS",
        help="Layout of raw YUV, such as 1920x1080:yuv420p:120.  [default: what the file's name says]",
    ),
]
Matrix = Annotated[
    Literal["bt601", "bt709"] | None,
    typer.Option(help="How raw YUV becomes RGB, limited range.  [default: bt601, as ffmpeg has it]"),
]
Width = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Hidden units per layer.  Without --bpp, the rate then follows from it.  "
        "[default: what the rate has room for]",
    ),
]
Depth = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help=f"Hidden layers of each layer's network.  [default: {ModelConfig.depth}, or the preset's]",
    ),
]
Motion = Annotated[
    Literal["similarity", "none"],
    typer.Option(help="How layers move: shift, turn and zoom; or not, as in a plain (x, y, t) network."),
]
PresetName = Annotated[
    Literal["uvg-s", "uvg-m", "uvg-l"] | None,
    typer.Option(
        help="Depth and training for hundreds of 1080p frames, and, without --bpp, a width of about 0.5, 1.5 "
        "or 3 million weights; made for a GPU.",
        show_default=False,
    ),
]
Device = Annotated[
    Literal["auto", "cpu", "cuda"], typer.Option(help="Where to compute; auto: on a GPU where there is one.")
]
Threads = Annotated[
    int | None, typer.Option(metavar="N", min=1, max=1024, help="CPU threads.  [default: PyTorch's choice]")
]
Json = Annotated[bool, typer.Option("--json", help="Print the figures as JSON, on stdout.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no summary.")]


def load(
    source: str, frames: str | None, size: str | None, raw: str | None, matrix: str | None = None
) -> "Video":
    """The frames that the arguments select."""
    from coordflow_mini.cli import arguments
    from coordflow_mini.video import read

    selection = arguments.selection(frames, size)
    arguments.check_source(source)
    return read.load(source, selection, arguments.raw_format(source, raw, matrix))


def recipe_for(
    *,
    preset: str | None = None,
    layers: int = ModelConfig.layers,
    motion: str = ModelConfig.motion,
    width: int | None = None,
    depth: int | None = None,
    steps: int | None = None,
    minutes: float | None = None,
    gamma: float = FitConfig.gamma,
    seed: int = FitConfig.seed,
) -> Recipe:
    """The recipe that a preset and the options ask for; options win.

    A width keeps the rate from choosing one.  Raises ValueError for what no model or training can be.
    """
    from coordflow_mini.cli import arguments

    arguments.check_training(steps, minutes, gamma, seed)
    recipe = PRESETS[preset] if preset else Recipe(model=ModelConfig(), fit=FitConfig())
    recipe = recipe if steps is None else recipe.with_steps(steps)
    changes: dict[str, Any] = {"layers": layers, "motion": motion}
    changes |= {} if width is None else {"width": width}
    changes |= {} if depth is None else {"depth": depth}
    return replace(
        recipe,
        model=replace(recipe.model or ModelConfig(), **changes),
        fit=replace(recipe.fit, gamma=gamma, seed=seed),
        codec=replace(recipe.codec, choose_width=width is None),
        minutes=minutes,
    )


def device_for(name: str, threads: int | None) -> "torch.device":
    """The device of that name; sets the number of threads on the way."""
    import torch

    from coordflow_mini.ops.compiling import device_named

    if threads is not None:
        torch.set_num_threads(threads)
    return device_named(name)
