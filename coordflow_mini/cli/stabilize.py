"""`coordflow stabilize`: one layer held still."""

from dataclasses import replace
from typing import Annotated

import typer

from coordflow_mini.cli.application import Application, open_input
from coordflow_mini.cli.options import Computing, Fitting, Footage, InputOrCoded, Messages, Out
from coordflow_mini.config import ModelConfig
from coordflow_mini.ops.lazy import lazily

with lazily():
    import numpy as np

    from coordflow_mini import applications
    from coordflow_mini.cli import checks
    from coordflow_mini.video import clip


def stabilize(
    source: InputOrCoded,
    output: Out,
    *,
    layer: Annotated[
        int | None,
        typer.Option(metavar="I", help="The layer to hold still.  [default: the largest]"),
    ] = None,
    crop: Annotated[
        bool, typer.Option("--crop", help="Keep only the middle that the camera saw in every frame.")
    ] = False,
    footage: Footage,
    fitting: Fitting,
    computing: Computing,
    messages: Messages,
) -> None:
    """Hold a video still, as if the camera had moved with one layer.

    Every frame is rendered from where the camera was in the middle one.  What the camera did not see in a
    frame is filled in from others, and extrapolated where none saw it.

    \b
    coordflow stabilize clip:pan still.mp4
    coordflow stabilize holiday.mp4 still.mp4 --frames 0:48 --size 192x108 --crop
    coordflow stabilize cutout.cfv flower.mp4 --layer 1
    """
    checks.video_output(output, source)
    subject, layers = open_input(source, footage, fitting), fitting.layers or ModelConfig.layers
    if isinstance(subject, checks.Coded):
        layers = subject.header.model.layers
        most = 7 if crop else 4  # bytes per pixel: the video, where it was seen, and the cropped frames
        checks.held(subject.header, max(layers, most) if layer is None else most)
        if subject.header.model.motion == "none":
            raise ValueError(f"{source} was encoded with --motion none, so there is no motion to undo")
    if layer is not None:
        checks.layer("--layer", layer, layers)

    work = Application(fitting, computing, messages)
    fitted, like = work.model(subject)
    if layer is None:
        layer = applications.background(applications.segment(fitted, like, counted=work.counted("masks")))
    steady = applications.stabilize(fitted, layer, like, counted=work.counted("render"))
    shown = _cropped(steady) if crop else steady.video
    seen = float(steady.seen.mean())
    text = f"layer {layer} stands still, the camera saw {seen:.1%} of the picture"
    if crop and shown is steady.video:
        text += ", nothing cropped because no part of the middle is in every frame"
    work.write(output, shown, text, {"layer": layer, "seen": seen})


def _cropped(steady: "applications.Stabilized") -> "clip.Video":
    """The part that the camera saw in every frame, or everything if there is no such part."""
    rows, columns = steady.crop
    frames = np.asarray(steady.video.frames)[:, rows, columns]
    return replace(steady.video, frames=frames) if frames.size else steady.video
