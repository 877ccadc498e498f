"""Chapter sources, chapters/NN_title.py, parsed into cells, headings and exercises.

A source is a Python file in the percent format.  Tags mark the purpose of a cell:

    # %% [markdown] tags=["exercise"]     the task, headed "### Exercise 3.1: ..."
    # %% tags=["stub"]                    the code to fill in, and the check
    # %% [markdown] tags=["hint"]         folded; at least one
    # %% tags=["solution"]                folded; code, or markdown that explains it
    # %% [markdown] tags=["answer"]       folded; answers to the final questions
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from coordflow_mini.ops.lazy import lazily

with lazily():  # belongs to the extra [lab], which Colab lacks
    import jupytext

CHAPTERS = Path(__file__).parents[3] / "chapters"  # in a checkout only, not in the wheel
FOLDED = ("hint", "solution", "answer")


@dataclass(frozen=True)
class Cell:
    """One cell of a chapter."""

    kind: str  # "markdown" or "code"
    source: str
    tags: tuple[str, ...] = ()

    @property
    def role(self) -> str:
        """The tag that marks the cell's purpose, or ""."""
        return next((tag for tag in self.tags if tag in ("exercise", "stub", *FOLDED)), "")


@dataclass(frozen=True)
class LessonExercise:
    """The cells of one exercise."""

    task: Cell
    stub: Cell | None
    hints: tuple[Cell, ...]
    solution: tuple[Cell, ...]

    @property
    def name(self) -> str:
        """The exercise's name: the last argument of `check` in the stub's cell."""
        found = re.findall(
            r"\bcheck\((?:\w+, *name=|\w+, *)?[\"']?(\w+)[\"']?\)", self.stub.source if self.stub else ""
        )
        return found[-1] if found else ""

    @property
    def code(self) -> str:
        """The code of the solution, without explanations."""
        return "\n\n".join(cell.source for cell in self.solution if cell.kind == "code")

    @property
    def solved(self) -> str:
        """The stub's cell with the solution in place of the stub, followed by the rest of the cell."""
        assert self.stub is not None
        tree = ast.parse(self.stub.source)
        first = next(node for node in tree.body if "check(" in ast.unparse(node))
        kept = self.stub.source.splitlines()[first.lineno - 1 :]
        return "\n\n\n".join([self.code, "\n".join(kept)])


@dataclass(frozen=True)
class Lesson:
    """One chapter."""

    path: Path
    cells: tuple[Cell, ...]

    @property
    def number(self) -> int:
        """The chapter's number, from its file name."""
        return int(self.path.name[:2])

    @property
    def notebook(self) -> Path:
        """Path of the built notebook."""
        return self.path.with_suffix(".ipynb")

    @property
    def headings(self) -> list[tuple[int, str]]:
        """(level, text) of all markdown headings, in order."""
        found = []
        for cell in self.cells:
            if cell.kind == "markdown":
                prose = re.sub(r"(?ms)^```.*?^```", "", cell.source)
                found += [(len(marks), text.strip()) for marks, text in re.findall(r"(?m)^(#+) (.+)$", prose)]
        return found

    @property
    def exercises(self) -> tuple[LessonExercise, ...]:
        """The exercises in order: each a task and the tagged cells after it."""
        return tuple(self._exercises())

    def _exercises(self) -> Iterator[LessonExercise]:
        for index, cell in enumerate(self.cells):
            if cell.role != "exercise":
                continue
            following = []
            for later in self.cells[index + 1 :]:
                if later.role not in ("stub", "hint", "solution"):
                    break
                following.append(later)
            roles = {
                role: tuple(c for c in following if c.role == role) for role in ("stub", "hint", "solution")
            }
            yield LessonExercise(cell, next(iter(roles["stub"]), None), roles["hint"], roles["solution"])

    def definitions(self) -> list[str]:
        """Source of each import, function and class in the chapter's code outside exercises."""
        kept = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef)
        trees = (ast.parse(cell.source) for cell in self.cells if cell.kind == "code" and not cell.role)
        return [ast.unparse(node) for tree in trees for node in tree.body if isinstance(node, kept)]


def read_lesson(path: Path) -> Lesson:
    """Parse a chapter's source."""
    book = jupytext.reads(path.read_text(encoding="utf-8"), fmt="py:percent")
    cells = [Cell(c.cell_type, c.source, tuple(c.metadata.get("tags", ()))) for c in book.cells]
    return Lesson(path, tuple(cells))


def chapter_sources(folder: Path = CHAPTERS) -> list[Path]:
    """Paths of all chapter sources, in order."""
    return sorted(folder.glob("[0-9][0-9]_*.py"))
