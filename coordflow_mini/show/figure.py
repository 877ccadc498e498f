"""The look of figures, their alt text, and the formats they are saved in.

Matplotlib without pyplot: there is no hidden state, and a figure shows itself at the end of a notebook cell.
Colors are those of Okabe and Ito (2008), which survive color blindness.

A figure's alt text is its matplotlib label.  Every plotting function sets it, `alt_text` reads it, and PNG,
SVG and HTML carry it.  Set your own with `figure.set_label(...)`.
"""

import base64
import html
import io
import re
from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeAlias, TypeVar

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure
from PIL import Image

from coordflow_mini.measure.metrics import as_numpy
from coordflow_mini.ops.text import printable

Pixels: TypeAlias = np.ndarray[Any, np.dtype[np.uint8]]  # [height, width, 3], or [height, width] for gray
P = ParamSpec("P")
T = TypeVar("T")

PALETTE = {  # without their yellow, which vanishes on white
    "vermillion": "#D55E00",
    "blue": "#0072B2",
    "sky": "#56B4E9",
    "green": "#009E73",
    "orange": "#E69F00",
    "purple": "#CC79A7",
    "black": "#000000",
}
INK, FAINT = "#24292F", "#D0D7DE"
_SALT = "coordflow"
_STYLE: Any = {
    "font.family": "DejaVu Sans",  # ships with matplotlib: the same picture everywhere
    "font.size": 9,
    "text.color": INK,
    "text.parse_math": False,  # a clip's name may contain a dollar sign
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": FAINT,
    "grid.linewidth": 0.6,
    "xtick.color": INK,
    "ytick.color": INK,
    "figure.constrained_layout.w_pad": 0.08,  # [inches]
    "lines.linewidth": 1.8,
    "lines.markersize": 6,
    "svg.fonttype": "none",  # keep text as text: it can be selected, and takes the font of a web page
    "svg.hashsalt": _SALT,  # equal figures give equal bytes
}


class Picture(Figure):
    """A figure that shows itself in a notebook, with alt text and without pyplot."""

    def __repr__(self) -> str:
        return f"Picture({alt_text(self)!r})"

    def _repr_html_(self) -> str:
        return to_html(self)


def styled(draw: Callable[P, T]) -> Callable[P, T]:
    """Decorator that runs a plotting function under the course's style."""

    @wraps(draw)
    def styled(*args: P.args, **kwargs: P.kwargs) -> T:
        with rc_context(_STYLE):
            return draw(*args, **kwargs)

    return styled


def alt_text(figure: Figure) -> str:
    """The figure described in words, for readers who cannot see it."""
    return printable(str(figure.get_label()))


# --- pixels -------------------------------------------------------------------------------------------


def to_pixels(picture: Any) -> Pixels:
    """uint8 pixels of a picture given as uint8, float in [0, 1] or bool, as array or tensor."""
    values = as_numpy(picture)
    if values.dtype == bool:
        values = values.astype(np.uint8) * 255
    if values.dtype != np.uint8:
        values = (np.clip(values.astype(np.float32), 0, 1) * 255 + 0.5).astype(np.uint8)
    return values


def to_jpeg(picture: Pixels, *, quality: int = 92) -> bytes:
    """JPEG file of one picture, without chroma subsampling, which would hide a codec's color errors."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=quality, subsampling=0)
    return buffer.getvalue()


def to_data_uri(data: bytes) -> str:
    """A PNG or JPEG file as a `data:` URI, for pages that load nothing."""
    kind = "png" if data.startswith(b"\x89PNG") else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"


# --- figures ------------------------------------------------------------------------------------------


def to_png(figure: Figure, *, dpi: int = 144) -> bytes:
    """PNG file of a figure; its Description is the alt text."""
    buffer, metadata = io.BytesIO(), {"Description": alt_text(figure), "Software": None}
    with rc_context(_STYLE):
        figure.savefig(buffer, format="png", dpi=dpi, metadata=metadata)
    return buffer.getvalue()


def to_html(figure: Figure, *, dpi: int = 144) -> str:
    """A figure as an `<img>` with embedded data: PNG, or JPEG if the PNG exceeds 200 kB (photographs)."""
    data = to_png(figure, dpi=dpi)
    if len(data) > 200_000:
        data = to_jpeg(np.asarray(Image.open(io.BytesIO(data)).convert("RGB")), quality=88)
    width = round(figure.get_figwidth() * 96)
    return f'<img src="{to_data_uri(data)}" alt="{html.escape(alt_text(figure))}" width="{width}">'


def to_svg_file(figure: Figure, *, transparent: bool = False) -> str:
    """A figure as a self-contained SVG file, with role and label; on white unless transparent."""
    # matplotlib's ids are hashes of content: with this salt, two figures of one page share none
    buffer, salt = io.StringIO(), {"svg.hashsalt": f"{_SALT} {alt_text(figure)}"}
    with rc_context(_STYLE | salt):
        metadata = {"Date": None, "Creator": None}
        figure.savefig(buffer, format="svg", metadata=metadata, transparent=transparent)
    label = f'role="img" aria-label="{html.escape(alt_text(figure))}" stroke-linejoin="round"'
    return buffer.getvalue().replace("<svg ", f"<svg {label} ", 1)


def to_svg(figure: Figure) -> str:
    """A figure as an `<svg>` element for a web page, with role and label, in the page's colors and font.

    Ink becomes `currentColor` and each color of the palette the CSS variable of its name (`--blue`), so the
    page decides about light and dark.
    """
    text = to_svg_file(figure, transparent=True)
    text = re.sub("(?s)^.*?(?=<svg)|<metadata>.*?</metadata>|<style.*?</style>", "", text)
    return re.sub(r"<[^>]*>", lambda tag: _themed(tag[0]), text)  # tags only: text may be a clip's name


def _themed(tag: str) -> str:
    """An SVG tag with colors and font replaced by those of the page."""
    if tag.startswith("<svg"):
        return tag
    tag = re.sub(r'<g id="[^"]*"', "<g", tag)  # nothing refers to the ids of groups
    tag = re.sub(r"font: (\d+ )?([\d.]+px) [^;\"]*", r"font-size: \2; font-weight: \1", tag)  # before 3.9
    tag = re.sub(r"font-family: [^;\"]*|font-weight: ;", "font-family: inherit", tag)
    themed = {INK: "currentColor", FAINT: f"var(--faint, {FAINT})"}
    themed |= {color: f"var(--{name}, {color})" for name, color in PALETTE.items()}
    for color, value in themed.items():
        tag = re.sub(color, value, tag, flags=re.IGNORECASE)
    return tag
