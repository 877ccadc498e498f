"""docs/trust.md names tests, targets and files that are there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "trust.md").read_text(encoding="utf-8")


def named_tests() -> list[tuple[str, str]]:
    """Every test that the page names, with its file; a name without a file is of the file before it."""
    found, file = [], ""
    for text in re.findall(r"`((?:test_\w+\.py)?(?:::)?(?:test_\w+)?)`", PAGE):
        named, _, test = text.rpartition("::") if "::" in text else (text, "", "")
        if named.endswith(".py"):
            file = named
        elif named:
            test = named
        found.append((file, test))
    return found


@pytest.mark.parametrize(("file", "test"), named_tests())
def test_every_test_that_is_named_is_there(file, test):
    code = (ROOT / "tests" / file).read_text(encoding="utf-8")
    assert not test or f"\ndef {test}(" in code


def test_the_page_names_many():
    assert len(named_tests()) > 40


def test_every_target_that_is_named_is_there():
    targets = re.findall(r"`make ([a-z-]+)", PAGE)
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert set(targets) >= {"damage", "fuzz", "inputs", "kills", "soak", "test"}
    assert [target for target in targets if not re.search(rf"^{target}:", makefile, re.M)] == []


def test_every_file_that_is_named_is_there():
    files = re.findall(r"`((?:coordflow_mini|campaigns|tests)/\w+\.py)`", PAGE)
    assert files and [file for file in files if not (ROOT / file).is_file()] == []
