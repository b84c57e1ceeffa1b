"""Calls that may block, each in a process of its own: the supervisor's loop waits for none.

A starter is forked, makes one call, and says by a socket what came of it, with the descriptors that came of it. It
lives on where the supervisor is killed meanwhile: its message then waits in the socket, which the keeper holds, for the
next supervisor. What a call started (a container) becomes the supervisor's child when the starter ends, since the
supervisor is a subreaper.
"""

import gc
import importlib
import json
import os
import resource
import socket
import sys
from array import array
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from typing import Any, NoReturn, Self

from moby.contracts.runtime import Process
from moby.errors import (
    Conflict,
    Corrupt,
    Denied,
    HostUnfit,
    Invalid,
    MobyError,
    NotFound,
    Problem,
    Unavailable,
    Unsupported,
)
from moby.host import processes
from moby.values import field, frozen
from moby_supervisor.local.loop import Loop

__all__ = [
    "LARGEST", "Line", "Outcome", "Starter", "decode_error", "descriptors_of", "encode_error", "message_of",
    "outcome_of", "reply",
]  # fmt: skip

LARGEST = 1 << 18
"""Bytes of a message."""
_MOST_FDS = 32
_LEARN_S = 0.02
# As numbers: what enumerations are put together of costs as much as the call that they are for.
_PEEK = int(socket.MSG_PEEK | socket.MSG_DONTWAIT | socket.MSG_CMSG_CLOEXEC)
_ERRORS: dict[str, type[MobyError]] = {
    each.__name__: each for each in (Conflict, Corrupt, Denied, HostUnfit, Invalid, NotFound, Unavailable, Unsupported)
}


class Line:
    """Both ends of what a starter tells by."""

    def __init__(self) -> None:
        self.ours, self.theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, LARGEST)

    @classmethod
    def of(cls, fd: int) -> "Line":
        """Return the line of which another supervisor had our end."""
        line = cls()
        line.theirs.close()
        line.ours.close()
        line.ours = socket.socket(fileno=fd)
        return line

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.ours.close()
        self.theirs.close()


@frozen
class Starter:
    """Forks starters. `kept` are descriptors that were open before the supervisor's own."""

    loop: Loop
    kept: frozenset[int] = field(factory=frozenset)
    open_files: tuple[int, int] | None = None
    """The limit that children have, where the supervisor has raised its own."""

    async def call(self, what: str, function: Callable[[], object], *, keep: Collection[int] = ()) -> Any:
        """Make a call in a process of its own, which has the descriptors `keep`; return or raise what it does."""
        with Line() as line:
            return await self.run(line, what, function, keep=keep)

    async def run(self, line: "Line", what: str, function: Callable[[], object], *, keep: Collection[int] = ()) -> Any:
        """As `call`, by a line that somebody else may hold, too."""
        try:
            _, pidfd = self.fork(lambda: _make_call(function, line.theirs), {*keep, line.theirs.fileno()})
        finally:
            line.theirs.close()
        try:
            await self.loop.readable(pidfd)
            processes.reap(pidfd)
        finally:
            os.close(pidfd)
        return message_of(line.ours, what, self.learn)

    def learn(self, modules: Collection[str]) -> None:
        """Import, once there is time, what a starter had to, so that the next ones needn't."""
        self.loop.after(_LEARN_S, lambda: _import(modules))

    def fork(self, body: Callable[[], NoReturn], keep: Collection[int]) -> tuple[int, int]:
        """Run `body` in a copy of this process that has just these descriptors; return its pid and a pidfd."""

        def child() -> NoReturn:
            gc.disable()  # which would touch, and so copy, all that is shared with the supervisor
            processes.close_other_descriptors({*self.kept, *keep})
            if self.open_files is not None:
                resource.setrlimit(resource.RLIMIT_NOFILE, self.open_files)
            body()

        return processes.fork(child) if processes.has_threads() else processes.clone(child)


def _import(modules: Collection[str]) -> None:
    for each in modules:
        with suppress(Exception):
            importlib.import_module(each)
    gc.freeze()


@frozen
class Outcome:
    """What a call came to."""

    said: dict[str, Any]
    fds: list[int]

    @property
    def leaves(self) -> bool:
        """Whether who made the call ends now, since it has a child that is to be the supervisor's."""
        return bool(self.said.get("leaves"))

    @property
    def dismissed(self) -> list[int]:
        """Pidfds of processes that have ended, and are the supervisor's to reap."""
        return self.fds[len(self.fds) - self.said.get("dismissed", 0) :]

    def value(self) -> Any:
        """Return what it returned, or raise what it raised."""
        return _decode(self.said, self.fds[: len(self.fds) - self.said.get("dismissed", 0)])


