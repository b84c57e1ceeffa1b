"""What the suite doesn't say of the supervisor `local`: its records, its journal, OOM kills, and health by network."""

import contextlib
import http.server
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from ambient import ListLog, RealClock
from engine import place
from holding import LinesDriver
from moby_runtime.native.runtime import Native
from moby_supervisor.local import health, lock
from moby_supervisor.local.exits import Endings
from moby_supervisor.local.journal import Journal
from moby_supervisor.local.local import Local
from moby_supervisor.local.making import Maker
from moby_supervisor.local.marks import Marks, Slot
from moby_supervisor.local.records import Record, Records
from test_local import bundle, keeper, runtime, supervisor  # noqa: F401 - fixtures
from test_local_logs import PATIENCE_S, eventually

from moby.contracts.log_driver import LogConfig
from moby.contracts.supervisor import (
    EventKind,
    Health,
    HealthCheck,
    HealthResult,
    HealthStatus,
    TaskConfig,
    TaskEvent,
)  # fmt: skip
from moby.contracts.types import Exit, TaskStatus
from moby.errors import Conflict, Corrupt, Invalid, Unavailable
from moby.host import exits
from moby.testing.bundles import Bundles, config
from moby.testing.holding import SameProcess
from moby.testing.supervisor import read_until, readable

MS = 1_000_000
ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="an ordinary user has no control groups here; runs as root")


@pytest.fixture
def raw(tmp_path, rootfs):
    """A function that makes a bundle of a config.json."""
    bundles, names = Bundles(tmp_path / "raw", rootfs), iter(range(100))
    return lambda data: bundles.make(str(next(names)), data)


def ends(supervisor, task="a"):  # noqa: F811
    descriptor = supervisor.exit_fd(task)
    assert readable(descriptor, PATIENCE_S)
    os.close(descriptor)
    return supervisor.state(task).exit


@ROOT
def test_oom_kills_are_told(supervisor, raw):  # noqa: F811
    data = config(["sh", "-c", "sh -c 'x=0123456789abcdef; while :; do x=$x$x; done'; read x; exit 0"])
    data["linux"]["resources"] = {"memory": {"limit": 16 * 2**20}}
    supervisor.create(TaskConfig("a", raw(data), stdin=True))
    streams = supervisor.attach("a")
    supervisor.start("a")
    eventually(lambda: [each.kind for each in supervisor.journal(0)] == [EventKind.OOM])
    os.close(streams.stdin)
    assert ends(supervisor) == supervisor.journal(1)[0].exit
    ended = supervisor.delete("a")
    assert (ended.code, ended.oom_killed) == (0, True)
    assert [each.kind for each in supervisor.journal(0)] == [EventKind.OOM, EventKind.EXIT]
    os.close(streams.stdout)
    os.close(streams.stderr)


@ROOT
@pytest.mark.parametrize(("script", "code"), [
    pytest.param("x=0123456789abcdef; while :; do x=$x$x; done", 137, id="itself"),
    pytest.param("sh -c 'x=0123456789abcdef; while :; do x=$x$x; done'; read x; exit 3", 3, id="a-child"),
])  # fmt: skip
def test_oom_kills_before_anybody_watches_are_told(supervisor, runtime, raw, monkeypatch, script, code):  # noqa: F811
    watch = Maker.watch_oom

    def late(maker, task):
        if runtime.stats("a").oom_kills or task.record.exit is not None:
            watch(maker, task)
        else:
            maker._world.loop.after(0.01, lambda: late(maker, task))

    monkeypatch.setattr(Maker, "watch_oom", late)
    data = config(["sh", "-c", script])
    data["linux"]["resources"] = {"memory": {"limit": 16 * 2**20}}
    supervisor.create(TaskConfig("a", raw(data), stdin=True))
    streams = supervisor.attach("a")
    supervisor.start("a")
    eventually(lambda: EventKind.OOM in [each.kind for each in supervisor.journal(0)])
    for each in (streams.stdin, streams.stdout, streams.stderr):
        os.close(each)
    ended = ends(supervisor)
    assert (ended.code, ended.oom_killed) == (code, True)


