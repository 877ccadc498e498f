"""Pictures of clips, layers, motion and rates; every figure is returned, none is shown.

The one place that knows matplotlib and the look of the course: Okabe-Ito colors, which survive color
blindness; labels beside the lines instead of legends; units on every axis.  No pyplot, so no hidden
state: a figure is an object like any other, and it shows itself at the end of a notebook cell.

Alt text is the figure's matplotlib label: every function here sets it, `alt_text` reads it, and
`to_png`, `to_svg` and the notebook's picture carry it.  Set your own with `figure.set_label(...)`.
"""

from __future__ import annotations  # records are named, not loaded: drawing needs no PyTorch, no codec

import base64
import html
import io
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, Protocol, SupportsFloat, TypeAlias, TypeVar

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter
from PIL import Image

from coordflow_mini.measure.curves import curve_name, curves
from coordflow_mini.measure.metrics import psnr_db
from coordflow_mini.ops.text import printable

if TYPE_CHECKING:
    from coordflow_mini.measure.results import RatePoint
    from coordflow_mini.model import Rendering
    from coordflow_mini.video.clip import Video

__all__ = [
    "PALETTE",
    "Panel",
    "Picture",
    "Quality",
    "alpha_maps",
    "alt_text",
    "compare",
    "curve_name",
    "error_picture",
    "frames_strip",
    "layers_figure",
    "motion_figure",
    "panels",
    "panels_figure",
    "pictures",
    "put_picture",
    "rate_quality",
    "series_color",
    "styled",
    "to_bytes",
    "to_data_uri",
    "to_html",
    "to_pixels",
    "to_png",
    "to_svg",
    "to_svg_file",
    "training_curve",
    "write_beside",
]

Pixels: TypeAlias = np.ndarray[Any, np.dtype[np.uint8]]  # [height, width, 3], or [height, width] for gray
Quality: TypeAlias = Literal["psnr_db", "ms_ssim"]  # fields of a RatePoint
P = ParamSpec("P")
T = TypeVar("T")

PALETTE = {  # Okabe & Ito 2008; their yellow is left out, since it vanishes on white
    "vermillion": "#D55E00",
    "blue": "#0072B2",
    "sky": "#56B4E9",
    "green": "#009E73",
    "orange": "#E69F00",
    "purple": "#CC79A7",
    "black": "#000000",
}
INK, FAINT = "#24292F", "#D0D7DE"
_SERIES = ("blue", "orange", "green", "purple", "vermillion", "sky", "black")
_CODEC_LOOK = {"x264": ("sky", "s"), "x265": ("blue", "D"), "av1": ("green", "^"), "svt-av1": ("green", "^")}
_SPARE_LOOK = [("orange", "v"), ("purple", "P"), ("black", "X"), ("green", ">"), ("blue", "<"), ("sky", "p")]
_MEASURED: Any = ("-", (0, (1, 1.2)), (0, (6, 1.5, 1, 1.5)), (0, (6, 1.5, 1, 1.5, 1, 1.5)))  # line styles
_QUALITY = {  # field of a RatePoint -> label of the axis, unit, digits, least span of the axis
    "psnr_db": ("quality [dB RGB PSNR]", " dB", 2, 0.5),
    "ms_ssim": ("quality [MS-SSIM], 1 is equal", "", 4, 0.002),
}
_STYLE: Any = {
    "font.family": "DejaVu Sans",  # ships with matplotlib: the same picture everywhere
    "font.size": 9,
    "text.color": INK,
    "text.parse_math": False,  # a clip's name may hold a dollar sign
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": FAINT,
    "grid.linewidth": 0.6,
    "xtick.color": INK,
    "ytick.color": INK,
    "figure.constrained_layout.w_pad": 0.08,  # [inches]
    "lines.linewidth": 1.8,
    "lines.markersize": 6,
    "svg.fonttype": "none",  # text stays text: a web page lends its font, a reader can select it
    "svg.hashsalt": "coordflow",  # the same figure gives the same bytes
}


class Picture(Figure):
    """A figure that shows itself in a notebook, alt text included, without pyplot."""

    def __repr__(self) -> str:
        """The alt text, for a terminal."""
        return f"Picture({alt_text(self)!r})"

    def _repr_html_(self) -> str:
        return to_html(self)


