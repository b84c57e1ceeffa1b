"""The conformance suite of the kind `supervisor`."""

import os
import select
import signal
import termios
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from moby.contracts.runtime import RuntimeFeature
from moby.contracts.supervisor import Streams, Supervisor, SupervisorFeature, TaskConfig
from moby.contracts.types import Exit, TaskStatus, Window
from moby.errors import Conflict, Invalid, NotFound, Unsupported

__all__ = ["SupervisorSuite", "open_descriptors", "read_all", "read_until", "readable"]

PATIENCE_S = 20.0
Bundles = Callable[..., Path]


def readable(descriptor: int, timeout_s: float | None = None) -> bool:
    """Say whether a descriptor becomes readable within a time; without one, within the suite's patience."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll((PATIENCE_S if timeout_s is None else timeout_s) * 1000))


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


class SupervisorSuite:
    """What every supervisor must do. A subclass brings the two fixtures, and says which extras to hold it to.

    The scripts in it use nothing but builtins of the shell.
    """

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

    # Life

    def test_created_task_has_not_run(self, supervisor: Supervisor, bundle: Bundles) -> None:
        """`create` stops short of the user's program."""
        self.make(supervisor, bundle, "echo ran")
        state = supervisor.state("a")
        assert (state.id, state.status, state.exit) == ("a", TaskStatus.CREATED, None)
        assert state.pid > 0
        streams = supervisor.attach("a")
        assert not readable(streams.stdout, 0.1)
        self.close(streams)

    def test_start_runs_the_program(self, supervisor: Supervisor, bundle: Bundles) -> None:
        """Its output comes on its own streams, and its exit code is known."""
        streams = self.begin(supervisor, bundle, "echo out; echo err >&2; exit 3")
        assert (read_all(streams.stdout), read_all(streams.stderr)) == (b"out\n", b"err\n")
        assert self.end(supervisor).code == 3
        self.close(streams)

    def test_running_is_told(self, supervisor: Supervisor, bundle: Bundles) -> None:
        """A running task says so, and has a pid."""
        streams = self.begin(supervisor, bundle, "read line", stdin=True)
        state = supervisor.state("a")
        assert (state.status, state.exit) == (TaskStatus.RUNNING, None)
        assert state.pid > 0
        self.close(streams)

    def test_start_twice(self, supervisor: Supervisor, bundle: Bundles) -> None:
        """The second start raises Conflict."""
        streams = self.begin(supervisor, bundle, "read line", stdin=True)
        with pytest.raises(Conflict):
            supervisor.start("a")
        self.close(streams)

    def test_missing_program(self, supervisor: Supervisor, bundle: Bundles) -> None:
        """A program that isn't there is Invalid at start, or already at create."""
        with pytest.raises(Invalid):  # which of the two is the runtime's choice
            supervisor.create(TaskConfig("a", bundle("/no/such/program")))
            supervisor.start("a")

    @pytest.mark.parametrize("verb", ["start", "attach", "exit_fd", "state", "delete"])
    def test_unknown_task(self, supervisor: Supervisor, verb: str) -> None:
        """Every verb says NotFound."""
        with pytest.raises(NotFound):
            getattr(supervisor, verb)("nobody")

    def test_list_is_sorted(self, supervisor: Supervisor, bundle: Bundles) -> None:
        """All tasks, by id."""
        for each in ("c", "a", "b"):
            self.make(supervisor, bundle, ":", id=each)
        assert [each.id for each in supervisor.list()] == ["a", "b", "c"]

    # Creating

    def test_taken_id(self, supervisor: Supervisor, bundle: Bundles) -> None:
        """An id is one task's, who isn't harmed by a second one's failure."""
        self.make(supervisor, bundle, ":")
        with pytest.raises(Conflict):
            self.make(supervisor, bundle, ":")
        assert supervisor.state("a").status is TaskStatus.CREATED

    def test_features(self, supervisor: Supervisor) -> None:
        """Those of the default runtime are named as in the contract; an unknown runtime is NotFound."""
        known = {value for name, value in vars(RuntimeFeature).items() if not name.startswith("_")}
        assert supervisor.features() <= known
        with pytest.raises(NotFound):
            supervisor.features("absent")

    def test_unknown_runtime(self, supervisor: Supervisor, bundle: Bundles) -> None:
        """NotFound."""
        with pytest.raises(NotFound):
            self.make(supervisor, bundle, ":", runtime="nobody's")

    def test_failed_create_leaves_nothing(self, supervisor: Supervisor, bundle: Bundles, tmp_path: Path) -> None:
        """The id is free again, and no descriptor stays open but for what the first call of all may begin."""
        (tmp_path / "empty").mkdir()
        with pytest.raises(NotFound):
            supervisor.create(TaskConfig("a", tmp_path / "empty"))
        before = open_descriptors()
        with pytest.raises(NotFound):
            supervisor.create(TaskConfig("a", tmp_path / "empty"))
        assert open_descriptors() == before
        assert supervisor.list() == ()
        self.make(supervisor, bundle, ":")

    # Streams

    def test_stdin(self, supervisor: Supervisor, bundle: Bundles) -> None:
        """What is written arrives, and closing is the end."""
        streams = self.begin(supervisor, bundle, "read a; echo got $a; read b || echo end", stdin=True)
        os.write(streams.stdin, b"this\n")
        assert read_until(streams.stdout, b"\n") == b"got this\n"
        os.close(streams.stdin)
        assert read_all(streams.stdout) == b"end\n"
        self.close(Streams(-1, streams.stdout, streams.stderr))

    def test_no_stdin(self, supervisor: Supervisor, bundle: Bundles) -> None:
        """Standard input that wasn't asked for is at its end from the start."""
        streams = self.begin(supervisor, bundle, "read a || echo end")
        assert streams.stdin == -1
        assert read_all(streams.stdout) == b"end\n"
        self.close(streams)

    def test_early_output_is_kept(self, supervisor: Supervisor, bundle: Bundles) -> None:
        """Who attaches late sees what was written before, even by a task that has ended."""
        self.make(supervisor, bundle, "echo early")
        supervisor.start("a")
        self.end(supervisor)
        streams = supervisor.attach("a")
        assert read_all(streams.stdout) == b"early\n"
        self.close(streams)

    def test_attached_at_once(self, supervisor: Supervisor, bundle: Bundles) -> None:
        """The streams that come with a task's state, where some do, are as those of `attach`, from its beginning on."""
        script = "read a; echo got $a; echo err >&2; read b"
        state = supervisor.create(TaskConfig("a", bundle("sh", "-c", script), stdin=True, attach=True))
        streams = state.streams or supervisor.attach("a")
        supervisor.start("a")
        self._talk(streams)
        assert supervisor.state("a").streams is None
        state = supervisor.exec("a", "b", self.process(script), TaskConfig("b", Path(), stdin=True, attach=True))
        inner = state.streams or supervisor.attach("b")
        self._talk(inner)
        self.close(inner)
        self.close(streams)

    def _talk(self, streams: Streams) -> None:
        os.write(streams.stdin, b"this\n")
        assert read_until(streams.stdout, b"\n") == b"got this\n"
        assert read_until(streams.stderr, b"\n") == b"err\n"

    def test_second_attach(self, supervisor: Supervisor, bundle: Bundles) -> None:
        """Refused while the first's descriptors are open, unless it offers `attach-many`."""
        if SupervisorFeature.ATTACH_MANY in self.offers:
            pytest.skip("offers attach-many")
        self.make(supervisor, bundle, ":")
        streams = supervisor.attach("a")
        with pytest.raises(Conflict):
            supervisor.attach("a")
        self.close(streams)

    def test_terminal(self, supervisor: Supervisor, bundle: Bundles) -> None:
        """All three streams are one terminal of the size that was asked for."""
        script = "test -t 0 && test -t 1 && test -t 2 && echo terminal; read line; exit 4"
        streams = self.begin(supervisor, bundle, script, terminal=True, stdin=True, window=Window(33, 77))
        assert streams.stderr == -1
        assert read_until(streams.stdout, b"\n") == b"terminal\r\n"
        assert window_of(supervisor.state("a").pid) == (33, 77)
        supervisor.resize("a", Window(44, 88))
        assert window_of(supervisor.state("a").pid) == (44, 88)
        os.write(streams.stdin, b"go\n")
        assert self.end(supervisor).code == 4
        self.close(streams)

    def test_resize_without_terminal(self, supervisor: Supervisor, bundle: Bundles) -> None:
        """Conflict."""
        self.make(supervisor, bundle, ":")
        with pytest.raises(Conflict):
            supervisor.resize("a", Window())

    # Exits

    def test_exit_descriptor_waits(self, supervisor: Supervisor, bundle: Bundles) -> None:
        """Not readable before the end, then readable for everybody, and with that the state has the exit."""
        streams = self.begin(supervisor, bundle, "read line", stdin=True)
        first, second = supervisor.exit_fd("a"), supervisor.exit_fd("a")
        assert first != second
        assert not readable(first, 0.1)
        os.close(first)
        os.close(streams.stdin)
        assert readable(second)
        assert supervisor.state("a").exit is not None
        assert readable(second, 0)
        os.close(second)
        self.close(Streams(-1, streams.stdout, streams.stderr))

    def test_exit_is_kept(self, supervisor: Supervisor, bundle: Bundles) -> None:
        """The same Exit until the task is deleted, and from delete itself."""
        streams = self.begin(supervisor, bundle, "exit 5")
        first = self.end(supervisor)
        assert self.end(supervisor) == first
        assert supervisor.delete("a") == first
        assert first.code == 5
        self.close(streams)

    def test_exit_by_signal(self, supervisor: Supervisor, bundle: Bundles) -> None:
        """128 and the signal's number."""
        streams = self.begin(supervisor, bundle, "read line", stdin=True)
        supervisor.kill("a", signal.SIGKILL)
        assert self.end(supervisor).code == 128 + signal.SIGKILL
        self.close(streams)

    def test_exit_seen_by_many_threads(self, supervisor: Supervisor, bundle: Bundles) -> None:
        """Whoever asks first, all get the same answer."""
        streams = self.begin(supervisor, bundle, "read line; exit 6", stdin=True)
        found: list[int | None] = []

        def ask() -> None:
            exit_ = None
            while exit_ is None:
                exit_ = supervisor.state("a").exit
            found.append(exit_.code)

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for each in threads:
            each.start()
        os.close(streams.stdin)
        for each in threads:
            each.join(PATIENCE_S)
        assert found == [6] * len(threads)
        self.close(Streams(-1, streams.stdout, streams.stderr))

    # Signals

    def test_kill_reaches_the_program(self, supervisor: Supervisor, bundle: Bundles) -> None:
        """A signal that the program handles is handled."""
        streams = self.begin(supervisor, bundle, "trap 'exit 7' USR1; echo ready; while :; do :; done")
        read_until(streams.stdout, b"ready\n")
        supervisor.kill("a", signal.SIGUSR1)
        assert self.end(supervisor).code == 7
        self.close(streams)

    def test_kill_of_a_stopped_task(self, supervisor: Supervisor, bundle: Bundles) -> None:
        """Conflict."""
        streams = self.begin(supervisor, bundle, ":")
        self.end(supervisor)
        with pytest.raises(Conflict):
            supervisor.kill("a", signal.SIGTERM)
        self.close(streams)

    def test_pause(self, supervisor: Supervisor, bundle: Bundles) -> None:
        """A paused task says so, and goes on when it is resumed; each only from the right state."""
        if not self.pause:
            pytest.skip("its runtime can't pause")
        streams = self.begin(supervisor, bundle, "read a; echo got $a; read b", stdin=True)
        with pytest.raises(Conflict):
            supervisor.resume("a")
        supervisor.pause("a")
        assert supervisor.state("a").status is TaskStatus.PAUSED
        with pytest.raises(Conflict):
            supervisor.pause("a")
        os.write(streams.stdin, b"this\n")
        assert not readable(streams.stdout, 0.1)
        supervisor.resume("a")
        assert supervisor.state("a").status is TaskStatus.RUNNING
        os.close(streams.stdin)
        assert read_all(streams.stdout) == b"got this\n"
        self.close(Streams(-1, streams.stdout, streams.stderr))

    # Exec

    def process(self, script: str) -> Mapping[str, Any]:
        """Return the `process` of a shell script."""
        user = {"uid": 0, "gid": 0}
        return {"args": ["sh", "-c", script], "env": [f"PATH={os.defpath}"], "cwd": "/", "user": user}

    def test_exec(self, supervisor: Supervisor, bundle: Bundles) -> None:
        """Another program with streams, an exit and a life of its own."""
        streams = self.begin(supervisor, bundle, "read line", stdin=True)
        script = "read a; echo got $a; exit 8"
        state = supervisor.exec("a", "b", self.process(script), TaskConfig("b", Path(), stdin=True))
        assert (state.id, state.status) == ("b", TaskStatus.RUNNING)
        assert [each.id for each in supervisor.list()] == ["a", "b"]
        inner = supervisor.attach("b")
        os.write(inner.stdin, b"this\n")
        assert read_all(inner.stdout) == b"got this\n"
        assert self.end(supervisor, "b").code == 8
        ended = supervisor.delete("b")
        assert ended is not None
        assert ended.code == 8
        assert supervisor.state("a").status is TaskStatus.RUNNING
        self.close(inner)
        self.close(streams)

    def test_exec_is_killed_alone(self, supervisor: Supervisor, bundle: Bundles) -> None:
        """A signal to an exec is not its container's."""
        streams = self.begin(supervisor, bundle, "read line", stdin=True)
        supervisor.exec("a", "b", self.process("read line"), TaskConfig("b", Path(), stdin=True))
        supervisor.kill("b", signal.SIGKILL)
        assert self.end(supervisor, "b").code == 128 + signal.SIGKILL
        container = supervisor.exit_fd("a")
        assert not readable(container, 0.1)
        os.close(container)
        self.close(streams)

    def test_exec_needs_a_running_container(self, supervisor: Supervisor, bundle: Bundles) -> None:
        """Conflict otherwise."""
        self.make(supervisor, bundle, "read line", stdin=True)
        with pytest.raises(Conflict):
            supervisor.exec("a", "b", self.process(":"), TaskConfig("b", Path()))
        assert [each.id for each in supervisor.list()] == ["a"]

    def test_exec_of_a_taken_id(self, supervisor: Supervisor, bundle: Bundles) -> None:
        """An exec's id is a task's id."""
        streams = self.begin(supervisor, bundle, "read line", stdin=True)
        with pytest.raises(Conflict):
            supervisor.exec("a", "a", self.process(":"), TaskConfig("a", Path()))
        self.close(streams)

    # Deleting

    def test_delete_of_a_running_task(self, supervisor: Supervisor, bundle: Bundles) -> None:
        """Conflict, unless by force, which kills it."""
        streams = self.begin(supervisor, bundle, "read line", stdin=True)
        with pytest.raises(Conflict):
            supervisor.delete("a")
        assert supervisor.state("a").status is TaskStatus.RUNNING
        ended = supervisor.delete("a", force=True)
        assert ended is not None
        assert ended.code == 128 + signal.SIGKILL
        assert read_all(streams.stdout) == b""
        self.close(streams)

    def test_deleted_task_is_forgotten(self, supervisor: Supervisor, bundle: Bundles) -> None:
        """NotFound from then on, also by force; and its id is free."""
        streams = self.begin(supervisor, bundle, ":")
        self.end(supervisor)
        supervisor.delete("a")
        for force in (False, True):
            with pytest.raises(NotFound):
                supervisor.delete("a", force=force)
        self.make(supervisor, bundle, ":")
        self.close(streams)

    def test_no_descriptor_stays_open(self, supervisor: Supervisor, bundle: Bundles) -> None:
        """What was opened for a task is closed with it, but for what the first of all may begin."""
        self.make(supervisor, bundle, ":")
        supervisor.delete("a", force=True)
        before = open_descriptors()
        for terminal in (False, True):
            streams = self.begin(supervisor, bundle, ":", stdin=True, terminal=terminal)
            self.end(supervisor)
            supervisor.delete("a")
            self.close(streams)
            self.make(supervisor, bundle, ":", stdin=True, terminal=terminal)
            supervisor.delete("a", force=True)
        assert open_descriptors() == before
