"""Mounts by descriptor."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from moby.host import mounts


def test_no_path_is_not_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mount of a name that got lost would show a container whatever its caller works in."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PermissionError if os.geteuid() else FileNotFoundError):  # who may not mount is refused first
        mounts.clone_tree("")


class TestUp:
    """Where others mount or rename all the time, the kernel isn't sure of a ".." (openat2(2), EAGAIN)."""

    @pytest.fixture
    def root(self, tmp_path: Path) -> Iterator[int]:
        (tmp_path / "file").touch()
        (tmp_path / "way").symlink_to("../" * 40 + "file")
        fd = os.open(tmp_path, os.O_PATH | os.O_DIRECTORY)
        yield fd
        os.close(fd)

    @pytest.fixture
    def unsure(self, monkeypatch: pytest.MonkeyPatch) -> list[int]:
        """Have the kernel be unsure as often as the one number of this list says."""
        left, real = [0], mounts.syscall
        monkeypatch.setattr(mounts, "_PAUSE_S", 0)

        def call(name: str, *arguments: object, what: str = "") -> int:
            left[0] -= 1
            if left[0] >= 0:
                raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN), what)
            return real(name, *arguments, what=what)

        monkeypatch.setattr(mounts, "syscall", call)
        return left

    def test_it_is_tried_for_long(self, root: int, unsure: list[int]) -> None:
        unsure[0] = 5000
        os.close(mounts.open_in_root(root, "/way"))
        assert unsure == [-1]

    @pytest.mark.slow
    def test_it_is_not_tried_for_ever(self, root: int, unsure: list[int]) -> None:
        unsure[0] = 1 << 30
        with pytest.raises(BlockingIOError, match="renamed again and again: '/way'"):
            mounts.open_in_root(root, "/way")

    def test_while_others_rename(self, root: int, tmp_path: Path) -> None:
        pid = os.fork()
        if pid == 0:
            os.chdir(tmp_path)
            while True:
                os.rename("file", "other")  # noqa: PTH104
                os.rename("other", "file")  # noqa: PTH104
        try:
            for _ in range(2000):
                with pytest.raises((FileNotFoundError, NotADirectoryError)):
                    mounts.open_in_root(root, "/way/below")
        finally:
            os.kill(pid, 9)
            os.waitpid(pid, 0)
