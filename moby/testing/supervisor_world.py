"""What supervisors are tested with: streams that are read in time, tasks of a shell's scripts."""

import gc
import os
import select
import termios
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from moby.contracts.supervisor import Streams, Supervisor, TaskConfig
from moby.contracts.types import Exit, TaskStatus
from moby.errors import NotFound, Unsupported

__all__ = [
    "PATIENCE_S", "SHORTLY_S", "Bundles", "SupervisorFixtures", "closes_to", "open_descriptors", "quiet", "read_all",
    "read_until", "readable", "window_of",
]  # fmt: skip

PATIENCE_S = 60.0
SHORTLY_S = 0.3
"""For what must not happen."""
Bundles = Callable[..., Path]


def readable(descriptor: int, timeout_s: float | None = None) -> bool:
    """Say whether a descriptor becomes readable within a time; without one, within the suite's patience."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll((PATIENCE_S if timeout_s is None else timeout_s) * 1000))


def quiet(descriptor: int) -> bool:
    """Say whether a descriptor isn't readable for a while, in which what must not happen would."""
    return not readable(descriptor, SHORTLY_S)


def read_all(descriptor: int) -> bytes:
    """Read to the end, which for a terminal is EIO; fails the test where the end doesn't come."""
    found = b""
    while True:
        if not readable(descriptor):
            pytest.fail(f"no end of the stream after {found!r}")
        try:
            chunk = os.read(descriptor, 65536)
        except OSError:
            return found
        if not chunk:
            return found
        found += chunk


def read_until(descriptor: int, mark: bytes) -> bytes:
    """Read until something has come; fails the test where it doesn't."""
    found = b""
    while mark not in found:
        if not readable(descriptor):
            pytest.fail(f"{mark!r} didn't come; there was {found!r}")
        chunk = os.read(descriptor, 65536)
        if not chunk:
            pytest.fail(f"{mark!r} didn't come before the end; there was {found!r}")
        found += chunk
    return found


def window_of(pid: int) -> tuple[int, int]:
    """Return the rows and columns of the terminal that a process has for its standard input."""
    descriptor = os.open(f"/proc/{pid}/fd/0", os.O_RDONLY | os.O_NOCTTY)
    try:
        return termios.tcgetwinsize(descriptor)
    finally:
        os.close(descriptor)


def open_descriptors() -> int:
    """Count what this process has open."""
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def closes_to(before: int) -> bool:
    """Say whether this process comes to have no more open than before; what others of its threads close may be less."""
    gc.collect()
    deadline = time.monotonic() + PATIENCE_S
    while open_descriptors() > before:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


class SupervisorFixtures:
    """What a subclass brings, and says of extras; and what tests do again and again."""

    offers: frozenset[str] = frozenset()
    """Which of SupervisorFeature it has; it must refuse the rest."""
    pause = True
    update = True

    @pytest.fixture
    def supervisor(self) -> Iterator[Supervisor]:
        """Return the supervisor under test, entered, with at least one runtime."""
        raise NotImplementedError

    @pytest.fixture
    def bundle(self) -> Bundles:
        """Return a function that makes a new bundle of `*arguments` (and `terminal=True`)."""
        raise NotImplementedError

    @pytest.fixture(autouse=True)
    def nothing_left(self, supervisor: Supervisor) -> Iterator[None]:
        """Delete what a failed test left, so that only one test fails."""
        yield
        with suppress(Unsupported):  # which the test itself has met
            for each in supervisor.list():
                with suppress(NotFound):
                    supervisor.delete(each.id, force=True)

    def make(self, supervisor: Supervisor, bundle: Bundles, script: str, **options: Any) -> str:
        """Create a task of a shell script; its id is `a` unless told."""
        task = options.pop("id", "a")
        folder = bundle("sh", "-c", script, terminal=options.get("terminal", False))
        supervisor.create(TaskConfig(task, folder, **options))
        return str(task)

    def begin(self, supervisor: Supervisor, bundle: Bundles, script: str, **options: Any) -> Streams:
        """Create a task, attach to it and start it."""
        task = self.make(supervisor, bundle, script, **options)
        streams = supervisor.attach(task)
        supervisor.start(task)
        return streams

    def end(self, supervisor: Supervisor, task: str = "a") -> Exit:
        """Wait for a task to stop, and return how it ended."""
        descriptor = supervisor.exit_fd(task)
        try:
            assert readable(descriptor), "the task hasn't stopped"
        finally:
            os.close(descriptor)
        state = supervisor.state(task)
        assert (state.status, state.pid) == (TaskStatus.STOPPED, 0)
        assert state.exit is not None
        return state.exit

    def close(self, streams: Streams) -> None:
        """Close a client's descriptors."""
        for each in {streams.stdin, streams.stdout, streams.stderr} - {-1}:
            os.close(each)

    def process(self, script: str) -> Mapping[str, Any]:
        """Return the `process` of a shell script."""
        user = {"uid": 0, "gid": 0}
        return {"args": ["sh", "-c", script], "env": [f"PATH={os.defpath}"], "cwd": "/", "user": user}
