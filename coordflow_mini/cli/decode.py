"""`coordflow decode`: the video in a .cfv file."""

from typing import Annotated, Any

import typer

from coordflow_mini.cli.options import Coded, Computing, Frames, Out, Quiet
from coordflow_mini.cli.output import say
from coordflow_mini.ops.console import Console, duration
from coordflow_mini.ops.lazy import lazily

with lazily():
    import torch

    from coordflow_mini import decoder, model
    from coordflow_mini.cli import checks
    from coordflow_mini.measure import evaluate
    from coordflow_mini.video import clip, write


def decode(
    source: Coded,
    output: Out,
    *,
    frames: Frames = None,
    layer: Annotated[
        int | None, typer.Option(metavar="I", help="Show only layer I; 0 is the first.  [default: all]")
    ] = None,
    alpha: Annotated[
        bool, typer.Option("--alpha", help="Write alpha maps instead: OUT/layer_I/frame_00000.png, 8 bits.")
    ] = False,
    scale: Annotated[float, typer.Option(metavar="S", help="Factor for width and height.")] = 1.0,
    fps_scale: Annotated[float, typer.Option(metavar="S", help="Factor for the frame rate.")] = 1.0,
    fast: Annotated[
        bool, typer.Option("--fast", help="Compute in half precision where that is faster; print the loss.")
    ] = False,
    quiet: Quiet = False,
    computing: Computing,
) -> None:
    """Decode a .cfv file into a video.

    .npy and PNGs hold the exact frames (.npy: uint8 [time, height, width, 3]); .y4m is uncompressed YUV;
    .mp4 is compressed again, for watching.  The output appears once it is complete.

    \b
    coordflow decode bunny.cfv bunny.mp4
    coordflow decode bunny.cfv slow.mp4 --fps-scale 2 --scale 2
    coordflow decode cutout.cfv foreground/ --layer 1
    coordflow decode cutout.cfv alpha/ --alpha
    """
    coded = checks.read_coded(source)
    chosen, header = checks.selected(coded.header, frames), coded.header
    checks.scale(scale, header.width, header.height, header.model.layers)
    checks.factor("--fps-scale", fps_scale, len(chosen))
    if layer is not None:
        checks.layer("--layer", layer, header.model.layers)
    if alpha:
        checks.folder(output, source, write.LAYERS)
    else:
        checks.video_output(output, source)

    device = computing.start()
    dtype = decoder.fast_dtype(device) if fast else torch.float32
    line, console = clip.timeline(chosen, header.fps, fps_scale), Console(quiet=quiet)
    wanted: Any = {"frames": line.positions, "scale": scale, "device": device, "dtype": dtype}
    work = scale**2 * header.height * header.width * model.weight_count(header.model) / 1e12
    if work >= 1:  # the first frame takes a while
        console.say(f"a frame takes about {duration(20 * work)} on one CPU core")
    if alpha:
        alphas = (rendering.alpha for rendering in decoder.decode_renderings(coded.data, **wanted))
        shown = console.counted("decode", alphas, len(line.positions))
        write.write_alpha(output, shown, range(header.model.layers) if layer is None else [layer])
    else:
        pictures = decoder.decode_frames(coded.data, layer=layer, **wanted)
        write.write(output, console.counted("decode", pictures, len(line.positions)), line.fps)
    if not quiet:
        say(f"{output}: {len(line.positions)} frames, {float(line.fps):g} fps")
        if fast:
            loss = evaluate.psnr_db_in(dtype, coded.data, line.positions, device=device)
            say(f"--fast: {str(dtype).removeprefix('torch.')}, {loss:.1f} dB from the exact frames")
