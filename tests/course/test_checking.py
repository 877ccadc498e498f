"""`check` as a learner meets it: it says what is wrong, hands back something that works, never raises."""

import pytest
import torch

from coordflow_mini import course, similarity
from coordflow_mini.course.exercises import checking, examiner, load
from coordflow_mini.course.exercises.examiner import Mistake, answer, close, diagnose
from coordflow_mini.course.lesson.logbook import LOGBOOK


@pytest.fixture(autouse=True)
def fresh_logbook(monkeypatch):
    monkeypatch.setattr(LOGBOOK, "outcomes", {})
    monkeypatch.setattr(LOGBOOK, "predictions", {})


def body_only(x): ...


def documented(x):
    """Only a docstring."""


def with_pass(x):
    pass


def with_a_hole(x):
    y = ...
    return y  # noqa: RET504


def returns_a_hole(x):
    return ...


STUBS = [body_only, documented, with_pass, with_a_hole, returns_a_hole, None, ...]


@pytest.mark.parametrize("stub", STUBS, ids=lambda stub: getattr(stub, "__name__", str(stub)))
def test_a_stub_is_untouched(stub):
    assert checking.is_untouched(stub)


WORK = [
    lambda x: x,
    lambda x: x[..., 0],
    lambda x: x[..., x],
    lambda x: 0,
    lambda x: repr(x),
    {"A": ...},
    0,
    "",
    torch.sin,
]


@pytest.mark.parametrize("work", WORK, ids=lambda work: str(type(work)))
def test_work_is_not_taken_for_a_stub(work):
    assert not checking.is_untouched(work)


def test_a_right_answer_is_handed_back_and_a_wrong_one_replaced(capsys):
    def inverse(transform):
        return similarity.inverse(transform)

    assert course.check(inverse) is inverse
    assert "right!" in capsys.readouterr().out
    assert course.check(lambda transform: -transform, "inverse") is similarity.inverse
    assert "negate all four numbers" in capsys.readouterr().out


def test_what_came_back_may_be_checked_again():
    """As when a learner runs only the line of the check once more."""
    used = course.check(lambda transform: -transform, "inverse")
    assert course.check(used) is used
    assert not course.progress().complete


def test_an_unknown_name_is_answered(capsys):
    def something(x):
        return x

    assert course.check(something) is something
    assert "no exercise 'something'" in capsys.readouterr().out


def test_a_stopped_function_shows_its_line(capsys):
    def matrix(transform):
        scale, angle = transform  # the wrong count
        return scale * angle

    course.check(matrix)
    said = " ".join(capsys.readouterr().out.split())
    assert "stopped with ValueError" in said
    assert "scale, angle = transform" in said
    assert "Traceback" not in said


def test_progress_counts_and_forgives(tmp_path):
    assert repr(course.progress()) == "Nothing has been checked yet."
    course.check(lambda transform: similarity.inverse(transform), "inverse")
    course.check(..., "matrix")
    summary = course.progress()
    assert not summary.complete
    assert "Chapter 03: 1 of 2 exercises done.   ✓ inverse   ○ matrix" in repr(summary)
    course.check(lambda transform: similarity.matrix(transform), "matrix")
    assert course.progress().complete
    file = tmp_path / "answers.json"
    course.progress().save(file)
    assert '"status": "passed"' in file.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: None, "returns None"),
        (lambda x: "text", "returns a str"),
        (lambda x: x[:2], r"shape \[2\], expected \[3\]"),
        (lambda x: x / 0, "not finite"),
        (lambda x: x + "a", "stopped with TypeError"),
    ],
)
def test_answers_of_the_wrong_form_are_named(function, message):
    with pytest.raises(Mistake, match=message):
        answer(function, torch.ones(3), shape=(3,))


def test_arguments_survive_a_function_that_changes_them():
    def doubles_in_place(x):
        x *= 2
        return x

    ones = torch.ones(3)
    assert answer(doubles_in_place, ones).tolist() == [2, 2, 2]
    assert ones.tolist() == [1, 1, 1]


def test_a_suspect_that_is_right_is_no_suspect():
    diagnose(torch.ones(2), torch.ones(2), {"never said": torch.ones(2)})
    with pytest.raises(Mistake, match="minus"):
        diagnose(-torch.ones(2), torch.ones(2), {"minus": -torch.ones(2)})
    with pytest.raises(Mistake, match=r"Your result is \(3, 3\), expected \(1, 1\)"):
        diagnose(3 * torch.ones(2), torch.ones(2), {"minus": -torch.ones(2)})


def test_shapes_are_compared_before_values():
    assert not close(torch.ones(1, 2), torch.ones(2))


def test_names_of_exercises_are_unique():
    def examine(theirs):
        """A second inverse."""

    examine.__name__ = "inverse"
    with pytest.raises(ValueError, match="unique"):
        examiner.exercise(chapter=9, stand_in=None)(examine)
    assert load()["inverse"].chapter == 3
