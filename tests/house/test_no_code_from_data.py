"""Nothing that a user opens is ever run: all of the code is read for the names that could run something.

The rules look at names, as a reader would, whatever an import calls them, and wherever they stand: a loader
that is passed on is as good as called. They cannot see a name that is computed. A line that needs one of them
says why no data reaches it, in a comment: `# trusted: why`. Tests are left out: they make hostile files
with the very calls that are forbidden.
"""

import ast
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted(
    path
    for folder in ("coordflow_mini", "benchmarks", "campaigns", "chapters")
    for path in (ROOT / folder).rglob("*")
    if path.suffix in (".py", ".ipynb") and "checkpoints" not in str(path)
)

# Modules whose readers run what they read, or cannot be kept from it.
PICKLES = {"pickle", "cPickle", "_pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve", "jsonpickle"}
PROCESSES = {"multiprocessing", "distributed", "dask"}  # send pickles, to whoever listens
UNSAFE_XML = {"xml", "lxml", "xmlrpc"}  # entities that blow up, or name files; nothing here reads XML
RUNNING = {"eval", "exec", "compile", "__import__"}  # as builtins
NEVER = {f"builtins.{name}" for name in RUNNING}
CALLED_WITH_CODE = NEVER | {"importlib.import_module"}
NEVER |= {"os.system", "os.popen", "posix.system", "posix.popen", "pty.spawn", "code.interact"}
NEVER |= {"concurrent.futures.ProcessPoolExecutor", "concurrent.futures.process"}
NEVER |= {"subprocess.getoutput", "subprocess.getstatusoutput"}
BUILDERS = {"types.CodeType", "types.FunctionType"}  # calls of them make code; as types they are harmless
NEVER |= {f"yaml.{name}" for name in ("load", "load_all", "full_load", "full_load_all")}
NEVER |= {f"yaml.{name}" for name in ("unsafe_load", "unsafe_load_all")}  # only safe_load builds nothing
NEVER |= {"torch.jit.load", "torch.export.load", "torch.ops.load_library", "torch.classes.load_library"}
NEVER |= {"pandas.eval", "numexpr.evaluate"}
PARTS = (
    "runpy.",
    "torch.hub.",
    "torch.package.",
    "torch.serialization.",
    "logging.config.",
)  # nothing of them
ENDS = {"mktemp", "read_pickle", "read_hdf", "to_pickle", "Unpickler"}  # of whatever they are
UNPACKING = {"extractall", "extract", "unpack_archive"}
USUAL = {"np": {"numpy"}, "pd": {"pandas"}, "ne": {"numexpr"}, "__builtins__": {"builtins"}}


def code_of(path: Path) -> str:
    """The code of a module, or of all code cells of a notebook: what one imports, the others use."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        return text
    cells = [cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"]
    return "\n".join(plain(cell["source"]) for cell in cells)


def plain(source: list[str] | str) -> str:
    """A cell as Python: what a notebook passes to a shell or a magic is checked for being ours by eye."""
    lines = "".join(source).splitlines()
    magic = [line.lstrip().startswith(("%", "!")) for line in lines]
    kept = (
        f"{line[: len(line) - len(line.lstrip())]}pass" if odd else line
        for line, odd in zip(lines, magic, strict=True)
    )
    return "\n".join(kept)


def known(tree: ast.Module) -> dict[str, set[str]]:
    """Full names of the names in a module: {"n": {"numpy"}} of `import numpy as n`.

    Two functions may give one name to two things: then it may mean either.
    """
    found = {name: set(meant) for name, meant in USUAL.items()}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                first = alias.name.partition(".")[0]
                found.setdefault(alias.asname or first, set()).add(alias.name if alias.asname else first)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                found.setdefault(alias.asname or alias.name, set()).add(f"{node.module}.{alias.name}")
    return found


def meanings(node: ast.AST, names: dict[str, set[str]]) -> set[str]:
    """The full names that an expression may stand for; a name's end if it begins with something else."""
    if isinstance(node, ast.Attribute):
        return {f"{base}.{node.attr}" for base in meanings(node.value, names)}
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "getattr":
        thing, name = node.args[:2]
        if isinstance(name, ast.Constant):
            return {f"{base}.{name.value}" for base in meanings(thing, names)}
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
        return names.get(node.id, {f"builtins.{node.id}" if node.id in RUNNING else node.id})
    return {""}


