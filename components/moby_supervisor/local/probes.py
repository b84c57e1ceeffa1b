"""One probe of a container's health: by a program inside, or over its network without one."""

import json
import os
import re
import select
import signal
import socket
from contextlib import suppress
from typing import Any, NoReturn

from moby.contracts.runtime import Process
from moby.contracts.supervisor import HealthCheck, HealthResult
from moby.contracts.types import Exit, Stdio
from moby.errors import Corrupt, Invalid, MobyError, Problem
from moby.host import namespaces, processes
from moby.oci.programs import telling
from moby_supervisor.local.loop import Loop
from moby_supervisor.local.task import Task
from moby_supervisor.local.workers import Call
from moby_supervisor.local.world import World

__all__ = ["check_test", "probe"]

_URL = re.compile(r"http://(?:127\.0\.0\.1|localhost)(?::([0-9]{1,5}))?(/[\x21-\x7e]*)?")
_PORT = re.compile(r"[0-9]{1,5}")
_MOST_OUTPUT = 4096
_STATUS_DIGITS = 3
_WORDS = {"CMD-SHELL": 2, "HTTP": 2, "TCP": 2, "NONE": 1}


def check_test(check: HealthCheck) -> None:
    """Refuse a test that makes no sense: Invalid."""
    kind, *words = check.test or ("",)
    if kind == "CMD":
        if not words:
            raise _refused("the health check CMD has no command", "name the program that is to be run")
        return
    if len(check.test) != _WORDS.get(kind):
        known = ", ".join(["CMD", *_WORDS])
        raise _refused(f"{' '.join(check.test)!r} is not a health check", f"begin with one of {known}")
    port = words[0] if kind == "TCP" else "0"
    if kind == "HTTP":
        found = _URL.fullmatch(words[0])
        if found is None:
            raise _refused(
                f"{words[0]!r} is not a URL that can be probed", "write it as in http://127.0.0.1:8080/health"
            )
        port = found[1] or "80"
    if not _PORT.fullmatch(port) or int(port) > 65535:
        raise _refused(f"{port!r} is no port", "a port is a number up to 65535")


def _refused(text: str, hint: str) -> Invalid:
    """Return an error with a problem: one without is taken for that of a program that can't be run."""
    return Invalid(text, hint=hint, problems=(Problem(text, fixes=(hint,)),))


async def probe(world: World, task: Task, timeout_s: float) -> tuple[HealthResult, Exit | None]:
    """Probe once, for at most so long; no failure is an error. Returns how the probe's program ended, too."""
    check = task.config.health
    assert check is not None
    start = world.clock.now_ns()
    ended = None
    try:
        if check.test[0] in ("HTTP", "TCP"):
            pid, test = task.record.pid, check.test
            what = f"check the health of {task.id}"
            code, output = await world.starter.call(what, lambda: _ask(pid, test, timeout_s))
        else:
            words = ["/bin/sh", "-c", check.test[1]] if check.test[0] == "CMD-SHELL" else list(check.test[1:])
            spec = {**_process_of(task), "args": words, "terminal": False}
            with telling(words[0], exec_=True, cwd=str(spec.get("cwd", ""))):
                code, output, ended = await _run(world, task, spec, timeout_s)
    except MobyError as error:
        code, output = -1, error.message
    return HealthResult(start, world.clock.now_ns(), code, output), ended


async def _run(world: World, task: Task, spec: dict[str, Any], timeout_s: float) -> tuple[int, str, Exit]:
    """Run a program inside; return what its end means, what it said, and its end."""
    nothing = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    ours, theirs = os.pipe2(os.O_CLOEXEC)
    os.set_blocking(ours, False)
    stdio = Stdio(nothing, theirs, theirs)
    output = _Output(world.loop, ours)
    try:
        try:
            call = Call(task.runtime, "exec", (task.record.container, spec), stdio=stdio)
            begun = world.loop.start(world.workers.call(f"run the health check of {task.id}", call))
        finally:
            os.close(nothing)
            os.close(theirs)
        process: Process = await begun
        return await _finish(world, task, process, timeout_s, output)
    finally:
        output.close()


async def _finish(
    world: World, task: Task, process: Process, timeout_s: float, output: "_Output"
) -> tuple[int, str, Exit]:
    stat = processes.process_stat(process.pid)
    with suppress(FileNotFoundError):
        task.change(probe=(process.pid, stat.start_ticks if stat else 0))
    try:
        if await world.loop.readable(process.exit_fd, timeout_s):
            code = await world.finish(task, process)
            return -1 if code is None else code, output.text(), Exit(code, world.clock.now_ns())
        with suppress(ProcessLookupError):
            processes.send_signal(process.exit_fd, signal.SIGKILL)
        await world.loop.readable(process.exit_fd)
        code = await world.finish(task, process)
        return -1, _exceeded(timeout_s, output.text()), Exit(code, world.clock.now_ns())
    finally:
        os.close(process.exit_fd)
        with suppress(FileNotFoundError):
            task.change(probe=(0, 0))


