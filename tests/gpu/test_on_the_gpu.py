"""The library on a pretend GPU, in a process of its own: torch looks for GPUs only while it is imported."""

import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.gpu.library import SUPPORTED, compiler

ROOT = Path(__file__).parents[2]
pytestmark = [
    pytest.mark.skipif(not compiler(), reason="the pretend GPU is compiled by g++, which is missing here"),
    pytest.mark.skipif(
        not version("torch").startswith(SUPPORTED), reason=f"it is one for PyTorch {SUPPORTED}x"
    ),
]


def on_the_gpu(*arguments: str) -> None:
    command = [sys.executable, "-m", "tests.gpu", "-q", *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout[-20_000:] + run.stderr[-5_000:]


@pytest.mark.slow
@pytest.mark.parametrize("cases", ["not hurry", "hurry"], ids=["the library", "a chapter"])
def test_on_a_gpu(cases):
    on_the_gpu("-k", cases)


@pytest.mark.nightly
def test_all_chapters_on_a_gpu():
    on_the_gpu("-m", "nightly")
