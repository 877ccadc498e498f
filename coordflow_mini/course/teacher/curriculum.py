"""The exercises of the course, read from the examiners' source code to avoid loading PyTorch."""

import ast
from collections import Counter
from functools import cache
from pathlib import Path

EXAMINERS = Path(__file__).parents[1] / "exercises"


@cache
def exercises() -> dict[str, int]:
    """Exercise names and their chapters, in the order of the course.

    A test checks them against `course.exercises.load()`.

    >>> exercises()["inverse"]
    3
    """
    sources = (path.read_text(encoding="utf-8") for path in sorted(EXAMINERS.glob("chapter_*.py")))
    functions = (n for text in sources for n in ast.parse(text).body if isinstance(n, ast.FunctionDef))
    return {function.name: chapter for function in functions for chapter in _registered(function)}


def chapters() -> Counter[int]:
    """Number of exercises by chapter."""
    return Counter(exercises().values())


def _registered(function: ast.FunctionDef) -> list[int]:
    """The chapter in the function's `@exercise(chapter=...)`: one element, or none."""
    return [
        ast.literal_eval(word.value)
        for call in function.decorator_list
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "exercise"
        for word in call.keywords
        if word.arg == "chapter"
    ]
