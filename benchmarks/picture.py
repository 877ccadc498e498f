"""The picture in the README, from a file that `coordflow demo` wrote.

python -m benchmarks.picture runs/demo/demo.cfv docs/layers.png
"""

import sys
from pathlib import Path

from coordflow_mini.coords import frame_times
from coordflow_mini.course.lesson import figures
from coordflow_mini.decoder import read_model
from coordflow_mini.render import render
from coordflow_mini.show.figure import to_png


def main(source: str, target: str) -> None:
    """Draw the middle frame: the blend, every layer alone, and its alpha."""
    header, model = read_model(Path(source).read_bytes())
    rendering = render(model, frame_times(header.time), header.height, header.width)
    Path(target).write_bytes(to_png(figures.layers_figure(rendering, header.time // 2), dpi=110))


if __name__ == "__main__":
    main(*sys.argv[1:])
