"""Videos into files and back: `encode`, `decode`, `info`."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from coordflow_mini.cli.estimates import timed
from coordflow_mini.cli.figures import print_json
from coordflow_mini.cli.options import (
    Bpp,
    Coded,
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
    Out,
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
    preset_named,
)
from coordflow_mini.config import CodecConfig, FitConfig, ModelConfig
from coordflow_mini.console import Console, duration, table

if TYPE_CHECKING:
    from coordflow_mini.budget import Budget
    from coordflow_mini.encoder import Encoding, Plan
    from coordflow_mini.video import Video

__all__ = ["decode", "encode", "info"]


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
    device: Device = "auto",
    threads: Threads = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Encode a video into a .cfv file.

    Fits layered networks to the clip, fine-tunes them for few bits, writes their weights.  The same
    steps, seed and threads give the same file.

    Ctrl-C stops the fit and fine-tunes what there is; Ctrl-C again stops that, too.  Segments that are
    still to come are then trained for 100 steps.  The file is written either way, with exit code 0.

    \b
    coordflow encode clip:cutout cutout.cfv
    coordflow encode clip:bunny bunny.cfv --frames 0:96 --size 192x108 --bpp 0.075
    coordflow encode video.mp4 video.cfv --minutes 10 --layers 3
    coordflow encode long.mp4 long.cfv --segment-frames 120
    coordflow encode film.mp4 film.cfv --preset uvg-m --bpp 0.02
    coordflow encode X_1920x1080_120fps_420_8bit_YUV.yuv x.cfv --frames 0:60 --json
    """
    from coordflow_mini import arguments

    console = Console(quiet=quiet)
    arguments.check_rate(bpp)
    arguments.check_training(steps, minutes, gamma, seed)
    named = preset_named(preset)
    if named and bpp is None and width is None:
        width = named.width
    if depth is None:
        depth = named.depth if named else ModelConfig.depth
    if named and steps is None and minutes is None:
        steps = named.steps
    wanted: dict[str, Any] = {"layers": layers, "depth": depth, "motion": motion}
    wanted |= {} if width is None else {"width": width}
    ModelConfig(**wanted)  # refuses what is out of bounds
    fit, codec = (named.fit, named.codec) if named else (FitConfig(), CodecConfig())
    fit, codec = replace(fit, gamma=gamma, seed=seed), replace(codec, choose_width=width is None)
    arguments.check_coded_output(output, source)
    video = load(source, frames, size, raw, matrix)

    from coordflow_mini import budget, encoder
    from coordflow_mini.fit import default_model

    place = device_for(device, threads)
    model = replace(default_model(video), **wanted)
    plan = encoder.plan(video, bpp=bpp, model=model, codec=codec, segment_frames=segment_frames)
    chosen = budget.Budget(fit, codec) if steps is None else budget.steps_for(steps, fit, codec)
    if minutes is not None:
        chosen = budget.steps_within(
            60 * minutes, video, plan.model, fit, codec, segments=plan.segments, device=place
        )
    console.say(_intention(video, plan, chosen))
    if minutes is None and (named or budget.guessed_seconds(plan.model, chosen) > 60) and not quiet:
        console.say(f"at most about {timed(video, plan.model, chosen, place).text}")
    with console.training() as on_step:
        encoding = encoder.compress(
            video,
            bpp=bpp,
            model=plan.model,
            fit=chosen.fit,
            codec=chosen.codec,
            segment_frames=segment_frames,
            device=place,
            on_step=on_step,
        )
    _write(output, encoding.data)
    if as_json:
        print_json(_figures(output, encoding))
    elif not quiet:
        typer.echo(_summary(output, encoding))


def decode(
    source: Coded,
    output: Out,
    layer: Annotated[
        int | None, typer.Option(metavar="I", help="Show one layer alone; 0 is the first.  [default: all]")
    ] = None,
    alpha: Annotated[
        bool, typer.Option("--alpha", help="Write alpha maps instead: OUT/layer_I/frame_00000.png, 8 bit.")
    ] = False,
    scale: Annotated[float, typer.Option(metavar="S", help="Times the width and height.")] = 1.0,
    fps_scale: Annotated[float, typer.Option(metavar="S", help="Times the frame rate.")] = 1.0,
    frames: Frames = None,
    fast: Annotated[
        bool, typer.Option("--fast", help="Compute in bfloat16: less exact; prints by how much.")
    ] = False,
    device: Device = "auto",
    threads: Threads = None,
    quiet: Quiet = False,
) -> None:
    """Decode a .cfv file into a video.

    .npy and PNGs hold the exact frames (.npy: uint8 [time, height, width, 3]), .y4m is uncompressed,
    .mp4 is for watching.  Frames appear when all of them are written.

    \b
    coordflow decode bunny.cfv bunny.mp4
    coordflow decode bunny.cfv slow.mp4 --fps-scale 2 --scale 2
    coordflow decode cutout.cfv foreground/ --layer 1
    coordflow decode cutout.cfv alpha/ --alpha
    """
    from coordflow_mini import arguments, export, video
    from coordflow_mini import evaluate as evaluation

    coded = arguments.read_coded(source)
    chosen = arguments.selected(coded.header, frames)
    arguments.check_scale(scale, coded.header.width, coded.header.height)
    arguments.check_factor("--fps-scale", fps_scale)
    layers = arguments.chosen_layers(coded.header, layer)
    if alpha:
        arguments.check_folder(output, source, export.LAYERS)
    else:
        arguments.check_video_output(output, source)

    import torch

    from coordflow_mini import decoder
    from coordflow_mini.timeline import timeline

    place, dtype = device_for(device, threads), torch.bfloat16 if fast else torch.float32
    line = timeline(chosen, coded.header.fps, fps_scale)
    pictures = decoder.decode_renderings(coded.data, line.positions, scale=scale, device=place, dtype=dtype)
    shown = Console(quiet=quiet).counted("decode", pictures, len(line.positions))
    if alpha:
        export.write_alpha(output, shown, layers)
    else:
        show = (picture.rgb if layer is None else picture.layer_rgb[layer] for picture in shown)
        video.write(output, (frame[0].numpy() for frame in show), line.fps)
    if not quiet:
        typer.echo(f"{output}: {len(line.positions)} frames, {float(line.fps):g} fps")
        if fast:
            loss = evaluation.loss_of_fast(coded.data, line.positions, device=place)
            typer.echo(f"--fast: {loss:.1f} dB from the exact frames")


