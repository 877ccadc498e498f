"""Rate points and BD-rates as CSV (RFC 4180, UTF-8), for spreadsheets and programs.

Texts stand in quotes, and what a spreadsheet would run as a formula (the name of a clip may begin with =)
gets an apostrophe in front, which `read_points` takes away again.  Numbers stay numbers, with all their
digits.
"""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from coordflow_mini.measure.curves import Comparison
from coordflow_mini.measure.results import RatePoint
from coordflow_mini.ops.text import cell, of_cell

__all__ = ["bd_rate_csv", "points_csv", "read_points"]

_NAMES = [item.name for item in fields(RatePoint)]


def points_csv(points: Iterable[RatePoint]) -> str:
    """One row a point, under the names of the fields; an unknown MS-SSIM is an empty cell."""
    return _table(_NAMES, (point.to_json() for point in points))


def read_points(path: Path) -> tuple[RatePoint, ...]:
    """The points that `points_csv` wrote.

    Raises ValueError with the number of the row if one is no point, OSError if there is no such file.
    """
    with path.open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file, strict=True)
        if rows.fieldnames != _NAMES:
            raise ValueError(f"{path} must have the columns {', '.join(_NAMES)}, got {rows.fieldnames}")
        return tuple(_point(path, rows.line_num, row) for row in rows)


def bd_rate_csv(comparisons: Iterable[Comparison]) -> str:
    """One row a comparison: clip, our curve, the other, BD-rate, BD-PSNR, and why one of them is empty."""
    names = [item.name for item in fields(Comparison)]
    return _table(names, ({name: getattr(one, name) for name in names} for one in comparisons))


def _table(names: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, names, quoting=csv.QUOTE_NONNUMERIC)
    writer.writeheader()
    writer.writerows({name: _cell(value) for name, value in row.items()} for row in rows)
    return text.getvalue()


def _cell(value: Any) -> Any:
    """A value as a cell holds it."""
    if isinstance(value, bool):
        return str(value).lower()
    return cell(value) if isinstance(value, str) else value


def _point(path: Path, line: int, row: Mapping[str, str]) -> RatePoint:
    """The point of one row."""
    try:
        values: dict[str, Any] = {name: of_cell(row[name]) for name in _NAMES}
        for name in ("bpp", "psnr_db", "encode_seconds", "decode_seconds"):
            values[name] = float(values[name])
        values["bytes"], values["ms_ssim"] = int(values["bytes"]), _optional(values["ms_ssim"])
        values["measured"] = {"true": True, "false": False}[values["measured"].lower()]
        return RatePoint.from_json(values)
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path}, line {line}, is no rate point: {error}") from None


def _optional(text: str) -> float | None:
    return float(text) if text else None
