"""Results on stdout, for people and for programs."""

import json
from typing import Any

import typer

from coordflow_mini.ops.console import table
from coordflow_mini.ops.text import printable


def say(text: str, *, err: bool = False) -> None:
    """Print to stdout, or to stderr; control characters in file names are replaced."""
    typer.echo(printable(text), err=err)


def print_json(figures: Any) -> None:
    """Print as JSON."""
    typer.echo(json.dumps(figures, indent=2))


def print_figures(figures: dict[str, Any], as_json: bool) -> None:
    """Print figures as JSON, or as a table of those that are known."""
    if as_json:
        print_json(figures)
    else:
        known = {name: value for name, value in figures.items() if value not in (None, "")}
        say(table([[name, _figure(value)] for name, value in known.items()], left=2))


def _figure(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:.4f}"


def lengths(frames: list[int], parts: str = "") -> str:
    """Number of segments, or of other parts, and their lengths.

    >>> lengths([24]), lengths([84, 83, 83], "shots"), lengths([2] * 20 + [1] * 5)
    ('1 of 24 frames', '3 shots of 84, 83 and 83 frames', '25 of 1 to 2 frames')
    """
    if len(set(frames)) == 1 or len(frames) > 8:
        text = " to ".join(str(length) for length in sorted({min(frames), max(frames)}))
    else:
        text = ", ".join(map(str, frames[:-1])) + f" and {frames[-1]}"
    return f"{len(frames)} {f'{parts} ' if parts else ''}of {text} frame{'s' if max(frames) > 1 else ''}"
