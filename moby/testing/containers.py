"""What every part of the kind `containers` must do; scripts in it use nothing but a shell's builtins, cat and sleep."""

import io
import os
import tarfile
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from attrs import frozen

from moby.contracts.containers import (
    Condition,
    ContainerConfig,
    Containers,
    ContainerUpdate,
    Ended,
    ExecConfig,
    MountRequest,
    Resources,
    RestartPolicy,
    Status,
)
from moby.contracts.events import Event, Events
from moby.contracts.log_driver import LogQuery
from moby.contracts.networks import EndpointConfig
from moby.contracts.supervisor import HealthCheck, HealthStatus, Streams
from moby.contracts.types import Window
from moby.errors import Conflict, Denied, Invalid, NotFound, Unsupported
from moby.testing.boxes import PATIENCE_S, read_all, read_until, readable

__all__ = ["ContainersSuite", "World", "close", "eventually"]

_ENDED = 2**62


@frozen
class World:
    """What a subclass brings: the part under test, entered, what it publishes to, and the name of an image.

    The image has a shell, cat, sleep, /etc/passwd with `ann` (1000) and /etc/group with `extra` (200).
    """

    containers: Containers
    events: Events
    image: str = "box"


def close(streams: Streams | None) -> None:
    """Close a client's descriptors."""
    if streams is not None:
        for each in {streams.stdin, streams.stdout, streams.stderr} - {-1}:
            os.close(each)


def eventually(check: Callable[[], Any], what: str) -> Any:
    """Wait until something is so, and return what `check` returned; fail the test where it never is."""
    waited = threading.Event()
    for _ in range(int(PATIENCE_S * 50)):
        if found := check():
            return found
        waited.wait(0.02)
    return pytest.fail(f"it never is so: {what}")


def _archive(*files: tuple[str, bytes], **meta: Any) -> io.BytesIO:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in files:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            for key, value in meta.items():
                setattr(info, key, value)
            tar.addfile(info, io.BytesIO(data))
    out.seek(0)
    return out


