"""Hooks: programs of a bundle that are told of its container's steps (config.md, POSIX-platform hooks).

Each is run in a copy of the calling process, in whose namespaces and as whose user it is then; it reads the
container's state, gets the environment that the bundle gives it and no descriptor but the standard ones, and is the
leader of a session of its own, which ends as a whole when its time is up.
"""

from __future__ import annotations

import errno
import os
import select
import time

from moby.contracts.streams import Stdio
from moby.host import processes
from moby.host.blocks import Undo, suppress
from moby.host.lean import signals
from moby.values import frozen
from moby_runtime.native.values import OCI_VERSION, STOPPED, Hook
from moby_runtime.programs import program
from moby_runtime.records.failures import Failed, Failure
from moby_runtime.records.json_text import encoded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any, NoReturn

    Become = Callable[[Hook], NoReturn]

__all__ = ["Become", "Hooks", "state_of"]

_KEPT = 2048
"""How much of the end of what a hook says is told when it fails."""
_EXEC_FAILED = 127


def state_of(container_id: str, status: str, pid: int, bundle: str, annotations: Mapping[str, str]) -> dict[str, Any]:
    """Return a container's state in the specification's words (runtime.md, State)."""
    return {
        "ociVersion": OCI_VERSION,
        "id": container_id,
        "status": status,
        "pid": pid,
        "bundle": bundle,
        "annotations": dict(annotations),
    }


def _as_host(hook: Hook) -> NoReturn:
    """Become a hook whose path is the caller's own; OSError where it can't be run."""
    os.execve(hook.path, hook.args, _environment(hook))  # noqa: S606 - a program, and no line for a shell
    raise AssertionError("execve returned")


def _environment(hook: Hook) -> dict[str, str]:
    return dict(each.partition("=")[::2] for each in hook.env)


@frozen
class Hooks:
    """The hooks of one container, and what its state says of it whatever its status."""

    container_id: str
    bundle: str
    annotations: Mapping[str, str]
    configured: Mapping[str, Any]
    """As config.json has them."""

    def named(self, name: str) -> tuple[Hook, ...]:
        """Return those of one kind, in their order."""
        return tuple(
            Hook(
                each["path"],
                tuple(each.get("args") or (each["path"],)),
                tuple(each.get("env") or ()),
                each.get("timeout"),
                f"hooks.{name}[{index}]",
            )
            for index, each in enumerate(self.configured.get(name, ()))
        )

    def run(self, name: str, status: str, pid: int, become: Become | None = None) -> None:
        """Run those of one kind; the first that fails is a Failed that names it, and those after it aren't run."""
        # Those in the container's mounts begin where its root will be, where this process is.
        become = become or (_as_host if name == "createContainer" else self._in_bundle)
        for hook in self.named(name):
            _run(hook, self._state(status, pid), become)

    def run_poststop(self, warn: Callable[[Failure], object]) -> None:
        """Run those of a container that is gone, all of them; `warn` is told each failure."""
        for hook in self.named("poststop"):
            try:
                _run(hook, self._state(STOPPED, 0), self._in_bundle)
            except Failed as error:
                warn(error.failure)

    def time_s(self, *names: str) -> float | None:
        """Return how long those of some kinds may take in all; None is for ever."""
        times = [hook.timeout_s for name in names for hook in self.named(name)]
        return None if None in times else sum(each or 0 for each in times)

    def _in_bundle(self, hook: Hook) -> NoReturn:
        """As `_as_host`, in the bundle's folder while that is there, as with other runtimes."""
        with suppress(OSError):
            os.chdir(self.bundle)
        _as_host(hook)

    def _state(self, status: str, pid: int) -> dict[str, Any]:
        return state_of(self.container_id, status, pid, self.bundle, self.annotations)


def _run(hook: Hook, state: Mapping[str, Any], become: Become) -> None:
    number = b""
    with Undo() as opened:
        given = os.memfd_create("state")
        opened.callback(os.close, given)
        os.write(given, encoded(state).encode())
        os.lseek(given, 0, os.SEEK_SET)
        said, out = os.pipe2(os.O_CLOEXEC)
        opened.callback(os.close, said)
        refused, refusal = os.pipe2(os.O_CLOEXEC)
        opened.callback(os.close, refused)
        try:
            pid, pidfd = processes.fork(lambda: _become(hook, Stdio(given, out, out), refusal, become))
        finally:
            os.close(out)
            os.close(refusal)
        opened.callback(os.close, pidfd)
        try:
            told, ended = _attend(pidfd, said, hook.timeout_s)
        except BaseException:
            _abort(pid, pidfd)
            raise
        if not ended:
            _abort(pid, pidfd)
            raise _failed(hook, f"it took longer than its timeout of {hook.timeout_s} s{_quoted(told)}")
        code = processes.reap(pidfd)
        os.set_blocking(refused, False)
        with suppress(BlockingIOError):
            number = os.read(refused, 16)
    if number:
        raise _failed(hook, os.strerror(int(number)))
    if code is None:
        raise _failed(hook, f"somebody else took its exit code{_quoted(told)}")
    if code:
        raise _failed(hook, f"exit code {code}{_quoted(told)}")


def _failed(hook: Hook, reason: str) -> Failed:
    return Failed(Failure(f"run the hook {hook.path}", hook.where, 0, reason))


def _quoted(told: bytes) -> str:
    """Return the end of what a hook said, for a message."""
    text = told.decode(errors="replace").strip()
    return f": {text}" if text else ""


def _become(hook: Hook, stdio: Stdio, refusal: int, become: Become) -> NoReturn:
    """Be the copy that turns into the hook; say by number why it can't."""
    number = errno.EIO
    try:
        os.setsid()
        program.take_stdio(stdio)
        processes.close_other_descriptors((refusal,))
        become(hook)
    except Failed as error:
        number = error.failure.number
    except OSError as error:
        number = error.errno or number
    except ValueError:  # an empty name, which no kernel is asked about
        number = errno.EINVAL
    finally:
        os.write(refusal, b"%d" % number)
        os._exit(_EXEC_FAILED)


def _attend(pidfd: int, said: int, timeout_s: float | None) -> tuple[bytes, bool]:
    """Wait for a hook's end, and return the end of what it said; False with it where its time is up.

    Nobody waits for whom it left behind, though they may hold its output open.
    """
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    os.set_blocking(said, False)
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    poll.register(said, select.POLLIN)
    told = b""
    while True:
        left_s = 0.0 if deadline is None else max(0.0, deadline - time.monotonic())
        ready = {fd for fd, _ in poll.poll(None if deadline is None else min(left_s * 1000, processes.LONGEST_POLL_MS))}
        if said in ready:
            chunk = os.read(said, 65536)
            told = (told + chunk)[-_KEPT:]
            if not chunk:
                poll.unregister(said)
        if pidfd in ready:
            return told, True
        if deadline is not None and time.monotonic() >= deadline:
            return told, False


def _abort(pid: int, pidfd: int) -> None:
    """End a hook with all of its session's first group, and reap it."""
    with suppress(ProcessLookupError):
        os.killpg(pid, signals.SIGKILL)
    processes.reap(pidfd)
