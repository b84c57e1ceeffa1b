"""One broken supervisor for each promise about streams, logs, health, the journal and figures; as its neighbour."""

import contextlib
import os
import select
import threading
from functools import partial

import attrs
import pytest
from ambient import ListLog, RealClock
from engine import place
from holding import LinesDriver
from moby_runtime.native.runtime import Native
from moby_supervisor.local import FEATURES
from moby_supervisor.local.local import Local
from test_supervisor_mutants import Forgives, Mutant

from moby.contracts.supervisor import EventKind, HealthStatus, Streams
from moby.contracts.types import TaskStatus
from moby.errors import MobyError
from moby.testing.bundles import Bundles, config
from moby.testing.holding import SameProcess
from moby.testing.supervisor_streams import SupervisorStreamsSuite
from moby.testing.supervisor_whole import WholeSupervisorSuite


class Suite(WholeSupervisorSuite):
    offers = frozenset(FEATURES)

    def process(self, script):
        return config(["sh", "-c", script])["process"]


class Lacking(Suite):
    """Held to what it doesn't say that it has."""

    offers = frozenset()


class ConfigChanging(Mutant):
    """Makes tasks otherwise than asked for."""

    def __init__(self, right, **changes):
        super().__init__(right)
        self.changes = changes

    def create(self, config):
        return self.right.create(attrs.evolve(config, **self.changes))


class HealthChanging(ConfigChanging):
    def create(self, config):
        if config.health is not None:
            config = attrs.evolve(config, health=attrs.evolve(config.health, **self.changes))
        return self.right.create(config)


class TakesAnyTest(Mutant):
    def create(self, config):
        health = config.health and attrs.evolve(config.health, test=("CMD", "true"))
        return self.right.create(attrs.evolve(config, health=health))


class OnlyTheFirst(Mutant):
    """Lets everybody attach, and gives all to the first."""

    first = None

    def attach(self, task_id):
        if self.first is None:
            self.first = self.right.attach(task_id)
            return self.first
        ends = [os.pipe() for _ in range(3)]
        self.kept = ends
        return Streams(ends[0][1], ends[1][0], ends[2][0])


class HoldsUpNobody(Mutant):
    """Reads for those who don't."""

    def attach(self, task_id):
        found = self.right.attach(task_id)
        streams = []
        for fd in (found.stdout, found.stderr):
            read, write = os.pipe()
            threading.Thread(target=self.copy, args=(fd, write), daemon=True).start()
            streams.append(read)
        return Streams(found.stdin, *streams)

    def copy(self, source, sink):
        everything = b""
        while chunk := os.read(source, 65536):
            everything += chunk
        with contextlib.suppress(OSError):
            os.write(sink, everything)
        os.close(sink)


class EndsWithItsReader(Mutant):
    """Passes on what is typed only to one whose output somebody reads."""

    def attach(self, task_id):
        found = self.right.attach(task_id)
        self.kept = found.stdout
        typed, keyboard = os.pipe()
        read, write = os.pipe()
        threading.Thread(target=self.pass_on, args=(task_id, typed, found.stdin, write), daemon=True).start()
        return Streams(keyboard, read, found.stderr)

    def pass_on(self, task_id, source, sink, output):
        poll = select.poll()
        poll.register(output, 0)
        while chunk := os.read(source, 65536):
            if poll.poll(0):
                self.right.kill(task_id, 9)
            with contextlib.suppress(OSError):
                os.write(sink, chunk)
        for fd in (source, sink, output):
            os.close(fd)


class LosesSome(Mutant):
    def attach(self, task_id):
        found = self.right.attach(task_id)
        read, write = os.pipe()
        threading.Thread(target=self.lose, args=(found.stdout, write), daemon=True).start()
        return Streams(found.stdin, read, found.stderr)

    def lose(self, source, sink):
        os.read(source, 1)
        with contextlib.suppress(OSError):
            while chunk := os.read(source, 65536):
                os.write(sink, chunk)
        for fd in (source, sink):
            os.close(fd)


class NoDrivers(Mutant):
    def log_drivers(self):
        return ()


class ReadsUnframedOnlyStdout(Mutant):
    def logs(self, config, query):
        return self.right.logs(config, attrs.evolve(query, stderr=False))