class Answers(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/endless":
            self.wfile.write(b"HTTP/1.0 " + b"2" * 5000 + b" ok\r\n\r\n")
            return
        if self.path == "/trickling":
            with contextlib.suppress(ConnectionError):
                while True:
                    self.wfile.write(b"2")
                    time.sleep(0.01)
        code = {"/well": 204, "/moved": 302, "/ill": 503}.get(self.path)
        if code is None:
            self.rfile.read(1)  # to the end of who asks
            return
        self.send_response(code)
        self.end_headers()
        if code == 503:
            self.wfile.write(b"ill\n")

    def log_message(self, *arguments):
        pass


@pytest.fixture
def port():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    thread.join()
    server.socket.close()


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/well", HealthStatus.HEALTHY, "204"),
        ("/moved", HealthStatus.HEALTHY, "302"),
        ("/ill", HealthStatus.UNHEALTHY, "ill\n"),
        ("/endless", HealthStatus.UNHEALTHY, "HTTP/1.0 2222"),
        ("/never", HealthStatus.UNHEALTHY, "Health check exceeded timeout (300ms)"),
        ("/trickling", HealthStatus.UNHEALTHY, "Health check exceeded timeout (300ms)"),
        (None, HealthStatus.HEALTHY, ""),
    ],
)
def test_health_is_asked_for_without_a_process(supervisor, raw, port, path, status, said):  # noqa: F811
    data = config(["sh", "-c", "while :; do read x; done"], rootless=os.geteuid() != 0)
    data["linux"]["namespaces"] = [each for each in data["linux"]["namespaces"] if each["type"] != "network"]
    test = ("TCP", str(port)) if path is None else ("HTTP", f"http://localhost:{port}{path}")
    check = HealthCheck(test, interval_ns=20 * MS, timeout_ns=(300 if "300" in said else 20_000) * MS, retries=1)
    supervisor.create(TaskConfig("a", raw(data), stdin=True, stdin_once=False, health=check))
    supervisor.start("a")
    state = eventually(lambda: (s := supervisor.state("a")).health.results and s)
    assert state.health.status is status
    assert said in state.health.results[0].output
    assert all(each.health is not None for each in supervisor.journal(0)), "no program has looked"


@pytest.mark.parametrize(
    ("program", "why"),
    [
        ("nope", 'exec: "nope": executable file not found in $PATH'),
        ("/nope", 'exec: "/nope": stat /nope: no such file or directory'),
        ("", 'exec: "": executable file not found in $PATH'),
    ],
)
def test_what_a_health_check_can_not_run_is_told_as_docker_tells_it(supervisor, bundle, program, why):  # noqa: F811
    check = HealthCheck(("CMD", program), interval_ns=10 * MS, retries=1)
    folder = bundle("sh", "-c", "while :; do read x; done")
    supervisor.create(TaskConfig("a", folder, stdin=True, stdin_once=False, health=check))
    supervisor.start("a")
    state = eventually(lambda: (s := supervisor.state("a")).health.results and s)
    words = f"OCI runtime exec failed: exec failed: unable to start container process: {why}: unknown"
    assert (state.health.results[0].code, state.health.results[0].output) == (-1, words)


def test_the_journal_tells_of_looks_while_somebody_reads_it(supervisor, bundle, monkeypatch):  # noqa: F811
    monkeypatch.setattr(health, "_MOST_UNREAD", 3)
    check = HealthCheck(("CMD", "sh", "-c", "exit 3"), interval_ns=10 * MS, retries=1000)
    folder = bundle("sh", "-c", "while :; do read x; done")
    supervisor.create(TaskConfig("a", folder, stdin=True, stdin_once=False, health=check))
    supervisor.start("a")
    eventually(lambda: supervisor.state("a").health.failing_streak > 5)
    found = supervisor.journal(0)
    assert [(each.kind, each.health, each.exit.code) for each in found] == [(EventKind.HEALTH, None, 3)] * 3
    assert all(each.time_ns <= each.exit.time_ns for each in found)
    supervisor.trim_journal(2)
    eventually(lambda: [each.number for each in supervisor.journal(0)] == [3, 4, 5])


