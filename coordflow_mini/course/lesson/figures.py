"""Figures of the chapters, in the style of `show.figure`; each one requires alt text.

Make a figure the last expression of its cell:

    figures.pictures({"before": picture, "after": warped}, alt="A flower, and the same flower turned ...")
"""

from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any

import numpy as np
from matplotlib.ticker import MaxNLocator
from PIL import Image

from coordflow_mini.measure import metrics
from coordflow_mini.render import Rendering
from coordflow_mini.show.figure import PALETTE, Picture, styled, to_pixels, to_png
from coordflow_mini.show.plots import Panel, grid, panels_figure, put_picture, write_beside
from coordflow_mini.video.clip import Video

_SERIES = ("blue", "orange", "green", "purple", "vermillion", "sky", "black")


def series_color(index: int) -> str:
    """Color of the n-th line of a chart; the seven colors repeat."""
    return PALETTE[_SERIES[index % len(_SERIES)]]


def frames_strip(video: Video, count: int = 6) -> Picture:
    """`count` frames of a clip side by side, evenly spaced, first and last included."""
    panel = Panel("", video.time, lambda i: video.frames[i])
    return panels_figure([panel], count=count, fps=video.fps, name=video.name)


@styled
def pictures(
    shown: Mapping[str, Any], *, alt: str, columns: int | None = None, width: float = 9.0
) -> Picture:
    """Pictures under their titles, side by side or in rows of `columns`.

    shown: title -> picture, uint8 or float in [0, 1], [height, width, 3] or gray [height, width].
    width: of the figure [inches].
    """
    columns = columns or len(shown)
    drawn = {title: to_pixels(picture) for title, picture in shown.items()}
    figure, axes = grid(-(-len(shown) // columns), columns, next(iter(drawn.values())), width)
    figure.set_label(alt)
    places = list(axes.flat)
    for place, (title, picture) in zip(places, drawn.items(), strict=False):
        put_picture(place, picture, "", title)
    for place in places[len(drawn) :]:
        place.set_axis_off()
    return figure


@styled
def layers_figure(rendering: Rendering, frame: int = 0) -> Picture:
    """One frame taken apart: the color of each layer above its alpha map, and the blend of all layers."""
    layers, blended = len(rendering.alpha), to_pixels(rendering.rgb[frame])
    figure, axes = grid(2, layers + 1, blended)
    for layer in range(layers):
        put_picture(axes[0, layer], to_pixels(rendering.layer_rgb[layer][frame]), "", f"layer {layer}")
        put_picture(axes[1, layer], to_pixels(rendering.alpha[layer][frame]), f"alpha of layer {layer}")
    put_picture(axes[0, -1], blended, "", f"blended, frame {frame}")
    axes[1, -1].set_axis_off()
    inset = axes[1, -1].inset_axes((0.01, 0.05, 0.025, 0.9))
    bar = figure.colorbar(axes[1, 0].images[0], ticks=[0, 127.5, 255], cax=inset)
    bar.ax.set_yticklabels(["0", "0.5", "1"])
    bar.set_label("alpha (share of the pixel)")
    bar.ax.spines[:].set_visible(False)
    shares = [100 * float(rendering.alpha[layer][frame].mean()) for layer in range(layers)]
    spoken = ", ".join(f"layer {layer} {share:.0f} %" for layer, share in enumerate(shares))
    figure.set_label(
        f"Frame {frame} taken apart into {layers} layers: the color of each, its alpha map (white where the "
        f"layer is seen), and the blended picture.  Shares of the picture: {spoken}."
    )
    return figure


@styled
def axes(
    rows: int = 1, columns: int = 1, *, alt: str, size: tuple[float, float] = (6.4, 3.4)
) -> tuple[Picture, Any]:
    """An empty figure in the style of the course, and its axes: an array unless there is only one.

    size: width and height [inches].  Draw with the axes' methods; end the cell with the figure.
    """
    figure = Picture(figsize=size, layout="constrained")
    figure.set_label(alt)
    return figure, figure.subplots(rows, columns)


def drawn(figure: Picture, *, dpi: int = 80) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """The figure as a uint8 array, [height, width, 3], for use as a frame of an animation."""
    with Image.open(BytesIO(to_png(figure, dpi=dpi))) as picture:
        return np.asarray(picture.convert("RGB"))


@styled
def lines(
    shown: Mapping[str, Any],
    *,
    x: Sequence[float] | None = None,
    across: str,
    up: str,
    alt: str,
    logarithmic: bool = False,
    size: tuple[float, float] = (6.4, 3.2),
) -> Picture:
    """Curves, each labeled at its end; `across` and `up` label the axes, with units in brackets."""
    figure = Picture(figsize=size, layout="constrained")
    figure.set_label(alt)
    place = figure.subplots()
    ends = []
    for index, (name, values) in enumerate(shown.items()):
        heights = np.asarray(values.detach().cpu() if hasattr(values, "detach") else values, dtype=float)
        steps = np.arange(len(heights)) if x is None else np.asarray(x, dtype=float)
        place.plot(steps, heights, color=series_color(index))
        ends.append((float(steps[-1]), float(heights[-1]), name))
    place.set(xlabel=across, ylabel=up)
    if logarithmic:
        place.set_yscale("log")
        place.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        place.yaxis.set_minor_formatter(lambda value, _: "")
    write_beside(place, ends, lines=round(5 * size[1]))
    return figure


@styled
def source_arrows(
    picture: Any,
    warped: Any,
    pixels: Sequence[tuple[float, float]],
    sources: Sequence[tuple[float, float]],
    *,
    alt: str,
) -> Picture:
    """A warped picture next to its source, with arrows from pixels to the points they take their color from.

    pixels, sources: (column, row) in the warped picture and in the source.
    """
    left, right = to_pixels(warped), to_pixels(picture)
    figure = Picture(figsize=(9.0, 9.0 / 2 * left.shape[0] / left.shape[1] + 0.4), layout="constrained")
    figure.set_label(alt)
    frame, canonical = figure.subplots(1, 2)
    put_picture(frame, left, "", "frame: this pixel asks ...")
    put_picture(canonical, right, "", "source: ... for the color at this place")
    for index, (pixel, source) in enumerate(zip(pixels, sources, strict=True)):
        color = list(PALETTE.values())[index % len(PALETTE)]
        arrow = {"arrowstyle": "-|>", "color": color, "lw": 2.0, "shrinkA": 4, "shrinkB": 0}
        placed = {"xycoords": canonical.transData, "textcoords": frame.transData, "arrowprops": arrow}
        canonical.annotate("", source, pixel, annotation_clip=False, **placed)
        frame.plot(*pixel, "o", color=color, markeredgecolor="white", markersize=8)
    return figure


@styled
def motion_figure(recovered: Any, truth: Any = None, *, pixels_per_unit: float | None = None) -> Picture:
    """Scale, angle and shifts of each layer over time; the truth is dashed.

    recovered, truth: [layers, time, 4] as in `similarity`.  pixels_per_unit: `coords.half_side(height,
    width)` gives shifts in pixels; without it they are in coordinate units.
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


def _readable(motion: Any, shift: float) -> np.ndarray[Any, Any]:
    """(log s, θ [radians], dx, dy) as (s, θ [degrees], dx, dy), the shifts times `shift`."""
    log_scale, angle, right, down = np.moveaxis(metrics.as_numpy(motion), -1, 0)
    return np.stack([np.exp(log_scale), np.degrees(angle), right * shift, down * shift], axis=-1)


def _motion_alt(motion: np.ndarray[Any, Any], unit: str, with_truth: bool) -> str:
    """The figure in words: every layer in its first and last frame."""
    spoken = [
        f"layer {layer} from scale {a[0]:.2f}, angle {a[1]:.1f}°, shift ({a[2]:.2f}, {a[3]:.2f}) {unit} "
        f"to scale {b[0]:.2f}, angle {b[1]:.1f}°, shift ({b[2]:.2f}, {b[3]:.2f}) {unit}"
        for layer, (a, b) in enumerate(zip(motion[:, 0], motion[:, -1], strict=True))
    ]
    dashed = "; the true motion is dashed" if with_truth else ""
    return f"Motion over {motion.shape[1]} frames: {'; '.join(spoken)}{dashed}."
