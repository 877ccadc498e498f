"""`coordflow evaluate`: quality and rate of a .cfv file."""

from coordflow_mini.cli.options import Coded, Computing, Input, Json, Raw
from coordflow_mini.cli.output import print_figures
from coordflow_mini.ops.lazy import lazily

with lazily():
    from coordflow_mini.cli import checks
    from coordflow_mini.measure import evaluate as measuring


def evaluate(
    source: Input, coded: Coded, computing: Computing, raw: Raw = None, as_json: Json = False
) -> None:
    """Measure a .cfv file against the video it was made from.

    The file records which frames of INPUT it holds, and their size.  PSNR is computed in RGB, frame by frame,
    then averaged; the rate counts every byte of the file.

    \b
    coordflow evaluate clip:bunny bunny.cfv
    coordflow evaluate video.mp4 video.cfv --json
    """
    checks.source(source)
    file = checks.read_coded(coded)
    layout = checks.raw_format(source, raw)
    figures = measuring.evaluate(source, file.data, raw=layout, device=computing.start())
    print_figures(figures.to_json(), as_json)
