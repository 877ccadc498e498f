"""What the pages for teachers say is true of the course: names, commands, fields, places, sums of minutes."""

import importlib
import inspect
import json
import pkgutil
import re
import shlex
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from tests.exercises import WRONG_ANSWERS

pytest.importorskip("jupytext", reason="the chapters' sources are read with Jupytext")

from coordflow_mini import cli, similarity
from coordflow_mini.coords import frame_times
from coordflow_mini.course.author.chapter import CHAPTERS, Lesson, chapter_sources, read_lesson
from coordflow_mini.course.author.notebooks import Edition, build, read_home
from coordflow_mini.course.lesson.logbook import Outcome, Summary
from coordflow_mini.course.lesson.predictions import Prediction
from coordflow_mini.course.teacher import curriculum

ROOT = CHAPTERS.parent
PAGE = (ROOT / "INSTRUCTORS.md").read_text(encoding="utf-8")
CARD = (ROOT / "docs" / "symbols.md").read_text(encoding="utf-8")
COMMANDS = r"(?:make|coordflow|python -m) [^`\n]+"

for module in sorted(Path(__file__).parents[1].glob("exercises/chapter_*.py")):
    importlib.import_module(f"tests.exercises.{module.stem}")

MISTAKES: dict[str, set[str]] = {}
for wrong in WRONG_ANSWERS:
    MISTAKES.setdefault(wrong.exercise, set()).add(wrong.mistake)


@cache
def lessons() -> dict[int, Lesson]:
    return {lesson.number: lesson for lesson in map(read_lesson, chapter_sources())}


def sections() -> dict[int, str]:
    """The page's section on each chapter, under a heading that begins with the chapter's number."""
    parts = re.split(r"(?m)^#+ ", PAGE)
    return {int(part[:2]): part for part in parts if re.match(r"\d\d ", part)}


def tables(text: str, *columns: str) -> list[list[dict[str, str]]]:
    """Rows by column of every table that has all these columns."""
    found = []
    for block in re.findall(r"(?m)(?:^\|.*\n?)+", text):
        head, _, *rows = ([cell.strip() for cell in line[1:-1].split("|")] for line in block.splitlines())
        if set(columns) <= set(head):
            found.append([dict(zip(head, row, strict=True)) for row in rows])
    return found


def minutes(exercise: str) -> int:
    """What the chapter says that an exercise takes."""
    lesson = lessons()[curriculum.exercises()[exercise]]
    task = next(task.task.source for task in lesson.exercises if task.name == exercise)
    return int(re.search(r"· (\d+) minutes\*", task)[1])


# --- chapters and exercises ---------------------------------------------------------------------------


def test_every_chapter_has_a_section_under_its_title():
    titles = {n: lesson.cells[0].source.splitlines()[0] for n, lesson in lessons().items()}
    found = {n: section.splitlines()[0] for n, section in sections().items()}
    assert found.keys() == titles.keys()
    for number, title in titles.items():
        assert title.removeprefix("# ").startswith(found[number])


@pytest.mark.parametrize("chapter", curriculum.chapters())
def test_every_exercise_stands_in_the_table_of_its_chapter_with_known_mistakes(chapter):
    (table,) = tables(sections()[chapter], "exercise", "what students write")
    assert [row["exercise"].strip("`") for row in table] == [t.name for t in lessons()[chapter].exercises]
    for row in table:
        named = set(row["what students write"].split("; "))
        assert named <= MISTAKES[row["exercise"].strip("`")], row


@pytest.mark.parametrize("chapter", curriculum.chapters())
def test_every_prediction_is_named_in_the_section_of_its_chapter(chapter):
    code = "\n".join(cell.source for cell in lessons()[chapter].cells)
    for name in re.findall(r'predict\(\s*"(\w+)"', code):
        assert f"`{name}`" in sections()[chapter]


