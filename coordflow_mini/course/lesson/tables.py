"""Measurements made beforehand, as chapters read them; `course.author.tables` makes them."""

import csv

from coordflow_mini.measure.results import data_file


def read(name: str) -> list[dict[str, str | float]]:
    """Rows of a table in `data/` by column, numbers as floats; an empty field is NaN."""
    with data_file(name).open(encoding="utf-8", newline="") as file:
        return [{key: _value(text) for key, text in row.items()} for row in csv.DictReader(file)]


def _value(text: str) -> str | float:
    try:
        return float(text or "nan")
    except ValueError:
        return text
