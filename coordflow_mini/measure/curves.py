"""Rate-quality curves: which points belong together, what they are on average, how far two lie apart.

A curve is one codec with its settings on one clip.  Averages and differences are taken of what was
measured here; published points stay beside them.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import mean  # exact: the mean of equal numbers is that number

from coordflow_mini.measure import metrics
from coordflow_mini.measure.results import RatePoint

__all__ = [
    "AVERAGE",
    "OURS",
    "Average",
    "Comparison",
    "average",
    "by_clip",
    "compare",
    "curve_name",
    "curves",
]

OURS = "CoordFlow"
"""The codec that is compared with all others."""

AVERAGE = "average"
"""What stands in the place of a clip's name for the mean over clips."""

SAME_TARGET = 1.25
"""Files of one target rate are at most this times apart.

Ours end within 5 % below the target, x264 and x265 within a few percent (their sizes jump where a clip is
small); the targets of a sweep lie further apart, mostly at factors of two.
"""

USUAL_POINTS = 4  # of a curve in a BD-rate: VCEG-M33 fits a cubic through four


def curve_name(point: RatePoint) -> str:
    """What a rate point is called in plots and tables: its codec, with preset and tune where it has them.

    Points of one name are one curve; what moves along a curve (CRF, widths) is no part of the name.
    """
    words = point.settings.replace(",", " ").split()
    presets = [word.removeprefix("preset=") for word in words if word.startswith(("preset=", "tune="))]
    extras = ["4:4:4"] * ("yuv444p" in words) + ["accurate RGB"] * ("accurate RGB" in point.settings)
    return " ".join([point.codec, *presets, *extras])


def curves(
    points: Iterable[RatePoint], name: Callable[[RatePoint], str] = curve_name
) -> dict[str, list[RatePoint]]:
    """Points by curve, each in order of rate; measured and published ones never share a curve."""
    found: dict[str, list[RatePoint]] = {}
    for point in sorted(points, key=lambda point: point.bpp):
        found.setdefault(name(point) + " (published)" * (not point.measured), []).append(point)
    return found


def by_clip(points: Iterable[RatePoint]) -> dict[str, list[RatePoint]]:
    """Measured points by clip, clips in the order of their names."""
    found: dict[str, list[RatePoint]] = {}
    for point in points:
        if point.measured:
            found.setdefault(point.clip, []).append(point)
    return dict(sorted(found.items()))


# --- averages -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Average:
    """The mean over clips of every curve that all clips have.

    points: their clip is `AVERAGE`.  left_out: why a curve, or some points of one, are not in it, by name.
    """

    points: tuple[RatePoint, ...]
    left_out: Mapping[str, str]


def average(points: Iterable[RatePoint]) -> Average:
    """Mean rate and mean quality over clips at equal target rate, as the field averages UVG.

    The mean is taken over the files that were asked for the same rate, not at equal bpp by interpolation.
    Records do not hold their target, so the points of a curve are matched in order of rate: the lowest of
    each clip, the next of each, and so on.  A job that failed must not shift that order: files whose rates
    are more than `SAME_TARGET` apart had different targets, and one without partners is left out.
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


def _matched(members: Sequence[Sequence[RatePoint]]) -> list[tuple[RatePoint, ...]]:
    """Points of equal target, one of each curve; the curves ascend in rate."""
    places, groups = [0] * len(members), []
    while all(place < len(curve) for place, curve in zip(places, members, strict=True)):
        heads = tuple(curve[place] for place, curve in zip(places, members, strict=True))
        highest = max(head.bpp for head in heads)
        fits = [head.bpp * SAME_TARGET >= highest for head in heads]
        if all(fits):
            groups.append(heads)
            places = [place + 1 for place in places]
        else:  # the lowest have no partner: the others are beyond their target already
            places = [place + (not fit) for place, fit in zip(places, fits, strict=True)]
    return groups


def _mean(group: Sequence[RatePoint]) -> RatePoint:
    """The point in the middle of points of equal target; MS-SSIM only if all of them have it."""
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
        settings=_shared(group),
    )


def _shared(group: Sequence[RatePoint]) -> str:
    """The settings without what differs between the clips: preset and tune, but not CRF and widths."""
    words = [part.split() for part in group[0].settings.split(",")]
    others = [set(point.settings.replace(",", " ").split()) for point in group[1:]]
    kept = (" ".join(word for word in part if all(word in other for other in others)) for part in words)
    return ", ".join(filter(None, kept))


# --- differences --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Comparison:
    """How far one of our curves lies from that of another codec on one clip, or on `AVERAGE`.

    bd_rate_percent: negative, we need fewer bits.  bd_psnr_db: positive, we are better.  None where it
    cannot be computed.  reason: why a figure is missing, or what to bear in mind; "" where all is well.
    """

    clip: str
    curve: str
    against: str
    bd_rate_percent: float | None
    bd_psnr_db: float | None
    reason: str = ""


def compare(points: Iterable[RatePoint]) -> tuple[Comparison, ...]:
    """Every curve of ours against every other codec measured on the same clip.

    points: of one clip, or averages.
    """
    found = curves(point for point in points if point.measured)
    ours = [name for name, curve in found.items() if curve[0].codec == OURS]
    others = [name for name in found if name not in ours]
    return tuple(_comparison(found, mine, other) for mine in ours for other in sorted(others))


def _comparison(found: Mapping[str, Sequence[RatePoint]], mine: str, other: str) -> Comparison:
    """The differences of two curves, as far as they can be computed."""
    ours, theirs = found[mine], found[other]
    clip = ours[0].clip
    if trouble := _unfit(mine, ours) or _unfit(other, theirs):
        return Comparison(clip, mine, other, None, None, trouble)
    sides = [[[p.bpp for p in curve], [p.psnr_db for p in curve]] for curve in (theirs, ours)]
    rate = psnr = None
    reason = _few(mine, ours) or _few(other, theirs)
    try:
        rate = metrics.bd_rate(*sides[0], *sides[1])
    except ValueError as error:
        reason = "; ".join(filter(None, [reason, str(error)]))
    try:
        psnr = metrics.bd_psnr(*sides[0], *sides[1])
    except ValueError as error:
        reason = "; ".join(filter(None, [reason, str(error)]))
    return Comparison(clip, mine, other, rate, psnr, reason)


def _unfit(name: str, curve: Sequence[RatePoint]) -> str:
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


def _few(name: str, curve: Sequence[RatePoint]) -> str:
    """A word of caution about a curve of two or three points."""
    return f"{name} has {len(curve)} points; {USUAL_POINTS} are usual" if len(curve) < USUAL_POINTS else ""
