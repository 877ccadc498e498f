"""Parts of the package load without what they do not need, seen from `sys.modules` of fresh processes."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.house.test_architecture import MODULES, first, imported

ROOT = Path(__file__).parents[2]
HEAVY = {"torch", "av", "matplotlib", "ipywidgets", "torchmetrics", "bjontegaard", "scipy"}
TRAINING = {f"coordflow_mini.{name}" for name in ("train", "loss", "sampling", "finetune", "encoder", "muon")}
ONLY_IN = {  # a package, and the modules or folders that may import it
    "av": {"video", "measure.baselines"},
    "cv2": {"motion"},
    "matplotlib": {"show", "course.lesson.figures"},
    "ipywidgets": {
        "show.widgets",
        "course.lesson.overlay",
        "course.lesson.playground",
        "course.lesson.watching",
    },
    "constriction": {"entropy"},
    "typer": {"cli", "course.teacher.command"},
    "torchmetrics": set(),  # judges ours in the tests
    "bjontegaard": {"measure"},
    "py7zr": {"fetch"},
    "requests": {"fetch"},
    "distributed": {"sweeps"},
}


def loaded_after(code: str) -> set[str]:
    """Modules in a fresh process after `code`."""
    code = f"import sys\n{code}\nprint('loaded', *sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return set(result.stdout.rpartition("loaded ")[2].split())


@pytest.mark.parametrize(
    "parts", ["coordflow_mini", "coordflow_mini.config, coordflow_mini.measure.results", "coordflow_mini.cli"]
)
def test_importing_is_light(parts):
    assert not HEAVY & loaded_after(f"import {parts}")


@pytest.mark.parametrize(
    "words",
    ["--help", "encode --help", "sweep --help", "encode none.mp4 x.cfv --steps 0", "decode none.cfv x.mp4"],
)
def test_help_and_wrong_arguments_need_no_pytorch(words):
    code = f"from coordflow_mini import cli\ntry: cli.app({words.split()})\nexcept SystemExit: pass"
    loaded = loaded_after(code)
    assert "coordflow_mini.cli" in loaded and "torch" not in loaded


def test_decoding_loads_no_training():
    file = ROOT / "campaigns" / "corpus" / "original_1.cfv"
    loaded = loaded_after(
        "import pathlib, coordflow_mini as cf\n"
        f"assert cf.decode(pathlib.Path({str(file)!r}).read_bytes()).frames.shape == (6, 6, 8, 3)"
    )
    assert "coordflow_mini.decoder" in loaded
    assert not (TRAINING | HEAVY - {"torch", "av"}) & loaded


@pytest.mark.parametrize("module", MODULES)
def test_few_modules_know_a_package(module):
    """Only these would have to change with the package."""
    for package in ONLY_IN.keys() & {name.partition(".")[0] for name in imported(module)}:
        assert first(ONLY_IN[package], module) in ONLY_IN[package], f"{module} must not import {package}"
