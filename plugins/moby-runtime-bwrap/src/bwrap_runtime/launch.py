"""Starts bubblewrap and waits until the container stands, up to its program."""

import contextlib
import fcntl
import os
import resource
import select
import shutil
import signal
import time
from collections.abc import Sequence
from pathlib import Path

from moby.contracts.types import Stdio
from moby.errors import HostUnfit, Unavailable

from bwrap_runtime.capabilities import held
from bwrap_runtime.processes import Identity, identity, kill, status_field, with_argument
from bwrap_runtime.record import Folder
from bwrap_runtime.translation import Invocation

__all__ = ["TIMEOUT_S", "discard", "end", "launch"]

TIMEOUT_S = 30.0
"""For setting up a container; it takes milliseconds."""
_SETTINGS = (
    ("kernel/unprivileged_userns_clone", "0", "sysctl kernel.unprivileged_userns_clone=1"),
    ("kernel/apparmor_restrict_unprivileged_userns", "1", "sysctl kernel.apparmor_restrict_unprivileged_userns=0"),
    ("user/max_user_namespaces", "0", "sysctl user.max_user_namespaces=10000"),
)


def launch(binary: str, wanted: Invocation, folder: Folder, stdio: Stdio) -> tuple[Identity, Identity, int]:
    """Start bubblewrap, and return it, the container's first process, and a pidfd of bubblewrap.

    It becomes the caller's child. After an error nothing is left of it.
    """
    with contextlib.ExitStack() as undo:
        pid = _spawn(binary, wanted, folder, stdio)
        exit_fd = os.pidfd_open(pid)
        undo.callback(discard, folder, exit_fd)
        first = _wait(wanted, folder, exit_fd)
        if first is None:
            raise HostUnfit(f"bwrap can't make the container: {_complaint(binary, wanted, folder)}", hint=_hint())
        _limit(wanted, first)
        monitor = identity(pid)
        if monitor is None:
            raise Unavailable("bwrap ended while its container was made", hint="try again")
        undo.pop_all()
        return monitor, first, exit_fd


def discard(folder: Folder, exit_fd: int) -> None:
    """Kill a container that nobody was told of, and take its exit status."""
    end(folder)
    _reap(exit_fd)
    os.close(exit_fd)


def end(folder: Folder) -> None:
    """Kill what there is of a container that may be half-made, or whole."""
    found = [each for each in with_argument(folder.mark) if each.pid != os.getpid()]
    for each in found:
        kill(each, signal.SIGKILL)
    deadline = time.monotonic() + TIMEOUT_S
    while any(each.alive() for each in found) and time.monotonic() < deadline:
        time.sleep(0.001)


def _spawn(binary: str, wanted: Invocation, folder: Folder, stdio: Stdio) -> int:
    """Run bubblewrap in a session of its own, with no descriptors but those that it and its program need."""
    with contextlib.ExitStack() as opened:

        def high(fd: int) -> int:
            """Keep a descriptor out of the way of the numbers that it is moved to."""
            copy = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 64)
            opened.callback(os.close, copy)
            return copy

        def owned(fd: int) -> int:
            opened.callback(os.close, fd)
            return high(fd)

        status = folder.path / "status.json"
        given = [
            *(high(fd) for fd in (stdio.stdin, stdio.stdout, stdio.stderr)),
            owned(_options(wanted)),
            owned(os.open(status, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)),
            # Open for writing too, so that it never sees the end of the FIFO, which would count as a start.
            owned(os.open(folder.path / "start", os.O_RDWR | os.O_CLOEXEC)),
        ]
        words = [*_prefix(wanted), binary, "--unsetenv", folder.mark]
        words += ["--args", "3", "--json-status-fd", "4", "--block-fd", "5", "--", *wanted.program]
        actions: list[tuple[int, ...]] = [(os.POSIX_SPAWN_DUP2, fd, number) for number, fd in enumerate(given)]
        actions += [(os.POSIX_SPAWN_CLOSE, fd) for fd in _inheritable() if fd >= len(given)]
        every = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}
        try:
            return os.posix_spawn(
                words[0], words, {}, file_actions=actions, setsid=True, setsigmask=(), setsigdef=every
            )
        except OSError as error:
            raise HostUnfit(f"can't run {words[0]}: {error.strerror}", hint="correct the option `binary`") from error


