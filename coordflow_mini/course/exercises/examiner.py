"""Building blocks of examiners.

An examiner is a function that takes the learner's answer and returns if it is right.  Otherwise it raises
`Mistake` with a message that names the mistake:

    @exercise(chapter=3, stand_in=similarity.inverse)
    def inverse(theirs):
        motion = torch.tensor([0.3, 0.7, 0.2, -0.1])
        diagnose(
            answer(theirs, motion, shape=(4,)),
            similarity.inverse(motion),
            {"You negate all four numbers ...": -motion},
        )

Examiners never train a network.
"""

import linecache
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

Examiner = Callable[[Any], None]


class Mistake(Exception):  # noqa: N818 - not an error of the program
    """A wrong answer; the message tells the learner what is wrong."""


@dataclass(frozen=True)
class Exercise:
    """An exercise; its text, hints and solution are in the chapter."""

    name: str
    chapter: int
    stand_in: Any  # used by later cells until the learner's answer passes
    examine: Examiner


EXERCISES: dict[str, Exercise] = {}  # by name; filled by the modules chapter_NN


def exercise(chapter: int, stand_in: Any) -> Callable[[Examiner], Examiner]:
    """Register the decorated examiner under its name, which must be unique in the course."""

    def register(examine: Examiner) -> Examiner:
        name = examine.__name__
        if EXERCISES.get(name, examine).__module__ != examine.__module__:
            raise ValueError(f"exercise names must be unique, got {name!r} twice")
        EXERCISES[name] = Exercise(name, chapter, stand_in, examine)
        return examine

    return register


def answer(theirs: Callable[..., Any], *arguments: Any, shape: tuple[int, ...] | None = None) -> Tensor:
    """Result of the learner's function as a float64 tensor.

    Arguments are copied first, in case the function changes them.
    shape: expected of the result.  Raises Mistake if the function fails or returns anything but finite
    numbers of this shape.
    """
    found = call(theirs, *arguments)
    if found is None:
        raise Mistake("Your function returns None. Is the return missing?")
    try:
        values = torch.as_tensor(found).detach().cpu().double()
    except (TypeError, ValueError, RuntimeError):
        kind = type(found).__name__
        raise Mistake(f"Your function returns {_article(kind)}, expected a tensor.") from None
    if shape is not None and tuple(values.shape) != shape:
        raise Mistake(f"Your result has the shape {list(values.shape)}, expected {list(shape)}.")
    if not torch.isfinite(values).all():
        raise Mistake("Your result has entries that are not finite (inf or nan).")
    return values


def call(theirs: Callable[..., Any], *arguments: Any) -> Any:
    """Result of the learner's function; raises Mistake, quoting the line, if the function fails."""
    copies = [value.clone() if isinstance(value, Tensor) else _copied(value) for value in arguments]
    try:
        return theirs(*copies)
    except Mistake:
        raise
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else "no reason given"
        raise Mistake(
            f"Your function stopped with {type(error).__name__}: {reason.rstrip('.')}{_where(error, theirs)}."
        ) from None


def _copied(value: Any) -> Any:
    return value.copy() if isinstance(value, np.ndarray) else value


def _article(kind: str) -> str:
    return f"an {kind}" if kind[0].lower() in "aeiou" else f"a {kind}"


def _where(error: Exception, theirs: Callable[..., Any]) -> str:
    """The last line of the learner's own code before the error."""
    file = getattr(getattr(theirs, "__code__", None), "co_filename", "")
    lines = [step.lineno for step in traceback.extract_tb(error.__traceback__) if step.filename == file]
    text = linecache.getline(file, lines[-1] or 0).strip() if lines else ""
    return f", in the line: {text}" if text else ""


def close(first: Any, second: Any, tolerance: float = 1e-4) -> bool:
    """True if two results have the same shape and are equal up to rounding."""
    a, b = (torch.as_tensor(value).detach().cpu().double() for value in (first, second))
    return a.shape == b.shape and torch.allclose(a, b, rtol=tolerance, atol=tolerance)


def diagnose(
    found: Any,
    right: Any,
    suspects: Mapping[str, Any] | None = None,
    *,
    otherwise: str = "",
    tolerance: float = 1e-4,
) -> None:
    """Return if the result is right; otherwise raise the Mistake that leads to it.

    suspects: message -> the result of that mistake; those equal to the right result never match.
    otherwise: message if no suspect matches; by default it shows both results.
    """
    if close(found, right, tolerance):
        return
    for message, wrong in (suspects or {}).items():
        if close(found, wrong, tolerance):
            raise Mistake(message)
    raise Mistake(otherwise or f"Your result is {_shown(found)}, expected {_shown(right)}.")


def _shown(values: Any) -> str:
    """The first six numbers."""
    flat = torch.as_tensor(values).detach().double().flatten().tolist()
    text = ", ".join(f"{value:.4g}" for value in flat[:6])
    return text if len(flat) == 1 else f"({text}{', ...' if len(flat) > 6 else ''})"
