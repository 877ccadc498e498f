"""The notebooks are what the sources build, byte for byte, and they are fit for Jupyter and Colab."""

import json
import re
from pathlib import Path

import pytest

pytest.importorskip("jupytext", reason="the chapters' sources are read with Jupytext")

from coordflow_mini.course.author import notebooks
from coordflow_mini.course.author.chapter import CHAPTERS, Cell, Lesson, chapter_sources, read_lesson
from coordflow_mini.course.author.notebooks import Edition, Home, build, read_home

HOME = Home("someone/some-fork", "v9")
LESSON = Lesson(
    Path("01_some_title.py"),
    (
        Cell("markdown", "# 01 · Some title\n\nText."),
        Cell("code", "import math"),
        Cell("markdown", "### Exercise 1.1: Double", ("exercise",)),
        Cell("code", "def double(x):\n    ...\n\n\ndouble = check(double)\nassert double(2) == 4", ("stub",)),
        Cell("markdown", "Twice.", ("hint",)),
        Cell("markdown", "Two times.", ("hint",)),
        Cell("code", "def double(x):\n    return 2 * x", ("solution",)),
        Cell("markdown", "Because.", ("solution",)),
        Cell("code", "import math"),
        Cell("markdown", "42", ("answer",)),
    ),
)

chapters = pytest.mark.parametrize("source", chapter_sources(), ids=lambda path: path.stem)


def cells(**edition: bool) -> list[dict]:
    return json.loads(build(LESSON, Edition(HOME, **edition)))["cells"]


def text(cell: dict) -> str:
    return "".join(cell["source"])


@chapters
def test_the_committed_notebook_is_up_to_date(source):
    lesson = read_lesson(source)
    assert lesson.notebook.is_file(), "run: make notebooks"
    committed = lesson.notebook.read_text(encoding="utf-8")
    assert committed == build(lesson, Edition(read_home())), "run: make notebooks"


def test_there_is_no_notebook_without_a_source():
    assert {path.stem for path in CHAPTERS.glob("*.ipynb")} == {path.stem for path in chapter_sources()}


@chapters
def test_a_notebook_is_valid_and_has_no_outputs(source):
    nbformat = pytest.importorskip("nbformat")
    book = nbformat.reads(build(read_lesson(source), Edition(read_home())), as_version=4)
    nbformat.validate(book)
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in book.cells)


def test_equal_cells_get_different_ids_and_a_change_moves_one_id_only():
    ids = [cell["id"] for cell in cells()]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"[\w-]{1,64}", found) for found in ids)
    changed = Lesson(LESSON.path, (*LESSON.cells[:-1], Cell("markdown", "43", ("answer",))))
    later = [cell["id"] for cell in json.loads(build(changed, Edition(HOME)))["cells"]]
    assert ids[:-1] == later[:-1] and ids[-1] != later[-1]


def test_colab_finds_its_badge_its_gpu_and_the_library():
    book = json.loads(build(LESSON, Edition(HOME)))
    assert book["metadata"]["accelerator"] == "GPU"
    first, install = book["cells"][:2]
    assert text(first).startswith("# 01 · Some title\n\n[![Open in Colab]")
    address = (
        "https://colab.research.google.com/github/someone/some-fork/blob/v9/chapters/01_some_title.ipynb"
    )
    assert f"({address})" in text(first)
    assert 'run_line_magic("pip", "install git+https://github.com/someone/some-fork@v9")' in text(install)


def test_hints_and_solutions_are_folded():
    folded = next(text(cell) for cell in cells() if "<details>" in text(cell))
    assert folded.count("<details>") == folded.count("</details>") == 3
    order = [
        "<summary>Hint 1",
        "Twice",
        "<summary>Hint 2",
        "Two times",
        "<summary>Solution",
        "```python",
        "Because",
    ]
    places = [folded.index(part) for part in order]
    assert places == sorted(places)


def test_solutions_and_answers_can_be_left_out():
    found = "\n".join(map(text, cells(solutions=False)))
    assert "Hint 2" in found and "return 2 * x" not in found and "42" not in found and "Because" not in found


def test_the_solved_edition_runs_and_ends_with_a_verdict():
    solved = cells(solved=True)
    stub = next(text(cell) for cell in solved if "check(" in text(cell))
    names = {"check": lambda answer: answer}
    exec(stub, names)
    assert names["double"](4) == 8
    assert "..." not in stub
    assert "progress().complete" in text(solved[-1])


def test_a_fork_changes_the_address_in_one_place(tmp_path):
    project = tmp_path / "pyproject.toml"
    project.write_text(notebooks.PROJECT.read_text(encoding="utf-8"), encoding="utf-8")
    notebooks.write_repository("a-b/c.d", project)
    assert read_home(project) == Home("a-b/c.d", read_home().ref)
    with pytest.raises(ValueError, match="OWNER/NAME, got 'nobody'"):
        notebooks.write_repository("nobody", project)
