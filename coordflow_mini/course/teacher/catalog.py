"""Which exercises the course has, read from the examiners' sources, so that PyTorch is not needed."""

import ast
from collections import Counter
from functools import cache
from pathlib import Path

__all__ = ["chapters", "exercises"]

EXAMINERS = Path(__file__).parents[1] / "exercises"


@cache
def exercises() -> dict[str, int]:
    """The chapter of every exercise by its name, in the order of the course.

    The same as `course.exercises.load()` knows, which a test holds it to.

    >>> exercises()["inverse"]
    3
    """
    sources = (path.read_text(encoding="utf-8") for path in sorted(EXAMINERS.glob("chapter_*.py")))
    functions = (n for text in sources for n in ast.parse(text).body if isinstance(n, ast.FunctionDef))
    return {function.name: chapter for function in functions for chapter in _registered(function)}


def chapters() -> Counter[int]:
    """How many exercises each chapter has, by its number."""
    return Counter(exercises().values())


def _registered(function: ast.FunctionDef) -> list[int]:
    """The chapters in the `@exercise(chapter=...)` above a function: one, or none."""
    return [
        ast.literal_eval(word.value)
        for call in function.decorator_list
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "exercise"
        for word in call.keywords
        if word.arg == "chapter"
    ]