def message_of(sock: socket.socket, what: str, learn: Callable[[list[str]], object] = len) -> Any:
    """Return or raise what was said of a call; Unavailable where who made it was killed before it could."""
    outcome = outcome_of(sock, what, learn)
    for pidfd in outcome.dismissed:
        os.close(pidfd)  # the keeper has reaped it
    return outcome.value()


def outcome_of(sock: socket.socket, what: str, learn: Callable[[list[str]], object]) -> Outcome:
    """Return what was said of a call; Unavailable as `message_of`.

    The message stays in the socket, so that another supervisor finds it where this one is killed.
    """
    size = socket.CMSG_SPACE(_MOST_FDS * array("i").itemsize)
    with suppress(BlockingIOError):
        data, ancillary, _, _ = sock.recvmsg(LARGEST, size, _PEEK)
        if data:
            said = json.loads(data)
            if modules := said.pop("modules", ()):
                learn(modules)
            return Outcome(said, descriptors_of(ancillary))
    raise Unavailable(f"cannot {what}: the process that did it was killed", hint="try again")


def descriptors_of(ancillary: Iterable[tuple[int, int, bytes]]) -> list[int]:
    """Return the descriptors that came with a message."""
    fds = array("i")
    for level, kind, content in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            fds.frombytes(content[: len(content) // fds.itemsize * fds.itemsize])
    return list(fds)


def _make_call(function: Callable[[], object], answers: socket.socket) -> NoReturn:
    """Make the call and say what came of it; the copy's whole life."""
    code = 1
    try:
        reply(answers, function, set(sys.modules))
        code = 0
    finally:
        os._exit(code)


def reply(
    answers: socket.socket,
    function: Callable[[], object],
    known: set[str],
    *,
    leaves: Callable[[], bool] = lambda: False,
) -> bool:
    """Make a call and say what came of it, and whether this process then `leaves`, which is returned.

    `known` are the modules of which the supervisor knows; new ones are told, and added.
    """
    try:
        data, fds = _encode(function())
    except Exception as error:
        data, fds = {"error": _plain_error(error)}, []
    data["leaves"] = leaves()
    ended = processes.take_dismissed()
    data["dismissed"] = len(ended[: _MOST_FDS - len(fds)])
    fds += ended
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", fds[:_MOST_FDS]))] if fds else []
    if len(sys.modules) > len(known):
        data["modules"] = [name for name in sys.modules if name not in known]
        known.update(data["modules"])
    with suppress(BrokenPipeError):
        answers.sendmsg([json.dumps(data).encode()], rights)
    for fd in fds:
        os.close(fd)
    return bool(data["leaves"])


def _encode(value: object) -> tuple[dict[str, Any], list[int]]:
    if isinstance(value, Process):
        fds = [value.exit_fd, *([value.terminal_fd] if value.terminal_fd >= 0 else [])]
        return {"process": value.pid}, fds
    return {"value": value}, []


def encode_error(error: Exception) -> bytes:
    """Return an error as it crosses from one process to another."""
    return json.dumps(_plain_error(error)).encode()


def decode_error(data: bytes) -> Exception:
    """Return an error that has crossed; a RuntimeError for one that isn't among moby.errors."""
    return _error(json.loads(data))


def _plain_error(error: Exception) -> dict[str, Any]:
    told: dict[str, Any] = {"message": str(error) or type(error).__name__, "kind": type(error).__name__}
    if isinstance(error, MobyError):
        told |= {"message": error.message, "hint": error.hint}
        told["problems"] = [each.message for each in getattr(error, "problems", ())]
        if isinstance(error.__cause__, OSError):
            told["errno"] = error.__cause__.errno
    return told


def _decode(data: dict[str, Any], fds: list[int]) -> Any:
    if "error" in data:
        raise _error(data["error"])
    if "process" in data:
        return Process(data["process"], fds[0], fds[1] if len(fds) > 1 else -1)
    return data["value"]


def _error(told: dict[str, Any]) -> Exception:
    kind = _ERRORS.get(told["kind"])
    if kind is None:
        return RuntimeError(f"{told['kind']}: {told['message']}")
    if kind is Invalid:
        problems = tuple(Problem(each) for each in told["problems"])
        error: MobyError = Invalid(told["message"], hint=told["hint"], problems=problems)
    else:
        error = kind(told["message"], hint=told["hint"])
    if "errno" in told:
        error.__cause__ = OSError(told["errno"], os.strerror(told["errno"]))
    return error
