"""What goes on in a container of LXC's before the user's program: what LXC's configuration has no word for.

Its first process comes here as the host's interpreter, with all of the container's namespaces, limits and mounts; a
further program comes here as a copy of its caller that has joined them.
"""

from __future__ import annotations

import gc
import os
import resource  # noqa: F401 - of `program`, once nothing can be imported any more
import stat
import struct
import sys
import termios  # noqa: F401

from moby.contracts.streams import Stdio
from moby.host import capabilities, mounts, processes, seccomp, terminals
from moby.host.blocks import suppress
from moby.host.lean import send_descriptor, signals, sockets
from moby.values import frozen
from moby_runtime.programs import executable, program
from moby_runtime.programs.reading import process_of
from moby_runtime.records.failures import doing, guarded
from moby_runtime.records.gate import asked
from moby_runtime.records.json_text import decoded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any, NoReturn

    from moby_runtime.programs.values import ProcessSpec

__all__ = ["HELLO", "READY", "Guise", "main", "run_exec"]

HELLO = b"h"
READY = b"+"
_SIZE = 4
_MOST_DESCRIPTORS = 250
_KINDS = {"c": stat.S_IFCHR, "u": stat.S_IFCHR, "b": stat.S_IFBLK, "p": stat.S_IFIFO}
_DIRECTORY = os.O_PATH | os.O_DIRECTORY


@frozen
class Guise:
    """What a process becomes: its program, as whom, and through which filter."""

    process: ProcessSpec
    interpreter: tuple[int, int]
    """Device and inode of the program that runs this."""
    filter: bytes = b""
    """Compiled, as the kernel takes it; empty is none."""
    flags: tuple[str, ...] = ()
    by_path: bool = False


def guise_of(wish: Mapping[str, Any]) -> Guise:
    """Read what a process is to become."""
    found = os.stat("/proc/self/exe")
    return Guise(
        process_of(wish["process"]), (found.st_dev, found.st_ino), bytes.fromhex(wish["filter"]),
        tuple(wish["flags"]), wish["by_path"],
    )  # fmt: skip


def main(channel: int) -> NoReturn:
    """Be the first process of a container; the caller says by the socket `channel` what of it is left to do."""
    processes.set_dumpable(False)
    for number in (signals.SIGPIPE, signals.SIGXFSZ):  # which the interpreter ignores
        signals.signal(number, signals.SIG_DFL)
    connection = sockets.socket(fileno=channel)

    def steps() -> None:
        connection.sendall(HELLO)
        wish, given = _wish(connection)
        listener, streams = given[0], given[1:]
        _set_up(wish)
        guise = guise_of(wish)
        first = 3 + len(streams)
        kept = [program.above(fd, first) for fd in (channel, listener)]
        _take_streams(guise.process, streams, kept[0])
        if guise.process.terminal:
            _show_console()
        _forget((*range(3, len(streams)), *kept))
        os.write(kept[0], READY)
        if not os.read(kept[0], 1):
            os._exit(70)  # who made this is gone, and nobody knows of it
        os.close(kept[0])
        _await_start(guise, kept[1])

    guarded(connection.sendall, steps)


