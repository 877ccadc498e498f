"""Many clips in one process leave nothing behind; encodes at the same time make the files of one alone."""

import pytest

from campaigns import soak
from campaigns.soak import Gauges

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.promise(
    "Many at once",
    "Memory, open files and tensors of a process stop growing after the first clips.",
)
@pytest.mark.slow
def test_clips_leave_nothing_behind():
    """Three turns are the fewest in which growth shows; `make soak` takes 240 clips."""
    assert soak.grown(list(soak.soaked(turns=3, length=4))) == []


@pytest.mark.promise(
    "Many at once",
    "Encodes that run at the same time give the file of one that runs alone.",
)
@pytest.mark.slow
def test_encodes_at_once_make_the_same_file_as_one_alone():
    """Two; `make soak` starts eight."""
    assert soak.crowded(2, "--threads", "1") == []


def test_what_grows_is_found():
    flat = [Gauges(300.0, 6, 9), Gauges(320.0, 6, 9), Gauges(321.0, 6, 9)]
    assert soak.grown(flat) == []
    assert soak.grown([*flat, Gauges(320.0, 7, 9)]) == ["files grew from 6 to 7"]
    assert soak.grown([*flat, Gauges(320.0, 6, 10)]) == ["tensors grew from 9 to 10"]
    assert soak.grown([*flat, Gauges(325.0, 6, 9)]) == ["memory grew from 320.0 to 325.0 MiB"]


def test_the_gauges_see_a_leak():
    import torch

    before = Gauges.read()
    kept = [torch.ones(50 * 2**20), torch.ones(1)], open(__file__)  # noqa: SIM115
    after = Gauges.read()
    kept[1].close()
    assert after.tensors == before.tensors + 2 and after.files == before.files + 1
    assert after.memory > before.memory + 100  # MiB: more than a process may have freed