def styled(draw: Callable[P, T]) -> Callable[P, T]:
    """The same drawing function, run under the course's style."""

    @wraps(draw)
    def styled(*args: P.args, **kwargs: P.kwargs) -> T:
        with rc_context(_STYLE):
            return draw(*args, **kwargs)

    return styled


def alt_text(figure: Figure) -> str:
    """What the figure shows, in words, for those who cannot see it."""
    return printable(str(figure.get_label()))


# ---------------------------------------------------------------- bytes


def to_png(figure: Figure, *, dpi: int = 144) -> bytes:
    """The figure as a PNG file; its alt text is the PNG's Description."""
    buffer, about = io.BytesIO(), {"Description": alt_text(figure), "Software": None}
    with rc_context(_STYLE):
        figure.savefig(buffer, format="png", dpi=dpi, metadata=about)
    return buffer.getvalue()


def to_html(figure: Figure, *, dpi: int = 144) -> str:
    """The figure as an `<img>` with alt text that loads nothing: PNG, or JPEG where photographs fill it."""
    data = to_png(figure, dpi=dpi)
    if len(data) > 200_000:
        data = to_bytes(np.asarray(Image.open(io.BytesIO(data)).convert("RGB")), quality=88)
    width = round(figure.get_figwidth() * 96)
    return f'<img src="{to_data_uri(data)}" alt="{html.escape(alt_text(figure))}" width="{width}">'


def _svg(figure: Figure, **options: Any) -> str:
    """The figure as matplotlib writes it.

    Its ids are hashes of content, salted with what the figure shows: figures of one page never share one.
    """
    buffer, salt = io.StringIO(), {"svg.hashsalt": f"{_STYLE['svg.hashsalt']} {alt_text(figure)}"}
    with rc_context(_STYLE | salt):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None}, **options)
    return buffer.getvalue()


def to_svg(figure: Figure) -> str:
    """The figure as one `<svg>` element for a web page, with role, label and the page's colors.

    Ink becomes `currentColor`, each palette color the CSS variable of its name (`--blue`), so the page
    decides about light and dark; the text takes the page's font.
    """
    text = _svg(figure, transparent=True)
    text = re.sub("(?s)^.*?(?=<svg)|<metadata>.*?</metadata>|<style.*?</style>", "", text)
    text = re.sub(r"<[^>]*>", lambda tag: _themed(tag[0]), text)  # what stands between tags is not ours
    return _labelled(text, figure)


def _themed(tag: str) -> str:
    """A tag of an SVG in the page's colors and font."""
    tag = re.sub(r'<g id="[^"]*"', "<g", tag)  # names of parts that nothing refers to
    tag = re.sub(r"font: (\d+ )?([\d.]+px) [^;\"]*", r"font-size: \2; font-weight: \1", tag)  # before 3.9
    tag = re.sub(r"font-family: [^;\"]*|font-weight: ;", "font-family: inherit", tag)
    themed = {INK: "currentColor", FAINT: f"var(--faint, {FAINT})"}
    themed |= {color: f"var(--{name}, {color})" for name, color in PALETTE.items()}
    for color, value in themed.items():
        tag = re.sub(color, value, tag, flags=re.IGNORECASE)
    return tag


def to_svg_file(figure: Figure) -> str:
    """The figure as an SVG file of its own, on white, in its own colors and font, with role and label."""
    return _labelled(_svg(figure), figure)


def _labelled(svg: str, figure: Figure) -> str:
    label = f'role="img" aria-label="{html.escape(alt_text(figure))}" stroke-linejoin="round"'
    return svg.replace("<svg ", f"<svg {label} ", 1)


