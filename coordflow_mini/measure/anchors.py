"""Published curves that may stand beside measured ones: which, when, and what their rates count.

`results.published` has all 82; a figure has room for a few.  They are about UVG at 1920x1080, all frames,
so they are shown only beside points of exactly those frames.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from coordflow_mini.measure.results import RatePoint, published

__all__ = ["ANCHORS", "Anchor", "beside", "sequence", "whole_set"]


@dataclass(frozen=True)
class Anchor:
    """One published codec.  name: in `results.published`.  kind: of codec.  rate: what its bpp counts."""

    name: str
    kind: str
    rate: str


ANCHORS = (
    Anchor("SIEDD (RD curve)", "pixel-wise network", "weights quantized to 6 bits, by its authors' count"),
    Anchor("HiNeRV", "network from time and position to patches", "size of the file"),
    Anchor("C3 adaptive", "small network over learned grids", "estimated entropy, no coder was run"),
    Anchor("VTM 17.0 RA", "H.266 reference software", "size of the file"),
    Anchor("x265 medium no-B", "H.265 encoder", "size of the file"),
    Anchor("NVP", "pixel-wise network over learned grids", "as in its paper; ShakeNDry alone"),
)
"""The pixel-wise class, to which CoordFlow belongs; the best known networks of other classes; and the two
ends of what everyday codecs do.  HiNeRV is the one of them with MS-SSIM.  Left out: short re-runs by others
("(SIEDD table)"), values digitized from figures, and auto-encoders whose color matrix is not known."""

PIXELS = 1920 * 1080  # of a frame
FRAMES = {
    "Beauty": 600,
    "Bosphorus": 600,
    "HoneyBee": 600,
    "Jockey": 600,
    "ReadySetGo": 600,
    "ShakeNDry": 300,
    "YachtRide": 600,
}
REACH = 2.0  # anchors are shown from the lowest measured rate / REACH to the highest x REACH


def sequence(points: Sequence[RatePoint]) -> str | None:
    """The UVG sequence that measured points of one clip are about, if they cover all of it, in BT.601.

    A record does not hold the frames, but its bytes and its rate give the number of pixels.
    """
    clips = {point.clip for point in points}
    name = next(iter(clips)).removeprefix("uvg:") if len(clips) == 1 else ""
    if name not in FRAMES or clips != {f"uvg:{name}"}:
        return None
    whole = FRAMES[name] * PIXELS
    covered = all(math.isclose(8 * point.bytes / point.bpp, whole, rel_tol=1e-6) for point in points)
    return name if covered and not any("matrix=bt709" in point.settings for point in points) else None


def whole_set(sequences: Iterable[str | None]) -> bool:
    """Whether these are all seven, and nothing else: then the published average may stand beside theirs."""
    return set(sequences) == FRAMES.keys()


def beside(name: str, points: Sequence[RatePoint]) -> tuple[RatePoint, ...]:
    """Points of `ANCHORS` on a sequence, or "average", near the rates of the measured points."""
    low, high = min(point.bpp for point in points), max(point.bpp for point in points)
    known = [point for point in published(name) if low / REACH <= point.bpp <= high * REACH]
    return tuple(point for anchor in ANCHORS for point in known if point.codec == anchor.name)
