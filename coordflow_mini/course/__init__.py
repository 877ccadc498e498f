"""What only the lessons need: set-up, checked exercises, predictions, progress."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from coordflow_mini.course.predictions import predict
from coordflow_mini.course.progress import progress

if TYPE_CHECKING:
    from coordflow_mini.course.checking import check as check
    from coordflow_mini.course.environment import Environment as Environment
    from coordflow_mini.course.environment import setup as setup

# These load PyTorch, so they are imported when they are asked for: `coordflow course` does without.
_HOME = {"Environment": "environment", "check": "checking", "setup": "environment"}

__all__ = ["Environment", "check", "predict", "progress", "setup"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'coordflow_mini.course' has no attribute {name!r}")
    return getattr(import_module(f"coordflow_mini.course.{_HOME[name]}"), name)
