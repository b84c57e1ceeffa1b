"""How tasks begin with every supervisor, and how they go."""

import signal
from pathlib import Path

import pytest

from moby.contracts.runtime import RuntimeFeature
from moby.contracts.supervisor import Supervisor, TaskConfig
from moby.contracts.types import TaskStatus
from moby.errors import Conflict, Invalid, NotFound
from moby.testing.supervisor_world import Bundles, SupervisorFixtures, closes_to, open_descriptors, quiet, read_all

__all__ = ["Life"]


class Life(SupervisorFixtures):
    """Creating, starting and deleting."""

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

    def test_programs(self, supervisor: Supervisor) -> None:
        """What runtimes use has names and versions."""
        for name, (version, commit) in supervisor.programs().items():
            assert name
            assert version
            assert isinstance(commit, str)

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
        assert closes_to(before)
        assert supervisor.list() == ()
        self.make(supervisor, bundle, ":")

    def test_created_task_has_not_run(self, supervisor: Supervisor, bundle: Bundles) -> None:
        """`create` stops short of the user's program."""
        self.make(supervisor, bundle, "echo ran")
        state = supervisor.state("a")
        assert (state.id, state.status, state.exit) == ("a", TaskStatus.CREATED, None)
        assert state.pid > 0
        streams = supervisor.attach("a")
        assert quiet(streams.stdout)
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
        assert closes_to(before)
