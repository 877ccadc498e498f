"""Rate-quality curves: which points belong together, their average over clips, their distances.

A curve is one codec with its settings on one clip.  Only measured points are averaged and compared.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import mean  # exact: the mean of equal numbers is that number

from coordflow_mini.measure import metrics
from coordflow_mini.measure.results import RatePoint

OURS = "CoordFlow"
"""The codec that is compared with all others."""

AVERAGE = "average"
"""The clip of points that are means over clips."""

SAME_TARGET = 1.25
"""Rates of files with one target differ by at most this factor.

Ours end within 5 % below the target, x264 and x265 within a few percent; the targets of a sweep lie further
apart, mostly at factors of two.
"""

USUAL_POINTS = 4  # of a curve in a BD-rate: VCEG-M33 fits a cubic through four


def curve_name(point: RatePoint) -> str:
    """The codec with preset and tune, as in plots and tables; points of one name are one curve.

    Settings that vary along a curve (CRF, width) are not part of the name.
    """
    words = point.settings.replace(",", " ").split()
    presets = [word.removeprefix("preset=") for word in words if word.startswith(("preset=", "tune="))]
    extras = ["4:4:4"] * ("yuv444p" in words) + ["accurate RGB"] * ("accurate RGB" in point.settings)
    return " ".join([point.codec, *presets, *extras])


def curves(
    points: Iterable[RatePoint], name: Callable[[RatePoint], str] = curve_name
) -> dict[str, list[RatePoint]]:
    """Points by curve, each in order of rate; measured and published points never share a curve."""
    found: dict[str, list[RatePoint]] = {}
    for point in sorted(points, key=lambda point: point.bpp):
        found.setdefault(name(point) + " (published)" * (not point.measured), []).append(point)
    return found


def by_clip(points: Iterable[RatePoint]) -> dict[str, list[RatePoint]]:
    """Measured points by clip, sorted by the names of the clips."""
    found: dict[str, list[RatePoint]] = {}
    for point in points:
        if point.measured:
            found.setdefault(point.clip, []).append(point)
    return dict(sorted(found.items()))


# --- averages -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Average:
    """The mean over clips of every curve that all clips have.

    points: their clip is `AVERAGE`.  left_out: curve -> why it, or some of its points, are missing.
    """

    points: tuple[RatePoint, ...]
    left_out: Mapping[str, str]


def average(points: Iterable[RatePoint]) -> Average:
    """Mean rate and mean quality over clips at equal target rate, as the field averages UVG.

    Points do not know their target, so those of a curve are matched in order of rate: the lowest of each
    clip, the next of each, and so on.  A failed job must not shift that order: rates more than `SAME_TARGET`
    apart had different targets, and a point without partners is left out.
    """
    clips = {clip: curves(found) for clip, found in by_clip(points).items()}
    means: list[RatePoint] = []
    left_out: dict[str, str] = {}
    for name in dict.fromkeys(name for found in clips.values() for name in found):
        missing = [clip for clip, found in clips.items() if name not in found]
        if missing:
            left_out[name] = f"nothing measured on {', '.join(missing)}"
            continue
        groups = _matched([found[name] for found in clips.values()])
        means += map(_mean, groups)
        longest = max(len(found[name]) for found in clips.values())
        if len(groups) < longest:
            left_out[name] = f"only {len(groups)} of {longest} rates were measured on all clips"
    return Average(tuple(means), left_out)


def _matched(members: Sequence[Sequence[RatePoint]]) -> list[list[RatePoint]]:
    """Points of equal target, one of each curve; the curves ascend in rate."""
    queues, groups = [list(curve) for curve in members], []
    while all(queues):
        heads = [queue[0] for queue in queues]
        highest = max(head.bpp for head in heads)
        alone = [queue for queue in queues if queue[0].bpp * SAME_TARGET < highest]
        if not alone:
            groups.append(heads)
        for queue in alone or queues:  # the lowest have no partner: the others are beyond their target
            del queue[0]
    return groups


def _mean(group: Sequence[RatePoint]) -> RatePoint:
    """The mean of points with equal target; MS-SSIM only if all have it."""
    ssims = [point.ms_ssim for point in group if point.ms_ssim is not None]
    return RatePoint(
        codec=group[0].codec,
        clip=AVERAGE,
        bytes=round(mean(point.bytes for point in group)),
        bpp=mean(point.bpp for point in group),
        psnr_db=mean(point.psnr_db for point in group),
        ms_ssim=mean(ssims) if len(ssims) == len(group) else None,
        encode_seconds=mean(point.encode_seconds for point in group),
        decode_seconds=mean(point.decode_seconds for point in group),
        settings=shared_settings(group),
    )


def shared_settings(group: Sequence[RatePoint]) -> str:
    """Settings common to all points: preset and tune, but not CRF and widths."""
    words = [part.split() for part in group[0].settings.split(",")]
    others = [set(point.settings.replace(",", " ").split()) for point in group[1:]]
    kept = (" ".join(word for word in part if all(word in other for other in others)) for part in words)
    return ", ".join(filter(None, kept))


# --- differences --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Comparison:
    """The distance of one of our curves from another codec's, on one clip or on `AVERAGE`.

    bd_rate_percent: negative if we need fewer bits.  bd_psnr_db: positive if we are better.
    Either is None if it cannot be computed.  reason: why, or a caution; "" if there is none.
    """

    clip: str
    curve: str
    against: str
    bd_rate_percent: float | None
    bd_psnr_db: float | None
    reason: str = ""


def compare(points: Iterable[RatePoint]) -> tuple[Comparison, ...]:
    """Comparisons of each of our curves with every other codec measured on the same clip.

    points: of one clip, or averages.
    """
    found = curves(point for point in points if point.measured)
    ours = [name for name, curve in found.items() if curve[0].codec == OURS]
    others = [name for name in found if name not in ours]
    return tuple(_comparison(found, mine, other) for mine in ours for other in sorted(others))


def _comparison(found: Mapping[str, Sequence[RatePoint]], mine: str, other: str) -> Comparison:
    pair = [(other, found[other]), (mine, found[mine])]
    clip = found[mine][0].clip
    if flaws := [flaw for name, curve in reversed(pair) if (flaw := _flaw(name, curve))]:
        return Comparison(clip, mine, other, None, None, flaws[0])
    axes = [axis for _, curve in pair for axis in ([p.bpp for p in curve], [p.psnr_db for p in curve])]
    few = [(name, len(curve)) for name, curve in reversed(pair) if len(curve) < USUAL_POINTS]
    reasons = [f"{name} has {count} points; {USUAL_POINTS} are usual" for name, count in few[:1]]
    differences: list[float | None] = []
    for measure in (metrics.bd_rate, metrics.bd_psnr):
        try:
            differences.append(measure(*axes))
        except ValueError as error:
            differences.append(None)
            reasons.append(str(error))
    return Comparison(clip, mine, other, differences[0], differences[1], "; ".join(reasons))


def _flaw(name: str, curve: Sequence[RatePoint]) -> str:
    """Why a curve has no BD-rate at all, or ""."""
    if len(curve) < 2:
        return f"{name} has one point, and a curve needs two or more"
    for low, high in pairwise(curve):
        if not (low.bpp < high.bpp and low.psnr_db < high.psnr_db):
            return (
                f"{name} does not rise: {low.psnr_db:.2f} dB at {low.bpp:.4g} bpp, "
                f"{high.psnr_db:.2f} dB at {high.bpp:.4g} bpp"
            )
    return ""
