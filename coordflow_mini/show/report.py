"""The report of a sweep, one web page with tables and figures: `coordflow report`.

The page starts with what is missing and which codec needs fewer bits; then come the average over clips, each
clip, and how everything was measured.  Published curves are dashed and hollow, and appear only beside
measurements of the same frames, each with its source and with what its rate counts.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coordflow_mini.measure import anchors, spreadsheet
from coordflow_mini.measure.curves import (
    AVERAGE,
    OURS,
    SAME_TARGET,
    Average,
    Comparison,
    average,
    by_clip,
    compare,
    curves,
    shared_settings,
)
from coordflow_mini.measure.results import Experiment, RatePoint
from coordflow_mini.ops.files import replacing
from coordflow_mini.show import figure, plots
from coordflow_mini.show.page import listing, render


@dataclass(frozen=True)
class ClipResults:
    """Results on one clip, or the average over all clips.

    points: measured ones.  published: those to show beside them.
    """

    clip: str
    points: tuple[RatePoint, ...]
    published: tuple[RatePoint, ...]
    comparisons: tuple[Comparison, ...]

    @property
    def is_average(self) -> bool:
        """True for the average over all clips."""
        return self.clip == AVERAGE

    @property
    def title(self) -> str:
        """The clip's name, or a phrase for the average."""
        return "Average over all clips" if self.is_average else self.clip

    @property
    def has_ms_ssim(self) -> bool:
        """True if MS-SSIM was measured for any point."""
        return any(point.ms_ssim is not None for point in self.points)

    @property
    def ordered(self) -> list[RatePoint]:
        """Points by curve, in order of rate."""
        return [point for curve in curves(self.points).values() for point in curve]


@dataclass(frozen=True)
class Report:
    """An experiment by clips, the average first if there are several.

    left_out: curve -> why it, or a part of it, is not in the average.
    """

    experiment: Experiment
    clips: tuple[ClipResults, ...]
    left_out: Mapping[str, str]

    @property
    def comparisons(self) -> tuple[Comparison, ...]:
        """Comparisons of all clips, in order."""
        return tuple(one for results in self.clips for one in results.comparisons)


def summarize(experiment: Experiment) -> Report:
    """The experiment with averages, BD-rates, and the published curves that may stand beside it."""
    measured = by_clip(experiment.points)
    sequences = {clip: anchors.sequence(points) for clip, points in measured.items()}
    clips = [_results(clip, points, sequences[clip]) for clip, points in measured.items()]
    means = average(experiment.points) if len(measured) > 1 else Average((), {})
    if means.points:
        whole = AVERAGE if anchors.whole_set(sequences.values()) else None
        clips.insert(0, _results(AVERAGE, means.points, whole))
    return Report(experiment, tuple(clips), means.left_out)


def _results(clip: str, points: Sequence[RatePoint], sequence: str | None) -> ClipResults:
    beside = anchors.beside(sequence, points) if sequence else ()
    return ClipResults(clip, tuple(points), beside, compare(points))


# --- files --------------------------------------------------------------------------------------------

Drawing = tuple[str, ClipResults, plots.Quality]  # name of its files without suffix, and what to draw
Progress = Callable[[Sequence[Drawing]], Iterable[Drawing]]


def write_report(folder: Path, experiment: Experiment, *, progress: Progress = iter) -> Path:
    """Write report.html, points.csv, average.csv, bd_rate.csv and figures/; return the path of the page.

    The page is written last.  progress: wraps the loop over figures, for example in a progress bar.
    Raises OSError if the folder cannot be written.
    """
    report = summarize(experiment)
    folder.mkdir(parents=True, exist_ok=True)
    svgs: dict[str, list[str]] = {}
    for name, results, quality in progress(_drawings(report)):
        drawn = _figure(results, quality)
        _write(folder / "figures" / f"{name}.svg", figure.to_svg_file(drawn))
        _write(folder / "figures" / f"{name}.png", figure.to_png(drawn))
        svgs.setdefault(results.clip, []).append(figure.to_svg(drawn))
    means = (point for results in report.clips if results.is_average for point in results.points)
    _write(folder / "points.csv", spreadsheet.table(RatePoint, experiment.points))
    _write(folder / "average.csv", spreadsheet.table(RatePoint, means))
    _write(folder / "bd_rate.csv", spreadsheet.table(Comparison, report.comparisons))
    return _write(folder / "report.html", report_html(report, svgs, folder.resolve().name))


