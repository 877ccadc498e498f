"""`check`: examine a learner's answer, say how it went, hand back what to use from there on."""

import dis
from typing import Any

import torch

from coordflow_mini.course import exercises
from coordflow_mini.course.exercises.examiner import Exercise, Mistake
from coordflow_mini.course.lesson.announce import announce
from coordflow_mini.course.lesson.logbook import LOGBOOK, Outcome

__all__ = ["check", "examine", "is_untouched"]


def check(answer: Any, name: str = "") -> Any:
    """The learner's answer once it passes; until then what stands in for it, so that Run All works.

    answer: a function, known by its own name, or any value with the exercise's name.
    Says what is wrong in words and never raises.

        inverse = check(inverse)
    """
    name = name or getattr(answer, "__name__", "")
    known = exercises.load()
    if name not in known:
        announce(f"There is no exercise {name!r}. Keep the name that the cell came with.")
        return answer
    outcome = examine(known[name], answer)
    LOGBOOK.note(outcome)
    announce(str(outcome))
    return answer if outcome.status == "passed" else known[name].stand_in


def examine(exercise: Exercise, answer: Any) -> Outcome:
    """What the exercise's examiner says about an answer; leaves the random numbers as they were."""
    name, chapter = exercise.name, exercise.chapter
    if answer is exercise.stand_in or is_untouched(answer):
        return Outcome(name, chapter, "untouched", f"not attempted yet.\n{_used_instead(exercise)}")
    try:
        with torch.random.fork_rng(devices=[]):
            exercise.examine(answer)
    except Mistake as mistake:
        return Outcome(name, chapter, "wrong", f"{mistake}\n{_used_instead(exercise)}")
    except Exception as error:  # an answer nobody thought of must not stop the notebook
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        message = f"your answer cannot be examined ({reason})."
        return Outcome(name, chapter, "wrong", f"{message}\n{_used_instead(exercise)}")
    return Outcome(name, chapter, "passed", "right! Your own answer is used from here on.")


def _used_instead(exercise: Exercise) -> str:
    """What later cells use."""
    name = getattr(exercise.stand_in, "__qualname__", "")
    home = getattr(exercise.stand_in, "__module__", "").rpartition(".")[2]
    used = f"{home}.{name}" if name.isidentifier() else "the course's answer"
    return f"  Until it is right, later cells use {used}."


def is_untouched(answer: Any) -> bool:
    """Whether this is the stub as it was handed out.

    A stub is the value `...`, a function without a body, or one with a hole: `x = ...` or `return ...`.
    """
    if answer is None or answer is ...:
        return True
    code = getattr(answer, "__code__", None)
    if code is None:
        return False
    steps = [step for step in dis.get_instructions(code) if step.opname not in _NO_WORK]
    holes = [
        step.argval is ... and (step.opname == "RETURN_CONST" or after.opname.startswith(_KEPT))
        for step, after in zip(steps, [*steps[1:], steps[-1]], strict=True)
    ]
    return any(holes) or all(step.opname in _RETURNED and step.argval is None for step in steps)


_NO_WORK = {"RESUME", "NOP", "CACHE", "COPY_FREE_VARS", "MAKE_CELL"}
_KEPT = ("STORE_", "RETURN_VALUE")
_RETURNED = {"LOAD_CONST", "RETURN_CONST", "RETURN_VALUE"}
