"""A player that switches layers off and tints the picture where a layer is seen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import ipywidgets
import numpy as np

from coordflow_mini.show.figure import PALETTE, Pixels, to_pixels
from coordflow_mini.show.plots import Panel, panels_figure
from coordflow_mini.show.widgets import Shown, picture_widget, preview

if TYPE_CHECKING:
    from coordflow_mini.render import Rendering

COLORS = ("vermillion", "blue", "green", "purple", "orange", "sky")  # of layer 0, 1, ...
HOLE = 128  # gray level where a layer that is off would be seen


def overlay(rendering: Rendering, *, fps: float = 25.0, name: str = "the clip") -> Shown:
    """A player of a rendering: switch layers off, or tint the picture where a layer is seen.

    Controls: slider, play; switches, one per layer; tint, opacity; image.
    """
    colors, alpha = np.asarray(rendering.layer_rgb), np.asarray(rendering.alpha)
    layers, time = alpha.shape[:2]
    names = [f"layer {i}, {COLORS[i % len(COLORS)]}" for i in range(layers)]

    def drawn(frame: int, on: Sequence[int], tint: int, opacity: float) -> Pixels:
        picture = blended(colors[:, frame], alpha[:, frame], on)
        color = COLORS[tint % len(COLORS)]
        return picture if tint < 0 else tinted(picture, alpha[tint, frame], color, opacity)

    def panel(layer: int) -> Panel:
        return Panel(names[layer], time, lambda i: drawn(i, range(layers), layer, 0.6))

    def move(_: Any) -> None:
        on = [layer for layer, switch in enumerate(switches) if switch.value]
        image.value = preview(drawn(slider.value, on, tint.value, opacity.value))

    figure = panels_figure([panel(i) for i in range(layers)], fps=fps, name=f"{name}, one layer tinted")
    play = ipywidgets.Play(max=time - 1, interval=max(60, round(1000 / fps)), disabled=time == 1)
    slider = ipywidgets.IntSlider(max=time - 1, description="frame", disabled=time == 1)
    ipywidgets.jslink((play, "value"), (slider, "value"))
    switches = [
        ipywidgets.Checkbox(value=True, description=f"layer {i}", indent=False, layout={"width": "90px"})
        for i in range(layers)
    ]
    tints = [("nothing", -1), *((name, i) for i, name in enumerate(names))]
    tint = ipywidgets.Dropdown(options=tints, value=-1, description="tint")
    opacity = ipywidgets.FloatSlider(value=0.6, min=0, max=1, step=0.1, description="opacity")
    image = picture_widget(preview(drawn(0, range(layers), -1, 0.0)))
    for control in (slider, tint, opacity, *switches):
        control.observe(move, names="value")
    wrapping = {"flex_flow": "row wrap", "align_items": "center"}
    rows = [ipywidgets.HBox(row, layout=wrapping) for row in ([play, slider], switches, [tint, opacity])]
    box = ipywidgets.VBox([ipywidgets.VBox([image], layout={"max_width": "560px"}), *rows])
    controls = {"slider": slider, "play": play, "switches": switches, "tint": tint, "opacity": opacity}
    return Shown(box, figure, image=image, **controls)


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
