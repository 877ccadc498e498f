"""`coordflow upscale` and `coordflow interpolate`: more pixels, more frames per second."""

from typing import Annotated

import typer

from coordflow_mini.cli.application import Application, open_input
from coordflow_mini.cli.options import Computing, Fitting, Footage, InputOrCoded, Messages, Out
from coordflow_mini.config import ModelConfig
from coordflow_mini.ops.lazy import lazily

with lazily():
    from coordflow_mini import applications
    from coordflow_mini.cli import checks


def upscale(
    source: InputOrCoded,
    output: Out,
    *,
    scale: Annotated[float, typer.Option(metavar="S", help="Factor for width and height.")] = 2.0,
    footage: Footage,
    fitting: Fitting,
    computing: Computing,
    messages: Messages,
) -> None:
    """Render a video with more pixels.

    Evaluates the fitted function on a finer grid.  Where things move, frames contribute what they saw between
    the pixels; detail that no frame shows is interpolated smoothly.

    \b
    coordflow upscale clip:cutout large.mp4 --scale 4
    coordflow upscale bunny.cfv large.mp4
    """
    checks.video_output(output, source)
    subject = open_input(source, footage, fitting)
    if isinstance(subject, checks.Coded):
        header = subject.header
        checks.scale(scale, header.width, header.height, header.model.layers)
        checks.held(header, 3 * scale**2)
    else:
        checks.scale(scale, subject.width, subject.height, fitting.layers or ModelConfig.layers)

    work = Application(fitting, computing, messages)
    model, like = work.model(subject)
    large = applications.upscale(model, scale, like, counted=work.counted("render"))
    work.write(output, large, f"{like.width}x{like.height} before", {"scale": scale})


def interpolate(
    source: InputOrCoded,
    output: Out,
    *,
    factor: Annotated[float, typer.Option(metavar="S", help="Factor for the frame rate.")] = 2.0,
    footage: Footage,
    fitting: Fitting,
    computing: Computing,
    messages: Messages,
) -> None:
    """Render a video with more frames per second.

    Evaluates the fitted function between frames, where each layer is on its way from one to the next.

    \b
    coordflow interpolate clip:cutout smooth.mp4 --factor 4
    coordflow interpolate bunny.cfv smooth.mp4
    """
    checks.factor("--factor", factor)
    checks.video_output(output, source)
    subject = open_input(source, footage, fitting)
    if isinstance(subject, checks.Coded):
        checks.factor("--factor", factor, subject.header.time)
        checks.held(subject.header, 3 * factor)
    else:
        checks.factor("--factor", factor, subject.time)

    work = Application(fitting, computing, messages)
    model, like = work.model(subject)
    smooth = applications.interpolate(model, factor, like, counted=work.counted("render"))
    work.write(output, smooth, f"{like.time} at {float(like.fps):g} fps before", {"factor": factor})
