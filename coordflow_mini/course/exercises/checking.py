"""`check`: examines a learner's answer and returns what later cells use."""

import dis
from typing import Any

import torch

from coordflow_mini.course import exercises
from coordflow_mini.course.exercises.examiner import Exercise, Mistake
from coordflow_mini.course.lesson.announce import announce
from coordflow_mini.course.lesson.logbook import LOGBOOK, Outcome


def check(answer: Any, name: str = "") -> Any:
    """The learner's answer if it passes, otherwise a stand-in, so that Run All works.

    answer: a function with the exercise's name, or any value; then `name` is the exercise.
    Prints what is wrong and never raises.

        inverse = check(inverse)
    """
    name = name or getattr(answer, "__name__", "")
    known = exercises.load()
    if name not in known:
        announce(f"There is no exercise {name!r}. Keep the original name.")
        return answer
    outcome = examine(known[name], answer)
    LOGBOOK.note(outcome)
    announce(str(outcome))
    return answer if outcome.status == "passed" else known[name].stand_in


def examine(exercise: Exercise, answer: Any) -> Outcome:
    """Outcome of an exercise's examiner; leaves the state of random generators unchanged."""
    name, chapter = exercise.name, exercise.chapter
    if answer is exercise.stand_in or is_untouched(answer):
        return Outcome(name, chapter, "untouched", f"not attempted yet.\n{_used_instead(exercise)}")
    try:
        with torch.random.fork_rng(devices=[]):
            exercise.examine(answer)
    except Mistake as mistake:
        return Outcome(name, chapter, "wrong", f"{mistake}\n{_used_instead(exercise)}")
    except Exception as error:  # an unforeseen answer must not stop the notebook
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        message = f"your answer cannot be examined ({reason})."
        return Outcome(name, chapter, "wrong", f"{message}\n{_used_instead(exercise)}")
    return Outcome(name, chapter, "passed", "right! Your own answer is used from here on.")


def _used_instead(exercise: Exercise) -> str:
    name = getattr(exercise.stand_in, "__qualname__", "")
    home = getattr(exercise.stand_in, "__module__", "").rpartition(".")[2]
    used = f"{home}.{name}" if name.isidentifier() else "the course's answer"
    return f"  Until it is right, later cells use {used}."


def is_untouched(answer: Any) -> bool:
    """True for the stub of an exercise.

    A stub is `...`, a function without a body, or a function with a gap: `x = ...` or `return ...`.
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
