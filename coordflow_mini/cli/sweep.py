"""`coordflow sweep`: many encodes, at several rates, beside other codecs."""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated

import typer

from coordflow_mini.cli.options import Computing, Footage, Messages, Modeling, Training, recipe_for
from coordflow_mini.cli.output import print_json, say
from coordflow_mini.ops.console import Console, duration, plural
from coordflow_mini.ops.lazy import lazily

with lazily():
    from coordflow_mini.cli import checks
    from coordflow_mini.measure import results
    from coordflow_mini.sweeps import cluster, worker
    from coordflow_mini.sweeps import job as jobs
    from coordflow_mini.sweeps import sweep as sweeps

_PAUSE = 10.0  # seconds between two lines about running jobs, at least


@dataclass(frozen=True)
class Workers:
    """Workers"""

    executor: Annotated[
        str,
        typer.Option(
            metavar="WHERE",
            help="local, or dask://HOST:PORT of a cluster with the same files.  "
            "Whoever can reach that port can run code here.",
        ),
    ] = "local"
    workers: Annotated[
        int, typer.Option(metavar="N", help="Local processes, by Dask; a single encode uses all threads.")
    ] = 1


def sweep(
    inputs: Annotated[
        list[str],
        typer.Argument(metavar="INPUT...", help="Videos, or uvg for its seven.", show_default=False),
    ],
    bpp: Annotated[
        str, typer.Option(metavar="RATE,...", help="Bits per pixel, for each video.", show_default=False)
    ],
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="The folder of the sweep, new or begun.", show_default=False)
    ],
    *,
    against: Annotated[
        str,
        typer.Option(
            metavar="CODEC[:PRESET[:TUNE]],...",
            help="Other codecs at the same rates: x264, x265, av1; or none.",
        ),
    ] = "x264,x265",
    modeling: Modeling,
    training: Training,
    footage: Footage,
    working: Workers,
    computing: Computing,
    messages: Messages,
) -> None:
    """Encode videos at several rates, beside other codecs.

    Each combination of video, codec and rate is a job in DIR/jobs, with its log, file and figures.  After an
    interruption, or on a second machine at the same time, the same command keeps what is finished, resumes
    what was running and retries what failed.  --minutes applies to each encode.  The segments of a video
    (--segment-frames) are shared among the workers.  The exit code is 2 if a job failed.

    A Dask cluster (pip install 'coordflow-mini[scale]') needs one thread per worker, this package, and DIR
    and the videos under the same paths.

    \b
    coordflow sweep clip:bunny --frames 0:96 --size 192x108 --bpp 0.03,0.06 --out runs/bunny
    coordflow sweep uvg --preset uvg-m --bpp 0.015,0.03 --against x265:veryslow:psnr,av1 --out runs/uvg
    coordflow sweep long.mp4 --segment-frames 120 --bpp 0.05 --workers 8 --out runs/long
    coordflow sweep a.mp4 b.mp4 --bpp 0.1 --out runs/ab --executor dask://10.0.0.1:8786
    """
    recipe, console = recipe_for(training, **asdict(modeling)), messages.console()
    selection = footage.selection()
    cluster.check(working.executor, working.workers)
    for source in sweeps.clips_of(inputs):
        footage.check(source)
    checks.folder(out, "", ".*")
    codecs = [] if against in ("", "none") else against.split(",")
    references = [jobs.Reference.parse(codec) for codec in codecs]
    wanted = sweeps.plan(
        inputs, _rates(bpp), references, recipe, selection=selection, raw=footage.raw, matrix=footage.matrix
    )
    if working.executor == "local" and working.workers > 1 and computing.threads is None:
        computing = replace(computing, threads=max(1, (os.cpu_count() or 1) // working.workers))
    experiment = _run(console, out, wanted, working, computing)
    _report(experiment, {job.name for job in wanted}, out, messages)


def _rates(text: str) -> list[float]:
    try:
        rates = [float(part) for part in text.split(",")]
    except ValueError:
        raise ValueError(f"--bpp must be rates with commas, such as 0.03,0.06, got {text!r}") from None
    for rate in rates:
        checks.rate(rate)
    return rates


def _run(
    console: Console, out: Path, wanted: "Sequence[jobs.Job]", working: Workers, computing: Computing
) -> "results.Experiment":
    """Runs the sweep with a line for each job; Ctrl-C says how to continue."""
    last: sweeps.Standing | None = None

    def on_job(outcome: "worker.Outcome", standing: "sweeps.Standing") -> None:
        nonlocal last
        last = standing
        left = f", {duration(standing.seconds_left)} left" if standing.done < standing.tasks else ""
        console.say(f"[{standing.done}/{standing.tasks}] {_line(outcome)}{left}")

    finished = len(wanted) - len(sweeps.unfinished(out, wanted))
    console.say(f"{plural(len(wanted), 'job')} in {out}, {finished:,} of them already done")
    try:
        with cluster.connected(working.executor, working.workers) as pool:
            return sweeps.run(
                out,
                wanted,
                executor=pool,
                device=computing.device,
                threads=computing.threads,
                on_job=on_job,
                on_news=_paced(console),
            )
    except KeyboardInterrupt:
        done = f"{last.done} of {plural(last.tasks, 'task')} done" if last else "nothing is finished"
        say(f"\ninterrupted: {done}; run the same command to continue", err=True)
        raise typer.Exit(130) from None


def _paced(console: Console) -> Callable[[str], None]:
    spoken = 0.0

    def news(line: str) -> None:
        nonlocal spoken
        if time.monotonic() - spoken >= _PAUSE:
            spoken = time.monotonic()
            console.say(f"  {line}")

    return news


def _line(outcome: "worker.Outcome") -> str:
    if outcome.state == "failed":
        return f"{outcome.name}: FAILED: {outcome.reason}"
    point = outcome.point
    figures = f"{point.bpp:.4f} bpp, {point.psnr_db:.2f} dB, " if point else ""
    return f"{outcome.name}: {figures}{duration(outcome.seconds)}"


def _report(experiment: "results.Experiment", names: set[str], out: Path, messages: Messages) -> None:
    if messages.as_json:
        points = [point.to_json() for point in experiment.points]
        failed = [asdict(one) for one in experiment.failed]
        print_json({"points": points, "failed": failed, "pending": list(experiment.pending)})
    elif not messages.quiet:
        say(
            f"{out}: {plural(len(experiment.points), 'point')}; `coordflow report {out}` makes a page of them"
        )
    failures = [one for one in experiment.failed if one.name in names]
    for one in failures:
        say(f"failed: {one.name}: {one.reason}", err=True)
    if failures or names & set(experiment.pending):
        say("run the same command to retry what is missing", err=True)
        raise typer.Exit(2)
