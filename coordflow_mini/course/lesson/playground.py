"""Sliders for a similarity: scale, angle and shift give the warped picture and the matrix."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import ipywidgets

from coordflow_mini import similarity
from coordflow_mini.course.lesson.figures import pictures
from coordflow_mini.show.figure import to_pixels
from coordflow_mini.show.widgets import Shown, picture_widget, preview

if TYPE_CHECKING:
    from torch import Tensor

EXAMPLES = {  # in the static figure: scale, angle [degrees], shift right, shift down
    "no change": (1.0, 0.0, 0.0, 0.0),
    "scale 2": (2.0, 0.0, 0.0, 0.0),
    "angle 30°": (1.0, 30.0, 0.0, 0.0),
    "shift (0.4, 0.2)": (1.0, 0.0, 0.4, 0.2),
}


def playground(warp: Callable[[Tensor], Any], *, name: str = "A picture") -> Shown:
    """Sliders for the four numbers of a similarity, with the warped picture and the matrix.

    warp: transform [4] = (log s, θ, dx, dy) -> picture, uint8 or float in [0, 1]; runs at every step of a
    slider.  name: what the picture shows, to begin a sentence with.
    Controls: scale, angle, right, down; image, matrix.
    """

    def move(_: Any) -> None:
        motion = _motion(*(float(slider.value) for slider in sliders.values()))
        image.value = preview(to_pixels(warp(motion)))
        matrix.value = _matrix_html(motion)

    drawn = {title: warp(_motion(*example)) for title, example in EXAMPLES.items()}
    figure = pictures(drawn, alt=f"{name} under four motions: {', '.join(drawn)}.")
    sliders = {
        "scale": ipywidgets.FloatSlider(value=1, min=0.25, max=4, step=0.05, description="scale s"),
        "angle": ipywidgets.IntSlider(value=0, min=-180, max=180, description="angle θ [°]"),
        "right": ipywidgets.FloatSlider(value=0, min=-1, max=1, step=0.05, description="right dx"),
        "down": ipywidgets.FloatSlider(value=0, min=-1, max=1, step=0.05, description="down dy"),
    }
    image, matrix = picture_widget(b""), ipywidgets.HTML()
    move(None)
    for slider in sliders.values():
        slider.layout = {"width": "100%", "max_width": "420px"}
        slider.observe(move, names="value")
    half = {"flex": "1 1 0", "min_width": "280px", "max_width": "480px", "margin": "0 16px 0 0"}
    halves = [ipywidgets.VBox(part, layout=half) for part in ([image], [*sliders.values(), matrix])]
    box = ipywidgets.HBox(halves, layout={"flex_flow": "row wrap"})
    return Shown(box, figure, image=image, matrix=matrix, **sliders)


def _motion(scale: float, degrees: float, right: float, down: float) -> Tensor:
    motion = similarity.identity()
    for index, value in enumerate((math.log(scale), math.radians(degrees), right, down)):
        motion[index] = value
    return motion


def _matrix_html(motion: Tensor) -> str:
    rows = (similarity.matrix(motion).round(decimals=2) + 0.0).tolist()  # + 0: no -0.00
    return f"<pre>{chr(10).join('  '.join(f'{value:6.2f}' for value in row) for row in rows)}</pre>"