def test_names_in_backticks_are_names_of_something():
    """An exercise renamed in its chapter must not live on here."""
    content = saved_content()
    fields = [content, *content["exercises"], *content["predictions"]]
    known = {*curriculum.exercises(), *(name for field in fields for name in field)}
    known |= {"name", "passed", "wrong", "untouched", "null", "false", "uint8", "frame_times", "make"}
    code = "\n".join(cell.source for lesson in lessons().values() for cell in lesson.cells)
    known |= set(re.findall(r'predict\(\s*"(\w+)"', code))
    known |= {path.stem for path in (ROOT / "coordflow_mini").rglob("*.py")}
    words = set(re.findall(r"`([a-z]+[a-z0-9_]*)`", re.sub(r"(?ms)^```.*?^```", "", PAGE)))
    assert sorted(words - known) == []


SYLLABI = tables(PAGE, "minutes", "exercises in class")


@pytest.mark.parametrize("syllabus", SYLLABI, ids=lambda plan: f"{len(plan)} meetings")
def test_a_syllabus_has_time_for_its_exercises(syllabus):
    taught: set[int] = set()
    for row in syllabus:
        exercises = re.findall(r"`(\w+)`", row["exercises in class"])
        assert sum(map(minutes, exercises)) <= 2 / 3 * int(row["minutes"]), row
        chapters = {int(number) for number in re.findall(r"\d\d", row["chapters"])}
        assert {curriculum.exercises()[name] for name in exercises} <= chapters
        taught |= chapters
    assert taught >= {3, 4, 5, 6, 8}, "the core"


def saved_content() -> dict:
    """What `progress().save` writes, without a name."""
    prediction = Prediction("size", "It looks ...", (), "", None)
    outcome = Outcome("inverse", 3, "wrong", "That is not it.")
    return Summary((outcome,), (prediction.to_json(),), {"inverse": ["That is not it."]}).to_json()


# --- commands and fields ------------------------------------------------------------------------------


def commands() -> list[str]:
    """All commands on both pages: in code blocks and between backticks."""
    blocks = "\n".join(re.findall(r"(?ms)^```\n(.*?)^```", PAGE))
    return sorted({*re.findall(rf"(?m)^({COMMANDS})$", blocks), *re.findall(rf"`({COMMANDS})`", PAGE)})


@pytest.mark.parametrize("command", commands())
def test_a_command_exists(command):
    program, *words = shlex.split(command)
    if program == "make":
        makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
        assert re.search(rf"(?m)^{words[0]}:", makefile), command
        for word in words[1:]:
            assert f"$({word.partition('=')[0]})" in makefile or f"$({word.partition('=')[0]}," in makefile
    elif program == "python":
        module = importlib.import_module(words[1])
        source = inspect.getsource(module)
        assert all(f'"{word}"' in source for word in words if word.startswith("--"))
    else:
        path = words[: 2 if words[0] == "course" else 1]
        help_text = CliRunner().invoke(cli.app, [*path, "--help"])
        assert help_text.exit_code == 0, help_text.output
        assert all(word in help_text.stdout for word in words if word.startswith("--"))


def test_options_named_apart_from_a_command_exist():
    named = set(re.findall(r"`(--[a-z-]+)`", PAGE))
    texts = [
        CliRunner().invoke(cli.app, [*words, "--help"]).stdout
        for words in (["encode"], ["decode"], ["course", "report"])
    ]
    assert named and all(any(option in text for text in texts) for option in named)


def test_the_fields_are_those_of_a_saved_file():
    content = saved_content()
    (table,) = tables(PAGE, "field")
    named: dict[str, set[str]] = {"": set(), "exercises": set(), "predictions": set()}
    for row in table:
        kind = ""
        for prefix, name in re.findall(r"`(?:(\w+)\[\]\.)?(\w+)`", row["field"]):
            kind = prefix or kind
            named[kind].add(name)
    assert named[""] == content.keys() - {"exercises", "predictions"} | {"name"}
    assert named["exercises"] == set(content["exercises"][0])
    assert named["predictions"] == set(content["predictions"][0])


def test_the_points_add_up():
    (table,) = tables(PAGE, "points")
    assert sum(int(row["points"]) for row in table) == 10


