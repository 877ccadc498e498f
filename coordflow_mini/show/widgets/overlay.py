"""A player that switches layers off and tints the picture where a layer is seen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import ipywidgets
import numpy as np

from coordflow_mini.show.figure import PALETTE, Pixels, to_pixels
from coordflow_mini.show.plots import Panel, panels_figure
from coordflow_mini.show.widgets.shown import Shown, picture_widget, preview

if TYPE_CHECKING:
    from coordflow_mini.render import Rendering

__all__ = ["Overlay", "blended", "overlay", "tinted"]

COLORS = ("vermillion", "blue", "green", "purple", "orange", "sky")  # of layer 0, 1, ...
HOLE = 128  # gray level where a layer that is off would be seen


class Overlay(Shown):
    """Player of a rendering, made by `overlay`.

    slider, play: the frame.  switches: one per layer.  tint, opacity: the layer to tint.  image: the result.
    """

    def __init__(self, rendering: Rendering, *, fps: float, name: str) -> None:
        self._colors = np.asarray(rendering.layer_rgb)
        self._alpha = np.asarray(rendering.alpha)
        layers, time = self._alpha.shape[:2]
        everything = range(layers)
        sheet = [self._panel(layer) for layer in everything]
        self.figure = panels_figure(sheet, fps=fps, name=f"{name}, tinted where a layer is seen")
        self.play = ipywidgets.Play(max=time - 1, interval=max(60, round(1000 / fps)), disabled=time == 1)
        self.slider = ipywidgets.IntSlider(max=time - 1, description="frame", disabled=time == 1)
        ipywidgets.jslink((self.play, "value"), (self.slider, "value"))
        self.switches = [
            ipywidgets.Checkbox(value=True, description=f"layer {i}", indent=False, layout={"width": "90px"})
            for i in everything
        ]
        tints = [("nothing", -1)] + [(f"layer {i}, {_color(i)}", i) for i in everything]
        self.tint = ipywidgets.Dropdown(options=tints, value=-1, description="tint")
        self.opacity = ipywidgets.FloatSlider(value=0.6, min=0, max=1, step=0.1, description="opacity")
        self.image = picture_widget(preview(self._drawn(0, everything, -1, 0.0)))
        for control in (self.slider, self.tint, self.opacity, *self.switches):
            control.observe(self._move, names="value")
        rows = [[self.play, self.slider], self.switches, [self.tint, self.opacity]]
        wrapping = {"flex_flow": "row wrap", "align_items": "center"}
        controls = [ipywidgets.HBox(row, layout=wrapping) for row in rows]
        self.box = ipywidgets.VBox([ipywidgets.VBox([self.image], layout={"max_width": "560px"}), *controls])

    def _panel(self, layer: int) -> Panel:
        layers, time = self._alpha.shape[:2]
        return Panel(
            f"layer {layer} in {_color(layer)}", time, lambda i: self._drawn(i, range(layers), layer, 0.6)
        )

    def _drawn(self, frame: int, on: Sequence[int], tint: int, opacity: float) -> Pixels:
        """A frame of the layers that are on, with one of them tinted (-1: none)."""
        picture = blended(self._colors[:, frame], self._alpha[:, frame], on)
        return picture if tint < 0 else tinted(picture, self._alpha[tint, frame], _color(tint), opacity)

    def _move(self, change: Any) -> None:
        on = [layer for layer, switch in enumerate(self.switches) if switch.value]
        picture = self._drawn(self.slider.value, on, self.tint.value, self.opacity.value)
        self.image.value = preview(picture)

    def __repr__(self) -> str:
        return f"Overlay({len(self._alpha)} layers, {self._alpha.shape[1]} frames)"


def overlay(rendering: Rendering, *, fps: float = 25.0, name: str = "the clip") -> Overlay:
    """A player of a rendering: switch layers off, or tint the picture where a layer is seen."""
    return Overlay(rendering, fps=fps, name=name)


def blended(colors: Any, alpha: Any, on: Sequence[int]) -> Pixels:
    """Σ αᵢ cᵢ of the layers that are on, over medium gray: uint8 [height, width, 3].

    colors: uint8 [layers, height, width, 3].  alpha: [layers, height, width], with sum 1 over the layers.
    """
    weights = np.asarray(alpha)[list(on), ..., None]
    seen = (weights * np.asarray(colors)[list(on)]).sum(axis=0) + HOLE * (1 - weights.sum(axis=0))
    return to_pixels(seen / 255)


def tinted(picture: Pixels, alpha: Any, color: str, opacity: float) -> Pixels:
    """The picture under a color of the palette, mixed in by alpha times opacity: uint8 [height, width, 3]."""
    rgb = np.array([int(PALETTE[color][i : i + 2], 16) for i in (1, 3, 5)])
    cover = opacity * np.asarray(alpha, np.float32)[..., None]
    return to_pixels((picture * (1 - cover) + rgb * cover) / 255)


def _color(layer: int) -> str:
    return COLORS[layer % len(COLORS)]