class NeverFollows(Mutant):
    def logs(self, config, query):
        return self.right.logs(config, attrs.evolve(query, follow=False))


class LogsLate(Mutant):
    def logs(self, config, query):
        found = self.right.logs(config, query)
        read, write = os.pipe()
        os.write(write, os.read(found, 100))
        os.close(write)
        os.close(found)
        return read


class TakesAnyDriver(Mutant):
    def create(self, config):
        return self.right.create(attrs.evolve(config, log=config.log and attrs.evolve(config.log, driver="")))


class TakesAnyOption(Mutant):
    def create(self, config):
        return self.right.create(attrs.evolve(config, log=config.log and attrs.evolve(config.log, options={})))


class StateChanging(Mutant):
    def change(self, state):
        raise NotImplementedError

    def state(self, task_id):
        return self.change(self.right.state(task_id))


class KeepsOneResult(StateChanging):
    def change(self, state):
        return attrs.evolve(state, health=attrs.evolve(state.health, results=state.health.results[-1:]))


class NoStreak(StateChanging):
    def change(self, state):
        return attrs.evolve(state, health=attrs.evolve(state.health, failing_streak=0))


class CutsSilently(StateChanging):
    def change(self, state):
        results = [attrs.evolve(each, output=each.output[:4096]) for each in state.health.results]
        return attrs.evolve(state, health=attrs.evolve(state.health, results=tuple(results)))


class WellThoughPaused(StateChanging):
    def change(self, state):
        paused = state.status is TaskStatus.PAUSED
        return attrs.evolve(state, health=attrs.evolve(state.health, status=HealthStatus.HEALTHY)) if paused else state


class NeverStarted(StateChanging):
    def change(self, state):
        return attrs.evolve(state, started_ns=0)


class JournalSkips(Mutant):
    def journal(self, after):
        return tuple(attrs.evolve(each, number=each.number * 2) for each in self.right.journal(after))


class JournalIgnoresAfter(Mutant):
    def journal(self, after):
        return self.right.journal(0)


class JournalIsLate(Mutant):
    def journal(self, after):
        return self.right.journal(after)[:-1]


class JournalAtOnce(Mutant):
    def journal_fd(self, after):
        return os.open("/dev/null", os.O_RDONLY)


class JournalNever(Mutant):
    def journal_fd(self, after):
        return self.right.journal_fd(10**6)


class TrimsNothing(Mutant):
    def trim_journal(self, until):
        pass


class TrimsAll(Mutant):
    def trim_journal(self, until):
        self.right.trim_journal(10**6)


class TellsEachLook(Mutant):
    def journal(self, after):
        found = self.right.journal(after)
        looks = [each for each in found if each.health is HealthStatus.HEALTHY]
        return (*found, *looks)


class TellsNoHealth(Mutant):
    def journal(self, after):
        return tuple(each for each in self.right.journal(after) if each.kind is not EventKind.HEALTH)


class NoPids(Mutant):
    def pids(self, task_id):
        self.right.pids(task_id)
        return ()


class CountsNothing(Mutant):
    def stats(self, task_id):
        return attrs.evolve(self.right.stats(task_id), pids=None, pids_limit=None)


class UpdatesNothing(Mutant):
    def update(self, task_id, resources):
        self.right.task = self.right.state(task_id)


