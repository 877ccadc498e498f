"""What a sweep measured, as one web page, tables and figures: `coordflow report`.

The page tells first what is missing and who needs fewer bits, losses named like wins; then the average
over clips, every clip, and how all of it was measured.  Published curves are drawn dashed and hollow, only
beside measurements of the same frames, each with its source and with what its rate counts.
"""

import html
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

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
    curve_name,
    curves,
)
from coordflow_mini.measure.results import Experiment, RatePoint
from coordflow_mini.ops.files import replacing
from coordflow_mini.show import figure, plots
from coordflow_mini.show.page import listing, number, page, protocol, seconds, signed

__all__ = ["Chapter", "Drawing", "Survey", "survey", "survey_html", "verdict", "write_survey"]

REPORT, POINTS, AVERAGES, BD_RATE, FIGURES = (
    "report.html",
    "points.csv",
    "average.csv",
    "bd_rate.csv",
    "figures",
)
MANY = 8  # jobs, rows or reasons; a longer list is folded


@dataclass(frozen=True)
class Chapter:
    """All that is known about one clip, or about the average of all.

    points: measured ones.  published: the curves to show beside them.
    """

    clip: str
    points: tuple[RatePoint, ...]
    published: tuple[RatePoint, ...]
    comparisons: tuple[Comparison, ...]


@dataclass(frozen=True)
class Survey:
    """An experiment in the order in which it is told: the average first, if there are several clips."""

    experiment: Experiment
    chapters: tuple[Chapter, ...]
    left_out: Mapping[str, str]

    @property
    def comparisons(self) -> tuple[Comparison, ...]:
        """All of them, in order."""
        return tuple(one for chapter in self.chapters for one in chapter.comparisons)


def survey(experiment: Experiment) -> Survey:
    """The experiment with its averages, its differences, and the published curves that belong beside it."""
    clips = by_clip(experiment.points)
    found = {clip: anchors.sequence(points) for clip, points in clips.items()}
    chapters = [_chapter(clip, points, found[clip]) for clip, points in clips.items()]
    means = average(experiment.points) if len(clips) > 1 else Average((), {})
    if means.points:
        whole = AVERAGE if anchors.whole_set(found.values()) else None
        chapters.insert(0, _chapter(AVERAGE, means.points, whole))
    return Survey(experiment, tuple(chapters), means.left_out)


def _chapter(clip: str, points: Sequence[RatePoint], published: str | None) -> Chapter:
    beside = anchors.beside(published, points) if published else ()
    return Chapter(clip, tuple(points), beside, compare(points))


# --- files --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Drawing:
    """One figure, still to be drawn.  name: of its files, without their ending."""

    name: str
    clip: str
    draw: Callable[[], plots.Picture]


Walk = Callable[[Sequence[Drawing]], Iterable[Drawing]]


def write_survey(folder: Path, experiment: Experiment, *, walk: Walk = iter) -> Path:
    """The path of report.html, written last; points.csv, average.csv, bd_rate.csv and figures/ are beside it.

    walk: goes through the figures one by one, and may show how far it is.
    Raises OSError if the folder cannot be written.
    """
    told = survey(experiment)
    folder.mkdir(parents=True, exist_ok=True)
    shown: dict[str, list[str]] = {}
    for drawing in walk(_drawings(told)):
        drawn = drawing.draw()
        _write(folder / FIGURES / f"{drawing.name}.svg", figure.to_svg_file(drawn).encode())
        _write(folder / FIGURES / f"{drawing.name}.png", figure.to_png(drawn))
        shown.setdefault(drawing.clip, []).append(figure.to_svg(drawn))
    means = (point for chapter in told.chapters if chapter.clip == AVERAGE for point in chapter.points)
    _write(folder / POINTS, spreadsheet.points_csv(experiment.points).encode("utf-8", "replace"))
    _write(folder / AVERAGES, spreadsheet.points_csv(means).encode("utf-8", "replace"))
    _write(folder / BD_RATE, spreadsheet.bd_rate_csv(told.comparisons).encode("utf-8", "replace"))
    name = folder.resolve().name
    return _write(folder / REPORT, survey_html(told, shown, name).encode())


