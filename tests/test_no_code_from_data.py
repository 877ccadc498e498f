"""Nothing that a user opens is ever run: all of the code is read for the calls that would.

The rules look at names, as a reader would; what they cannot see is a name that is computed.  Tests are left
out: they make hostile files with the very calls that are forbidden.
"""

import ast
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = sorted(
    path
    for folder in ("coordflow_mini", "benchmarks", "campaigns", "chapters")
    for path in (ROOT / folder).rglob("*")
    if path.suffix in (".py", ".ipynb") and "checkpoints" not in str(path)
)

# Modules whose readers run what they read, or cannot be kept from it.
PICKLES = {"pickle", "cPickle", "_pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve", "jsonpickle"}
UNSAFE_XML = {"xml", "lxml", "xmlrpc"}  # entities that blow up, or name files; nothing here reads XML
RUNNING = {"eval", "exec", "compile", "__import__"}  # as builtins
SHELLS = {"os.system", "os.popen", "os.popen2", "commands.getoutput", "subprocess.getoutput"}
SHELLS |= {"subprocess.getstatusoutput", "pty.spawn", "runpy.run_path", "code.interact"}
LOADERS = {"load", "load_all", "full_load", "unsafe_load"}  # of yaml: only safe_load builds nothing

# What stays, with the reason.  Nothing in this list reads what a user names.
ALLOWED = {
    (
        "benchmarks/recipes.py",
        "import_module",
    ): "two optimizers by their fixed names, where they are installed",
}


def test_what_passes_between_our_own_processes_is_known():
    """Pools and Dask pickle: what we send to processes that we, or the user, have started, never a file.

    A Dask scheduler can run anything here, and we there: that is what a cluster is for.  It is asked for by
    address (`--executor dask://HOST:PORT`), and its network is trusted (docs, and the help of `sweep`).
    """
    users = {"multiprocessing", "concurrent", "distributed", "dask"}
    assert {str(path.relative_to(ROOT)) for path in SOURCES if imported(path) & users} <= {
        "campaigns/damage.py",  # threads
        "coordflow_mini/executors.py",
        "coordflow_mini/sweep.py",  # waits for futures
        "coordflow_mini/worker.py",
    }
    # torch.distributed, of `distributed`, sends tensors only: objects would be pickled
    assert not [path for path in SOURCES if path.suffix == ".py" and "_object" in calls_of(path)]


def imported(path: Path) -> set[str]:
    """First names of what a file imports."""
    found: set[str] = set()
    for tree in trees(path):
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                found.add((node.module or "").partition(".")[0])
    return found


def calls_of(path: Path) -> str:
    """The names of all calls to torch.distributed in a file."""
    nodes = (node for tree in trees(path) for node in ast.walk(tree) if isinstance(node, ast.Call))
    return " ".join(name for node in nodes if (name := dotted(node.func)).startswith("dist."))


