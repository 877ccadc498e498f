"""The page of `coordflow demo`: one coded clip with figures, pictures that move together, and other codecs.

Pictures are sprite sheets inside the page.  Without scripts they stand still at the first frame.
"""

from __future__ import annotations

import io
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from markupsafe import Markup
from PIL import Image

from coordflow_mini.measure.curves import curve_name
from coordflow_mini.measure.metrics import frame_psnr_db, ssim_scales
from coordflow_mini.measure.results import RatePoint, RunResult
from coordflow_mini.ops.files import replacing
from coordflow_mini.show.figure import to_data_uri, to_svg
from coordflow_mini.show.page import listing, number, render, signed
from coordflow_mini.show.plots import Panel, panels, rate_quality

if TYPE_CHECKING:  # a page needs no PyTorch
    from coordflow_mini.model import Rendering
    from coordflow_mini.video.clip import Video

__all__ = ["demo_page_html", "verdict", "write_demo_page"]

PICTURE_BYTES = 4_200_000  # of all sprite sheets together; base64 adds a third
SHEET_PIXELS = 12_000_000  # of one sheet: as much as phones decode
MOST_FRAMES = 240  # longer clips are shown every n-th frame
SAME_RATE = 1.02  # other codecs compete with at most this times our bytes


def write_demo_page(
    path: str | os.PathLike[str],
    result: RunResult,
    original: Video,
    decoded: Video,
    rendering: Rendering | None = None,
) -> Path:
    """Write the page of `demo_page_html`, whole or not at all, and return its path.

    Raises ValueError if the arguments do not belong together, OSError if the file cannot be written.
    """
    path = Path(path)
    text = demo_page_html(result, original, decoded, rendering)
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path


def demo_page_html(
    result: RunResult, original: Video, decoded: Video, rendering: Rendering | None = None
) -> str:
    """The page: verdict, figures, moving pictures, other codecs, protocol.

    rendering: adds color and alpha of each layer.
    Raises ValueError if the result was not measured on these frames.
    """
    shown = panels(original, decoded, rendering)
    film = _film(shown, original, decoded)
    _check_match(result, original, film)
    points = sorted([result.point, *result.references], key=lambda point: -point.psnr_db)
    return render(
        "demo_page.html.j2",
        result=result,
        verdict=verdict(result),
        film=film,
        panels=[
            {"title": panel.title, "uri": to_data_uri(sheet)}
            for panel, sheet in zip(shown, film.sheets, strict=True)
        ],
        points=points,
        best=_best(points, result.point),
        tolerance=round(100 * (SAME_RATE - 1)),
        plot=Markup(to_svg(rate_quality(points, ours=result.point.codec, size=(5.4, 3.3)))),
        protocol=_protocol(result, original, film),
    )


