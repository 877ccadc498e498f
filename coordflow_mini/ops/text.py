"""Untrusted text, made safe to display."""

import re

# Control characters except tab and line feed, surrogates (from file names that are not text), bidirectional
# controls and invisible characters.  Joiners and non-joiners stay (Persian, emoji, hieroglyphs), as do format
# characters with a glyph (Arabic numbers, end of ayah) and code points that Unicode may yet assign.
_UNSHOWN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff"
    "\ufff9-\ufffb\ufffe\uffff\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e007f]"
)


def printable(text: str) -> str:
    r"""Replaces characters that could move a terminal's cursor, reverse the text or break an SVG.

    Line feeds and tabs stay.

    >>> printable("a\x1b[2Jb\u202egnp.exe")
    'a?[2Jb?gnp.exe'
    """
    return _UNSHOWN.sub("?", text)