def trees(path: Path) -> list[ast.Module]:
    """The code of a module, or of all code cells of a notebook."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        return [ast.parse(text)]
    cells = [cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"]
    return [ast.parse(plain(cell["source"])) for cell in cells]


def plain(source: list[str] | str) -> str:
    """A cell as Python: what a notebook passes to a shell or a magic is checked for being ours by eye."""
    lines = "".join(source).splitlines()
    magic = [line.lstrip().startswith(("%", "!")) for line in lines]
    kept = (
        f"{line[: len(line) - len(line.lstrip())]}pass" if odd else line
        for line, odd in zip(lines, magic, strict=True)
    )
    return "\n".join(kept)


def dotted(node: ast.expr) -> str:
    """`np.load` of the expression that says so; its end if it begins with something else."""
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def says(call: ast.Call, name: str, value: object) -> bool:
    """Whether a call gives this constant to this parameter, by name."""
    given = [word.value for word in call.keywords if word.arg == name]
    return len(given) == 1 and isinstance(given[0], ast.Constant) and given[0].value is value


def findings(tree: ast.Module, *, strict: bool = True) -> Iterator[str]:
    """What a reader would object to.  strict: a loader says that it is safe, even by default."""
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            first = name.partition(".")[0]
            if first in PICKLES | UNSAFE_XML or name in SHELLS or name == "tempfile.mktemp":
                yield f"import {name}"
        if isinstance(node, ast.Call):
            yield from _of_call(node, dotted(node.func), strict)
        elif isinstance(node, ast.Attribute) and dotted(node) in SHELLS | {"builtins.eval", "builtins.exec"}:
            yield dotted(node)


def _of_call(node: ast.Call, name: str, strict: bool) -> Iterator[str]:
    module, _, last = name.rpartition(".")
    words = {word.arg for word in node.keywords}
    fixed = bool(node.args) and isinstance(node.args[0], ast.Constant)
    objections = {
        name: name in RUNNING
        or (last in ("import_module", "run_module") and not fixed)
        or (last == "eval" and module in ("pd", "pandas", "ne", "numexpr"))
        or (last in LOADERS and module == "yaml")
        or last in ("mktemp", "read_pickle", "Unpickler")
        or module.startswith("torch.hub"),
        f"{name} without allow_pickle=False": name in ("np.load", "numpy.load")
        and strict
        and not says(node, "allow_pickle", False),
        f"{name} without weights_only=True": name == "torch.load" and not says(node, "weights_only", True),
        f"{name} with pickles": "allow_pickle" in words and not says(node, "allow_pickle", False),
        f"{name} with a shell": "shell" in words and not says(node, "shell", False),
        f"{name} without a filter": last in ("extractall", "extract", "unpack_archive")
        and not words & {"filter", "factory"},  # a factory of py7zr takes bytes, and uses no path
    }
    yield from (text for text, holds in objections.items() if holds)


LAZY = {  # what stays: modules by the names of a table of their own, so no name comes from outside
    "coordflow_mini/__init__.py",
    "coordflow_mini/course/__init__.py",
    "coordflow_mini/course/exercises/__init__.py",
    "coordflow_mini/fetch/__init__.py",
}


LEAVE = {
    **{path: {"import_module", "importlib.import_module"} for path in LAZY},
    "campaigns/inputs.py": {"np.save with pickles"},  # makes what must be refused
}


@pytest.mark.parametrize("path", SOURCES, ids=[str(path.relative_to(ROOT)) for path in SOURCES])
def test_no_code_comes_from_data(path):
    """Library and what stands around it.  Notebooks may leave NumPy's default, which is the safe one."""
    where = path.relative_to(ROOT).as_posix()
    found = {text for tree in trees(path) for text in findings(tree, strict=not where.startswith("chapters"))}
    allowed = LEAVE.get(where, set())
    assert found <= allowed, f"{where}: {sorted(found - allowed)}"
    assert bool(allowed) == bool(found), f"{where} needs no leave any more: take it from the list"


BAD = [
    "import pickle",
    "from pickle import loads",
    "import joblib",
    "import marshal, os",
    "from xml.etree import ElementTree",
    "import dill as d",
    "eval(text)",
    "exec(open(path).read())",
    "compile(text, '', 'exec')",
    "__import__(name)",
    "importlib.import_module(name)",
    "f = builtins.eval",
    "np.load(path)",
    "np.load(path, allow_pickle=True)",
    "np.load(path, None, allow_pickle=flag)",
    "numpy.load(path)",
    "torch.load(path)",
    "torch.load(path, weights_only=False)",
    "torch.hub.load('a/b', 'c')",
    "yaml.load(text)",
    "os.system('ls')",
    "run = os.popen",
    "from os import system",
    "subprocess.run(words, shell=True)",
    "subprocess.Popen(words, shell=flag)",
    "tempfile.mktemp()",
    "from tempfile import mktemp",
    "tar.extractall(folder)",
    "shutil.unpack_archive(path)",
    "archive.extract(folder)",
    "pandas.read_pickle(path)",
]
GOOD = [
    "import json",
    "model.eval()",
    "torch.compile(function)",
    "re.compile(text)",
    "json.loads(text)",
    "ast.literal_eval(text)",
    "np.load(path, allow_pickle=False)",
    "torch.load(path, weights_only=True)",
    "yaml.safe_load(text)",
    "subprocess.run(words, check=True)",
    "tar.extractall(folder, filter='data')",
    "importlib.import_module('soap')",
]


@pytest.mark.parametrize("line", BAD)
def test_the_rules_can_fail(line):
    assert list(findings(ast.parse(line)))


@pytest.mark.parametrize("line", GOOD)
def test_the_rules_let_the_rest_pass(line):
    assert not list(findings(ast.parse(line)))


def test_all_of_the_code_is_looked_at():
    kinds = {(path.relative_to(ROOT).parts[0], path.suffix) for path in SOURCES}
    assert {("coordflow_mini", ".py"), ("benchmarks", ".py"), ("chapters", ".py")} <= kinds
    assert len(SOURCES) > 100
