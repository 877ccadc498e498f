"""Published curves to show beside measured ones.

`results.published` has all 82; a figure has room for a few.  They cover all frames of UVG at 1920x1080, and
are shown only beside points of exactly those frames.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from coordflow_mini.measure.results import RatePoint, published


@dataclass(frozen=True)
class Anchor:
    """A published codec.  name: in `results.published`.  kind: of codec.  rate: what its bpp counts."""

    name: str
    kind: str
    rate: str


ANCHORS = (
    Anchor("SIEDD (RD curve)", "pixel-wise network", "weights quantized to 6 bits, counted by its authors"),
    Anchor("HiNeRV", "network from time and position to patches", "size of the file"),
    Anchor("C3 adaptive", "small network over learned grids", "estimated entropy, without a coder"),
    Anchor("VTM 17.0 RA", "H.266 reference software", "size of the file"),
    Anchor("x265 medium no-B", "H.265 encoder", "size of the file"),
    Anchor("NVP", "pixel-wise network over learned grids", "as in its paper; ShakeNDry only"),
)
"""Pixel-wise networks, the class of CoordFlow; the best-known networks of other classes; the best and the
most common of conventional codecs.  Only HiNeRV has MS-SSIM.  Left out: short re-runs by others
("(SIEDD table)"), values digitized from figures, and auto-encoders with an unknown color matrix."""

PIXELS = 1920 * 1080  # of a frame
_LONG = ("Beauty", "Bosphorus", "HoneyBee", "Jockey", "ReadySetGo", "YachtRide")
FRAMES = {**dict.fromkeys(_LONG, 600), "ShakeNDry": 300}
REACH = 2.0  # anchors are shown within this factor of the measured rates


def sequence(points: Sequence[RatePoint]) -> str | None:
    """The UVG sequence of measured points, if they cover all of its pixels, in BT.601; else None.

    The number of pixels follows from bytes and rate.
    """
    clips = {point.clip for point in points}
    name = next(iter(clips)).removeprefix("uvg:") if len(clips) == 1 else ""
    if name not in FRAMES or clips != {f"uvg:{name}"}:
        return None
    whole = FRAMES[name] * PIXELS
    covered = all(math.isclose(8 * point.bytes / point.bpp, whole, rel_tol=1e-6) for point in points)
    return name if covered and not any("matrix=bt709" in point.settings for point in points) else None


def whole_set(sequences: Iterable[str | None]) -> bool:
    """True for exactly the seven sequences of UVG, whose average may stand beside the published one."""
    return set(sequences) == FRAMES.keys()


def beside(name: str, points: Sequence[RatePoint]) -> tuple[RatePoint, ...]:
    """Published points of `ANCHORS` on a sequence, or "average", near the rates of the measured points."""
    low, high = min(point.bpp for point in points), max(point.bpp for point in points)
    known = [point for point in published(name) if low / REACH <= point.bpp <= high * REACH]
    return tuple(point for anchor in ANCHORS for point in known if point.codec == anchor.name)