def _write(path: Path, data: bytes) -> Path:
    """The path of a file that appears whole or not at all."""
    path.parent.mkdir(exist_ok=True)
    with replacing(path) as temporary:
        temporary.write_bytes(data)
    return path


def _drawings(told: Survey) -> list[Drawing]:
    """Two figures a chapter; the one in MS-SSIM only where that was measured."""
    found: list[Drawing] = []
    for chapter, slug in zip(told.chapters, _slugs([c.clip for c in told.chapters]), strict=True):
        found.append(Drawing(f"{slug}_psnr", chapter.clip, partial(_figure, chapter, "psnr_db")))
        if any(point.ms_ssim is not None for point in chapter.points):
            found.append(Drawing(f"{slug}_ms_ssim", chapter.clip, partial(_figure, chapter, "ms_ssim")))
    return found


def _figure(chapter: Chapter, quality: plots.Quality) -> plots.Picture:
    size = (6.4, 4.4) if chapter.published else (6.4, 3.4)
    return plots.rate_quality(
        [*chapter.points, *chapter.published],
        ours=OURS,
        quality=quality,
        title=_title(chapter.clip),
        size=size,
        codecs=[anchor.name for anchor in anchors.ANCHORS],
    )


def _slugs(names: Sequence[str]) -> list[str]:
    """A file's name for each name, none twice.

    >>> _slugs(["uvg:Beauty", "a/b", "a?b"])
    ['uvg_Beauty', 'a_b', 'a_b_2']
    """
    found: list[str] = []
    for name in names:
        base = re.sub(r"[^A-Za-z0-9.-]+", "_", name)[-60:].strip("._-") or "clip"
        slug, count = base, 1
        while slug.lower() in (other.lower() for other in found):  # file systems may ignore case
            count += 1
            slug = f"{base}_{count}"
        found.append(slug)
    return found


def _title(clip: str) -> str:
    return "Average over all clips" if clip == AVERAGE else clip


# --- the page -----------------------------------------------------------------------------------------


def survey_html(told: Survey, figures: Mapping[str, Sequence[str]], name: str) -> str:
    """The page as text.  figures: SVG elements of each clip.  name: of the experiment."""
    parts = [
        f'<header>\n<p class="eyebrow">CoordFlow experiment</p>\n<h1>{html.escape(name)}</h1>\n'
        f'<p class="lede">{html.escape(verdict(told))}</p>\n</header>',
        _jobs(told.experiment),
        _differences(told),
        *(_section(told, index, figures) for index in range(len(told.chapters))),
        _published_table(told),
        protocol(_entries(told)),
    ]
    return page(f"{name} · CoordFlow experiment", "\n".join(filter(None, parts)), style=_STYLE)


def verdict(told: Survey) -> str:
    """The result in a sentence or two, losses named like wins."""
    if not told.chapters:
        return "Nothing has been measured yet."
    chapter = told.chapters[0]
    many = len(by_clip(told.experiment.points))
    place = f"On average over {many} clips" if chapter.clip == AVERAGE else f"On {chapter.clip}"
    if many > 1 and not any(point.codec == OURS for point in chapter.points):
        return f"{OURS} is not in the average over {many} clips: {_absence(told)}."
    if not chapter.comparisons:
        return f"{place}, {OURS} and another codec have not both been measured yet."
    known = [one for one in chapter.comparisons if one.bd_rate_percent is not None]
    unknown: dict[str, list[str]] = {}
    for one in chapter.comparisons:
        if one.bd_rate_percent is None:
            unknown.setdefault(one.reason, []).append(f"{one.against}{_at_equal_rate(one)}")
    said = [f"{place}, {OURS} needs {_gaps(known)}."] if known else []
    said += [f"{place}, no BD-rate against {listing(names)}: {why}." for why, names in unknown.items()]
    return " ".join(said)