@ROOT
def test_health_is_asked_for_where_the_container_is(supervisor, bundle):  # noqa: F811
    """Its own network, where something listens that the host can't reach."""
    missing = [name for name in ("nsenter", "ip") if shutil.which(name) is None]
    assert not missing, f"tests of networks need {missing} (util-linux, iproute2)"
    check = HealthCheck(("TCP", "7777"), interval_ns=20 * MS, retries=1)
    folder = bundle("sh", "-c", "while :; do read x; done")
    supervisor.create(TaskConfig("a", folder, stdin=True, stdin_once=False, health=check))
    supervisor.start("a")
    pid = str(supervisor.state("a").pid)
    eventually(lambda: supervisor.state("a").health.status is HealthStatus.UNHEALTHY)
    subprocess.run(["nsenter", "-t", pid, "-n", "ip", "link", "set", "lo", "up"], check=True, timeout=60)
    script = "import socket; s=socket.create_server(('127.0.0.1', 7777))\nwhile True: s.accept()[0].close()"
    server = subprocess.Popen(["nsenter", "-t", pid, "-n", sys.executable, "-S", "-c", script])
    try:
        eventually(lambda: supervisor.state("a").health.status is HealthStatus.HEALTHY)
    finally:
        server.kill()
        server.wait(PATIENCE_S)


def test_a_bundle_that_has_gone_can_not_be_looked_into(supervisor, bundle):  # noqa: F811
    check = HealthCheck(("CMD", "sh", "-c", ":"), interval_ns=20 * MS, retries=1)
    folder = bundle("sh", "-c", "while :; do read x; done")
    supervisor.create(TaskConfig("a", folder, stdin=True, stdin_once=False, health=check))
    supervisor.start("a")
    (folder / "config.json").unlink()
    state = eventually(lambda: (s := supervisor.state("a")).health.status is HealthStatus.UNHEALTHY and s)
    assert "can't be read any more" in state.health.results[-1].output


def test_who_was_well_is_not_in_its_start_period_any_more():
    check = HealthCheck(("CMD", "x"), start_period_ns=100, retries=2)
    ill, well = (HealthResult(50, 60, code) for code in (1, 0))
    found = health.judged(Health(HealthStatus.STARTING), check, ill, 0)
    assert (found.status, found.failing_streak) == (HealthStatus.STARTING, 0)
    found = health.judged(health.judged(found, check, well, 0), check, ill, 0)
    assert (found.status, found.failing_streak) == (HealthStatus.HEALTHY, 1)
    found = health.judged(found, check, ill, 0)
    assert (found.status, found.failing_streak) == (HealthStatus.UNHEALTHY, 2)


# --- what is on disk ---------------------------------------------------------------------------------------------


def entry(task="a", code=0):
    return TaskEvent(0, 5, EventKind.EXIT, task, Exit(code, 5))


def test_a_journal_is_read_again(tmp_path):
    log = ListLog()
    journal = Journal(tmp_path / "journal", log)
    written = [journal.append(entry(code=each)) for each in range(3)]
    written.append(journal.append(TaskEvent(0, 6, EventKind.HEALTH, "b", health=HealthStatus.HEALTHY)))
    journal.trim(1)
    journal.close()
    with (tmp_path / "journal").open("ab") as file:
        file.write(b'{"n": 5, "time"')  # its writer was killed
    journal = Journal(tmp_path / "journal", log)
    assert journal.after(0) == tuple(written[1:])
    assert journal.append(entry()).number == 5
    journal.trim(5)
    journal.close()
    journal = Journal(tmp_path / "journal", log)
    assert (journal.after(0), journal.last) == ((), 5)
    journal.close()
    assert log.lines == []


def test_a_damaged_journal_is_kept_and_told_of(tmp_path):
    log = ListLog()
    journal = Journal(tmp_path / "journal", log)
    for _ in range(3):
        journal.append(entry())
    journal.close()
    lines = (tmp_path / "journal").read_bytes().split(b"\n")
    (tmp_path / "journal").write_bytes(b"\n".join([*lines[:2], b"nonsense", *lines[3:]]))
    journal = Journal(tmp_path / "journal", log)
    assert [each.number for each in journal.after(0)] == [1]
    journal.close()
    assert [each[0] for each in log.lines] == ["error"]
    assert b"nonsense" in (tmp_path / "journal.damaged").read_bytes()


