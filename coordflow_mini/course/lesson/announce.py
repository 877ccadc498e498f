"""Plain-text messages to learners; the only module of the course that prints."""

import textwrap

WIDTH = 100  # characters: fits a notebook next to its file browser


def announce(text: str) -> None:
    """Print text with each line wrapped and continuation lines indented."""
    for line in text.splitlines():
        print(textwrap.fill(line, WIDTH, subsequent_indent="  ", break_on_hyphens=False))  # noqa: T201
