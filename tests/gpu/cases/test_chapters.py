"""Chapters at scale "gpu", cell by cell, as learners run them; solutions are left out, ours stand in."""

import traceback

import matplotlib
import pytest

pytest.importorskip("jupytext", reason="the chapters' sources are read with Jupytext")

from coordflow_mini.course.author.chapter import chapter_sources, read_lesson

IN_SECONDS = ("03_similarity_transforms",)  # of `make test`; the others run every night


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize(
    "source",
    [
        pytest.param(s, id=s.stem, marks=[] if s.stem in IN_SECONDS else pytest.mark.nightly)
        for s in chapter_sources()
    ],
)
def test_a_chapter_runs_at_the_scale_of_a_gpu(source, monkeypatch, gpu):
    monkeypatch.setenv("COORDFLOW_SCALE", "gpu")
    monkeypatch.chdir(source.parent)
    matplotlib.use("agg")
    names, failed = {"__name__": "__main__", "__file__": str(source)}, []
    for number, cell in enumerate(read_lesson(source).cells):
        if cell.kind == "code" and "solution" not in cell.tags:
            try:
                exec(compile(cell.source, f"{source.stem}, cell {number}", "exec"), names)
            except Exception:
                failed.append(traceback.format_exc(limit=-4))
    assert not failed, "\n".join(failed)