def _options(wanted: Invocation) -> int:
    fd = os.memfd_create("bwrap-args")
    with os.fdopen(fd, "wb", closefd=False) as file:
        file.write(b"".join(os.fsencode(word) + b"\0" for word in wanted.options))
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


def _prefix(wanted: Invocation) -> list[str]:
    """Return the programs that set what bubblewrap leaves as it is, and then become bubblewrap."""
    words: list[str] = []
    if wanted.umask is not None:
        words += ["/bin/sh", "-c", 'umask "$0" && exec "$@"', f"{wanted.umask:04o}"]
    if wanted.bounding is not None:
        tool = shutil.which("setpriv")
        if not tool:
            raise HostUnfit("setpriv, which sets groups and bounds, isn't installed", hint="apt install util-linux")
        groups = ",".join(map(str, wanted.groups))
        # What is inheritable reaches root's programs past the bounding set (capabilities(7)), so that bubblewrap keeps
        # its own; it can only grow while the bounding set is whole, hence two calls.
        words += [tool, f"--inh-caps={_caps(held())}", "--"]
        words += [tool, f"--groups={groups}" if groups else "--clear-groups"]
        words += [f"--bounding-set={_caps(('ALL', *wanted.bounding))}", "--"]
    return words


def _caps(names: Sequence[str]) -> str:
    """Return a list as setpriv(1) writes it."""
    return ",".join("-all" if name == "ALL" else f"+{name.removeprefix('CAP_').lower()}" for name in names)


def _inheritable() -> Sequence[int]:
    """Return the descriptors that another program would inherit without anybody's wish."""
    found = []
    for each in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            if os.get_inheritable(int(each.name)):
                found.append(int(each.name))
    return found


def _wait(wanted: Invocation, folder: Folder, exit_fd: int) -> Identity | None:
    """Wait until all is set up: the root is changed and capabilities are dropped, the last steps before the program.

    None where bubblewrap ended before that.
    """
    root = wanted.view.rootfs.stat()
    deadline = time.monotonic() + TIMEOUT_S
    waiting = select.poll()
    waiting.register(exit_fd, select.POLLIN)
    while not waiting.poll(1):
        pid = folder.account().get("child-pid", 0)
        if pid and status_field(pid, "CapEff") == f"{wanted.capabilities:016x}" and _rooted(pid, root):
            return identity(pid)
        if time.monotonic() > deadline:
            raise Unavailable(f"bwrap didn't set up the container in {TIMEOUT_S:.0f} s", hint="try again")
    return None


def _rooted(pid: int, root: os.stat_result) -> bool:
    try:
        return os.path.samestat(Path(f"/proc/{pid}/root").stat(), root)
    except OSError:
        return False


def _limit(wanted: Invocation, first: Identity) -> None:
    """Set what a process may set for another, before its program runs."""
    try:
        for number, soft, hard in wanted.limits:
            resource.prlimit(first.pid, number, (soft, hard))
        if wanted.oom_score_adj is not None:
            Path(f"/proc/{first.pid}/oom_score_adj").write_text(f"{wanted.oom_score_adj}", encoding="ascii")
    except (OSError, ValueError) as error:
        field = "process.oomScoreAdj" if isinstance(error, OSError) and error.filename else "process.rlimits"
        raise HostUnfit(f"{field} can't be set: {error}", hint="ask for no more than the caller has itself") from error


def _complaint(binary: str, wanted: Invocation, folder: Folder) -> str:
    """Fail once more, where its complaint can be read; the first went to the container's standard error."""
    read, write = os.pipe()
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    try:
        pid = _spawn(binary, wanted, folder, Stdio(null, null, write))
    finally:
        os.close(write)
        os.close(null)
    with os.fdopen(read, encoding="utf-8", errors="replace") as complaint:
        pidfd = os.pidfd_open(pid)
        if not select.select([pidfd], [], [], 1)[0]:
            end(folder)
        text = complaint.read().strip().removeprefix("bwrap: ")
    discard(folder, pidfd)
    return text or "it ended without a word"


def _hint() -> str:
    """Return the settings of this host that keep an ordinary user from namespaces."""
    for path, forbidding, remedy in _SETTINGS:
        with contextlib.suppress(OSError):
            if Path("/proc/sys", path).read_text(encoding="ascii").strip() == forbidding:
                return remedy
    return ""


def _reap(pidfd: int) -> None:
    """Take the exit status of a child that nobody was told of."""
    with contextlib.suppress(ChildProcessError):
        os.waitid(os.P_PIDFD, pidfd, os.WEXITED)
