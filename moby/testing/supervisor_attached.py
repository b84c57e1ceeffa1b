"""What every supervisor has of streams, and of further programs."""

import os
import signal
from pathlib import Path

import pytest

from moby.contracts.supervisor import Streams, Supervisor, SupervisorFeature, TaskConfig
from moby.contracts.types import TaskStatus, Window
from moby.errors import Conflict
from moby.testing.supervisor_world import Bundles, SupervisorFixtures, quiet, read_all, read_until, window_of

__all__ = ["StreamsAndExecs"]


class StreamsAndExecs(SupervisorFixtures):
    """Streams of tasks, and execs."""

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
        assert quiet(container)
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