def to_bytes(picture: Pixels, *, quality: int = 92) -> bytes:
    """One picture as a JPEG file without chroma subsampling, which would hide a codec's color errors."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=quality, subsampling=0)
    return buffer.getvalue()


def to_data_uri(data: bytes) -> str:
    """A PNG or JPEG file as a `data:` address, for pages that must not load anything."""
    kind = "png" if data.startswith(b"\x89PNG") else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"


# ---------------------------------------------------------------- panels


@dataclass(frozen=True)
class Panel:
    """One moving picture with its title.

    picture(index): uint8 [height, width, 3], or gray [height, width].
    Drawn frame by frame, because seven panels of a long clip would not fit into memory.
    """

    title: str
    time: int
    picture: Callable[[int], Pixels]


def _array(values: Any) -> np.ndarray[Any, Any]:
    """A NumPy array of a NumPy array or a tensor, wherever it lives."""
    return np.asarray(values.detach().cpu() if hasattr(values, "detach") else values)


def to_pixels(picture: Any) -> Pixels:
    """uint8 of a picture (array or tensor) that is uint8 already, float in [0, 1], or a mask."""
    values = _array(picture)
    if values.dtype == bool:
        values = values.astype(np.uint8) * 255
    if values.dtype != np.uint8:
        values = (np.clip(values.astype(np.float32), 0, 1) * 255 + 0.5).astype(np.uint8)
    return values


def _film(pictures: Any) -> Callable[[int], Pixels]:
    """The n-th of many pictures, as `Panel` wants them."""
    return lambda index: to_pixels(pictures[index])


def error_picture(original: Pixels, decoded: Pixels, *, gain: float = 5) -> Pixels:
    """How far two pictures are apart, gray [height, width]: mean |difference| over RGB, times `gain`.

    Black is equal; white is 255 / gain gray levels or more.
    """
    if original.shape != decoded.shape:
        raise ValueError(
            f"pictures to compare must have one shape, got {original.shape} and {decoded.shape}; "
            f"resize one with video.select(...)"
        )
    apart = np.abs(original.astype(np.int16) - decoded).mean(axis=-1)  # int16: uint8 would wrap
    return np.asarray(np.minimum(apart * gain, 255), np.uint8)


def _layer_panels(rendering: Rendering) -> list[Panel]:
    """Color and alpha of each layer, in turn."""
    found: list[Panel] = []
    for layer, (rgb, alpha) in enumerate(zip(rendering.layer_rgb, rendering.alpha, strict=True)):
        found += [Panel(f"layer {layer}, color", len(rgb), _film(rgb))]
        found += [Panel(f"layer {layer}, alpha", len(alpha), _film(alpha))]
    return found


def panels(
    original: Video,
    decoded: Video | None = None,
    rendering: Rendering | None = None,
    *,
    gain: float = 5,
) -> tuple[Panel, ...]:
    """What there is to see of a coded clip: original, decoded, error, then each layer's color and alpha.

    Raises ValueError if the parts have different numbers of frames or sizes.
    """
    found = [Panel("original", original.time, _film(original.frames))]
    if decoded is not None:
        a, b = original.frames, decoded.frames
        error_picture(a[0], b[0])  # answers a wrong size now, not at some later frame
        found += [Panel("decoded", decoded.time, _film(b))]
        found += [Panel(f"error × {gain:g}", len(a), lambda i: error_picture(a[i], b[i], gain=gain))]
    if rendering is not None:
        found += _layer_panels(rendering)
    lengths = {panel.title: panel.time for panel in found}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"panels must be of one length, got {lengths} frames; select the same frames")
    return tuple(found)


# ---------------------------------------------------------------- pictures


def _spaced(time: int, count: int) -> list[int]:
    """At most `count` frame indices, first and last included, evenly spaced."""
    if count < 1:
        raise ValueError(f"count must be at least 1 frame, got {count}")
    return sorted({round(index) for index in np.linspace(0, time - 1, min(count, time))})


def put_picture(axes: Axes, picture: Pixels, caption: str, title: str = "") -> None:
    """Draw one picture; the caption stands where an axis label stands."""
    axes.imshow(picture, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    axes.set(xticks=[], yticks=[], xlabel=caption)
    axes.set_title(title)
    axes.grid(False)
    axes.spines[:].set(visible=True, color=FAINT, linewidth=0.6)  # or a white alpha map has no edge


def _grid(rows: int, columns: int, picture: Pixels, *, across: float = 9.0) -> tuple[Picture, Any]:
    """An empty figure for rows x columns pictures of one size, and its axes [rows, columns]."""
    height, width = picture.shape[:2]
    cell = min(across / columns, 3.6, 4.2 * width / height)
    size = cell * columns, rows * (cell * height / width + 0.3) + 0.2
    figure = Picture(figsize=size, layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False)


def _when(frame: int, fps: SupportsFloat | None) -> str:
    return f"frame {frame}" + (f", {frame / float(fps):.2f} s" if fps else "")


def _sheet(shown: Sequence[Panel], captions: Mapping[int, str]) -> tuple[Picture, Any]:
    """A figure with one row per panel and one column per frame, and its axes; frame -> caption."""
    frames = list(captions)
    figure, axes = _grid(len(shown), len(frames), shown[0].picture(0))
    for row, panel in zip(axes, shown, strict=True):
        for place, frame in zip(row, frames, strict=True):
            caption = captions[frame] if panel is shown[-1] else ""
            put_picture(place, panel.picture(frame), caption, panel.title if frame == frames[0] else "")
    return figure, axes


@styled
def panels_figure(
    shown: Sequence[Panel],
    *,
    count: int = 4,
    fps: SupportsFloat | None = None,
    name: str = "the clip",
    captions: Sequence[str] | None = None,
) -> Picture:
    """A contact sheet: one row per panel, `count` frames from first to last.  `scrub` without a kernel.

    captions: one per frame, in place of the frame's number and time.
    """
    frames = _spaced(shown[0].time, count)
    figure, _ = _sheet(shown, {i: captions[i] if captions else _when(i, fps) for i in frames})
    titles = ", ".join(panel.title for panel in shown)
    rows = f"; one row each for {titles}" if len(shown) > 1 else ""
    span = "; ".join(captions[i] for i in frames) if captions else f"{_span(frames)} of {name}"
    figure.set_label(f"{span}{rows}.")
    return figure


def _span(frames: Sequence[int]) -> str:
    """Which frames a picture shows, in words."""
    return f"Frames {frames[0]} to {frames[-1]} ({len(frames)} shown)" if len(frames) > 1 else "Frame 0"


def frames_strip(video: Video, count: int = 6) -> Picture:
    """`count` frames of a clip side by side, first and last included."""
    strip = Panel("", video.time, _film(video.frames))
    return panels_figure([strip], count=count, fps=video.fps, name=video.name)


@styled
def pictures(
    shown: Mapping[str, Any], *, alt: str, columns: int | None = None, width: float = 9.0
) -> Picture:
    """Pictures with their titles, side by side, or in rows of so many columns.

    shown: title -> picture, uint8 or float in [0, 1], [height, width, 3] or gray [height, width].
    width: of the figure [inches].
    """
    columns = columns or len(shown)
    rows = -(-len(shown) // columns)
    drawn = {title: to_pixels(picture) for title, picture in shown.items()}
    height, across = next(iter(drawn.values())).shape[:2]
    cell = min(width / columns, 4.0, 4.2 * across / height)
    figure = Picture(figsize=(cell * columns, rows * (cell * height / across + 0.3)), layout="constrained")
    figure.set_label(alt)
    places = list(figure.subplots(rows, columns, squeeze=False).flat)
    for place, (title, picture) in zip(places, drawn.items(), strict=False):
        put_picture(place, picture, "", title)
    for place in places[len(drawn) :]:
        place.set_axis_off()
    return figure


@styled
def compare(original: Video, decoded: Video, frame: int = 0, *, gain: float = 5) -> Picture:
    """One frame: the original, the decoded one with its PSNR, and their difference made visible."""
    quality = psnr_db(original.frames[frame][None], decoded.frames[frame][None])
    shown = panels(original, decoded, gain=gain)
    figure, axes = _grid(1, 3, shown[0].picture(frame))
    captions = [_when(frame, original.fps), f"{quality:.2f} dB PSNR", f"white: {255 / gain:.0f} gray levels"]
    for place, panel, caption in zip(axes[0], shown, captions, strict=True):
        put_picture(place, panel.picture(frame), caption, panel.title)
    figure.set_label(
        f"Frame {frame} of {original.name} three times: original, decoded ({captions[1]}) "
        f"and the error made {gain:g} times brighter; black means equal."
    )
    return figure


def _alpha_bar(figure: Picture, picture: Any, **where: Any) -> None:
    """A gray scale that says what black and white mean in an alpha map."""
    bar = figure.colorbar(picture, ticks=[0, 127.5, 255], **where)
    bar.ax.set_yticklabels(["0", "0.5", "1"])
    bar.set_label("alpha (share of the pixel)")
    bar.ax.spines[:].set_visible(False)


@styled
def layers_figure(rendering: Rendering, frame: int = 0) -> Picture:
    """One frame taken apart: each layer's color above its alpha map, then all of them blended."""
    layers, blended = len(rendering.alpha), to_pixels(rendering.rgb[frame])
    figure, axes = _grid(2, layers + 1, blended)
    for layer in range(layers):
        put_picture(axes[0, layer], to_pixels(rendering.layer_rgb[layer][frame]), "", f"layer {layer}")
        put_picture(axes[1, layer], to_pixels(rendering.alpha[layer][frame]), f"alpha of layer {layer}")
    put_picture(axes[0, -1], blended, "", f"blended, frame {frame}")
    axes[1, -1].set_axis_off()
    _alpha_bar(figure, axes[1, 0].images[0], cax=axes[1, -1].inset_axes((0.01, 0.05, 0.025, 0.9)))
    shares = [100 * float(_array(rendering.alpha[layer][frame]).mean()) for layer in range(layers)]
    spoken = ", ".join(f"layer {layer} {share:.0f} %" for layer, share in enumerate(shares))
    figure.set_label(
        f"Frame {frame} taken apart into {layers} layers: the color of each, its alpha map (white where the "
        f"layer is seen), and the blended picture.  Shares of the picture: {spoken}."
    )
    return figure


