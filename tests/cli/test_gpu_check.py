"""`coordflow gpu-check` without a GPU: what it prints, and when it fails."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from coordflow_mini.measure.gpu import checks, exact
from coordflow_mini.measure.gpu.card import Card, LeftOutError, must
from tests.cli.commands import bad, good, run

CPU = Card(torch.device("cpu"))
TORCH = """torch torchgen functorch numpy numpy.libs typing_extensions.py sympy mpmath networkx jinja2
markupsafe fsspec filelock setuptools""".split()


def wrong(card):
    must(False, "two and two are five")


def senseless(card):
    raise LeftOutError("this is a test")


def lacking(card):
    raise ModuleNotFoundError("No module named 'constriction'", name="constriction")


def crashing(card):
    raise RuntimeError("CUDA error:\nan illegal memory access")


@pytest.fixture
def made(monkeypatch):
    """Sets the checks to be made."""
    return lambda **made: monkeypatch.setattr(checks, "CHECKS", made)


def test_each_check_prints_a_line_and_its_json(made):
    made(numbers=exact.numbers, senseless=senseless, lacking=lacking)
    said = good("gpu-check", "--device", "cpu")
    found = [json.loads(line) for line in said.stdout.splitlines()]
    assert [one["check"] for one in found] == ["numbers", "senseless", "lacking"]
    assert [one["verdict"] for one in found] == ["ok", "left out", "left out"]
    lines = said.stderr.splitlines()
    assert lines[1].startswith("ok") and "this is a test" in lines[2] and "constriction" in lines[3]
    assert "no real GPU" in said.stderr


@pytest.mark.parametrize("failing", [wrong, crashing])
def test_one_failure_is_enough_and_stops_nothing(made, failing):
    made(failing=failing, numbers=exact.numbers)
    said = run("gpu-check", "--device", "cpu")
    first, second = (json.loads(line) for line in said.stdout.splitlines())
    assert said.exit_code == 1
    assert first["verdict"] == "FAILED" and second["verdict"] == "ok"
    assert {wrong: "five", crashing: "illegal memory"}[failing] in first["reason"]


def test_without_a_gpu_it_says_so(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert "no GPU" in bad("gpu-check", "--quick")


def test_quick_leaves_out_what_takes_long(made, monkeypatch):
    made(numbers=exact.numbers, wrong=wrong)
    monkeypatch.setattr(checks, "QUICK", 1)
    assert len(good("gpu-check", "--quick", "--device", "cpu").stdout.splitlines()) == 1


def test_losses_that_differ_are_seen(monkeypatch):
    losses = iter([[0.5, 0.25], [0.5, 0.2503], [0.5, 0.25]])
    monkeypatch.setattr(exact, "_losses", lambda device, dtype: next(losses))
    (result,) = checks.results(CPU, {"steps": exact.steps})
    assert result.verdict == "FAILED" and "0.0012" in result.reason


def test_the_table_has_a_row_for_each_size(made, one_thread):
    made(**{"speed of uvg-s": checks.CHECKS["speed of uvg-s"], "numbers": exact.numbers})
    rows = [line for line in good("gpu-check", "--device", "cpu").stderr.splitlines() if line.startswith("|")]
    assert len(rows) == 3 and len({row.count("|") for row in rows}) == 1
    name, fit, compiled, *_ = (cell.strip() for cell in rows[2].strip("|").split("|"))
    assert name == "uvg-s" and float(fit.replace(",", "")) > 0 and compiled == "–"


def on_a_machine_with(names, folder):
    """Runs the first checks where only these packages are installed."""
    installed = Path(importlib.util.find_spec("torch").origin).parents[1]
    for name in names:
        if (installed / name).exists():
            (folder / name).symlink_to(installed / name)
    code = """
from coordflow_mini import __main__
try:
    from coordflow_mini.measure.gpu import checks
    checks.CHECKS = {name: checks.CHECKS[name] for name in ("versions", "decoding", "numbers", "encoding")}
except ModuleNotFoundError:
    pass
__main__.main()
"""
    paths = os.pathsep.join([str(folder), str(Path(__file__).parents[2])])
    command = [sys.executable, "-S", "-c", code, "gpu-check", "--quick", "--device", "cpu"]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": paths})


def test_a_machine_with_torch_alone_makes_what_it_can(tmp_path):
    """The other wheels are missing, and are named."""
    said = on_a_machine_with(TORCH, tmp_path)
    assert said.returncode == 0, said.stderr
    found = {one["check"]: one for one in map(json.loads, said.stdout.splitlines())}
    assert "constriction" in found["versions"]["figures"]["missing wheels"]
    assert found["numbers"]["verdict"] == "ok"
    assert found["decoding"]["verdict"] == found["encoding"]["verdict"] == "left out"


def test_a_machine_without_torch_is_refused(tmp_path):
    said = on_a_machine_with([], tmp_path)
    assert said.returncode == 2 and "torch" in said.stderr and said.stderr.count("\n") == 1