def _at_equal_rate(one: Comparison) -> str:
    """` (10.0 dB worse at equal rate)`, where that is all that can be said."""
    if one.bd_psnr_db is None:
        return ""
    word = "better" if one.bd_psnr_db > 0 else "worse"
    return f" ({abs(one.bd_psnr_db):.1f}\N{NO-BREAK SPACE}dB {word} at equal rate)"


def _absence(told: Survey) -> str:
    """Why none of our curves is in the average."""
    reasons = [reason for curve, reason in told.left_out.items() if curve.startswith(OURS)]
    return "; ".join(reasons) or "nothing of it has been measured"


def _gaps(known: Sequence[Comparison]) -> str:
    """`12.0 % fewer bits than x264 medium, and 30.0 % more than x265 medium, for equal PSNR`."""
    ordered = sorted(known, key=lambda one: one.bd_rate_percent or 0)
    several = len({one.curve for one in ordered}) > 1

    def named(one: Comparison) -> str:
        mine = f" ({one.curve})" if several else ""
        return f"{one.against}{mine} by {abs(one.bd_rate_percent or 0):.1f}\N{NO-BREAK SPACE}%"

    fewer = [named(one) for one in ordered if (one.bd_rate_percent or 0) < 0]
    more = [named(one) for one in ordered if (one.bd_rate_percent or 0) >= 0]
    parts = [f"fewer bits than {listing(fewer)}"] if fewer else []
    parts += [f"more {'' if fewer else 'bits '}than {listing(more)}"] if more else []
    return f"{', and '.join(parts)}, for equal PSNR (BD-rate)"


def _jobs(experiment: Experiment) -> str:
    """What failed and what is still to do, plainly; nothing if all is done."""
    failed = [f"<b>{html.escape(job.name)}</b> {html.escape(job.reason)}" for job in experiment.failed]
    pending = [html.escape(name) for name in experiment.pending]
    words = _folded(f"{_count(len(failed), 'job')} failed", failed)
    words += _folded(f"{_count(len(pending), 'job')} still to run", pending)
    if not words:
        return ""
    return f"""<section class="jobs" aria-labelledby="jobs">
<h2 id="jobs">Not complete</h2>
<p class="note">The figures below are those of the jobs that are done.</p>
{words}</section>"""


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + "s" * (number != 1)


def _folded(title: str, items: Sequence[str]) -> str:
    """A list in HTML under its title, folded if it is long."""
    if not items:
        return ""
    entries = "".join(f"<li>{item}</li>\n" for item in items)
    unfolded = " open" * (len(items) <= MANY)
    return f"<details{unfolded}><summary>{title}</summary>\n<ul>\n{entries}</ul></details>\n"


def _differences(told: Survey) -> str:
    """BD-rates of all clips in one table, and why some are missing."""
    if not told.comparisons:
        return ""
    others = sorted({one.against for one in told.comparisons})
    lines = dict.fromkeys((one.clip, one.curve) for one in told.comparisons)
    table = {(one.clip, one.curve, one.against): one for one in told.comparisons}
    several = len({curve for _, curve in lines}) > 1
    rows = ""
    for clip, curve in lines:
        cells = "".join(f"<td>{_difference(table.get((clip, curve, other)))}</td>" for other in others)
        more = f"<small>{html.escape(curve)}</small>" if several else ""
        rows += _row(f"{html.escape(_title(clip))} {more}", cells, ours=clip == AVERAGE)
    reasons = [
        html.escape(f"{_title(one.clip)}, {one.curve} against {one.against}: {one.reason}")
        for one in told.comparisons
        if one.reason
    ]
    return f"""<section aria-labelledby="bd">
<h2 id="bd">Bits for equal quality (BD-rate)</h2>
<p class="note">A negative percentage means that {OURS} needs that much less rate than the codec of the
column for equal PSNR, a positive one that it needs more.  Below it, BD-PSNR: by how many dB it is better (+)
or worse (−) at equal rate.</p>
{_table("bd", ["Clip", *map(html.escape, others)], rows)}
{_folded("Remarks: what could not be computed, and what rests on few points", reasons)}</section>"""


