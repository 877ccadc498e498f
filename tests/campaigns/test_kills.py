"""Kills at random moments, Ctrl-C, and death before every file operation; `make kills` does more of them.

Each group runs in a process of its own: it forks, so it must not have threads.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = [
    pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="only Linux has handles of processes"),
    pytest.mark.slow,
]

nightly = pytest.mark.nightly
DOSES = [  # groups; kills, shared by their chains; Ctrl-C, for each chain
    ("files,together", [12, 1, "--points"]),
    ("encode", [2, 1]),
    pytest.param("files,together", [44, 5], marks=nightly),
    pytest.param("fetch", [24, 2], marks=nightly),
    pytest.param("decode", [14, 1], marks=nightly),
    pytest.param("sweep,encode,rivals", [18, 1], marks=nightly),
]


def campaign(*words: object) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "campaigns.kills", *map(str, words)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


@pytest.mark.promise(
    "Interruption",
    "At every moment, even after `kill -9`, an output is either what it was or complete. After a "
    "restart it ends as if nothing had happened, and nothing is left over.",
)
@pytest.mark.parametrize(("groups", "dose"), DOSES)
def test_nothing_is_ever_half(groups, dose):
    """The old content or all of the new one; in the end the bytes of an undisturbed run."""
    kills, interrupts, *more = dose
    result = campaign("--only", groups, "--kills", kills, "--interrupts", interrupts, "--seed", 1, *more)
    assert result.returncode == 0 and "nothing found" in result.stdout, result.stdout + result.stderr
    assert f"{kills} kills" in result.stdout.splitlines()[-1]


CARELESS = """
import random, sys
from collections import Counter
from pathlib import Path
from campaigns import kills

def careless(folder):
    for number in range(4):
        (folder / "out" / f"{number}.old").write_text("new")

chain = kills.Chain("careless", careless, ("out",), before=kills._old_folder)
try:
    kills.struck(kills.Trial(chain, Path(sys.argv[1])), random.Random(0), Counter())
except kills.FindingError as error:
    print("FOUND", error)
"""


def test_who_writes_in_place_is_found(tmp_path):
    result = subprocess.run(
        [sys.executable, "-c", CARELESS, str(tmp_path)], cwd=ROOT, capture_output=True, text=True
    )
    assert "FOUND out is neither what it was nor what it should become" in result.stdout, result.stderr
