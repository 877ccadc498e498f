"""What is kept of a learner's work, and what a teacher gets of it."""

import json
import subprocess
import sys

import pytest

from coordflow_mini import __version__, course
from coordflow_mini.course.lesson.logbook import FORMAT, LOGBOOK, Logbook, Outcome


@pytest.fixture(autouse=True)
def fresh_logbook(monkeypatch):
    for part in ("outcomes", "mistakes", "predictions"):
        monkeypatch.setattr(LOGBOOK, part, {})


def test_mistakes_are_remembered_once_each_also_after_the_exercise_is_passed():
    book = Logbook()
    for status, message in [
        ("untouched", "not attempted yet."),
        ("wrong", "You negate all four numbers.\nThe library's is used."),
        ("wrong", "You negate all four numbers.\nThe library's is used."),
        ("wrong", "You forget 1/s."),
        ("passed", "right."),
    ]:
        book.note(Outcome("inverse", 3, status, message))
    assert book.outcomes["inverse"].status == "passed"
    assert book.mistakes["inverse"] == ["You negate all four numbers.", "You forget 1/s."]


def test_a_saved_file_says_what_a_teacher_needs(tmp_path):
    def inverse(transform):
        return -transform

    course.check(inverse)
    course.predict("size", "It looks ...", choices=["bigger", "smaller"], answer="bigger").compare("smaller")
    course.progress().save(tmp_path / "answers.json", name="Zoë")
    found = json.loads((tmp_path / "answers.json").read_text(encoding="utf-8"))
    assert (found["format"], found["library"], found["name"]) == (FORMAT, __version__, "Zoë")
    (entry,) = found["exercises"]
    assert (entry["name"], entry["chapter"], entry["status"]) == ("inverse", 3, "wrong")
    assert "all four numbers" in entry["mistakes"][0]
    assert [prediction["right"] for prediction in found["predictions"]] == [False]


def test_nobody_has_to_give_a_name(tmp_path):
    course.progress().save(tmp_path / "answers.json")
    assert "name" not in json.loads((tmp_path / "answers.json").read_text(encoding="utf-8"))


def test_the_package_loads_pytorch_only_when_it_is_needed():
    code = """
import sys
from coordflow_mini import course
from coordflow_mini.course import predict, progress
assert "torch" not in sys.modules
from coordflow_mini.course import check, setup
from coordflow_mini.course.lesson import figures
assert "torch" in sys.modules and callable(course.progress) and course.check is check
assert not hasattr(course, "no_such_name")
"""
    subprocess.run([sys.executable, "-c", code], check=True)
