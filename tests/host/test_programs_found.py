"""Where programs of the host's are found."""

import errno
import tempfile

import pytest

from moby.host import facts, programs


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


def test_what_a_program_makes_to_tell_its_version_goes(monkeypatch, tmp_path):
    """As crun, which makes its folder for that."""
    tool = tmp_path / "tool"
    tool.write_text('#!/bin/sh\nmkdir "${XDG_RUNTIME_DIR:-' + str(tmp_path) + '}/made" && echo tool 1.2\n')
    tool.chmod(0o755)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    for _ in range(2):
        assert facts.probe("binary", "tool", ">=1.2").ok
    assert list(tmp_path.iterdir()) == [tool]
    monkeypatch.setattr(tempfile, "mkdtemp", _no_room)
    assert facts.probe("binary", "tool", ">=1.2").ok, "where nothing can be written it is asked all the same"


def _no_room(**_):
    raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found")
