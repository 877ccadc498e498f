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


def public(name: str) -> dict[str, typing.Any]:
    """Classes and functions of a module whose names have no underscore before them."""
    module = load(name)
    return {
        key: value
        for key, value in vars(module).items()
        if getattr(value, "__module__", None) == module.__name__
        and (inspect.isclass(value) or inspect.isfunction(value))
        and not key.startswith("_")
    }


@modules
def test_a_module_says_what_it_is(name):
    assert load(name).__doc__, f"{name} has no docstring"


@modules
def test_a_room_gathers_names_that_exist(name):
    """`__all__` stands only where a package gathers the names of its modules."""
    names = getattr(load(name), "__all__", [])
    assert len(set(names)) == len(names) and all(hasattr(load(name), one) for one in names)


@modules
def test_every_public_name_is_documented(name):
    for key, value in public(name).items():
        where = f"{name}.{key}"
        assert value.__doc__, f"{where} has no docstring"
        assert not value.__doc__.startswith(f"{key}("), f"{where} has only the docstring of a dataclass"
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
