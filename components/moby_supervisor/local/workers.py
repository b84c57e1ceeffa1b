"""Processes that make a runtime's calls and stay for the next: forking one for each would take longer than the calls.

A worker is a starter that makes one call after another, and answers each by a line of its own, which the keeper may
hold. What a runtime clones there is the supervisor's own child (`act_for_parent`); after a call that left the worker a
child nevertheless it ends, so that the supervisor, a subreaper, gets it. It ends with the supervisor, too, once the
call is made that it is at. There are as many as calls are under way, and for a while after.
"""

import gc
import json
import os
import select
import socket
import sys
from array import array
from collections.abc import Callable, Mapping
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from moby.contracts.types import Stdio
from moby.host import processes
from moby.values import field, frozen
from moby_supervisor.local.loop import Loop, Promise, Timer
from moby_supervisor.local.starter import LARGEST, Line, Starter, descriptors_of, outcome_of, reply

if TYPE_CHECKING:
    from moby.contracts.runtime import Runtime

__all__ = ["Call", "Workers"]

_REST_S = 5.0
"""How long workers wait for another call, at least."""
_MOST_CALLS = 500
"""After so many a worker ends, and with it whatever a runtime may have left in it."""
_MOST_FDS = 64
_SPACE = socket.CMSG_SPACE(_MOST_FDS * array("i").itemsize)


@frozen
class Call:
    """A method of a runtime and what it is given, which fits through a socket."""

    runtime: "Runtime"
    method: str
    arguments: tuple[Any, ...] = ()
    options: Mapping[str, Any] = field(factory=dict)
    stdio: Stdio | None = None
    """The last argument, where it takes streams."""

    def make(self) -> object:
        """Make it here."""
        last = () if self.stdio is None else (self.stdio,)
        return getattr(self.runtime, self.method)(*self.arguments, *last, **self.options)

    @property
    def fds(self) -> tuple[int, ...]:
        """The descriptors that it lends."""
        if self.stdio is None:
            return ()
        own = (self.stdio.stdin, self.stdio.stdout, self.stdio.stderr)
        return (*(fd for fd in own if fd >= 0), *self.stdio.extra)


class _Worker:
    """One of them, as the supervisor sees it."""

    def __init__(self, sock: socket.socket, pidfd: int) -> None:
        self.sock = sock
        self.pidfd = pidfd
        self.busy = False
        self.ended: Promise[None] = Promise()


