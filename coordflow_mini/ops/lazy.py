"""Imports that wait for their first use, so that `coordflow --help` need not load PyTorch.

    with lazily():
        import torch
        from coordflow_mini import encoder

Inside the block, `import` binds stand-ins; a stand-in imports its module when one of its attributes is first
looked up.  Readers, type checkers and ruff see ordinary imports.  From Python 3.15 on, `lazy import torch`
does the same (PEP 810).  For modules only: a stand-in for a function could not be called.
"""

import builtins
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType, SimpleNamespace
from typing import Any


class _StandIn(ModuleType):
    def __getattr__(self, name: str) -> Any:
        return getattr(import_module(self.__name__), name)  # trusted: from an import statement


@contextmanager
def lazily() -> Iterator[None]:
    """Defer the imports in the block."""
    real, ours = builtins.__import__, threading.get_ident()  # trusted: put back below

    def stand_in(name: str, *context: Any, **more: Any) -> Any:
        if threading.get_ident() != ours:
            return real(name, *context, **more)
        wanted = context[2]  # the names after `from ... import`
        if not wanted:
            return _StandIn(name)
        return SimpleNamespace(**{part: _StandIn(f"{name}.{part}") for part in wanted})

    builtins.__import__ = stand_in  # trusted: import statements of ours
    try:
        yield
    finally:
        builtins.__import__ = real  # trusted: as it was


def publish(package: dict[str, Any]) -> None:
    """Make names that a package imported `lazily` public; package: its `globals()`.

    They join `__all__`, and `__getattr__` (PEP 562) imports each when it is first asked for: users get the
    function or class itself, no stand-in.
    """
    homes = {name: value.__name__ for name, value in package.items() if isinstance(value, _StandIn)}
    for name in homes:
        del package[name]

    def get(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package['__name__']!r} has no attribute {name!r}")
        module, _, attribute = homes[name].rpartition(".")
        return getattr(import_module(module), attribute)  # trusted: from an import statement

    names = sorted([*package.get("__all__", ()), *homes])
    package.update(__all__=names, __dir__=lambda: names, __getattr__=get)
