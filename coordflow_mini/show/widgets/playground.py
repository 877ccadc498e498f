"""Sliders for a similarity: scale, angle and shift give the warped picture and the matrix."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import ipywidgets

from coordflow_mini import similarity
from coordflow_mini.show.figure import to_pixels
from coordflow_mini.show.plots import pictures
from coordflow_mini.show.widgets.shown import Shown, picture_widget, preview

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Playground", "playground"]

EXAMPLES = {  # in the static figure: scale, angle [degrees], shift right, shift down
    "no change": (1.0, 0.0, 0.0, 0.0),
    "scale 2": (2.0, 0.0, 0.0, 0.0),
    "angle 30°": (1.0, 30.0, 0.0, 0.0),
    "shift (0.4, 0.2)": (1.0, 0.0, 0.4, 0.2),
}


class Playground(Shown):
    """Four sliders, the warped picture and the matrix, made by `playground`.

    scale, angle, right, down: the sliders.  image, matrix: the results.
    """

    def __init__(self, warp: Callable[[Tensor], Any], *, name: str) -> None:
        self._warp = warp
        drawn = {title: warp(_motion(*example)) for title, example in EXAMPLES.items()}
        self.figure = pictures(drawn, alt=f"{name} under four motions: {', '.join(drawn)}.")
        wide = {"width": "100%", "max_width": "420px"}
        self.scale = ipywidgets.FloatSlider(value=1, min=0.25, max=4, step=0.05, description="scale s")
        self.angle = ipywidgets.IntSlider(value=0, min=-180, max=180, description="angle θ [°]")
        self.right = ipywidgets.FloatSlider(value=0, min=-1, max=1, step=0.05, description="right dx")
        self.down = ipywidgets.FloatSlider(value=0, min=-1, max=1, step=0.05, description="down dy")
        self.sliders = [self.scale, self.angle, self.right, self.down]
        self.image = picture_widget(preview(to_pixels(warp(_motion(1.0, 0.0, 0.0, 0.0)))))
        self.matrix = ipywidgets.HTML(_matrix_html(self.motion))
        for slider in self.sliders:
            slider.layout = wide
            slider.observe(self._move, names="value")
        wanted = {"flex": "1 1 0", "min_width": "280px", "max_width": "480px", "margin": "0 16px 0 0"}
        left = ipywidgets.VBox([self.image], layout=wanted)
        controls = ipywidgets.VBox([*self.sliders, self.matrix], layout=wanted)
        self.box = ipywidgets.HBox([left, controls], layout={"flex_flow": "row wrap"})

    @property
    def motion(self) -> Tensor:
        """The transform [4] set by the sliders."""
        return _motion(*(float(slider.value) for slider in self.sliders))

    def _move(self, change: Any) -> None:
        self.image.value = preview(to_pixels(self._warp(self.motion)))
        self.matrix.value = _matrix_html(self.motion)

    def __repr__(self) -> str:
        return f"Playground({', '.join(f'{slider.value:g}' for slider in self.sliders)})"


def playground(warp: Callable[[Tensor], Any], *, name: str = "A picture") -> Playground:
    """Sliders for the four numbers of a similarity, with the warped picture and the matrix.

    warp: transform [4] = (log s, θ, dx, dy) -> picture, uint8 or float in [0, 1]; runs at every step of a
    slider.  name: what the picture shows, to begin a sentence with.
    """
    return Playground(warp, name=name)


def _motion(scale: float, degrees: float, right: float, down: float) -> Tensor:
    motion = similarity.identity()
    for index, value in enumerate((math.log(scale), math.radians(degrees), right, down)):
        motion[index] = value
    return motion


def _matrix_html(motion: Tensor) -> str:
    rows = (similarity.matrix(motion).round(decimals=2) + 0.0).tolist()  # + 0: no -0.00
    return f"<pre>{chr(10).join('  '.join(f'{value:6.2f}' for value in row) for row in rows)}</pre>"
