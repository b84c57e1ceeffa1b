"""One broken supervisor for each promise; the conformance suite must fail every one of them."""

import contextlib
import os
import select
import threading

import attrs
import pytest
from ambient import ListLog, RealClock
from moby_supervisor.foreground.tasks import Foreground

from moby.contracts.supervisor import Streams
from moby.contracts.types import Exit, TaskStatus
from moby.errors import MobyError, NotFound
from moby.testing.supervisor import SupervisorSuite


class Mutant:
    """Passes everything on; a subclass breaks one promise."""

    def __init__(self, right):
        self.right = right

    def __getattr__(self, name):
        return getattr(self.right, name)


class StartsAtCreate(Mutant):
    def create(self, config):
        state = self.right.create(config)
        self.right.start(config.id)
        return state


class NeverStarts(Mutant):
    def start(self, task_id):
        pass


class MixesStreams(Mutant):
    def attach(self, task_id):
        found = self.right.attach(task_id)
        return Streams(found.stdin, found.stderr, found.stdout)


class MixesFirstStreams(Mutant):
    def create(self, config):
        state = self.right.create(config)
        found = self.right.attach(config.id)
        return attrs.evolve(state, streams=Streams(found.stdin, found.stderr, found.stdout))


class AlwaysCreated(Mutant):
    def state(self, task_id):
        found = self.right.state(task_id)
        return found if found.exit else attrs.evolve(found, status=TaskStatus.CREATED)


class Forgives(Mutant):
    """Swallows the errors of one verb."""

    def __init__(self, right, verb):
        super().__init__(right)
        self.verb = verb

    def __getattr__(self, name):
        method = getattr(self.right, name)
        if name != self.verb:
            return method

        def forgiving(*arguments, **options):
            try:
                return method(*arguments, **options)
            except MobyError:
                return None

        return forgiving


class ListsBackwards(Mutant):
    def list(self):
        return self.right.list()[::-1]


class Boasts(Mutant):
    def features(self, runtime=""):
        return self.right.features(runtime) | {"telepathy"}


class KnowsAllRuntimes(Mutant):
    def features(self, runtime=""):
        return self.right.features()


class NoVersions(Mutant):
    def programs(self):
        return {"runc": ("", "")}


class TakesAnyRuntime(Mutant):
    def create(self, config):
        return self.right.create(attrs.evolve(config, runtime=""))


class ReplacesTaken(Mutant):
    def create(self, config):
        with contextlib.suppress(NotFound):
            self.right.delete(config.id, force=True)
        return self.right.create(config)


class LeaksAtFailure(Mutant):
    def create(self, config):
        try:
            return self.right.create(config)
        except MobyError:
            self.leaked = os.pipe()
            raise

    def __del__(self):
        for each in getattr(self, "leaked", ()):
            os.close(each)


class NoStdin(Mutant):
    def create(self, config):
        return self.right.create(attrs.evolve(config, stdin=False))


class StdinAlways(Mutant):
    def create(self, config):
        return self.right.create(attrs.evolve(config, stdin=True))


class LosesEarlyOutput(Mutant):
    def attach(self, task_id):
        found = self.right.attach(task_id)
        while select.select([found.stdout], [], [], 0)[0] and os.read(found.stdout, 65536):
            pass
        return found


class NoTerminal(Mutant):
    def create(self, config):
        return self.right.create(attrs.evolve(config, terminal=False, window=None))


class NoWindow(Mutant):
    def create(self, config):
        return self.right.create(attrs.evolve(config, window=None))


class NeverResizes(Mutant):
    def resize(self, task_id, window):
        if not os.isatty(self.right._tasks[task_id].ends.terminal):
            self.right.resize(task_id, window)


class ExitAtOnce(Mutant):
    def exit_fd(self, task_id):
        self.right.state(task_id)
        return os.open("/dev/null", os.O_RDONLY)


class ExitNever(Mutant):
    def exit_fd(self, task_id):
        read, write = os.pipe()
        self.kept = write
        return read

    def __del__(self):
        if hasattr(self, "kept"):
            os.close(self.kept)


class ExitWithoutState(Mutant):
    def state(self, task_id):
        return attrs.evolve(self.right.state(task_id), exit=None)


class NewExitEachTime(Mutant):
    times = 0

    def state(self, task_id):
        found = self.right.state(task_id)
        self.times += 1
        return attrs.evolve(found, exit=found.exit and attrs.evolve(found.exit, time_ns=self.times))


class GuessesZero(Mutant):
    def state(self, task_id):
        found = self.right.state(task_id)
        return attrs.evolve(found, exit=found.exit and Exit(0, found.exit.time_ns))


class FirstAskerWins(Mutant):
    def __init__(self, right):
        super().__init__(right)
        self.lock, self.told = threading.Lock(), False

    def state(self, task_id):
        found = self.right.state(task_id)
        with self.lock:
            if found.exit and self.told:
                return attrs.evolve(found, exit=Exit(None, found.exit.time_ns))
            self.told = self.told or found.exit is not None
        return found


class KillsInstead(Mutant):
    def kill(self, task_id, signal, *, everyone=False):
        self.right.kill(task_id, 9, everyone=everyone)


class PausesQuietly(Mutant):
    def state(self, task_id):
        found = self.right.state(task_id)
        return attrs.evolve(found, status=TaskStatus.RUNNING) if found.status is TaskStatus.PAUSED else found


class NeverPauses(Mutant):
    def pause(self, task_id):
        task = self.right._tasks[task_id]
        task.expect(TaskStatus.RUNNING)
        task.status = TaskStatus.PAUSED

    def resume(self, task_id):
        task = self.right._tasks[task_id]
        task.expect(TaskStatus.PAUSED)
        task.status = TaskStatus.RUNNING