def test_a_full_disk_takes_no_half_entry(tmp_path):
    journal = Journal(tmp_path / "journal", ListLog())
    journal.append(entry())
    import resource
    import signal

    size = (tmp_path / "journal").stat().st_size
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 10, before[1]))
    try:
        with pytest.raises(OSError, match="disk is full"):
            journal.append(entry())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert (tmp_path / "journal").stat().st_size == size
    assert journal.append(entry()).number == 2
    journal.close()


def test_a_full_disk_takes_no_entry_away(tmp_path, monkeypatch):
    """What is forgotten is written anew: where there is no room for that, all is as it was, and goes on."""
    log = ListLog()
    journal = Journal(tmp_path / "journal", log)
    written = [journal.append(entry()) for _ in range(3)]

    def full(*_, **__):
        raise OSError(28, "no room")

    with monkeypatch.context() as patched:
        patched.setattr(type(tmp_path), "write_text", full)
        with pytest.raises(OSError, match="no room"):
            journal.trim(2)
    assert journal.after(0) == tuple(written)
    written.append(journal.append(entry()))
    journal.close()
    journal = Journal(tmp_path / "journal", log)
    assert journal.after(0) == tuple(written)
    journal.trim(2)
    assert journal.after(0) == tuple(written[2:])
    journal.close()
    assert log.lines == []


@ROOT
def test_an_end_by_oom_waits_for_room(tmp_path, keeper, runtime, raw, monkeypatch):  # noqa: F811
    monkeypatch.setattr("moby_supervisor.local.making._RETRY_S", 0.05)
    log = ListLog()
    with Local({"only": runtime}, {}, keeper, place(tmp_path, "supervisor"), RealClock(), log) as local:
        journal = local._world.journal
        append, refused = journal.append, []

        def full(event):
            refused.append(event.kind)
            if len(refused) < 4:
                raise OSError(28, "no room")
            return append(event)

        monkeypatch.setattr(journal, "append", full)
        data = config(["sh", "-c", "x=0123456789abcdef; while :; do x=$x$x; done"])
        data["linux"]["resources"] = {"memory": {"limit": 16 * 2**20}}
        local.create(TaskConfig("a", raw(data)))
        local.start("a")
        ended = ends(local)
        local.delete("a")
    assert (ended.code, ended.oom_killed) == (137, True)
    assert refused[:4] == [EventKind.OOM] * 4 and refused[-1] is EventKind.EXIT


@pytest.mark.slow
def test_marks_outlive_who_made_them(tmp_path):
    marks = Marks(tmp_path / "marks")
    slots = [marks.allocate() for _ in range(5000)]
    slots[4999].write(Slot.LOST, 1 << 40)
    marks.release(slots[7])
    assert marks.allocate().number == 7
    marks.close()
    marks = Marks(tmp_path / "marks")
    slot = marks.claim(4999)
    assert slot.read(Slot.LOST) == 1 << 40
    slot.write(Slot.IN_FLIGHT, 5)
    slot.lose(Slot.IN_FLIGHT)
    assert (slot.read(Slot.LOST), slot.read(Slot.IN_FLIGHT)) == ((1 << 40) + 5, 0)
    marks.close()


@pytest.mark.parametrize("task", ["", ".hidden", "a/b", "a:b", "x" * 256])
def test_an_id_is_a_name(supervisor, bundle, task):  # noqa: F811
    with pytest.raises(Invalid, match="can't be the id"):
        supervisor.create(TaskConfig(task, bundle("sh")))


def test_a_record_that_cannot_be_read_is_told_of(tmp_path):
    records = Records(tmp_path)
    (tmp_path / "a").mkdir()
    assert records.read("a") is None
    for text in ("[]", '{"format": 99}', "nonsense"):
        (tmp_path / "a/config.json").write_text(text)
        with pytest.raises(Corrupt, match=str(tmp_path)):
            records.read("a")


