"""Every public name exists, says what it is, and is documented; the examples run as doctests."""

import importlib
import inspect
import typing
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "coordflow_mini"
NAMES = [
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
    for path in sorted(PACKAGE.rglob("*.py"))
    if not path.stem.startswith("__") and path.parent.name != "exercises"  # examiners register themselves
]

modules = pytest.mark.parametrize("name", NAMES)


def load(name: str):
    return importlib.import_module(f"coordflow_mini.{name}")


@modules
def test_a_module_says_what_it_is_and_what_is_public(name):
    module = load(name)
    assert module.__doc__, f"{name} has no docstring"
    assert isinstance(module.__all__, list), f"{name} has no __all__"
    assert len(set(module.__all__)) == len(module.__all__)
    for public in module.__all__:
        assert hasattr(module, public), f"{name}.__all__ names a ghost: {public}"


@modules
def test_nothing_public_is_left_out_of_all(name):
    module = load(name)
    defined = {
        public
        for public, value in vars(module).items()
        if getattr(value, "__module__", None) == module.__name__
        and (inspect.isclass(value) or inspect.isfunction(value))
        and not public.startswith("_")
    }
    assert defined <= set(module.__all__), f"{name}: make it private or name it in __all__"


@modules
def test_every_public_name_is_documented(name):
    module = load(name)
    for public in module.__all__:
        value = getattr(module, public)
        if not (inspect.isclass(value) or inspect.isfunction(value)):
            continue  # constants carry a comment
        where = f"{name}.{public}"
        assert value.__doc__, f"{where} has no docstring"
        assert not value.__doc__.startswith(f"{public}("), f"{where} has only the docstring of a dataclass"
        for part, member in [(where, value), *members(value, where)]:
            assert inspect.getdoc(member), f"{part} has no docstring"


def members(value: typing.Any, where: str) -> list[tuple[str, typing.Any]]:
    """Public methods and properties that a class defines itself."""
    if not inspect.isclass(value):
        return []
    found = []
    for key, member in vars(value).items():
        member = getattr(member, "__func__", member)
        ours = getattr(member, "__module__", value.__module__) == value.__module__  # not a library's mixin
        if ours and not key.startswith("_") and (inspect.isfunction(member) or isinstance(member, property)):
            found.append((f"{where}.{key}", member))
    return found
