"""Controls around pictures that are already drawn.  The one place that knows ipywidgets.

Only widgets that ipywidgets 7.7 has too (Colab ships 7.7.1): Play, sliders, Dropdown, Image, HTML, boxes.

Why not one piece of HTML with its own script?  It would play without a kernel, but Jupyter removes
scripts from notebooks it does not trust, GitHub removes them always, every frame would be saved into the
notebook (megabytes per cell), and an error inside would be seen by nobody, whereas nbval fails on an
exception in a Python callback.  So the kernel hands over one small JPEG per step, encoded beforehand,
and whoever has no kernel sees a contact sheet with alt text instead.
"""

from coordflow_mini.show.widgets.overlay import Overlay, overlay
from coordflow_mini.show.widgets.playground import Playground, playground
from coordflow_mini.show.widgets.scrubber import Scrubber, compare, scrub
from coordflow_mini.show.widgets.shown import MOST_PIXELS
from coordflow_mini.show.widgets.training import TrainingView, watch

__all__ = [
    "MOST_PIXELS",
    "Overlay",
    "Playground",
    "Scrubber",
    "TrainingView",
    "compare",
    "overlay",
    "playground",
    "scrub",
    "watch",
]