def info(source: Coded, as_json: Json = False) -> None:
    """Show what is in a .cfv file, and where its bytes go.

    \b
    coordflow info bunny.cfv
    coordflow info bunny.cfv --json
    """
    from coordflow_mini import arguments

    coded = arguments.read_coded(source)

    from coordflow_mini import evaluate as evaluation

    figures = evaluation.describe(coded.data)
    if as_json:
        print_json(figures)
        return
    header = coded.header
    part, model = header.selection, header.model
    rows = [
        ["video", f"{header.time} frames of {header.width}x{header.height}, {float(header.fps):g} fps"],
        ["source", f"frames {part.start}:{part.stop}:{part.step}, colors {header.matrix}"],
        ["segments", _segments([segment["frames"] for segment in figures["segments"]])],
        ["model", f"{model.layers} layers, width {model.width}, depth {model.depth}, motion {model.motion}"],
        ["fit", f"gamma {header.gamma:g}, seed {header.seed}, coordflow-mini {header.version}"],
        ["rate", f"{figures['bytes']:,} bytes, {figures['bpp']:.4f} bits per pixel"],
        ["weights", f"{figures['params']:,} at {figures['bits_per_weight']:.2f} bits, all told"],
        *([f"  {name}", f"{value:,} bytes"] for name, value in figures["sections"].items()),
    ]
    typer.echo(table(rows, left=2))


def _segments(frames: list[int]) -> str:
    """How many segments there are, and how long they are.

    >>> _segments([24]), _segments([84, 83, 83]), _segments([2] * 20 + [1] * 5)
    ('1 of 24 frames', '3 of 84, 83 and 83 frames', '25 of 1 to 2 frames')
    """
    if len(set(frames)) == 1 or len(frames) > 8:
        lengths = " to ".join(str(length) for length in sorted({min(frames), max(frames)}))
    else:
        lengths = ", ".join(map(str, frames[:-1])) + f" and {frames[-1]}"
    return f"{len(frames)} of {lengths} frame{'s' if max(frames) > 1 else ''}"


def _write(output: Path, data: bytes) -> None:
    """The bytes as a file, all of them or nothing."""
    from coordflow_mini.video import replacing

    with replacing(output) as temporary:
        temporary.write_bytes(data)


def _intention(video: "Video", plan: "Plan", chosen: "Budget") -> str:
    """What an encode is about to do, in one line."""
    several = len(plan.segments) > 1
    segments = f" in segments: {_segments([len(frames) for frames in plan.segments])}" if several else ""
    return (
        f"{video.name}: {video.time} frames of {video.width}x{video.height} into at most "
        f"{plan.target_bytes:,} bytes{segments}; {plan.model.layers} layers of width {plan.model.width}, "
        f"{chosen.fit.steps:,} steps and {chosen.codec.steps:,} of fine-tuning{' each' if several else ''}"
    )


def _figures(output: Path, encoding: "Encoding") -> dict[str, Any]:
    """What `encode --json` prints."""
    from coordflow_mini import bitstream
    from coordflow_mini.metrics import bits_per_pixel

    header = encoding.header
    model = header.model
    segments = bitstream.segments(encoding.data)
    return {
        "file": str(output),
        "bytes": len(encoding.data),
        "target_bytes": encoding.target_bytes,
        "bpp": bits_per_pixel(len(encoding.data), header.time * header.height * header.width),
        "psnr_db": encoding.psnr_db,
        "unquantized_psnr_db": encoding.unquantized_psnr_db,
        "bits_per_weight": encoding.bits_per_weight,
        "params": encoding.parameters,
        "segments": [segment.frames for segment in segments],
        "layers": model.layers,
        "width": model.width,
        "depth": model.depth,
        "seconds": encoding.seconds,
        "interrupted": encoding.interrupted,
    }


def _summary(output: Path, encoding: "Encoding") -> str:
    """What `encode` prints."""
    figures = _figures(output, encoding)
    lines = [
        f"{output}: {len(encoding.data):,} bytes, {figures['bpp']:.4f} bits per pixel",
        f"{encoding.psnr_db:.2f} dB ({encoding.unquantized_psnr_db:.2f} dB before quantization), "
        f"{encoding.parameters:,} weights at {encoding.bits_per_weight:.2f} bits, "
        f"{duration(encoding.seconds)}",
    ]
    if encoding.interrupted:
        over = len(encoding.data) - encoding.target_bytes
        lines.append("interrupted: the file is whole, but worse than it could be; encode again for the rest")
        lines += [f"it has {over:,} bytes more than asked for"] if over > 0 else []
    return "\n".join(lines)
