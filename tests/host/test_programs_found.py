"""Where programs of the host's are found."""

import pytest

from moby.host import programs


@pytest.fixture
def sbin(tmp_path, monkeypatch):
    """A folder of administrators, with a program; PATH has another one."""
    for name in ("bin", "sbin"):
        (tmp_path / name).mkdir()
    _make(tmp_path / "sbin/tool")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(programs, "_ADMINISTRATORS", (str(tmp_path / "sbin"),))
    return tmp_path


def _make(path):
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)


def test_what_an_ordinary_user_s_path_lacks(sbin):
    assert programs.find("tool") == f"{sbin}/sbin/tool"
    assert programs.find("other") is None


def test_path_comes_first(sbin):
    _make(sbin / "bin/tool")
    assert programs.find("tool") == f"{sbin}/bin/tool"


def test_each_folder_once(sbin, monkeypatch):
    assert programs.search_path() == f"{sbin}/bin:{sbin}/sbin"
    monkeypatch.setenv("PATH", f"{sbin}/sbin:{sbin}/bin")
    assert programs.search_path() == f"{sbin}/sbin:{sbin}/bin"


def test_a_path_that_is_not_set(sbin, monkeypatch):
    monkeypatch.delenv("PATH")
    assert programs.find("tool") == f"{sbin}/sbin/tool"
    assert programs.find("sh") is not None
