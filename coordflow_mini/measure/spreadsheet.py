"""Rate points and BD-rates as CSV (RFC 4180, UTF-8), for spreadsheets and programs.

Texts are quoted, and what a spreadsheet would run as a formula (a clip's name may begin with =) gets an
apostrophe in front.  Numbers keep all their digits.
"""

import csv
import io
import re
from collections.abc import Iterable
from dataclasses import astuple, fields
from typing import Any


def table(record: type, rows: Iterable[Any]) -> str:
    """One row per record of this kind; the columns are its fields, and None is an empty cell."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, quoting=csv.QUOTE_NONNUMERIC)
    writer.writerow(item.name for item in fields(record))
    writer.writerows(map(_cell, astuple(row)) for row in rows)
    return text.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, bool):
        return str(value).lower()
    return guarded(value) if isinstance(value, str) else value


# --- formulas -----------------------------------------------------------------------------------------

# Where a spreadsheet may see a formula: at the start of a cell, and after the separators of countries that
# write 0,5 (a program that expects semicolons gives up on quotes after the first comma).  Spaces and quotes
# before the sign are skipped, and a full-width sign counts like an ordinary one.
_FORMULA = r"""(?=['"\s\x00-\x1f\u200b-\u200f\ufeff]*[=+\-@＝＋－＠]|'*[\t\r])"""
_START = re.compile(rf"(^|[;\t\r\n]){_FORMULA}")


def guarded(text: str) -> str:
    """Text that no spreadsheet takes for a formula: an apostrophe precedes whatever could start one.

    For tables whose texts are all quoted (csv.QUOTE_NONNUMERIC).

    >>> guarded("=1+1"), guarded("a;=1+1"), guarded("a = b")
    ("'=1+1", "a;'=1+1", 'a = b')
    """
    return _START.sub(r"\1'", text)
