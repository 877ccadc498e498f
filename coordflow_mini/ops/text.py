"""Text from outside, made fit to be shown."""

import re

__all__ = ["printable"]

# Control characters but the tab and the line feed, halves of characters (of file names that are no text), and
# what turns the direction of writing around or is not seen at all.  What joins or parts its neighbors stays
# (Persian, emoji, hieroglyphs), as do signs with a shape of their own (of Arabic numbers, the end of a verse)
# and what a later Unicode may have given a meaning.
_UNSHOWN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff"
    "\ufff9-\ufffb\ufffe\uffff\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e007f]"
)


def printable(text: str) -> str:
    r"""Text that does nothing but appear: a name may hold what moves a terminal's cursor, or breaks an SVG.

    Lines stay lines, and tabs tabs.

    >>> printable("a\x1b[2Jb\u202egnp.exe")
    'a?[2Jb?gnp.exe'
    """
    return _UNSHOWN.sub("?", text)
