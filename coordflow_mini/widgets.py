"""Controls around pictures that are already drawn.  The one place that knows ipywidgets.

Only widgets that ipywidgets 7.7 has too (Colab ships 7.7.1): Play, IntSlider, Image, HTML and boxes.

Why not one piece of HTML with its own script?  It would play without a kernel, but Jupyter removes
scripts from notebooks it does not trust, GitHub removes them always, every frame would be saved into the
notebook (megabytes per cell), and an error inside would be seen by nobody, whereas nbval fails on an
exception in a Python callback.  So the kernel hands over one small JPEG per step, encoded beforehand,
and whoever has no kernel sees a contact sheet with alt text instead.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import ipywidgets
import numpy as np
from PIL import Image

from coordflow_mini.plots import Panel, alt_text, panels_figure, to_bytes, to_html

if TYPE_CHECKING:
    from coordflow_mini.video import Video

__all__ = ["Scrubber", "scrub"]

MOST_PIXELS = 640 * 640  # of one picture: larger ones are shrunk, or a step would take too long


class Scrubber:
    """Pictures side by side that one slider moves; made by `scrub`, shown as the last line of a cell.

    play, slider, images: the widgets.  box: all of them, to put into a layout of your own.
    figure: the static contact sheet; its alt text describes the whole widget.
    """

    def __init__(self, shown: Sequence[Panel], *, fps: float, name: str) -> None:
        self._frames = [[_encoded(panel.picture(i)) for panel in shown] for i in range(shown[0].time)]
        self.figure = panels_figure(shown, fps=fps, name=name)
        self._fps, last = fps, len(self._frames) - 1
        self.images = [ipywidgets.Image(value=data, format="jpeg", layout={"width": "100%"})
                       for data in self._frames[0]]  # fmt: skip
        self.play = ipywidgets.Play(max=last, interval=max(40, round(1000 / fps)), disabled=last == 0)
        self.slider = ipywidgets.IntSlider(
            max=last, readout=False, disabled=last == 0, layout={"flex": "1 1 auto"}
        )
        self.now = ipywidgets.HTML(_now(0, fps))
        ipywidgets.jslink((self.play, "value"), (self.slider, "value"))
        self.slider.observe(self._move, names="value")
        titles = [ipywidgets.HTML(html.escape(panel.title)) for panel in shown]
        wide = {"flex": "1 1 0", "min_width": "160px", "max_width": "480px", "margin": "0 8px 0 0"}
        columns = [ipywidgets.VBox(list(pair), layout=wide) for pair in zip(titles, self.images, strict=True)]
        controls = ipywidgets.HBox([self.play, self.slider, self.now], layout={"align_items": "center"})
        self.box = ipywidgets.VBox([ipywidgets.HBox(columns, layout={"flex_flow": "row wrap"}), controls])

    def _move(self, change: Any) -> None:
        """Hand over the pictures of the slider's frame."""
        for image, data in zip(self.images, self._frames[change["new"]], strict=True):
            image.value = data
        self.now.value = _now(change["new"], self._fps)

    def __repr__(self) -> str:
        """How much there is to see."""
        return f"Scrubber({len(self.images)} pictures, {len(self._frames)} frames)"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        """The live widget, and beside it the contact sheet for places where no widget can live."""
        view = {"version_major": 2, "version_minor": 0, "model_id": self.box.model_id}
        return {
            "text/plain": alt_text(self.figure),
            "text/html": to_html(self.figure, dpi=96),
            "application/vnd.jupyter.widget-view+json": view,
        }


def scrub(
    videos: Video | Panel | Sequence[Video | Panel],
    *,
    titles: Sequence[str] | None = None,
) -> Scrubber:
    """A player for one clip or several side by side: play button, slider, arrow keys.

    videos: clips, or the panels that `plots.panels(original, decoded, rendering)` makes, of one length.
    titles: one per picture; by default the clip's name or the panel's title.
    Every frame is encoded now, so a step only hands over bytes.  Sizes may differ.
    Raises ValueError if there is nothing to show, or if lengths or the number of titles do not match.
    """
    sources = list(videos) if isinstance(videos, Sequence) else [videos]
    names = [source.title if isinstance(source, Panel) else source.name for source in sources]
    titles = names if titles is None else titles
    lengths = [source.time for source in sources]
    if len(set(lengths)) != 1:
        raise ValueError(f"videos must be one or more clips of one length, got lengths {lengths}")
    if len(titles) != len(sources):
        raise ValueError(
            f"titles must be one per video, got {len(titles)} for {len(sources)}: {list(titles)}"
        )
    rates = [float(source.fps) for source in sources if not isinstance(source, Panel)]
    shown = [_titled(source, title) for source, title in zip(sources, titles, strict=True)]
    return Scrubber(shown, fps=rates[0] if rates else 25.0, name=" and ".join(dict.fromkeys(names)))


def _titled(source: Video | Panel, title: str) -> Panel:
    """Any source as a panel of this title."""
    if isinstance(source, Panel):
        return Panel(title, source.time, source.picture)
    frames = source.frames
    return Panel(title, source.time, lambda i: frames[i])


def _encoded(picture: np.ndarray[Any, np.dtype[np.uint8]]) -> bytes:
    """The picture as JPEG, shrunk if it is large."""
    height, width = picture.shape[:2]
    shrink = (MOST_PIXELS / (height * width)) ** 0.5
    if shrink < 1:
        size = max(1, round(width * shrink)), max(1, round(height * shrink))
        picture = np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BOX))
    return to_bytes(picture)


def _now(frame: int, fps: float) -> str:
    return f"frame {frame}, {frame / fps:.2f} s"
