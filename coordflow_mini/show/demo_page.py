"""One web page about one coded clip: figures, pictures that move in step, and how it was measured.

The page is a single file that loads nothing: pictures are sprite sheets inside it, and a content
security policy forbids everything else, so it can be mailed, archived and opened years later.  It is
readable without scripts (the pictures then stand still at the first frame), on a phone and in the dark.
"""

from __future__ import annotations  # records are named, not loaded: a report needs no PyTorch

import html
import io
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from coordflow_mini.measure.curves import curve_name
from coordflow_mini.measure.metrics import frame_psnr_db, ssim_scales
from coordflow_mini.ops.files import replacing
from coordflow_mini.show.figure import to_data_uri, to_svg
from coordflow_mini.show.page import listing, number, page, protocol, seconds, signed
from coordflow_mini.show.plots import Panel, panels, rate_quality

if TYPE_CHECKING:
    from coordflow_mini.measure.results import RatePoint, RunResult
    from coordflow_mini.model import Rendering
    from coordflow_mini.video.clip import Video

__all__ = ["report_html", "write_report"]

PICTURE_BYTES = 4_200_000  # of all sprite sheets together; base64 makes a third more of it
SHEET_PIXELS = 12_000_000  # per sheet: what a phone still decodes
MOST_FRAMES = 240  # more than a slider can tell apart; longer clips are shown every n-th frame
SAME_RATE = 1.02  # a reference with more bytes than this times ours is no fair comparison


def write_report(
    path: str | os.PathLike[str],
    result: RunResult,
    original: Video,
    decoded: Video,
    rendering: Rendering | None = None,
    *,
    gain: float = 5,
) -> Path:
    """The path of the page just written; see `report_html` for what is in it.

    Written beside and moved into place, so that no reader ever meets half a page.
    Raises ValueError if the parts do not belong together, OSError if the place cannot be written.
    """
    path = Path(path)
    text = report_html(result, original, decoded, rendering, gain=gain)
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path


def report_html(
    result: RunResult,
    original: Video,
    decoded: Video,
    rendering: Rendering | None = None,
    *,
    gain: float = 5,
) -> str:
    """The whole page as text: verdict, figures, pictures that scrub, codecs side by side, protocol.

    rendering: gives the layers' colors and alpha maps; without it only the clip is shown.
    gain: by how much the error picture is brightened.
    Raises ValueError if the figures were not measured on these frames.
    """
    shown = panels(original, decoded, rendering, gain=gain)
    film = _film(shown, original, decoded)
    _check_belongs(result, original, film)
    body = f"""{_head(result)}
{_tiles(result)}
{_player(shown, film, result.clip)}
{_codecs(result)}
{_protocol(result, original, film)}"""
    return page(f"{result.clip} · CoordFlow report", body, style=_STYLE, script=_SCRIPT)


def _check_belongs(result: RunResult, original: Video, film: _Film) -> None:
    """Raises ValueError if the figures were not measured on these frames: a report must not mix runs."""
    if tuple(result.shape) != original.frames.shape[:3]:
        raise ValueError(f"result is about a clip of {result.shape}, got frames {original.frames.shape[:3]}")
    seen, said = sum(film.psnr_db) / len(film.psnr_db), result.point.psnr_db
    if len(film.frames) == original.time and abs(seen - said) > 0.05:
        raise ValueError(
            f"result says {said:.2f} dB, but the decoded frames have {seen:.2f} dB; "
            f"pass the very frames that were measured"
        )


# --- words and numbers --------------------------------------------------------------------------------


def _fair(point: RatePoint, ours: RatePoint) -> bool:
    """Whether a reference may be compared in dB: measured here, on no more than our bytes."""
    return point.measured and point.bytes <= SAME_RATE * ours.bytes


def _verdict(result: RunResult) -> str:
    """The result in a sentence or two, losses named like wins."""
    ours = result.point
    start = f"{number(ours.psnr_db)} dB from a file of {ours.bytes:,} bytes."
    rivals = sorted((p for p in result.references if _fair(p, ours)), key=lambda p: p.psnr_db)
    if not rivals:
        return f"{start} No reference codec was measured at this rate."
    gaps = [ours.psnr_db - rival.psnr_db for rival in rivals]
    named = [
        f"{curve_name(rival)} ({signed(gap)}\N{NO-BREAK SPACE}dB)"
        for rival, gap in zip(rivals, gaps, strict=True)
    ]
    wins = sum(gap >= 0 for gap in gaps)  # the rivals ascend, so the wins come first
    parts = [f"ahead of {listing(named[:wins])}"] if wins else []
    parts += [f"behind {listing(named[wins:])}"] if wins < len(named) else []
    return f"{start} That is {', and '.join(parts)}."


