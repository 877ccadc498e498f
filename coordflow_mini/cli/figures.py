"""Figures on stdout, for readers and for programs."""

import json
from typing import Any

import typer

from coordflow_mini.ops.text import printable

__all__ = ["count", "figure", "lengths", "print_json", "say"]


def count(number: int, noun: str) -> str:
    """So many of something.

    >>> count(1, "frame"), count(1200, "step")
    ('1 frame', '1,200 steps')
    """
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def figure(value: Any) -> str:
    """A figure for a reader."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:.4f}"


def say(text: str, *, err: bool = False) -> None:
    """Lines on stdout, or stderr; names in them (of files, of clips) do nothing but appear."""
    typer.echo(printable(text), err=err)


def print_json(figures: Any) -> None:
    """As a program reads them."""
    typer.echo(json.dumps(figures, indent=2))


def lengths(frames: list[int]) -> str:
    """How many segments there are, and how long they are.

    >>> lengths([24]), lengths([84, 83, 83]), lengths([2] * 20 + [1] * 5)
    ('1 of 24 frames', '3 of 84, 83 and 83 frames', '25 of 1 to 2 frames')
    """
    if len(set(frames)) == 1 or len(frames) > 8:
        text = " to ".join(str(length) for length in sorted({min(frames), max(frames)}))
    else:
        text = ", ".join(map(str, frames[:-1])) + f" and {frames[-1]}"
    return f"{len(frames)} of {text} frame{'s' if max(frames) > 1 else ''}"
