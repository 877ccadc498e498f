"""Many encodes: `sweep`."""

import os
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from coordflow_mini.cli.estimates import estimate
from coordflow_mini.cli.figures import count, print_json, say
from coordflow_mini.cli.options import (
    Device,
    Frames,
    Json,
    Layers,
    Matrix,
    Minutes,
    PresetName,
    Quiet,
    Raw,
    Seed,
    SegmentFrames,
    Size,
    Steps,
    Threads,
    device_for,
    recipe_for,
)
from coordflow_mini.config import FitConfig, ModelConfig, Recipe
from coordflow_mini.ops.console import Console, duration, table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from coordflow_mini.measure.results import Experiment
    from coordflow_mini.sweeps.job import Job, Reference
    from coordflow_mini.sweeps.sweep import OnNews, Standing
    from coordflow_mini.sweeps.worker import Outcome

__all__ = ["sweep"]

_PAUSE = 10.0  # seconds at least between two lines about jobs that are running


def sweep(
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT...", help="Clips as `encode` takes them; uvg is its seven.", show_default=False
        ),
    ],
    bpp: Annotated[
        str, typer.Option(metavar="RATE,...", help="Bits per pixel, of each clip.", show_default=False)
    ],
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="The folder of the sweep, new or begun.", show_default=False)
    ],
    against: Annotated[
        str,
        typer.Option(
            metavar="CODEC[:PRESET[:TUNE]],...",
            help="Other codecs at the same rates: x264, x265, av1; or none.",
        ),
    ] = "x264,x265",
    preset: PresetName = None,
    frames: Frames = None,
    size: Size = None,
    raw: Raw = None,
    matrix: Matrix = None,
    layers: Layers = ModelConfig.layers,
    steps: Steps = None,
    minutes: Minutes = None,
    segment_frames: SegmentFrames = None,
    seed: Seed = FitConfig.seed,
    executor: Annotated[
        str,
        typer.Option(
            metavar="WHERE",
            help="local, or dask://HOST:PORT, with shared files.  Trust its network: it can run code here.",
        ),
    ] = "local",
    workers: Annotated[
        int, typer.Option(metavar="N", help="Processes of the local executor; one encode uses all threads.")
    ] = 1,
    device: Device = "auto",
    threads: Threads = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Encode clips at several rates, beside other codecs.

    Every clip, codec and rate is a job in DIR/jobs, with its log, its file and its figures.  Run the same
    command again after an interruption, or on a second machine at the same time: what is finished stays,
    what was under way goes on, what failed is tried again.  --minutes are those of each encode.  Segments
    of a clip (--segment-frames) are encoded by as many workers as there are.  Exit code 2 if a job failed.

    A Dask cluster (pip install 'coordflow-mini[scale]') needs one thread per worker, this package, and
    DIR and the clips under the same paths.

    \b
    coordflow sweep clip:bunny --frames 0:96 --size 192x108 --bpp 0.03,0.06 --out runs/bunny
    coordflow sweep uvg --preset uvg-m --bpp 0.015,0.03 --against x265:veryslow:psnr,av1 --out runs/uvg
    coordflow sweep long.mp4 --segment-frames 120 --bpp 0.05 --workers 8 --out runs/long
    coordflow sweep a.mp4 b.mp4 --bpp 0.1 --out runs/ab --executor dask://10.0.0.1:8786
    """
    from coordflow_mini.cli import arguments
    from coordflow_mini.sweeps import executors
    from coordflow_mini.sweeps import sweep as sweeps

    console = Console(quiet=quiet)
    recipe = recipe_for(preset=preset, layers=layers, steps=steps, minutes=minutes, seed=seed)
    chosen = arguments.selection(frames, size)
    executors.check(executor, workers)
    for source in sweeps.clips_of(inputs):
        arguments.check_source(source)
        arguments.raw_format(source, raw, matrix)
    _check_out(out)
    references = _references(against)
    recipe = replace(recipe, segment_frames=segment_frames)
    wanted = sweeps.plan(inputs, _rates(bpp), references, recipe, selection=chosen, raw=raw, matrix=matrix)
    if executor == "local" and workers > 1 and threads is None:
        threads = max(1, (os.cpu_count() or 1) // workers)
    if preset and minutes is None:
        device_for(device, threads)
        _say_estimate(console, sweeps.unfinished(out, wanted), device, workers)
    experiment = _run(console, out, wanted, executor, workers, device, threads)
    _report(console, experiment, wanted, out, as_json)


def _rates(text: str) -> list[float]:
    """What `--bpp` lists; raises ValueError."""
    from coordflow_mini.cli import arguments

    try:
        rates = [float(part) for part in text.split(",")]
    except ValueError:
        raise ValueError(
            f"--bpp must be rates with commas between them, such as 0.03,0.06, got {text!r}"
        ) from None
    for rate in rates:
        arguments.check_rate(rate)
    return rates


def _references(text: str) -> "list[Reference]":
    """What `--against` lists; raises ValueError."""
    from coordflow_mini.sweeps.job import Reference

    return [] if text in ("", "none") else [Reference.parse(part) for part in text.split(",")]


def _check_out(out: Path) -> None:
    """Refuses a folder that cannot be made, or written."""
    if out.exists() and not out.is_dir():
        raise ValueError(f"{out} is a file; give --out a folder")
    folder = next(parent for parent in (out, *out.absolute().parents) if parent.exists())
    if not os.access(folder, os.W_OK):
        raise ValueError(f"{out} cannot be written: {folder} is no folder that you may write to")


def _say_estimate(console: Console, wanted: "Sequence[Job]", device: str, workers: int) -> None:
    """How long our own jobs take: each rate is timed on the first clip, the others are taken to be alike."""
    from coordflow_mini.video.read import load

    ours = [(job, job.coder) for job in wanted if isinstance(job.coder, Recipe)]
    if not ours:
        return
    first, recipe = ours[0]
    seconds = 0.0
    try:
        video = load(first.clip, first.selection, first.raw_format())
        for rate, same in sorted(Counter(job.bpp for job, _ in ours).items()):
            found = estimate(video, replace(recipe, bpp=rate), device)
            console.say(f"{count(same, 'encode')} at {rate:g} bpp, each at most {found.text}")
            seconds += same * found.seconds
    except ValueError as error:  # the job will fail, and say so; the others need not
        console.say(f"no estimate: {error}")
        return
    many = f" with {workers} workers" if workers > 1 else ""
    console.say(f"about {duration(seconds / workers)} on this machine{many}, plus the other codecs")


def _run(
    console: Console,
    out: Path,
    wanted: "Sequence[Job]",
    executor: str,
    workers: int,
    device: str,
    threads: int | None,
) -> "Experiment":
    """The sweep, with a line for each job; raises KeyboardInterrupt when it has said how to go on."""
    from coordflow_mini.sweeps import executors
    from coordflow_mini.sweeps import sweep as sweeps

    last: Standing | None = None

    def on_job(outcome: "Outcome", standing: "Standing") -> None:
        nonlocal last
        last = standing
        left = f", {duration(standing.seconds_left)} left" if standing.done < standing.tasks else ""
        console.say(f"[{standing.done}/{standing.tasks}] {_line(outcome)}{left}")

    finished = len(wanted) - len(sweeps.unfinished(out, wanted))
    console.say(f"{count(len(wanted), 'job')} in {out}, {finished:,} of them done already")
    try:
        with executors.opened(executor, workers) as pool:
            return sweeps.run(
                out,
                wanted,
                executor=pool,
                device=device,
                threads=threads,
                on_job=on_job,
                on_news=_paced(console),
            )
    except KeyboardInterrupt:
        done = f"{last.done} of {count(last.tasks, 'task')} done" if last else "nothing is finished"
        say(f"\ninterrupted: {done}; give the same command to go on", err=True)
        raise typer.Exit(130) from None


def _paced(console: Console) -> "OnNews":
    """Says lines, but not all of them."""
    spoken = 0.0

    def say(line: str) -> None:
        nonlocal spoken
        if time.monotonic() - spoken >= _PAUSE:
            spoken = time.monotonic()
            console.say(f"  {line}")

    return say


def _line(outcome: "Outcome") -> str:
    """How a job or a segment ended."""
    if outcome.state == "failed":
        return f"{outcome.name}: FAILED: {outcome.reason}"
    point = outcome.point
    figures = f"{point.bpp:.4f} bpp, {point.psnr_db:.2f} dB, " if point else ""
    return f"{outcome.name}: {figures}{duration(outcome.seconds)}"


def _report(
    console: Console, experiment: "Experiment", wanted: "Sequence[Job]", out: Path, as_json: bool
) -> None:
    """The figures, and exit code 2 if a job of this call has none."""
    names = {job.name for job in wanted}
    failed = [job for job in experiment.failed if job.name in names]
    if as_json:
        print_json(
            {
                "points": [point.to_json() for point in experiment.points],
                "failed": [{"name": job.name, "reason": job.reason} for job in experiment.failed],
                "pending": list(experiment.pending),
            }
        )
    elif not console.quiet:
        say(_table(experiment))
        say(f"{out}: {count(len(experiment.points), 'point')}")
    for job in failed:
        say(f"failed: {job.name}: {job.reason}", err=True)
    if failed or names & set(experiment.pending):
        say("give the same command to try again what is missing", err=True)
        raise typer.Exit(2)


def _table(experiment: "Experiment") -> str:
    """All points, by clip, then codec, then rate."""
    rows = [["clip", "codec", "bpp", "PSNR [dB]", "MS-SSIM", "seconds"]]
    for point in sorted(experiment.points, key=lambda point: (point.clip, point.codec, point.bpp)):
        ssim = "-" if point.ms_ssim is None else f"{point.ms_ssim:.4f}"
        figures = [f"{point.bpp:.4f}", f"{point.psnr_db:.2f}", ssim, f"{point.encode_seconds:.1f}"]
        rows.append([point.clip, _codec(point.codec, point.settings), *figures])
    return table(rows, left=2)


def _codec(codec: str, settings: str) -> str:
    """A codec with its preset and tune, as `baselines` writes them into the settings."""
    words = [word.partition("=")[2] for word in settings.split() if word.startswith(("preset=", "tune="))]
    return " ".join([codec, *words])
