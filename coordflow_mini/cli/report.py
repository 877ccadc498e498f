"""`report`: what a sweep measured, as a page, tables and figures."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from coordflow_mini.cli.figures import count, print_json, say
from coordflow_mini.cli.options import Json, Quiet
from coordflow_mini.ops.console import Console

__all__ = ["report"]


def report(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="The folder of a `coordflow sweep`.", show_default=False)
    ],
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Make a page of what a sweep has measured so far.

    Tables, curves and BD-rates, of each clip and of all; published results beside those of UVG.

    Writes report.html, points.csv, average.csv, bd_rate.csv and figures/ into DIR.  The sweep may still be
    running: what failed and what is missing stands at the top.

    \b
    coordflow report runs/uvg
    coordflow report runs/uvg --json
    """
    if not folder.is_dir():
        raise ValueError(f"{folder} is no folder; make one with `coordflow sweep INPUT... --out {folder}`")

    from coordflow_mini.show import report as reports
    from coordflow_mini.sweeps import sweep

    experiment, console = sweep.collect(folder), Console(quiet=quiet)
    summary = reports.summarize(experiment)
    path = reports.write_report(
        folder, experiment, progress=lambda drawings: console.counted("figures", drawings, len(drawings))
    )
    if as_json:
        left = {"failed": [asdict(job) for job in experiment.failed], "pending": list(experiment.pending)}
        print_json({"report": str(path), "bd_rate": [asdict(one) for one in summary.comparisons], **left})
    elif not quiet:
        states = f"{len(experiment.failed)} failed, {len(experiment.pending)} still to run"
        say(f"{count(len(experiment.points), 'point')}, {states}")
        say(f"{reports.verdict(summary)}\nopen {path} in a browser")