def test_a_record_is_written_again_and_again(tmp_path, monkeypatch):
    records = Records(tmp_path)
    task = TaskConfig("a", tmp_path)
    records.begin(task, Record("boot", "a", 0))
    for number in range(2000):
        records.write("a", Record("boot", "a", number, exit=Exit(None, number)))
    assert records.read("a") == (task, Record("boot", "a", 1999, exit=Exit(None, 1999)))
    assert (tmp_path / "a/task.json").stat().st_size < 1 << 19
    with monkeypatch.context() as patch:
        patch.setattr("os.write", lambda fd, data: 1)
        with pytest.raises(OSError, match="No space left"):
            records.write("a", Record("boot", "a", 5))
    assert records.read("a") == (task, Record("boot", "a", 1999, exit=Exit(None, 1999)))


@pytest.fixture
def again(tmp_path):
    """Supervisors one after another, in this process, on the same folders."""
    keeper, log = SameProcess(), ListLog()  # noqa: F811
    natives = {"native": Native(place(tmp_path, "native"))}

    def again(**options):
        drivers = {"lines": LinesDriver(), "waiting": LinesDriver(waits=True)}
        return Local(natives, drivers, keeper, place(tmp_path, "supervisor"), RealClock(), log, **options)

    again.keeper, again.log, again.folder, again.natives = keeper, log, tmp_path / "supervisor", natives
    before = children()
    yield again
    over = threading.Event()
    others = before | {pid for each in keeper.pids.values() for pid in each}
    reaper = threading.Thread(target=reap_forgotten, args=(over, others), daemon=True)
    reaper.start()
    with again() as supervisor:  # noqa: F811
        supervisor.reclaim()
    over.set()
    reaper.join()
    keeper.close()


def children():
    """The processes that this one is to reap."""
    return {int(pid) for each in Path("/proc/self/task").iterdir() for pid in (each / "children").read_text().split()}


def reap_forgotten(over, others):
    """Reap what supervisors of this process have left amid a probe, as a keeper does where they are of their own.

    A container's first process ends only once somebody has reaped all in its PID namespace.
    """
    seen = set()
    while not over.wait(2):
        ended = {pid for pid in children() - others if has_ended(pid, os.WNOWAIT)}
        seen = {pid for pid in ended if pid not in seen or not has_ended(pid)}


def has_ended(pid, more=0):
    """Whether a child has ended, and is reaped with this; False where it was reaped before."""
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | more) is not None
    except ChildProcessError:
        return False


def edit(path, changes):
    """Change a record, as a supervisor would that is killed then."""
    last = json.loads(path.read_text().splitlines()[-1])
    with path.open("a") as file:
        file.write(json.dumps({**last, **changes}) + '\n{"torn": ')


def test_what_was_not_begun_is_nothing(again, bundle):  # noqa: F811
    """A supervisor was killed when a task's folder was there, and nothing in it; and when a record was damaged."""
    (again.folder / "tasks/half").mkdir(parents=True)
    (again.folder / "tasks/bad").mkdir()
    (again.folder / "tasks/bad/config.json").write_text("{")
    with again() as supervisor:  # noqa: F811
        assert supervisor.list() == ()
        assert not (again.folder / "tasks/half").exists()
    assert [each[0] for each in again.log.lines] == ["error"]
    shutil.rmtree(again.folder / "tasks/bad")


def test_a_task_that_was_being_made_is_deleted(again, bundle):  # noqa: F811
    with again() as supervisor:  # noqa: F811
        supervisor.create(TaskConfig("a", bundle("sh")))
    path = again.folder / "tasks/a/task.json"
    edit(path, {"doing": "create", "status": "creating", "pid": 0})
    with again() as supervisor:
        eventually(lambda: supervisor.list() == () and not path.exists())
        supervisor.create(TaskConfig("a", bundle("sh")))
        supervisor.delete("a", force=True)


