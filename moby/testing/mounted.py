"""Mount namespaces of a test's own, so that it can leave no mount: of this process, or of a copy of it."""

import os
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from moby.contracts.types import Mount
from moby.host import mounts as kernel
from moby.host.namespaces import FLAGS, join, unshare
from moby.host.overlay import mount_root, unmount_root
from moby.testing.copied import in_copy

__all__ = ["lend_view", "mounted", "own_mounts"]

_FS = 0x200
"""CLONE_FS: the working folder and the root, which threads share (clone(2))."""


@contextmanager
def own_mounts(*, shared: bool = False) -> Iterator[None]:
    """Have this thread, and what it starts, live in a mount namespace of their own; an ordinary user stays where it is.

    What is mounted meanwhile goes with the last process in it. `shared` is as on most hosts: copies get mounts of it.
    """
    if os.geteuid():
        yield
        return
    before = os.open("/proc/thread-self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    folder = os.open(".", os.O_PATH | os.O_CLOEXEC)
    try:
        unshare(FLAGS["mount"])
        kernel.set_propagation("/", "rprivate")
        if shared:
            kernel.set_propagation("/", "rshared")
        yield
    finally:
        unshare(_FS)  # a thread that is left would keep this one from leaving (setns(2))
        join(before, FLAGS["mount"])
        os.fchdir(folder)
        os.close(folder)
        os.close(before)


def lend_view(rootfs: Path) -> None:
    """Mount what programs look at, below a root whose runtime mounts nothing; only within `own_mounts`, as root.

    What is there is the host's: its processes, and a few of its devices.
    """
    if os.geteuid():
        pytest.skip("an ordinary user mounts nothing for a runtime that doesn't; runs as root")
    kernel.mount("proc", str(rootfs / "proc"), "proc")
    kernel.mount("tmpfs", str(rootfs / "dev"), "tmpfs", data="mode=755,size=64k")
    kernel.mount("tmpfs", str(rootfs / "tmp"), "tmpfs", data="mode=1777,size=64m")
    for name, major, minor in (("null", 1, 3), ("zero", 1, 5), ("tty", 5, 0)):
        os.mknod(rootfs / "dev" / name, 0o666 | stat.S_IFCHR, os.makedev(major, minor))
        (rootfs / "dev" / name).chmod(0o666)


def mounted(mounts: Sequence[Mount], folder: Path, run: Callable[[Path], object]) -> None:
    """Mount at a folder, made if it isn't there, and call with it; fail the test if that raises.

    Who isn't root becomes root of a user namespace first.
    """
    folder.mkdir(exist_ok=True)
    uid, gid = os.geteuid(), os.getegid()

    def mount_and_run() -> None:
        unshare(FLAGS["mount"] | (FLAGS["user"] if uid else 0))
        if uid:
            Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
            Path("/proc/self/uid_map").write_text(f"0 {uid} 1", encoding="ascii")
            Path("/proc/self/gid_map").write_text(f"0 {gid} 1", encoding="ascii")
        kernel.set_propagation("/", "rprivate")
        mount_root(mounts, str(folder))
        try:
            run(folder)
        finally:
            unmount_root(str(folder), mounts)  # a process that shows it would keep this namespace

    in_copy(mount_and_run, "where it is mounted")
