"""Rate points and BD-rates as CSV (RFC 4180, UTF-8), for spreadsheets and programs.

Texts are quoted, and what a spreadsheet would run as a formula (a clip's name may begin with =) gets an
apostrophe in front, which `read_points` removes.  Numbers keep all their digits.
"""

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from coordflow_mini.measure.curves import Comparison
from coordflow_mini.measure.results import RatePoint

__all__ = ["bd_rate_csv", "guarded", "points_csv", "read_points", "unguarded"]

_COLUMNS = [item.name for item in fields(RatePoint)]


def points_csv(points: Iterable[RatePoint]) -> str:
    """One row per point; the columns are its fields, and an unknown MS-SSIM is an empty cell."""
    return _table(_COLUMNS, map(asdict, points))


def bd_rate_csv(comparisons: Iterable[Comparison]) -> str:
    """One row per comparison; the columns are its fields, and an unknown difference is an empty cell."""
    return _table([item.name for item in fields(Comparison)], map(asdict, comparisons))


def read_points(path: Path) -> tuple[RatePoint, ...]:
    """The points that `points_csv` wrote.

    Raises ValueError with the line of the first row that is no point, OSError if there is no such file.
    """
    with path.open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file, strict=True)
        if rows.fieldnames != _COLUMNS:
            raise ValueError(f"{path} must have the columns {', '.join(_COLUMNS)}, got {rows.fieldnames}")
        return tuple(_point(path, rows.line_num, row) for row in rows)


def _table(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, quoting=csv.QUOTE_NONNUMERIC)
    writer.writeheader()
    writer.writerows({name: _cell(value) for name, value in row.items()} for row in rows)
    return text.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, bool):
        return str(value).lower()
    return guarded(value) if isinstance(value, str) else value


def _point(path: Path, line: int, row: Mapping[str, str]) -> RatePoint:
    try:
        values: dict[str, Any] = {name: unguarded(row[name]) for name in _COLUMNS}
        for name in ("bpp", "psnr_db", "encode_seconds", "decode_seconds"):
            values[name] = float(values[name])
        values["bytes"] = int(values["bytes"])
        values["ms_ssim"] = float(values["ms_ssim"]) if values["ms_ssim"] else None
        values["measured"] = {"true": True, "false": False}[values["measured"].lower()]
        return RatePoint.from_json(values)
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path}, line {line}, is no rate point: {error}") from None


# --- formulas -----------------------------------------------------------------------------------------

# Where a spreadsheet may see a formula: at the start of a cell, and after the separators of countries that
# write 0,5 (a program that expects semicolons gives up on quotes after the first comma).  Spaces and quotes
# before the sign are skipped, and a full-width sign counts like an ordinary one.
_FORMULA = r"""(?=['"\s\x00-\x1f\u200b-\u200f\ufeff]*[=+\-@＝＋－＠]|'*[\t\r])"""
_START = re.compile(rf"(^|[;\t\r\n]){_FORMULA}")
_GUARDED = re.compile(rf"(^|[;\t\r\n])'{_FORMULA}")


def guarded(text: str) -> str:
    """Text that no spreadsheet takes for a formula: an apostrophe precedes whatever could start one.

    For tables whose texts are all quoted (csv.QUOTE_NONNUMERIC).

    >>> guarded("=1+1"), guarded("a;=1+1"), guarded("a = b")
    ("'=1+1", "a;'=1+1", 'a = b')
    """
    return _START.sub(r"\1'", text)


def unguarded(text: str) -> str:
    """The text that `guarded` was given.

    >>> unguarded("a;'=1+1")
    'a;=1+1'
    """
    return _GUARDED.sub(r"\1", text)
