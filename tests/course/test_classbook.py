"""`coordflow course report`: thirty students, some of them hostile."""

import csv
import io
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from coordflow_mini import cli
from coordflow_mini.course.lesson.logbook import FORMAT, Logbook, Outcome, Summary
from coordflow_mini.course.teacher import classbook, curriculum, submissions
from coordflow_mini.course.teacher.submissions import MOST_BYTES, plain_text, read_folder

NAMES = list(curriculum.exercises())
DONE = [name for name, chapter in curriculum.exercises().items() if chapter < 5][:20]
WRONG = NAMES[20]


def saved(path: Path, passed=(), wrong=(), guesses=(), name="", **mistakes: str) -> Path:
    """A file as a notebook writes it."""
    book = Logbook()
    for exercise, said in mistakes.items():
        book.note(Outcome(exercise, curriculum.exercises()[exercise], "wrong", said))
    for status, exercises in (("passed", passed), ("wrong", wrong)):
        for exercise in exercises:
            book.note(Outcome(exercise, curriculum.exercises()[exercise], status, "That is not it."))
    predictions = tuple({"name": n, "answer": 1, "right": r, "revised": False} for n, r in guesses)
    path.parent.mkdir(parents=True, exist_ok=True)
    Summary(tuple(book.outcomes.values()), predictions, book.mistakes).save(path, name)
    return path


def of_chapter(number: int) -> list[str]:
    return [name for name, chapter in curriculum.exercises().items() if chapter == number]


def run(*words: object) -> Result:
    return CliRunner().invoke(cli.app, ["course", "report", *map(str, words)])