def _difference(one: Comparison | None) -> str:
    """A cell: BD-rate and, smaller, BD-PSNR."""
    if one is None:
        return "–"
    rate, psnr = one.bd_rate_percent, one.bd_psnr_db
    mark = "" if rate is None else ' class="win"' if rate < 0 else ' class="loss"'
    text = "–" if rate is None else f"{signed(rate, 1)} %"
    return f"<span{mark}>{text}</span><small>{'' if psnr is None else f'{signed(psnr)} dB'}</small>"


def _table(label: str, heads: Sequence[str], rows: str) -> str:
    columns = "".join(f'<th scope="col">{head}</th>' for head in heads)
    return f"""<div class="scroll" role="region" aria-labelledby="{label}" tabindex="0">
<table aria-labelledby="{label}">
<thead><tr>{columns}</tr></thead>
<tbody>
{rows}</tbody>
</table></div>"""


def _row(head: str, cells: str, *, ours: bool) -> str:
    return f'<tr{" class=ours" * ours}><th scope="row">{head}</th>{cells}</tr>\n'


def _section(told: Survey, index: int, figures: Mapping[str, Sequence[str]]) -> str:
    """One chapter: its figures and its points."""
    chapter = told.chapters[index]
    frame = '<figure class="scroll" role="region" aria-label="Rate and quality" tabindex="0">'
    drawn = "".join(f"{frame}\n{svg}\n</figure>\n" for svg in figures.get(chapter.clip, ()))
    count = _count(len(chapter.points), "point")
    unfolded = " open" * (index == 0)
    label = f"clip-{index}"
    heads = ["Codec", "Rate [bits/pixel]", "PSNR [dB]", "MS-SSIM", "Bytes", "Encode [s]", "Decode [s]"]
    rows = "".join(_point(point) for curve in curves(chapter.points).values() for point in curve)
    return f"""<section aria-labelledby="{label}">
<h2 id="{label}">{
        html.escape(_title(chapter.clip)).capitalize()
        if chapter.clip == AVERAGE
        else html.escape(chapter.clip)
    }</h2>
{_notes(told, chapter)}<div class="plots">
{drawn}</div>
<details{unfolded}><summary>{count}</summary>
{_table(label, heads, rows)}
</details>
</section>"""


def _notes(told: Survey, chapter: Chapter) -> str:
    """What to know before looking: curves that are not in the average, whether published ones are shown."""
    notes = []
    if chapter.clip == AVERAGE:
        notes += [f"{curve}: {reason}." for curve, reason in told.left_out.items()]
    if all(point.ms_ssim is None for point in chapter.points):
        notes.append("MS-SSIM was not measured.")
    if chapter.published:
        notes.append(
            f"Dashed and hollow: published by others, shown from 1/{anchors.REACH:g} of the lowest to "
            f"{anchors.REACH:g} times the highest rate measured here."
        )
    elif chapter.clip.startswith("uvg:"):
        notes.append("No published curves: they are about all frames at 1920 × 1080, this is not.")
    return "".join(f'<p class="note">{html.escape(note)}</p>\n' for note in notes)


def _point(point: RatePoint) -> str:
    """One row of a chapter's table."""
    words = point.settings.split(",")[0].split()
    detail = " ".join(word for word in words if not word.startswith(("preset=", "tune=")))
    cells = [
        f"{point.bpp:.4f}",
        number(point.psnr_db),
        number(point.ms_ssim, 4),
        number(point.bytes or None, 0),
        seconds(point.encode_seconds),
        seconds(point.decode_seconds),
    ]
    head = f"{html.escape(curve_name(point))} <small>{html.escape(detail)}</small>"
    return _row(head, "".join(f"<td>{cell}</td>" for cell in cells), ours=point.codec == OURS)


