"""Imports go one way: from a rank to itself and to those before it. A folder stands for its modules."""

import ast
from pathlib import Path

import pytest

RANKS = """config ops.lazy ops.text ops.interrupts ops.files
< coords draws < similarity < video fetch measure.metrics measure.results
< motion < model < render < loss < sampling < muon < train
< quantize < entropy < finetune < bitstream < ops < decoder < encoder applications
< measure < show < sweeps < cli course __init__ __main__"""
RANK = {name: rank for rank, names in enumerate(RANKS.split("<")) for name in names.split()}
PACKAGE = Path(__file__).parents[2] / "coordflow_mini"
FILES = sorted(PACKAGE.rglob("*.py"))
MODULES = {".".join(f.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"): f for f in FILES}


def first(known, name):
    """The longest beginning of a dotted name that is known."""
    return name if name in known or "." not in name else first(known, name.rpartition(".")[0])


def imported(module):
    """Full names of all that a module imports: anywhere, lazily, inside functions, for types only."""
    nodes = list(ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8"))))
    found = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    for node in (node for node in nodes if isinstance(node, ast.ImportFrom)):
        found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found - {"coordflow_mini.__version__"}


@pytest.mark.parametrize("module", MODULES)
def test_imports_go_one_way(module):
    names = [name.split(".", 1) for name in imported(module) if f"{name}.".startswith("coordflow_mini.")]
    modules = {first(MODULES, inner[0] if inner else "__init__") for _, *inner in names}
    above = {name for name in modules if RANK[first(RANK, name)] > RANK[first(RANK, module)]}
    assert not above, f"{module} must not import {sorted(above)}: they rank above it"
