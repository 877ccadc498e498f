"""What all widgets share: JPEG bytes of a picture, and what is seen where no kernel runs."""

from __future__ import annotations

from typing import Any

import ipywidgets
import numpy as np
from PIL import Image

from coordflow_mini.show import figure
from coordflow_mini.show.figure import Picture, Pixels, alt_text, to_html

__all__ = ["MOST_PIXELS", "Shown", "picture_widget", "to_jpeg"]

MOST_PIXELS = 640 * 640  # of one picture: larger ones are shrunk, or a step would take too long


def to_jpeg(picture: Pixels) -> bytes:
    """The picture as JPEG, shrunk if it is large."""
    height, width = picture.shape[:2]
    shrink = (MOST_PIXELS / (height * width)) ** 0.5
    if shrink < 1:
        size = max(1, round(width * shrink)), max(1, round(height * shrink))
        picture = np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BOX))
    return figure.to_jpeg(picture)


def picture_widget(data: bytes) -> ipywidgets.Image:
    """An image widget as wide as its column."""
    return ipywidgets.Image(value=data, format="jpeg", layout={"width": "100%"})


class Shown:
    """A widget that is the last line of a cell; without a kernel its static figure takes its place.

    box: the widget, to put into a layout of your own.
    figure: the static picture; its alt text describes the whole widget.
    """

    box: ipywidgets.Box
    figure: Picture

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        """The live widget, and beside it the figure for places where no widget can live."""
        view = {"version_major": 2, "version_minor": 0, "model_id": self.box.model_id}
        return {
            "text/plain": alt_text(self.figure),
            "text/html": to_html(self.figure, dpi=96),
            "application/vnd.jupyter.widget-view+json": view,
        }
