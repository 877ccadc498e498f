"""Uses of a layered model: masks, filled holes, other sizes and frame rates, a still camera, less noise.

A mask is where a layer's alpha is largest; a function of (x, y, t) has a value at any (x, y, t), also where
it was not trained; a layer's motion is known, so it can be undone.  `segment`, `upscale`, `interpolate` and
`stabilize` take a fitted model, `inpaint` and `denoise` fit one.  Taught in chapter 07, each beside the
obvious alternative.  `on_step` reports on fits, `counted` on rendering.
"""

from coordflow_mini.applications.fits import denoise as denoise
from coordflow_mini.applications.fits import inpaint as inpaint
from coordflow_mini.applications.views import Extent as Extent
from coordflow_mini.applications.views import Stabilized as Stabilized
from coordflow_mini.applications.views import background as background
from coordflow_mini.applications.views import grown as grown
from coordflow_mini.applications.views import interpolate as interpolate
from coordflow_mini.applications.views import masks as masks
from coordflow_mini.applications.views import segment as segment
from coordflow_mini.applications.views import stabilize as stabilize
from coordflow_mini.applications.views import stabilizing as stabilizing
from coordflow_mini.applications.views import upscale as upscale
