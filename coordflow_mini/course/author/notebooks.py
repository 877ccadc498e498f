"""Builds notebooks from chapter sources, reproducibly.

    python -m coordflow_mini.course.author.notebooks [--no-solutions | --solved] [--out FOLDER]

The notebooks next to the sources are committed, because Colab opens nothing else.  They hold no outputs;
cell ids are hashes of the content; the repository's address comes from pyproject.toml.
"""

import argparse
import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from coordflow_mini.course.author.chapter import CHAPTERS, FOLDED, Cell, Lesson, chapter_sources, read_lesson
from coordflow_mini.course.lesson.announce import announce

PROJECT = CHAPTERS.parent / "pyproject.toml"
METADATA = {
    "accelerator": "GPU",
    "colab": {"gpuType": "T4", "provenance": [], "toc_visible": True},
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
INSTALL = """# Installs the course where it is missing, as on Colab; does nothing elsewhere.
import importlib.util

if importlib.util.find_spec("coordflow_mini") is None:
    get_ipython().run_line_magic("pip", "install git+{address}@{ref}")"""
BADGE = "[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]({address})"


@dataclass(frozen=True)
class Home:
    """The project's repository: the one setting that a fork changes."""

    repository: str  # OWNER/NAME on GitHub
    ref: str  # branch or tag

    @property
    def address(self) -> str:
        """Address for git and browsers."""
        return f"https://github.com/{self.repository}"

    def colab(self, notebook: str) -> str:
        """Address that opens a chapter in Colab."""
        return (
            f"https://colab.research.google.com/github/{self.repository}/blob/{self.ref}/chapters/{notebook}"
        )


@dataclass(frozen=True)
class Edition:
    """A variant of the notebooks."""

    home: Home
    solutions: bool = True  # folded below each exercise; False also drops the answers to the questions
    solved: bool = False  # solutions in place of stubs, and a last cell that fails unless all pass


def read_home(project: Path = PROJECT) -> Home:
    """Repository and ref from pyproject.toml."""
    text = project.read_text(encoding="utf-8")
    found = re.search(r'(?m)^Repository = "https://github\.com/([^"]+?)/?"', text)
    ref = re.search(r'(?ms)^\[tool\.coordflow\].*?^ref = "([^"]+)"', text)
    if not found or not ref:
        raise ValueError(f"{project} must set Repository in [project.urls] and ref in [tool.coordflow]")
    return Home(found[1], ref[1])


def write_repository(repository: str, project: Path = PROJECT) -> None:
    """Set the repository in pyproject.toml; raises ValueError unless it has the form OWNER/NAME."""
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repository):
        raise ValueError(f"--repo must be OWNER/NAME, got {repository!r}")
    text = project.read_text(encoding="utf-8")
    line = f'Repository = "https://github.com/{repository}"'
    project.write_text(re.sub(r"(?m)^Repository = .*$", line, text), encoding="utf-8")


def build(lesson: Lesson, edition: Edition) -> str:
    """The chapter as the content of an .ipynb file."""
    cells = _solved(lesson) if edition.solved else list(lesson.cells)
    if not edition.solutions or edition.solved:
        dropped = ("solution", "answer")
        cells = [cell for cell in cells if cell.role not in dropped]
    cells = _with_install(_with_badge(_folded(cells), lesson, edition.home), edition.home)
    book = {
        "cells": _with_ids(cells),
        "metadata": METADATA,
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    return json.dumps(book, indent=1, ensure_ascii=False) + "\n"


def _solved(lesson: Lesson) -> list[Cell]:
    """Cells with each stub replaced by its solution, and a verdict at the end."""
    solved = {id(exercise.stub): exercise.solved for exercise in lesson.exercises if exercise.stub}
    cells = [
        Cell(cell.kind, solved[id(cell)], cell.tags) if id(cell) in solved else cell for cell in lesson.cells
    ]
    verdict = "from coordflow_mini.course import progress\n\nassert progress().complete, progress()"
    return [*cells, Cell("code", verdict)]


def _folded(cells: Iterable[Cell]) -> list[Cell]:
    """Cells with neighboring hints, solutions and answers merged into one markdown cell of <details>."""
    result: list[Cell] = []
    for is_folded, group in groupby(cells, lambda cell: cell.role in FOLDED):
        if not is_folded:
            result += group
            continue
        parts, hints = [], 0
        for role, members in groupby(
            group, lambda cell: (cell.role, "" if cell.role != "hint" else cell.source)
        ):
            hints += role[0] == "hint"
            title = {"hint": f"Hint {hints}", "solution": "Solution", "answer": "Answers"}[role[0]]
            text = "\n\n".join(_as_markdown(cell) for cell in members)
            parts.append(f"<details>\n<summary>{title}</summary>\n\n{text}\n\n</details>")
        result.append(Cell("markdown", "\n\n".join(parts)))
    return result


def _as_markdown(cell: Cell) -> str:
    return f"```python\n{cell.source}\n```" if cell.kind == "code" else cell.source


def _with_badge(cells: list[Cell], lesson: Lesson, home: Home) -> list[Cell]:
    """Cells with the Colab badge below the title."""
    title, _, rest = cells[0].source.partition("\n")
    badge = BADGE.format(address=home.colab(lesson.notebook.name))
    return [Cell("markdown", f"{title}\n\n{badge}\n{rest}", cells[0].tags), *cells[1:]]


def _with_install(cells: list[Cell], home: Home) -> list[Cell]:
    """Cells with the installation before the first code cell."""
    first = next(index for index, cell in enumerate(cells) if cell.kind == "code")
    install = Cell("code", INSTALL.format(address=home.address, ref=home.ref), ("install",))
    return [*cells[:first], install, *cells[first:]]


def _with_ids(cells: list[Cell]) -> list[dict[str, Any]]:
    """The cells in nbformat 4.5; ids of equal cells get a counter."""
    seen: Counter[str] = Counter()
    result = []
    for cell in cells:
        digest = hashlib.sha256(f"{cell.kind}\n{cell.source}".encode()).hexdigest()[:12]
        seen[digest] += 1
        entry: dict[str, Any] = {"cell_type": cell.kind}
        entry |= {"execution_count": None} if cell.kind == "code" else {}
        entry["id"] = digest if seen[digest] == 1 else f"{digest}-{seen[digest]}"
        entry["metadata"] = {"tags": list(cell.tags)} if cell.tags else {}
        entry |= {"outputs": []} if cell.kind == "code" else {}
        entry["source"] = cell.source.splitlines(keepends=True)
        result.append(entry)
    return result


def main() -> None:
    """Build all notebooks."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--repo", metavar="OWNER/NAME", help="set this repository in pyproject.toml first")
    parser.add_argument("--no-solutions", action="store_true", help="leave out solutions and answers")
    parser.add_argument("--solved", action="store_true", help="replace stubs with solutions")
    parser.add_argument("--out", type=Path, help="output folder (default: chapters/)")
    options = parser.parse_args()
    if options.repo:
        write_repository(options.repo)
    edition = Edition(read_home(), not options.no_solutions, options.solved)
    for source in chapter_sources():
        lesson = read_lesson(source)
        target = (options.out or source.parent) / lesson.notebook.name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(build(lesson, edition), encoding="utf-8")
        announce(f"{source.name} -> {target}")


if __name__ == "__main__":
    main()
