"""The namespaces, and the process that stands for them: `/proc/PID/ns` names them for as long as it lives."""

import os
import signal
import subprocess
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from moby.errors import HostUnfit
from moby.host import mounts, namespaces, processes
from moby.host.netlink import Channel
from moby.host.rtnetlink import links
from moby.host.settings import confinement, forbidding_setting, namespace_limit
from moby.values import frozen
from moby_enclosure.rootless.subordinate import Row, arguments

__all__ = ["KINDS", "Inside", "adopt", "found", "identity", "make"]

KINDS = ("user", "mount", "network")
"""In the order in which they are entered."""
_DONE = b"0"
_NOTHING = b"-"
_RESOLV_CONF = "/etc/resolv.conf"


@frozen
class Inside:
    """The first process inside."""

    pid: int
    pidfd: int
    fds: tuple[int, ...]
    """Of the namespaces, by which others enter."""
    release: int
    told: int

    def settle(self, resolv_conf: Path | None) -> None:
        """Have it show a resolv.conf in place of the host's, and then just be there."""
        _step(self, os.fsencode(resolv_conf) if resolv_conf else _NOTHING)
        os.close(self.release)
        os.close(self.told)

    def end(self) -> None:
        """End it; the namespaces are there for as long as somebody else is inside."""
        with suppress(ProcessLookupError):
            processes.send_signal(self.pidfd, signal.SIGKILL)
        processes.reap(self.pidfd)


def make(uids: Sequence[Row], gids: Sequence[Row]) -> Inside:
    """Make the namespaces, in which the caller's user is root; HostUnfit names what this host forbids."""

    def enter() -> None:
        namespaces.unshare(sum(namespaces.FLAGS[each] for each in KINDS))

    def settle() -> None:
        mounts.set_propagation("/", "rslave")
        with Channel() as channel:
            channel.run(links.change(1, up=True, what="lo"))

    return _begun(enter, settle, {"newuidmap": uids, "newgidmap": gids})


def adopt(pid: int) -> Inside:
    """Stand for the namespaces that a process is in, whose gate was killed. OSError where it has ended."""
    fds = _opened(pid)

    def enter() -> None:
        for fd, kind in zip(fds, KINDS, strict=True):
            namespaces.join(fd, namespaces.FLAGS[kind])

    try:
        return _begun(enter, lambda: None, {})
    finally:
        for fd in fds:
            os.close(fd)


def identity(pid: int | str, kinds: Sequence[str] = KINDS[:1]) -> str:
    """Return what tells a process's namespaces from all others of this boot; empty where they can't be seen."""
    try:
        return " ".join(str(Path(f"/proc/{pid}/ns/{namespaces.PROC_NAMES[kind]}").readlink()) for kind in kinds)
    except OSError:
        return ""


def found(wanted: str, besides: Sequence[int] = (), kinds: Sequence[str] = KINDS[:1]) -> int:
    """Return some process in namespaces; 0 where there is none."""
    for each in os.listdir("/proc"):  # noqa: PTH208 - of which there may be thousands
        if each.isdigit() and int(each) not in besides and identity(each, kinds) == wanted:
            return int(each)
    return 0


def _begun(enter: Callable[[], None], settle: Callable[[], None], maps: dict[str, Sequence[Row]]) -> Inside:
    """Fork the first process, have it enter, write its maps, and have it settle."""
    read, release = os.pipe2(os.O_CLOEXEC)
    told, tell = os.pipe2(os.O_CLOEXEC)

    def run() -> NoReturn:
        os.close(release)
        os.close(told)
        processes.set_parent_death_signal(signal.SIGKILL)
        try:
            _first(enter, settle, read, tell)
        except OSError as error:
            os.write(tell, str(error.errno).encode())
            os._exit(1)
        while True:
            signal.pause()

    pid, pidfd = processes.fork(run)
    os.close(read)
    os.close(tell)
    inside = Inside(pid, pidfd, (), release, told)
    try:
        _hear(inside)
        for name, rows in maps.items():
            _map(name, pid, rows)
        _step(inside, _DONE)
        return Inside(pid, pidfd, _opened(pid), release, told)
    except BaseException:
        inside.end()
        raise


def _first(enter: Callable[[], None], settle: Callable[[], None], read: int, tell: int) -> None:
    """Do each step, and say so; the next is at its caller's word."""
    enter()
    os.write(tell, _DONE)
    os.read(read, 1)
    settle()
    os.write(tell, _DONE)
    path = os.read(read, 4096)
    if path != _NOTHING and os.access(_RESOLV_CONF, os.F_OK):
        mounts.mount(os.fsdecode(path), _RESOLV_CONF, "", mounts.FLAGS["bind"])
    os.chdir("/")
    os.write(tell, _DONE)


def _step(inside: Inside, word: bytes) -> None:
    os.write(inside.release, word)
    _hear(inside)


def _hear(inside: Inside) -> None:
    """Wait until the process has done a step; HostUnfit says why it couldn't."""
    said = os.read(inside.told, 16)
    if said == _DONE:
        return
    reason = os.strerror(int(said)) if said else "its process was killed"
    raise HostUnfit(
        f"this user can't have namespaces for the engine: {reason}",
        hint=forbidding_setting() or confinement() or namespace_limit(),
    )


def _map(program: str, pid: int, rows: Sequence[Row]) -> None:
    """Have the host's set-uid program write a map, as the host's files allow."""
    try:
        done = subprocess.run(
            [program, *arguments(pid, rows)], stdin=subprocess.DEVNULL, capture_output=True, text=True,
            errors="replace", check=False,
        )  # fmt: skip
    except (FileNotFoundError, PermissionError) as error:
        raise HostUnfit(f"{program} isn't on PATH", hint="apt install uidmap") from error
    if done.returncode:
        kind = "subuid" if program == "newuidmap" else "subgid"
        hint = f"see that /etc/{kind} gives them to this user alone, and that {program} is set-uid root"
        raise HostUnfit(f"{program} refuses this user's subordinate ids: {done.stderr.strip()}", hint=hint)


def _opened(pid: int) -> tuple[int, ...]:
    """Return descriptors of a process's namespaces."""
    found: list[int] = []
    try:
        for kind in KINDS:
            found.append(os.open(f"/proc/{pid}/ns/{namespaces.PROC_NAMES[kind]}", os.O_RDONLY | os.O_CLOEXEC))
    except BaseException:
        for fd in found:
            os.close(fd)
        raise
    return tuple(found)
