import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from descriptors import closed_again, descriptors

from moby.errors import Conflict, HostUnfit
from moby.host import tree


def remove(path):
    fd = os.open(path.parent, tree.DIRECTORY_FLAGS)
    try:
        tree.remove(fd, path.name)
    finally:
        os.close(fd)


def test_removes_all_kinds_of_files(tmp_path):
    root = tmp_path / "root"
    (root / "a/b/c").mkdir(parents=True)
    (root / "a/file").write_text("x")
    (root / "a/b/link").symlink_to("/etc")
    os.mkfifo(root / "a/fifo")
    remove(root)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("make", ["nothing", "file", "link"])
def test_removes_what_is_no_folder(tmp_path, make):
    kept = tmp_path / "kept"
    kept.mkdir()
    target = tmp_path / "target"
    if make == "file":
        target.write_text("x")
    elif make == "link":
        target.symlink_to(kept)
    remove(target)
    assert list(tmp_path.iterdir()) == [kept]


def test_follows_no_link_out(tmp_path):
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "file").write_text("x")
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "out").symlink_to(kept)
    remove(tmp_path / "root")
    assert (kept / "file").read_text() == "x"


@pytest.mark.slow
def test_depth_costs_neither_stack_nor_descriptors(tmp_path):
    fd = os.open(tmp_path, tree.DIRECTORY_FLAGS)
    for _ in range(3000):
        os.mkdir("d", dir_fd=fd)
        inner = os.open("d", tree.DIRECTORY_FLAGS, dir_fd=fd)
        os.close(fd)
        fd = inner
    os.close(fd)
    remove(tmp_path / "d")
    assert list(tmp_path.iterdir()) == []


def test_leaves_no_descriptor_open(tmp_path):
    (tmp_path / "root/a/b").mkdir(parents=True)
    before = descriptors()
    remove(tmp_path / "root")
    closed_again(before)


def test_read_only_folders_go_too(unprivileged):
    def removal(folder):
        (folder / "root/a/b").mkdir(parents=True)
        (folder / "root/a/b/file").write_text("x")
        for each in ("root/a/b", "root/a", "root"):
            (folder / each).chmod(0o000 if each.endswith("a") else 0o555)
        remove(folder / "root")
        assert list(folder.iterdir()) == []

    unprivileged(removal)


def test_what_may_not_be_removed_is_named(unprivileged):
    def removal(folder):
        with pytest.raises(HostUnfit, match=r"^can.t remove .version.: "):
            remove(Path("/proc/version"))  # no user may

    unprivileged(removal)


IN_MOUNTS = """
import os, subprocess, sys
from pathlib import Path
from moby.errors import Conflict
from moby.host import tree
base = Path(sys.argv[1])
(base / "outside").mkdir(); (base / "outside/file").write_text("x")
(base / "root/a").mkdir(parents=True)
subprocess.run(["mount", "--bind", base / "outside", base / "root/a"], check=True)
fd = os.open(base, tree.DIRECTORY_FLAGS)
try:
    tree.remove(fd, "root")
except Conflict as error:
    assert "is a mount point" in str(error), error
else:
    raise SystemExit("crossed a mount")
assert (base / "outside/file").read_text() == "x"
print("kept")
"""


def test_crosses_no_mount_of_the_same_file_system(tmp_path):
    unshare = ["unshare", "--mount", *(["--user", "--map-root-user"] if os.geteuid() else [])]
    if not shutil.which("unshare") or subprocess.run([*unshare, "true"], check=False).returncode:
        pytest.skip("mount namespaces can't be made here; every guest covers it")
    done = subprocess.run(
        [*unshare, sys.executable, "-c", IN_MOUNTS, tmp_path], check=False, capture_output=True, text=True
    )
    assert (done.stdout, done.stderr) == ("kept\n", "")


def test_a_folder_that_is_moved_meanwhile_is_conflict(tmp_path, monkeypatch):
    (tmp_path / "root/a/b").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    rmdir = os.rmdir

    def moving(name, *, dir_fd):
        rmdir(name, dir_fd=dir_fd)
        if name == "b":
            (tmp_path / "root/a").rename(tmp_path / "elsewhere/a")

    monkeypatch.setattr(os, "rmdir", moving)
    with pytest.raises(Conflict, match="moved meanwhile"):
        remove(tmp_path / "root")
    assert (tmp_path / "elsewhere").is_dir()


def test_a_folder_that_is_filled_meanwhile_is_conflict(tmp_path, monkeypatch):
    (tmp_path / "root").mkdir()
    rmdir = os.rmdir

    def filling(name, *, dir_fd):
        (tmp_path / "root/new").write_text("x")
        rmdir(name, dir_fd=dir_fd)

    monkeypatch.setattr(os, "rmdir", filling)
    with pytest.raises(Conflict, match="not empty"):
        remove(tmp_path / "root")
