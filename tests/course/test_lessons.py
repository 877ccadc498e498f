"""The lint for lessons: every chapter has the parts that make it a lesson, in their order."""

import ast
import re
from collections import Counter
from pathlib import Path

import pytest

pytest.importorskip("jupytext", reason="the chapters' sources are read with Jupytext")

import itertools

from coordflow_mini.course.author.chapter import (
    CHAPTERS,
    Lesson,
    LessonExercise,
    chapter_sources,
    read_lesson,
)

LESSONS = [read_lesson(source) for source in chapter_sources()]
SECTIONS = (  # headings of level 2, by how they begin; others may stand between them
    "What you will be able to do",
    "Predict",
    "The idea",
    "Build",
    "Look",
    "Break it",
    "Recap",
    "Questions",
    "Further reading",
)
MOST_LINES = 30  # of a code cell
MOST_CHARACTERS = 92  # of a line of code: longer ones have to be scrolled in a notebook
MOST_SECONDS = 90  # a chapter on 2 CPU cores
DRAWN = {"axes", "lines", "pictures", "source_arrows"}  # these take their alt text; plots.* write their own

lessons = pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.path.stem)
tasks = pytest.mark.parametrize(
    ("lesson", "task"),
    [(lesson, task) for lesson in LESSONS for task in lesson.exercises],
    ids=lambda part: part.path.stem[:2] if isinstance(part, Lesson) else part.name,
)


def prose(lesson: Lesson) -> str:
    """All markdown of a chapter, without code blocks."""
    text = "\n\n".join(cell.source for cell in lesson.cells if cell.kind == "markdown")
    return re.sub(r"(?ms)^```.*?^```", "", text)


def code(lesson: Lesson) -> list[str]:
    return [cell.source for cell in lesson.cells if cell.kind == "code"]


def calls(lesson: Lesson) -> list[ast.Call]:
    """Every call in the chapter's code."""
    return [node for part in code(lesson) for node in ast.walk(ast.parse(part)) if isinstance(node, ast.Call)]


def called(call: ast.Call) -> str:
    """The last part of a called name."""
    return ast.unparse(call.func).rpartition(".")[2]


@lessons
def test_the_title_stands_alone_at_the_top(lesson):
    titles = [text for level, text in lesson.headings if level == 1]
    assert len(titles) == 1
    assert lesson.cells[0].source.startswith(f"# {lesson.number:02d} · ")


@lessons
def test_the_skeleton_is_complete_and_in_order(lesson):
    found = [text for level, text in lesson.headings if level == 2]
    places = []
    for section in SECTIONS:
        place = next((i for i, text in enumerate(found) if text.startswith(section)), None)
        assert place is not None, f"there is no section '## {section}'"
        places.append(place)
    assert places == sorted(places), f"the sections must come in the order {', '.join(SECTIONS)}"


@lessons
def test_heading_levels_are_not_skipped(lesson):
    levels = [level for level, _ in lesson.headings]
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))


@lessons
def test_the_times_are_stated_and_short_enough(lesson):
    first = " ".join(lesson.cells[0].source.split())
    assert re.search(r"\*\*Time\.\*\* About \d+ minutes to read and do", first)
    measured = re.search(r"measured: (\d+) s on 2 CPU cores", first)
    assert measured, "run: make time-chapters"
    assert int(measured[1]) <= MOST_SECONDS


@lessons
def test_it_is_set_up_once_for_its_own_number(lesson):
    found = [call for call in calls(lesson) if called(call) == "setup"]
    assert len(found) == 1
    assert f"setup(chapter={lesson.number})" in ast.unparse(found[0])


@lessons
def test_code_cells_are_short(lesson):
    wide = [line for part in code(lesson) for line in part.splitlines() if len(line) > MOST_CHARACTERS]
    assert not wide, f"more than {MOST_CHARACTERS} characters: {wide}"
    long = [part.splitlines()[0] for part in code(lesson) if len(part.splitlines()) > MOST_LINES]
    assert not long, f"more than {MOST_LINES} lines: {long}"


