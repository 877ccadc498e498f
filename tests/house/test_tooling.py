"""The Makefile, the hooks before commits and the pages agree with each other and with the folder."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")


def test_plain_make_lists_few_targets():
    assert len(re.findall(r"^[a-z-]+:.*## ", MAKEFILE, re.MULTILINE)) <= 12


def test_the_hooks_before_commits_run_what_lint_runs():
    (recipe,) = re.findall(r"^lint:.*\n((?:\t.*\n)+)", MAKEFILE, re.MULTILINE)
    hooks = (ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8")
    entries = re.findall(r"entry: (.+)\n(?: +args: \[(.+)\]\n)?", hooks)
    assert [line.strip().replace("$(BIN)", ".venv/bin") for line in recipe.splitlines()] == [
        f"{entry} {words}".strip() for entry, words in entries
    ]
