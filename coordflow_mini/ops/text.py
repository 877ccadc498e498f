"""Text that came from outside, made fit to be shown, and to stand in a table of a spreadsheet."""

import re

__all__ = ["cell", "of_cell", "printable"]

# Control characters but the tab and the line feed, halves of characters (of file names that are no text), and
# what turns the direction of writing around or is not seen at all.  What joins or parts its neighbors stays
# (Persian, emoji, hieroglyphs), as do signs with a shape of their own (of Arabic numbers, the end of a verse)
# and what a later Unicode may have given a meaning.
_UNSHOWN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff"
    "\ufff9-\ufffb\ufffe\uffff\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e007f]"
)

# Where a spreadsheet may begin a formula: at the start of a cell, and behind what parts cells and rows in
# countries that write 0,5 (a program that expects semicolons gives up on quotes after the first comma).
# Spaces and quotes before the sign are skipped; a full-width sign is as good as a narrow one.
_FORMULA = r"""(?=['"\s\x00-\x1f\u200b-\u200f\ufeff]*[=+\-@＝＋－＠]|'*[\t\r])"""
_BEGINS = re.compile(rf"(^|[;\t\r\n]){_FORMULA}")
_GUARDED = re.compile(rf"(^|[;\t\r\n])'{_FORMULA}")


def printable(text: str) -> str:
    r"""Text that does nothing but appear: a name may hold what moves a terminal's cursor, or breaks an SVG.

    Lines stay lines, and tabs tabs.

    >>> printable("a\x1b[2Jb\u202egnp.exe")
    'a?[2Jb?gnp.exe'
    """
    return _UNSHOWN.sub("?", text)


def cell(text: str) -> str:
    """Text that no spreadsheet takes for a formula: an apostrophe stands before what could begin one.

    For a table whose texts are all in quotes (csv.QUOTE_NONNUMERIC); numbers are written as they are.

    >>> cell("=1+1"), cell("a;=1+1"), cell("a = b")
    ("'=1+1", "a;'=1+1", 'a = b')
    """
    return _BEGINS.sub(r"\1'", text)


def of_cell(text: str) -> str:
    """The text that `cell` was given.

    >>> of_cell("a;'=1+1")
    'a;=1+1'
    """
    return _GUARDED.sub(r"\1", text)