@lessons
def test_there_is_a_prediction_and_every_one_is_compared(lesson):
    made = {
        ast.unparse(node.targets[0])
        for part in code(lesson)
        for node in ast.walk(ast.parse(part))
        if isinstance(node, ast.Assign)
        and isinstance(node.value, ast.Call)
        and called(node.value) == "predict"
    }
    compared = {
        ast.unparse(call.func).partition(".")[0] for call in calls(lesson) if called(call) == "compare"
    }
    assert made, "a chapter needs a prediction"
    assert made <= compared, f"never compared: {sorted(made - compared)}"


@lessons
def test_the_naive_version_is_asserted_equal(lesson):
    assert any(isinstance(node, ast.Assert) for part in code(lesson) for node in ast.walk(ast.parse(part)))


@lessons
def test_every_figure_has_alt_text(lesson):
    text = prose(lesson)
    assert not re.findall(r"!\[\s*\]\(", text), "a picture without alt text"
    assert all('alt="' in tag for tag in re.findall(r"<img[^>]*>", text))
    for call in calls(lesson):
        if called(call) in DRAWN:
            words = next((word.value for word in call.keywords if word.arg == "alt"), None)
            assert words is not None, f"{ast.unparse(call.func)} without alt"
    assert not any("matplotlib" in part for part in code(lesson)), (
        "draw with figures.axes, which wants alt text"
    )


@lessons
def test_there_are_three_to_five_exercises_and_three_questions(lesson):
    assert 3 <= len(lesson.exercises) <= 5
    questions = prose(lesson).split("\n## Questions", 1)[1].split("\n## ", 1)[0]
    assert len(re.findall(r"(?m)^\d\. ", questions.split("tags", 1)[0])) >= 3
    assert any(cell.role == "answer" for cell in lesson.cells), "the questions need answers (folded)"


@lessons
def test_progress_is_shown_at_the_end(lesson):
    assert any(called(call) == "progress" for call in calls(lesson))


@tasks
def test_an_exercise_says_what_it_takes(lesson: Lesson, task: LessonExercise):
    text = task.task.source
    assert re.search(rf"(?m)^### Exercise {lesson.number}\.\d: \S", text)
    assert re.search(rf"(?m)^\*`{task.name}` · difficulty [123] of 3 · \d+ minutes\*$", text)


@tasks
def test_an_exercise_is_complete(lesson: Lesson, task: LessonExercise):
    assert task.stub is not None, "no stub"
    assert f"{task.name} = check({task.name}" in task.stub.source, "the check must hand back what is used on"
    assert task.hints, "no hint"
    assert task.code, "no solution"
    assert "..." in task.stub.source and "raise" not in task.stub.source, "a stub neither raises nor reveals"


@lessons
def test_exercises_are_numbered_in_order(lesson):
    numbers = [re.search(r"Exercise \d+\.(\d)", task.task.source)[1] for task in lesson.exercises]
    assert numbers == [str(number + 1) for number in range(len(numbers))]


def test_names_of_exercises_and_predictions_are_unique():
    names = [task.name for lesson in LESSONS for task in lesson.exercises]
    names += [
        ast.literal_eval(call.args[0])
        for lesson in LESSONS
        for call in calls(lesson)
        if called(call) == "predict"
    ]
    assert not [name for name, count in Counter(names).items() if count > 1]


@pytest.mark.parametrize(
    "page", sorted(CHAPTERS.parent.glob("*.md")) + sorted(CHAPTERS.glob("*.md")), ids=str
)
def test_links_of_pages_resolve(page: Path):
    check_links(page.read_text(encoding="utf-8"), page.parent)


@lessons
def test_links_resolve(lesson):
    check_links(prose(lesson), CHAPTERS)


@lessons
def test_named_modules_exist(lesson):
    for path in re.findall(r"`(coordflow_mini/[\w/]+\.py)`", prose(lesson)):
        assert (CHAPTERS.parent / path).is_file(), path


def check_links(text: str, folder: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if not re.match(r"https?:|mailto:|#", target):
            assert (folder / target.partition("#")[0]).exists(), f"{target} leads nowhere"
