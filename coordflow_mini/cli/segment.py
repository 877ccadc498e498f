"""`coordflow segment`: the layers of a video, as masks."""

from pathlib import Path
from typing import Annotated

import typer

from coordflow_mini.cli.application import Application, open_input
from coordflow_mini.cli.options import Computing, Fitting, Footage, InputOrCoded, Messages
from coordflow_mini.ops.lazy import lazily

with lazily():
    from coordflow_mini import applications, decoder
    from coordflow_mini.cli import checks
    from coordflow_mini.video import write


def segment(
    source: InputOrCoded,
    output: Annotated[
        Path,
        typer.Argument(
            metavar="OUT",
            help="A folder for masks; or OUT.mp4, .y4m or .npy for tinted frames.",
            show_default=False,
        ),
    ],
    footage: Footage,
    fitting: Fitting,
    computing: Computing,
    messages: Messages,
) -> None:
    """Separate a video into its layers, as masks or as tinted frames.

    OUT/layer_I/frame_00000.png is 255 where layer I is on top, else 0.  As a video: gray frames, with layer 0
    tinted vermillion and the next ones blue, green, purple, orange, sky.  Which layer gets which object
    depends on the fit; the same steps, seed and threads give the same layers.

    \b
    coordflow segment clip:cutout masks/
    coordflow segment holiday.mp4 tinted.mp4 --frames 0:48 --size 192x108 --layers 3
    coordflow segment bunny.cfv masks/
    """
    if output.suffix:
        checks.video_output(output, source)
    else:
        checks.folder(output, source, write.LAYERS)
    subject = open_input(source, footage, fitting)
    if isinstance(subject, checks.Coded):  # masks of all layers, and frames to tint
        checks.held(subject.header, subject.header.model.layers + (3 if output.suffix else 0))

    work = Application(fitting, computing, messages)
    model, like = work.model(subject)
    masks = applications.segment(model, like, counted=work.counted("masks"))
    if not output.suffix:
        write.write_masks(output, masks)
    else:
        if isinstance(subject, checks.Coded):
            subject = decoder.decode(subject.data, device=work.device)
        write.write(output, work.counted("write")(write.tinted(subject.frames, masks), like.time), like.fps)
    shares = [float(share) for share in masks.mean(axis=(1, 2, 3))]
    text = ", ".join(f"layer {layer} {share:.1%}" for layer, share in enumerate(shares)) + " of the picture"
    work.report(output, like, text, {"shares": shares})
