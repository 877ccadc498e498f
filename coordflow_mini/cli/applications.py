"""What layers give, on any clip: `segment`, `inpaint`, `upscale`, `interpolate`, `stabilize`, `denoise`.

Each fits a clip and asks the model, see `coordflow_mini.applications`; four of them take an encoded file,
too, whose model is there already.
"""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from coordflow_mini.cli.fitting import Work, open_input
from coordflow_mini.cli.options import (
    Device,
    Frames,
    Input,
    Json,
    Matrix,
    Minutes,
    Out,
    Quiet,
    Raw,
    Seed,
    Size,
    Steps,
    Threads,
    device_for,
    load,
    recipe_for,
)
from coordflow_mini.config import FitConfig, ModelConfig
from coordflow_mini.ops.console import Console

if TYPE_CHECKING:
    from coordflow_mini.applications import Extent, Masks, Stabilized
    from coordflow_mini.model import CoordFlow
    from coordflow_mini.video.clip import Video

__all__ = ["denoise", "inpaint", "interpolate", "segment", "stabilize", "upscale"]

InputOrCoded = Annotated[
    str,
    typer.Argument(
        metavar="INPUT",
        help="A .cfv file, which is not trained again; or a clip of `coordflow clips`, a video file, "
        "a folder of PNGs, a .npy, or raw .yuv.",
        show_default=False,
    ),
]
Layers = Annotated[int, typer.Option(metavar="N", help="How many layers to fit.")]
Width = Annotated[
    int | None,
    typer.Option(
        metavar="N", help=f"Hidden units per layer: more hold more detail.  [default: {ModelConfig.width}]"
    ),
]


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
    frames: Frames = None,
    size: Size = None,
    raw: Raw = None,
    matrix: Matrix = None,
    layers: Layers = ModelConfig.layers,
    width: Width = None,
    steps: Steps = None,
    minutes: Minutes = None,
    seed: Seed = FitConfig.seed,
    device: Device = "auto",
    threads: Threads = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Cut a clip into its layers, as masks or as tinted frames.

    OUT/layer_I/frame_00000.png: 255 where layer I is on top, else 0.  As a video: the frames in gray,
    layer 0 tinted vermillion, the next ones blue, green, purple, orange, sky.  Which layer takes what is
    up to the fit; the same steps, seed and threads give the same layers.

    \b
    coordflow segment clip:cutout masks/
    coordflow segment holiday.mp4 tinted.mp4 --frames 0:48 --size 192x108 --layers 3
    coordflow segment bunny.cfv masks/
    """
    from coordflow_mini.cli import arguments
    from coordflow_mini.video import write

    recipe = recipe_for(layers=layers, width=width, steps=steps, minutes=minutes, seed=seed)
    if output.suffix:
        arguments.check_video_output(output, Path(source))
    else:
        arguments.check_folder(output, source, write.LAYERS)
    subject = open_input(source, frames, size, raw, matrix, recipe)
    if isinstance(subject, arguments.Coded):  # masks of all layers, and frames to tint
        arguments.check_held(subject.header, subject.header.model.layers + (3 if output.suffix else 0))

    from coordflow_mini import applications, decoder

    work = Work(recipe, Console(quiet=quiet), device_for(device, threads))
    model, like = work.model(subject)
    found = applications.segment(model, like, counted=work.counted("masks"))
    if not output.suffix:
        write.write_masks(output, found)
    else:
        clip = subject
        if isinstance(clip, arguments.Coded):
            clip = decoder.decode(clip.data, device=work.place)
        tinted = write.tinted(clip.frames, found)
        write.write(output, work.counted("write")(tinted, like.time), like.fps)
    shares = [float(share) for share in found.mean(axis=(1, 2, 3))]
    text = ", ".join(f"layer {layer} {share:.1%}" for layer, share in enumerate(shares)) + " of the picture"
    work.report(output, like, text, {"shares": shares}, as_json, "" if output.suffix else "masks of ")


def inpaint(
    source: Input,
    output: Out,
    mask: Annotated[
        str | None,
        typer.Option(
            metavar="PATH",
            help="What to fill, in white: a picture for all frames, or as many pictures as there are "
            "frames (a folder of PNGs, a video); of the size of the frames.",
        ),
    ] = None,
    remove: Annotated[
        int | None, typer.Option(metavar="LAYER", help="Instead: fill where this layer is on top.")
    ] = None,
    grow: Annotated[
        int | None,
        typer.Option(
            metavar="PIXELS",
            help="Fill that far around it, too.  [default: 0, with --remove 1/50 of the larger side]",
        ),
    ] = None,
    frames: Frames = None,
    size: Size = None,
    raw: Raw = None,
    matrix: Matrix = None,
    layers: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="How many layers to fit; with --remove, one less of them fills.  "
            f"[default: 1, with --remove {ModelConfig.layers}]",
        ),
    ] = None,
    width: Width = None,
    steps: Steps = None,
    minutes: Minutes = None,
    seed: Seed = FitConfig.seed,
    device: Device = "auto",
    threads: Threads = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Fill holes, or what is behind a layer, from other frames.

    Outside the holes the clip's own pixels stay.  --remove fits twice, to find the layers and to fill;
    `segment` with the same steps, seed and threads shows beforehand which layer is which.

    \b
    coordflow inpaint holiday.mp4 clean.mp4 --mask logo.png
    coordflow segment clip:cutout masks/
    coordflow inpaint clip:cutout background.mp4 --remove 1
    coordflow inpaint clip:cutout background.mp4 --mask masks/layer_1 --grow 2
    """
    from coordflow_mini.cli import arguments

    if (mask is None) == (remove is None):
        raise ValueError("give --mask PATH or --remove LAYER, one of them, to say what to fill")
    recipe = recipe_for(
        layers=_layers_to_fit(layers, remove), width=width, steps=steps, minutes=minutes, seed=seed
    )
    if grow is not None and not 0 <= grow <= 10**4:
        raise ValueError(f"--grow must be 0 to {10**4} pixels, got {grow}")
    arguments.check_video_output(output, Path(source))
    if mask is not None:
        arguments.check_video_output(output, Path(mask))
    clip = load(source, frames, size, raw, matrix)
    holes = None if mask is None else arguments.holes(mask, clip)

    from coordflow_mini import applications
    from coordflow_mini.video import write

    work = Work(recipe, Console(quiet=quiet), device_for(device, threads), fits=1 if remove is None else 2)
    shape = work.shape(clip)
    if holes is None:
        holes, shape = _layer_mask(work, clip, remove or 0), replace(shape, layers=shape.layers - 1)
        grow = max(1, round(max(clip.width, clip.height) / 50)) if grow is None else grow
    holes = applications.grown(holes, grow or 0)
    with work.fit("fill", clip, shape) as (config, on_step):
        filled = applications.inpaint(
            clip, holes, shape, config, device=work.place, on_step=on_step, counted=work.counted("render")
        )
    write.write(output, filled.frames, filled.fps)
    share = float(holes.mean())
    work.report(output, filled, f"{share:.1%} of the picture filled", {"filled": share}, as_json)


