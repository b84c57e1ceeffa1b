"""Wheels: ours, built and installed into an environment of its own, and those of plugins that use the build hook."""

import json
import os
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from sites import part

from moby.registry import facts_file

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


def run(command: Sequence[str | Path], *, cwd: Path, cache: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "XDG_CACHE_HOME": str(cache or cwd)}
    environment.pop("PYTHONPATH", None)
    return subprocess.run(
        list(map(str, command)), cwd=cwd, env=environment, capture_output=True, text=True, timeout=300, check=False
    )


def build(project: Path, out: Path) -> subprocess.CompletedProcess[str]:
    return run([sys.executable, "-P", "-m", "hatchling", "build", "-t", "wheel", "-d", out], cwd=project)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Our own wheel."""
    out = tmp_path_factory.mktemp("wheel")
    built = build(ROOT, out)
    assert built.returncode == 0, built.stdout + built.stderr
    (found,) = out.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with our wheel; what it depends on comes from the one that runs the tests."""
    folder = tmp_path_factory.mktemp("environment")
    made = run([sys.executable, "-m", "venv", "--without-pip", folder], cwd=folder)
    assert made.returncode == 0, made.stderr
    pip = [sys.executable, "-m", "pip", "--python", folder / "bin/python", "install", "--quiet"]
    installed = run([*pip, "--no-deps", "--no-index", "--disable-pip-version-check", wheel], cwd=folder)
    assert installed.returncode == 0, installed.stderr
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder


def names_in(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_the_wheel_holds_the_framework_the_parts_and_nothing_else(wheel: Path) -> None:
    shipped = {f"moby_{each}" for each in ("images", "packager", "runtime", "supervisor")}
    scripts = {name for name in names_in(wheel) if name.startswith("moby_framework-0.1.0.data/")}
    assert scripts == {"moby_framework-0.1.0.data/scripts/moby-runtime"}
    tops = {name.partition("/")[0] for name in names_in(wheel) - scripts}
    assert tops >= {"moby", "moby_framework-0.1.0.dist-info", *shipped}
    folders = {each.name for each in (ROOT / "components").iterdir() if (each / "__init__.py").exists()}
    assert tops == {"moby", "moby_framework-0.1.0.dist-info", *folders}


def test_every_plugin_module_in_the_tree_has_an_entry_point(wheel: Path) -> None:
    modules = {name.removesuffix(".py").replace("/", ".") for name in names_in(wheel) if name.endswith("/plugin.py")}
    with zipfile.ZipFile(wheel) as archive:
        declared = archive.read("moby_framework-0.1.0.dist-info/entry_points.txt").decode()
    assert modules
    assert modules == {line.partition(" = ")[2] for line in declared.splitlines() if line.endswith(".plugin")}


def test_entry_points_are_named_after_their_components(wheel: Path) -> None:
    info = "moby_framework-0.1.0.dist-info"
    with zipfile.ZipFile(wheel) as archive:
        declared = archive.read(f"{info}/entry_points.txt").decode()
        components = json.loads(archive.read(f"{info}/{facts_file.IN_DIST_INFO}"))["components"]
    fitting: dict[str, set[str]] = {}
    for each in components:
        fitting.setdefault(each["module"], set()).add(f"{each['kind']}.{each['name']}")
    for module, names in fitting.items():
        if len(names) > 1:  # a module that brings several may be named after the folder that it is in
            names |= {f"{name.partition('.')[0]}.{module.partition('.')[0].removeprefix('moby_')}" for name in names}
    found = [line.partition(" = ")[::2] for line in declared.splitlines() if line.endswith(".plugin")]
    assert sorted(module for _, module in found) == sorted(fitting)
    assert [name for name, module in found if name not in fitting[module]] == []


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("moby_framework-0.1.0.dist-info/licenses/LICENSE", id="licence"),
        pytest.param(f"moby_framework-0.1.0.dist-info/{facts_file.IN_DIST_INFO}", id="facts"),
        pytest.param("moby/assemblies/quickstart.yaml", id="assembly"),
        pytest.param("moby/py.typed", id="types"),
        pytest.param("moby_runtime/py.typed", id="types of parts"),
    ],
)
def test_the_wheel_holds(wheel: Path, name: str) -> None:
    assert name in names_in(wheel)


