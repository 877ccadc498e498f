"""Sizes that keep the house readable."""

import ast

from tests.house.test_architecture import PACKAGE, imported

ROOT = PACKAGE.parent
FUNCTIONS = [
    (path.relative_to(ROOT).as_posix(), node)
    for folder in ("coordflow_mini", "benchmarks", "campaigns")
    for path in sorted((ROOT / folder).rglob("*.py"))
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
]


def lines(paths) -> int:
    return sum(len(path.read_text(encoding="utf-8").splitlines()) for path in paths)


def test_the_root_holds_the_paper_and_its_codec():
    root = list(PACKAGE.glob("*.py"))
    assert len(root) <= 18
    assert lines(root) <= 4000


def test_the_package_stays_small():
    assert lines(path for path in PACKAGE.rglob("*.py") if "course" not in path.parts) <= 15_400


def test_the_training_loop_knows_nothing_of_what_wraps_it():
    for module in ("train", "finetune"):
        assert not {name for name in imported(module) if name.startswith("coordflow_mini.ops")}
    assert lines([PACKAGE / "train.py"]) <= 220


def test_no_function_is_long():
    long = [f"{path}: {node.name}" for path, node in FUNCTIONS if node.end_lineno - node.lineno >= 60]
    assert not long


def test_records_carry_what_belongs_together():
    """No function and no command has more than twelve parameters."""
    counts = {
        f"{path}: {node.name}": len(node.args.posonlyargs + node.args.args + node.args.kwonlyargs)
        for path, node in FUNCTIONS
    }
    assert not [name for name, count in counts.items() if count > 12]


def test_there_is_no_utils():
    assert not {"util", "utils", "helpers", "common", "misc"} & {path.stem for path in PACKAGE.rglob("*")}