def test_a_notebook_without_solutions_keeps_hints_and_all_code_and_its_badge_leads_to_the_other():
    for lesson in lessons().values():
        whole, bare = (json.loads(build(lesson, Edition(read_home(), solutions=s))) for s in (True, False))
        code = [[c["source"] for c in book["cells"] if c["cell_type"] == "code"] for book in (whole, bare)]
        assert code[0] == code[1]
        text = json.dumps(bare["cells"])
        assert (
            "<summary>Hint 1" in text and "<summary>Solution" not in text and "<summary>Answers" not in text
        )
        assert f"chapters/{lesson.notebook.name}" in text


# --- keys to questions --------------------------------------------------------------------------------


def wrong_answer(exercise: str, mistake: str):
    return next(one.answer for one in WRONG_ANSWERS if (one.exercise, one.mistake) == (exercise, mistake))


def right_answer(exercise: str):
    from coordflow_mini.course import exercises

    return exercises.load()[exercise].stand_in


def test_psnr_in_uint8_is_right_for_small_differences_only():
    random = np.random.default_rng(0)
    first = random.integers(20, 200, (8, 8, 3)).astype(np.uint8)
    naive, right = wrong_answer("psnr", "subtracts and squares uint8"), right_answer("psnr")
    near = (first + random.integers(-15, 16, first.shape)).astype(np.uint8)
    assert naive(first, near) == pytest.approx(right(first, near))
    assert naive(first, near + np.uint8(2)) != pytest.approx(right(first, near + np.uint8(2)))


def test_negating_is_the_inverse_where_the_page_says_so_and_undoes_itself_everywhere():
    negate, inverse = wrong_answer("inverse", "negates all four numbers"), right_answer("inverse")
    for numbers in ([0.3, 0.5, 0.0, 0.0], [0.0, 0.0, 0.2, -0.1]):
        motion = torch.tensor(numbers)
        assert torch.allclose(negate(motion), inverse(motion), atol=1e-6)
    motion = torch.tensor([0.3, 0.5, 0.2, -0.1])
    assert torch.equal(negate(negate(motion)), motion)
    assert torch.allclose(inverse(inverse(motion)), motion, atol=1e-6)


def test_one_frame_hides_some_mistakes_of_gather():
    def flow(times):
        return torch.stack([0.3 * times, 0.1 + times, 0.2 + times, times - 0.3], dim=-1)

    arguments = flow, frame_times(1), torch.zeros(5, dtype=torch.int64), torch.rand(5, 2)
    right = right_answer("gather")(*arguments)
    for mistake in ("row i for pixel i", "frame numbers as times"):
        assert torch.allclose(wrong_answer("gather", mistake)(*arguments), right)
    assert not torch.allclose(wrong_answer("gather", "applies the inverse")(*arguments), right)


def test_shares_are_only_passed_on():
    alpha = torch.softmax(torch.randn(3, 7), dim=0)
    assert right_answer("handover")(alpha, torch.rand(3, 7)).sum(0).abs().max() < 1e-6
    assert right_answer("handover")(alpha, torch.full((3, 7), 0.2)).abs().max() < 1e-6


def test_a_still_camera_does_not_care_where_the_canonical_picture_lies():
    motion, turn = 0.3 * torch.randn(5, 4), torch.tensor([0.1, 0.5, 0.2, -0.1])
    still = right_answer("still_camera")
    assert torch.allclose(still(similarity.compose(after=turn, before=motion)), still(motion), atol=1e-5)


def test_one_bit_is_too_few():
    with pytest.raises(ZeroDivisionError):
        right_answer("quantize_all")([torch.ones(3)], 1)


# --- links and places ---------------------------------------------------------------------------------


def test_links_within_the_page_lead_to_its_headings():
    headings = re.findall(r"(?m)^#+ (.+)$", re.sub(r"(?ms)^```.*?^```", "", PAGE))
    anchors = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    assert set(re.findall(r"\]\(#([\w-]+)\)", PAGE)) <= anchors


def test_the_readme_leads_to_both_pages():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "(INSTRUCTORS.md)" in readme and "(docs/symbols.md)" in readme


@pytest.mark.parametrize("place", sorted(set(re.findall(r"`([a-z_]+(?:\.\w+)+)`", CARD))))
def test_a_place_on_the_card_exists(place):
    assert pkgutil.resolve_name(f"coordflow_mini.{place}").__doc__