@styled
def alpha_maps(rendering: Rendering, count: int = 4) -> Picture:
    """Which layer is seen where: one row per layer, `count` frames from first to last; white is alpha 1."""
    shown = _layer_panels(rendering)[1::2]
    frames = _spaced(shown[0].time, count)
    figure, axes = _sheet(shown, {frame: _when(frame, None) for frame in frames})
    _alpha_bar(figure, axes[0, 0].images[0], ax=axes, shrink=0.8, aspect=30, pad=0.01)
    figure.set_label(
        f"{_span(frames)}: alpha maps of {len(shown)} layers, one row each; white where the layer is seen, "
        f"black where it is hidden."
    )
    return figure


# ---------------------------------------------------------------- charts


def write_beside(
    axes: Axes, labels: Sequence[tuple[float, float, str]], *, lines: int, strong: str = ""
) -> None:
    """Write (x, y, text) labels in a column right of the axes, spread so that none covers another.

    lines: how many labels fit into the height of the axes.  strong: the one label in bold.
    A thin line leads from each point to its label.
    """
    ordered = sorted(labels, key=lambda label: label[1])
    axes.get_ylim()  # settles the limits, which the next line uses
    heights = [float((axes.transScale + axes.transLimits).transform((x, y))[1]) for x, y, _ in ordered]
    places = _spread(heights, 1 / lines)  # as parts of the axes' height, on linear and logarithmic axes
    thin = {"arrowstyle": "-", "color": FAINT, "lw": 0.8, "shrinkA": 0}
    for (x, y, text), place in zip(ordered, places, strict=True):
        leader = axes.annotate(
            "", (x, y), (1.015, place), textcoords="axes fraction", arrowprops=thin, zorder=0
        )
        leader.set_annotation_clip(False)
        weight = "bold" if text == strong else "normal"
        axes.text(1.025, place, text, transform=axes.transAxes, va="center", fontweight=weight)