class _Output:
    """The beginning of what a program says; the rest is thrown away."""

    def __init__(self, loop: Loop, fd: int) -> None:
        self._loop = loop
        self._fd = fd
        self._kept = b""
        loop.watch(fd, select.EPOLLIN, lambda events: self._read())

    def _read(self) -> bool:
        try:
            chunk = os.read(self._fd, 65536)
        except BlockingIOError:
            return False
        self._kept += chunk[: _MOST_OUTPUT + 1 - len(self._kept)]  # one more tells that there was more
        if not chunk:
            self._loop.forget(self._fd)
        return bool(chunk)

    def text(self) -> str:
        """Return what there is."""
        for _ in range(2):
            if not self._read():
                break
        return _bounded(self._kept.decode(errors="replace"))

    def close(self) -> None:
        """Hear no more."""
        self._loop.forget(self._fd)
        os.close(self._fd)


def _process_of(task: Task) -> dict[str, Any]:
    """Return what the container's own program is run with: its user, environment and rights."""
    path = task.config.bundle / "config.json"
    try:
        return dict(json.loads(path.read_bytes())["process"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Corrupt(f"{path} can't be read any more: {error}", hint="make the container again") from error


def _exceeded(timeout_s: float, output: str = "") -> str:
    """Return docker's words for a test that took too long."""
    limit = f"{timeout_s:g}s" if timeout_s >= 1 else f"{timeout_s * 1000:g}ms"
    return _bounded(f"Health check exceeded timeout ({limit}){': ' if output else ''}{output}")


def _bounded(text: str) -> str:
    """Return what is kept of what a probe says, with dots for what isn't, as docker has it."""
    data = text.encode()
    return text if len(data) <= _MOST_OUTPUT else data[:_MOST_OUTPUT].decode(errors="ignore") + "..."


def _ask(pid: int, test: tuple[str, ...], timeout_s: float) -> tuple[int, str]:
    """Connect from within a container's network; called in a process that has no other use."""
    try:
        _enter(pid)
        if test[0] == "TCP":
            with socket.create_connection(("127.0.0.1", int(test[1])), timeout_s):
                return 0, ""
        found = _URL.fullmatch(test[1])
        assert found is not None
        return _get(int(found[1] or 80), found[2] or "/", timeout_s)
    except TimeoutError:
        return -1, _exceeded(timeout_s)
    except OSError as error:
        return 1, error.strerror or str(error)


def _enter(pid: int) -> None:
    """Join a process's network, by its user namespace where that isn't ours."""
    with suppress(ProcessLookupError):
        pidfd = os.pidfd_open(pid)
        wanted = namespaces.FLAGS["user"] | namespaces.FLAGS["network"]
        flags = namespaces.differing(pid) & (wanted if os.geteuid() else namespaces.FLAGS["network"])
        if flags:
            processes.set_dumpable(False)  # so that nobody in that user namespace may look into it
            namespaces.join(pidfd, flags)
        return
    raise OSError(3, "the container has stopped")


def _too_slow(number: int, frame: object) -> NoReturn:
    raise TimeoutError


def _get(port: int, path: str, timeout_s: float) -> tuple[int, str]:
    """Ask a web server; an answer from 200 to 399 is well."""
    with socket.create_connection(("127.0.0.1", port), timeout_s) as connection:
        signal.signal(signal.SIGALRM, _too_slow)
        signal.alarm(max(1, int(timeout_s + 1)))  # who answers a byte now and then is too slow, too
        request = f"GET {path} HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\nUser-Agent: moby-health\r\n\r\n"
        connection.sendall(request.encode("ascii"))
        answer = b""
        while len(answer) < _MOST_OUTPUT * 2 and (chunk := connection.recv(_MOST_OUTPUT)):
            answer += chunk
    head, _, body = answer.partition(b"\r\n\r\n")
    words = head.split(b"\r\n")[0].split(b" ")
    known = len(words) > 1 and words[0].startswith(b"HTTP/") and words[1].isdigit() and len(words[1]) == _STATUS_DIGITS
    well = known and 200 <= int(words[1]) < 400
    first = head.split(b"\r\n")[0].decode(errors="replace")
    return int(not well), _bounded(f"{first}\n{body.decode(errors='replace')}")
