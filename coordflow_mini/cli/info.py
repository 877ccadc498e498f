"""`coordflow info`: what is in a .cfv file."""

from coordflow_mini.cli.options import Coded, Json
from coordflow_mini.cli.output import lengths, print_json, say
from coordflow_mini.ops.console import table
from coordflow_mini.ops.lazy import lazily

with lazily():
    from coordflow_mini.cli import checks
    from coordflow_mini.measure import evaluate


def info(source: Coded, as_json: Json = False) -> None:
    """Show what is in a .cfv file and where its bytes go.

    \b
    coordflow info bunny.cfv
    coordflow info bunny.cfv --json
    """
    coded = checks.read_coded(source)
    figures = evaluate.describe(coded.data)
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
        [
            "weights",
            f"{figures['params']:,}, {figures['bits_per_weight']:.2f} bits each with everything counted",
        ],
        *([f"  {name}", f"{value:,} bytes"] for name, value in figures["sections"].items()),
    ]
    say(table(rows, left=2))