def test_what_was_being_done_to_a_task_is_looked_at(again, bundle):  # noqa: F811
    """Its starter has ended meanwhile; the runtime says how it is."""
    with again() as supervisor:  # noqa: F811
        supervisor.create(TaskConfig("a", bundle("sh", "-c", "while :; do read x; done"), stdin=True))
        supervisor.start("a")
    path = again.folder / "tasks/a/task.json"
    edit(path, {"doing": "start", "status": "created"})
    with again() as supervisor:
        eventually(lambda: supervisor.state("a").status is TaskStatus.RUNNING)
        supervisor.pause("a")
    assert "torn" not in path.read_text()
    edit(path, {"doing": "pause", "status": "running"})
    with again() as supervisor:
        eventually(lambda: supervisor.state("a").status is TaskStatus.PAUSED)
    edit(path, {"doing": "delete"})
    with again() as supervisor:
        eventually(lambda: supervisor.list() == (), again.log.lines)


def test_health_is_checked_after_a_pause_that_another_supervisor_began(again, bundle):  # noqa: F811
    """Also where that one was killed before it had written down what the pause means for it."""
    check = HealthCheck(("CMD-SHELL", ":"), interval_ns=30 * MS)
    with again() as supervisor:  # noqa: F811
        supervisor.create(TaskConfig("a", bundle("sh", "-c", "while :; do read x; done"), stdin=True, health=check))
        supervisor.start("a")
        eventually(lambda: supervisor.state("a").health.status is HealthStatus.HEALTHY)
        supervisor.pause("a")
    path = again.folder / "tasks/a/task.json"
    unwritten = {"health": ["healthy", 0, []]}
    for changes in ({}, unwritten, {**unwritten, "doing": "pause", "status": "running"}):
        edit(path, changes)
        with again() as supervisor:
            eventually(lambda: supervisor.state("a").health.status is HealthStatus.UNHEALTHY)
            assert supervisor.state("a").status is TaskStatus.PAUSED
    with again() as supervisor:
        supervisor.resume("a")
        eventually(lambda: supervisor.state("a").health.status is HealthStatus.HEALTHY)


def test_a_probe_that_a_pause_came_into_says_nothing(supervisor, bundle):  # noqa: F811
    """It takes too long only since it was paused."""
    test = "CMD-SHELL", "mkdir /tmp/first || exit 0; sleep 1000"
    check = HealthCheck(test, interval_ns=MS, timeout_ns=5000 * MS, retries=1)
    supervisor.create(TaskConfig("a", bundle("sh", "-c", "while :; do read x; done"), stdin=True, health=check))
    supervisor.start("a")
    eventually(lambda: any(command_of(pid).startswith(b"sleep\0") for pid in supervisor.pids("a")))
    supervisor.pause("a")
    time.sleep(5.2)
    supervisor.resume("a")
    found = eventually(lambda: supervisor.state("a").health.results)
    assert {each.code for each in found} == {0}


def command_of(pid):
    """The words of a process; none where it has just ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


@ROOT
def test_an_end_by_oom_while_nobody_looked(again, raw):
    fill = "x=0123456789abcdef; while :; do x=$x$x; done"
    data = config(["sh", "-c", f"trap '{fill}' USR1; echo up; while :; do sleep 0.02; done"])
    data["linux"]["resources"] = {"memory": {"limit": 16 * 2**20}}
    with again() as supervisor:  # noqa: F811
        supervisor.create(TaskConfig("a", raw(data)))
        streams = supervisor.attach("a")
        supervisor.start("a")
        read_until(streams.stdout, b"up\n")
        pid = supervisor.state("a").pid
    os.close(streams.stdout)
    os.close(streams.stderr)
    pidfd = os.pidfd_open(pid)
    os.kill(pid, signal.SIGUSR1)
    assert readable(pidfd, PATIENCE_S)
    os.close(pidfd)
    with again() as supervisor:
        assert ends(supervisor).oom_killed
        assert [each.kind for each in supervisor.journal(0)] == [EventKind.OOM, EventKind.EXIT]


def test_another_boot_has_ended_all(again, bundle):  # noqa: F811
    with again() as supervisor:  # noqa: F811
        supervisor.create(TaskConfig("a", bundle("sh")))
        pid = supervisor.state("a").pid
    again.keeper.release("task:a")
    path = again.folder / "tasks/a/task.json"
    edit(path, {"boot": "another"})
    with again() as supervisor:
        ended = supervisor.state("a").exit
        assert ended.code is None
        assert [each.exit for each in supervisor.journal(0)] == [ended]
        os.kill(pid, 9)
        os.waitpid(pid, 0)
        assert supervisor.delete("a") == ended


def test_an_exit_is_told_once(again, bundle):  # noqa: F811
    """The supervisor was killed after it was in the journal, and before it was in the task's record."""
    with again() as supervisor:  # noqa: F811
        supervisor.create(TaskConfig("a", bundle("sh", "-c", "exit 3")))
        supervisor.start("a")
        ended = ends(supervisor)
    path = again.folder / "tasks/a/task.json"
    edit(path, {"exit": None, "status": "running"})
    with again() as supervisor:
        assert supervisor.state("a").exit == ended
        assert [each.exit for each in supervisor.journal(0)] == [ended]


