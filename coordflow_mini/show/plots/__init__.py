"""Plots of clips and rates.  Each returns a `Picture` and shows nothing itself."""

from coordflow_mini.show.figure import PALETTE as PALETTE
from coordflow_mini.show.figure import to_pixels as to_pixels
from coordflow_mini.show.plots.charts import Quality as Quality
from coordflow_mini.show.plots.charts import rate_quality as rate_quality
from coordflow_mini.show.plots.charts import write_beside as write_beside
from coordflow_mini.show.plots.frames import Panel as Panel
from coordflow_mini.show.plots.frames import error_picture as error_picture
from coordflow_mini.show.plots.frames import grid as grid
from coordflow_mini.show.plots.frames import panels as panels
from coordflow_mini.show.plots.frames import panels_figure as panels_figure
from coordflow_mini.show.plots.frames import put_picture as put_picture
