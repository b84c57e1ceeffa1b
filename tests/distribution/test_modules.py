"""Reading what a module imports, and where modules lie, without importing any."""

import sys
from pathlib import Path

import pytest
from installing import Site

from moby.distribution import modules
from moby.distribution.modules import Import, Module
from moby.errors import Invalid

HERE = Module("pack.inner.here", Path("here.py"))
PACKAGE = Module("pack.inner", Path("__init__.py"), package=True)


@pytest.mark.parametrize(
    ("source", "found"),
    [
        pytest.param("import a.b, c", [Import("a.b", 1), Import("c", 1)], id="import"),
        pytest.param("from a import b", [Import("a", 1), Import("a.b", 1, member=True)], id="from"),
        pytest.param("from a import *", [Import("a", 1)], id="star"),
        pytest.param("def f():\n import a", [Import("a", 2, lazy=True)], id="in-a-function"),
        pytest.param("class C:\n import a", [Import("a", 2)], id="in-a-class"),
        pytest.param("if True:\n import a\nelse:\n import b", [Import("a", 2), Import("b", 4)], id="branches"),
        pytest.param("from typing import TYPE_CHECKING as T", [
            Import("typing", 1), Import("typing.TYPE_CHECKING", 1, member=True)
        ], id="alias"),
        pytest.param("if TYPE_CHECKING:\n import a\nelse:\n import b", [Import("b", 4)], id="for-checkers"),
        pytest.param("if typing.TYPE_CHECKING:\n import a", [], id="for-checkers-by-module"),
        pytest.param("try:\n import a\nexcept ImportError:\n import b", [
            Import("a", 2, guarded=True), Import("b", 4)
        ], id="guarded"),
        pytest.param("try:\n import a\nexcept (KeyError, ModuleNotFoundError):\n pass", [
            Import("a", 2, guarded=True)
        ], id="guarded-by-one-of-several"),
        pytest.param("try:\n import a\nexcept:\n pass", [Import("a", 2, guarded=True)], id="guarded-by-all"),
        pytest.param("try:\n import a\nexcept KeyError:\n pass", [Import("a", 2)], id="not-guarded"),
        pytest.param("try:\n import a\nfinally:\n pass", [Import("a", 2)], id="finally-guards-nothing"),
        pytest.param("importlib.import_module('a')", [], id="by-importlib"),
    ],
)  # fmt: skip
def test_imports(source: str, found: list[Import]) -> None:
    assert list(modules.imports(HERE, source.encode())) == sorted(found)


@pytest.mark.parametrize(
    ("module", "source", "names"),
    [
        pytest.param(HERE, "from . import a", ["pack.inner", "pack.inner.a"], id="sibling"),
        pytest.param(HERE, "from .a import b", ["pack.inner.a", "pack.inner.a.b"], id="in-a-sibling"),
        pytest.param(HERE, "from .. import a", ["pack", "pack.a"], id="above"),
        pytest.param(PACKAGE, "from . import a", ["pack.inner", "pack.inner.a"], id="of-a-package"),
        pytest.param(PACKAGE, "from ..a import b", ["pack.a", "pack.a.b"], id="above-a-package"),
    ],
)
def test_relative_imports(module: Module, source: str, names: list[str]) -> None:
    assert [each.module for each in modules.imports(module, source.encode())] == names


@pytest.mark.parametrize("source", [pytest.param(b"def", id="syntax"), pytest.param(b"\xff\xfe\x00", id="bytes")])
def test_what_is_no_python(source: bytes) -> None:
    with pytest.raises(Invalid, match=r"pack\.inner\.here can't be read as Python"):
        modules.imports(HERE, source)


def test_find(site: Site) -> None:
    for path in ("one/__init__.py", "one/two.py", "one/bare/three.py", "alone.py", "one/fast.abi3.so"):
        (site.folder / path).parent.mkdir(parents=True, exist_ok=True)
        (site.folder / path).write_text("raise RuntimeError('imported')")
    found = {name: modules.find(name) for name in ("one", "one.two", "one.bare", "one.bare.three", "alone", "one.fast")}
    places = {name: module and module.path.relative_to(site.folder).as_posix() for name, module in found.items()}
    assert places == {
        "one": "one/__init__.py",
        "one.two": "one/two.py",
        "one.bare": "one/bare",
        "one.bare.three": "one/bare/three.py",
        "alone": "alone.py",
        "one.fast": "one/fast.abi3.so",
    }
    assert [found[name].entry for name in ("one", "one.two", "alone")] == ["one/__init__.py", "one/two.py", "alone.py"]
    assert [name for name, module in found.items() if module.native] == ["one.fast"]
    assert "one" not in sys.modules


@pytest.mark.parametrize("name", ["nothing", "nothing.at.all", "json.nothing", "json.decoder.x", "sys.x"])
def test_find_nothing(name: str) -> None:
    assert modules.find(name) is None


def test_a_source_is_preferred_to_machine_code(site: Site) -> None:
    for path in ("pair/__init__.py", "pair/fast.py", "pair/fast.abi3.so"):
        (site.folder / path).parent.mkdir(exist_ok=True)
        (site.folder / path).touch()
    assert modules.find("pair.fast").path.name == "fast.py"
