"""The shape of the library: who may import whom, and what loading one part must not load."""

import ast
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from coordflow_mini.config import CodecConfig, FitConfig, ModelConfig
from coordflow_mini.encoder import encode
from coordflow_mini.video.clip import Video

PACKAGE = Path(__file__).parents[2] / "coordflow_mini"

# The design's table: a module, and the modules of the library that it may import.  File order is the way
# a video travels.  Found something better?  Change the table in the commit that changes the code.
MAY_IMPORT: dict[str, str] = {
    "config": "",
    "interrupts": "",
    "files": "interrupts",
    "text": "",
    "occupation": "text",
    "raw": "config",
    "containers": "",
    "video": "config files raw containers",
    "pixels": "raw",
    "coords": "video pixels",
    "similarity": "",
    "fetch": "files occupation video results",
    "clips": "config raw video coords similarity fetch",
    "encoding": "",
    "flow": "encoding similarity",
    "color": "encoding machine",
    "model": "config coords similarity encoding flow color",
    "metrics": "",
    "loss": "config metrics model",
    "machine": "interrupts",
    "states": "",
    "optimizer": "machine states",
    "checkpoint": "files states",
    "distributed": "",
    "guard": "distributed states",
    "fit": "checkpoint config distributed guard video coords model loss metrics machine optimizer pixels",
    "quantize": "",
    "finetune": "checkpoint config distributed guard video fit loss machine model optimizer quantize entropy",
    "entropy": "interrupts",
    "bitstream": "config quantize entropy",
    "decoder": "config quantize bitstream model coords video",
    "encoder": "checkpoint distributed config video coords metrics model decoder fit finetune bitstream "
    "quantize",
    "timeline": "",
    "applications": "config timeline model fit video coords similarity",
    "results": "",
    "baselines": "raw video metrics results",
    "curves": "metrics results",
    "plots": "video model metrics results curves text",
    "anchors": "results",
    "spreadsheet": "curves results text",
    "page": "text",
    "survey": "files results curves anchors spreadsheet plots page",
    "report": "files video model metrics results curves plots page",
    "widgets": "video coords similarity model metrics results plots",
    "course": "*",
    "arguments": "config files raw video clips bitstream",
    "budget": "config distributed video coords model fit finetune encoder",
    "evaluate": "config raw video clips metrics bitstream decoder applications results",
    "export": "files video clips model",
    "console": "fit text",
    "jobs": "config files raw video clips baselines results",
    "worker": "checkpoint files video clips fit encoder budget evaluate baselines results machine console "
    "jobs",
    "executors": "",
    "sweep": "config fetch jobs results worker",
    "demo": "*",
    "cli": "*",
    "__main__": "cli",
    "__init__": "*",
}

# Packages that only some modules may know.
ONLY_IN = {
    "av": {"video", "baselines"},
    "matplotlib": {"plots"},
    "ipywidgets": {"widgets"},
    "constriction": {"entropy"},
    "rich": {"console"},
    "typer": {"cli"},
    "torchmetrics": {"metrics"},
    "bjontegaard": {"metrics"},
    "filelock": {"worker"},
    "pooch": {"fetch"},
    "py7zr": {"fetch"},
    "requests": {"fetch"},
    "distributed": {"executors"},
}

MODULES = {  # "widgets.playground" -> its file; a module in a folder keeps to the folder's row of the table
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts): path for path in sorted(PACKAGE.rglob("*.py"))
}
modules = pytest.mark.parametrize("module", MODULES)


def imports(module: str) -> set[str]:
    """Full names that a module imports anywhere in it, also inside functions or for types only."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}.py, line {node.lineno}: write the full name"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@modules
def test_a_module_imports_only_what_the_table_allows(module):
    row = module.partition(".")[0]
    assert row in MAY_IMPORT, f"{row} is not in the table: add it, with what it may import"
    allowed = MAY_IMPORT[row].split()
    internal = {name.split(".")[1] for name in imports(module) if name.startswith("coordflow_mini.")}
    extra = set() if allowed == ["*"] else internal - set(allowed) - {"__version__", row}
    assert not extra, f"{module} imports {sorted(extra)}, the table allows {allowed}"


@modules
def test_some_packages_are_known_to_few_modules(module):
    packages = {name.split(".")[0] for name in imports(module)}
    for package in packages & ONLY_IN.keys():
        assert module.partition(".")[0] in ONLY_IN[package], (
            f"{module} imports {package}: only {ONLY_IN[package]} may"
        )


def test_the_table_has_no_cycle():
    """Every module can be understood from those it may import, without coming back to itself."""
    table = {module: allowed.split() for module, allowed in MAY_IMPORT.items() if allowed != "*"}
    settled: set[str] = set()
    while ready := {
        module for module in table if module not in settled and settled.issuperset(table[module])
    }:
        settled |= ready
    assert settled | {"__main__"} == table.keys()


def test_there_is_no_utils():
    assert not {"util", "utils", "helpers", "common", "misc"} & {path.stem for path in PACKAGE.rglob("*")}


def loaded_after(code: str) -> set[str]:
    """Modules of the library, and heavy packages, in a fresh process after `code`."""
    report = "import sys; print(*sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", f"{code}\n{report}"], check=True, capture_output=True, text=True
    )
    return set(result.stdout.split())


HEAVY = {
    "torch",
    "av",
    "matplotlib",
    "matplotlib.pyplot",
    "ipywidgets",
    "torchmetrics",
    "bjontegaard",
    "scipy",
}


def test_importing_the_package_and_asking_for_help_loads_nothing_heavy():
    assert not HEAVY & loaded_after("import coordflow_mini")


def test_the_records_are_light():
    assert not HEAVY & loaded_after("import coordflow_mini.config, coordflow_mini.measure.results")


def test_decoding_in_a_fresh_process_does_not_load_what_trains(tmp_path):
    ramp = np.arange(24, dtype=np.uint8)[:, None] * 10
    video = Video(np.broadcast_to(ramp, (3, 16, 24, 3)).copy())
    data = encode(
        video,
        bpp=4,
        model=ModelConfig(width=4, depth=1),
        fit=FitConfig(steps=3),
        codec=CodecConfig(steps=3, choose_width=False),
    )
    file = tmp_path / "small.cfv"
    file.write_bytes(data)
    loaded = loaded_after(
        "import pathlib, coordflow_mini.decoder\n"
        f"video = coordflow_mini.decoder.decode(pathlib.Path({str(file)!r}).read_bytes())\n"
        "assert video.frames.shape == (3, 16, 24, 3)"
    )
    trainers = {f"coordflow_mini.{name}" for name in ("train", "loss", "finetune", "encoder", "muon")}
    assert "coordflow_mini.decoder" in loaded
    assert not (trainers | HEAVY - {"torch", "av"}) & loaded
