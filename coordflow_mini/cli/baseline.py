"""`coordflow baseline`: other codecs at the same rate."""

from typing import Annotated, Literal

import typer

from coordflow_mini.cli.options import Bpp, Footage, Input, Json
from coordflow_mini.cli.output import print_figures
from coordflow_mini.ops.lazy import lazily

with lazily():
    from coordflow_mini import encoder
    from coordflow_mini.cli import checks
    from coordflow_mini.measure import baselines


def baseline(
    source: Input,
    *,
    codec: Annotated[Literal["x264", "x265", "av1"], typer.Option(help="av1 is SVT-AV1.")] = "x265",
    bpp: Bpp = None,
    preset: Annotated[
        str | None, typer.Option(metavar="NAME", help="The encoder's preset.  [default: medium; av1: 6]")
    ] = None,
    tune: Annotated[
        Literal["psnr"] | None, typer.Option(help="Tune for PSNR.  [default: the encoder's own tuning]")
    ] = None,
    as_json: Json = False,
    footage: Footage,
) -> None:
    """Measure x264, x265 or SVT-AV1 at a given rate.

    Searches over CRF for the largest raw stream within the rate, decodes it and scores it in RGB.

    \b
    coordflow baseline clip:bunny --codec x265 --bpp 0.075 --frames 0:96 --size 192x108
    coordflow baseline video.mp4 --codec x264 --preset veryslow --tune psnr --json
    """
    checks.rate(bpp)
    baselines.checked(codec, preset)
    video = footage.load(source)
    rate = encoder.default_bpp(video) if bpp is None else bpp
    point = baselines.measure(video, codec, bpp=rate, preset=preset, tune=tune)
    print_figures(point.to_json(), as_json)
