"""Figures on stdout, for readers and for programs."""

import json
from typing import Any

import typer

__all__ = ["count", "figure", "print_json"]


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


def print_json(figures: Any) -> None:
    """As a program reads them."""
    typer.echo(json.dumps(figures, indent=2))
