"""`coordflow inpaint`: holes, or what a layer hides, filled from other frames."""

from dataclasses import dataclass, replace
from typing import Annotated, Any

import typer

from coordflow_mini.cli.application import Application
from coordflow_mini.cli.options import Computing, Fitting, Footage, Input, Messages, Out
from coordflow_mini.config import ModelConfig
from coordflow_mini.ops.lazy import lazily

with lazily():
    import numpy as np

    from coordflow_mini import applications
    from coordflow_mini.cli import checks
    from coordflow_mini.video import clip


@dataclass(frozen=True)
class Filling(Fitting):
    """Fitting the video"""

    layers: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Number of layers; with --remove, one fewer for filling.  "
            f"[default: 1, with --remove {ModelConfig.layers}]",
        ),
    ] = None


def inpaint(
    source: Input,
    output: Out,
    *,
    mask: Annotated[
        str | None,
        typer.Option(
            metavar="PATH",
            help="What to fill, in white, at the size of the frames: one picture for all frames, or one "
            "for each (a folder of PNGs, a video).",
        ),
    ] = None,
    remove: Annotated[
        int | None, typer.Option(metavar="LAYER", help="Instead of --mask: fill where LAYER is on top.")
    ] = None,
    grow: Annotated[
        int | None,
        typer.Option(
            metavar="PIXELS",
            help="Fill a margin of PIXELS, too.  [default: 0, with --remove 1/50 of the larger side]",
        ),
    ] = None,
    footage: Footage,
    fitting: Filling,
    computing: Computing,
    messages: Messages,
) -> None:
    """Fill holes, or what a layer hides, from other frames.

    Pixels outside the holes are kept.  --remove fits twice, first to find the layers, then to fill; `segment`
    with the same steps, seed and threads shows in advance which layer is which.

    \b
    coordflow inpaint holiday.mp4 clean.mp4 --mask logo.png
    coordflow segment clip:cutout masks/
    coordflow inpaint clip:cutout background.mp4 --remove 1
    coordflow inpaint clip:cutout background.mp4 --mask masks/layer_1 --grow 2
    """
    if (mask is None) == (remove is None):
        raise ValueError("give --mask PATH or --remove LAYER, one of them, to say what to fill")
    layers = _layers(fitting, remove)
    if grow is not None and not 0 <= grow <= 10**4:
        raise ValueError(f"--grow must be 0 to {10**4} pixels, got {grow}")
    for kept in (source, mask or source):
        checks.video_output(output, kept)
    video = footage.load(source)
    holes = None if mask is None else checks.mask(mask, video)

    fitting = replace(fitting, layers=layers)
    work = Application(fitting, computing, messages, fits=1 if remove is None else 2)
    shape = work.shape(video)
    if holes is None:
        holes, shape = _layer_mask(work, video, remove or 0), replace(shape, layers=layers - 1)
        grow = max(1, round(max(video.width, video.height) / 50)) if grow is None else grow
    holes = applications.grown(holes, grow or 0)
    with work.fit("fill", video, shape) as fit:
        filled = applications.inpaint(video, holes, shape, **fit, counted=work.counted("render"))
    share = float(holes.mean())
    work.write(output, filled, f"{share:.1%} of the picture filled", {"filled": share})


def _layers(fitting: Filling, remove: int | None) -> int:
    if remove is None:
        return fitting.layers or 1
    layers = fitting.layers or ModelConfig.layers
    if layers < 2:
        raise ValueError(f"--remove needs 2 or more --layers, got {layers}: one is left to fill with")
    checks.layer("--remove", remove, layers)
    return layers


def _layer_mask(work: Application, video: "clip.Video", layer: int) -> "np.ndarray[Any, np.dtype[np.bool_]]":
    """True where a layer is on top, [time, height, width]; ValueError if nowhere or everywhere."""
    model, _ = work.model(video)
    mask = applications.segment(model, video, counted=work.counted("masks"))[layer]
    if not mask.any():
        raise ValueError(f"layer {layer} came out empty, there is nothing to remove; try another --seed")
    if mask.all():
        raise ValueError(
            f"layer {layer} took the whole picture, which leaves nothing to fill with; try another --seed"
        )
    return mask
