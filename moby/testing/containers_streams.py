"""The conformance suite of the kind `containers`: streams and execs."""

import os
from threading import Thread

import pytest

from moby.contracts.containers import ExecConfig
from moby.contracts.log_driver import LogQuery
from moby.contracts.supervisor import Streams
from moby.contracts.types import Window
from moby.errors import Conflict, Invalid, NotFound, Unavailable
from moby.testing.boxes import read_all, read_until, readable
from moby.testing.containers_world import ContainersFixtures, World, close, eventually

__all__ = ["StreamsAndExecs"]


class StreamsAndExecs(ContainersFixtures):
    """Streams, logs and execs."""

    # Streams

    def test_stdin(self, world: World) -> None:
        """What is written arrives, and closing is the end."""
        made = self.make(world, "cat", open_stdin=True, stdin_once=True)
        streams = world.containers.attach(made)
        world.containers.start(made)
        os.write(streams.stdin, b"this\n")
        assert read_until(streams.stdout, "this\n") == "this\n"
        os.close(streams.stdin)
        assert read_all(streams.stdout) == ""
        close(Streams(-1, streams.stdout, streams.stderr))
        assert self.wait(world, made).exit_code == 0

    def test_start_while_it_is_attached_to(self, world: World) -> None:
        """A start that is asked for once it is certain loses nothing of the output."""
        made = self.make(world, "echo first")
        starts = Thread(target=lambda: world.containers.start(made))
        streams = world.containers.attach(made, starts.start)
        assert starts.ident is not None, "nobody was told that it is certain"
        assert read_all(streams.stdout) == "first\n"
        starts.join()
        close(streams)
        assert self.actions(world, made)[:3] == ["create", "attach", "start"]

    def test_attaching_is_given_up(self, world: World) -> None:
        """Whoever can't go on once it is certain has attached to nothing."""
        made = self.make(world, "true")

        def leave() -> None:
            raise Unavailable("the client has gone")

        with pytest.raises(Unavailable, match="the client has gone"):
            world.containers.attach(made, leave)
        assert self.finish(world, made) == (0, "")

    def test_terminal(self, world: World) -> None:
        """It has the size that it is told."""
        made = self.make(world, "read a; stty size", terminal=True, open_stdin=True)
        streams = world.containers.attach(made)
        world.containers.start(made)
        world.containers.resize(made, Window(33, 99))
        os.write(streams.stdin, b"\n")
        assert "33 99" in read_all(streams.stdout)
        close(streams)
        self.wait(world, made)
        with pytest.raises(Conflict):
            world.containers.resize(made, Window(1, 1))

    def test_logs(self, world: World) -> None:
        """All that it wrote, framed by stream."""
        made = self.make(world, "echo out; echo err >&2")
        self.finish(world, made)
        eventually(lambda: self.log(world, made).count(b"\n") == 2, "both lines are in the log")
        descriptor = world.containers.logs(made, LogQuery(stderr=False))
        assert read_all(descriptor) == "\x01\0\0\0\0\0\0\x04out\n"
        os.close(descriptor)

    def test_logs_are_followed(self, world: World) -> None:
        """As they come, to its end."""
        made = self.begin(world, "echo one; read a; echo two", open_stdin=True)
        descriptor = world.containers.logs(made, LogQuery(follow=True, framed=False))
        assert read_until(descriptor, "one\n") == "one\n"
        streams = world.containers.attach(made)
        os.write(streams.stdin, b"\n")
        assert read_all(descriptor) == "two\n"
        os.close(descriptor)
        close(streams)

    # Execs

    def test_exec(self, world: World) -> None:
        """It runs inside, and its exit code is known."""
        made = self.begin(world, "cat", open_stdin=True, environment=("A=b",))
        script = "echo $A $C; pwd; exit 7"
        assert self.exec(
            world, made, "sh", "-c", script, environment=("C=d",), working_directory="/tmp"
        ) == (7, "b d\n/tmp\n")  # fmt: skip
        assert [each.partition(":")[0] for each in self.actions(world, made)][-3:] == [
            "exec_create", "exec_start", "exec_die",
        ]  # fmt: skip
        assert self.told(world, made)[-1].attributes["exitCode"] == "7"

    def test_exec_detached(self, world: World) -> None:
        """Nobody waits for it."""
        made = self.begin(world, "cat", open_stdin=True)
        exec_id = world.containers.exec_create(made, ExecConfig(("sh", "-c", "echo a > /a")))
        assert world.containers.exec_start(exec_id, detach=True) is None
        eventually(lambda: world.containers.exec_get(exec_id).exit_code == 0, "the exec ends")
        assert self.exec(world, made, "cat", "/a") == (0, "a\n")
        with pytest.raises(Conflict, match="already running"):
            world.containers.exec_start(exec_id)

    def test_exec_stdin(self, world: World) -> None:
        """What is written arrives."""
        made = self.begin(world, "cat", open_stdin=True)
        exec_id = world.containers.exec_create(made, ExecConfig(("cat",), attach_stdin=True, attach_stdout=True))
        streams = world.containers.exec_start(exec_id)
        assert streams is not None
        os.write(streams.stdin, b"through\n")
        os.close(streams.stdin)
        assert read_all(streams.stdout) == "through\n"
        close(Streams(-1, streams.stdout, streams.stderr))

    def test_exec_of_nothing(self, world: World) -> None:
        """Invalid, and the exit code is docker's for all that can't be run."""
        made = self.begin(world, "cat", open_stdin=True)
        for program, words in (
            ("nothing", "executable file not found"),
            ("/etc", "permission denied|is a directory"),
        ):
            exec_id = world.containers.exec_create(made, ExecConfig((program,), attach_stdout=True))
            with pytest.raises(Invalid, match=words):
                world.containers.exec_start(exec_id)
            assert world.containers.exec_get(exec_id).exit_code == 126

    def test_exec_wants_a_running_container(self, world: World) -> None:
        """Conflict, where it is paused too; NotFound for no exec."""
        made = self.begin(world, "cat", open_stdin=True)
        early = world.containers.exec_create(made, ExecConfig(("sh",)))
        world.containers.pause(made)
        with pytest.raises(Conflict, match="is paused"):
            world.containers.exec_create(made, ExecConfig(("sh",)))
        with pytest.raises(Conflict, match="is paused"):
            world.containers.exec_start(early)
        world.containers.stop(made, timeout_s=0)
        with pytest.raises(Conflict, match="is not running"):
            world.containers.exec_create(made, ExecConfig(("sh",)))
        with pytest.raises(NotFound, match="No such exec instance: none"):
            world.containers.exec_get("none")

    def test_attaching_again(self, world: World) -> None:
        """Who carries streams stays the same while nobody is killed; they are had again, and no event tells of it."""
        carrier = world.containers.carrier()
        made = self.make(world, "cat; echo end >&2; sleep 1000", open_stdin=True)
        assert world.containers.attach_again(made) is None
        world.containers.start(made)
        config = ExecConfig(("sh", "-c", "cat; echo end >&2"), attach_stdin=True, attach_stdout=True)
        exec_id = world.containers.exec_create(made, config)
        first = world.containers.exec_start(exec_id)
        assert first is not None
        before = self.actions(world, made)
        for each in (made, exec_id):
            streams = world.containers.attach_again(each)
            assert streams is not None
            os.write(streams.stdin, b"again\n")
            assert read_until(streams.stdout, "again\n") == "again\n"
            assert (streams.stderr >= 0) is (each == made)
            close(streams)
        assert (self.actions(world, made), world.containers.carrier()) == (before, carrier)
        world.containers.stop(made, timeout_s=0)
        close(first)
        assert [world.containers.attach_again(each) for each in (made, "nobody")] == [None, None]

    def test_exec_ends_with_its_container(self, world: World) -> None:
        """And says so."""
        made = self.begin(world, "cat", open_stdin=True)
        exec_id = world.containers.exec_create(made, ExecConfig(("sleep", "1000")))
        world.containers.exec_start(exec_id, detach=True)
        assert exec_id in world.containers.get(made).exec_ids
        descriptor = world.containers.exec_exit_fd(exec_id)
        world.containers.kill(made)
        assert readable(descriptor)
        os.close(descriptor)
