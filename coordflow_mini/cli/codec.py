"""Videos out of files, and what is in them: `decode`, `info`."""

from functools import partial
from typing import Annotated, Any

import typer

from coordflow_mini.cli.figures import lengths, print_json, say
from coordflow_mini.cli.options import (
    Coded,
    Device,
    Frames,
    Json,
    Out,
    Quiet,
    Threads,
    device_for,
)
from coordflow_mini.ops.console import Console, duration, table

__all__ = ["decode", "info"]


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
    from coordflow_mini.cli import arguments
    from coordflow_mini.measure import evaluate as evaluation
    from coordflow_mini.video import write

    coded = arguments.read_coded(source)
    chosen = arguments.selected(coded.header, frames)
    header = coded.header
    arguments.check_scale(scale, header.width, header.height, header.model.layers)
    arguments.check_factor("--fps-scale", fps_scale, len(chosen))
    layers = arguments.chosen_layers(coded.header, layer)
    if alpha:
        arguments.check_folder(output, source, write.LAYERS)
    else:
        arguments.check_video_output(output, source)

    import torch

    from coordflow_mini import decoder
    from coordflow_mini.video.timeline import timeline

    place, dtype = device_for(device, threads), torch.bfloat16 if fast else torch.float32
    line = timeline(chosen, header.fps, fps_scale)
    wanted: Any = {"frames": line.positions, "scale": scale, "device": place, "dtype": dtype}
    console = Console(quiet=quiet)
    shown = partial(console.counted, "decode")
    work = scale**2 * evaluation.frame_work(coded.data) / 1e12
    if work >= 1:  # nothing would be seen for a while
        console.say(
            f"a frame takes {work:.0f} trillion multiplications, on one processor core {duration(20 * work)}"
        )
    if alpha:
        renderings = decoder.decode_renderings(coded.data, **wanted)
        write.write_alpha(output, shown(renderings, len(line.positions)), layers)
    else:
        pictures = decoder.decode_frames(coded.data, layer=layer, **wanted)
        write.write(output, shown(pictures, len(line.positions)), line.fps)
    if not quiet:
        say(f"{output}: {len(line.positions)} frames, {float(line.fps):g} fps")
        if fast:
            loss = evaluation.bfloat16_psnr_db(coded.data, line.positions, device=place)
            say(f"--fast: {loss:.1f} dB from the exact frames")


def info(source: Coded, as_json: Json = False) -> None:
    """Show what is in a .cfv file, and where its bytes go.

    \b
    coordflow info bunny.cfv
    coordflow info bunny.cfv --json
    """
    from coordflow_mini.cli import arguments

    coded = arguments.read_coded(source)

    from coordflow_mini.measure import evaluate as evaluation

    figures = evaluation.describe(coded.data)
    if as_json:
        print_json(figures)
        return
    header = coded.header
    part, model = header.selection, header.model
    rows = [
        ["video", f"{header.time} frames of {header.width}x{header.height}, {float(header.fps):g} fps"],
        ["source", f"frames {part.start}:{part.stop}:{part.step}, colors {header.matrix}"],
        ["segments", lengths([segment["frames"] for segment in figures["segments"]])],
        ["model", f"{model.layers} layers, width {model.width}, depth {model.depth}, motion {model.motion}"],
        ["fit", f"gamma {header.gamma:g}, seed {header.seed}, coordflow-mini {header.version}"],
        ["rate", f"{figures['bytes']:,} bytes, {figures['bpp']:.4f} bits per pixel"],
        ["weights", f"{figures['params']:,} at {figures['bits_per_weight']:.2f} bits, all told"],
        *([f"  {name}", f"{value:,} bytes"] for name, value in figures["sections"].items()),
    ]
    say(table(rows, left=2))