class Workers:
    """Has calls made. All methods are for the loop's thread."""

    def __init__(self, loop: Loop, runtimes: Mapping[str, "Runtime"], starter: Callable[[], Starter]) -> None:
        self._loop = loop
        self._runtimes = runtimes
        self._starter = starter
        self._all: list[_Worker] = []
        self._idle: list[_Worker] = []
        self._rest: Timer | None = None
        self._called = False
        """Whether there was a call since it was last looked who is needed."""

    async def call(self, what: str, call: Call) -> Any:
        """Make a call; return or raise what it does, or Unavailable where its worker is killed."""
        with Line() as line:
            return await self.run(line, what, call)

    async def run(self, line: Line, what: str, call: Call) -> Any:
        """As `call`, by a line that somebody else may hold, too; what the call lends is needed until the first wait."""
        message = self._message(call)
        if message is None:
            return await self._starter().run(line, what, call.make, keep=call.fds)
        try:
            worker = self._given(message, [line.theirs.fileno(), *call.fds])
        finally:
            line.theirs.close()
        await self._answered(line, worker)
        outcome = outcome_of(line.ours, what, self._starter().learn)
        for pidfd in outcome.dismissed:
            processes.reap(pidfd)
            os.close(pidfd)
        if outcome.leaves:
            await worker.ended
        else:
            self._rests(worker)
        return outcome.value()

    def close(self) -> None:
        """Have all end, and wait for those that are at no call."""
        for worker in self._all:
            self._loop.forget(worker.sock.fileno())
            worker.sock.close()
            if not worker.busy:
                processes.reap(worker.pidfd)
            os.close(worker.pidfd)
        self._all.clear()
        self._idle.clear()

    # --- one call -----------------------------------------------------------------------------------------------

    def _message(self, call: Call) -> bytes | None:
        """Return a call as it is sent; None for one that can't be."""
        names = [name for name, each in self._runtimes.items() if each is call.runtime]
        arguments = [{"path": str(each)} if isinstance(each, Path) else [each] for each in call.arguments]
        try:
            message = json.dumps(
                {
                    "runtime": names[0],
                    "method": call.method,
                    "arguments": arguments,
                    "options": dict(call.options),
                    "stdio": _plain_stdio(call.stdio),
                }
            ).encode()
        except (LookupError, TypeError, ValueError, RecursionError):
            return None
        return message if len(message) <= LARGEST // 2 and len(call.fds) < _MOST_FDS else None

    def _given(self, message: bytes, fds: list[int]) -> _Worker:
        """Give a message to a worker that is free, or a new one."""
        while True:
            worker = self._idle.pop() if self._idle else self._begun()
            try:
                worker.sock.sendmsg([message], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", fds))])
            except (BrokenPipeError, ConnectionResetError):
                continue  # it was killed while it was idle, which its socket will tell
            worker.busy = self._called = True
            return worker

    async def _answered(self, line: Line, worker: _Worker) -> None:
        """Wait for an answer, or for the end of who was to give it."""
        found: Promise[None] = Promise()
        fd = line.ours.fileno()
        self._loop.watch(fd, select.EPOLLIN, lambda events: found.set(None))
        worker.ended.then(lambda: found.set(None))
        try:
            await found
        finally:
            self._loop.forget(fd)
            worker.busy = False

    # --- their lives --------------------------------------------------------------------------------------------

    def _begun(self) -> _Worker:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, LARGEST)
            _, pidfd = self._starter().fork(lambda: self._become(ours, theirs), {theirs.fileno()})
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        worker = _Worker(ours, pidfd)
        self._all.append(worker)
        self._loop.watch(ours.fileno(), 0, lambda events: self._left(worker))
        return worker

    def _become(self, ours: socket.socket, theirs: socket.socket) -> NoReturn:
        """Be a worker, which would hear of no end as long as any of them had the supervisor's side of one."""
        for each in (ours, *(worker.sock for worker in self._all)):
            with suppress(OSError):  # it is most often closed here
                each.close()
        _work(self._runtimes, theirs)

    def _rests(self, worker: _Worker) -> None:
        """Have a worker for the next call, of which it hears once it is through with this one."""
        if worker.sock.fileno() >= 0:
            self._idle.append(worker)
            if self._rest is None:
                self._rest = self._loop.after(_REST_S, self._thin_out)

    def _left(self, worker: _Worker) -> None:
        """Take notice that a worker has closed its side, as none does before its end."""
        self._loop.forget(worker.sock.fileno())
        worker.sock.close()
        if worker in self._idle:
            self._idle.remove(worker)
        self._loop.watch(worker.pidfd, select.EPOLLIN, lambda events: self._gone(worker))

    def _gone(self, worker: _Worker) -> None:
        self._loop.forget(worker.pidfd)
        processes.reap(worker.pidfd)
        os.close(worker.pidfd)
        self._all.remove(worker)
        worker.ended.set(None)

    def _thin_out(self) -> None:
        """Let those go that nobody has needed lately: all but one, or all where there was no call."""
        kept = self._idle[-1:] if self._called else []
        for worker in self._idle[: len(self._idle) - len(kept)]:
            worker.sock.shutdown(socket.SHUT_WR)
        self._idle, self._called = kept, False
        self._rest = self._loop.after(_REST_S, self._thin_out) if kept else None


# --- in the worker ----------------------------------------------------------------------------------------------


def _work(runtimes: Mapping[str, "Runtime"], commands: socket.socket) -> NoReturn:
    """Make calls until there are no more; the copy's whole life."""
    known = set(sys.modules)
    try:
        processes.act_for_parent()
        gc.freeze()
        gc.enable()
        for left in reversed(range(_MOST_CALLS)):
            data, ancillary, _, _ = commands.recvmsg(LARGEST, _SPACE, socket.MSG_CMSG_CLOEXEC)
            if not data:
                break
            fds = descriptors_of(ancillary)
            with socket.socket(fileno=fds[0]) as answers:
                call = _call_of(runtimes, json.loads(data), fds[1:])
                leaves = reply(answers, call.make, known, leaves=lambda: left == 0 or _has_children())  # noqa: B023
            for fd in fds[1:]:
                os.close(fd)
            if leaves:
                break
    finally:
        os._exit(0)


def _call_of(runtimes: Mapping[str, "Runtime"], said: Mapping[str, Any], fds: list[int]) -> Call:
    arguments = tuple(Path(each["path"]) if isinstance(each, dict) else each[0] for each in said["arguments"])
    stdio = None
    if said["stdio"] is not None:
        terminal, extra, given = said["stdio"]
        left = iter(fds)
        first = [next(left) if each else -1 for each in given]
        stdio = Stdio(first[0], first[1], first[2], terminal, tuple(islice(left, extra)))
    return Call(runtimes[said["runtime"]], said["method"], arguments, said["options"], stdio)


def _plain_stdio(stdio: Stdio | None) -> list[Any] | None:
    """Return which of the streams are lent, in the words of a message."""
    if stdio is None:
        return None
    return [stdio.terminal, len(stdio.extra), [fd >= 0 for fd in (stdio.stdin, stdio.stdout, stdio.stderr)]]


def _has_children() -> bool:
    """Whether anything that a call started is this process's own child still, ended or not."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT | 0x40000000)
    except ChildProcessError:
        return False
    return True
