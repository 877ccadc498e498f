"""Charts of quality over rate, and labels beside lines.

Labels stand beside the lines in place of legends, and every axis has its unit.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, TypeAlias

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from coordflow_mini.measure.curves import OURS, curve_name, curves
from coordflow_mini.measure.results import RatePoint
from coordflow_mini.ops.text import printable
from coordflow_mini.show.figure import FAINT, PALETTE, Picture, styled

# --- quality over rate --------------------------------------------------------------------------------

Quality: TypeAlias = Literal["psnr_db", "ms_ssim"]  # fields of a RatePoint
_QUALITY = {  # label of the axis, unit, digits, least span of the axis
    "psnr_db": ("quality [dB RGB PSNR]", " dB", 2, 0.5),
    "ms_ssim": ("quality [MS-SSIM], 1 is identical", "", 4, 0.002),
}
_CODEC_LOOK = {"x264": ("sky", "s"), "x265": ("blue", "D"), "av1": ("green", "^"), "svt-av1": ("green", "^")}
_SPARE_LOOK = [("orange", "v"), ("purple", "P"), ("black", "X"), ("green", ">"), ("blue", "<"), ("sky", "p")]
_DASHES: Any = ("-", (0, (1, 1.2)), (0, (6, 1.5, 1, 1.5)), (0, (6, 1.5, 1, 1.5, 1, 1.5)))


@styled
def rate_quality(
    points: Sequence[RatePoint],
    *,
    ours: str = OURS,
    name: Callable[[RatePoint], str] = curve_name,
    quality: Quality = "psnr_db",
    title: str = "",
    size: tuple[float, float] = (6.4, 3.6),
    codecs: Sequence[str] = (),
) -> Picture:
    """Quality over rate, one curve per `name`; up and to the left is better.

    Filled markers were measured here; hollow ones on dashed lines were published by others.
    ours: the codec drawn in vermillion.  quality: points without it are left out.  size: [inches].
    codecs: names that take their colors first, to keep them in a series of figures.
    Raises ValueError if no point has that quality.
    """
    shown = [point for point in points if getattr(point, quality) is not None]
    if not shown:
        raise ValueError(
            f"points must hold at least one RatePoint with {quality}, got none; measure a codec first"
        )
    looks = _looks([*codecs, *(point.codec for point in points)], ours)
    found = curves(shown, name)
    figure = Picture(figsize=size, layout="constrained")
    axes = figure.subplots()
    strokes = _strokes(found)
    for text, curve in found.items():
        (color, marker), measured = looks[curve[0].codec], curve[0].measured
        axes.plot(
            [point.bpp for point in curve],
            [getattr(point, quality) for point in curve],
            linestyle=strokes[text],
            color=color,
            marker=marker,
            markerfacecolor=color if measured else "none",
            markersize=None if measured else 4.5,
            linewidth=None if measured else 1.1,
            zorder=4 if curve[0].codec == ours else 3,
        )
    label, _, _, least = _QUALITY[quality]
    values = [getattr(point, quality) for point in shown]
    pad = max(0.08 * (max(values) - min(values)), least / 2)
    axes.set(ylim=(min(values) - pad, max(values) + pad), ylabel=label, title=_short(title))
    _rate_axis(axes, [point.bpp for point in shown])
    ends = [(curve[-1].bpp, getattr(curve[-1], quality), _short(text)) for text, curve in found.items()]
    write_beside(axes, ends, lines=round(5 * size[1]), strong=_short(ours))
    figure.set_label(_rate_alt(found, quality))
    return figure


def _looks(codecs: Iterable[str], ours: str) -> dict[str, tuple[str, str]]:
    """Color and marker of each codec: ours vermillion circles, the others fixed or in turn."""
    spare = iter(_SPARE_LOOK * 8)
    found = {ours: ("vermillion", "o")}
    for codec in codecs:
        if codec not in found:
            found[codec] = _CODEC_LOOK.get(codec.lower()) or next(spare)
    return {codec: (PALETTE[color], marker) for codec, (color, marker) in found.items()}


def _strokes(found: Mapping[str, Sequence[RatePoint]]) -> dict[str, Any]:
    """Line style of each curve: dashed if published, else told apart by dots among curves of one codec."""
    strokes, seen = {}, dict.fromkeys((curve[0].codec for curve in found.values()), 0)
    for name, curve in sorted(found.items()):
        strokes[name] = _DASHES[seen[curve[0].codec] % len(_DASHES)] if curve[0].measured else "--"
        seen[curve[0].codec] += curve[0].measured
    return strokes


def _rate_axis(axes: Axes, rates: Sequence[float]) -> None:
    """Limits, ticks in plain numbers, and label of the logarithmic axis."""
    low, high = min(rates), max(rates)
    axes.set_xscale("log")
    axes.set_xlim(low / 1.35, high * 1.35)
    spans = {3: range(1, 10), 10: (1, 1.5, 2, 3, 5, 7)}  # high / low -> ticks that have room
    subs = next((subs for times, subs in spans.items() if high < times * low), (1, 2, 5))
    axes.xaxis.set_major_locator(LogLocator(subs=subs))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_xlabel("rate [bits per pixel], log scale")


def _short(text: str, longest: int = 70) -> str:
    """A name in one line, cut where it would not fit beside a chart."""
    text = printable(" ".join(text[: 4 * longest].split()))
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def _rate_alt(found: Mapping[str, Sequence[RatePoint]], quality: str) -> str:
    """The chart in words: the end points of every curve, best quality first."""
    _, unit, digits, _ = _QUALITY[quality]
    spoken = []
    for name, curve in sorted(found.items(), key=lambda item: -getattr(item[1][-1], quality)):
        ends = [curve[0], curve[-1]] if len(curve) > 1 else [curve[0]]
        said = (f"{getattr(p, quality):.{digits}f}{unit} at {p.bpp:.4g} bpp" for p in ends)
        spoken.append(f"{name}: {' to '.join(said)}")
    what = "dB RGB PSNR" if quality == "psnr_db" else "MS-SSIM"
    return f"Quality in {what} over rate in bits per pixel.  {'; '.join(spoken)}."


# --- labels -------------------------------------------------------------------------------------------


def write_beside(
    axes: Axes, labels: Sequence[tuple[float, float, str]], *, lines: int, strong: str = ""
) -> None:
    """Write (x, y, text) labels in a column right of the axes, spread so that none covers another.

    A thin line leads from each point to its label.
    lines: number of labels that fit into the height of the axes.  strong: the one label in bold.
    """
    ordered = sorted(labels, key=lambda label: label[1])
    axes.get_ylim()  # settles the limits, which the next line uses
    heights = [float((axes.transScale + axes.transLimits).transform((x, y))[1]) for x, y, _ in ordered]
    thin = {"arrowstyle": "-", "color": FAINT, "lw": 0.8, "shrinkA": 0}
    for (x, y, text), height in zip(ordered, _spread(heights, 1 / lines), strict=True):
        leader = axes.annotate(
            "", (x, y), (1.015, height), textcoords="axes fraction", arrowprops=thin, zorder=0
        )
        leader.set_annotation_clip(False)
        weight = "bold" if text == strong else "normal"
        axes.text(1.025, height, text, transform=axes.transAxes, va="center", fontweight=weight)


def _spread(values: Sequence[float], gap: float) -> list[float]:
    """Ascending values, moved as little as possible until neighbors are at least `gap` apart.

    Neighbors that collide are pooled around their common mean (pool adjacent violators).

    >>> _spread([0.0, 10.0, 10.0], 2.0)
    [0.0, 9.0, 11.0]
    """
    pools: list[tuple[float, int]] = []  # (sum of value - rank * gap, members)
    for rank, value in enumerate(values):
        total, members = value - rank * gap, 1
        while pools and pools[-1][0] / pools[-1][1] >= total / members:
            earlier = pools.pop()
            total, members = total + earlier[0], members + earlier[1]
        pools.append((total, members))
    flat = [total / members for total, members in pools for _ in range(members)]
    return [base + rank * gap for rank, base in enumerate(flat)]