def _layers_to_fit(layers: int | None, remove: int | None) -> int:
    """The layers of the first fit of `inpaint`.  Raises ValueError if the one to remove is not there."""
    from coordflow_mini.cli import arguments

    if remove is None:
        return 1 if layers is None else layers
    layers = ModelConfig.layers if layers is None else layers
    if layers < 2:
        raise ValueError(f"--remove needs 2 or more --layers, got {layers}: one is left to fill with")
    arguments.check_layer("--remove", remove, layers)
    return layers


def _layer_mask(work: Work, clip: "Video", layer: int) -> "Masks":
    """Where a layer of the clip is on top, [time, height, width].  Raises ValueError if that is nowhere."""
    from coordflow_mini import applications

    model, _ = work.model(clip)
    found = applications.segment(model, clip, counted=work.counted("masks"))[layer]
    if not found.any():
        raise ValueError(f"layer {layer} came out empty; nothing is there to remove: try another --seed")
    if found.all():
        raise ValueError(
            f"layer {layer} took the whole picture, nothing is left to fill with; try another --seed"
        )
    return found


def upscale(
    source: InputOrCoded,
    output: Out,
    scale: Annotated[float, typer.Option(metavar="S", help="Times the width and height.")] = 2.0,
    frames: Frames = None,
    size: Size = None,
    raw: Raw = None,
    matrix: Matrix = None,
    layers: Layers = ModelConfig.layers,
    width: Width = None,
    steps: Steps = None,
    minutes: Minutes = None,
    seed: Seed = FitConfig.seed,
    device: Device = "auto",
    threads: Threads = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Show a clip with more pixels.

    The fitted function is asked at a finer grid.  Where things move, frames share what they saw
    between the pixels; detail that no frame had is made up smoothly.

    \b
    coordflow upscale clip:cutout large.mp4 --scale 4
    coordflow upscale bunny.cfv large.mp4
    """
    from coordflow_mini.cli import arguments

    recipe = recipe_for(layers=layers, width=width, steps=steps, minutes=minutes, seed=seed)
    arguments.check_video_output(output, Path(source))
    subject = open_input(source, frames, size, raw, matrix, recipe)
    if isinstance(subject, arguments.Coded):
        size_before, layers = (subject.header.width, subject.header.height), subject.header.model.layers
    else:
        size_before = (subject.width, subject.height)
    arguments.check_scale(scale, *size_before, layers)
    if isinstance(subject, arguments.Coded):
        arguments.check_held(subject.header, 3 * scale**2)

    from coordflow_mini import applications
    from coordflow_mini.video import write

    work = Work(recipe, Console(quiet=quiet), device_for(device, threads))
    model, like = work.model(subject)
    large = applications.upscale(model, scale, like, counted=work.counted("render"))
    write.write(output, large.frames, large.fps)
    work.report(output, large, f"{like.width}x{like.height} before", {"scale": scale}, as_json)


def interpolate(
    source: InputOrCoded,
    output: Out,
    factor: Annotated[float, typer.Option(metavar="S", help="Times the frame rate.")] = 2.0,
    frames: Frames = None,
    size: Size = None,
    raw: Raw = None,
    matrix: Matrix = None,
    layers: Layers = ModelConfig.layers,
    width: Width = None,
    steps: Steps = None,
    minutes: Minutes = None,
    seed: Seed = FitConfig.seed,
    device: Device = "auto",
    threads: Threads = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Show a clip with more frames per second.

    The fitted function is asked between its frames, where each layer is on its way.

    \b
    coordflow interpolate clip:cutout smooth.mp4 --factor 4
    coordflow interpolate bunny.cfv smooth.mp4
    """
    from coordflow_mini.cli import arguments

    recipe = recipe_for(layers=layers, width=width, steps=steps, minutes=minutes, seed=seed)
    arguments.check_factor("--factor", factor)
    arguments.check_video_output(output, Path(source))
    subject = open_input(source, frames, size, raw, matrix, recipe)
    if isinstance(subject, arguments.Coded):
        arguments.check_factor("--factor", factor, subject.header.time)
        arguments.check_held(subject.header, 3 * factor)
    else:
        arguments.check_factor("--factor", factor, subject.time)

    from coordflow_mini import applications
    from coordflow_mini.video import write

    work = Work(recipe, Console(quiet=quiet), device_for(device, threads))
    model, like = work.model(subject)
    smooth = applications.interpolate(model, factor, like, counted=work.counted("render"))
    write.write(output, smooth.frames, smooth.fps)
    text = f"{like.time} at {float(like.fps):g} fps before"
    work.report(output, smooth, text, {"factor": factor}, as_json)


def stabilize(
    source: InputOrCoded,
    output: Out,
    layer: Annotated[
        int | None,
        typer.Option(metavar="I", help="What stands still.  [default: the layer with most of the picture]"),
    ] = None,
    crop: Annotated[
        bool, typer.Option("--crop", help="Only the middle that the camera saw in every frame.")
    ] = False,
    frames: Frames = None,
    size: Size = None,
    raw: Raw = None,
    matrix: Matrix = None,
    layers: Layers = ModelConfig.layers,
    width: Width = None,
    steps: Steps = None,
    minutes: Minutes = None,
    seed: Seed = FitConfig.seed,
    device: Device = "auto",
    threads: Threads = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Hold a clip still, as if the camera had moved with one layer.

    Every frame is shown from where the camera was in the middle one.  What it did not see is remembered
    from other frames, and made up where none had it.

    \b
    coordflow stabilize clip:pan still.mp4
    coordflow stabilize holiday.mp4 still.mp4 --frames 0:48 --size 192x108 --crop
    coordflow stabilize cutout.cfv flower.mp4 --layer 1
    """
    from coordflow_mini.cli import arguments

    recipe = recipe_for(layers=layers, width=width, steps=steps, minutes=minutes, seed=seed)
    arguments.check_video_output(output, Path(source))
    subject = open_input(source, frames, size, raw, matrix, recipe)
    if isinstance(subject, arguments.Coded):
        layers = subject.header.model.layers
        most = 7 if crop else 4  # bytes: what is shown, where it was seen, and the frames cropped
        arguments.check_held(subject.header, max(layers, most) if layer is None else most)
        if subject.header.model.motion == "none":
            raise ValueError(
                f"{source} was encoded with --motion none; it has no motion that could be undone"
            )
    if layer is not None:
        arguments.check_layer("--layer", layer, layers)

    from coordflow_mini import applications
    from coordflow_mini.video import write

    work = Work(recipe, Console(quiet=quiet), device_for(device, threads))
    model, like = work.model(subject)
    if layer is None:
        layer = applications.background(applications.segment(model, like, counted=work.counted("masks")))
    steady = applications.stabilize(model, layer, like, counted=work.counted("render"))
    shown = _cropped(steady) if crop else steady.video
    write.write(output, shown.frames, shown.fps)
    moved, seen = _movement(model, layer, like), float(steady.seen.mean())
    text = f"layer {layer} stands still, the camera moved by up to {moved:.1f} pixels"
    if crop and shown is steady.video:
        text += ", nothing cropped since no part of the middle is in every frame"
    elif not crop:
        text += f", it saw {seen:.1%} of the picture"
    figures = {"layer": layer, "moved_pixels": moved, "seen": seen}
    work.report(output, shown, text, figures, as_json)


def _cropped(steady: "Stabilized") -> "Video":
    """What the camera saw in every frame; the whole picture where that is nothing."""
    import numpy as np

    rows, columns = steady.crop
    frames = np.asarray(steady.video.frames)[:, rows, columns]
    return replace(steady.video, frames=frames) if frames.size else steady.video


def _movement(model: "CoordFlow", layer: int, like: "Video | Extent") -> float:
    """How far a corner of the picture is from its place in the middle frame, at most [pixels]."""
    import torch

    from coordflow_mini import applications, coords, similarity

    place = model.color.space.device
    transforms = applications.stabilizing(model, layer, coords.frame_times(like.time).to(place))
    columns = torch.tensor([0, like.width - 1, 0, like.width - 1], device=place)
    rows = torch.tensor([0, 0, like.height - 1, like.height - 1], device=place)
    corners = coords.pixel_points(columns.float(), rows.float(), like.height, like.width)
    away = (similarity.apply(transforms[:, None], corners) - corners).norm(dim=-1).max()
    return float(away) * coords.half_side(like.height, like.width)


def denoise(
    source: Input,
    output: Out,
    frames: Frames = None,
    size: Size = None,
    raw: Raw = None,
    matrix: Matrix = None,
    layers: Layers = ModelConfig.layers,
    width: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Hidden units per layer: fewer keep less noise, and less detail.  "
            f"[default: {ModelConfig.width // 2}]",
        ),
    ] = None,
    steps: Steps = None,
    minutes: Minutes = None,
    seed: Seed = FitConfig.seed,
    device: Device = "auto",
    threads: Threads = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Show a clip without its noise.

    A small network remembers what repeats from frame to frame; noise does not.

    \b
    coordflow denoise grainy.mp4 clean.mp4 --frames 0:48 --size 192x108
    coordflow denoise grainy.mp4 clean.mp4 --width 48
    """
    from coordflow_mini.cli import arguments

    recipe = recipe_for(
        layers=layers,
        width=ModelConfig.width // 2 if width is None else width,
        steps=steps,
        minutes=minutes,
        seed=seed,
    )
    arguments.check_video_output(output, Path(source))
    clip = load(source, frames, size, raw, matrix)

    from coordflow_mini import applications
    from coordflow_mini.measure import metrics
    from coordflow_mini.video import write

    work = Work(recipe, Console(quiet=quiet), device_for(device, threads))
    with work.fit("fit", clip, work.shape(clip)) as (config, on_step):
        clean = applications.denoise(
            clip,
            work.shape(clip),
            config,
            device=work.place,
            on_step=on_step,
            counted=work.counted("render"),
        )
    write.write(output, clean.frames, clean.fps)
    change = metrics.psnr_db(clip.frames, clean.frames)
    work.report(output, clean, f"{change:.2f} dB from the input", {"input_psnr_db": change}, as_json)
