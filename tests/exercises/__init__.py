"""Wrong answers to the exercises, by the mistake that a learner makes; one module per chapter.

    @wrong(says="all four numbers")
    def inverse(transform):
        "negates all four numbers"
        return -transform

The function has the exercise's name, its docstring names the mistake, `says` is a part of the message
that the check must give.  Where a value is asked for:
`wrong_value("which_bug", "A and B swapped", {...}, says="swapped")`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class WrongAnswer:
    exercise: str
    mistake: str
    answer: Any
    says: str


WRONG_ANSWERS: list[WrongAnswer] = []


def wrong(*, says: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def keep(function: Callable[..., Any]) -> Callable[..., Any]:
        assert function.__doc__, f"{function.__name__} must name its mistake in its docstring"
        WRONG_ANSWERS.append(WrongAnswer(function.__name__, function.__doc__, function, says))
        return function

    return keep


def wrong_value(exercise: str, mistake: str, answer: Any, *, says: str) -> None:
    WRONG_ANSWERS.append(WrongAnswer(exercise, mistake, answer, says))
