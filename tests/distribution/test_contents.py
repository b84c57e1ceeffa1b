"""Which files go into an engine."""

import sys
from collections.abc import Mapping
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest
from installing import Site, part, plan

from moby.distribution.contents import ENGINE_HALF, MAIN_SOURCE, contents
from moby.errors import Corrupt, Invalid
from moby.plan import Instance

PLUGIN = "from moby.component import Component\nfrom moby.hookspecs import hookimpl\n"
NATIVE = f"fast{EXTENSION_SUFFIXES[0]}"


def tree(site: Site, files: Mapping[str, str], **options: object) -> None:
    site.install("parts", {"parts/__init__.py": "", "parts/one/__init__.py": "", **files}, **options)


def inside(*instances: Instance) -> dict[str, str]:
    return {entry.path: entry.owner for entry in contents(plan(*instances)).entries}


ONE = part("runtime/one", "parts.one.plugin")


def test_a_components_package_goes_in_whole_and_is_its_own(site: Site) -> None:
    files = {
        "parts/one/plugin.py": PLUGIN,
        "parts/one/deep/work.py": "",
        "parts/one/table.json": "{}",
        "parts/one/README.md": "",
        "parts/one/py.typed": "",
        "parts/one/stub.pyi": "",
        "parts/two/__init__.py": "",
        "parts/two/plugin.py": "",
        "parts/one/nested/__init__.py": "",
        "parts/one/nested/plugin.py": "",
        "parts/shared.py": "",
    }
    tree(site, files)
    found = {path: owner for path, owner in inside(ONE).items() if path.startswith("parts/")}
    assert found == dict.fromkeys(
        (
            "parts/__init__.py", "parts/one/__init__.py", "parts/one/plugin.py", "parts/one/deep/work.py",
            "parts/one/table.json",
        ), "runtime/one",
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(
    "source",
    [
        pytest.param("from parts import shared", id="member"),
        pytest.param("import parts.shared", id="module"),
        pytest.param("def f():\n    from parts.shared import x", id="lazily"),
        pytest.param("from .. import shared", id="relative"),
    ],
)
def test_what_a_component_imports_of_its_distribution_goes_in(site: Site, source: str) -> None:
    tree(site, {"parts/one/plugin.py": source, "parts/shared.py": "", "parts/other.py": ""})
    found = inside(ONE)
    assert found["parts/shared.py"] == "runtime/one"
    assert "parts/other.py" not in found


@pytest.mark.parametrize(
    "source",
    [
        pytest.param("import json, os.path", id="standard-library"),
        pytest.param("import moby", id="the-framework"),
        pytest.param("from moby.contracts import runtime", id="a-contract"),
        pytest.param("from moby.errors import Invalid", id="a-name"),
        pytest.param("try:\n    import yaml\nexcept ImportError:\n    yaml = None", id="what-it-can-do-without"),
        pytest.param("if TYPE_CHECKING:\n    from moby.manifest import Assembly", id="for-checkers"),
        pytest.param("import attrs, attr", id="what-engines-run-on"),
        pytest.param("from moby_runtime.oci_command.tool import Tool", id="what-components-share"),
    ],
)
def test_imports_that_are_fine(site: Site, source: str) -> None:
    tree(site, {"parts/one/plugin.py": source})
    assert inside(ONE)["parts/one/plugin.py"] == "runtime/one"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("source", "message"),
    [
        pytest.param("import moby.resolver", "runtime/one imports moby.resolver, which serves assembling", id="half"),
        pytest.param("from moby import manifest", "imports moby.manifest, which serves assembling", id="half-by-name"),
        pytest.param("def f():\n    import moby.testing.packager", "imports moby.testing.packager", id="half-lazily"),
        pytest.param("import yaml", "runtime/one imports yaml, which isn't in the engine", id="undeclared"),
        pytest.param("import parts.two.work", "which is another component's", id="another-component"),
        pytest.param("from parts.two import work", "which is another component's", id="another-component-by-name"),
        pytest.param("import moby_runtime.runc", "which is another component's", id="one-of-the-frameworks"),
        pytest.param("import moby.errors.nothing", "imports moby.errors.nothing, which there isn't", id="no-module"),
        pytest.param("import parts.nothing", "imports parts.nothing, which there isn't", id="no-module-of-its-own"),
    ],
)
def test_imports_that_fail_in_an_engine_are_bugs_of_the_component(site: Site, source: str, message: str) -> None:
    tree(site, {
        "parts/one/plugin.py": PLUGIN, "parts/one/work.py": f"\n{source}", "parts/two/__init__.py": "",
        "parts/two/plugin.py": "", "parts/two/work.py": "",
    })  # fmt: skip
    with pytest.raises(Invalid) as caught:
        inside(ONE)
    assert message in str(caught.value)
    assert caught.value.problems[0].where.source == "parts/one/work.py"
    assert caught.value.problems[0].where.line in (2, 3)


def test_all_problems_come_at_once(site: Site) -> None:
    tree(site, {"parts/one/plugin.py": "import yaml\nimport moby.cli\nimport click\n"})
    with pytest.raises(Invalid) as caught:
        inside(ONE)
    assert len(caught.value.problems) == 3