def test_the_base_needs_no_extra(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        metadata = archive.read("moby_framework-0.1.0.dist-info/METADATA").decode()
    needed = [line for line in metadata.splitlines() if line.startswith("Requires-Dist:")]
    assert not [line for line in needed if "pytest" in line and "extra ==" not in line]
    assert "Provides-Extra: testing" in metadata


def test_components_of_the_installed_wheel_are_listed_without_a_look_at_them(environment: Path, tmp_path: Path) -> None:
    listed = run([environment / "bin/moby", "components", "--json"], cwd=tmp_path)
    assert (listed.returncode, listed.stderr) == (0, "")
    ids = [each["id"] for each in json.loads(listed.stdout)["components"]]
    assert {"packager/pyz", "runtime/native", "supervisor/foreground"} <= set(ids)
    assert list(tmp_path.iterdir()) == []  # nothing was inspected, so there was nothing to remember


def test_listing_imports_no_part(environment: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from moby.registry import discover; found = discover(); assert found.components; "
        "print([each for each in sys.modules if each.startswith('moby_')], end='')"
    )
    assert run([environment / "bin/python", "-c", code], cwd=tmp_path).stdout == "[]"


def test_the_command_of_the_runtime_runs(environment: Path, tmp_path: Path) -> None:
    """By the interpreter that it was installed for, whatever is found first in PATH."""
    command = environment / "bin/moby-runtime"
    assert command.read_text().splitlines()[0].startswith(f"#!{environment}/bin/python")
    told = run([command, "features"], cwd=tmp_path)
    assert (told.returncode, told.stderr) == (0, "")
    assert json.loads(told.stdout)["ociVersionMax"]


def test_the_shipped_assembly_checks(environment: Path, tmp_path: Path) -> None:
    checked = run([environment / "bin/moby", "check", "quickstart"], cwd=tmp_path)
    assert checked.returncode == 0, checked.stdout + checked.stderr


PROJECT = """
[build-system]
requires = ["hatchling", "moby-framework"]
build-backend = "hatchling.build"

[project]
name = "Mine"
version = "3"
requires-python = ">=3.11"

[project.entry-points."moby.components"]
{entries}

[tool.hatch.build.targets.wheel]
packages = ["{package}"]

[tool.hatch.build.hooks.moby]
"""


def project(folder: Path, *, package: str, source: str, entries: str = '"runtime.mine" = "mine.plugin"') -> Path:
    (folder / package).mkdir(parents=True)
    (folder / package / "__init__.py").touch()
    (folder / package / "plugin.py").write_text(source)
    (folder / "pyproject.toml").write_text(PROJECT.format(package=package, entries=entries))
    return folder


@pytest.mark.parametrize("package", [pytest.param("mine", id="flat"), pytest.param("src/mine", id="src")])
def test_the_hook_writes_a_plugins_facts(tmp_path: Path, package: str) -> None:
    folder = project(tmp_path / "project", package=package, source=part("mine"))
    built = build(folder, tmp_path)
    assert built.returncode == 0, built.stdout + built.stderr
    with zipfile.ZipFile(tmp_path / "mine-3-py3-none-any.whl") as archive:
        (facts,) = json.loads(archive.read(f"mine-3.dist-info/{facts_file.IN_DIST_INFO}"))["components"]
    assert (facts["id"], facts["distribution"], facts["module"]) == ("runtime/mine", "Mine 3", "mine.plugin")


def test_a_wheel_with_facts_is_believed_once_installed(tmp_path: Path, environment: Path) -> None:
    folder = project(tmp_path / "project", package="mine", source=part("mine"))
    assert build(folder, tmp_path).returncode == 0
    site = tmp_path / "site"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", site]
    installed = run([*pip, "--disable-pip-version-check", tmp_path / "mine-3-py3-none-any.whl"], cwd=tmp_path)
    assert installed.returncode == 0, installed.stderr
    code = (
        f"import sys; sys.path.append({str(site)!r}); from moby.registry import discover; found = discover(); "
        "print(found.components['runtime/mine'].version, found.broken)"
    )
    cache = tmp_path / "cache"
    assert run([environment / "bin/python", "-c", code], cwd=tmp_path, cache=cache).stdout == "3 ()\n"
    assert not cache.exists()


@pytest.mark.parametrize(
    ("source", "entries", "message"),
    [
        pytest.param("1 / 0\n", '"runtime.mine" = "mine.plugin"', "ZeroDivisionError: division by zero", id="raises"),
        pytest.param("", '"runtime.mine" = "mine.plugin"', "mine.plugin: it has no hook", id="no hook"),
        pytest.param("", "", "Mine has no entry points for components", id="no entry points"),
    ],
)
def test_a_plugin_that_cannot_be_read_is_not_built(tmp_path: Path, source: str, entries: str, message: str) -> None:
    folder = project(tmp_path / "project", package="mine", source=source, entries=entries)
    built = build(folder, tmp_path / "out")
    assert built.returncode != 0
    assert message in built.stdout + built.stderr
    assert not list(tmp_path.rglob("*.whl"))


def test_an_editable_wheel_has_no_facts(tmp_path: Path) -> None:
    folder = project(tmp_path / "project", package="mine", source=part("mine"))
    with (folder / "pyproject.toml").open("a") as stream:
        stream.write('[tool.hatch.build]\ndev-mode-dirs = ["."]\n')
    code = f"from hatchling.build import build_editable; print(build_editable({str(tmp_path)!r}))"
    built = run([sys.executable, "-P", "-c", code], cwd=folder)
    assert built.returncode == 0, built.stderr
    assert not [name for name in names_in(tmp_path / built.stdout.split()[-1]) if "extra_metadata" in name]
