"""Pages name what exists: promises with their tests, every room of the house, targets, files."""

import pkgutil
import re
from itertools import chain

import pytest

import coordflow_mini
from tests.house.pages import PAGES, ROOT, SECTIONS, page, promises, rooms

WRITTEN = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "INSTRUCTORS.md", *ROOT.glob("docs/*.md")]
written = pytest.mark.parametrize("path", WRITTEN, ids=lambda path: path.name)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_a_generated_page_is_up_to_date(path):
    assert path.read_text(encoding="utf-8") == page(path), "run: python -m tests.house.pages"


def test_every_section_has_promises():
    assert {section for section, _, _ in promises()} == set(SECTIONS)


def test_the_package_docstring_names_every_room():
    named = re.findall(r"`(\w+/?)`", coordflow_mini.__doc__ or "")
    assert {name.rstrip("/") for name in named} >= {name.rstrip("/") for name in rooms()}


def test_the_walk_passes_every_room():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert not [room for room in rooms() if room.endswith("/") and f"| `{room}` |" not in text]


@written
def test_every_target_that_is_named_is_there(path):
    targets = re.findall(r"`make ([a-z-]+)", path.read_text(encoding="utf-8"))
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert not [target for target in targets if not re.search(rf"^{target}:", makefile, re.MULTILINE)]


@written
def test_every_file_that_is_named_is_there(path):
    text = path.read_text(encoding="utf-8")
    named = re.findall(r"`((?:coordflow_mini|campaigns|tests|docs|data|chapters|benchmarks)/[\w./]*)", text)
    named += [f"coordflow_mini/{name}" for name in re.findall(r"\| `(\w+/[\w/]+\.py)` \|", text)]
    linked = re.findall(r"\]\((?!https?:|#)([^)#]+)", text)
    places = chain(((ROOT, name) for name in named), ((path.parent, name) for name in linked))
    assert not [name for folder, name in places if not (folder / name).exists()]


@written
def test_every_module_that_is_run_is_there(path):
    modules = re.findall(
        r"python -m ((?:coordflow_mini|benchmarks|campaigns|tests)[\w.]*)", path.read_text("utf-8")
    )
    files = [ROOT.joinpath(*module.split(".")) for module in modules]
    assert not [file for file in files if not (file.is_dir() or file.with_suffix(".py").is_file())]


@written
def test_every_name_in_the_code_is_there(path):
    """`coords.pixel_points` and the like. Only the page of symbols names nothing but the package's own."""
    first_words = {room.rstrip("/") for room in rooms()}
    for name in re.findall(r"`([a-z_]+(?:\.\w+)+)`", path.read_text(encoding="utf-8")):
        ours = name.split(".")[0] in first_words and name.rpartition(".")[2] not in ("py", "csv", "json")
        if ours or path.name == "symbols.md":
            assert pkgutil.resolve_name(f"coordflow_mini.{name}") is not None