def _spread(values: Sequence[float], gap: float) -> list[float]:
    """Ascending values moved as little as need be until neighbors are at least `gap` apart.

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


def _looks(codecs: Iterable[str], ours: str) -> dict[str, tuple[str, str]]:
    """Color and marker of each codec: ours always vermillion circles, the rest fixed or in turn."""
    spare = iter(_SPARE_LOOK * 8)
    found = {ours: ("vermillion", "o")}
    for codec in codecs:
        if codec not in found:
            found[codec] = _CODEC_LOOK.get(codec.lower()) or next(spare)
    return {codec: (PALETTE[color], marker) for codec, (color, marker) in found.items()}


def _strokes(curves: Mapping[str, Sequence[RatePoint]]) -> dict[str, Any]:
    """The line of each curve: published ones dashed, measured ones of one codec told apart by their dots."""
    found, seen = {}, dict.fromkeys((curve[0].codec for curve in curves.values()), 0)
    for name, curve in sorted(curves.items()):
        found[name] = _MEASURED[seen[curve[0].codec] % len(_MEASURED)] if curve[0].measured else "--"
        seen[curve[0].codec] += curve[0].measured
    return found


def _rate_axis(axes: Axes, rates: Sequence[float], *, logarithmic: bool) -> None:
    """Limits, ticks in plain numbers, and the label of the rate axis."""
    low, high = min(rates), max(rates)
    if logarithmic:
        axes.set_xscale("log")
        axes.set_xlim(low / 1.35, high * 1.35)
        spans = {3: range(1, 10), 10: (1, 1.5, 2, 3, 5, 7)}  # up to so many times: ticks that have room
        subs = next((subs for times, subs in spans.items() if high < times * low), (1, 2, 5))
        axes.xaxis.set_major_locator(LogLocator(subs=subs))
        axes.xaxis.set_minor_formatter(NullFormatter())
    else:
        axes.set_xlim(0, high * 1.1)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_xlabel("rate [bits per pixel]" + (", log scale" if logarithmic else ""))


@styled
def rate_quality(
    points: Sequence[RatePoint],
    *,
    ours: str = "CoordFlow",
    name: Callable[[RatePoint], str] = curve_name,
    quality: Quality = "psnr_db",
    logarithmic: bool = True,
    title: str = "",
    size: tuple[float, float] = (6.4, 3.6),
    codecs: Sequence[str] = (),
) -> Picture:
    """Quality over rate: one curve per `name`, up and to the left is better.

    Filled markers are measured, hollow ones on dashed lines published by others.  ours: the codec drawn in
    vermillion.  quality: what is drawn; points without it are left out.  size: width and height [inches].
    codecs: names to give colors to before the others, so that they keep theirs in a series of figures.
    Raises ValueError if there is no point at all.
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
        _draw_curve(axes, curve, quality, looks[curve[0].codec], strokes[text], front=curve[0].codec == ours)
    label, _, _, least = _QUALITY[quality]
    values = [getattr(point, quality) for point in shown]
    pad = max(0.08 * (max(values) - min(values)), least / 2)
    axes.set(ylim=(min(values) - pad, max(values) + pad), ylabel=label, title=_short(title))
    _rate_axis(axes, [point.bpp for point in shown], logarithmic=logarithmic)
    ends = [(curve[-1].bpp, getattr(curve[-1], quality), _short(text)) for text, curve in found.items()]
    write_beside(axes, ends, lines=round(5 * size[1]), strong=_short(ours))
    figure.set_label(_rate_alt(found, quality))
    return figure


