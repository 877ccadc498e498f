"""Every exercise: its stub is recognized, its solution passes, and wrong answers hear what is wrong."""

import importlib
import inspect
import linecache
from collections import Counter, defaultdict
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.exercises import WRONG_ANSWERS, WrongAnswer

pytest.importorskip("jupytext", reason="the chapters' sources are read with Jupytext")

from coordflow_mini.course import exercises
from coordflow_mini.course.author.chapter import chapter_sources, read_lesson
from coordflow_mini.course.exercises.checking import examine

for module in sorted(Path(__file__).parents[1].glob("exercises/chapter_*.py")):
    importlib.import_module(f"tests.exercises.{module.stem}")

LESSONS = {lesson.number: lesson for lesson in map(read_lesson, chapter_sources())}
EXERCISES = exercises.load()
IN_LESSONS = {task.name: (lesson, task) for lesson in LESSONS.values() for task in lesson.exercises}

each = pytest.mark.parametrize("name", EXERCISES)


@cache
def namespace(chapter: int) -> dict[str, Any]:
    """What the chapter's own code defines and imports, and the solutions of its exercises."""
    names: dict[str, Any] = {}
    for definition in LESSONS[chapter].definitions():
        with suppress(NameError):  # its default values need the chapter's data: no solution can use it
            run(definition, names)
    for task in LESSONS[chapter].exercises:
        run(task.code, names)
    return names


def run(code: str, names: dict[str, Any]) -> None:
    """Run code whose lines tracebacks can show, as a notebook's cells."""
    file = f"<cell {hash(code)}>"
    linecache.cache[file] = (len(code), None, code.splitlines(keepends=True), file)
    exec(compile(code, file, "exec"), names)


def test_chapters_and_examiners_have_the_same_exercises():
    assert {task: lesson.number for task, (lesson, _) in IN_LESSONS.items()} == {
        name: exercise.chapter for name, exercise in EXERCISES.items()
    }


@each
def test_the_solution_passes(name):
    lesson, task = IN_LESSONS[name]
    names = dict(namespace(lesson.number))
    run(task.code, names)
    outcome = examine(EXERCISES[name], names[name])
    assert outcome.status == "passed", outcome.message


@each
def test_what_stands_in_passes(name):
    EXERCISES[name].examine(EXERCISES[name].stand_in)  # raises Mistake if it does not


@each
def test_what_stands_in_does_not_count_as_the_learners(name):
    """It comes back when only the line of the check is run once more."""
    assert examine(EXERCISES[name], EXERCISES[name].stand_in).status == "untouched"


@each
def test_the_untouched_stub_is_recognized(name):
    lesson, task = IN_LESSONS[name]
    names = namespace(lesson.number) | {"check": lambda answer, name="": answer}
    run(task.stub.source, names)
    outcome = examine(EXERCISES[name], names[name])
    assert outcome.status == "untouched"
    assert "not attempted yet" in outcome.message


@pytest.mark.parametrize("wrong", WRONG_ANSWERS, ids=lambda wrong: f"{wrong.exercise}: {wrong.mistake}")
def test_a_wrong_answer_hears_its_mistake(wrong: WrongAnswer):
    outcome = examine(EXERCISES[wrong.exercise], wrong.answer)
    assert outcome.status == "wrong"
    assert wrong.says in outcome.message
    assert "cannot be examined" not in outcome.message


def test_every_exercise_has_wrong_answers_with_messages_of_their_own():
    messages = defaultdict(list)
    for wrong in WRONG_ANSWERS:
        messages[wrong.exercise].append(examine(EXERCISES[wrong.exercise], wrong.answer).message)
    for name in EXERCISES:
        assert len(messages[name]) >= 2, f"{name} needs at least two wrong answers in tests/exercises"
        repeated = [text for text, count in Counter(messages[name]).items() if count > 1]
        assert not repeated, f"{name}: two mistakes, one message: {repeated}"


@each
def test_any_nonsense_gets_an_answer_instead_of_an_exception(name):
    def stops(*_: object) -> None:
        raise RuntimeError

    nonsense = [
        0,
        "text",
        [],
        {},
        {"A": ...},
        stops,
        lambda *_: "text",
        lambda *_: float("nan"),
        lambda: 1,
        int,
    ]
    for answer in nonsense:
        outcome = examine(EXERCISES[name], answer)
        assert outcome.status == "wrong", answer
        assert outcome.message


@each
def test_an_examiner_is_quick_and_leaves_random_numbers_alone(name):
    torch = pytest.importorskip("torch")
    torch.manual_seed(5)
    examine(EXERCISES[name], lambda *arguments: EXERCISES[name].stand_in(*arguments))
    after = torch.rand(1)
    torch.manual_seed(5)
    assert after == torch.rand(1)
    assert "fit(" not in inspect.getsource(EXERCISES[name].examine), "a check must not depend on training"
