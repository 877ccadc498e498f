"""Plots of clips, layers and rates.  Each returns a `Picture` and shows nothing itself."""

from coordflow_mini.show.figure import PALETTE, Picture, to_pixels
from coordflow_mini.show.plots.charts import (
    Quality,
    rate_quality,
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
    "panels",
    "panels_figure",
    "pictures",
    "put_picture",
    "rate_quality",
    "to_pixels",
    "write_beside",
]