def _short(text: str, longest: int = 70) -> str:
    """A name that fits beside a drawing, in one line."""
    text = printable(" ".join(text[: 4 * longest].split()))
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def _draw_curve(
    axes: Axes, curve: Sequence[RatePoint], quality: str, look: tuple[str, str], stroke: Any, *, front: bool
) -> None:
    """One line with its markers: filled and larger where it was measured here."""
    (color, marker), measured = look, curve[0].measured
    axes.plot(
        [point.bpp for point in curve],
        [getattr(point, quality) for point in curve],
        linestyle=stroke,
        color=color,
        marker=marker,
        markerfacecolor=color if measured else "none",
        markersize=None if measured else 4.5,
        linewidth=None if measured else 1.1,
        zorder=4 if front else 3,
    )


def _rate_alt(found: Mapping[str, Sequence[RatePoint]], quality: str) -> str:
    """The plot in words: every curve's end points, best quality first."""
    _, unit, digits, _ = _QUALITY[quality]
    spoken = []
    for text, curve in sorted(found.items(), key=lambda item: -getattr(item[1][-1], quality)):
        ends = [curve[0], curve[-1]] if len(curve) > 1 else [curve[0]]
        said = (f"{getattr(p, quality):.{digits}f}{unit} at {p.bpp:.4g} bpp" for p in ends)
        spoken.append(f"{text}: {' to '.join(said)}")
    what = "dB RGB PSNR" if quality == "psnr_db" else "MS-SSIM"
    return f"Quality in {what} over rate in bits per pixel.  {'; '.join(spoken)}."