def test_what_is_brought_goes_in_with_what_that_requires(site: Site) -> None:
    tree(site, {"parts/one/plugin.py": "import top"})
    site.install("top", {"top/__init__.py": "import importlib.metadata", "top/x.pyi": ""}, requires=["low"])
    site.install("low", {"low.py": "", "low-data.txt": ""}, licence=None)
    site.install("unused", {"unused.py": ""})
    found = contents(plan(part("runtime/one", "parts.one.plugin", brings=("top",))))
    owners = {entry.path: entry.owner for entry in found.entries}
    assert {path: owner for path, owner in owners.items() if owner in ("top 1.0", "low 1.0")} == {
        "top/__init__.py": "top 1.0",
        "top-1.0.dist-info/METADATA": "top 1.0",
        "licenses/top-1.0/LICENSE": "top 1.0",
        "low.py": "low 1.0",
        "low-data.txt": "low 1.0",
    }
    assert owners["licenses/parts-1.0/LICENSE"] == "parts 1.0"
    assert not any(path.startswith("unused") for path in owners)
    assert found.distributions["low 1.0"] == ("runtime/one",)
    assert found.distributions["parts 1.0"] == ("runtime/one",)
    assert found.unlicensed == ("low 1.0",)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("files", "natives"),
    [
        pytest.param({"top/__init__.py": "from top import fast"}, [NATIVE], id="needed"),
        pytest.param(
            {"top/__init__.py": "from . import a", "top/a.py": "import top.fast"}, [NATIVE], id="needed-deeper"
        ),
        pytest.param(
            {"top/__init__.py": "try:\n from top import a\nexcept ImportError:\n a = 0", "top/a.py": "import top.fast"},
            [],
            id="guarded",
        ),
        pytest.param({"top/__init__.py": "from top import fast", "top/fast.py": ""}, [], id="with-a-source-beside"),
        pytest.param({"top/__init__.py": "def f():\n from top import fast"}, [], id="lazily"),
        pytest.param({"top/__init__.py": "", "top/a.py": "import top.fast"}, [], id="not-imported"),
    ],
)
def test_machine_code_goes_in_just_where_nothing_else_does(
    site: Site, files: Mapping[str, str], natives: list[str]
) -> None:
    tree(site, {"parts/one/plugin.py": "import top"})
    site.install("top", {**files, f"top/{NATIVE}": b"\x7fELF"})
    found = inside(part("runtime/one", "parts.one.plugin", brings=("top",)))
    assert [path for path in found if path.endswith(".so")] == [f"top/{name}" for name in natives]


def test_machine_code_of_a_component_itself(site: Site) -> None:
    tree(
        site,
        {"parts/one/plugin.py": "", f"parts/one/{NATIVE}": "", "parts/one/slow.abi3.so": "", "parts/one/slow.py": ""},
    )
    assert [path for path in inside(ONE) if path.endswith(".so")] == [f"parts/one/{NATIVE}"]


def test_hidden_files_stay_out(site: Site) -> None:
    tree(site, {"parts/one/plugin.py": "", "parts/one/.plugin.py.swp": "", "parts/one/.cache/x.py": ""})
    assert not [path for path in inside(ONE) if "/." in path]


@pytest.mark.parametrize("same", [True, False])
def test_two_that_bring_a_file_for_one_place(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, same: bool
) -> None:
    other = Site(tmp_path / "other")
    monkeypatch.syspath_prepend(other.folder)
    tree(site, {"parts/one/plugin.py": ""})
    site.install("top", {"top.py": "", "tests/__init__.py": "A"})
    other.install("low", {"low.py": "", "tests/__init__.py": "A" if same else "B"})
    brings = part("runtime/one", "parts.one.plugin", brings=("top", "low"))
    if same:
        assert inside(brings)["tests/__init__.py"] == "low 1.0"
        return
    with pytest.raises(Invalid, match=r"low 1.0 and top 1.0 both bring tests/__init__.py, and not the same"):
        inside(brings)


def test_a_file_that_may_be_executed_still_may(site: Site) -> None:
    tree(site, {"parts/one/plugin.py": "", "parts/one/keeper.sh": "#!/bin/sh"})
    (site.folder / "parts/one/keeper.sh").chmod(0o755)
    executable = [entry.path for entry in contents(plan(ONE)).entries if entry.executable]
    assert executable == ["parts/one/keeper.sh"]


def test_a_plugin_that_is_one_module(site: Site) -> None:
    site.install("parts", {"lonely.py": PLUGIN, "other.py": ""})
    found = inside(part("runtime/lonely", "lonely"))
    assert found["lonely.py"] == "runtime/lonely"
    assert "other.py" not in found


def test_an_installed_component_that_was_changed_is_corrupt(site: Site) -> None:
    tree(site, {"parts/one/plugin.py": PLUGIN})
    (site.folder / "parts/one/plugin.py").write_text(f"{PLUGIN}# mine\n")
    with pytest.raises(Corrupt, match=r"parts 1.0: parts/one/plugin.py is not what its RECORD says"):
        inside(ONE)


def test_the_framework_goes_in_by_half() -> None:
    found = [path for path, owner in inside().items() if owner == "moby" and path.endswith(".py")]
    names = {path.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for path in found}
    assert "moby.engine.entry" in names
    assert not [name for name in names if name != "moby" and not name.startswith(ENGINE_HALF)]


def test_an_interrupt_while_an_engine_is_still_imported_is_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupted:
        def __getattr__(self, name: str) -> object:
            raise KeyboardInterrupt if name == "main" else AttributeError(name)

    monkeypatch.setitem(sys.modules, "moby.engine.entry", Interrupted())
    with pytest.raises(SystemExit) as ended:
        exec(compile(MAIN_SOURCE, "__main__.py", "exec"), {})
    assert ended.value.code == 130
