"""`coordflow report`: the results of a sweep as a page, tables and figures."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from coordflow_mini.cli.options import Messages
from coordflow_mini.cli.output import print_json, say
from coordflow_mini.ops.console import plural
from coordflow_mini.ops.lazy import lazily

with lazily():
    from coordflow_mini.show import report as pages
    from coordflow_mini.sweeps import sweep


def report(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="The folder of a `coordflow sweep`.", show_default=False)
    ],
    messages: Messages,
) -> None:
    """Report what a sweep has measured so far.

    Tables, curves and BD-rates of each clip and of all clips; for UVG, published results stand beside them.

    Writes report.html, points.csv, average.csv, bd_rate.csv and figures/ into DIR.  The sweep may still be
    running: the page begins with what failed and what is missing.

    \b
    coordflow report runs/uvg
    coordflow report runs/uvg --json
    """
    if not folder.is_dir():
        raise ValueError(f"{folder} is no folder; make one with `coordflow sweep INPUT... --out {folder}`")
    experiment, console = sweep.collect(folder), messages.console()
    summary = pages.summarize(experiment)
    path = pages.write_report(
        folder, experiment, progress=lambda drawings: console.counted("figures", drawings, len(drawings))
    )
    if messages.as_json:
        left = {"failed": [asdict(job) for job in experiment.failed], "pending": list(experiment.pending)}
        print_json({"report": str(path), "bd_rate": [asdict(one) for one in summary.comparisons], **left})
    elif not messages.quiet:
        states = f"{len(experiment.failed)} failed, {len(experiment.pending)} still to run"
        say(f"{plural(len(experiment.points), 'point')}, {states}")
        say(f"{pages.verdict(summary)}\nopen {path} in a browser")