def test_bytes_that_were_read_and_not_logged_are_counted(again, bundle, tmp_path):  # noqa: F811
    (tmp_path / "log").mkdir()
    with again() as supervisor:  # noqa: F811
        supervisor.create(TaskConfig("a", bundle("sh"), log=LogConfig("a", tmp_path / "log", "lines")))
    marks = Marks(again.folder / "marks")
    marks.claim(0).write(Slot.IN_FLIGHT, 77)
    marks.close()
    with again() as supervisor:
        assert supervisor.state("a").lost_bytes == 77


def test_who_does_not_die_is_unavailable(again, bundle, monkeypatch):  # noqa: F811
    monkeypatch.setattr("moby_runtime.native.runtime.Native.kill", lambda *arguments, **options: None)
    with again(kill_timeout_s=0.05) as supervisor:  # noqa: F811
        supervisor.create(TaskConfig("a", bundle("sh", "-c", "while :; do read x; done"), stdin=True))
        supervisor.start("a")
        with monkeypatch.context() as patch:
            patch.setattr("moby.host.processes.send_signal", lambda *arguments: None)
            with pytest.raises(Unavailable, match="and hasn't ended within"):
                supervisor.delete("a", force=True)
        assert supervisor.state("a").status is TaskStatus.RUNNING


def die(*arguments):
    os.kill(os.getpid(), 9)


