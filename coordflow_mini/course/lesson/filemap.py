"""Chapter 08: the bytes of a file as a picture, colored by section."""

from collections.abc import Mapping

import numpy as np

from coordflow_mini.show.figure import PALETTE, Picture, styled

_ORDER = ("black", "blue", "vermillion", "purple", "green", "orange", "sky")


@styled
def byte_grid(
    data: bytes,
    sections: Mapping[str, tuple[int, int]],
    *,
    alt: str,
    columns: int = 192,
    numbers: bool = False,
) -> Picture:
    """One square per byte, in reading order and in its section's color; larger values are darker.

    sections: name -> (start, stop), see `ladder.parts`.  numbers: print each byte's two hexadecimal digits.
    """
    colors: dict[str, str] = {}  # both checksums share one: names count up to " at "
    for name in sections:
        colors.setdefault(name.split(" at ")[0], PALETTE[_ORDER[len(colors) % len(_ORDER)]])
    rows = -(-len(data) // columns)
    grid = np.ones((rows * columns, 3))
    for name, (start, stop) in sections.items():
        values = np.frombuffer(data[start:stop], np.uint8)[:, None]
        strength = 0.3 + 0.7 * values / 255
        hexadecimal = colors[name.split(" at ")[0]]
        color = np.array([int(hexadecimal[at : at + 2], 16) / 255 for at in (1, 3, 5)])
        grid[start : start + len(values)] = 1 - strength * (1 - color)
    figure = Picture(figsize=(9.0, 9.0 * rows / columns + 0.6), layout="constrained")
    figure.set_label(alt)
    place = figure.subplots()
    place.imshow(
        grid.reshape(rows, columns, 3), interpolation="nearest", aspect="auto" if numbers else "equal"
    )
    place.grid(False)
    place.set(xlabel=f"{columns} bytes in each row", xticks=[], yticks=[])
    if numbers:
        for index, value in enumerate(data):
            ink = "white" if grid[index] @ (0.3, 0.6, 0.1) < 0.5 else "black"
            place.text(index % columns, index // columns, f"{value:02x}", color=ink, ha="center", va="center")
    seen = {name.split(" at ")[0] for name, (start, _) in sections.items() if start < len(data)}
    for name in filter(seen.__contains__, colors):
        place.plot([], [], "s", color=colors[name], label=name)
    place.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncol=4, frameon=False)
    return figure