def _head(result: RunResult) -> str:
    return f"""<header>
<p class="eyebrow">CoordFlow report</p>
<h1>{html.escape(result.clip)}</h1>
<p class="lede">{html.escape(_verdict(result))}</p>
</header>"""


def _tiles(result: RunResult) -> str:
    """The run's own figures, one tile each."""
    ours, (time, height, width) = result.point, result.shape
    lost = ours.psnr_db - result.unquantized_psnr_db
    pace = f"{time / ours.decode_seconds:,.0f} frames/s" if ours.decode_seconds else ""
    tiles = [
        ("PSNR", number(ours.psnr_db), "dB", "RGB, mean over frames"),
        ("MS-SSIM", number(ours.ms_ssim, 4), "", "1 is equal"),
        ("Rate", f"{ours.bpp:.4f}", "bpp", f"1 : {24 / ours.bpp:,.0f} of raw RGB"),
        ("File", f"{ours.bytes:,}", "bytes", f"{time} frame{'s' * (time > 1)}, {width} × {height}"),
        ("Weights", f"{result.parameters:,}", "parameters", f"{result.bits_per_weight:.2f} bits each"),
        ("Quantization", signed(lost), "dB", "against the unquantized weights"),
        ("Encode", seconds(ours.encode_seconds), "s", "fit, fine-tune, write, check"),
        ("Decode", seconds(ours.decode_seconds), "s", pace),
    ]
    cells = "".join(
        f"<div><dt>{name}</dt><dd><b>{value}</b> {unit}<small>{note}</small></dd></div>\n"
        for name, value, unit, note in tiles
    )
    return f'<dl class="tiles" aria-label="Figures of this run">\n{cells}</dl>'


