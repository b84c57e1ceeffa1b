"""The conformance suite of the kind `supervisor`: its promises about streams that several are attached to."""

import os
from contextlib import suppress

import pytest

from moby.contracts.supervisor import Supervisor, SupervisorFeature
from moby.testing import supervisor_world as basic
from moby.testing.supervisor import Bundles, SupervisorSuite, read_all, read_until, readable
from moby.testing.supervisor_world import quiet

__all__ = ["SupervisorStreamsSuite"]

MUCH = 2**20
WRITES_MUCH = "x=0123456789abcdef; while [ ${#x} -lt 1048576 ]; do x=$x$x; done; printf %s $x; echo done >&2"
"""More than any pipe holds."""


class SupervisorStreamsSuite(SupervisorSuite):
    """`SupervisorSuite`, and what is promised of attaching; see there."""

    @pytest.fixture
    def many(self) -> None:
        """Skip what wants `attach-many` where that isn't offered; SupervisorSuite sees that it is refused then."""
        if SupervisorFeature.ATTACH_MANY not in self.offers:
            pytest.skip("doesn't offer attach-many")

    def test_unread_output_holds_it_up(self, supervisor: Supervisor, bundle: Bundles) -> None:
        """Where there is no log, a task waits for the first to attach, who gets all."""
        self.make(supervisor, bundle, WRITES_MUCH)
        supervisor.start("a")
        ended = supervisor.exit_fd("a")
        assert quiet(ended)
        streams = supervisor.attach("a")
        assert len(read_all(streams.stdout)) == MUCH
        assert read_all(streams.stderr) == b"done\n"
        assert readable(ended)
        os.close(ended)
        self.close(streams)

    def test_discarded_output_holds_up_nobody(self, supervisor: Supervisor, bundle: Bundles, many: None) -> None:
        """With `discard` what nobody is attached to is thrown away."""
        self.make(supervisor, bundle, WRITES_MUCH, discard=True)
        supervisor.start("a")
        assert self.end(supervisor).code == 0
        streams = supervisor.attach("a")
        assert read_all(streams.stderr) == b""
        self.close(streams)

    @pytest.mark.parametrize("terminal", [False, True])
    def test_all_who_are_attached_get_all(
        self, supervisor: Supervisor, bundle: Bundles, many: None, terminal: bool
    ) -> None:
        """Each has descriptors of his own, and from his coming on all that is written."""
        script = "while read x; do echo got $x; done"
        first = self.begin(supervisor, bundle, script, stdin=True, terminal=terminal)
        os.write(first.stdin, b"one\n")
        read_until(first.stdout, b"got one")
        second = supervisor.attach("a")
        os.write(second.stdin, b"two\n")
        assert read_until(first.stdout, b"got two")
        assert b"one" not in read_until(second.stdout, b"got two")
        self.close(first)
        third = supervisor.attach("a")
        if not terminal:
            assert self.end(supervisor).code == 0
            assert read_all(third.stdout) == b""
        else:
            os.write(third.stdin, b"three\n\x04")
            assert read_until(third.stdout, b"got three")
            assert read_until(second.stdout, b"got three")
            assert self.end(supervisor).code == 0
        self.close(second)
        self.close(third)

    def test_only_the_first_ends_standard_input(self, supervisor: Supervisor, bundle: Bundles, many: None) -> None:
        """With `stdin_once` it ends with the first who was attached, and with nobody else."""
        first = self.begin(supervisor, bundle, "while read x; do echo got $x; done; echo end", stdin=True)
        second = supervisor.attach("a")
        os.close(second.stdin)
        os.write(first.stdin, b"one\n")
        assert read_until(first.stdout, b"\n") == b"got one\n"
        os.close(first.stdin)
        assert read_all(first.stdout) == b"end\n"
        assert read_all(second.stdout) == b"got one\nend\n"
        for each in (first.stdout, first.stderr, second.stdout, second.stderr):
            os.close(each)

    def test_standard_input_that_stays(self, supervisor: Supervisor, bundle: Bundles, many: None) -> None:
        """Without `stdin_once` it stays open whoever ends his own."""
        script = "while read x; do echo got $x; done"
        self.make(supervisor, bundle, script, stdin=True, stdin_once=False)
        supervisor.start("a")
        for word in (b"one", b"two"):
            streams = supervisor.attach("a")
            os.write(streams.stdin, word + b"\n")
            assert read_until(streams.stdout, b"\n") == b"got " + word + b"\n"
            self.close(streams)
        ended = supervisor.exit_fd("a")
        assert quiet(ended)
        os.close(ended)

    def test_who_does_not_read_holds_it_up(self, supervisor: Supervisor, bundle: Bundles, many: None) -> None:
        """The task and the others wait for him, until he reads or leaves; nothing is lost."""
        first = self.begin(supervisor, bundle, WRITES_MUCH)
        second = supervisor.attach("a")
        waiting = supervisor.exit_fd("a")
        found = os.read(first.stdout, 65536)
        while not quiet(first.stdout) and (chunk := os.read(first.stdout, 65536)):
            found += chunk
        assert 0 < len(found) < MUCH
        assert not readable(waiting, 0)
        self.close(second)
        found += read_all(first.stdout)
        assert len(found) == MUCH
        assert readable(waiting, basic.PATIENCE_S)
        os.close(waiting)
        self.close(first)

    def test_who_leaves_harms_nobody(self, supervisor: Supervisor, bundle: Bundles, many: None) -> None:
        """A task whose output nobody wants any more goes on."""
        first = self.begin(supervisor, bundle, "read x; " + WRITES_MUCH, stdin=True)
        for each in (first.stdout, first.stderr):
            os.close(each)
        os.write(first.stdin, b"go\n")
        assert self.end(supervisor).code == 0
        os.close(first.stdin)

    def test_much_goes_in_and_out(self, supervisor: Supervisor, bundle: Bundles) -> None:
        """What is written comes back whole, while neither side waits for the other to be done."""
        streams = self.begin(supervisor, bundle, "while read x; do echo $x; done", stdin=True)
        os.set_blocking(streams.stdin, False)
        sent, got, line = 0, 0, b"x" * 99 + b"\n"
        while got < 2000 * len(line):
            if sent < 2000 * len(line):
                with suppress(BlockingIOError):
                    sent += os.write(streams.stdin, (line * 2000)[sent : sent + 65536])
            if readable(streams.stdout, 0.01):
                found = os.read(streams.stdout, 65536)
                assert found == (line * 2000)[got : got + len(found)]
                got += len(found)
        os.close(streams.stdin)
        assert read_all(streams.stdout) == b""
        os.close(streams.stdout)
        os.close(streams.stderr)
