"""Figures of the chapters, in the style of `show.figure`; each one requires alt text.

Make a figure the last expression of its cell:

    figures.pictures({"before": picture, "after": warped}, alt="A flower, and the same flower turned ...")
"""

from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image

from coordflow_mini.show.figure import PALETTE, Picture, series_color, styled, to_pixels, to_png
from coordflow_mini.show.plots import pictures, put_picture, write_beside

__all__ = ["axes", "drawn", "lines", "pictures", "source_arrows"]


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