class HidesExecs(Mutant):
    def list(self):
        return tuple(each for each in self.right.list() if self.right._tasks[each.id].is_container)


class KillsTheContainerToo(Mutant):
    def kill(self, task_id, signal, *, everyone=False):
        self.right.kill(task_id, signal)
        container = self.right._tasks[task_id].container
        if container != task_id:
            self.right.kill(container, signal)


class ExecsAnywhere(Mutant):
    def exec(self, task_id, exec_id, process, config):
        if self.right.state(task_id).status is TaskStatus.CREATED:
            self.right.start(task_id)
        return self.right.exec(task_id, exec_id, process, config)


class DeletesAnything(Mutant):
    def delete(self, task_id, *, force=False):
        return self.right.delete(task_id, force=True)


class DeletesForgivingly(Mutant):
    def delete(self, task_id, *, force=False):
        try:
            return self.right.delete(task_id, force=force)
        except NotFound:
            if force:
                return None
            raise


class DeleteTellsNothing(Mutant):
    def delete(self, task_id, *, force=False):
        self.right.delete(task_id, force=force)


class RemembersDeleted(Mutant):
    def delete(self, task_id, *, force=False):
        ended = self.right.delete(task_id, force=force)
        with self.right._lock:
            self.right._reserved.add(task_id)
        return ended


class LeaksDescriptors(Mutant):
    leaked = ()

    def delete(self, task_id, *, force=False):
        self.leaked = (*self.leaked, *os.pipe())
        return self.right.delete(task_id, force=force)

    def __del__(self):
        for each in self.leaked:
            os.close(each)


MUTANTS = [
    ("features", Boasts),
    ("features", KnowsAllRuntimes),
    ("programs", NoVersions),
    ("created_task_has_not_run", StartsAtCreate),
    ("start_runs_the_program", NeverStarts),
    ("start_runs_the_program", MixesStreams),
    ("start_runs_the_program", GuessesZero),
    ("start_runs_the_program", ExitNever),
    ("running_is_told", AlwaysCreated),
    ("start_twice", "start"),
    ("missing_program", "start"),
    ("list_is_sorted", ListsBackwards),
    ("taken_id", "create"),
    ("taken_id", ReplacesTaken),
    ("unknown_runtime", TakesAnyRuntime),
    ("failed_create_leaves_nothing", LeaksAtFailure),
    ("stdin", NoStdin),
    ("no_stdin", StdinAlways),
    ("early_output_is_kept", LosesEarlyOutput),
    ("attached_at_once", MixesFirstStreams),
    ("second_attach", "attach"),
    ("terminal", NoTerminal),
    ("terminal", NoWindow),
    ("terminal", NeverResizes),
    ("resize_without_terminal", "resize"),
    ("exit_descriptor_waits", ExitAtOnce),
    ("exit_descriptor_waits", ExitWithoutState),
    ("exit_is_kept", NewExitEachTime),
    ("exit_is_kept", DeleteTellsNothing),
    ("exit_by_signal", GuessesZero),
    ("exit_seen_by_many_threads", FirstAskerWins),
    ("kill_reaches_the_program", KillsInstead),
    ("kill_of_a_stopped_task", "kill"),
    ("pause", PausesQuietly),
    ("pause", NeverPauses),
    ("pause", "resume"),
    ("exec", HidesExecs),
    ("exec_is_killed_alone", KillsTheContainerToo),
    ("exec_needs_a_running_container", ExecsAnywhere),
    ("exec_of_a_taken_id", "exec"),
    ("delete_of_a_running_task", DeletesAnything),
    ("deleted_task_is_forgotten", DeletesForgivingly),
    ("deleted_task_is_forgotten", RemembersDeleted),
    ("no_descriptor_stays_open", LeaksDescriptors),
]


@pytest.fixture
def right(forking, tmp_path):
    with Foreground({"forking": forking}, tmp_path / "run", RealClock(), ListLog()) as supervisor:
        yield supervisor


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """What never comes, doesn't come in half a second either; what must not come has the time to, on any machine."""
    monkeypatch.setattr("moby.testing.supervisor_world.PATIENCE_S", 0.5)
    monkeypatch.setattr("moby.testing.supervisor_world.SHORTLY_S", 5)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    ("test", "mutant"),
    [pytest.param(test, each, id=f"{test}-{getattr(each, '__name__', each)}") for test, each in MUTANTS],
)
def test_suite_fails(right, bundles, tmp_path, test, mutant):
    broken = Forgives(right, mutant) if isinstance(mutant, str) else mutant(right)
    extra = {"tmp_path": tmp_path} if test == "failed_create_leaves_nothing" else {}
    failed = False
    try:
        getattr(SupervisorSuite(), f"test_{test}")(supervisor=broken, bundle=bundles, **extra)
    except (Exception, pytest.fail.Exception):
        failed = True
    assert failed, "the suite lets this pass"


@pytest.mark.parametrize("verb", ["start", "attach", "exit_fd", "state", "delete"])
def test_suite_fails_who_knows_everybody(right, verb):
    with pytest.raises(pytest.fail.Exception):
        SupervisorSuite().test_unknown_task(Forgives(right, verb), verb)


def test_every_promise_has_a_mutant():
    tests = {name.removeprefix("test_") for name in dir(SupervisorSuite) if name.startswith("test_")}
    assert tests - {test for test, _ in MUTANTS} == {"unknown_task"}
