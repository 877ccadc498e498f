"""`coordflow denoise`: a video without its noise."""

from dataclasses import dataclass
from typing import Annotated

import typer

from coordflow_mini.cli.application import Application
from coordflow_mini.cli.options import Computing, Fitting, Footage, Input, Messages, Out
from coordflow_mini.config import ModelConfig
from coordflow_mini.ops.lazy import lazily

with lazily():
    from coordflow_mini import applications
    from coordflow_mini.cli import checks
    from coordflow_mini.measure import metrics


@dataclass(frozen=True)
class SmallFitting(Fitting):
    """Fitting the video"""

    width: Annotated[
        int | None,
        typer.Option(metavar="N", help="Hidden units per layer: fewer remove more noise, and more detail."),
    ] = ModelConfig.width // 2


def denoise(
    source: Input,
    output: Out,
    footage: Footage,
    fitting: SmallFitting,
    computing: Computing,
    messages: Messages,
) -> None:
    """Remove noise from a video.

    A small network has room only for what repeats from frame to frame; noise does not.

    \b
    coordflow denoise grainy.mp4 clean.mp4 --frames 0:48 --size 192x108
    coordflow denoise grainy.mp4 clean.mp4 --width 48
    """
    checks.video_output(output, source)
    video = footage.load(source)

    work = Application(fitting, computing, messages)
    shape = work.shape(video)
    with work.fit("fit", video, shape) as fit:
        clean = applications.denoise(video, shape, **fit, counted=work.counted("render"))
    change = metrics.psnr_db(video.frames, clean.frames)
    work.write(output, clean, f"{change:.2f} dB from the input", {"input_psnr_db": change})
