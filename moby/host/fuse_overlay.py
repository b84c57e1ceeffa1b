"""Overlays that the program fuse-overlayfs shows: a process for each, which ends once nothing of it is mounted.

The mount is made here, and its descriptor of /dev/fuse handed to the program (libfuse, /dev/fd/N as a mount point). So
that process needn't be where the mount is: it would keep the caller's mount namespace, and with it the mount.
"""

import os
import subprocess
import threading
from collections.abc import Callable, Sequence

from moby.errors import HostUnfit
from moby.host import mounts as kernel
from moby.host.namespaces import FLAGS, join, unshare
from moby.host.overlay import FUSE

__all__ = ["show"]

_CLONE_FS = 0x200
_PATIENCE_S = 60


def show(program: str, target: str, options: Sequence[str], folder: str, flags: int = 0) -> None:
    """Mount at a folder what the program makes of its options, whose paths are relative to `folder`.

    HostUnfit says why the program can't, OSError what mount(2) refuses; nothing stays mounted then.
    """
    if ":" in folder:
        text = f"fuse-overlayfs can't show what is in {folder}, since it takes a colon for the end of a path"
        raise HostUnfit(text, hint="use another --root")
    fd = _device()
    try:
        data = f"fd={fd},rootmode=40000,user_id={os.geteuid()},group_id={os.getegid()},default_permissions,allow_other"
        kernel.mount("fuse-overlayfs", target, FUSE, flags, data)
        try:
            _outside(lambda: _start(program, [*_words(options), f"/dev/fd/{fd}"], folder, fd))
        except BaseException:
            kernel.unmount(target, detach=True)
            raise
    finally:
        os.close(fd)


def _device() -> int:
    try:
        return os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        hint = "modprobe fuse; in a container, give it /dev/fuse"
        raise HostUnfit(f"fuse-overlayfs needs /dev/fuse: {error.strerror}", hint=hint) from error


def _words(options: Sequence[str]) -> list[str]:
    return ["-o", ",".join(options)] if options else []


def _start(program: str, arguments: Sequence[str], folder: str, fd: int) -> None:
    """Wait until the program says that it is ready, by leaving a process of its own that goes on."""
    try:
        done = subprocess.run(
            [program, *arguments], cwd=folder, pass_fds=[fd], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, timeout=_PATIENCE_S, check=False,
        )  # fmt: skip
    except FileNotFoundError:
        hint = "install it (Debian: fuse-overlayfs), or name it by the option `binary`"
        raise HostUnfit(f"{program} is not there", hint=hint) from None
    except OSError as error:
        raise HostUnfit(f"{program} can't be run: {error.strerror}") from error
    except subprocess.TimeoutExpired:
        raise HostUnfit(f"{program} wasn't ready after {_PATIENCE_S} seconds") from None
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise HostUnfit(f"{program} failed: {said[-1] if said else f'it ended with {done.returncode}'}")


def _outside(work: Callable[[], None]) -> None:
    """Call in this process's own mount namespace, where this thread may not be."""
    failed: list[BaseException] = []

    def run() -> None:
        try:
            unshare(_CLONE_FS)  # a thread that shares its folder with others can't change its namespace (setns(2))
            own = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
            try:
                join(own, FLAGS["mount"])
            finally:
                os.close(own)
            work()
        except BaseException as error:
            failed.append(error)

    if os.stat("/proc/self/ns/mnt") == os.stat("/proc/thread-self/ns/mnt"):
        work()
        return
    thread = threading.Thread(target=run, name="fuse-overlayfs")
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
