"""The conformance suite of the kind `supervisor`, whole: also logs, health, the journal, and figures."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from moby.contracts.log_driver import LogConfig, LogQuery
from moby.contracts.runtime import RuntimeFeature
from moby.contracts.supervisor import (
    EventKind,
    HealthCheck,
    HealthStatus,
    Supervisor,
    SupervisorFeature,
    TaskConfig,
    TaskState,
)  # fmt: skip
from moby.contracts.types import TaskStatus
from moby.errors import Conflict, Invalid, NotFound, Unsupported
from moby.testing import supervisor_world as basic
from moby.testing.supervisor import Bundles, read_all, readable
from moby.testing.supervisor_streams import SupervisorStreamsSuite
from moby.testing.supervisor_world import quiet

__all__ = ["WholeSupervisorSuite"]

MS = 1_000_000
_NO_LOG = LogConfig("a", Path("/nonexistent"))


class WholeSupervisorSuite(SupervisorStreamsSuite):
    """All that every supervisor must do. What one doesn't offer, it must refuse.

    Where logs are offered, the default driver's can be read.
    """

    driver = ""
    """The log driver to try."""

    @pytest.fixture
    def logs(self) -> None:
        """Skip what wants `logs` where that isn't offered."""
        if SupervisorFeature.LOGS not in self.offers:
            pytest.skip("doesn't offer logs")

    @pytest.fixture
    def health(self) -> None:
        """Skip what wants `health` where that isn't offered."""
        if SupervisorFeature.HEALTH not in self.offers:
            pytest.skip("doesn't offer health")

    @pytest.fixture
    def journal(self) -> None:
        """Skip what wants `journal` where that isn't offered."""
        if SupervisorFeature.JOURNAL not in self.offers:
            pytest.skip("doesn't offer journal")

    def eventually(self, check: Callable[[], Any]) -> Any:
        """Wait until something is so, and return it."""
        deadline = time.monotonic() + basic.PATIENCE_S
        while not (found := check()):
            assert time.monotonic() < deadline, "it doesn't come to be"
            time.sleep(0.01)
        return found

    def log(self, folder: Path, **options: str) -> LogConfig:
        """Return where a task's output is to go."""
        (folder / "log").mkdir(exist_ok=True)
        return LogConfig("a", folder / "log", self.driver, options)

    def test_what_is_lacking_is_refused(self, supervisor: Supervisor, bundle: Bundles) -> None:
        """Unsupported, of whatever isn't offered."""
        refused: dict[str, list[Callable[[], object]]] = {
            SupervisorFeature.LOGS: [
                lambda: supervisor.logs(_NO_LOG, LogQuery()),
                lambda: supervisor.check_log("", {}),
                lambda: supervisor.create(TaskConfig("a", bundle("sh"), log=_NO_LOG)),
            ],
            SupervisorFeature.HEALTH: [
                lambda: supervisor.create(TaskConfig("a", bundle("sh"), health=HealthCheck(("CMD", "true")))),
            ],
            SupervisorFeature.JOURNAL: [
                lambda: supervisor.journal(0),
                lambda: supervisor.journal_fd(0),
                lambda: supervisor.trim_journal(0),
            ],
        }
        for feature in refused.keys() - self.offers:
            for call in refused[feature]:
                with pytest.raises(Unsupported):
                    call()
        assert bool(supervisor.log_drivers()) == (SupervisorFeature.LOGS in self.offers)

    # Logs

    def test_output_is_logged(self, supervisor: Supervisor, bundle: Bundles, tmp_path: Path, logs: None) -> None:
        """All of it, of both streams, whoever is attached; from then on who attaches gets just what comes."""
        log = self.log(tmp_path)
        self.make(supervisor, bundle, "echo out; echo err >&2; read x; echo $x", stdin=True, log=log)
        supervisor.start("a")
        self.eventually(lambda: len(self.read(supervisor, log)) == 8)
        streams = supervisor.attach("a")
        os.write(streams.stdin, b"late\n")
        assert read_all(streams.stdout) == b"late\n"
        self.end(supervisor)
        assert self.read(supervisor, log, stderr=False) == b"out\nlate\n"
        assert self.read(supervisor, log, stdout=False) == b"err\n"
        self.close(streams)
        supervisor.delete("a")
        assert len(self.read(supervisor, log)) == 13

    def read(self, supervisor: Supervisor, log: LogConfig, **query: Any) -> bytes:
        """Return what a log has."""
        descriptor = supervisor.logs(log, LogQuery(framed=False, **query))
        try:
            return read_all(descriptor)
        finally:
            os.close(descriptor)

    def test_an_exit_comes_after_its_output(
        self, supervisor: Supervisor, bundle: Bundles, tmp_path: Path, logs: None
    ) -> None:
        """Who knows of the exit finds all that was written in the log."""
        log = self.log(tmp_path)
        self.make(supervisor, bundle, "i=0; while [ $i -lt 5000 ]; do echo $i; i=$((i+1)); done", log=log)
        supervisor.start("a")
        self.end(supervisor)
        assert self.read(supervisor, log) == b"".join(b"%d\n" % each for each in range(5000))

    def test_following_ends_with_the_task(
        self, supervisor: Supervisor, bundle: Bundles, tmp_path: Path, logs: None
    ) -> None:
        """It goes on while the task runs, and ends with all that there is; of a task that isn't there at once."""
        log = self.log(tmp_path)
        self.make(supervisor, bundle, "echo one; read x; echo two", stdin=True, log=log)
        supervisor.start("a")
        follower = supervisor.logs(log, LogQuery(framed=False, follow=True))
        assert basic.read_until(follower, b"\n") == b"one\n"
        assert quiet(follower)
        streams = supervisor.attach("a")
        os.write(streams.stdin, b"\n")
        assert read_all(follower) == b"two\n"
        self.end(supervisor)
        supervisor.delete("a")
        assert self.read(supervisor, log, follow=True) == b"one\ntwo\n"
        os.close(follower)
        self.close(streams)

    def test_following_waits_for_the_first_word(
        self, supervisor: Supervisor, bundle: Bundles, tmp_path: Path, logs: None
    ) -> None:
        """Whoever follows a task that says nothing for long misses nothing of what it says then."""
        log = self.log(tmp_path)
        self.make(supervisor, bundle, "read x; echo one; read x; echo two", stdin=True, log=log)
        supervisor.start("a")
        follower = supervisor.logs(log, LogQuery(framed=False, follow=True))
        assert quiet(follower)
        streams = supervisor.attach("a")
        os.write(streams.stdin, b"\n")
        assert basic.read_until(follower, b"\n") == b"one\n"
        os.write(streams.stdin, b"\n")
        assert read_all(follower) == b"two\n"
        os.close(follower)
        self.close(streams)

    def test_unknown_log_driver(self, supervisor: Supervisor, bundle: Bundles, tmp_path: Path, logs: None) -> None:
        """NotFound, wherever it is named."""
        log = LogConfig("a", tmp_path, "nobody's")
        with pytest.raises(NotFound):
            supervisor.check_log(log.driver, {})
        with pytest.raises(NotFound):
            supervisor.logs(log, LogQuery())
        with pytest.raises(NotFound):
            self.make(supervisor, bundle, ":", log=log)
        assert supervisor.list() == ()

    @pytest.mark.parametrize(
        "options",
        [
            pytest.param({"mode": "sometimes"}, id="mode"),
            pytest.param({"max-buffer-size": "1m"}, id="size-without-mode"),
            pytest.param({"mode": "non-blocking", "max-buffer-size": "much"}, id="size"),
            pytest.param({"no-such-option": "1"}, id="driver"),
        ],
    )
    def test_log_options(
        self, supervisor: Supervisor, bundle: Bundles, tmp_path: Path, logs: None, options: dict[str, str]
    ) -> None:
        """What can't be meant is Invalid, also when a task is made; what can be is not."""
        for good in ({}, {"mode": "blocking"}, {"mode": "non-blocking", "max-buffer-size": "4m"}):
            supervisor.check_log(self.driver, good)
        with pytest.raises(Invalid):
            supervisor.check_log(self.driver, options)
        with pytest.raises(Invalid):
            self.make(supervisor, bundle, ":", log=self.log(tmp_path, **options))

    # Health

    def watched(self, supervisor: Supervisor, bundle: Bundles, *test: str, **options: Any) -> None:
        """Run a task that is looked at often."""
        times = {"interval_ns": 30 * MS, "timeout_ns": 600_000 * MS, "retries": 2, **options}
        check = HealthCheck(test, **times)
        self.make(supervisor, bundle, "while :; do read x; done", stdin=True, stdin_once=False, health=check)
        assert supervisor.state("a").health.status is HealthStatus.NONE
        supervisor.start("a")
        assert supervisor.state("a").health.status is not HealthStatus.NONE

    def seen(self, supervisor: Supervisor, check: Callable[[TaskState], bool]) -> TaskState:
        """Wait until a task's state is as it is to be."""
        found: TaskState = self.eventually(lambda: check(state := supervisor.state("a")) and state)
        return found

    def test_well(self, supervisor: Supervisor, bundle: Bundles, health: None) -> None:
        """One look that finds it well is enough; the last five are kept, with what they said."""
        self.watched(supervisor, bundle, "CMD-SHELL", "echo fine; echo also >&2")
        state = self.seen(supervisor, lambda state: len(state.health.results) == 5)
        assert (state.health.status, state.health.failing_streak) == (HealthStatus.HEALTHY, 0)
        first = state.health.results[0]
        assert (first.code, sorted(first.output.splitlines())) == (0, ["also", "fine"])
        assert state.started_ns <= first.start_ns <= first.end_ns <= state.health.results[1].start_ns
        state = self.seen(supervisor, lambda state: state.health.results[0].start_ns > first.start_ns)
        assert len(state.health.results) == 5

    def test_unwell(self, supervisor: Supervisor, bundle: Bundles, health: None) -> None:
        """Only so many failures in a row make it unhealthy; output is bounded."""
        much = "x=y; while [ ${#x} -lt 10000 ]; do x=$x$x; done; echo $x"
        first = "[ -e /tmp/first ] || { echo > /tmp/first; exit 3; }"
        second = "until [ -e /tmp/go ]; do :; done; [ -e /tmp/second ] || { echo > /tmp/second; exit 3; }"
        # Which has time to be looked at: the second waits until it may go on, and the third for ever.
        self.watched(supervisor, bundle, "CMD", "sh", "-c", f"{much}; {first}; {second}; while :; do :; done")
        state = self.seen(supervisor, lambda state: state.health.results != ())
        assert (state.health.status, state.health.failing_streak) == (HealthStatus.STARTING, 1)
        supervisor.exec("a", "b", self.process("echo > /tmp/go"), TaskConfig("b", Path()))
        self.end(supervisor, "b")
        state = self.seen(supervisor, lambda state: state.health.status is not HealthStatus.STARTING)
        assert (state.health.status, state.health.failing_streak) == (HealthStatus.UNHEALTHY, 2)
        assert [each.code for each in state.health.results] == [3, 3]
        assert [(len(each.output), each.output[-4:]) for each in state.health.results] == [(4099, "y...")] * 2

    def test_start_period(self, supervisor: Supervisor, bundle: Bundles, health: None) -> None:
        """In it failures don't count, and it is looked at by another interval."""
        options = {"start_period_ns": 600_000 * MS, "start_interval_ns": 30 * MS, "interval_ns": 600_000 * MS}
        self.watched(supervisor, bundle, "CMD", "sh", "-c", "exit 1", **options)
        state = self.seen(supervisor, lambda state: len(state.health.results) > 3)
        assert (state.health.status, state.health.failing_streak) == (HealthStatus.STARTING, 0)

    def test_what_is_paused_is_unwell(self, supervisor: Supervisor, bundle: Bundles, health: None) -> None:
        """Until a probe after the pause finds otherwise; its last results stay."""
        self.watched(supervisor, bundle, "CMD-SHELL", ":")
        self.seen(supervisor, lambda state: state.health.status is HealthStatus.HEALTHY)
        supervisor.pause("a")
        state = supervisor.state("a")
        assert (state.health.status, state.health.failing_streak) == (HealthStatus.UNHEALTHY, 0)
        assert state.health.results[-1].code == 0
        supervisor.resume("a")
        state = self.seen(supervisor, lambda state: state.health.status is HealthStatus.HEALTHY)
        assert all(each.code == 0 for each in state.health.results)

    def test_looks_end_in_time(self, supervisor: Supervisor, bundle: Bundles, health: None) -> None:
        """One that takes too long is killed, and counts as a failure."""
        self.watched(supervisor, bundle, "CMD", "sh", "-c", "while :; do :; done", timeout_ns=100 * MS, retries=1)
        state = self.seen(supervisor, lambda state: state.health.status is HealthStatus.UNHEALTHY)
        assert state.health.results[-1].code == -1
        assert "timeout" in state.health.results[-1].output
        supervisor.pause("a")  # so that there is no other look
        self.eventually(lambda: len(supervisor.pids("a")) == 1)

    @pytest.mark.parametrize("test", [("HTTP", "http://127.0.0.1:9/x"), ("TCP", "9"), ("CMD", "/no/such/program")])
    def test_what_is_not_there_is_unwell(
        self, supervisor: Supervisor, bundle: Bundles, health: None, test: tuple[str, ...]
    ) -> None:
        """A port that nobody listens at, a program that isn't there."""
        self.watched(supervisor, bundle, *test, retries=1)
        state = self.seen(supervisor, lambda state: state.health.status is HealthStatus.UNHEALTHY)
        assert state.health.results[-1].code != 0
        assert state.health.results[-1].output != ""

    @pytest.mark.parametrize(
        "test", [(), ("CMD",), ("CMD-SHELL",), ("HTTP", "ftp://127.0.0.1/"), ("TCP", "http"), ("LOOK", "here")]
    )
    def test_no_health_check(
        self, supervisor: Supervisor, bundle: Bundles, health: None, test: tuple[str, ...]
    ) -> None:
        """What can't be meant is Invalid, and leaves nothing."""
        with pytest.raises(Invalid):
            self.make(supervisor, bundle, ":", health=HealthCheck(test))
        assert supervisor.list() == ()

    # The journal

    def last(self, supervisor: Supervisor, bundle: Bundles, task: str = "a") -> int:
        """Have a task end, and return the number of that entry, which is the last one."""
        self.make(supervisor, bundle, "exit 3", id=task)
        supervisor.start(task)
        self.end(supervisor, task)
        supervisor.delete(task)
        return supervisor.journal(0)[-1].number

    def test_exits_are_in_the_journal(self, supervisor: Supervisor, bundle: Bundles, journal: None) -> None:
        """Numbered without gaps, and there as soon as anybody can know of them."""
        first = self.last(supervisor, bundle)
        for number, task in enumerate(("a", "b", "c"), 1):
            self.make(supervisor, bundle, f"exit {number}", id=task)
            supervisor.start(task)
            ended = self.end(supervisor, task)
            found = supervisor.journal(first)
            assert [each.number - first for each in found] == [*range(1, number + 1)]
            assert (found[-1].kind, found[-1].task_id, found[-1].exit) == (EventKind.EXIT, task, ended)
            assert supervisor.journal(first + number - 1) == found[-1:]
        assert supervisor.journal(first + 3) == ()

    def test_the_journal_is_waited_for(self, supervisor: Supervisor, bundle: Bundles, journal: None) -> None:
        """A descriptor becomes readable once there is more than was asked for, at once where there is."""
        first = self.last(supervisor, bundle)
        waiting = supervisor.journal_fd(first)
        later = supervisor.journal_fd(first + 1)
        assert quiet(waiting)
        assert self.last(supervisor, bundle) == first + 1
        assert readable(waiting)
        assert len(supervisor.journal(first)) == 1
        assert not readable(later, 0)
        at_once = supervisor.journal_fd(first)
        assert readable(at_once)
        for each in (waiting, later, at_once):
            os.close(each)

    def test_the_journal_is_trimmed(self, supervisor: Supervisor, bundle: Bundles, journal: None) -> None:
        """What was dealt with is forgotten, and its numbers are never used again."""
        first = self.last(supervisor, bundle)
        assert self.last(supervisor, bundle) == first + 1
        supervisor.trim_journal(first)
        supervisor.trim_journal(first)
        assert [each.number for each in supervisor.journal(0)] == [first + 1]
        supervisor.trim_journal(first + 1)
        assert supervisor.journal(0) == ()
        waiting = supervisor.journal_fd(0)
        assert quiet(waiting)
        assert self.last(supervisor, bundle) == first + 2
        assert [each.number for each in supervisor.journal(0)] == [first + 2]
        assert readable(waiting)
        os.close(waiting)

    def test_changes_of_health_are_in_the_journal(
        self, supervisor: Supervisor, bundle: Bundles, journal: None, health: None
    ) -> None:
        """Each change, and only that; looks that are told of besides say how their program ended, and are no end."""
        first = self.last(supervisor, bundle)
        self.watched(supervisor, bundle, "CMD-SHELL", "test ! -e /tmp/bad")
        self.seen(supervisor, lambda state: state.health.status is HealthStatus.HEALTHY)
        state = self.process("echo > /tmp/bad")
        supervisor.exec("a", "b", state, TaskConfig("b", Path()))
        self.end(supervisor, "b")
        self.seen(supervisor, lambda state: state.health.status is HealthStatus.UNHEALTHY)
        found = [each for each in supervisor.journal(first) if each.kind is EventKind.HEALTH]
        changes = [each.health for each in found if each.health is not None]
        assert changes == [HealthStatus.HEALTHY, HealthStatus.UNHEALTHY]
        supervisor.pause("a")  # which isn't told
        supervisor.resume("a")
        assert [each.health for each in supervisor.journal(first) if each.health is not None] == changes
        looks = [each for each in found if each.health is None]
        assert all(each.exit is not None and each.exit.time_ns >= each.time_ns for each in looks)
        supervisor.kill("a", 9)
        assert self.end(supervisor).code == 137
        ends = [each.exit for each in supervisor.journal(first) if each.kind is EventKind.EXIT and each.task_id == "a"]
        assert [each.code for each in ends if each] == [137], "an end is told as one, whatever looked before"

    # Figures

    def test_pids(self, supervisor: Supervisor, bundle: Bundles) -> None:
        """All processes inside, none of a stopped task; of an exec nobody can ask."""
        streams = self.begin(supervisor, bundle, "read line", stdin=True)
        assert supervisor.state("a").pid in supervisor.pids("a")
        supervisor.exec("a", "b", self.process("read line"), TaskConfig("b", Path(), stdin=True))
        for verb in (supervisor.pids, supervisor.stats, supervisor.pause, supervisor.resume):
            with pytest.raises(Conflict):
                verb("b")
        with pytest.raises(Conflict):
            supervisor.update("b", {})
        supervisor.delete("b", force=True)
        os.close(streams.stdin)
        self.end(supervisor)
        assert supervisor.pids("a") == ()
        os.close(streams.stdout)
        os.close(streams.stderr)

    def test_stats(self, supervisor: Supervisor, bundle: Bundles) -> None:
        """What the runtime counts."""
        if RuntimeFeature.STATS not in supervisor.features():
            pytest.skip("its runtime doesn't count")
        streams = self.begin(supervisor, bundle, "read line", stdin=True)
        assert supervisor.stats("a").pids == 1
        self.close(streams)

    def test_started_is_told(self, supervisor: Supervisor, bundle: Bundles) -> None:
        """When it was started; 0 before."""
        before = time.time_ns()
        self.make(supervisor, bundle, ":")
        assert supervisor.state("a").started_ns == 0
        supervisor.start("a")
        assert before <= supervisor.state("a").started_ns <= time.time_ns()
        ended = self.end(supervisor)
        assert supervisor.state("a").started_ns <= ended.time_ns

    def test_changed_limits(self, supervisor: Supervisor, bundle: Bundles) -> None:
        """An update is the runtime's to make, or to refuse."""
        if not self.update or RuntimeFeature.STATS not in supervisor.features():
            pytest.skip("its runtime can't")
        streams = self.begin(supervisor, bundle, "read line", stdin=True)
        supervisor.update("a", {"pids": {"limit": 77}})
        assert supervisor.stats("a").pids_limit == 77
        with pytest.raises(Invalid):
            supervisor.update("a", {"pids": {"limit": "many"}})
        assert supervisor.state("a").status is TaskStatus.RUNNING
        self.close(streams)