class ContainersSuite:
    """What every part of the kind must do."""

    @pytest.fixture
    def world(self) -> Iterator[World]:
        """Return what is tested."""
        raise NotImplementedError

    @pytest.fixture(autouse=True)
    def nothing_left(self, world: World) -> Iterator[None]:
        """Remove what a test left."""
        yield
        for each in world.containers.list():
            with suppress(NotFound, Conflict):
                world.containers.remove(each.id, force=True, volumes=True)

    def make(self, world: World, script: str, name: str = "", **config: Any) -> str:
        """Create a container of a script, and return its id."""
        asked = ContainerConfig(world.image, command=("sh", "-c", script), **config)
        return world.containers.create(asked, name).id

    def begin(self, world: World, script: str, name: str = "", **config: Any) -> str:
        """Create and start one."""
        made = self.make(world, script, name, **config)
        assert world.containers.start(made)
        return made

    def run(self, world: World, script: str, **config: Any) -> tuple[int | None, str]:
        """Run one to its end; return its exit code, and what it wrote."""
        return self.finish(world, self.make(world, script, **config))

    def finish(self, world: World, made: str) -> tuple[int | None, str]:
        """Run a created one to its end."""
        streams = world.containers.attach(made)
        waiter = world.containers.wait(made, Condition.NEXT_EXIT)
        try:
            world.containers.start(made)
            text = read_all(streams.stdout) + (read_all(streams.stderr) if streams.stderr >= 0 else "")
            assert readable(waiter.fileno()), "it doesn't end"
            return waiter.result().exit_code, text
        finally:
            waiter.close()
            close(streams)

    def wait(self, world: World, made: str, condition: Condition = Condition.NOT_RUNNING) -> Ended:
        """Wait for one."""
        waiter = world.containers.wait(made, condition)
        try:
            assert readable(waiter.fileno()), f"{condition} doesn't come"
            return waiter.result()
        finally:
            waiter.close()

    def told(self, world: World, made: str) -> list[Event]:
        """Return what was published of a container."""
        return [each for each in world.events.past(0, _ENDED) if each.id == made]

    def actions(self, world: World, made: str) -> list[str]:
        """Return the actions of that."""
        return [each.action for each in self.told(world, made)]

    # Life

    def test_run(self, world: World) -> None:
        """What it writes arrives on its own streams, and its exit code is known."""
        assert self.run(world, "echo out; echo err >&2; exit 3") == (3, "out\nerr\n")

    def test_created(self, world: World) -> None:
        """A new one is shown as it was asked for, and hasn't run."""
        made = self.make(world, "echo hi", "one", labels={"a": "b"})
        found = world.containers.get("one")
        assert (found.id, found.name, found.state.status) == (made, "one", Status.CREATED)
        assert (found.path, found.arguments) == ("sh", ("-c", "echo hi"))
        assert found.config.labels["a"] == "b"
        assert found.state.started == ""

    def test_states(self, world: World) -> None:
        """Created, running, exited; with pid, times and exit code."""
        made = self.begin(world, "cat", open_stdin=True)
        state = world.containers.get(made).state
        assert (state.status, state.pid > 0, bool(state.started)) == (Status.RUNNING, True, True)
        assert not world.containers.start(made)
        world.containers.kill(made)
        assert self.wait(world, made).exit_code == 137
        state = world.containers.get(made).state
        assert (state.status, state.pid, state.exit_code) == (Status.EXITED, 0, 137)
        assert state.finished >= state.started

    def test_runs_again(self, world: World) -> None:
        """What it wrote to its root is still there."""
        made = self.make(world, "cat /seen; echo ran > /seen")
        self.finish(world, made)
        assert self.finish(world, made) == (0, "ran\n")

    def test_names(self, world: World) -> None:
        """By name, with a slash too, by id, and by the beginning of an id."""
        made = self.make(world, ":", "box-1")
        for name in ("box-1", "/box-1", made, made[:12], made[:4]):
            assert world.containers.get(name).id == made

    def test_unknown_name(self, world: World) -> None:
        """NotFound, in docker's words."""
        with pytest.raises(NotFound, match="No such container: nobody"):
            world.containers.get("nobody")

    def test_a_name_of_its_own(self, world: World) -> None:
        """Without one it gets an adjective and a surname."""
        names = {world.containers.get(self.make(world, ":")).name for _ in range(3)}
        assert len(names) == 3
        assert all(name.partition("_")[2] for name in names)

    def test_taken_name(self, world: World) -> None:
        """Conflict, which names the holder."""
        made = self.make(world, ":", "taken")
        with pytest.raises(Conflict, match=f'"/taken" is already in use by container "{made}"'):
            self.make(world, ":", "taken")

    @pytest.mark.parametrize("name", ["-a", "a", "a b", "ä1"])
    def test_no_name(self, world: World, name: str) -> None:
        """Invalid."""
        with pytest.raises(Invalid, match="Invalid container name"):
            self.make(world, ":", name)

    def test_rename(self, world: World) -> None:
        """The new name finds it, the old one is free."""
        made = self.make(world, ":", "old")
        other = self.make(world, ":", "other")
        world.containers.rename("old", "new")
        assert world.containers.get("new").id == made
        with pytest.raises(NotFound):
            world.containers.get("old")
        with pytest.raises(Conflict):
            world.containers.rename(other, "new")
        assert self.told(world, made)[-1].attributes["oldName"] == "/old"

    def test_its_networks(self, world: World) -> None:
        """Are shown from its creation on; it has an endpoint there while it runs alone."""
        made = self.make(world, "read x", open_stdin=True, network="none")
        [created] = world.containers.get(made).endpoints
        world.containers.start(made)
        shown = world.containers.get(made)
        [running] = shown.endpoints
        assert (created.network, running.network, bool(running.endpoint_id)) == ("none", "none", True)
        assert shown.sandbox
        world.containers.stop(made, timeout_s=0)
        ended = world.containers.get(made)
        assert (ended.endpoints[0].endpoint_id, ended.sandbox, ended.ports) == ("", "", ())

    def test_connect_and_disconnect(self, world: World) -> None:
        """Change where it is from its next start on; networks that aren't there, or take nobody later, are refused."""
        made = self.make(world, "read x", open_stdin=True, network="none")
        with pytest.raises(NotFound, match="nonesuch"):
            world.containers.connect(made, "nonesuch", EndpointConfig())
        with pytest.raises(Unsupported, match="cannot be connected"):
            world.containers.connect(made, "none", EndpointConfig())
        world.containers.disconnect(made, "none")
        assert world.containers.get(made).endpoints == ()
        with pytest.raises(NotFound, match="is not connected to the network none"):
            world.containers.disconnect(made, "none")
        world.containers.start(made)
        assert world.containers.get(made).endpoints == ()
        other = self.begin(world, "read x", open_stdin=True, network="none")
        world.containers.disconnect(other, "none")
        assert world.containers.get(other).endpoints == ()
        with pytest.raises(NotFound, match="is not connected to network none"):
            world.containers.disconnect(other, "none", force=True)

    def test_list(self, world: World) -> None:
        """All of them, the newest first."""
        made = [self.make(world, ":") for _ in range(3)]
        assert [each.id for each in world.containers.list()] == made[::-1]

    def test_unknown_image(self, world: World) -> None:
        """NotFound, in docker's words, and the name stays free."""
        with pytest.raises(NotFound, match="No such image"):
            world.containers.create(ContainerConfig("absent:1"), "free")
        self.make(world, ":", "free")

    @pytest.mark.parametrize(
        ("program", "words", "code"),
        [
            ("nothing", "executable file not found", 127),
            ("/no/such", "no such file or directory", 127),
            ("/etc/passwd", "permission denied", 126),
        ],
    )
    def test_no_program(self, world: World, program: str, words: str, code: int) -> None:
        """Invalid with docker's words, the exit code is a shell's, and it can be tried again."""
        made = world.containers.create(ContainerConfig(world.image, command=(program,))).id
        with pytest.raises(Invalid, match=words) as caught:
            world.containers.start(made)
        assert isinstance(caught.value.__cause__, OSError)
        state = world.containers.get(made).state
        assert (state.status, state.exit_code, words in state.error) == (Status.CREATED, code, True)
        with pytest.raises(Invalid, match=words):
            world.containers.start(made)

    def test_attached_before_a_start_that_fails(self, world: World) -> None:
        """The streams end with the start."""
        made = world.containers.create(ContainerConfig(world.image, command=("nothing",))).id
        streams = world.containers.attach(made)
        with pytest.raises(Invalid):
            world.containers.start(made)
        assert read_all(streams.stdout) == ""
        close(streams)

    # Ending

    def test_stop(self, world: World) -> None:
        """The stop signal ends it; a second stop says that it isn't running."""
        made = self.begin(world, "trap 'exit 5' TERM; echo up; while :; do sleep 0.05; done")
        eventually(lambda: b"up" in self.log(world, made), "it is up")
        assert world.containers.stop(made)
        assert world.containers.get(made).state.exit_code == 5
        assert not world.containers.stop(made)
        assert self.actions(world, made)[-3:] == ["kill", "die", "stop"]

    def test_stop_by_force(self, world: World) -> None:
        """One that doesn't listen is killed after the timeout."""
        made = self.begin(world, "cat", open_stdin=True)
        assert world.containers.stop(made, timeout_s=0)
        assert world.containers.get(made).state.exit_code == 137

    def test_stop_signal(self, world: World) -> None:
        """Its own, or the caller's."""
        script = "trap 'exit 6' USR1; trap 'exit 7' USR2; echo up; while :; do sleep 0.05; done"
        for asked, code in (("", 6), ("USR2", 7)):
            made = self.begin(world, script, stop_signal="SIGUSR1")
            eventually(lambda made=made: b"up" in self.log(world, made), "it is up")  # type: ignore[misc]
            world.containers.stop(made, signal=asked)
            assert world.containers.get(made).state.exit_code == code

    def test_kill(self, world: World) -> None:
        """Any signal by name or number; Conflict where it isn't running, Invalid for none."""
        made = self.begin(world, "trap 'echo got' HUP; echo up; while :; do sleep 0.05; done")
        eventually(lambda: b"up" in self.log(world, made), "it is up")
        world.containers.kill(made, "HUP")
        eventually(lambda: b"got" in self.log(world, made), "it got the signal")
        with pytest.raises(Invalid, match="invalid signal"):
            world.containers.kill(made, "NONSENSE")
        world.containers.kill(made, "9")
        self.wait(world, made)
        with pytest.raises(Conflict, match="is not running"):
            world.containers.kill(made)

    def test_restart(self, world: World) -> None:
        """It runs anew, stopped or not."""
        made = self.begin(world, "cat", open_stdin=True)
        first = world.containers.get(made).state
        world.containers.restart(made, timeout_s=0)
        second = world.containers.get(made).state
        assert second.status is Status.RUNNING
        assert second.started > first.started
        world.containers.kill(made)
        self.wait(world, made)
        world.containers.restart(made)
        assert world.containers.get(made).state.status is Status.RUNNING

    def test_pause(self, world: World) -> None:
        """It is frozen until it is thawed; a stop thaws it."""
        made = self.begin(world, "cat", open_stdin=True)
        world.containers.pause(made)
        assert world.containers.get(made).state.status is Status.PAUSED
        with pytest.raises(Conflict, match="already paused"):
            world.containers.pause(made)
        with pytest.raises(Conflict, match="paused"):
            world.containers.start(made)
        with pytest.raises(Conflict, match="paused"):
            world.containers.attach(made)
        world.containers.unpause(made)
        with pytest.raises(Conflict, match="is not paused"):
            world.containers.unpause(made)
        world.containers.pause(made)
        world.containers.stop(made, timeout_s=0)
        assert world.containers.get(made).state.status is Status.EXITED

    # Waiting

    def test_wait_for_one_that_has_ended(self, world: World) -> None:
        """At once, with its exit code."""
        made = self.make(world, "exit 4")
        assert self.wait(world, made).exit_code == 0
        self.finish(world, made)
        assert self.wait(world, made).exit_code == 4

    def test_wait_for_the_next_end(self, world: World) -> None:
        """Not for one that was."""
        made = self.make(world, "exit 4")
        self.finish(world, made)
        waiter = world.containers.wait(made, Condition.NEXT_EXIT)
        assert not readable(waiter.fileno(), 0.1)
        self.finish(world, made)
        assert readable(waiter.fileno())
        assert waiter.result().exit_code == 4
        waiter.close()
        waiter.close()

    def test_wait_for_removal(self, world: World) -> None:
        """With the exit code that it had."""
        made = self.make(world, "exit 4")
        waiter = world.containers.wait(made, Condition.REMOVED)
        self.finish(world, made)
        assert not readable(waiter.fileno(), 0.1)
        world.containers.remove(made)
        assert waiter.result().exit_code == 4
        waiter.close()

    def test_many_wait(self, world: World) -> None:
        """All get the one answer."""
        made = self.make(world, "exit 9")
        waiters = [world.containers.wait(made, Condition.NEXT_EXIT) for _ in range(8)]
        found: list[int | None] = []
        threads = [threading.Thread(target=lambda w=each: found.append(w.result().exit_code)) for each in waiters]
        for thread in threads:
            thread.start()
        world.containers.start(made)
        for thread in threads:
            thread.join(PATIENCE_S)
        assert found == [9] * 8
        for each in waiters:
            each.close()

    # Removing

    def test_remove(self, world: World) -> None:
        """It is gone, and its name is free."""
        made = self.make(world, ":", "gone")
        self.finish(world, made)
        world.containers.remove(made)
        with pytest.raises(NotFound):
            world.containers.get(made)
        self.make(world, ":", "gone")
        assert self.actions(world, made)[-1] == "destroy"

    def test_remove_of_a_running_one(self, world: World) -> None:
        """Conflict, unless by force."""
        made = self.begin(world, "cat", open_stdin=True)
        with pytest.raises(Conflict, match="container is running: stop the container before removing or force remove"):
            world.containers.remove(made)
        world.containers.remove(made, force=True)
        assert world.containers.list() == ()

    def test_auto_remove(self, world: World) -> None:
        """It goes by itself, with its anonymous volumes."""
        made = self.make(world, "exit 3", auto_remove=True, volumes=("/data",))
        waiter = world.containers.wait(made, Condition.REMOVED)
        world.containers.start(made)
        assert readable(waiter.fileno())
        assert waiter.result().exit_code == 3
        waiter.close()
        assert world.containers.list() == ()
        assert self.actions(world, made) == ["create", "start", "die", "destroy"]

    def test_prune(self, world: World) -> None:
        """Those that don't run and are wanted go."""
        kept = self.make(world, ":", "kept")
        gone = self.make(world, ":", "gone")
        running = self.begin(world, "cat", open_stdin=True)
        ids, freed = world.containers.prune(lambda each: each.name != "kept")
        assert ids == (gone,)
        assert freed >= 0
        assert {each.id for each in world.containers.list()} == {kept, running}

    # Restart policies

    def test_always(self, world: World) -> None:
        """It is started again and again, until it is stopped."""
        made = self.begin(world, "exit 1", restart=RestartPolicy("always"))
        eventually(lambda: world.containers.get(made).restart_count >= 2, "it restarts")
        world.containers.stop(made)
        assert world.containers.get(made).state.status is Status.EXITED
        count = world.containers.get(made).restart_count
        threading.Event().wait(0.5)
        assert world.containers.get(made).restart_count == count

    def test_on_failure(self, world: World) -> None:
        """As often as was said, and not after a success."""
        made = self.begin(world, "exit 1", restart=RestartPolicy("on-failure", 2))
        assert self.wait(world, made).exit_code == 1
        assert world.containers.get(made).restart_count == 2
        made = self.begin(world, "exit 0", restart=RestartPolicy("on-failure", 2))
        self.wait(world, made)
        assert world.containers.get(made).restart_count == 0

    def test_no_removal_with_a_policy(self, world: World) -> None:
        """Invalid."""
        with pytest.raises(Invalid, match="AutoRemove"):
            self.make(world, ":", auto_remove=True, restart=RestartPolicy("always"))

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

    def log(self, world: World, made: str, **query: Any) -> bytes:
        """Return what is in a log now."""
        descriptor = world.containers.logs(made, LogQuery(framed=False, **query))
        try:
            return read_all(descriptor).encode()
        finally:
            os.close(descriptor)

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

    def exec(self, world: World, made: str, *command: str, **config: Any) -> tuple[int | None, str]:
        """Run a further program to its end."""
        asked = ExecConfig(command, attach_stdout=True, attach_stderr=True, **config)
        exec_id = world.containers.exec_create(made, asked)
        streams = world.containers.exec_start(exec_id)
        assert streams is not None
        text = read_all(streams.stdout) + (read_all(streams.stderr) if streams.stderr >= 0 else "")
        close(streams)
        descriptor = world.containers.exec_exit_fd(exec_id)
        assert readable(descriptor), "the exec doesn't end"
        os.close(descriptor)
        found = world.containers.exec_get(exec_id)
        assert not found.running
        return found.exit_code, text

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

    # Looking

    def test_top(self, world: World) -> None:
        """Its processes, as ps lists them."""
        made = self.begin(world, "sleep 1000; :")
        titles, rows = eventually(
            lambda: (found := world.containers.top(made)) and len(found[1]) == 2 and found, "both processes are there"
        )
        assert "PID" in titles
        assert any("sleep 1000" in row[-1] for row in rows)
        titles, rows = world.containers.top(made, "-o pid,comm")
        assert titles == ("PID", "COMMAND")
        assert {row[1] for row in rows} == {"sh", "sleep"}

    def test_stats(self, world: World) -> None:
        """What it uses while it runs; nothing afterwards."""
        made = self.begin(world, "cat", open_stdin=True)
        found = world.containers.stats(made)
        assert found is not None
        assert found.pids
        world.containers.kill(made)
        self.wait(world, made)
        assert world.containers.stats(made) is None

    def test_health(self, world: World) -> None:
        """It becomes healthy, and then unwell."""
        check = HealthCheck(("CMD-SHELL", "cat /well"), interval_ns=50_000_000, retries=2)
        made = self.begin(world, "echo yes > /well; read a; rm /well; cat", open_stdin=True, health=check)

        def is_(status: HealthStatus) -> bool:
            health = world.containers.get(made).state.health
            return health is not None and health.status is status

        eventually(lambda: is_(HealthStatus.HEALTHY), "it is healthy")
        streams = world.containers.attach(made)
        os.write(streams.stdin, b"\n")
        eventually(lambda: is_(HealthStatus.UNHEALTHY), "it is unhealthy")
        close(streams)
        eventually(lambda: "health_status: unhealthy" in self.actions(world, made), "it is told")
        assert "health_status: healthy" in self.actions(world, made)

    def test_update(self, world: World) -> None:
        """Limits change at once, and what isn't named stays."""
        made = self.begin(world, "cat", open_stdin=True, resources=Resources(memory_bytes=64 << 20))
        world.containers.update(made, ContainerUpdate({"pids_limit": 17}, RestartPolicy("always")))
        config = world.containers.get(made).config
        assert (config.resources.pids_limit, config.resources.memory_bytes) == (17, 64 << 20)
        assert config.restart.name == "always"
        found = world.containers.stats(made)
        assert found is not None
        assert found.pids_limit == 17
        with pytest.raises(Invalid, match="Minimum memory limit"):
            world.containers.update(made, ContainerUpdate({"memory_bytes": 1}))

    def test_event_attributes(self, world: World) -> None:
        """Labels, image and name; at the end exit code and how long it ran."""
        made = self.make(world, "exit 3", "told", labels={"l": "v"})
        self.finish(world, made)
        events = self.told(world, made)
        assert [each.action for each in events] == ["create", "attach", "start", "die"]
        for each in events:
            assert {"l": "v", "image": world.image, "name": "told"}.items() <= each.attributes.items()
        assert events[-1].attributes["exitCode"] == "3"
        assert events[-1].attributes["execDuration"].isdigit()

    # Files

    @pytest.mark.parametrize("running", [False, True])
    def test_copy(self, world: World, running: bool) -> None:
        """In and out, through volumes and binds too, whether it runs or not."""
        made = self.make(world, "cat", open_stdin=True, volumes=("/data",))
        if running:
            world.containers.start(made)
        for folder in ("/etc", "/data"):
            world.containers.write_path(made, folder, _archive(("f", b"hello")))
            found = world.containers.stat_path(made, f"{folder}/f")
            assert (found.name, found.size) == ("f", 5)
            data = b"".join(world.containers.read_path(made, f"{folder}/f"))
            with tarfile.open(fileobj=io.BytesIO(data)) as tar:
                assert tar.getnames() == ["f"]
                member = tar.extractfile("f")
                assert member is not None
                assert member.read() == b"hello"
        if running:
            assert self.exec(world, made, "cat", "/data/f") == (0, "hello")

    def test_copy_of_a_folder(self, world: World) -> None:
        """Under its last name."""
        made = self.make(world, ":")
        world.containers.write_path(made, "/etc", _archive(("d/x", b"1"), ("d/y", b"2")))
        data = b"".join(world.containers.read_path(made, "/etc/d"))
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            assert sorted(tar.getnames()) == ["d", "d/x", "d/y"]

    def test_no_such_path(self, world: World) -> None:
        """NotFound, in docker's words."""
        made = self.make(world, ":", "here")
        for call in (world.containers.stat_path, world.containers.read_path):
            with pytest.raises(NotFound, match="Could not find the file /none in container here"):
                call(made, "/none")
        with pytest.raises(Invalid, match="not a directory"):
            world.containers.write_path(made, "/etc/passwd", _archive(("a", b"")))

    def test_links_stay_inside(self, world: World) -> None:
        """A link to the outside is one to the inside."""
        script = "ln -s / /etc/up; ln -s ../../../../../../../../etc /etc/far"
        made = self.make(world, script)
        self.finish(world, made)
        world.containers.write_path(made, "/etc/up/etc", _archive(("mark", b"inside")))
        assert world.containers.stat_path(made, "/etc/far/mark").size == 6
        assert world.containers.stat_path(made, "/etc/up").link_target == "/"
        assert not os.path.exists("/etc/mark")  # noqa: PTH110

    def test_read_only(self, world: World) -> None:
        """Denied."""
        made = self.make(world, ":", read_only_root=True, mounts=(MountRequest("volume", "/v", read_only=True),))
        with pytest.raises(Denied, match="container rootfs is marked read-only"):
            world.containers.write_path(made, "/etc", _archive(("a", b"")))
        with pytest.raises(Denied, match="mounted volume is marked read-only"):
            world.containers.write_path(made, "/v", _archive(("a", b"")))
