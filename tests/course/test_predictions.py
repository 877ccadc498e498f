"""Predictions: committed to before, compared after, never in the way."""

import pytest

from coordflow_mini import course
from coordflow_mini.course.lesson.logbook import LOGBOOK


@pytest.fixture(autouse=True)
def fresh_logbook(monkeypatch):
    monkeypatch.setattr(LOGBOOK, "outcomes", {})
    monkeypatch.setattr(LOGBOOK, "predictions", {})


def ask(answer=..., **changes):
    settings = {"choices": ["bigger", "smaller"]} | changes
    return course.predict("size", "It looks ...", answer=answer, **settings)


def test_without_an_answer_everything_goes_on(capsys):
    prediction = ask()
    prediction.compare("smaller", "Because.")
    said = capsys.readouterr().out
    assert "'bigger' or 'smaller'" in said
    assert "What came out: smaller" in said and "Because." in said
    assert prediction.right is None


@pytest.mark.parametrize(("answer", "right"), [("smaller", True), ("bigger", False)])
def test_a_choice_is_right_or_not(answer, right, capsys):
    prediction = ask(answer)
    prediction.compare("smaller")
    assert prediction.right is right
    assert ("You predicted it" in capsys.readouterr().out) is right


@pytest.mark.parametrize(("answer", "right"), [(2.2, True), (3, False)])
def test_a_number_is_right_within_a_band(answer, right):
    prediction = ask(answer, choices=(), unit="dB")
    prediction.compare(2.0, within=0.5)
    assert prediction.right is right


@pytest.mark.parametrize("answer", ["huge", 3, ["bigger"]])
def test_no_choice_is_no_answer(answer, capsys):
    assert ask(answer).answer is None
    assert "is not one of the choices" in capsys.readouterr().out


def test_a_word_is_no_number(capsys):
    assert ask("much", choices=(), unit="dB").answer is None
    assert "is not a number" in capsys.readouterr().out


def test_a_change_after_the_truth_is_remembered():
    ask("bigger").compare("smaller")
    assert not ask("bigger").revised
    ask("bigger").compare("smaller")
    later = ask("smaller")
    assert later.revised
    later.compare("smaller")
    assert ask("smaller").revised


def test_a_teacher_gets_json():
    ask("bigger").compare("smaller")
    (found,) = course.progress().to_json()["predictions"]
    assert found == {
        "name": "size",
        "question": "It looks ...",
        "answer": "bigger",
        "truth": "smaller",
        "unit": "",
        "right": False,
        "revised": False,
    }
    assert "Predictions: 1 of 1 committed to, 0 right." in repr(course.progress())
