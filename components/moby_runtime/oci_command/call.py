"""One call of the command: started with just the descriptors it is to have, waited for, and heard."""

import contextlib
import fcntl
import json
import os
import select
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NoReturn

from attrs import field, frozen

from moby.contracts.types import Stdio
from moby.errors import HostUnfit, Unavailable
from moby.host import processes

__all__ = ["Call", "Failed", "run"]

PATIENCE_S = 60.0
"""What any call may take that waits for no hook."""
_KEPT = 64 * 1024


@frozen
class Call:
    """What to run: the command, its words, and what its program is to have open."""

    words: Sequence[str]
    stdio: Stdio | None = None
    """None: nothing to read, and what it says is told by `run`. Else the container's, and `log` has what it says."""
    log: Path | None = None
    input: bytes = b""
    timeout_s: float | None = PATIENCE_S
    environment: Mapping[str, str] = field(factory=dict)


class Failed(Exception):
    """The command ended with a code other than 0; for use inside this package."""

    def __init__(self, told: str, code: int | None) -> None:
        super().__init__(told)
        self.told = told
        """Its last words."""
        self.code = code


def run(call: Call) -> bytes:
    """Run it to its end and return its output; Failed with its last words where it fails.

    Any thread may call this. Where it takes too long (Unavailable), and where the caller is interrupted, it is killed.
    """
    with ExitStack() as undo:
        output, errors = _capture(undo), _capture(undo)
        pidfd = _spawn(call, output, errors, undo)
        undo.callback(os.close, pidfd)
        try:
            ended = _wait(pidfd, call.timeout_s)
        except BaseException:
            _end(pidfd, watched=call.stdio is not None)
            raise
        if not ended:
            _end(pidfd, watched=call.stdio is not None)
            raise Unavailable(f"{' '.join(call.words[:1])} took more than {call.timeout_s:g} s", hint="try again")
        code = _reap(pidfd)
        said = call.log.read_bytes() if call.log is not None and call.log.exists() else _content(errors)
        if code:
            raise Failed(_last_words(said) or f"it ended with {code}", code)
        return _content(output)


def _capture(undo: ExitStack) -> int:
    """Return a file in memory, which unlike a pipe nobody who still has it open makes us wait for."""
    fd = os.memfd_create("oci-command")
    undo.callback(os.close, fd)
    return fd


def _content(fd: int) -> bytes:
    return os.pread(fd, _KEPT * 64, 0)


def _spawn(call: Call, output: int, errors: int, undo: ExitStack) -> int:
    def high(fd: int) -> int:
        """Keep a descriptor out of the way of the numbers that others are moved to."""
        copy = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 64 + len(given))
        undo.callback(os.close, copy)
        return copy

    given: list[int] = []
    if call.stdio is None or call.stdio.terminal:
        given = [_source(call.input, undo), output, errors]
    else:
        given = [call.stdio.stdin, call.stdio.stdout, call.stdio.stderr]
    given += call.stdio.extra if call.stdio else ()
    copies = [high(fd) for fd in given]
    actions: list[tuple[int, ...]] = [(os.POSIX_SPAWN_DUP2, fd, number) for number, fd in enumerate(copies)]
    actions += [(os.POSIX_SPAWN_CLOSE, fd) for fd in _inheritable() if fd >= len(given)]
    every = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}

    def spawn() -> int:
        return os.posix_spawn(
            call.words[0], list(call.words), dict(call.environment), file_actions=actions, setsid=True,
            setsigmask=(), setsigdef=every,
        )  # fmt: skip

    try:
        return os.pidfd_open(spawn()) if call.stdio is None else _watched(spawn)
    except OSError as error:
        raise HostUnfit(f"cannot run {call.words[0]}: {error.strerror}", hint="correct the option `binary`") from error


def _source(content: bytes, undo: ExitStack) -> int:
    """Return what reads as this."""
    if not content:
        fd = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        undo.callback(os.close, fd)
        return fd
    fd = _capture(undo)
    os.write(fd, content)
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


def _watched(spawn: Callable[[], int]) -> int:
    """Run the command as the child of a process that, should it fail, takes what it left; return that one's pidfd.

    What it leaves where it doesn't fail, a container, becomes ours when that one ends, as we are a subreaper.
    """

    def watch() -> NoReturn:
        code = 126
        try:
            processes.set_child_subreaper()
            code = os.waitstatus_to_exitcode(os.waitpid(spawn(), 0)[1]) & 0xFF
            while code and _left():
                os.waitpid(-1, 0)
        finally:
            os._exit(code)

    return processes.fork(watch)[1]


def _left() -> bool:
    """Kill what this process has for children; whether there are any."""
    found = _children(os.getpid())
    for pid in found:
        os.kill(pid, signal.SIGKILL)
    return bool(found)


def _children(pid: int) -> list[int]:
    with contextlib.suppress(OSError):
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()]
    return []


def _inheritable() -> Iterator[int]:
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 - fewer steps
        with contextlib.suppress(OSError):
            if int(name) > 2 and os.get_inheritable(int(name)):
                yield int(name)


def _wait(pidfd: int, timeout_s: float | None) -> bool:
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(None if timeout_s is None else timeout_s * 1000))


def _end(pidfd: int, *, watched: bool) -> None:
    """Kill it and take its exit status."""
    if watched:
        for pid in _children(_pid_of(pidfd)):
            os.kill(pid, signal.SIGKILL)  # no other than its parent takes its status, so that it is the same one
    else:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    _reap(pidfd)


def _pid_of(pidfd: int) -> int:
    """Return the number of a process (pidfd_open(2), fdinfo); -1 where it has ended."""
    text = Path(f"/proc/self/fdinfo/{pidfd}").read_text(encoding="ascii")
    return next(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pid:"))


def _reap(pidfd: int) -> int | None:
    """Return its exit code; None where somebody else took it."""
    try:
        ended = os.waitid(os.P_PIDFD, pidfd, os.WEXITED)
    except ChildProcessError:
        return None
    assert ended is not None
    return ended.si_status if ended.si_code == os.CLD_EXITED else 128 + ended.si_status


def _last_words(said: bytes) -> str:
    """Return the message of the last error in a log, whose lines are JSON or plain."""
    for line in reversed(said[-_KEPT:].decode(errors="replace").splitlines()):
        message = _message(line)
        if message:
            return message
    return ""


def _message(line: str) -> str:
    """Return what a line of a log says; a process that was told by another may be quoted in it."""
    try:
        entry = json.loads(line)
    except ValueError:
        return line.strip()
    if not isinstance(entry, dict) or entry.get("level") not in ("error", "fatal", "panic"):
        return ""
    inner = str(entry.get("msg", "")).strip()
    return _message(inner) if inner.startswith("{") else inner
