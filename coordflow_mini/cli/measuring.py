"""What a codec is worth: `evaluate`, `baseline`, and `demo`, which does all of it."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

import typer

from coordflow_mini.cli.figures import figure, print_json, say
from coordflow_mini.cli.options import (
    Bpp,
    Coded,
    Device,
    Frames,
    Input,
    Json,
    Matrix,
    Minutes,
    Quiet,
    Raw,
    Size,
    Threads,
    device_for,
    load,
)
from coordflow_mini.config import FitConfig
from coordflow_mini.ops.console import Console, table

__all__ = ["baseline", "demo", "evaluate"]


def evaluate(
    source: Input,
    coded: Coded,
    raw: Raw = None,
    device: Device = "auto",
    threads: Threads = None,
    as_json: Json = False,
) -> None:
    """Measure a .cfv file against the frames it was made of.

    The file says which frames of INPUT it holds and at which size.  PSNR is in RGB, per frame, then the
    mean; the rate counts the whole file.

    \b
    coordflow evaluate clip:bunny bunny.cfv
    coordflow evaluate video.mp4 video.cfv --json
    """
    from coordflow_mini.cli import arguments
    from coordflow_mini.measure import evaluate as evaluation

    arguments.check_source(source)
    file = arguments.read_coded(coded)
    layout = arguments.raw_format(source, raw)
    place = device_for(device, threads)
    figures = evaluation.evaluate(source, file.data, raw=layout, device=place).to_json()
    if as_json:
        print_json(figures)
    else:
        say(table([[name, figure(value)] for name, value in figures.items() if value is not None], left=2))


def baseline(
    source: Input,
    codec: Annotated[Literal["x264", "x265", "av1"], typer.Option(help="The encoder.")] = "x265",
    bpp: Bpp = None,
    preset: Annotated[
        str | None, typer.Option(metavar="NAME", help="The encoder's preset.  [default: medium; av1: 6]")
    ] = None,
    tune: Annotated[
        Literal["psnr"] | None, typer.Option(help="Tune for PSNR.  [default: the encoder's own tuning]")
    ] = None,
    frames: Frames = None,
    size: Size = None,
    raw: Raw = None,
    matrix: Matrix = None,
    as_json: Json = False,
) -> None:
    """Measure x264, x265 or SVT-AV1 at the same rate.

    The largest raw stream within the rate, found by a search over CRF, decoded and scored in RGB.

    \b
    coordflow baseline clip:bunny --codec x265 --bpp 0.075 --frames 0:96 --size 192x108
    coordflow baseline video.mp4 --codec x264 --preset veryslow --tune psnr --json
    """
    from coordflow_mini.cli import arguments
    from coordflow_mini.measure import baselines

    arguments.check_rate(bpp)
    if preset is not None and preset not in (known := baselines.CODECS[codec].presets):
        raise ValueError(f"--preset of {codec} must be one of {', '.join(known)}, got {preset!r}")
    video = load(source, frames, size, raw, matrix)

    from coordflow_mini import encoder

    rate = encoder.default_bpp(video) if bpp is None else bpp
    point = baselines.measure(video, codec, bpp=rate, preset=preset, tune=tune)
    if as_json:
        print_json(point.to_json())
    else:
        rows = [[name, figure(value)] for name, value in point.to_json().items() if value not in (None, "")]
        say(table(rows, left=2))


def demo(
    out: Annotated[Path, typer.Option(metavar="DIR", help="The folder to write.")] = Path("runs/demo"),
    minutes: Minutes = None,
    quick: Annotated[bool, typer.Option("--quick", help="A tenth of the training: worse, but soon.")] = False,
    device: Device = "auto",
    threads: Threads = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Show all of it on a real clip, in about three minutes.

    Encodes 96 frames of Big Buck Bunny, decodes the file in a fresh process, measures it, compares with
    x264 and x265 at the same bytes, and writes a report to open in a browser.

    \b
    coordflow demo
    coordflow demo --quick --out /tmp/demo
    """
    from coordflow_mini.cli import arguments
    from coordflow_mini.video.catalog import bunny_path

    if quick and minutes is not None:
        raise ValueError("give --quick or --minutes, not both")
    arguments.check_training(None, minutes, FitConfig.gamma, FitConfig.seed)
    arguments.check_folder(out, "", ".*")
    bunny_path()

    from coordflow_mini.sweeps import demo as show

    place = device_for(device, threads)
    shown = show.Demo()
    recipe = replace(shown.recipe, minutes=minutes)
    recipe = recipe.with_steps(recipe.fit.steps // 10) if quick else recipe
    result = show.run(out, replace(shown, recipe=recipe), Console(quiet=quiet), device=place)
    if as_json:
        print_json(result.to_json())
    elif not quiet:
        say(f"\n{show.comparison(result)}\n\nopen {out / show.REPORT} in a browser")
