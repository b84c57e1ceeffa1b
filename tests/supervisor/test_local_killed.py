"""What is killed and comes back: no container, no byte of output and no exit code goes with it."""

import contextlib
import os
import select
import signal
import tempfile
from pathlib import Path

import pytest
from holding import logged
from serving import PATIENCE_S, Served, eventually

from moby.contracts.log_driver import LogConfig
from moby.contracts.supervisor import EventKind, TaskConfig
from moby.contracts.types import Exit, TaskStatus
from moby.testing.bundles import Bundles, config

pytestmark = pytest.mark.slow
WAITS = "trap 'exit 7' TERM; echo ready; while :; do sleep 0.1; done"
LATE = "trap 'echo late; exit 6' TERM; echo ready; while :; do sleep 0.1; done"
COUNTS = "trap 'echo end; exit 7' TERM; i=0; while :; do echo $i; i=$((i+1)); sleep 0.001; done"


@pytest.fixture
def served():
    with tempfile.TemporaryDirectory(prefix="moby-test-") as folder:
        served = Served(Path(folder) / "root")
        served.begin()
        yield served
        served.close()
        assert "bug" not in served.log()


@pytest.fixture
def make(served, tmp_path, rootfs):
    bundles = Bundles(tmp_path / "bundles", rootfs)

    def make(task, script, *, driver="lines", start=True, **options):
        folder = tmp_path / f"log-{task}"
        folder.mkdir()
        data = config(["sh", "-c", script], rootless=os.geteuid() != 0, terminal=options.get("terminal", False))
        log = LogConfig(task, folder, driver, options.pop("log_options", {})) if driver else None
        served.supervisor.create(TaskConfig(task, bundles.make(task, data), log=log, **options))
        if start:
            served.supervisor.start(task)
        return folder

    return make


def said(folder, stream=None):
    return logged(folder, stream) if (folder / "lines").exists() else b""


def ends(served, task, code):
    descriptor = served.supervisor.exit_fd(task)
    assert select.select([descriptor], [], [], PATIENCE_S)[0]
    os.close(descriptor)
    state = served.supervisor.state(task)
    assert (state.status, state.exit.code) == (TaskStatus.STOPPED, code)
    exits = [each for each in served.supervisor.journal(0) if each.task_id == task and each.kind is EventKind.EXIT]
    assert [each.exit for each in exits] == [state.exit]
    assert served.supervisor.delete(task) == state.exit
    return state


def all_counted(text, lost=0):
    """What isn't in the log is counted; nothing is in it twice, or in another order."""
    lines = text.splitlines()
    assert lines.pop() == b"end"
    found = [int(each) for each in lines]
    assert found == sorted(set(found))
    missing = sum(len(str(each)) + 1 for each in set(range(found[-1])) - set(found))
    assert missing <= lost


@pytest.mark.parametrize("driver", ["lines", "waiting"])
@pytest.mark.parametrize(
    "which",
    [
        pytest.param(["supervisor"], id="supervisor"),
        pytest.param(["keeper"], id="keeper"),
        pytest.param(["keeper", "supervisor"], id="both"),
        pytest.param(["supervisor", "keeper"], id="both-otherwise"),
    ],
)
def test_a_container_goes_on_and_loses_nothing(served, make, driver, which):
    folder = make("a", COUNTS, driver=driver)
    pid = served.supervisor.state("a").pid
    eventually(lambda: said(folder).count(b"\n") > 50)
    served.kill(*which)
    before = said(folder).count(b"\n")
    assert served.supervisor.state("a").pid == pid
    eventually(lambda: said(folder).count(b"\n") > before + 50)
    served.supervisor.kill("a", signal.SIGTERM)
    state = ends(served, "a", 7)
    eventually(lambda: said(folder).endswith(b"end\n"))
    all_counted(said(folder), state.lost_bytes)


def test_in_turn_again_and_again(served, make):
    folder = make("a", COUNTS)
    eventually(lambda: said(folder))
    for which in (["supervisor"], ["keeper"], ["supervisor"], ["supervisor", "keeper"], ["supervisor"]):
        served.kill(*which)
        assert served.supervisor.state("a").status is TaskStatus.RUNNING
    served.supervisor.kill("a", signal.SIGTERM)
    state = ends(served, "a", 7)
    all_counted(said(folder), state.lost_bytes)


def test_who_waits_for_an_exit_needn_t_notice(served, make):
    make("a", WAITS)
    descriptor = served.supervisor.exit_fd("a")
    served.kill("supervisor")
    assert served.supervisor.state("a").status is TaskStatus.RUNNING
    assert not select.select([descriptor], [], [], 0)[0]
    served.supervisor.kill("a", signal.SIGKILL)
    assert select.select([descriptor], [], [], PATIENCE_S)[0]
    assert served.supervisor.state("a").exit.code == 137
    os.close(descriptor)


def test_what_happens_while_nobody_looks(served, make):
    """It writes, and ends, while the supervisor doesn't run; all is told by the next."""
    folder = make("a", LATE)
    eventually(lambda: said(folder) == b"ready\n")
    end_unseen(served, "a")
    served.kill("supervisor")
    assert ends(served, "a", 6).lost_bytes == 0
    assert said(folder) == b"ready\nlate\n"