def _wish(connection: sockets.socket) -> tuple[Mapping[str, Any], list[int]]:
    """Receive what is wished for, with the descriptors that come along."""
    room = sockets.CMSG_SPACE(_MOST_DESCRIPTORS * struct.calcsize("i"))
    data, ancillary, _, _ = connection.recvmsg(1 << 16, room)
    given: list[int] = []
    for level, kind, raw in ancillary:
        if (level, kind) == (sockets.SOL_SOCKET, sockets.SCM_RIGHTS):
            given += struct.unpack(f"{len(raw) // 4}i", raw[: len(raw) // 4 * 4])
    size = int.from_bytes(data[:_SIZE], "big")
    data = data[_SIZE:]
    while len(data) < size:
        chunk = connection.recv(1 << 16)
        if not chunk:
            os._exit(70)
        data += chunk
    return decoded(data.decode()), given


def _forget(kept: tuple[int, ...]) -> None:
    """Let go of what came along: descriptors of the host's files, and the ways to import from them."""
    gc.disable()
    sys.meta_path.clear()
    sys.path_hooks.clear()
    processes.close_other_descriptors(kept)


def _set_up(wish: Mapping[str, Any]) -> None:
    """Make and hide what LXC doesn't."""
    umask = os.umask(0)
    root = os.open("/", _DIRECTORY | os.O_CLOEXEC)
    with doing("make the link /dev/ptmx", "mounts"):
        with suppress(OSError):
            mounts.unmount("/dev/ptmx", detach=True)
        with suppress(FileNotFoundError):
            os.unlink("/dev/ptmx")
        os.symlink("pts/ptmx", "/dev/ptmx")
    for index, each in enumerate(wish["devices"]):
        with doing(f"make the device {each['path']}", f"linux.devices[{index}]"):
            _make_device(root, each)
    for where, path, names, deep in wish["attributes"]:
        with doing(f"set {', '.join(names)} of the mount at {path}", f"{where}.options"):
            bits = sum(mounts.ATTRIBUTES[name] for name in names)
            target = mounts.open_in_root(root, path)
            mounts.set_attributes(target, on=bits, recursive=deep)
            os.close(target)
    for path in wish["readonly_paths"]:
        with doing(f"make {path} read-only", "linux.readonlyPaths"):
            _if_there(root, path, _make_readonly)
    for path in wish["masked_paths"]:
        with doing(f"hide {path}", "linux.maskedPaths"):
            _if_there(root, path, _hide)
    if wish["readonly"]:
        with doing("make the root read-only", "root.readonly"):
            mounts.set_attributes(root, on=mounts.ATTRIBUTES["ro"])
    os.close(root)
    os.umask(umask)


def _make_device(root: int, data: Mapping[str, Any]) -> None:
    above, _, name = data["path"].rpartition("/")
    folder = _folder(root, above)
    try:
        with suppress(FileNotFoundError):
            os.unlink(name, dir_fd=folder)
        mode = _KINDS[data["type"]] | stat.S_IMODE(data.get("fileMode", 0o666))
        os.mknod(name, mode, os.makedev(data.get("major", 0), data.get("minor", 0)), dir_fd=folder)
        os.chown(name, data.get("uid", 0), data.get("gid", 0), dir_fd=folder, follow_symlinks=False)
    finally:
        os.close(folder)


def _folder(root: int, path: str) -> int:
    """Open a folder, which is made where it isn't there, with those above it."""
    try:
        return mounts.open_in_root(root, path or "/", _DIRECTORY)
    except FileNotFoundError:
        above, _, name = path.rpartition("/")
        parent = _folder(root, above)
        try:
            os.mkdir(name, 0o755, dir_fd=parent)
        finally:
            os.close(parent)
    return mounts.open_in_root(root, path, _DIRECTORY)


def _if_there(root: int, path: str, action: Callable[[int], None]) -> None:
    try:
        target = mounts.open_in_root(root, path)
    except (FileNotFoundError, NotADirectoryError):
        return
    try:
        action(target)
    finally:
        os.close(target)


def _make_readonly(target: int) -> None:
    tree = mounts.clone_tree("", recursive=True, directory_fd=target)
    try:
        mounts.set_attributes(tree, on=mounts.ATTRIBUTES["ro"], recursive=True)
        mounts.attach(tree, target)
    finally:
        os.close(tree)


def _hide(target: int) -> None:
    if stat.S_ISDIR(os.fstat(target).st_mode):
        tree = mounts.new_tree("tmpfs", "tmpfs", ["size=0"], on=mounts.ATTRIBUTES["ro"])
    else:
        tree = mounts.clone_tree("/dev/null")
    try:
        mounts.attach(tree, target)
    finally:
        os.close(tree)


def _take_streams(process: ProcessSpec, streams: list[int], channel: int) -> None:
    """Make 0, 1, 2 and so on what the program is given, or a terminal of the container's own."""
    if process.terminal:
        with doing("make a terminal of the container's /dev/pts", "process.terminal"):
            _take_terminal(channel)
        streams = [0, 1, 2, *streams[3:]]
    program.take_stdio(Stdio(streams[0], streams[1], streams[2], extra=tuple(streams[3:])))
    program.take_terminal(process)


def _take_terminal(channel: int) -> None:
    """Make a terminal, send its master out, and make its other end 0, 1 and 2."""
    root = os.open("/", _DIRECTORY | os.O_CLOEXEC)
    try:
        master, slave = terminals.open_pair(lambda path, flags: mounts.open_in_root(root, path, flags))
    finally:
        os.close(root)
    sender = sockets.socket(fileno=os.dup(channel))
    try:
        send_descriptor(sender, b"t", master)
    finally:
        sender.close()
    os.close(master)
    for number in range(3):
        os.dup2(slave, number)
    os.close(slave)


def _show_console() -> None:
    """Make the terminal that 0 is /dev/console, too."""
    with doing("make /dev/console", "process.terminal"):
        os.close(os.open("/dev/console", os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
        target = os.open("/dev/console", os.O_PATH | os.O_CLOEXEC | os.O_NOFOLLOW)
        tree = mounts.clone_tree("/proc/self/fd/0")
        mounts.attach(tree, target)
        os.close(tree)
        os.close(target)


def _await_start(guise: Guise, listener: int) -> None:
    """Wait until somebody says to start, and tell that one what comes of it."""
    connection = asked(listener)
    guarded(lambda data: os.write(connection, data), lambda: _run(guise, first=True))


def run_exec(guise: Guise, stdio: Stdio, channel: int) -> NoReturn:
    """Be one more process of a container, in whose namespaces this one is already; the caller is told what fails."""

    def steps() -> None:
        streams = [stdio.stdin, stdio.stdout, stdio.stderr, *stdio.extra]
        kept = program.above(channel, 3 + len(stdio.extra))
        _take_streams(guise.process, streams, kept)
        _forget((*range(3, 3 + len(stdio.extra)), kept))
        processes.set_dumpable(False)
        _run(guise, first=False)

    guarded(lambda data: os.write(channel, data), steps)


def _run(guise: Guise, *, first: bool) -> None:
    """Become the user's program."""
    process = guise.process
    needed = capabilities.numbers(["CAP_SYS_ADMIN"]) if guise.filter and not process.no_new_privileges else frozenset()
    program.become_user(process, kept=needed)

    def last() -> None:
        if first:
            processes.set_parent_death_signal(signals.SIGKILL)  # which the change of user has taken back
        if guise.filter:
            with doing("install the seccomp filter", "linux.seccomp"):
                capabilities.raise_effective(needed)
                seccomp.install(guise.filter, guise.flags)

    executable.execute(process, guise.interpreter, last, by_path=guise.by_path)
