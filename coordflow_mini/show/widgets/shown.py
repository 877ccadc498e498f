"""The base of all widgets: small JPEGs, and a static figure where no kernel runs."""

from typing import Any

import ipywidgets
import numpy as np
from PIL import Image

from coordflow_mini.show.figure import Picture, Pixels, alt_text, to_html, to_jpeg

MOST_PIXELS = 640 * 640  # of one picture; larger ones would make a step slow


def preview(picture: Pixels) -> bytes:
    """JPEG of a picture, shrunk to at most `MOST_PIXELS`."""
    height, width = picture.shape[:2]
    shrink = (MOST_PIXELS / (height * width)) ** 0.5
    if shrink < 1:
        size = max(1, round(width * shrink)), max(1, round(height * shrink))
        picture = np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BOX))
    return to_jpeg(picture)


def picture_widget(data: bytes) -> ipywidgets.Image:
    """Image widget as wide as its column."""
    return ipywidgets.Image(value=data, format="jpeg", layout={"width": "100%"})


class Shown:
    """A widget to put on the last line of a cell; without a kernel its static figure is shown.

    box: the widget, for layouts of your own.  figure: the static picture; its alt text describes the widget.
    Its controls are attributes, too, by the names that the function which made it gives.
    """

    def __init__(self, box: ipywidgets.Box, figure: Picture, **controls: Any) -> None:
        self.box, self.figure = box, figure
        vars(self).update(controls)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({alt_text(self.figure)!r})"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        view = {"version_major": 2, "version_minor": 0, "model_id": self.box.model_id}
        return {
            "text/plain": alt_text(self.figure),
            "text/html": to_html(self.figure, dpi=96),
            "application/vnd.jupyter.widget-view+json": view,
        }
