"""What is tried inside a sandbox, where containerd may run; test_supervisor_containerd.py runs this file there."""

import os
import signal
import sys
from pathlib import Path

import pytest
from ambient import ListLog, RealClock
from engine import place
from holding import LinesDriver, SentLines, logged
from moby_log.local.driver import Local as LocalLog
from moby_supervisor.local import FEATURES
from moby_supervisor.local.containerd import bundles, protocol
from moby_supervisor.local.containerd.supervisor import Containerd
from moby_supervisor.local.containerd.tasks import _ends_with

from moby.contracts.log_driver import LogConfig, LogQuery
from moby.contracts.supervisor import TaskConfig
from moby.contracts.types import Stdio, Window
from moby.errors import Conflict, HostUnfit, Invalid, Unavailable, Unsupported
from moby.grpc.client import Client
from moby.host import capabilities
from moby.host.capabilities import NAMES, bounding
from moby.oci.bundle import possible
from moby.testing.bundles import Bundles, config
from moby.testing.holding import SameProcess
from moby.testing.supervisor import read_all, read_until, readable
from moby.testing.supervisor_whole import WholeSupervisorSuite

BINARIES = {"runc": "runc"}


@pytest.fixture
def keeper():
    keeper = SameProcess()
    yield keeper
    keeper.close()


@pytest.fixture
def log():
    return ListLog()


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("c")


@pytest.fixture
def supervisor(home, keeper, log):
    drivers = {"lines": LinesDriver(), "waiting": LinesDriver(waits=True), "sent": SentLines(), "local": LocalLog()}
    with Containerd(BINARIES, drivers, keeper, place(home, "s"), RealClock(), log) as supervisor:
        yield supervisor
        for each in supervisor.list():
            supervisor.delete(each.id, force=True)
    assert [each for each in log.lines if each[0] == "error"] == []
    assert keeper.copies == {}


@pytest.fixture
def bundle(tmp_path, rootfs):
    made = Bundles(tmp_path / "bundles", rootfs)
    names = (str(number) for number in range(1000))

    def bundle(*arguments, terminal=False):
        return made.make(next(names), config(arguments, terminal=terminal))

    return bundle


class TestContainerd(WholeSupervisorSuite):
    offers = frozenset(FEATURES)

    @pytest.fixture
    def supervisor(self, supervisor):
        return supervisor

    @pytest.fixture
    def bundle(self, bundle):
        return bundle

    def process(self, script):
        return config(["sh", "-c", script])["process"]


STAYS = "trap 'exit 4' TERM; echo up; while read x; do echo got $x; done"


def killed(home):
    """Kill containerd itself; return its pid."""
    pid = int((home / "s" / "containerd.pid").read_text().split()[0])
    os.kill(pid, signal.SIGKILL)
    return pid


def test_containerd_may_be_killed(home, supervisor, bundle, log):
    supervisor.create(TaskConfig("a", bundle("sh", "-c", STAYS), stdin=True))
    streams = supervisor.attach("a")
    supervisor.start("a")
    read_until(streams.stdout, b"up\n")
    before = killed(home)
    os.write(streams.stdin, b"on\n")
    assert read_until(streams.stdout, b"\n") == b"got on\n"
    script = {"args": ["sh", "-c", "exit 6"], "cwd": "/", "env": [f"PATH={os.defpath}"], "user": {"uid": 0, "gid": 0}}
    supervisor.exec("a", "b", script, TaskConfig("b", bundle("true")))
    ended = supervisor.exit_fd("b")
    assert readable(ended)
    assert supervisor.delete("b").code == 6
    assert int((home / "s" / "containerd.pid").read_text().split()[0]) != before
    assert ("warning", "containerd has ended; it is started again", {}) in log.lines
    os.close(ended)
    os.close(streams.stdin)
    assert read_all(streams.stdout) == b""
    assert supervisor.delete("a", force=True).code == 0


def test_what_is_sent_elsewhere_is_read_here(supervisor, bundle, tmp_path):
    log = LogConfig("a", tmp_path, "sent")
    supervisor.create(TaskConfig("a", bundle("sh", "-c", "read x; echo said; printf end"), stdin=True, log=log))
    follower = supervisor.logs(log, LogQuery(follow=True, framed=False))
    streams = supervisor.attach("a")
    supervisor.start("a")
    os.write(streams.stdin, b"\n")
    assert read_all(follower) == b"said\nend"
    for each in (follower, streams.stdin, streams.stdout, streams.stderr):
        os.close(each)
    supervisor.delete("a")
    assert logged(tmp_path) == b"said\nend"


def test_what_is_said_before_a_terminal_has_its_size_is_kept(supervisor, bundle):
    supervisor.create(TaskConfig("a", bundle("sh", "-c", STAYS), stdin=True))
    supervisor.start("a")
    process = {**config(["sh", "-c", "echo said"])["process"], "terminal": True}
    for number in range(4):
        more = TaskConfig(f"b{number}", Path(), terminal=True, window=Window(33, 77), attach=True)
        streams = supervisor.exec("a", more.id, process, more).streams
        assert read_all(streams.stdout) == b"said\r\n"


