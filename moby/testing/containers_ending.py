"""The conformance suite of the kind `containers`: stopping, waiting, removing, starting again."""

import threading

import pytest

from moby.contracts.containers import Condition, RestartPolicy, Status
from moby.errors import Conflict, Invalid, NotFound
from moby.testing.boxes import PATIENCE_S, readable
from moby.testing.containers_world import ContainersFixtures, World, eventually

__all__ = ["Ending"]


class Ending(ContainersFixtures):
    """Stopping, waiting, removing, and restart policies."""

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
        eventually(lambda: world.containers.get(made).state.status is Status.EXITED, "it is left alone")
        assert self.wait(world, made).exit_code == 1
        assert world.containers.get(made).restart_count == 2
        made = self.begin(world, "exit 0", restart=RestartPolicy("on-failure", 2))
        self.wait(world, made)
        assert world.containers.get(made).restart_count == 0

    def test_start_of_one_that_waits_for_its_restart(self, world: World) -> None:
        """Is False, and has it wait on; who stops it first can start it at once."""
        made = self.begin(world, "exit 1", restart=RestartPolicy("always", delay_ns=1000 * 10**9))
        eventually(lambda: world.containers.get(made).state.status is Status.RESTARTING, "it waits")
        before = world.containers.get(made).state
        assert world.containers.start(made) is False
        assert world.containers.get(made).state == before
        world.containers.stop(made)
        assert world.containers.start(made) is True
        world.containers.stop(made)

    def test_no_removal_with_a_policy(self, world: World) -> None:
        """Invalid."""
        with pytest.raises(Invalid, match="AutoRemove"):
            self.make(world, ":", auto_remove=True, restart=RestartPolicy("always"))
