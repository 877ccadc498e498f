"""Chapters on GPUs, cell by cell, as learners run them; solutions are left out, ours stand in."""

import traceback

import matplotlib
import pytest

pytest.importorskip("jupytext", reason="the chapters' sources are read with Jupytext")

from coordflow_mini.course.author.chapter import chapter_sources, read_lesson
from coordflow_mini.course.lesson.environment import Environment

SOURCES = chapter_sources()


@pytest.fixture(autouse=True)
def as_learners_do(monkeypatch):
    """Without a choice of the scale, and with the library in the processes that a chapter starts."""
    monkeypatch.delenv("COORDFLOW_SCALE", raising=False)
    monkeypatch.setenv("PYTHONPATH", str(SOURCES[0].parents[1]))
    monkeypatch.chdir(SOURCES[0].parent)
    matplotlib.use("agg")


def ran(source, passed=()):
    """What a chapter has defined.  passed: errors that do not count."""
    names, failed = {"__name__": "__main__", "__file__": str(source)}, []
    for number, cell in enumerate(read_lesson(source).cells):
        if cell.kind == "code" and "solution" not in cell.tags:
            try:
                exec(compile(cell.source, f"{source.stem}, cell {number}", "exec"), names)
            except passed:
                continue
            except Exception:
                failed.append(traceback.format_exc(limit=-4))
    assert not failed, "\n".join(failed)
    return names


@pytest.mark.nightly
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("source", SOURCES, ids=[source.stem for source in SOURCES])
def test_a_chapter_runs_on_a_gpu(source):
    assert ran(source)["here"].scale == "gpu"


@pytest.mark.nightly
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("source", SOURCES, ids=[source.stem for source in SOURCES])
def test_a_chapter_runs_on_a_t4(source, t4):
    """Which takes the sizes of a CPU."""
    assert ran(source)["here"].scale == "cpu"


@pytest.mark.filterwarnings("default")
def test_the_first_chapter_runs_on_a_gpu_in_a_hurry(gpu, monkeypatch):
    """With few steps, after which its numbers are not yet what it says."""
    monkeypatch.setattr(Environment, "pick", lambda self, cpu, gpu, full=None: cpu // 20)
    assert ran(SOURCES[0], passed=AssertionError)["here"].device == gpu
