import errno
import importlib
import os
import subprocess
import sys
import zipfile
import zipimport
from pathlib import Path

import pytest

from moby.engine import copies
from moby.served import stored
from moby.surroundings import Roots


def _archive(path, **modules):
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("copied_parts/__init__.py", "")
        for name, text in modules.items():
            file.writestr(f"copied_parts/{name}.py", text)
    return path


@pytest.fixture
def imported(tmp_path, monkeypatch):
    """An archive of which this process has imported something, as if the framework were in it; and the copy's root."""
    path = _archive(tmp_path / "engine.pyz", first="", later="value = 'old'")
    monkeypatch.syspath_prepend(str(path))
    monkeypatch.setattr(copies, "__loader__", zipimport.zipimporter(str(path)))
    importlib.import_module("copied_parts.first")
    yield path, Roots.under(tmp_path / "root", "test")
    for each in [each for each in sys.modules if each.partition(".")[0] == "copied_parts"]:
        del sys.modules[each]
    for each in [each for each in sys.path_importer_cache if each.startswith(str(tmp_path))]:
        del sys.path_importer_cache[each]


def test_what_is_imported_later_comes_from_the_copy_whose_directory_is_not_read_again(imported, monkeypatch):
    path, roots = imported
    monkeypatch.setattr(zipimport, "_read_directory", None)
    copies.import_from_copy(roots)
    path.unlink()
    found = importlib.import_module("copied_parts.later")
    assert found.value == "old"
    assert Path(found.__file__).is_relative_to(roots.run / "distributions")


def test_modules_of_a_package_have_one_loader_each_in_the_copy(imported):
    _, roots = imported
    copies.import_from_copy(roots)
    package, first = sys.modules["copied_parts"], sys.modules["copied_parts.first"]
    assert Path(first.__loader__.archive).parent == roots.run / "distributions"
    assert package.__loader__.prefix == ""
    assert first.__loader__.prefix == f"copied_parts{os.sep}"


def test_an_archive_that_was_replaced_since_it_was_imported_from_is_read_as_it_is_now(imported):
    path, roots = imported
    _archive(path.with_name("new.pyz"), first="# longer than it was", later="value = 'new'").replace(path)
    copies.import_from_copy(roots)
    assert importlib.import_module("copied_parts.later").value == "new"


@pytest.fixture
def original(tmp_path, monkeypatch):
    """A file that has been as it is for long enough to be known by its times."""
    monkeypatch.setattr(stored, "_SETTLED_NS", -1)
    monkeypatch.setattr(stored, "_SECOND_NS", 1 << 62)  # it may have been made at a whole one
    path = tmp_path / "engine.pyz"
    path.write_bytes(b"old")
    return path


def _unreadable(path):
    raise AssertionError(f"{path} was read")


def test_a_file_that_is_as_it_was_is_not_read_to_find_its_copy(original, tmp_path, monkeypatch):
    copy = stored.stored_copy(tmp_path / "copies", original)
    monkeypatch.setattr(Path, "read_bytes", _unreadable)
    assert stored.stored_copy(tmp_path / "copies", original) == copy


def test_a_file_that_changed_within_its_size_and_time_has_another_copy(original, tmp_path):
    before = original.stat()
    stored.stored_copy(tmp_path / "copies", original)
    while original.stat().st_ctime_ns == before.st_ctime_ns:  # as coarse as the kernel counts
        original.write_bytes(b"new")
        os.utime(original, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert stored.stored_copy(tmp_path / "copies", original).read_bytes() == b"new"


def test_a_file_that_changed_just_now_is_read_again(original, tmp_path, monkeypatch):
    monkeypatch.setattr(stored, "_SETTLED_NS", 3600 * 10**9)
    stored.stored_copy(tmp_path / "copies", original)
    monkeypatch.setattr(Path, "read_bytes", _unreadable)
    with pytest.raises(AssertionError, match="was read"):
        stored.stored_copy(tmp_path / "copies", original)


def test_a_copy_that_was_removed_is_made_again(original, tmp_path):
    copy = stored.stored_copy(tmp_path / "copies", original)
    copy.unlink()
    assert stored.stored_copy(tmp_path / "copies", original) == copy
    assert copy.read_bytes() == b"old"


def test_what_is_not_copied_for_want_of_room_leaves_nothing(tmp_path, monkeypatch):
    original = tmp_path / "engine.pyz"
    original.write_bytes(b"whole")

    def half(path, data):
        with path.open("wb") as file:
            file.write(data[:2])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", half)
    with pytest.raises(OSError, match="No space left"):
        stored.stored_copy(tmp_path / "copies", original)
    assert [*(tmp_path / "copies").iterdir()] == []


def test_a_root_that_can_t_be_made_is_told(docker_pyz, tmp_path):
    """Before anything is copied there."""
    words = [sys.executable, docker_pyz, "--root", "/proc/x", "serve", "--host", f"unix://{tmp_path}/socket"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert "can't make the folder /proc/x" in done.stderr
    assert "--root DIR" in done.stderr