def test_an_exit_that_nobody_saw_is_not_guessed(served, make):
    """With it go supervisor and keeper: what is known of its end is right, else it is unknown."""
    folder = make("a", LATE)
    eventually(lambda: said(folder) == b"ready\n")
    end_unseen(served, "a")
    served.kill("keeper", "supervisor")
    found = served.supervisor.state("a")
    assert (found.status, found.exit.code in {6, None}) == (TaskStatus.STOPPED, True)
    assert served.supervisor.delete("a") == found.exit


def end_unseen(served, task):
    """Have a task end while its supervisor stands still."""
    container = served.supervisor.state(task).pid
    os.kill(served.pid(), signal.SIGSTOP)
    os.kill(container, signal.SIGTERM)
    eventually(lambda: Path(f"/proc/{container}/stat").read_text().rpartition(")")[2].split()[0] == "Z")


@pytest.mark.parametrize("terminal", [False, True])
def test_streams_are_attached_to_again(served, make, terminal):
    make("a", "while read x; do echo got $x; done; exit 9", driver="", stdin=True, stdin_once=True, terminal=terminal)
    end = b"\r\n" if terminal else b"\n"
    first = served.supervisor.attach("a")
    os.write(first.stdin, b"one\n")
    assert until(first.stdout, b"got one" + end)
    served.kill("supervisor")
    assert served.supervisor.state("a").status is TaskStatus.RUNNING
    second = served.supervisor.attach("a")
    os.write(second.stdin, b"two\n")
    assert until(second.stdout, b"got two" + end)
    served.kill("keeper")
    third = served.supervisor.attach("a")
    os.write(third.stdin, b"three\n")
    assert until(third.stdout, b"got three" + end)
    if terminal:
        os.write(third.stdin, b"\x04")
    else:
        os.close(second.stdin)
    ends(served, "a", 9)
    for streams in (first, second, third):
        for each in {streams.stdin, streams.stdout, streams.stderr} - {-1}:
            with contextlib.suppress(OSError):
                os.close(each)


def until(descriptor, mark):
    found = b""
    while mark not in found:
        assert select.select([descriptor], [], [], PATIENCE_S)[0], found
        chunk = os.read(descriptor, 65536)
        assert chunk, found
        found += chunk
    return found


def test_output_waits_for_who_was_attached(served, make):
    """Logged or not, what comes while nobody carries it is for those who attach again; its log has it, too."""
    script = "read a; i=0; while [ $i -lt 3000 ]; do echo $i; i=$((i+1)); done; exit 3"
    folder = make("logged", script, stdin=True, attach=True)
    make("alone", script, driver="", stdin=True, attach=True)
    first = {each: served.supervisor.attach(each) for each in ("logged", "alone")}
    found = {}
    for task, streams in first.items():
        os.write(streams.stdin, b"go\n")
        found[task] = until(streams.stdout, b"9\n")  # so it has read that
    served.kill("supervisor")
    said_again = {}
    for task, streams in first.items():
        before = found[task] + all_from(streams.stdout)
        again = served.supervisor.attach(task)
        said_again[task] = before + all_from(again.stdout)
        for each in (streams.stdin, streams.stderr, again.stdin, again.stderr):
            os.close(each)
    everything = b"".join(b"%d\n" % number for number in range(3000))
    assert said_again["alone"] == everything
    lost = ends(served, "logged", 3).lost_bytes
    assert len(said_again["logged"]) >= len(everything) - lost
    assert said(folder) == everything or lost
    ends(served, "alone", 3)


def all_from(descriptor):
    with os.fdopen(descriptor, "rb") as file:
        return file.read()


def test_output_waits_no_longer_than_a_moment(served, make):
    """Those who were attached may be gone for ever: then it is logged, and the end is told."""
    folder = make("a", "read a; echo got $a; read b; echo got $b; exit 5", stdin=True, attach=True)
    streams = served.supervisor.attach("a")
    os.write(streams.stdin, b"one\ntwo\n")
    assert until(streams.stdout, b"got ")
    served.kill("supervisor")
    ends(served, "a", 5)
    assert said(folder).startswith(b"got one\n")
    for each in (streams.stdin, streams.stdout, streams.stderr):
        os.close(each)


def test_what_was_ended_stays_so(served, make):
    """Exits, paused containers, a closed standard input and created containers are as they were."""
    make("stopped", "exit 4")
    ended = eventually(lambda: served.supervisor.state("stopped").exit)
    make("paused", WAITS)
    served.supervisor.pause("paused")
    make("created", "exit 3", start=False)
    served.kill("supervisor")
    assert served.supervisor.state("stopped").exit == ended
    assert [each.exit for each in served.supervisor.journal(0)] == [ended]
    assert served.supervisor.state("paused").status is TaskStatus.PAUSED
    served.supervisor.resume("paused")
    assert served.supervisor.state("created").status is TaskStatus.CREATED
    served.supervisor.start("created")
    ends(served, "created", 3)
    assert isinstance(served.supervisor.delete("stopped"), Exit)


def test_an_engine_that_ends_takes_nothing_along(served, make):
    folder = make("a", COUNTS)
    pid, supervisor = served.supervisor.state("a").pid, served.pid()
    served.end()
    before = said(folder).count(b"\n")
    eventually(lambda: said(folder).count(b"\n") > before + 50)
    assert served.begin().state("a").pid == pid
    assert served.pid() == supervisor
    served.supervisor.kill("a", signal.SIGTERM)
    ends(served, "a", 7)
    all_counted(said(folder))
