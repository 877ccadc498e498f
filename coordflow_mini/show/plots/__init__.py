"""Plots of clips, layers, motion, rates and training.  Each returns a `Picture` and shows nothing itself."""

from coordflow_mini.show.figure import PALETTE, Picture, to_pixels
from coordflow_mini.show.plots.charts import (
    Quality,
    motion_figure,
    rate_quality,
    training_curve,
    write_beside,
)
from coordflow_mini.show.plots.frames import (
    Panel,
    error_picture,
    frames_strip,
    layers_figure,
    panels,
    panels_figure,
    pictures,
    put_picture,
)

__all__ = [
    "PALETTE",
    "Panel",
    "Picture",
    "Quality",
    "error_picture",
    "frames_strip",
    "layers_figure",
    "motion_figure",
    "panels",
    "panels_figure",
    "pictures",
    "put_picture",
    "rate_quality",
    "to_pixels",
    "training_curve",
    "write_beside",
]