def _published_table(told: Survey) -> str:
    """Whose curves were drawn beside ours, where they come from, and what their rates are."""
    shown = {point.codec: point for chapter in told.chapters for point in chapter.published}
    if not shown:
        return ""
    rows = ""
    for anchor in anchors.ANCHORS:
        if point := shown.get(anchor.name):
            texts = [anchor.kind, anchor.rate, point.source]
            cells = "".join(f'<td class="text">{html.escape(text)}</td>' for text in texts)
            rows += _row(html.escape(anchor.name), cells, ours=False)
    return f"""<section aria-labelledby="published">
<h2 id="published">Published, not measured here</h2>
<p class="note">Figures of other authors on UVG 1920 × 1080: RGB, PSNR per frame, then the mean; their
average is that of all seven sequences at equal setting.  Their rates are not of one kind, and neither were
their frames made RGB by the same program: small gaps between a dashed and a solid line prove nothing.</p>
{_table("published", ["Codec", "What it is", "What its rate counts", "Source"], rows)}
</section>"""


def _entries(told: Survey) -> dict[str, str]:
    """The protocol: what a critic must know to repeat the figures."""
    experiment = told.experiment
    averaged = (
        "Mean of the rates and mean of the qualities over all clips, among files of equal target rate "
        f"(matched in order of rate, at most {100 * (SAME_TARGET - 1):.0f} % apart); only curves that all "
        "clips have."
    )
    return {
        "Quality": "PSNR and MS-SSIM in RGB on the 8-bit frames decoded from the file: per frame, then the "
        "mean over frames.",
        "Rate": "Size of the real file with header and checksums, of other codecs the raw stream without a "
        "container: 8 × bytes / (frames × height × width).",
        "Average": averaged if len(by_clip(experiment.points)) > 1 else "",
        "BD-rate": "Bjøntegaard: log rate over PSNR by a monotone cubic (PCHIP), over the range of PSNR that "
        "both curves reach, nothing extrapolated.  Of the average, it is that of the averaged curves.",
        "Times": "Seconds of the final encode and of decoding, without the search for the rate; x264, x265 "
        "and SVT-AV1 with one thread.",
        "Codecs": "; ".join(_settings(experiment.points)),
        "Hardware": "; ".join(experiment.hardware),
        "Versions": ", ".join(f"{name} {version}" for name, version in experiment.versions.items()),
    }


def _settings(points: Iterable[RatePoint]) -> list[str]:
    """Each curve with what its points' settings have in common."""
    found: dict[str, list[list[str]]] = {}
    for point in points:
        if point.measured:
            found.setdefault(curve_name(point), []).append(point.settings.split())
    shared = {
        name: [word for word in settings[0] if all(word in other for other in settings)]
        for name, settings in found.items()
    }
    return [f"{name}: {' '.join(words).rstrip(',')}" for name, words in sorted(shared.items()) if words]


_STYLE = """
h2 { overflow-wrap: anywhere; }
.jobs { margin: 1.5rem 0 0; padding: .25rem 1rem 1rem; border-left: 4px solid var(--orange);
  background: var(--card); }
.jobs h2 { margin-top: .75rem; }
.jobs li { overflow-wrap: anywhere; }
details { margin: .75rem 0; }
summary { cursor: pointer; padding: .5rem 0; color: var(--link); }
.jobs summary { color: inherit; font-weight: 600; }
ul { margin: 0; padding-left: 1.25rem; font-size: .875rem; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 30rem), 1fr)); gap: 1.5rem; }
.plots svg { display: block; width: 100%; min-width: 26rem; height: auto; }
td small { display: block; }
[aria-labelledby="published"] th { text-align: left; }
td.text { text-align: left; white-space: normal; overflow-wrap: anywhere; min-width: 10rem; }
.win { color: var(--green); font-weight: 600; }
.loss { font-weight: 600; }
"""
