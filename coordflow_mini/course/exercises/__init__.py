"""Examiners of the exercises, one module per chapter, and the check that calls them."""

import importlib
import pkgutil
from functools import cache

from coordflow_mini.course.exercises.examiner import EXERCISES, Exercise


@cache
def load() -> dict[str, Exercise]:
    """All exercises of the course by name, in the order of the chapters."""
    for module in sorted(module.name for module in pkgutil.iter_modules(__path__)):
        if module.startswith("chapter_"):
            importlib.import_module(f"{__name__}.{module}")  # trusted: modules of this folder
    return EXERCISES
