"""The room that an engine keeps for its end on a full disk."""

import errno
import os
from pathlib import Path

import pytest

from moby.engine import root
from moby.surroundings import Roots


@pytest.fixture
def roots(tmp_path: Path) -> Roots:
    (tmp_path / "state").mkdir()
    return Roots(tmp_path / "state", tmp_path / "run", tmp_path / "cache", "here")


def test_it_is_kept_once_and_given_back(roots: Roots, monkeypatch: pytest.MonkeyPatch) -> None:
    path = roots.state / "reserve"
    root.keep_room(roots)
    size = path.stat().st_size
    assert size >= 256 << 10
    with monkeypatch.context() as patch:
        patch.setattr(os, "posix_fallocate", lambda *_: pytest.fail("there is some already"))
        root.keep_room(roots)
    root.make_room(roots)
    assert not path.exists()
    root.make_room(roots)


def test_what_a_killed_one_left_is_filled(roots: Roots) -> None:
    path = roots.state / "reserve"
    path.touch()
    root.keep_room(roots)
    assert path.stat().st_size >= 256 << 10


def test_on_a_full_disk_there_is_none(roots: Roots, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    root.keep_room(roots)
    assert not (roots.state / "reserve").exists()
