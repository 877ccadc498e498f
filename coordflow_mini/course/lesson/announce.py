"""What the course says to a learner: plain text, the one place that prints."""

import textwrap

__all__ = ["announce"]

WIDTH = 100  # characters: fits a notebook beside its file browser


def announce(text: str) -> None:
    """Print text, each of its lines wrapped and its continuation indented."""
    for line in text.splitlines():
        print(textwrap.fill(line, WIDTH, subsequent_indent="  ", break_on_hyphens=False))  # noqa: T201
