"""Figures on stdout, for readers and for programs."""

import json
from typing import Any

import typer

__all__ = ["figure", "print_json"]


def figure(value: Any) -> str:
    """A figure for a reader."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:.4f}"


def print_json(figures: Any) -> None:
    """As a program reads them."""
    typer.echo(json.dumps(figures, indent=2))