def _check_match(result: RunResult, original: Video, film: _Film) -> None:
    """Raises ValueError if the result was not measured on these frames: a page must not mix runs."""
    if tuple(result.shape) != original.frames.shape[:3]:
        raise ValueError(f"result is about a clip of {result.shape}, got frames {original.frames.shape[:3]}")
    found, said = sum(film.psnr_db) / len(film.psnr_db), result.point.psnr_db
    if len(film.frames) == original.time and abs(found - said) > 0.05:
        raise ValueError(
            f"result says {said:.2f} dB, but the decoded frames have {found:.2f} dB; "
            f"pass the frames that were measured"
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
    """Sprite sheets of all panels, and what the player needs to know about them."""

    sheets: tuple[bytes, ...]  # JPEG, one per panel
    jpeg: int  # quality of the sheets, 0 to 100
    frames: tuple[int, ...]  # indices shown
    psnr_db: tuple[float, ...]  # of each frame shown
    fps: float  # of the clip
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
        return self.columns * self.cell[0], -(-len(self.frames) // self.columns) * self.cell[1]

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
            "frames": ",".join(map(str, self.frames)),
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


def _film(shown: Sequence[Panel], original: Video, decoded: Video) -> _Film:
    """The panels as sprite sheets within the page's budget of bytes."""
    step = -(-original.time // MOST_FRAMES)
    frames = tuple(range(0, original.time, step))
    shrink = min(1.0, math.sqrt(SHEET_PIXELS / (len(frames) * original.height * original.width)))
    width, height = max(1, int(original.width * shrink)), max(1, int(original.height * shrink))
    columns = max(1, min(len(frames), round(math.sqrt(len(frames) * height / width))))
    quality = tuple(map(float, frame_psnr_db(original.frames[::step], decoded.frames[::step])))
    film = _Film((), 0, frames, quality, float(original.fps), width, height, columns)
    drawn = [_draw_sheet(panel, film) for panel in shown]
    for jpeg in (92, 88, 84, 78, 70, 60, 45, 30, 15):
        sheets = tuple(_jpeg(sheet, jpeg) for sheet in drawn)
        if sum(map(len, sheets)) <= PICTURE_BYTES:
            break
    return replace(film, sheets=sheets, jpeg=jpeg)


def _draw_sheet(panel: Panel, film: _Film) -> Image.Image:
    """All pictures of a panel in reading order, each with its edge repeated around it."""
    (across, down), gray = film.cell, panel.picture(0).ndim == 2
    sheet = Image.new("L" if gray else "RGB", film.size)
    border = [(1, down - film.height - 1), (1, across - film.width - 1)] + [(0, 0)] * (not gray)
    for index, frame in enumerate(film.frames):
        picture = Image.fromarray(panel.picture(frame))
        if picture.size != (film.width, film.height):
            picture = picture.resize((film.width, film.height), Image.Resampling.BOX)
        padded = Image.fromarray(np.pad(np.asarray(picture), border, mode="edge"))
        sheet.paste(padded, (index % film.columns * across, index // film.columns * down))
    return sheet


def _jpeg(sheet: Image.Image, quality: int) -> bytes:
    buffer = io.BytesIO()
    sheet.save(buffer, "JPEG", quality=quality, subsampling=0, optimize=True)
    return buffer.getvalue()


# --- protocol -----------------------------------------------------------------------------------------

_MATRIX = {
    "bt601": "YUV was converted to RGB by BT.601, limited range (FFmpeg's default for untagged video).",
    "bt709": "YUV was converted to RGB by BT.709, limited range, as the source is tagged.",
    "rgb": "The source is RGB.",
}


def _protocol(result: RunResult, original: Video, film: _Film) -> dict[str, str]:
    """What a critic must know to repeat the measurements."""
    part, every = original.selection, film.frames[1] if len(film.frames) > 1 else 1
    rest = dict.fromkeys(p.settings.partition(", ")[2] for p in result.references if p.measured)
    thinned = f", one frame in {every}" if every > 1 else ""
    return {
        "Quality": "PSNR and MS-SSIM in RGB on the decoded 8-bit frames, averaged over frames; "
        f"MS-SSIM over {ssim_scales(original.height, original.width)} scales.",
        "Rate": "8 × bytes / (frames × height × width), with the bytes of the whole file.",
        "Color": _MATRIX.get(original.matrix, original.matrix),
        "Frames": f"{part.start}:{part.stop}:{part.step} (start:stop:step) of the source at {part.width} × "
        f"{part.height} pixels and {film.fps:g} frames per second, resized by an area filter if needed.",
        "Other codecs": f"Raw streams of the same frames, without a container ({'; '.join(rest)})."
        if rest
        else "",
        "Pictures": f"Shown at {film.width} × {film.height} pixels, JPEG quality {film.jpeg}{thinned}, "
        "for viewing only. All figures come from the exact frames.",
        "Settings": result.point.settings,
        "Hardware": result.hardware,
        "Versions": ", ".join(f"{name} {version}" for name, version in result.versions.items()),
    }