def test_the_next_one_goes_on(home, keeper, bundle, log):
    def again():
        return Containerd(BINARIES, {"lines": LinesDriver()}, keeper, place(home, "s"), RealClock(), log)

    script = "trap 'echo told; exit 4' TERM; echo up; while :; do sleep 0.05; done"
    with again() as first:
        first.create(TaskConfig("a", bundle("sh", "-c", script)))
        first.start("a")
        streams = first.attach("a")
        read_until(streams.stdout, b"up\n")
    with again() as second:
        streams = second.attach("a")
        second.kill("a", signal.SIGTERM)
        assert read_all(streams.stdout) == b"told\n"
        ended = second.exit_fd("a")
        assert readable(ended)
        assert second.delete("a").code == 4
        os.close(ended)
    assert not (home / "s" / "containerd.pid").exists()
    assert [each for each in log.lines if each[0] == "error"] == []


def test_a_program_that_the_kernel_does_not_take(supervisor, bundle):
    """Is told of, unless containerd has reaped its process before anybody looks: then it is one that has ended."""
    supervisor.create(TaskConfig("a", bundle("/etc/nonsense"), discard=True))
    try:
        supervisor.start("a")
    except Invalid as error:
        assert "the kernel takes neither it" in error.message
        assert isinstance(error.__cause__, OSError)
    else:
        ended = supervisor.exit_fd("a")
        assert readable(ended)
        os.close(ended)
        assert supervisor.delete("a").code not in (None, 0)


def test_further_descriptors_are_refused(home, supervisor, bundle):
    runtime = supervisor._world.runtimes["runc"]
    with pytest.raises(Unsupported, match="no further descriptors"):
        runtime.create("x", bundle("true"), Stdio(0, 1, 2, extra=(3,)))
    for call in (lambda: runtime.checkpoint("x", home, None), lambda: runtime.restore("x", home, home, None, None)):
        with pytest.raises(Unsupported, match="no checkpoints"):
            call()
    with pytest.raises(Invalid, match=r"process\.terminal"):
        runtime.create("x", bundle("true"), Stdio(0, 1, 2, terminal=True))


@pytest.mark.parametrize(
    ("wanted", "field"),
    [({"args": ["nonesuch"]}, "process.args"), ({"args": ["/etc/passwd"]}, "process.args"),
     ({"args": ["true"], "cwd": "/not/there"}, "process.cwd")],
)  # fmt: skip
def test_why_another_program_is_not_run(supervisor, bundle, wanted, field):
    """It never began, so that there is nothing to be ended, and what containerd knows of it goes."""
    supervisor.create(TaskConfig("a", bundle("sh", "-c", STAYS), stdin=True))
    supervisor.start("a")
    process, task = config(["true"])["process"], TaskConfig("x", Path(), discard=True)
    with pytest.raises(Invalid, match=field) as failed:
        supervisor.exec("a", "x", {**process, **wanted}, task)
    assert isinstance(failed.value.__cause__, OSError)
    supervisor.exec("a", "x", process, task)


def test_capabilities_that_nobody_has_are_left_out(supervisor, tmp_path, rootfs):
    """Which would have runc refuse the whole container; and its domain's name is set, which older ones pass over."""
    kept = {NAMES[number] for number in bounding()}
    every = {name: list(NAMES) for name in ("bounding", "effective", "permitted")}
    made = config(["sh", "-c", 'test "$(cat /proc/sys/kernel/domainname)" = e.f'], capabilities=every)
    shown = possible(made["process"])["capabilities"]
    assert {name: set(found) for name, found in shown.items()} == dict.fromkeys(every, kept)
    bundle = Bundles(tmp_path / "bundles", rootfs).make("a", {**made, "domainname": "e.f"})
    supervisor.create(TaskConfig("a", bundle, discard=True))
    supervisor.start("a")
    ended = supervisor.exit_fd("a")
    assert readable(ended)
    os.close(ended)
    assert supervisor.delete("a").code == 0


@pytest.mark.parametrize("paused", [False, True])
def test_what_is_not_paused_is_not_resumed(supervisor, bundle, paused):
    """Nor what a signal has ended, of which containerd says for a while that it is paused."""
    supervisor.create(TaskConfig("a", bundle("sh", "-c", STAYS), stdin=True))
    supervisor.start("a")
    runtime = supervisor._world.runtimes["runc"]
    if paused:
        runtime.pause("a")
        runtime.kill("a", signal.SIGKILL)
    with pytest.raises(Conflict):
        runtime.resume("a")


