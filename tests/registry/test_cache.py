"""The cache of inspections: what makes it look again, and that it is never in the way."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from sites import Site, part, reasons

from moby.registry import Catalog, discover, discovery
from moby.registry.cache import default_folder
from moby.registry.inspection import inspect

pytestmark = pytest.mark.slow


@pytest.fixture
def looked(site: Site, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Labels of the distributions that were inspected."""
    seen: list[str] = []

    def watching(label: str, *arguments: object) -> object:
        seen.append(label)
        return inspect(label, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(discovery, "inspect", watching)
    return seen


@pytest.fixture
def look(looked: list[str], tmp_path: Path) -> Callable[[], Catalog]:
    """Discover, and forget what was inspected before."""

    def once() -> Catalog:
        looked.clear()
        return discover(cache=tmp_path / "cache")

    return once


def mine(looked: list[str]) -> list[str]:
    return [each for each in looked if not each.startswith("moby-framework")]


def test_the_second_time_nothing_is_inspected(site: Site, look: Callable[[], Catalog], looked: list[str]) -> None:
    site.part("tidy")
    first = look().get("runtime/tidy")
    assert mine(looked) == ["tidy 1.0"]
    assert look().get("runtime/tidy") == first is not None
    assert mine(looked) == []


def reinstalled(site: Site) -> None:
    site.part("tidy", files={"tidy/more.py": ""})


def upgraded(site: Site) -> None:
    old = site.part("tidy")
    for file in sorted(old.rglob("*"), reverse=True):
        file.unlink()
    old.rmdir()
    site.part("tidy", version="1.1")


@pytest.mark.parametrize("change", [pytest.param(reinstalled, id="RECORD"), pytest.param(upgraded, id="version")])
def test_an_installation_that_changed_is_inspected_again(
    site: Site, look: Callable[[], Catalog], looked: list[str], change: Callable[[Site], None]
) -> None:
    site.part("tidy")
    look()
    change(site)
    look()
    assert len(mine(looked)) == 1


def test_a_file_that_changed_behind_a_record_is_not_looked_at(
    site: Site, look: Callable[[], Catalog], looked: list[str]
) -> None:
    site.part("tidy")
    look()
    (site.folder / "tidy/plugin.py").write_text(part("other"))
    look()
    assert mine(looked) == []


def edited(package: Path) -> None:
    (package / "plugin.py").write_text(part("tidy") + "\n# edited\n")


def touched(package: Path) -> None:
    os.utime(package / "plugin.py", ns=(1, 1))


def extended(package: Path) -> None:
    (package / "deep").mkdir()
    (package / "deep/new.py").touch()


@pytest.mark.parametrize(
    "settings", [pytest.param({"editable": True}, id="editable"), pytest.param({"record": False}, id="no RECORD")]
)
@pytest.mark.parametrize(
    "change",
    [pytest.param(edited, id="edited"), pytest.param(touched, id="touched"), pytest.param(extended, id="new file")],
)
def test_a_tree_that_changed_is_inspected_again(
    site: Site,
    look: Callable[[], Catalog],
    looked: list[str],
    settings: dict[str, bool],
    change: Callable[[Path], None],
) -> None:
    site.part("tidy", **settings)
    look()
    look()
    assert mine(looked) == []
    change(site.folder / "tidy")
    look()
    assert mine(looked) == ["tidy 1.0"]


def test_bytecode_is_no_change(site: Site, look: Callable[[], Catalog], looked: list[str]) -> None:
    site.part("tidy", editable=True)
    look()
    (site.folder / "tidy/__pycache__").mkdir()
    (site.folder / "tidy/__pycache__/plugin.cpython-313.pyc").touch()
    look()
    assert mine(looked) == []


def test_a_module_of_one_file_is_watched_too(site: Site, look: Callable[[], Catalog], looked: list[str]) -> None:
    site.install("flat", {"flat.py": part("flat")}, entries={"runtime.flat": "flat"}, editable=True)
    look()
    (site.folder / "flat.py").write_text(part("flat") + "\n# edited\n")
    assert "runtime/flat" in look().components
    assert mine(looked) == ["flat 1.0"]


def test_what_cannot_be_watched_is_inspected_each_time(
    site: Site, look: Callable[[], Catalog], looked: list[str]
) -> None:
    site.install("hooked", {}, entries={"runtime.hooked": "hooked.plugin"}, editable=True)
    look()
    look()
    assert mine(looked) == ["hooked 1.0"]


def test_an_error_is_kept_until_something_is_installed_beside_it(
    site: Site, look: Callable[[], Catalog], looked: list[str]
) -> None:
    site.part("needy", files={"needy/plugin.py": part("needy", before="import provider\n")})
    look()
    assert "No module named 'provider'" in reasons(look(), "needy 1.0")[0]
    assert mine(looked) == []
    (site.folder / "provider.py").touch()
    assert "runtime/needy" in look().components


def test_a_passing_error_is_not_kept(site: Site, look: Callable[[], Catalog], looked: list[str]) -> None:
    site.part("dies", files={"dies/plugin.py": "import os; os._exit(1)"})
    look()
    look()
    assert mine(looked) == ["dies 1.0"]


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda file: file.write_text("{"), id="no JSON"),
        pytest.param(lambda file: file.write_text("[]"), id="a list"),
        pytest.param(lambda file: file.write_text(json.dumps({"key": "other"})), id="of something else"),
        pytest.param(lambda file: (file.unlink(), file.mkdir()), id="a folder"),
        pytest.param(
            lambda file: os.chown(file, 12345, -1),
            id="of somebody else",
            marks=pytest.mark.skipif(os.geteuid() != 0, reason="giving a file away takes root"),
        ),
    ],
)
def test_a_file_that_is_no_good_is_not_believed(
    site: Site, look: Callable[[], Catalog], looked: list[str], tmp_path: Path, spoil: Callable[[Path], object]
) -> None:
    site.part("tidy")
    look()
    (file,) = (tmp_path / "cache").glob("tidy-*.json")
    spoil(file)
    assert "runtime/tidy" in look().components
    assert mine(looked) == ["tidy 1.0"]
    assert not [each for each in (tmp_path / "cache").iterdir() if each.suffix != ".json"]


def test_a_folder_that_cannot_be_written_is_no_hindrance(site: Site, looked: list[str], tmp_path: Path) -> None:
    site.part("tidy")
    (tmp_path / "file").touch()
    assert "runtime/tidy" in discover(cache=tmp_path / "file/cache").components


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        pytest.param({"XDG_CACHE_HOME": "/c", "HOME": "/h"}, "/c/moby/facts", id="XDG"),
        pytest.param({"XDG_CACHE_HOME": "c", "HOME": "/h"}, "/h/.cache/moby/facts", id="relative is ignored"),
        pytest.param({"HOME": "/h"}, "/h/.cache/moby/facts", id="home"),
    ],
)
def test_the_users_own_folder(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], expected: str) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert default_folder() == Path(expected)


def test_a_user_without_a_home_has_no_cache(monkeypatch: pytest.MonkeyPatch, site: Site) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    site.part("tidy")
    assert default_folder() is None
    assert "runtime/tidy" in discover().components
