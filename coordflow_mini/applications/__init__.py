"""Uses of a layered model: masks, filled holes, other sizes and frame rates, a still camera, less noise.

A mask is where a layer's alpha is largest; a function of (x, y, t) has a value at any (x, y, t), also where
it was not trained; a layer's motion is known, so it can be undone.  `segment`, `upscale`, `interpolate` and
`stabilize` take a fitted model, `inpaint` and `denoise` fit one.  Taught in chapter 07, each beside the
obvious alternative.  `on_step` reports on fits, `counted` on rendering.
"""

from coordflow_mini.applications.fits import denoise, inpaint
from coordflow_mini.applications.views import (
    Counted,
    Extent,
    Masks,
    Stabilized,
    background,
    grown,
    interpolate,
    layer_video,
    masks,
    segment,
    stabilize,
    stabilizing,
    upscale,
)

__all__ = [
    "Counted",
    "Extent",
    "Masks",
    "Stabilized",
    "background",
    "denoise",
    "grown",
    "inpaint",
    "interpolate",
    "layer_video",
    "masks",
    "segment",
    "stabilize",
    "stabilizing",
    "upscale",
]
