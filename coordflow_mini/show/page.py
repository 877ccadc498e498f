"""The shell of a web page that loads nothing: its policy, its style, and how figures are written in words.

One file that can be mailed, archived and opened years later: a content security policy forbids
everything that is not inside it.  Readable without scripts, on a phone and in the dark.  What comes from
outside (names of clips, settings) is escaped by whoever puts it in.
"""

import base64
import hashlib
import html
from collections.abc import Mapping, Sequence

from coordflow_mini.ops.text import printable

__all__ = ["STYLE", "listing", "number", "page", "protocol", "seconds", "signed"]


def page(title: str, body: str, *, style: str = "", script: str = "") -> str:
    """A whole page of text.

    title: plain text.  body: HTML, what stands in `<main>`.  style: rules beyond `STYLE`.  script: the one
    script that the policy admits, by its hash.
    """
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    if script:
        policy += f"; script-src 'sha256-{_digest(script)}'"
        script = f"<script>{script}</script>\n"
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{html.escape(printable(title))}</title>
<style>{STYLE}{style}</style>
</head>
<body>
<main>
{printable(body)}
</main>
{script}</body>
</html>
"""


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def protocol(entries: Mapping[str, str]) -> str:
    """The section that says how things were measured: name and plain text of each entry that has one."""
    said = [(html.escape(name), html.escape(text)) for name, text in entries.items() if text]
    rows = "".join(f"<dt>{name}</dt><dd>{text}</dd>\n" for name, text in said)
    return f"""<section aria-labelledby="how">
<h2 id="how">How this was measured</h2>
<dl class="protocol">
{rows}</dl>
</section>"""


# --- words and numbers --------------------------------------------------------------------------------


def number(value: float | None, digits: int = 2) -> str:
    """A figure for a reader: fixed digits, thousands apart, a dash for what is not known.

    >>> number(1234.5), number(None)
    ('1,234.50', '–')
    """
    return "–" if value is None else f"{value:,.{digits}f}"


def signed(value: float, digits: int = 2) -> str:
    """A difference for a reader, with a true minus.

    >>> signed(0.5), signed(-12.34, 1)
    ('+0.50', '−12.3')
    """
    return f"{value:+.{digits}f}".replace("-", "−")


def seconds(value: float) -> str:
    """About two significant digits.  Published points have no times; their records hold 0."""
    return number(value or None, sum(value < limit for limit in (10, 1, 0.1)))


def listing(items: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join([", ".join(items[:-1]), items[-1]] if len(items) > 1 else items)


STYLE = """
:root { --paper: #fff; --card: #f6f8fa; --ink: #1f2328; --soft: #59636e; --faint: #d0d7de; --link: #0072b2;
  --vermillion: #d55e00; --blue: #0072b2; --sky: #56b4e9; --green: #009e73; --orange: #e69f00;
  --purple: #cc79a7; --black: #000; --wash: #d55e0014; }
@media (prefers-color-scheme: dark) { :root { --paper: #0d1117; --card: #161b22; --ink: #e6edf3;
  --soft: #9aa4af; --faint: #30363d; --link: #56b4e9; --vermillion: #ff8a3d; --blue: #2f81f7;
  --green: #2fc79a; --purple: #e39ac4; --black: #fff; --wash: #ff8a3d1f; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", sans-serif; }
main { max-width: 72rem; margin: 0 auto; padding: clamp(1rem, 4vw, 3rem);
  font-variant-numeric: tabular-nums; }
h1 { font-size: clamp(1.8rem, 5vw, 2.6rem); line-height: 1.15; margin: 0; letter-spacing: -.02em;
  overflow-wrap: anywhere; }
h2 { font-size: 1.25rem; margin: 3rem 0 .75rem; letter-spacing: -.01em; }
h3 { font-size: 1rem; margin: 1.5rem 0 .5rem; }
small { font-size: .8125rem; color: var(--soft); font-weight: 400; }
.eyebrow { margin: 0 0 .25rem; color: var(--vermillion); font-weight: 600; }
.lede { max-width: 60ch; margin: .75rem 0 0; font-size: 1.0625rem; }
.note { color: var(--soft); font-size: .875rem; max-width: 75ch; }
figure { margin: 0; }
figcaption { font-size: .875rem; color: var(--soft); margin-bottom: .25rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; }
th, td { padding: .5rem .75rem; text-align: right; white-space: nowrap;
  border-bottom: 1px solid var(--faint); }
thead th { color: var(--soft); font-size: .8125rem; font-weight: 500; white-space: normal;
  vertical-align: bottom; }
th:first-child { text-align: left; padding-left: .5rem; }
tbody th small { display: block; white-space: normal; }
tbody th { font-weight: 500; }
tbody th { position: sticky; left: 0; background: var(--paper); }
.ours > * { background: linear-gradient(var(--wash), var(--wash)) var(--paper); }
.ours th { color: var(--vermillion); font-weight: 600; }
.plot { margin-top: 1.5rem; }
.plot svg { display: block; width: 100%; min-width: 20rem; max-width: 42rem; height: auto; }
.protocol { display: grid; grid-template-columns: max-content minmax(0, 1fr); gap: .375rem 1.5rem;
  margin: 0; }
.protocol dt { color: var(--soft); }
.protocol dd { margin: 0; max-width: 75ch; overflow-wrap: anywhere; }
:focus-visible { outline: 2px solid var(--link); outline-offset: 2px; }
@media (max-width: 40rem) {
  tbody th { max-width: 9rem; white-space: normal; }
  .protocol { grid-template-columns: 1fr; gap: 0; }
  .protocol dd { margin-bottom: .75rem; }
}
@media print { details::details-content { content-visibility: visible; block-size: auto; } }
"""
