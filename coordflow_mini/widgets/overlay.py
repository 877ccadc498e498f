"""Which layer is seen where: alpha laid over the picture in a color, one button per layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ipywidgets
import numpy as np

from coordflow_mini.plots import PALETTE, Panel, Pixels, panels_figure, to_pixels
from coordflow_mini.widgets.shown import Shown, picture_widget, to_jpeg

if TYPE_CHECKING:
    from coordflow_mini.model import Rendering

__all__ = ["Overlay", "overlay", "tinted"]

COLORS = ("vermillion", "blue", "green", "purple", "orange", "sky")  # of layer 0, 1, ...


class Overlay(Shown):
    """A clip under the alpha of the chosen layer; made by `overlay`.

    layer, opacity, slider, play, image: the widgets.
    """

    def __init__(self, rendering: Rendering, *, fps: float, name: str) -> None:
        self._rgb = [to_pixels(frame) for frame in rendering.rgb]
        self._alpha = np.asarray(rendering.alpha)
        layers, time = self._alpha.shape[:2]
        sheet = [Panel(f"layer {i}", time, self._tinted(i)) for i in range(layers)]
        self.figure = panels_figure(sheet, fps=fps, name=f"{name}, tinted where each layer is seen")
        named = [(f"{i}: {COLORS[i % len(COLORS)]}", i) for i in range(layers)]
        self.layer = ipywidgets.Dropdown(options=named, value=layers - 1, description="layer")
        self.opacity = ipywidgets.FloatSlider(value=0.6, min=0, max=1, step=0.1, description="opacity")
        self.play = ipywidgets.Play(max=time - 1, interval=max(80, round(1000 / fps)), disabled=time == 1)
        self.slider = ipywidgets.IntSlider(max=time - 1, description="frame", disabled=time == 1)
        ipywidgets.jslink((self.play, "value"), (self.slider, "value"))
        self.image = picture_widget(b"")
        for control in (self.layer, self.opacity, self.slider):
            control.observe(self._move, names="value")
        self._move(None)
        column = ipywidgets.VBox([self.image], layout={"max_width": "560px"})
        moving = ipywidgets.HBox([self.play, self.slider])
        chosen = ipywidgets.HBox([self.layer, self.opacity], layout={"flex_flow": "row wrap"})
        self.box = ipywidgets.VBox([column, moving, chosen])

    def _tinted(self, layer: int) -> Any:
        return lambda frame: tinted(self._rgb[frame], self._alpha[layer, frame], layer, 0.6)

    def _move(self, change: Any) -> None:
        """Tint the frame of the slider."""
        layer, frame = self.layer.value, self.slider.value
        picture = tinted(self._rgb[frame], self._alpha[layer, frame], layer, self.opacity.value)
        self.image.value = to_jpeg(picture)

    def __repr__(self) -> str:
        """How much there is to see."""
        return f"Overlay({len(self._alpha)} layers, {len(self._rgb)} frames)"


def overlay(rendering: Rendering, *, fps: float = 25.0, name: str = "the clip") -> Overlay:
    """A player of a rendering whose frames are tinted where the chosen layer is seen."""
    return Overlay(rendering, fps=fps, name=name)


def tinted(picture: Pixels, alpha: Any, layer: int, opacity: float) -> Pixels:
    """The picture, gray, with a layer's color laid over it by alpha times opacity, [height, width, 3]."""
    color = np.array([int(PALETTE[COLORS[layer % len(COLORS)]][i : i + 2], 16) for i in (1, 3, 5)])
    cover = opacity * np.asarray(alpha, np.float32)[..., None]
    return np.asarray(picture * (1 - cover) + color * cover + 0.5, np.uint8)