@styled
def motion_figure(recovered: Any, truth: Any = None, *, pixels_per_unit: float | None = None) -> Picture:
    """Each layer's motion over time: scale, angle, shift right, shift down, as in `similarity`.

    recovered, truth: [layers, time, 4]; the truth is drawn dashed.  pixels_per_unit:
    `coords.half_side(height, width)` gives shifts in pixels, without it they are in coordinate units.
    A model's canonical frame is arbitrary: align `recovered` with the truth by one similarity per layer
    before you judge it.
    """
    unit, shift = ("pixels", pixels_per_unit) if pixels_per_unit else ("coordinate units", 1.0)
    found = _readable(recovered, shift)
    lines = [(found, "-", 1.0)] + ([] if truth is None else [(_readable(truth, shift), "--", 0.6)])
    figure = Picture(figsize=(7.6, 4.6), layout="constrained")
    names = ["scale s [factor]", "angle θ [degrees]", f"shift right dx [{unit}]", f"shift down dy [{unit}]"]
    for channel, axes in enumerate(figure.subplots(2, 2, sharex=True).flat):
        for motion, style, opacity in lines:
            for layer, values in enumerate(motion[..., channel]):
                axes.plot(values, style, color=series_color(layer), alpha=opacity)
        axes.set(ylabel=names[channel], xlabel="frame" if channel > 1 else "")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
        last = [(found.shape[1] - 1, float(v[-1, channel]), f"layer {i}") for i, v in enumerate(found)]
        write_beside(axes, last if channel % 2 else [], lines=9)
    figure.set_label(_motion_alt(found, unit, truth is not None))
    return figure


def series_color(index: int) -> str:
    """Color of the n-th line of a chart."""
    return PALETTE[_SERIES[index % len(_SERIES)]]


def _readable(motion: Any, shift: float) -> np.ndarray[Any, Any]:
    """(log s, θ [radians], dx, dy) as (s, θ [degrees], dx, dy), the shifts times `shift`."""
    log_scale, angle, right, down = np.moveaxis(_array(motion), -1, 0)
    return np.stack([np.exp(log_scale), np.degrees(angle), right * shift, down * shift], axis=-1)


def _motion_alt(motion: np.ndarray[Any, Any], unit: str, with_truth: bool) -> str:
    """The motion in words: first and last frame of every layer."""
    spoken = [
        f"layer {layer} from scale {a[0]:.2f}, angle {a[1]:.1f}°, shift ({a[2]:.2f}, {a[3]:.2f}) {unit} "
        f"to scale {b[0]:.2f}, angle {b[1]:.1f}°, shift ({b[2]:.2f}, {b[3]:.2f}) {unit}"
        for layer, (a, b) in enumerate(zip(motion[:, 0], motion[:, -1], strict=True))
    ]
    dashed = "; the true motion is dashed" if with_truth else ""
    return f"Motion over {motion.shape[1]} frames: {'; '.join(spoken)}{dashed}."


class _Progress(Protocol):
    """What a training curve needs of `fit.Progress`."""

    @property
    def stage(self) -> str: ...
    @property
    def step(self) -> int: ...
    @property
    def psnr_db(self) -> float: ...


History: TypeAlias = Sequence[_Progress]


def _stages(name: str, history: History) -> dict[str, list[_Progress]]:
    """The history of each stage under a label of its own, in the order of the first entries."""
    found: dict[str, list[_Progress]] = {}
    for progress in history:
        found.setdefault(f"{name} {progress.stage}".strip(), []).append(progress)
    return {name: next(iter(found.values()))} if name and len(found) == 1 else found


@styled
def training_curve(history: History | Mapping[str, History], *, title: str = "") -> Picture:
    """PSNR over training steps, one line for each stage of a fit's history.

    A mapping from names to histories draws several fits into one chart.
    Raises ValueError if there is no step at all.
    """
    named = history if isinstance(history, Mapping) else {"": history}
    lines = {label: run for name, part in named.items() for label, run in _stages(name, part).items()}
    if not lines:
        raise ValueError("history must hold at least one step, got none; train before you plot")
    figure = Picture(figsize=(6.4, 3.4), layout="constrained")
    axes = figure.subplots()
    ends = []
    for index, (label, run) in enumerate(lines.items()):
        steps, quality = [progress.step for progress in run], [progress.psnr_db for progress in run]
        axes.plot(steps, quality, color=series_color(index), marker="o" if len(run) == 1 else None)
        ends.append((float(steps[-1]), quality[-1], f"{label} {quality[-1]:.1f} dB"))
    axes.set(xlabel="training step", ylabel="quality [dB RGB PSNR]", title=title)
    write_beside(axes, ends, lines=16)
    spoken = "; ".join(f"{text} after {steps:.0f} steps" for steps, _, text in ends)
    figure.set_label(f"Quality in dB RGB PSNR over training steps: {spoken}.")
    return figure