MUTANTS = [
    ("what_is_lacking_is_refused", Mutant, {"suite": Lacking}),
    ("what_is_lacking_is_refused", NoDrivers, {}),
    ("unread_output_holds_it_up", partial(ConfigChanging, discard=True), {}),
    ("discarded_output_holds_up_nobody", partial(ConfigChanging, discard=False), {}),
    ("all_who_are_attached_get_all", OnlyTheFirst, {"terminal": False}),
    ("only_the_first_ends_standard_input", partial(ConfigChanging, stdin_once=False), {}),
    ("standard_input_that_stays", partial(ConfigChanging, stdin_once=True), {}),
    ("who_does_not_read_holds_it_up", HoldsUpNobody, {}),
    ("who_leaves_harms_nobody", EndsWithItsReader, {}),
    ("much_goes_in_and_out", LosesSome, {}),
    ("output_is_logged", partial(ConfigChanging, log=None), {}),
    ("output_is_logged", ReadsUnframedOnlyStdout, {}),
    ("an_exit_comes_after_its_output", LogsLate, {}),
    ("following_ends_with_the_task", NeverFollows, {}),
    ("following_waits_for_the_first_word", NeverFollows, {}),
    ("unknown_log_driver", "check_log", {}),
    ("unknown_log_driver", "logs", {}),
    ("unknown_log_driver", TakesAnyDriver, {}),
    ("log_options", "check_log", {"options": {"mode": "sometimes"}}),
    ("log_options", TakesAnyOption, {"options": {"no-such-option": "1"}}),
    ("well", partial(ConfigChanging, health=None), {}),
    ("well", KeepsOneResult, {}),
    ("unwell", partial(HealthChanging, test=("CMD-SHELL", ":")), {}),
    ("unwell", partial(HealthChanging, retries=1), {}),
    ("unwell", NoStreak, {}),
    ("unwell", CutsSilently, {}),
    ("start_period", partial(HealthChanging, start_period_ns=0, interval_ns=30_000_000), {}),
    ("what_is_paused_is_unwell", WellThoughPaused, {}),
    ("looks_end_in_time", partial(HealthChanging, timeout_ns=10**12), {}),
    ("what_is_not_there_is_unwell", partial(HealthChanging, test=("CMD-SHELL", ":")), {"test": ("TCP", "9")}),
    ("no_health_check", TakesAnyTest, {"test": ("LOOK", "here")}),
    ("exits_are_in_the_journal", JournalSkips, {}),
    ("exits_are_in_the_journal", JournalIgnoresAfter, {}),
    ("exits_are_in_the_journal", JournalIsLate, {}),
    ("the_journal_is_waited_for", JournalAtOnce, {}),
    ("the_journal_is_waited_for", JournalNever, {}),
    ("the_journal_is_trimmed", TrimsNothing, {}),
    ("the_journal_is_trimmed", TrimsAll, {}),
    ("changes_of_health_are_in_the_journal", TellsEachLook, {}),
    ("changes_of_health_are_in_the_journal", TellsNoHealth, {}),
    ("pids", NoPids, {}),
    ("pids", "stats", {}),
    ("stats", CountsNothing, {}),
    ("started_is_told", NeverStarted, {}),
    ("changed_limits", UpdatesNothing, {}),
    ("changed_limits", "update", {}),
]


@pytest.fixture
def right(tmp_path):
    keeper = SameProcess()
    native = {"native": Native(place(tmp_path, "native"))}
    with Local(
        native, {"lines": LinesDriver()}, keeper, place(tmp_path, "supervisor"), RealClock(), ListLog()
    ) as supervisor:
        yield supervisor
        for each in supervisor.list():
            with contextlib.suppress(MobyError):
                supervisor.delete(each.id, force=True)
    keeper.close()


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """What never comes, doesn't come in half a second either; what must not come has the time to, on any machine."""
    monkeypatch.setattr("moby.testing.supervisor_world.PATIENCE_S", 0.5)
    monkeypatch.setattr("moby.testing.supervisor_world.SHORTLY_S", 5)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize(
    ("test", "mutant", "extra"),
    [pytest.param(*each, id=f"{each[0]}-{number}") for number, each in enumerate(MUTANTS)],
)
def test_suite_fails(right, tmp_path, rootfs, test, mutant, extra):
    bundles, names = Bundles(tmp_path / "bundles", rootfs), iter(range(100))

    def bundle(*arguments, terminal=False):
        return bundles.make(str(next(names)), config(arguments, rootless=os.geteuid() != 0, terminal=terminal))

    broken = Forgives(right, mutant) if isinstance(mutant, str) else mutant(right)
    method = getattr(extra.get("suite", Suite)(), f"test_{test}")
    wanted = method.__code__.co_varnames[: method.__code__.co_argcount]
    known = {"supervisor": broken, "bundle": bundle, "tmp_path": tmp_path, **extra}
    failed = False
    try:
        method(**{name: known.get(name) for name in wanted if name != "self"})
    except (Exception, pytest.fail.Exception):
        failed = True
    assert failed, "the suite lets this pass"


def test_every_promise_has_a_mutant():
    suites = (SupervisorStreamsSuite, WholeSupervisorSuite)
    tests = {name.removeprefix("test_") for suite in suites for name in vars(suite) if name.startswith("test_")}
    assert tests == {test for test, _, _ in MUTANTS}
