"""Imports that wait: nothing is loaded before it is used, and users get the things themselves."""

import ast
import sys
import threading
from pathlib import Path
from types import FunctionType

import pytest

import coordflow_mini as cf
from coordflow_mini.ops.lazy import lazily, publish


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A package `shop` with a module `shelf`."""
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "__init__.py").write_text("name = 'shop'")
    (tmp_path / "shop" / "shelf.py").write_text("def price():\n    '''What it costs.'''\n    return 3")
    yield tmp_path
    for module in ("shop", "shop.shelf"):
        sys.modules.pop(module, None)


def test_a_module_is_loaded_at_its_first_use(folder):
    with lazily():
        import shop
        from shop import shelf
    assert not {"shop", "shop.shelf"} & sys.modules.keys()
    assert shop.name == "shop" and "shop.shelf" not in sys.modules
    assert shelf.price() == 3 and "shop.shelf" in sys.modules


def test_a_missing_module_is_an_import_error_at_its_first_use():
    with lazily():
        import no_such_module
    with pytest.raises(ImportError):
        _ = no_such_module.name


def test_imports_after_the_block_and_in_other_threads_are_ordinary(folder):
    found = []

    def load() -> None:
        import shop

        found.append(shop)

    with lazily():
        thread = threading.Thread(target=load)
        thread.start()
        thread.join()
    import shop

    assert found == [sys.modules["shop"]] == [shop]


def test_published_names_are_the_things_themselves(folder):
    package = {"__name__": "market", "other": 1}
    with lazily():
        from shop.shelf import price
    package["price"] = price
    publish(package)
    assert "price" not in package and package["__all__"] == package["__dir__"]() == ["price"]
    assert isinstance(package["__getattr__"]("price"), FunctionType)
    with pytest.raises(AttributeError, match="'market' has no attribute 'rice'"):
        package["__getattr__"]("rice")


def test_the_package_publishes_the_whole_way():
    way = "load Video fit CoordFlow Recipe encode EncodeResult decode evaluate write scrub BitstreamError"
    assert set(way.split()) <= set(cf.__all__) <= set(dir(cf))
    assert all(getattr(cf, name).__doc__ for name in cf.__all__)


def test_imports_stand_at_the_top():
    inner = [
        f"{path.name}: {ast.unparse(node)}"
        for path in (Path(cf.__file__).parent).rglob("*.py")
        for function in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(function, ast.FunctionDef)
        for node in ast.walk(function)
        if isinstance(node, (ast.Import, ast.ImportFrom))
    ]
    assert not inner
