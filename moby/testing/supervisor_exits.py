"""How tasks end with every supervisor."""

import os
import signal
import threading

import pytest

from moby.contracts.supervisor import Streams, Supervisor
from moby.contracts.types import TaskStatus
from moby.errors import Conflict
from moby.testing import supervisor_world as basic
from moby.testing.supervisor_world import Bundles, SupervisorFixtures, quiet, read_all, read_until, readable

__all__ = ["Exits"]


class Exits(SupervisorFixtures):
    """Exits, and signals that lead to them."""

    def test_exit_descriptor_waits(self, supervisor: Supervisor, bundle: Bundles) -> None:
        """Not readable before the end, then readable for everybody, and with that the state has the exit."""
        streams = self.begin(supervisor, bundle, "read line", stdin=True)
        first, second = supervisor.exit_fd("a"), supervisor.exit_fd("a")
        assert first != second
        assert quiet(first)
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
            each.join(basic.PATIENCE_S)
        assert found == [6] * len(threads)
        self.close(Streams(-1, streams.stdout, streams.stderr))

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
        assert quiet(streams.stdout)
        supervisor.resume("a")
        assert supervisor.state("a").status is TaskStatus.RUNNING
        os.close(streams.stdin)
        assert read_all(streams.stdout) == b"got this\n"
        self.close(Streams(-1, streams.stdout, streams.stderr))