# --- moving pictures ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Film:
    """Sprite sheets of all panels and what a player must know about them."""

    sheets: tuple[bytes, ...]  # JPEG, one per panel, in order
    jpeg: int  # quality of the sheets, 0 to 100
    frames: tuple[int, ...]  # indices shown
    psnr_db: tuple[float, ...]  # of each frame shown
    fps: float  # of the clip
    width: int  # of one picture [pixels]
    height: int
    columns: int  # pictures in a row of a sheet

    @property
    def rows(self) -> int:
        """Rows of pictures in a sheet."""
        return -(-len(self.frames) // self.columns)

    @property
    def cell(self) -> tuple[int, int]:
        """Width and height from one picture to the next: a border and whole JPEG blocks, so none bleeds."""
        return -(-(self.width + 2) // 8) * 8, -(-(self.height + 2) // 8) * 8


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
    """All pictures of a panel in one, in reading order, each with its edge repeated around it."""
    (across, down), gray = film.cell, panel.picture(0).ndim == 2
    sheet = Image.new("L" if gray else "RGB", (film.columns * across, film.rows * down))
    border = [(1, down - film.height - 1), (1, across - film.width - 1)] + [(0, 0)] * (not gray)
    for place, frame in enumerate(film.frames):
        picture = Image.fromarray(panel.picture(frame))
        if picture.size != (film.width, film.height):
            picture = picture.resize((film.width, film.height), Image.Resampling.BOX)
        padded = Image.fromarray(np.pad(np.asarray(picture), border, mode="edge"))
        sheet.paste(padded, (place % film.columns * across, place // film.columns * down))
    return sheet


def _jpeg(sheet: Image.Image, quality: int) -> bytes:
    buffer = io.BytesIO()
    sheet.save(buffer, "JPEG", quality=quality, subsampling=0, optimize=True)
    return buffer.getvalue()


def _player(shown: Sequence[Panel], film: _Film, clip: str) -> str:
    """The section with all panels, moved by one slider."""
    screens = [_screen(panel, sheet, clip) for panel, sheet in zip(shown, film.sheets, strict=True)]
    pairs = [f'<div class="pair">{"".join(screens[i : i + 2])}</div>' for i in range(3, len(screens), 2)]
    last = len(film.frames) - 1
    still = " disabled" * (last == 0)
    return f"""<section id="player" aria-labelledby="frames" {_geometry(film)}>
<h2 id="frames">Frame by frame</h2>
<div class="controls">
{_sparkline(film)}
<button type="button" id="play" aria-label="Play"{still}><span aria-hidden="true">▶</span></button>
<input type="range" id="frame" min="0" max="{last}" step="1" value="0" aria-label="Frame"{still}>
<output for="frame" id="now" aria-live="off">frame 0 · 0.00 s · {film.psnr_db[0]:.2f} dB</output>
</div>
<noscript><p class="note">Scripts are off, so the pictures stand still at the first frame.
In JupyterLab, choose “Trust HTML”.</p></noscript>
<div class="clip">{"".join(screens[:3])}</div>
{f'<h3>Layers</h3><div class="layers">{"".join(pairs)}</div>' if pairs else ""}
<p class="note">Arrow keys step, the space bar plays.  Alpha: white where a layer is seen, black where it is
hidden.  Error: mean difference over RGB, brightened; black is equal.</p>
</section>"""


def _geometry(film: _Film) -> str:
    """Attributes that tell style and script where each picture lies in its sheet.

    CSS wants a background's place in percent of the room that is left over, its size in percent of the
    screen; so the pictures stay whole at any width of the page.
    """
    (across, down), (wide, high) = film.cell, (film.width, film.height)
    total = film.columns * across, film.rows * down
    x, y = 100 / (total[0] - wide), 100 / (total[1] - high)
    size = f"{100 * total[0] / wide:.6g}% {100 * total[1] / high:.6g}%"
    data = {
        "columns": film.columns,
        "across": f"{across * x:.9g}",
        "down": f"{down * y:.9g}",
        "fps": f"{film.fps:.6g}",
        "frames": ",".join(map(str, film.frames)),
        "psnr": ",".join(f"{value:.2f}" for value in film.psnr_db),
    }
    pairs = " ".join(f'data-{name}="{value}"' for name, value in data.items())
    return f'{pairs} style="--x:{x:.9g}%;--y:{y:.9g}%;--size:{size};--w:{wide};--h:{high}"'


def _screen(panel: Panel, sheet: bytes, clip: str) -> str:
    title, alt = html.escape(panel.title), html.escape(f"{clip}: {panel.title}")
    return (
        f'<figure><figcaption>{title}</figcaption>\n<div class="screen" role="img" aria-label="{alt}" '
        f"style=\"background-image:url('{to_data_uri(sheet)}')\"></div></figure>\n"
    )


def _sparkline(film: _Film) -> str:
    """PSNR over frames as a line above the slider, with a mark that follows it."""
    values = np.array(film.psnr_db)
    if len(values) < 2:
        return ""
    low, high = values.min(), values.max()
    span = max(high - low, 1.0)  # or the noise of an even clip would look like news
    heights = 17 - 26 * (values - (low + high) / 2) / span
    points = " ".join(f"{1000 * i / (len(values) - 1):.1f},{y:.1f}" for i, y in enumerate(heights))
    words = f"PSNR per frame: {low:.2f} to {high:.2f} dB"
    return (
        f'<svg class="spark" viewBox="0 0 1000 34" preserveAspectRatio="none" role="img" '
        f'aria-label="{words}"><polyline points="{points}"/>'
        f'<line id="mark" x1="0" x2="0" y1="0" y2="34"/></svg>\n<small>{words}</small>'
    )


# --- codecs -------------------------------------------------------------------------------------------


def _codecs(result: RunResult) -> str:
    """Table and plot of this run among the reference codecs."""
    ours = result.point
    points = sorted([ours, *result.references], key=lambda point: -point.psnr_db)
    contest = [point for point in points if point is ours or _fair(point, ours)]
    ahead = f"{html.escape(ours.codec)} ahead by [dB]"
    heads = ["Codec", "PSNR [dB]", ahead, "MS-SSIM", "Bytes", "Rate [bits/pixel]", "Encode [s]", "Decode [s]"]
    columns = "".join(f'<th scope="col">{head}</th>' for head in heads)
    return f"""<section aria-labelledby="codecs">
<h2 id="codecs">Beside other codecs</h2>
<p class="note">Best PSNR first.  “Best” counts what was measured here on no more than our bytes
(+{100 * (SAME_RATE - 1):.0f}&nbsp;%).</p>
<div class="scroll" role="region" aria-label="Table of codecs" tabindex="0"><table aria-labelledby="codecs">
<thead><tr>{columns}</tr></thead>
<tbody>
{"".join(_row(point, ours, contest) for point in points)}</tbody>
</table></div>
<figure class="scroll plot" role="region" aria-label="Rate and quality" tabindex="0">
{to_svg(rate_quality(points, ours=ours.codec, size=(5.4, 3.3)))}
</figure>
</section>"""


def _row(point: RatePoint, ours: RatePoint, contest: Sequence[RatePoint]) -> str:
    cells = [
        _best(point, contest, "psnr_db", 2),
        "" if point is ours else signed(ours.psnr_db - point.psnr_db),
        _best(point, contest, "ms_ssim", 4),
        _more(point, ours) + number(point.bytes or None, 0),
        f"{point.bpp:.4f}",
        seconds(point.encode_seconds),
        seconds(point.decode_seconds),
    ]
    row = "".join(f"<td>{cell}</td>" for cell in cells)
    name = f"{html.escape(curve_name(point))} <small>{html.escape(_detail(point))}</small>"
    return f'<tr{" class=ours" * (point is ours)}><th scope="row">{name}</th>{row}</tr>\n'


def _detail(point: RatePoint) -> str:
    """What the settings say beyond the codec's name, in few words; of a published point, its source."""
    words = point.settings.split(",")[0].split()
    rest = " ".join(word for word in words if not word.startswith(("preset=", "tune=")))
    return rest if point.measured else f"published: {point.source}"


def _best(point: RatePoint, contest: Sequence[RatePoint], field: str, digits: int) -> str:
    """A figure, marked if no comparable one is better."""
    value = getattr(point, field)
    known = [getattr(rival, field) for rival in contest if getattr(rival, field) is not None]
    won = len(contest) > 1 and point in contest and value is not None and value == max(known)
    return '<span class="best">best</span> ' * won + number(value, digits)


def _more(point: RatePoint, ours: RatePoint) -> str:
    """By how much the bytes differ from ours, where that is worth a word."""
    percent = 100 * (point.bytes / max(ours.bytes, 1) - 1)
    return f"<small>{signed(percent, 0)} %</small> " if point.bytes and abs(percent) >= 0.5 else ""


# --- protocol -----------------------------------------------------------------------------------------

_MATRIX = {
    "bt601": "YUV became RGB by BT.601, limited range (ffmpeg's default for untagged video).",
    "bt709": "YUV became RGB by BT.709, limited range, as the source is tagged.",
    "rgb": "The source was RGB already.",
}


def _protocol(result: RunResult, original: Video, film: _Film) -> str:
    """What a critic must know to repeat the figures."""
    part, every = original.selection, film.frames[1] if len(film.frames) > 1 else 1
    rest = dict.fromkeys(p.settings.partition(", ")[2] for p in result.references if p.measured)
    thinned = f", one frame in {every}" if every > 1 else ""
    entries = {
        "Quality": "PSNR in RGB on the 8-bit frames decoded from the file: per frame, then the mean over "
        f"frames. MS-SSIM likewise, over {ssim_scales(original.height, original.width)} scales.",
        "Rate": "Size of the real file with header and checksums: 8 × bytes / (frames × height × width).",
        "Color": _MATRIX.get(original.matrix, original.matrix),
        "Frames": f"{part.start}:{part.stop}:{part.step} (start:stop:step) of the source at {part.width} × "
        f"{part.height} pixels, {film.fps:g} frames per second; resizing, if any, by an area filter.",
        "References": f"The same frames, as streams without a container ({'; '.join(rest)})." if rest else "",
        "Pictures": f"On this page {film.width} × {film.height} pixels, JPEG quality {film.jpeg}{thinned}: "
        "for the eye. All figures come from the exact frames.",
        "Settings": result.point.settings,
        "Hardware": result.hardware,
        "Versions": ", ".join(f"{name} {version}" for name, version in result.versions.items()),
    }
    return protocol(entries)


_STYLE = """
.tiles { display: grid; grid-template-columns: repeat(4, 1fr); gap: 1px; margin: 2rem 0 0;
  background: var(--faint); border: 1px solid var(--faint); border-radius: .5rem; overflow: hidden; }
.tiles > div { background: var(--paper); padding: .75rem 1rem; }
.tiles dt { color: var(--soft); font-size: .8125rem; }
.tiles dd { margin: 0; }
.tiles b { font-size: 1.375rem; font-weight: 600; letter-spacing: -.01em; }
.tiles small { display: block; }
.controls { position: sticky; top: 0; z-index: 1; display: grid; grid-template-columns: auto 1fr 15rem;
  align-items: center; column-gap: .75rem; padding: .5rem 0; background: var(--paper); }
.controls button { width: 2.75rem; height: 2.75rem; border: 1px solid var(--faint); border-radius: 50%;
  background: var(--card); color: var(--ink); font-size: 1rem; cursor: pointer; }
:disabled { opacity: .4; }
.controls input { width: 100%; height: 2.75rem; margin: 0; accent-color: var(--vermillion); }
.controls output, .controls small { text-align: right; }
.spark { grid-column: 2; width: calc(100% - 16px); margin: 0 8px; height: 2.25rem; }
.spark polyline { fill: none; stroke: var(--soft); stroke-width: 1.25; vector-effect: non-scaling-stroke; }
.spark line { stroke: var(--vermillion); stroke-width: 1.5; vector-effect: non-scaling-stroke; }
.clip { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 16rem), 1fr)); gap: 1rem; }
.layers { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 24rem), 1fr)); gap: 1rem; }
.pair { display: grid; grid-template-columns: 1fr 1fr; gap: .5rem; }
.screen { aspect-ratio: var(--w) / var(--h); max-width: calc(60vh * var(--w) / var(--h));
  border-radius: .25rem; outline: 1px solid var(--faint);
  background: var(--x) var(--y) / var(--size) no-repeat; }
.best { font-size: .75rem; border: 1px solid currentColor; border-radius: 1rem; padding: 0 .4rem; }
@media (max-width: 40rem) {
  .tiles { grid-template-columns: 1fr 1fr; }
  .controls { grid-template-columns: auto 1fr; }
  .controls small { grid-column: 2; grid-row: 1; text-align: left; margin-left: 8px; }
  .controls output { grid-column: 1 / -1; text-align: left; }
}
@media print { .controls { position: static; } .controls button, .controls input { display: none; } }
"""

_SCRIPT = """
const player = document.getElementById("player"), slider = document.getElementById("frame");
const button = document.getElementById("play"), now = document.getElementById("now");
const mark = document.getElementById("mark"), data = player.dataset;
const frames = data.frames.split(",").map(Number), psnr = data.psnr.split(",");
const corner = ["--x", "--y"].map(name => parseFloat(player.style.getPropertyValue(name)));
const last = frames.length - 1, fps = Number(data.fps);
let playing = false, since = 0, from = 0;

function show(index) {
  slider.value = index;
  const column = index % data.columns, row = Math.floor(index / data.columns);
  player.style.setProperty("--x", column * data.across + corner[0] + "%");
  player.style.setProperty("--y", row * data.down + corner[1] + "%");
  if (mark && last) for (const end of ["x1", "x2"]) mark.setAttribute(end, 1000 * index / last);
  const words = `frame ${frames[index]} · ${(frames[index] / fps).toFixed(2)} s · ${psnr[index]} dB`;
  now.textContent = words;
  slider.setAttribute("aria-valuetext", words);
}
function tick(time) {
  if (!playing) return;
  since ||= time;
  const seconds = (time - since) / 1000, index = from + Math.floor(seconds * fps / (frames[1] || 1));
  show(index % (last + 1));
  requestAnimationFrame(tick);
}
function play(on) {
  playing = on && last > 0;
  since = 0;
  from = slider.value == last ? 0 : Number(slider.value);
  button.setAttribute("aria-label", playing ? "Pause" : "Play");
  button.firstElementChild.textContent = playing ? "❚❚" : "▶";
  if (playing) requestAnimationFrame(tick);
}
button.addEventListener("click", () => play(!playing));
slider.addEventListener("input", () => { play(false); show(Number(slider.value)); });
document.addEventListener("keydown", event => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key == " " && event.target == slider) { event.preventDefault(); play(!playing); }
  const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (!step || event.target.closest("input, .scroll")) return;
  play(false);
  show(Math.min(Math.max(Number(slider.value) + step, 0), last));
});
show(0);
"""
