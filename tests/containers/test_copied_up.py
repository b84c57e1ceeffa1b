"""Trees that are copied: into new volumes, and into archives."""

import gc
import io
import os
from pathlib import Path

import pytest
from moby_containers.command.archives import _walk
from moby_containers.engine import tars
from moby_containers.engine.placing import copy_up

from moby.host import tree
from moby.oci.layer import EntryType, LayerEntry, stream

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
DEEP = 600
"""More than Python's stack has room for, twice a folder; an image has at most 1,024."""


def descriptors() -> set[str]:
    """Those that this process has, of which others' may be closed at any time."""
    gc.collect()
    return {each.name for each in Path("/proc/self/fd").iterdir()}


def _dug(top: Path, depth: int) -> int:
    """Make so many folders below each other; return a descriptor of the last."""
    fd = os.open(top, tree.DIRECTORY_FLAGS)
    for _ in range(depth):
        os.mkdir("d", 0o711, dir_fd=fd)
        inner = os.open("d", tree.DIRECTORY_FLAGS, dir_fd=fd)
        os.close(fd)
        fd = inner
    return fd


@pytest.fixture
def deep(tmp_path):
    """An image's root with a deep tree, with a file at its end."""
    top = tmp_path / "root/data"
    top.mkdir(parents=True)
    (top / "first").write_text("x")
    os.link(top / "first", top / "second")
    fd = _dug(top, DEEP)
    os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=fd))
    os.utime(".", ns=(5, 7), dir_fd=fd)
    os.close(fd)
    (tmp_path / "volume").mkdir()
    yield tmp_path
    above = os.open(tmp_path, tree.DIRECTORY_FLAGS)
    for each in ("root", "volume"):
        tree.remove(above, each)
    os.close(above)


def test_a_deep_tree(deep):
    before = descriptors()
    copy_up(deep / "root", "data", deep / "volume")
    assert descriptors() <= before
    assert (deep / "volume/first").samefile(deep / "volume/second")
    end = Path(deep, "volume", *["d"] * DEEP)
    assert [each.name for each in end.iterdir()] == ["file"]
    assert (end.stat().st_mode & 0o777, end.stat().st_mtime_ns) == (0o711, 7)


@pytest.mark.parametrize("fails", ["mkdir", "open", "listdir"])
def test_what_can_t_be_copied_leaves_nothing_open(deep, monkeypatch, fails):
    before = descriptors()
    usual, calls = getattr(os, fails), []

    def failing(*args, **more):
        calls.append(args)
        if len(calls) > 11:
            raise OSError(28, os.strerror(28))
        return usual(*args, **more)

    with monkeypatch.context() as patched, pytest.raises(OSError, match="No space left"):
        patched.setattr(os, fails, failing)
        copy_up(deep / "root", "data", deep / "volume")
    assert descriptors() <= before


def test_a_deep_tree_that_is_sent(tmp_path):
    (tmp_path / "top").mkdir()
    os.close(_dug(tmp_path / "top", 1100))
    for each in ("top/b", "top/a", "top/d/file"):
        (tmp_path / each).write_text(each)
    names = [name for _, name in _walk(tmp_path / "top", "name")]
    assert names[:6] == ["name", "name/a", "name/b", "name/d", "name/d/d", "name/d/d/d"]
    assert names[-1] == "name/d/file"
    assert len(names) == 1104
    above = os.open(tmp_path, tree.DIRECTORY_FLAGS)
    tree.remove(above, "top")
    os.close(above)


def _from_an_image(folder):
    (folder / "image").mkdir()
    os.mkfifo(folder / "image/pipe")
    (folder / "image/pipe").chmod(0o666)
    copy_up(folder, "image", folder / "volume")


def _from_an_archive(folder):
    entry = LayerEntry("pipe", EntryType.FIFO, 0o666, os.getuid(), os.getgid())
    archive = io.BytesIO(b"".join(stream([(entry, ())])))
    root = os.open(folder / "volume", _FOLDER)
    try:
        tars.unpack(archive, root, "/", tars.Unpacked())
    finally:
        os.close(root)


@pytest.mark.parametrize("copied", [_from_an_image, _from_an_archive])
@pytest.mark.parametrize("swapped", [False, True])
def test_a_link_that_is_put_in_the_place_of_what_is_copied_is_not_followed(tmp_path, monkeypatch, copied, swapped):
    """As by a container that has the volume, or the folder, already."""
    outside, volume = tmp_path / "outside", tmp_path / "volume"
    outside.touch(0o600)
    volume.mkdir()
    chown = os.chown

    def swap(name, *more, **where):
        chown(name, *more, **where)
        if swapped:
            (volume / "pipe").unlink()
            (volume / "pipe").symlink_to(outside)

    monkeypatch.setattr(os, "chown", swap)
    copied(tmp_path)
    assert outside.stat().st_mode & 0o777 == 0o600
    assert swapped or (volume / "pipe").stat().st_mode & 0o777 == 0o666
