"""docs/trust.md lists the promises that tests carry, and targets that exist."""

import re

from tests.house.promises import PAGE, ROOT, SECTIONS, page, promises


def test_the_page_is_up_to_date():
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python -m tests.house.promises"


def test_every_section_has_promises():
    assert {section for section, _, _ in promises()} == set(SECTIONS)


def test_every_target_that_is_named_is_there():
    targets = re.findall(r"`make ([a-z-]+)", PAGE.read_text(encoding="utf-8"))
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert targets and not [target for target in targets if not re.search(rf"^{target}:", makefile, re.M)]