def _write(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(exist_ok=True)
    with replacing(path) as temporary:
        temporary.write_bytes(content.encode("utf-8", "replace") if isinstance(content, str) else content)
    return path


def _drawings(report: Report) -> list[Drawing]:
    """Figures of every clip: PSNR, and MS-SSIM where it was measured."""
    found: list[Drawing] = []
    for index, results in enumerate(report.clips):
        clip = re.sub(r"[^A-Za-z0-9.-]+", "_", results.clip)[-60:].strip("._-") or "clip"
        found.append((f"{index}_{clip}_psnr", results, "psnr_db"))
        if results.has_ms_ssim:
            found.append((f"{index}_{clip}_ms_ssim", results, "ms_ssim"))
    return found


def _figure(results: ClipResults, quality: plots.Quality) -> figure.Picture:
    return plots.rate_quality(
        [*results.points, *results.published],
        quality=quality,
        title=results.title,
        size=(6.4, 4.4) if results.published else (6.4, 3.4),
        codecs=[anchor.name for anchor in anchors.ANCHORS],
    )


# --- the verdict --------------------------------------------------------------------------------------


def verdict(report: Report) -> str:
    """The result in a sentence or two; losses are stated as plainly as wins."""
    if not report.clips:
        return "Nothing has been measured yet."
    first, many = report.clips[0], len(by_clip(report.experiment.points))
    where = f"On average over {many} clips" if first.is_average else f"On {first.clip}"
    if many > 1 and not any(point.codec == OURS for point in first.points):
        reasons = [reason for curve, reason in report.left_out.items() if curve.startswith(OURS)]
        why = "; ".join(reasons) or "nothing of it has been measured"
        return f"{OURS} is not in the average over {many} clips: {why}."
    if not first.comparisons:
        return f"{where}, {OURS} and another codec have not both been measured yet."
    known = [one for one in first.comparisons if one.bd_rate_percent is not None]
    unknown: dict[str, list[str]] = {}
    for one in first.comparisons:
        if one.bd_rate_percent is None:
            unknown.setdefault(one.reason, []).append(one.against)
    said = [f"{where}, {OURS} needs {_gaps(known)} at equal PSNR (BD-rate)."] if known else []
    said += [f"{where}, no BD-rate against {listing(names)}: {why}." for why, names in unknown.items()]
    return " ".join(said)


def _gaps(known: Sequence[Comparison]) -> str:
    """`12.0 % fewer bits than x264 medium and 30.0 % more bits than x265 medium`."""
    gaps = sorted((one.bd_rate_percent or 0.0, one.against) for one in known)
    words = ("fewer" if percent < 0 else "more" for percent, _ in gaps)
    return listing(
        [
            f"{abs(percent):.1f}\N{NO-BREAK SPACE}% {word} bits than {other}"
            for (percent, other), word in zip(gaps, words, strict=True)
        ]
    )


# --- the page -----------------------------------------------------------------------------------------


def report_html(report: Report, figures: Mapping[str, Sequence[str]], name: str) -> str:
    """The page.  figures: clip -> SVG elements.  name: of the experiment."""
    experiment = report.experiment
    published = {point.codec: point.source for results in report.clips for point in results.published}
    measured = curves(point for point in experiment.points if point.measured)
    return render(
        "report.html.j2",
        name=name,
        ours=OURS,
        verdict=verdict(report),
        experiment=experiment,
        failed=[f"{job.name}: {job.reason}" for job in experiment.failed],
        differences=_differences(report),
        clips=report.clips,
        figures=figures,
        left_out=report.left_out,
        reach=f"{anchors.REACH:g}",
        published=[(one, published[one.name]) for one in anchors.ANCHORS if one.name in published],
        several=len(by_clip(experiment.points)) > 1,
        same_target=round(100 * (SAME_TARGET - 1)),
        settings="; ".join(f"{name}: {shared_settings(curve)}" for name, curve in sorted(measured.items())),
    )


def _differences(report: Report) -> dict[str, Any]:
    """The table of BD-rates, one row per clip, and remarks about its cells."""
    others = sorted({one.against for one in report.comparisons})
    rows, remarks = [], []
    for results in report.clips:
        cells = {one.against: one for one in results.comparisons}
        if cells:
            rows.append({"results": results, "cells": [cells.get(other) for other in others]})
        remarks += [f"{results.title}, {one.against}: {one.reason}" for one in cells.values() if one.reason]
    return {"others": others, "rows": rows, "remarks": remarks}
