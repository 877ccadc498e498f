"""Widgets for notebooks: players of clips and layers.

Made of what ipywidgets 7.7 has (Colab ships 7.7.1): Play, sliders, Dropdown, Image, HTML, boxes.

Why not HTML with its own script, which would play without a kernel?  Jupyter removes scripts from untrusted
notebooks and GitHub always, every frame would be saved into the notebook (megabytes per cell), and nobody
would see an error in it, whereas nbval fails on an exception in a Python callback.  So the kernel sends one
small JPEG per step, and readers without a kernel see a contact sheet with alt text.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import ipywidgets
import numpy as np
from PIL import Image

from coordflow_mini.show.figure import Picture, Pixels, alt_text, to_html, to_jpeg
from coordflow_mini.show.plots import Panel, panels_figure

if TYPE_CHECKING:
    from coordflow_mini.video.clip import Video

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


# --- players ------------------------------------------------------------------------------------------


def scrub(
    videos: Video | Panel | Sequence[Video | Panel],
    *,
    titles: Sequence[str] | None = None,
    captions: Sequence[str] | None = None,
) -> Shown:
    """A player for one clip or several side by side: play button, slider, arrow keys.

    videos: clips of one length, or panels as from `plots.panels(original, decoded, rendering)`.
    titles: one per picture; by default the clip's name or the panel's title.
    captions: one per frame, for pictures that differ by some setting instead of time.
    All frames are compressed at the call, so a step only sends bytes.  Sizes may differ.
    Controls: play, slider; images, one per picture; now, the caption.
    Raises ValueError if there is nothing to show, or if lengths, titles or captions do not match.
    """
    sources = list(videos) if isinstance(videos, Sequence) else [videos]
    names = [source.title if isinstance(source, Panel) else source.name for source in sources]
    titles = names if titles is None else titles
    lengths = [source.time for source in sources]
    if len(set(lengths)) != 1:
        raise ValueError(f"videos must be one or more clips of one length, got lengths {lengths}")
    if captions is not None and len(captions) != lengths[0]:
        raise ValueError(f"captions must be one per frame, got {len(captions)} for {lengths[0]} frames")
    rates = [float(source.fps) for source in sources if not isinstance(source, Panel)]
    fps = _SETTINGS_PER_SECOND if captions is not None else rates[0] if rates else 25.0
    shown = [_titled(source, title) for source, title in zip(sources, titles, strict=True)]
    return _player(shown, fps=fps, name=" and ".join(dict.fromkeys(names)), captions=captions)


_SETTINGS_PER_SECOND = 2.0  # slow enough to read the captions


def _titled(source: Video | Panel, title: str) -> Panel:
    if isinstance(source, Panel):
        return Panel(title, source.time, source.picture)
    frames = source.frames
    return Panel(title, source.time, lambda i: frames[i])


def _player(shown: Sequence[Panel], *, fps: float, name: str, captions: Sequence[str] | None = None) -> Shown:
    frames = [[preview(panel.picture(i)) for panel in shown] for i in range(shown[0].time)]
    said = captions or [f"frame {i}, {i / fps:.2f} s" for i in range(len(frames))]
    last = len(frames) - 1

    def move(_: Any) -> None:
        for image, data in zip(images, frames[slider.value], strict=True):
            image.value = data
        now.value = html.escape(said[slider.value])

    images = [picture_widget(data) for data in frames[0]]
    now = ipywidgets.HTML(html.escape(said[0]))
    play = ipywidgets.Play(max=last, interval=max(40, round(1000 / fps)), disabled=last == 0)
    slider = ipywidgets.IntSlider(
        max=last,
        description="setting" if captions else "frame",
        readout=False,
        disabled=last == 0,
        layout={"flex": "1 1 auto"},
    )
    ipywidgets.jslink((play, "value"), (slider, "value"))
    slider.observe(move, names="value")
    titles = [ipywidgets.HTML(html.escape(panel.title)) for panel in shown]
    wide = {"max_width": "480px", "margin": "0 8px 0 0"}
    columns = [ipywidgets.VBox(list(pair), layout=wide) for pair in zip(titles, images, strict=True)]
    # a grid, so that pictures of an incomplete row are no larger than the others
    grid = {"display": "grid", "grid_template_columns": "repeat(auto-fit, minmax(160px, 1fr))"}
    controls = ipywidgets.HBox([play, slider, now], layout={"align_items": "center"})
    box = ipywidgets.VBox([ipywidgets.Box(columns, layout=grid), controls])
    figure = panels_figure(shown, fps=fps, name=name, captions=captions)
    return Shown(box, figure, play=play, slider=slider, images=images, now=now)
