"""Widgets for notebooks: players of clips and layers.

Made of what ipywidgets 7.7 has (Colab ships 7.7.1): Play, sliders, Dropdown, Image, HTML, boxes.

Why not HTML with its own script, which would play without a kernel?  Jupyter removes scripts from untrusted
notebooks and GitHub always, every frame would be saved into the notebook (megabytes per cell), and nobody
would see an error in it, whereas nbval fails on an exception in a Python callback.  So the kernel sends one
small JPEG per step, and readers without a kernel see a contact sheet with alt text.
"""

from coordflow_mini.show.widgets.overlay import overlay as overlay
from coordflow_mini.show.widgets.scrubber import compare as compare
from coordflow_mini.show.widgets.scrubber import scrub as scrub
from coordflow_mini.show.widgets.shown import MOST_PIXELS as MOST_PIXELS
from coordflow_mini.show.widgets.shown import Shown as Shown