def says(call: ast.Call, name: str, value: object) -> bool:
    """True if a call gives this constant to this parameter, by name."""
    given = [word.value for word in call.keywords if word.arg == name]
    return len(given) == 1 and isinstance(given[0], ast.Constant) and given[0].value is value


def fixed(call: ast.Call) -> bool:
    """True if a call's first argument is a constant."""
    return bool(call.args) and isinstance(call.args[0], ast.Constant)


def safe(call: ast.Call) -> bool:
    """True if a call excludes pickles."""
    return says(call, "allow_pickle", False)


def unsaid(call: ast.Call) -> bool:
    """True if a call leaves pickles to NumPy's default."""
    positional = len(call.args) < 3 and not any(isinstance(one, ast.Starred) for one in call.args)
    return positional and not {word.arg for word in call.keywords} & {"allow_pickle", None}


def unless(strict: bool) -> dict[str, Callable[[ast.Call], bool]]:
    """Names that may stand there only as calls that fulfill something."""
    return {
        "numpy.load": safe if strict else lambda call: safe(call) or unsaid(call),
        "numpy.lib.format.read_array": safe,
        "torch.load": lambda call: says(call, "weights_only", True),
        "importlib.import_module": fixed,
    }


def findings(tree: ast.Module, *, strict: bool = True) -> Iterator[tuple[int, str]]:
    """Line and name of all that a reader would object to. strict: even safe defaults must be spelled out."""
    names, only = known(tree), unless(strict)
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    called = {id(call.func): call for call in calls}
    harmless = {id(part) for call in calls for part in beside_constants(call)}
    for node in ast.walk(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            yield from ((node.lineno, found) for found in _imported(node, only))
            continue
        for name in meanings(node, names):
            if not (id(node) in harmless and name in CALLED_WITH_CODE):
                yield from (
                    (node.lineno, found) for found in _mentioned(node, name, called.get(id(node)), only)
                )


def beside_constants(call: ast.Call) -> list[ast.expr]:
    """The argument that is given beside constants alone: `trouble(eval, "x")` runs what stands there."""
    others = [part for part in call.args if not isinstance(part, ast.Constant)]
    return others if len(others) == 1 < len(call.args) and not call.keywords else []


def _mentioned(
    node: ast.AST, name: str, call: ast.Call | None, only: dict[str, Callable[[ast.Call], bool]]
) -> Iterator[str]:
    if name in only and not (call and only[name](call)):
        yield f"{name} with no word that makes it safe"
    elif forbidden(name) or (call and name in BUILDERS):
        yield name
    elif isinstance(node, ast.Attribute) and node.attr in UNPACKING and not (call and filtered(call)):
        yield f"{name} without a filter"
    elif call:
        yield from _of_call(call, name)


def _imported(
    node: ast.Import | ast.ImportFrom, only: dict[str, Callable[[ast.Call], bool]]
) -> Iterator[str]:
    """Objections to an import: to a module, or to a name that must be used with its module."""
    names = {alias.name for alias in node.names}
    if isinstance(node, ast.ImportFrom):
        if (names & UNPACKING or "*" in names) and not node.level:
            yield f"import {', '.join(names)} from {node.module}"
        names = {f"{node.module}.{name}" for name in names}
    for name in names:
        module = name.partition(".")[0] in PICKLES | PROCESSES | UNSAFE_XML
        if module or forbidden(name) or forbidden(f"{name}.") or name in only.keys() - CALLED_WITH_CODE:
            yield f"import {name}"


def forbidden(name: str) -> bool:
    """True if nothing may mention this."""
    objects = name.startswith("torch.distributed.") and "_object" in name  # tensors are sent, objects pickled
    return objects or name in NEVER or name.startswith(PARTS) or name.rpartition(".")[2] in ENDS


def filtered(call: ast.Call) -> bool:
    """True if unpacking checks paths; a factory of py7zr takes bytes and uses none."""
    return bool({word.arg for word in call.keywords} & {"filter", "factory"})


def _of_call(call: ast.Call, name: str) -> Iterator[str]:
    words = {word.arg for word in call.keywords}
    if "allow_pickle" in words and not safe(call):
        yield f"{name} with pickles"
    if "shell" in words and not says(call, "shell", False):
        yield f"{name} with a shell"


@pytest.mark.promise(
    "No code from data",
    "Nothing that is read is ever run: no pickle, no `eval`, no shell, in library, benchmarks, "
    "campaigns, chapters or notebooks.",
)
@pytest.mark.parametrize("path", SOURCES, ids=[str(path.relative_to(ROOT)) for path in SOURCES])
def test_no_code_comes_from_data(path):
    """Notebooks may leave NumPy's default, which is the safe one."""
    code = code_of(path)
    found = dict(findings(ast.parse(code), strict="chapters" not in path.parts))
    lines = enumerate(code.splitlines(), start=1)
    trusted = {number for number, line in lines if "# trusted: " in line}
    assert not {number: found[number] for number in found.keys() - trusted}, "code from data?"
    assert not trusted - found.keys(), "these lines need no `# trusted:` any more"


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
    "from torch import load",
    "from torch import load as read\nread(path, None)",
    "from numpy import load",
    "from numpy import *",
    "import numpy as n\nn.load(path)",
    "import numpy as n\nimport time as n\nn.load(path)",
    "from yaml import load",
    "from builtins import eval as e",
    "import builtins as b\nb.eval(text)",
    "getattr(builtins, 'eval')(text)",
    "h = torch.load",
    "torch.load(path, **more)",
    "list(map(eval, texts))",
    "run = exec",
    "torch.jit.load(path)",
    "torch.export.load(path)",
    "torch.serialization.load(path)",
    "import torch.hub",
    "from torch import hub",
    "torch.ops.load_library(path)",
    "from importlib import import_module as im\nim(name)",
    "import importlib as i\nlist(map(i.import_module, names))",
    "from subprocess import getoutput",
    "np.lib.format.read_array(file, True)",
    "from shutil import unpack_archive",
    "unpack = tar.extractall",
    "import torch.distributed as d\nd.broadcast_object_list(things)",
    "types.FunctionType(code, {})",
    "logging.config.dictConfig(content)",
    "pandas.read_hdf(path)",
    "from concurrent.futures import ProcessPoolExecutor",
    "import distributed",
    "trouble(eval, text)",
    "trouble(torch.load, 'file')",
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
    "import numpy as n\nn.load(path, allow_pickle=False)",
    "from coordflow_mini.video.read import load\nload(name)",
    "clips.load(name)",
    "torch.jit.script(function)",
    "compile: bool = True",
    "getattr(thing, name)",
    "trouble(eval, 'a constant')",
    "import torch.distributed as d\nd.broadcast(tensor)",
]


@pytest.mark.parametrize("line", BAD)
def test_the_rules_can_fail(line):
    assert list(findings(ast.parse(line)))


@pytest.mark.parametrize("line", GOOD)
def test_the_rules_let_the_rest_pass(line):
    assert not list(findings(ast.parse(line)))


def test_a_notebook_may_leave_the_default_and_nothing_else():
    assert not list(findings(ast.parse("np.load(path)"), strict=False))
    for line in ("np.load(path, None, True)", "np.load(*words)", "np.load(path, **words)", "h = np.load"):
        assert list(findings(ast.parse(line), strict=False)), line


def test_all_of_the_code_is_looked_at():
    kinds = {(path.relative_to(ROOT).parts[0], path.suffix) for path in SOURCES}
    assert {("coordflow_mini", ".py"), ("benchmarks", ".py"), ("chapters", ".py")} <= kinds
    assert len(SOURCES) > 100
