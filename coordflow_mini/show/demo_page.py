"""The page of `coordflow demo`: one coded clip with figures, pictures that move together, and other codecs.

Pictures are sprite sheets inside the page.  Without scripts they stand still at the first frame.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from coordflow_mini.measure.curves import curve_name
from coordflow_mini.measure.metrics import frame_psnr_db, ssim_scales
from coordflow_mini.measure.results import RatePoint, RunResult
from coordflow_mini.show.figure import to_data_uri, to_jpeg, to_svg
from coordflow_mini.show.page import listing, number, render, signed
from coordflow_mini.show.plots import Panel, panels, rate_quality

if TYPE_CHECKING:  # a page needs no PyTorch
    from coordflow_mini.render import Rendering
    from coordflow_mini.video.clip import Video

JPEG_QUALITY = 84  # of the pictures; keeps the page of the demo below 6 MB
SAME_RATE = 1.02  # other codecs compete with at most this times our bytes


def demo_page_html(
    result: RunResult, original: Video, decoded: Video, rendering: Rendering | None = None
) -> str:
    """The page: verdict, figures, moving pictures, other codecs, protocol.

    original, decoded: the frames that the result was measured on, short and small: all go into the page.
    rendering: adds color and alpha of each layer.
    """
    shown = panels(original, decoded, rendering)
    film = _film(original, decoded)
    points = sorted([result.point, *result.references], key=lambda point: -point.psnr_db)
    return render(
        "demo_page.html.j2",
        result=result,
        verdict=verdict(result),
        film=film,
        panels=[{"title": panel.title, "uri": to_data_uri(_sheet(panel, film))} for panel in shown],
        points=points,
        best=_best(points, result.point),
        tolerance=round(100 * (SAME_RATE - 1)),
        plot=to_svg(rate_quality(points, ours=result.point.codec, size=(5.4, 3.3))),
        original=original,
        scales=ssim_scales(original.height, original.width),
        streams=dict.fromkeys(p.settings.partition(", ")[2] for p in result.references if p.measured),
    )


# --- comparison ---------------------------------------------------------------------------------------


def verdict(result: RunResult) -> str:
    """The result in a sentence or two; losses are stated as plainly as wins."""
    ours = result.point
    start = f"{number(ours.psnr_db)} dB from a file of {ours.bytes:,} bytes."
    rivals = sorted((p for p in result.references if _competes(p, ours)), key=lambda p: p.psnr_db)
    if not rivals:
        return f"{start} No other codec was measured at this rate."
    gaps = [ours.psnr_db - rival.psnr_db for rival in rivals]
    named = [
        f"{curve_name(rival)} ({signed(gap)}\N{NO-BREAK SPACE}dB)"
        for rival, gap in zip(rivals, gaps, strict=True)
    ]
    wins = sum(gap >= 0 for gap in gaps)  # the rivals ascend, so the wins come first
    parts = [f"ahead of {listing(named[:wins])}"] if wins else []
    parts += [f"behind {listing(named[wins:])}"] if wins < len(named) else []
    return f"{start} That is {' and '.join(parts)}."


def _competes(point: RatePoint, ours: RatePoint) -> bool:
    return point is ours or (point.measured and point.bytes <= SAME_RATE * ours.bytes)


def _best(points: Sequence[RatePoint], ours: RatePoint) -> set[tuple[RatePoint, str]]:
    """Points that no competing one beats, each with the name of the quality."""
    contest = [point for point in points if _competes(point, ours)]
    best = set()
    for field in ("psnr_db", "ms_ssim"):
        known = [value for point in contest if (value := getattr(point, field)) is not None]
        best |= {(point, field) for point in contest if known and getattr(point, field) == max(known)}
    return best if len(contest) > 1 else set()


# --- moving pictures ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Film:
    """What the player needs to know about the sprite sheets, one per panel."""

    psnr_db: tuple[float, ...]  # of each frame
    fps: float
    width: int  # of one picture [pixels]
    height: int
    columns: int  # pictures in a row of a sheet

    @property
    def cell(self) -> tuple[int, int]:
        """Width and height of a picture with its border, in whole JPEG blocks so that none bleeds."""
        return -(-(self.width + 2) // 8) * 8, -(-(self.height + 2) // 8) * 8

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of a sheet [pixels]."""
        return self.columns * self.cell[0], -(-len(self.psnr_db) // self.columns) * self.cell[1]

    @property
    def _percent(self) -> tuple[float, float]:
        """CSS places a background in percent of the room left over: percent per pixel, across and down."""
        return 100 / (self.size[0] - self.width), 100 / (self.size[1] - self.height)

    @property
    def data(self) -> dict[str, str]:
        """Data attributes for the script."""
        (across, down), (x, y) = self.cell, self._percent
        return {
            "columns": str(self.columns),
            "across": f"{across * x:.9g}",
            "down": f"{down * y:.9g}",
            "fps": f"{self.fps:.6g}",
            "psnr": ",".join(f"{value:.2f}" for value in self.psnr_db),
        }

    @property
    def style(self) -> str:
        """CSS variables that show the first picture; in percent, so the page may have any width."""
        (x, y), (wide, high) = self._percent, self.size
        size = f"{100 * wide / self.width:.6g}% {100 * high / self.height:.6g}%"
        return f"--x:{x:.9g}%;--y:{y:.9g}%;--size:{size};--w:{self.width};--h:{self.height}"

    @property
    def span(self) -> str:
        """The range of PSNRs in words."""
        return f"PSNR per frame: {min(self.psnr_db):.2f} to {max(self.psnr_db):.2f} dB"

    @property
    def sparkline(self) -> str:
        """PSNR over frames as points of a polyline, 1000 wide and 34 high."""
        values = np.array(self.psnr_db)
        low, high = values.min(), values.max()
        span = max(high - low, 1.0)  # or the noise of an even clip would look significant
        heights = 17 - 26 * (values - (low + high) / 2) / span
        last = max(1, len(values) - 1)
        return " ".join(f"{1000 * i / last:.1f},{y:.1f}" for i, y in enumerate(heights))


def _film(original: Video, decoded: Video) -> _Film:
    """The layout of sheets that are about as wide as high."""
    columns = max(1, round(math.sqrt(original.time * original.height / original.width)))
    quality = tuple(map(float, frame_psnr_db(original.frames, decoded.frames)))
    size = original.width, original.height, min(columns, original.time)
    return _Film(quality, float(original.fps), *size)


def _sheet(panel: Panel, film: _Film) -> bytes:
    """JPEG of a panel's pictures in reading order, each with its edge repeated around it."""
    (across, down), gray = film.cell, panel.picture(0).ndim == 2
    sheet = Image.new("L" if gray else "RGB", film.size)
    border = [(1, down - film.height - 1), (1, across - film.width - 1)] + [(0, 0)] * (not gray)
    for frame in range(panel.time):
        padded = Image.fromarray(np.pad(panel.picture(frame), border, mode="edge"))
        sheet.paste(padded, (frame % film.columns * across, frame // film.columns * down))
    return to_jpeg(np.asarray(sheet), quality=JPEG_QUALITY)