@pytest.mark.parametrize(
    ("create", "error", "told"),
    [
        (die, Unavailable, "make the container a: the process that did it was killed"),
        (lambda *arguments: 1 // 0, RuntimeError, "ZeroDivisionError"),
    ],
    ids=["killed", "a bug"],
)
def test_a_starter_that_fails_leaves_nothing(again, bundle, monkeypatch, create, error, told):  # noqa: F811
    with again() as supervisor:  # noqa: F811
        with monkeypatch.context() as patch:
            patch.setattr("moby_runtime.native.runtime.Native.create", create)
            with pytest.raises(error, match=told):
                supervisor.create(TaskConfig("a", bundle("sh")))
        assert supervisor.list() == ()
        assert again.log.lines == []
        assert again.keeper.copies == {}


@pytest.mark.parametrize("deletes", [True, False])
def test_what_was_made_and_can_not_be_taken_over_is_ended(again, bundle, monkeypatch, deletes):  # noqa: F811
    """The keeper takes no more once the container, or the program, is there."""
    natives, config = (
        again.natives["native"],
        TaskConfig("a", bundle("sh", "-c", "while :; do read x; done"), stdin=True),
    )

    def hold(name, fds, pids=()):
        if pids:
            raise Unavailable("the keeper doesn't answer")

    with again() as supervisor:  # noqa: F811
        with monkeypatch.context() as patch:
            patch.setattr(again.keeper, "hold", hold)
            if not deletes:
                patch.setattr("moby_runtime.native.runtime.Native.delete", refuse)
            with pytest.raises(Unavailable, match="the keeper doesn't answer"):
                supervisor.create(config)
        assert (supervisor.list(), again.keeper.copies) == ((), {})
        if not deletes:
            assert [each[1] for each in again.log.lines] == ["a container that wasn't made whole stays"]
            assert [each.status for each in natives.list()] == [TaskStatus.STOPPED]
            natives.delete("a")
        assert natives.list() == ()
        supervisor.create(config)
        supervisor.start("a")
        before = natives.pids("a")
        with monkeypatch.context() as patch:
            patch.setattr(again.keeper, "hold", hold)
            with pytest.raises(Unavailable, match="the keeper doesn't answer"):
                process = {"args": ["sleep", "100"], "cwd": "/", "user": {"uid": 0, "gid": 0}}
                supervisor.exec("a", "b", process, TaskConfig("b", config.bundle))
        eventually(lambda: natives.pids("a") == before)


def refuse(*arguments, **options):
    raise Conflict("it is in use")


def test_an_exec_has_no_health_check(supervisor, bundle):  # noqa: F811
    supervisor.create(TaskConfig("a", bundle("sh", "-c", "while :; do read x; done"), stdin=True))
    supervisor.start("a")
    check = TaskConfig("b", bundle("sh"), health=HealthCheck(("CMD", "true")))
    with pytest.raises(Invalid, match="an exec has no health check"):
        supervisor.exec("a", "b", {}, check)
    supervisor.kill("a", 9, everyone=True)
    ends(supervisor)
    with pytest.raises(Conflict):
        supervisor.kill("a", 9, everyone=True)


def test_endings_are_asked_for_in_order():
    keeper = SameProcess()  # noqa: F811
    endings = Endings(keeper, RealClock())
    pid = os.posix_spawn("/bin/sh", ["sh", "-c", "exit 3"], {})
    pidfd = os.pidfd_open(pid)
    assert readable(pidfd, PATIENCE_S)
    assert endings.of(pid, 0, pidfd).code == 3
    os.waitpid(pid, 0)
    assert endings.of(pid, 0, pidfd).code in {3, None}, "by the kernel, from 6.15 on"
    assert endings.of(pid, 0, -1).code is None
    keeper.saw(pid, 9)
    assert endings.of(pid, 0, -1).code == 137
    os.close(pidfd)
    keeper.close()


def test_what_the_kernel_says_of_ended_processes():
    pid = os.posix_spawn("/bin/sh", ["sh", "-c", "exit 3"], {})
    pidfd = os.pidfd_open(pid)
    assert exits.pid_of(pidfd) == pid
    assert readable(pidfd, PATIENCE_S)
    assert exits.reaped_status(pidfd) is None
    assert exits.zombie_status(pid) == 3 << 8
    os.waitpid(pid, 0)
    assert exits.zombie_status(pid) is None
    assert exits.pid_of(pidfd) == -1
    assert exits.reaped_status(pidfd) in {3 << 8, None}
    os.close(pidfd)
    assert exits.zombie_status(os.getpid()) is None
    null = os.open(os.devnull, os.O_RDONLY)
    assert (exits.reaped_status(null), exits.pid_of(null)) == (None, 0)
    os.close(null)
    assert [exits.code_of(each) for each in (0, 3 << 8, 9)] == [0, 3, 137]


def test_the_last_to_be_started_has_the_folder(again, bundle, tmp_path):  # noqa: F811
    """A supervisor that no keeper knows of ends when another takes its place."""
    read, write = os.pipe()
    other = os.fork()
    if other == 0:
        lock.take(again.folder)
        os.write(write, b"!")
        while True:
            time.sleep(60)
    assert os.read(read, 1) == b"!"
    with again() as supervisor:  # noqa: F811
        assert os.waitstatus_to_exitcode(os.waitpid(other, 0)[1]) == -9
        assert supervisor.list() == ()
    os.close(read)
    os.close(write)


def test_who_has_the_folder_and_does_not_end_is_unavailable(tmp_path, monkeypatch):
    read, write = os.pipe()
    other = os.fork()
    if other == 0:
        lock.take(tmp_path)
        os.write(write, b"!")
        while True:
            time.sleep(60)
    assert os.read(read, 1) == b"!"
    monkeypatch.setattr(lock, "_PATIENCE_S", 0.05)
    monkeypatch.setattr("moby.host.processes.send_signal", lambda *arguments: None)
    with pytest.raises(Unavailable, match=f"another supervisor, {other}"):
        lock.take(tmp_path)
    os.kill(other, 9)
    os.waitpid(other, 0)
    os.close(read)
    os.close(write)
