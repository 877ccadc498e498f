"""Web pages from the Jinja2 templates in `templates/`.

Each is one file that loads nothing, so it can be mailed, archived and opened years later: a content security
policy forbids everything outside it.  It can be read without scripts, on a phone and in dark mode.
Jinja2 escapes every value but our own SVG, which templates mark as safe.
"""

import base64
import hashlib
from collections.abc import Sequence
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from coordflow_mini.measure.curves import curve_name
from coordflow_mini.measure.results import RatePoint
from coordflow_mini.ops.console import plural
from coordflow_mini.ops.text import printable


def render(template: str, **values: Any) -> str:
    """The page that a template makes of the values, without control characters; see `printable`."""
    return printable(_TEMPLATES.get_template(template).render(values))


def number(value: float | None, digits: int = 2) -> str:
    """A number with thousands separators, or a dash for None.

    >>> number(1234.5), number(None)
    ('1,234.50', '–')
    """
    return "–" if value is None else f"{value:,.{digits}f}"


def signed(value: float, digits: int = 2) -> str:
    """A difference with its sign, a true minus if negative.

    >>> signed(0.5), signed(-12.34, 1)
    ('+0.50', '−12.3')
    """
    return f"{value:+.{digits}f}".replace("-", "−")


def seconds(value: float) -> str:
    """A duration with about two significant digits; a dash for 0, which stands for unknown."""
    return number(value or None, sum(value < limit for limit in (10, 1, 0.1)))


def listing(items: Sequence[str]) -> str:
    """Items in a sentence: `a`, `a and b`, `a, b and c`."""
    return " and ".join([", ".join(items[:-1]), items[-1]] if len(items) > 1 else items)


def detail(point: RatePoint) -> str:
    """Settings that are not part of `curve_name`, such as the CRF; the source of a published point."""
    if not point.measured:
        return f"published: {point.source}"
    words = point.settings.split(",")[0].split()
    return " ".join(word for word in words if not word.startswith(("preset=", "tune=")))


def _sha256(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


_TEMPLATES = Environment(
    loader=PackageLoader("coordflow_mini.show"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_FILTERS = {function.__name__: function for function in (curve_name, detail, number, plural, seconds, signed)}
_TEMPLATES.filters.update(_FILTERS, sha256=_sha256)
