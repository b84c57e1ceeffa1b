"""Modules that come out of archives: read once each, and otherwise as zipimport has them."""

import importlib
import inspect
import subprocess
import sys
import zipfile
import zipimport
from collections.abc import Iterator
from pathlib import Path

import pytest

import moby
from moby.engine.archives import Archive, read_once


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    path = tmp_path / "some.pyz"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("archived/__init__.py", "NAME = __name__\n")
        file.writestr("archived/below/__init__.py", "")
        file.writestr("archived/below/leaf.py", "def place():\n    return __file__\n")
        file.writestr("archived/broken.py", "raise ValueError('of its own')\n")
        file.writestr("archived/text", "as it is")
    monkeypatch.setattr(sys, "path", [str(path), *sys.path])
    monkeypatch.setattr(sys, "path_hooks", [*sys.path_hooks])
    yield path
    for name in [each for each in sys.modules if each.partition(".")[0] == "archived"]:
        del sys.modules[name]
    for name in [each for each in sys.path_importer_cache if each.startswith(str(path))]:
        del sys.path_importer_cache[name]


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is read of archives from now on."""
    found: list[str] = []
    real = zipimport._get_data  # type: ignore[attr-defined]

    def counting(path: str, entry: tuple[str, ...]) -> bytes:
        found.append(Path(entry[0]).name)
        return real(path, entry)  # type: ignore[no-any-return]

    monkeypatch.setattr(zipimport, "_get_data", counting)
    return found


def test_each_module_is_read_once(archive: Path, read: list[str]) -> None:
    importlib.import_module("archived")  # by zipimport, before
    assert read == ["__init__.py"] * 2
    read.clear()
    read_once()
    importlib.import_module("archived.below.leaf")
    assert read == ["__init__.py", "leaf.py"]


def test_modules_are_as_others(archive: Path) -> None:
    read_once()
    read_once()
    leaf = importlib.import_module("archived.below.leaf")
    package = importlib.import_module("archived")
    assert type(leaf.__loader__) is Archive
    assert leaf.__spec__ is not None
    assert leaf.place() == leaf.__spec__.origin == f"{archive}/archived/below/leaf.py"
    assert package.__file__ == f"{archive}/archived/__init__.py"
    assert package.__path__ == [f"{archive}/archived"]
    assert inspect.getsource(leaf.place).endswith("return __file__\n")
    assert isinstance(package.__loader__, Archive)
    assert package.__loader__.get_data(f"{archive}/archived/text") == b"as it is"


def test_what_is_not_there_or_broken(archive: Path) -> None:
    read_once()
    with pytest.raises(ModuleNotFoundError, match=r"archived\.absent"):
        importlib.import_module("archived.absent")
    with pytest.raises(ValueError, match="of its own"):
        importlib.import_module("archived.broken")
    with pytest.raises(zipimport.ZipImportError, match="absent"):
        Archive(str(archive)).get_filename("absent")


def test_the_framework_is_read_so_where_it_is_an_archive(tmp_path: Path) -> None:
    root = Path(moby.__file__).parents[1]
    with zipfile.ZipFile(tmp_path / "engine.pyz", "w") as file:
        for each in (root / "moby").rglob("*.py"):
            file.write(each, each.relative_to(root))
    looks = "print(type(moby.engine.__loader__).__name__, type(moby.engine.running.__loader__).__name__)"
    script = f"import sys; sys.path.insert(0, {str(tmp_path / 'engine.pyz')!r}); import moby.engine; {looks}"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout == "zipimporter Archive\n"
