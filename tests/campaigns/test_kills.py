"""A hundred kills at random moments, Ctrl-C too, and death before every call about a file.

Each group is a process of its own: it forks, and may have no threads.  `make kills` does the same for longer.
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

DOSES = {  # kills, of all chains of the groups together; Ctrl-C, of each
    "files,together": [44, 5, "--points"],
    "fetch": [24, 2],
    "decode": [14, 1],
    "encode": [10, 1],
    "sweep,rivals": [8, 1],
}


def campaign(*words: object) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "campaigns.kills", *map(str, words)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def test_a_hundred_kills_are_a_hundred():
    assert sum(dose[0] for dose in DOSES.values()) == 100


@pytest.mark.promise(
    "Interruption",
    "At every moment, even after `kill -9`, an output is either what it was or complete. After a "
    "restart it ends as if nothing had happened, and nothing is left over.",
)
@pytest.mark.parametrize("groups", DOSES)
def test_nothing_is_ever_half(groups):
    """What was there, or all of what is new; and in the end the very bytes of an undisturbed run."""
    kills, interrupts, *more = DOSES[groups]
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