def report(*words: object) -> dict:
    result = run(*words, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


# --- what the course has ------------------------------------------------------------------------------


def test_the_curriculum_is_what_the_examiners_register():
    from coordflow_mini.course import exercises

    assert curriculum.exercises() == {name: one.chapter for name, one in exercises.load().items()}


def test_the_report_never_loads_pytorch(tmp_path):
    saved(tmp_path / "ada.json", passed=["inverse"])
    code = f"""
import sys
from coordflow_mini import cli
try:
    cli.app(["course", "report", {str(tmp_path)!r}, "--html", {str(tmp_path / "a.html")!r}])
except SystemExit as end:
    assert end.code == 0
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


# --- a class ------------------------------------------------------------------------------------------


@pytest.fixture
def thirty(tmp_path) -> Path:
    """Student n has passed n exercises, at most 20; the even ones hand in a file per chapter, in a folder."""
    for number in range(30):
        done, guesses = DONE[:number], [("jpegs", number % 3 == 0)]
        said = {"inverse": "You negate all four numbers."} if number > 20 else {"matrix": "Transpose."}
        if number % 2:
            saved(tmp_path / f"student_{number:02d}.json", done, [WRONG], guesses, **said)
            continue
        for chapter in curriculum.chapters():
            mine = [name for name in done if name in of_chapter(chapter)]
            kept = {name: text for name, text in said.items() if name in of_chapter(chapter)}
            file = tmp_path / f"student_{number:02d}" / f"chapter {chapter}" / "answers.json"
            saved(file, mine, guesses=guesses if chapter == 0 else (), **kept)
    return tmp_path


def test_thirty_students_are_counted_rightly(thirty):
    found = report(thirty)
    assert found["warnings"] == [] and found["unknown"] == {}
    assert [student["name"] for student in found["students"]] == [f"student_{n:02d}" for n in range(30)]
    for number, student in enumerate(found["students"]):
        done = set(DONE[:number])
        assert student["passed"] == {
            f"{chapter:02d}": len(done & set(of_chapter(chapter))) for chapter in curriculum.chapters()
        }
        assert student["predictions"] == {"jpegs": number % 3 == 0}
    assert found["predictions"] == [{"name": "jpegs", "right": 10, "committed": 30}]
    matrix = next(one for one in found["exercises"] if one["name"] == "matrix")
    assert matrix["went_wrong"] == 21 and matrix["mistakes"] == {"Transpose.": 21}
    assert found["exercises"][0]["name"] == "matrix", "the hardest comes first"


def test_the_table_shows_them_all(thirty):
    text = run(thirty).stdout
    chapters = curriculum.chapters()
    heads = ["student", *(f"{chapter:02d}" for chapter in chapters), "all", "predictions"]
    lines = text.splitlines()
    assert lines[0].split() == heads
    number = 7
    cells = [f"{sum(name in of_chapter(c) for name in DONE[:7])}/{total}" for c, total in chapters.items()]
    assert lines[1 + number].split() == [f"student_{number:02d}", *cells, f"7/{len(NAMES)}", "0/1"]
    assert lines[31].startswith("class") and lines[31].endswith("33%")
    assert re.search(r"^matrix +03 +21 +\d+ +\d+  Transpose\.$", text, re.MULTILINE)
    assert "You negate all four numbers." in text and re.search(r"^jpegs +10 +30$", text, re.MULTILINE)
    assert max(map(len, lines)) <= 110


def test_a_spreadsheet_gets_a_row_each(thirty, tmp_path_factory):
    out = tmp_path_factory.mktemp("out") / "class.csv"
    assert run(thirty, "--csv", out).exit_code == 0
    rows = list(csv.DictReader(io.StringIO(out.read_text(encoding="utf-8-sig"))))
    assert [row["passed"] for row in rows] == [str(min(number, 20)) for number in range(30)]
    assert [row[DONE[3]] for row in rows[:6]] == ["untouched"] * 4 + ["passed"] * 2
    assert [row[WRONG] for row in rows[:4]] == ["untouched", "wrong"] * 2


def test_a_page_shows_them_all(thirty, tmp_path_factory):
    out = tmp_path_factory.mktemp("out") / "class.html"
    assert run(thirty, "--html", out).exit_code == 0
    page = out.read_text(encoding="utf-8")
    assert all(f">student_{number:02d}</th>" in page for number in range(30))
    assert "<script" not in page and "http:" not in page and "default-src 'none'" in page


def test_help_has_an_example():
    text = run("--help").stdout
    assert "\n  coordflow course report handed_in/\n" in text
    assert re.search(r"^  course ", CliRunner().invoke(cli.app, ["--help"]).stdout, re.MULTILINE)
    assert "report" in CliRunner().invoke(cli.app, ["course", "--help"]).stdout


# --- who is who ---------------------------------------------------------------------------------------


def names(folder: Path) -> list[str]:
    students, _ = read_folder(folder)
    return [student.name for student in students]


def test_a_name_joins_files_wherever_they_lie(tmp_path):
    saved(tmp_path / "03" / "a.json", of_chapter(3), name="Ada  Lovelace")
    saved(tmp_path / "04" / "b.json", of_chapter(4), name="ada lovelace")
    (student,) = report(tmp_path)["students"]
    assert student["name"] == "Ada Lovelace" and student["files"] == ["03/a.json", "04/b.json"]
    assert student["passed"]["03"] == len(of_chapter(3)) and student["passed"]["04"] == len(of_chapter(4))


def test_without_a_name_a_folder_is_a_student_and_so_is_a_file(tmp_path):
    saved(tmp_path / "ada" / "answers.json", of_chapter(3))
    saved(tmp_path / "ada" / "later" / "answers.json", of_chapter(4))
    saved(tmp_path / "bob.json", of_chapter(3))
    assert names(tmp_path) == ["ada", "bob"]


def test_one_name_in_a_folder_holds_for_all_its_files(tmp_path):
    saved(tmp_path / "box 17" / "a.json", of_chapter(3), name="Ada")
    saved(tmp_path / "box 17" / "b.json", of_chapter(4))
    assert names(tmp_path) == ["Ada"]


def test_handing_in_twice_counts_the_better_outcome_and_is_told(tmp_path):
    saved(tmp_path / "ada" / "1.json", wrong=["inverse"], passed=["warp"])
    saved(tmp_path / "ada" / "2.json", wrong=["warp"], passed=["inverse"])
    found = report(tmp_path)
    assert found["students"][0]["passed"]["03"] == 2
    (warning,) = found["warnings"]
    assert "ada/2.json" in warning and "better outcome" in warning


def test_the_same_name_twice_with_the_same_exercises_is_shown_apart(tmp_path):
    saved(tmp_path / "one.json", passed=["inverse"], name="Ada")
    saved(tmp_path / "two.json", wrong=["inverse"], name="Ada")
    found = report(tmp_path)
    assert [student["name"] for student in found["students"]] == ["Ada", "Ada (two.json)"]
    (warning,) = found["warnings"]
    assert warning.startswith("two.json: ") and "one.json" in warning


def test_files_of_before_there_was_a_format_are_read(tmp_path):
    old = {"exercises": [{"name": "inverse", "chapter": 3, "status": "passed"}], "predictions": []}
    (tmp_path / "old.json").write_text(json.dumps(old))
    found = report(tmp_path)
    assert found["students"][0]["passed"]["03"] == 1 and found["warnings"] == []


# --- hostile files ------------------------------------------------------------------------------------


def content(**changes: object) -> str:
    entry = {"name": "inverse", "chapter": 3, "status": "passed", "mistakes": []}
    return json.dumps({"format": FORMAT, "exercises": [entry], "predictions": []} | changes)


HOSTILE = {  # a file's content, and what its one line of warning must say
    "empty": ("", "is not JSON"),
    "no JSON": ("PASSED ALL", "is not JSON"),
    "half a file": (content()[:-20], "is not JSON"),
    "no text": (b"\xff\xfe\x00{", "UTF-8"),
    "too large": (" " * MOST_BYTES + content(), "larger than 1 MB"),
    "nested lists": ("[" * 500_000, "nested too deeply"),
    "nested records": ('{"a":' * 150_000, "nested too deeply"),
    "nested inside": (content().replace("[]", "[" * 200_000 + "]" * 200_000), "nested too deeply"),
    "a list": ("[1, 2, 3]", "progress().save"),
    "a number": ("7", "progress().save"),
    "a notebook": ('{"cells": [], "nbformat": 4}', "no list of exercises"),
    "exercises of a wrong type": (content(exercises={"inverse": "passed"}), "no list of exercises"),
    "predictions of a wrong type": (content(predictions=None), "no list of predictions"),
    "a format of words": (content(format="one"), "format"),
    "a format of logic": (content(format=True), "format"),
    "a later format": (content(format=FORMAT + 1), "upgrade"),
    "UTF-16": (content().encode("utf-16"), "UTF-8"),
    "NULs": ("\x00" * 1000, "is not JSON"),
    "digits": ("9" * 900_000, "progress().save"),
    "digits that are no integer": (
        content().replace('"format": 1', '"format": 1e999'),
        "format",
    ),
    "a format that is no number": (
        content().replace('"format": 1', '"format": NaN'),
        "format",
    ),
    "a format twice": (content()[:-1] + ', "format": 99}', "upgrade"),
    "a giant format": (content().replace('"format": 1', '"format": ' + "9" * 900_000), None),
}
DOUBTED = {  # read all the same
    "entries of wrong types": (content(exercises=[7, None, [], {"name": 3}, {"name": ["x"]}]), "5 of its"),
    "statuses of wrong types": (
        content(exercises=[{"name": "inverse", "status": s} for s in ([], {}, "PASSED", 1, None)]),
        "5 of its exercises",
    ),
    "one exercise many times": (
        content(exercises=[{"name": "inverse", "status": "passed"}] * 9),
        "8 of its exercises",
    ),
    "very many exercises": (
        content(exercises=[{"name": f"x{i}", "status": "passed"} for i in range(9999)]),
        "9999",
    ),
    "predictions of wrong types": (
        content(
            predictions=[
                {"name": "a b", "answer": 1, "right": True},
                {"name": "a", "answer": 1, "right": "yes"},
                {"name": "a" * 99, "answer": 1, "right": True},
            ]
        ),
        "3 of its predictions",
    ),
    "a name of a wrong type": (content(name={"first": "Ada"}), "name"),
}


@pytest.mark.promise(
    "No code from data",
    "A student's bad file gives one line in the teacher's report; the others are reported.",
)
@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_file_gives_one_line_and_the_others_are_reported(case, tmp_path):
    text, reason = HOSTILE[case]
    (tmp_path / "evil.json").write_bytes(text.encode() if isinstance(text, str) else text)
    saved(tmp_path / "ada.json", of_chapter(3))
    began = time.perf_counter()
    result = run(tmp_path)
    assert result.exit_code == 0 and time.perf_counter() - began < 5
    assert re.search(rf"^ada .*{len(of_chapter(3))}/{len(NAMES)}", result.stdout, re.MULTILINE)
    if reason is None:
        assert result.stderr.count("\n") <= 1
    else:
        assert re.fullmatch(r"warning: evil\.json: [^\n]+\n", result.stderr), result.stderr
        assert reason in result.stderr and "evil" not in result.stdout


@pytest.mark.parametrize("case", DOUBTED)
def test_what_can_be_read_of_a_doubtful_file_is_reported(case, tmp_path):
    text, reason = DOUBTED[case]
    (tmp_path / "odd.json").write_text(text)
    result = run(tmp_path)
    assert result.exit_code == 0 and "odd" in result.stdout
    assert re.fullmatch(r"warning: odd\.json: [^\n]+\n", result.stderr), result.stderr
    assert reason in result.stderr


@pytest.mark.promise("No code from data", "A student's file cannot claim more points than the course has.")
def test_a_file_cannot_claim_more_than_the_course_has(tmp_path):
    entries = [{"name": f"bonus_{i}", "chapter": 3, "status": "passed"} for i in range(40)]
    entries += [{"name": "inverse", "chapter": 99, "status": "passed"}]
    (tmp_path / "eve.json").write_text(content(exercises=entries))
    found = report(tmp_path)
    (student,) = found["students"]
    assert sum(student["passed"].values()) == student["passed"]["03"] == 1
    assert "99" not in found["chapters"] and student["exercises"].keys() == set(NAMES)
    assert len(found["unknown"]) == 40
    assert "bonus_0 (1)" in run(tmp_path).stdout


def test_a_prediction_changed_after_the_truth_was_seen_is_not_right(tmp_path):
    guesses = [
        {"name": "jpegs", "answer": 4, "right": True, "revised": True},
        {"name": "one_byte", "answer": "a", "right": True, "revised": False},
        {"name": "scale_two", "answer": None, "right": None},
    ]
    (tmp_path / "eve.json").write_text(content(predictions=guesses))
    assert report(tmp_path)["students"][0]["predictions"] == {"jpegs": False, "one_byte": True}
    assert re.search(r"^eve .* 1/2$", run(tmp_path).stdout, re.MULTILINE)


EVIL_NAMES = [
    "\x1b[2J\x1b]0;owned\x07",
    "two\nlines\r\nerror: fake",
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "\u202egnp.exe",
    "\ud800 half a pair",
    "=HYPERLINK(\"http://x\")",
    "+1", "-2", "@SUM(A1)",
    "x" * 100_000,
    "\u2066\u2069\u200b\ufeff\U000e0041",
    "[bold]x[/]",
    "A\u0301" * 5000,
    "\u0000",
    "   ",
    "Zoë 李",
]  # fmt: skip


@pytest.mark.parametrize("name", EVIL_NAMES, ids=range(len(EVIL_NAMES)))
def test_names_are_only_text(name, tmp_path):
    evil = {"name": name, "status": "passed"}
    mistakes = [{"name": "inverse", "status": "wrong", "mistakes": [name, 7]}]
    (tmp_path / "eve.json").write_text(content(name=name, exercises=[evil, *mistakes]))
    page, sheet = tmp_path / "class.html", tmp_path / "class.csv"
    result = run(tmp_path, "--html", page, "--csv", sheet)
    assert result.exit_code == 0, result.output
    shown = result.stdout + result.stderr
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\ud800-\udfff]", shown)
    assert max(map(len, result.stdout.splitlines())) <= 110
    html = page.read_text(encoding="utf-8")
    assert "<script" not in html and "<img" not in html
    (row,) = csv.DictReader(io.StringIO(sheet.read_text(encoding="utf-8-sig")))
    assert not row["student"].startswith(("=", "+", "-", "@"))
    again = json.loads(run(tmp_path, "--json").stdout)
    assert len(again["students"]) == 1


def test_a_mark_of_byte_order_and_keys_that_stand_twice_are_read(tmp_path):
    """Of two equal keys the later one counts, as JSON's readers agree."""
    text = "\ufeff" + content(name="Ada")[:-1] + ', "name": "Bob", "exercises": []}'
    (tmp_path / "a.json").write_text(text, encoding="utf-8")
    (student,) = report(tmp_path)["students"]
    assert student["name"] == "Bob" and sum(student["passed"].values()) == 0


def test_names_that_only_look_alike_are_two_students(tmp_path):
    """A Cyrillic letter makes another name; a wide Latin one is the same."""
    for number, name in enumerate(["Ada", "\u0410da", "\uff21da"]):
        saved(tmp_path / f"{number}.json", of_chapter(number + 1), name=name)
    assert len(names(tmp_path)) == 2


def test_plain_text_is_one_short_line():
    assert plain_text("a\tb\u2028c\x85d") == "a b c d"
    assert len(plain_text("x" * 10**6)) == 40


@pytest.mark.parametrize("name", ["علی\u200cرضا", "🧑\u200d🎓 Zoë", "क्\u200dष", "\u0600١٢", "\U000e0100葛"])
def test_names_of_all_languages_stay_what_they_are(name):
    assert plain_text(name) == name


@pytest.mark.parametrize("letter", "\x1b\u180e\u200b\u202e\u2066\ufeff\ud800\U0001d173\U000e0041")
def test_what_is_not_seen_or_turns_a_line_around_is_marked(letter):
    assert plain_text(f"A{letter}da") == "A?da"


def test_a_terminal_of_another_encoding_shows_what_it_can(tmp_path):
    saved(tmp_path / "x.json", ["inverse"], name="李 Zoë")
    words = [sys.executable, "-m", "coordflow_mini", "course", "report", str(tmp_path)]
    environment = os.environ | {"PYTHONIOENCODING": "latin-1"}
    done = subprocess.run(words, capture_output=True, env=environment, check=True)
    assert "? Zoë" in done.stdout.decode("latin-1")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has neither links for everyone nor pipes")
def test_links_and_pipes_are_not_followed(tmp_path):
    outside = saved(tmp_path / "secret" / "solution.json", NAMES)
    folder = tmp_path / "handed in"
    saved(folder / "ada.json", ["inverse"])
    (folder / "eve.json").symlink_to(outside)
    (folder / "all").symlink_to(outside.parent)
    (folder / "loop").symlink_to(folder)
    os.mkfifo(folder / "pipe.json")
    (folder / "folder.json").mkdir()
    found = report(folder)
    assert [student["name"] for student in found["students"]] == ["ada"]
    assert sorted(warning.partition(":")[0] for warning in found["warnings"]) == [
        "all",
        "eve.json",
        "loop",
        "pipe.json",
    ]


def test_other_files_are_named_in_one_line_and_hidden_ones_not_at_all(tmp_path):
    saved(tmp_path / "ada.json", ["inverse"])
    for name in ("a.ipynb", "b.txt", "c.json.txt", "d", ".DS_Store", "__MACOSX/._ada.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("{}")
    (warning,) = report(tmp_path)["warnings"]
    assert warning.startswith("a.ipynb, b.txt, c.json.txt and 1 more: ")


def test_folders_without_end_are_left(tmp_path):
    saved(tmp_path / "ada.json", ["inverse"])
    saved(tmp_path.joinpath(*"d" * 200) / "eve.json", ["inverse"])
    found = report(tmp_path)
    assert [student["name"] for student in found["students"]] == ["ada"]
    (warning,) = found["warnings"]
    assert "deep" in warning and len(warning) < 200


def test_file_names_are_only_text(tmp_path):
    saved(tmp_path / "\x1b[31mred.json", ["inverse"])
    (tmp_path / "a\nb.json").write_text("no")
    result = run(tmp_path)
    assert result.exit_code == 0 and "\x1b" not in result.output and result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["{folder}/nowhere"], "folder"),
        (["{folder}/note.txt"], "folder"),
        (["{folder}"], "there is no usable file"),
        (["{folder}", "--csv", "{folder}/x.json"], "--csv must end in .csv"),
        (["{folder}", "--html", "{folder}/nowhere/x.html"], "there is no folder"),
        ([], "DIR"),
    ],
    ids=str,
)
def test_without_anything_to_report_it_ends_with_two(words, reason, tmp_path):
    (tmp_path / "note.txt").write_text("")
    (tmp_path / "bad.json").write_text("no")
    result = run(*(word.format(folder=tmp_path) for word in words))
    assert result.exit_code == 2 and result.stdout == ""
    assert reason in result.stderr.splitlines()[-1] and result.stderr.splitlines()[-1].startswith("error: ")


def test_a_file_exchanged_for_a_link_at_the_last_moment_is_not_read(tmp_path):
    outside = saved(tmp_path / "out.json", ["inverse"])
    link = tmp_path / "link.json"
    link.symlink_to(outside)
    with pytest.raises(submissions.UnusableError):
        submissions.read_file(link)


def test_a_class_of_nobody_has_no_shares_of_nothing():
    assert "class" in classbook.to_text(classbook.Classbook([]))
