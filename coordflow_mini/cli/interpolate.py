"""`coordflow interpolate`: more frames per second."""

from typing import Annotated

import typer

from coordflow_mini.cli.application import Application, open_input
from coordflow_mini.cli.options import Computing, Fitting, Footage, InputOrCoded, Messages, Out
from coordflow_mini.ops.lazy import lazily

with lazily():
    from coordflow_mini import applications
    from coordflow_mini.cli import checks


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