@pytest.mark.parametrize("own", [False, True])
def test_in_a_user_namespace_all_capabilities_can_be_had(home, supervisor, tmp_path, rootfs, monkeypatch, own):
    """By what enters it, too."""
    monkeypatch.setattr(capabilities, "bounding", lambda: frozenset({NAMES.index("CAP_CHOWN")}))
    made = config(["sh", "-c", STAYS], rootless=own, capabilities={"bounding": ["CAP_CHOWN", "CAP_KILL"]})
    bundle = Bundles(tmp_path / "bundles", rootfs).make("a", made)
    kept = ["CAP_CHOWN", "CAP_KILL"] if own else ["CAP_CHOWN"]
    assert bundles.read(bundle, place(home, "s"), "a")["process"]["capabilities"]["bounding"] == kept
    supervisor.create(TaskConfig("a", bundle, stdin=True))
    supervisor.start("a")
    script = 'while read a b; do if [ "$a" = CapBnd: ]; then echo "$b"; fi; done </proc/self/status'
    shown = {**config(["sh", "-c", script])["process"], "capabilities": made["process"]["capabilities"]}
    streams = supervisor.exec("a", "b", shown, TaskConfig("b", Path(), attach=True)).streams
    assert int(read_all(streams.stdout), 16) == sum(1 << NAMES.index(each) for each in kept)


def test_what_ended_before_it_was_seen_has_its_code(supervisor, bundle):
    supervisor.create(TaskConfig("a", bundle("sh", "-c", STAYS), stdin=True))
    supervisor.start("a")
    runtime = supervisor._world.runtimes["runc"]
    for pid, code in ((2**22 - 1, None), (supervisor.state("a").pid, 137)):
        supervisor.kill("a", signal.SIGKILL) if code else None
        assert runtime.exit_code("a" if code else "nonesuch", pid) == code
    pid, pidfd = _ends_with(9)
    assert os.waitid(os.P_PIDFD, pidfd, os.WEXITED).si_status == 9
    os.close(pidfd)


def test_no_such_program(tmp_path, keeper, log):
    made = Containerd(BINARIES, {}, keeper, place(tmp_path, "s"), RealClock(), log, binary="nonesuch")
    with pytest.raises(HostUnfit, match="no program 'nonesuch'"), made:
        pass
    made = Containerd(BINARIES, {}, keeper, place(tmp_path, "s"), RealClock(), log, binary="false")
    with pytest.raises(Unavailable, match="ends as soon as it is started"), made:
        pass


def test_paths_that_are_too_long(tmp_path, keeper, log):
    with pytest.raises(Invalid, match="too long a path"):
        Containerd(BINARIES, {}, keeper, place(tmp_path, "s" * 90), RealClock(), log)


def test_nobody_listens(tmp_path):
    client = Client(str(tmp_path / "nobody"), "moby", patience_s=0.1)
    with pytest.raises(Unavailable, match="doesn't answer version"):
        client.ask("version.v1.Version/Version", protocol.Empty(), protocol.Empty)


def test_runtimes_that_are_not_there(home, keeper, bundle, log):
    with Containerd({"x": "/nonesuch"}, {}, keeper, place(home, "s"), RealClock(), log) as supervisor:
        with pytest.raises((Invalid, HostUnfit), match="nonesuch"):
            supervisor.create(TaskConfig("a", bundle("true")))
        assert supervisor.list() == ()


@pytest.fixture(params=["runc", f"{sys.prefix}/bin/moby-runtime"], ids=["runc", "ours"])
def told(tmp_path, request):
    """A runtime that writes down what it is asked, and the verbs of that."""
    path = tmp_path / "told"
    path.write_text(f'#!/bin/sh\necho "$@" >>{tmp_path}/asked\nexec {request.param} "$@"\n')
    path.chmod(0o755)

    def verbs():
        words = (tmp_path / "asked").read_text().split()
        return [each for each in words if each in ("create", "start", "state", "kill", "delete", "ps", "exec")]

    return str(path), verbs


def test_no_more_programs_than_it_takes(home, keeper, bundle, log, told):
    path, verbs = told
    with Containerd({"told": path}, {"lines": LinesDriver()}, keeper, place(home, "s"), RealClock(), log) as made:
        made.create(TaskConfig("a", bundle("sh", "-c", "exit 3")))
        ended = made.exit_fd("a")
        made.start("a")
        assert readable(ended)
        os.close(ended)
        assert made.delete("a").code == 3
    assert verbs() in (["create", "start", "delete"], ["create", "start", "delete", "delete"])  # containerd, to be sure


def test_what_outlives_its_program_beside_the_hosts_processes_ends_with_it(home, keeper, tmp_path, rootfs, log, told):
    """Where no namespace of processes ends them: its shim or its runtime does, unasked."""
    path, _ = told
    data = config(("sh", "-c", "sleep 1000 & echo $!"))
    data["linux"]["namespaces"] = [each for each in data["linux"]["namespaces"] if each["type"] != "pid"]
    folder = Bundles(tmp_path / "shared", rootfs).make("a", data)
    with Containerd({"told": path}, {"lines": LinesDriver()}, keeper, place(home, "s"), RealClock(), log) as made:
        made.create(TaskConfig("a", folder))
        streams, ended = made.attach("a"), made.exit_fd("a")
        made.start("a")
        assert readable(ended)
        os.close(ended)
        assert made.delete("a").code == 0
        pid = int(read_all(streams.stdout))
    assert not Path(f"/proc/{pid}").exists()
