"""A lesson whose cell is stopped while it fits: what the learner then holds can be used."""

import os
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("jupytext", reason="the chapters' sources are read with Jupytext")
pytest.importorskip("ipykernel", reason="a real kernel runs the lesson")

from jupyter_client import manager

from coordflow_mini.course.author.chapter import CHAPTERS, read_lesson

LESSON = read_lesson(CHAPTERS / "08_from_weights_to_bits.py")


@pytest.fixture
def kernel(monkeypatch):
    """A running kernel, as a notebook has it."""
    root = str(Path(__file__).parents[2])
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([root, os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    running, client = manager.start_new_kernel(cwd=str(CHAPTERS))
    yield running, client
    client.stop_channels()
    running.shutdown_kernel(now=True)


@pytest.mark.promise(
    "Interruption",
    "An interrupted cell of a lesson leaves objects that the next cell can use.",
)
def test_a_cell_that_is_interrupted_while_it_fits_leaves_what_the_next_one_needs(kernel):
    """Stopped when the view shows the first steps; the chapter goes on with the model of that moment."""
    running, client = kernel
    cells = [cell for cell in LESSON.cells if cell.kind == "code"]
    (fitting,) = (number for number, cell in enumerate(cells) if "fitted = fit(" in cell.source)

    def run(code: str, *, stopping: bool = False) -> str:
        """Run a cell and return what it prints, which may arrive in pieces."""
        waiting, said = stopping, ""

        def heard(message: dict[str, Any]) -> None:
            nonlocal waiting, said
            if waiting and message["msg_type"] == "comm_msg":
                waiting = False
                running.interrupt_kernel()
            if message["msg_type"] == "stream":
                said += message["content"]["text"]

        reply = client.execute_interactive(code, timeout=60, output_hook=heard)["content"]
        assert reply["status"] == "ok", (reply, code)
        assert not waiting, "nothing was shown"
        return said

    for cell in cells[:fitting]:
        if "stub" not in cell.tags:
            run(cell.source)
    run(cells[fitting].source, stopping=True)
    said = run("print(fitted.interrupted, fitted.history[-1].step < how.steps, fitted.model.parameter_count)")
    assert said.startswith("True True 5808")
    said = run(cells[fitting + 1].source)
    assert "float32" in said and "dB" in said
