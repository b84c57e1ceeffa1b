"""RUN on real parts: what it sees, what it leaves, and how it fails."""

import errno
import os
import socket
import subprocess
import sys
import threading
import time

import pytest
from moby_builder.dockerfile.effects.endings import judge
from moby_builder.dockerfile.operations import EmptySource, MountKind, Node, Run, RunMount
from moby_builder.dockerfile.solver.effects import Tree
from moby_runtime.native.runtime import Native
from runs import PATH, Ear, Kitchen, Lender, place

from moby.contracts.builder import BuildFailed
from moby.contracts.types import Exit, Limits
from moby.errors import Conflict, HostUnfit, Invalid, NotFound, Unavailable
from moby.host import mounts as kernel
from moby.host.processes import readable
from moby.testing.bundles import PROGRAMS, make_rootfs
from moby.testing.mounted import own_mounts
from moby.testing.net_namespaces import own_network

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", autouse=True)
def apart():
    """What is built here is mounted in the namespace that it finds."""
    with own_mounts(shared=True), own_network():
        yield


@pytest.fixture(scope="module")
def rootfs(tmp_path_factory):
    root = make_rootfs(
        tmp_path_factory.mktemp("image") / "rootfs",
        (*PROGRAMS, "id", "ls", "cat", "rm", "stat", "mkdir", "touch", "env", "mount", "hostname"),
    )
    (root / "etc/group").write_text("root:x:0:\nusers:x:100:ann\n")
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\nann:x:1000:1000:Ann:/home/ann:/bin/sh\n")
    return root


@pytest.fixture(scope="module")
def kitchen(tmp_path_factory, apart, rootfs):
    with Kitchen(tmp_path_factory.mktemp("kitchen"), rootfs) as kitchen:
        yield kitchen


def test_what_it_changes_is_a_layer(kitchen):
    said, tree = kitchen.run("echo one > /made; echo out; echo err >&2")
    assert said == {1: b"out\n", 2: b"err\n"}
    assert kitchen.read(tree, "made") == "one\n"
    assert "made" in kitchen.files(tree)
    assert tree.snapshot.startswith("builder/")


def test_nothing_else_is_in_the_layer(kitchen):
    _, tree = kitchen.run("true", hosts=(("far", "10.9.8.7"),))
    assert set(kitchen.files(tree)) <= {"dev", "proc", "sys", "etc", "."}


def test_one_layer_on_another(kitchen):
    _, first = kitchen.run("echo 1 > /a")
    _, second = kitchen.run("cat /a > /b; rm /a", on=first.snapshot)
    assert kitchen.read(second, "b") == "1\n"
    assert {".wh.a", "b"} <= set(kitchen.files(second))


def test_a_program_that_fails(kitchen):
    ear = Ear()
    with pytest.raises(BuildFailed) as caught:
        kitchen.run("echo said; exit 7", ear=ear)
    assert str(caught.value) == ('process "/bin/sh -c echo said; exit 7" did not complete successfully: exit code: 7')
    assert (caught.value.code, ear.said[1]) == (7, b"said\n")


def test_a_program_of_several_lines_is_told_in_one(kitchen):
    with pytest.raises(BuildFailed) as caught:
        kitchen.run('echo "said"\nexit 7')
    said = r'process "/bin/sh -c echo \"said\"\nexit 7" did not complete successfully: exit code: 7'
    assert str(caught.value) == said


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("/nowhere", "stat /nowhere: no such file or directory"),
        ("nowhere", "executable file not found in $PATH"),
        ("/etc/group", "permission denied"),
    ],
)
def test_a_program_that_can_not_be_run(kitchen, program, said):
    ear = Ear()
    with pytest.raises(BuildFailed) as caught:
        kitchen.run((program, "x"), ear=ear)
    assert str(caught.value) == f'process "{program} x" did not complete successfully: exit code: 1'
    assert (caught.value.code, ear.said[2].decode()) == (
        1,
        f'unable to start container process: exec: "{program}": {said}\n',
    )


def test_an_end_of_which_nothing_is_known():
    node = Node(Run(("x",)), (Node(EmptySource()),))
    for ended in (None, Exit(None, 0)):
        with pytest.raises(BuildFailed, match='process "x" did not complete successfully: its exit code is unknown'):
            judge(ended, node, Ear())
    with pytest.raises(BuildFailed, match="exit code: 137: cannot allocate memory"):
        judge(Exit(137, 0, oom_killed=True), node, Ear())


def test_a_host_that_mounts_nothing(kitchen, monkeypatch):
    def refused(*arguments):
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(kernel, "mount", refused)
    with pytest.raises(HostUnfit, match="can't mount a tmpfs: Operation not permitted"):
        kitchen.run("true")


def test_what_it_runs_as(kitchen):
    said, _ = kitchen.run("id -u; id -g; echo $HOME $A; pwd", user="ann", environment=(PATH, "A=b"), folder="/new/one")
    assert said[1].decode().split() == ["1000", "1000", "/home/ann", "b", "/new/one"]


@pytest.mark.parametrize(("user", "said"), [("bob", "unable to find user bob"), ("ann:x", "unable to find group x")])
def test_nobody_it_knows(kitchen, user, said):
    with pytest.raises(BuildFailed, match=f'process "/bin/sh -c true" did not complete successfully: {said}'):
        kitchen.run("true", user=user)


def test_a_working_folder_that_is_a_file(kitchen):
    with pytest.raises(BuildFailed, match="not a directory"):
        kitchen.run("true", folder="/etc/passwd/below")


def test_its_names(kitchen):
    said, _ = kitchen.run("hostname; cat /etc/hosts", hostname="here", hosts=(("far", "10.9.8.7"), ("six", "[::2]")))
    lines = said[1].decode().splitlines()
    assert lines[0] == "here"
    assert {"10.9.8.7\tfar", "::2\tsix", "127.0.0.1\tlocalhost"} <= set(lines)


@pytest.mark.parametrize("address", ["nonsense", "host-gateway"])
def test_names_that_can_not_be(kitchen, address):
    with pytest.raises(Invalid, match=r"host-gateway|invalid IP address"):
        kitchen.run("true", hosts=(("far", address),))


def test_networks(kitchen):
    assert kitchen.run("ls /sys/class/net")[0][1] == b"lo\n"
    said, _ = kitchen.run("ls /sys/class/net; cat /etc/hosts", network="one")
    assert b"eth0\n" in said[1]
    assert b"10.1.0." in said[1]
    ours = os.stat("/proc/thread-self/ns/net").st_ino  # noqa: PTH116
    assert int(kitchen.run("stat -L -c %i /proc/self/ns/net", network="host")[0][1]) == ours
    with pytest.raises(NotFound):
        kitchen.run("true", network="nowhere")


def test_the_default_network_is_kept_for_the_next_one(kitchen):
    first = kitchen.run("stat -L -c %i /proc/self/ns/net", network="")[0]
    again = kitchen.run("stat -L -c %i /proc/self/ns/net", network="")[0]
    assert first == again
    other = kitchen.run("stat -L -c %i /proc/self/ns/net", network="", insecure=True)[0]
    assert other != first


def test_insecure(kitchen):
    look = "cat /proc/self/status | while read a b; do case $a in CapEff:|Seccomp:) echo $b;; esac; done"
    plain = kitchen.run(look)[0][1].decode().split()
    insecure = (
        kitchen.run(f"{look}; mkdir /mnt; mount -t tmpfs x /mnt && echo mounted", insecure=True)[0][1].decode().split()
    )
    assert plain[1] == "2"
    assert insecure[1:] == ["0", "mounted"]
    assert int(insecure[0], 16) > int(plain[0], 16)


def test_limits(kitchen):
    said, _ = kitchen.run(
        "ulimit -n; cat /sys/fs/cgroup/pids/pids.max /sys/fs/cgroup/pids.max 2>/dev/null; true",
        ulimits=(("nofile", 77, 99),),
        limits=Limits(pids=33),
    )
    assert said[1].decode().split()[0] == "77"
    assert "33" in said[1].decode().split()


def test_limits_of_busy_processors(kitchen):
    said, _ = kitchen.run(
        "cat /proc/self/status; cat /sys/fs/cgroup/cpu/cpu.shares /sys/fs/cgroup/cpu.weight 2>/dev/null; true",
        limits=Limits(cpu_shares=512, cpuset_cpus="0"),
    )
    words = said[1].decode().split()
    assert words[words.index("Cpus_allowed_list:") + 1] == "0"
    assert words[-1] in {"512", "20", "59"}  # the weight of version 2, by either of runc's ways to count it


def test_a_program_that_forks_without_end(tmp_path, rootfs, apart):
    with Kitchen(tmp_path, rootfs, most_processes=20) as kitchen, pytest.raises(BuildFailed, match="did not complete"):
        kitchen.run("f() { f | f & f; }; f")


def test_shared_memory(kitchen):
    said, _ = kitchen.run("mount | while read a b c d; do [ $c = /dev/shm ] && echo $d; done; true", shm_bytes=1 << 20)
    assert b"size=1024k" in said[1]


# Mounts


def bind(target, number=1, **more):
    return RunMount(MountKind.BIND, target, number, **more)


def test_bind(kitchen):
    _, other = kitchen.run("mkdir -p /d/e; echo inside > /d/e/f; ln -s /d/e /link 2>/dev/null || true")
    said, tree = kitchen.run("cat /new/place/f; ! touch /new/place/x", mounts=(bind("/new/place", source="/d/e"),),
                             inputs=(other,))  # fmt: skip
    assert said[1] == b"inside\n"
    assert "new" not in {each.split("/")[0] for each in kitchen.files(tree)}


def test_bind_written_is_thrown_away(kitchen, tmp_path):
    _, other = kitchen.run("mkdir /d; echo old > /d/f")
    write = "echo new > /m/d/f; cat /m/d/f"
    assert kitchen.run(write, mounts=(bind("/m", writable=True),), inputs=(other,))[0][1] == b"new\n"
    assert kitchen.read(other, "d/f") == "old\n"
    folder = tmp_path / "context"
    (folder / "d").mkdir(parents=True)
    (folder / "d/f").write_text("kept\n")
    assert kitchen.run(write, mounts=(bind("/m", writable=True),), inputs=(Tree(folder=folder),))[0][1] == b"new\n"
    assert (folder / "d/f").read_text() == "kept\n"


def test_bind_leads_nowhere_else(kitchen, tmp_path):
    folder = tmp_path / "context"
    folder.mkdir()
    (folder / "out").symlink_to("/etc")
    with pytest.raises(BuildFailed, match="no such file"):
        kitchen.run("true", mounts=(bind("/m", source="/out"),), inputs=(Tree(folder=folder),))


def cache(**more):
    return RunMount(MountKind.CACHE, "/c", writable=True, **{"id": "c", "mode": 0o755, **more})


def test_cache(kitchen):
    kitchen.run("echo one > /c/f", mounts=(cache(id="kept"),))
    said, tree = kitchen.run("cat /c/f; stat -c '%a %u' /c", mounts=(cache(id="kept"),))
    assert said[1] == b"one\n755 0\n"
    assert "c" not in kitchen.files(tree)
    assert kitchen.run("ls /c", mounts=(cache(id="other", uid=5, gid=6, mode=0o700),))[0][1] == b""
    [found] = [each for each in kitchen.caches.list() if each.id == "kept"]
    assert (found.uses, kitchen.caches.in_use(found.key)) == (2, False)
    assert found.description.startswith("cached mount /c from exec /bin/sh -c echo one")
    assert kitchen.caches.size_bytes(found.key) >= 4
    kitchen.caches.remove(found.key)
    assert "kept" not in [each.id for each in kitchen.caches.list()]
    assert kitchen.caches.size_bytes(found.key) == 0


def test_a_cache_that_begins_with_something(kitchen):
    _, other = kitchen.run("mkdir /seed; echo begun > /seed/f")
    mount = cache(id="seeded", input=1, source="/seed")
    assert kitchen.run("cat /c/f; echo more > /c/f", mounts=(mount,), inputs=(other,))[0][1] == b"begun\n"
    assert kitchen.run("cat /c/f", mounts=(mount,), inputs=(other,))[0][1] == b"more\n"


def side_by_side(kitchen, sharing):
    """Begin a step that has a cache mount until it is told to go; return its thread, and the mounts that it has."""
    name = f"{sharing}-{time.monotonic_ns()}"
    first = Ear()
    begun = threading.Event()
    first.log = lambda stream, data: begun.set()
    hold = "echo mine > /c/f; echo begun; while [ -e /c/f ]; do :; done" if sharing == "shared" else (
        "echo mine > /c/f; echo begun; while ! [ -e /p/go ]; do :; done"
    )  # fmt: skip
    pause = RunMount(MountKind.CACHE, "/p", writable=True, mode=0o755, id=f"pause-{name}")
    mounts = (cache(id=f"both-{name}", sharing=sharing), pause)
    thread = threading.Thread(target=lambda: kitchen.run(hold, ear=first, mounts=mounts))
    thread.start()
    assert begun.wait(60)
    return thread, mounts


def test_shared_caches(kitchen):
    thread, mounts = side_by_side(kitchen, "shared")
    said, _ = kitchen.run("cat /c/f; rm /c/f", mounts=mounts)
    thread.join()
    assert said[1] == b"mine\n"


def test_private_caches(kitchen):
    thread, mounts = side_by_side(kitchen, "private")
    said, _ = kitchen.run("ls /c; touch /p/go", mounts=mounts)
    thread.join()
    assert said[1] == b""


def test_locked_caches(kitchen):
    thread, mounts = side_by_side(kitchen, "locked")
    ear = Ear()
    later = threading.Thread(target=lambda: kitchen.run("cat /c/f", mounts=mounts[:1], ear=ear))
    later.start()
    [key] = [each.key for each in kitchen.caches.list() if each.id == mounts[0].id]
    assert kitchen.caches.in_use(key)
    with pytest.raises(Conflict, match="is in use"):
        kitchen.caches.remove(key)
    kitchen.run("touch /p/go", mounts=mounts[1:])
    thread.join()
    later.join()
    assert ear.said[1] == b"mine\n"


def test_waiting_for_a_cache_ends_with_the_build(kitchen):
    thread, mounts = side_by_side(kitchen, "locked")
    ear = Ear()
    threading.Timer(0.2, ear.cancel.set).start()
    with pytest.raises(Unavailable, match="canceled"):
        kitchen.run("true", mounts=mounts[:1], ear=ear)
    kitchen.run("touch /p/go", mounts=mounts[1:])
    thread.join()


def test_tmpfs(kitchen):
    mount = RunMount(MountKind.TMPFS, "/t", size_bytes=1 << 20)
    said, tree = kitchen.run("echo x > /t/f; mount | while read a b c d; do [ $c = /t ] && echo $d; done; true",
                             mounts=(mount,))  # fmt: skip
    assert b"size=1024k" in said[1]
    assert "t" not in kitchen.files(tree)


def test_secrets(kitchen):
    lender = Lender({"key": b"hush"})
    mounts = (
        RunMount(MountKind.SECRET, "/run/secrets/key", id="key", uid=1000, mode=0o440),
        RunMount(MountKind.SECRET, "", id="key", variable="KEY"),
        RunMount(MountKind.SECRET, "/none", id="none"),
    )
    said, tree = kitchen.run(
        "cat /run/secrets/key; echo; echo $KEY; stat -c '%a %u' /run/secrets/key; [ -e /none ] || echo none",
        mounts=mounts, session=lender,
    )  # fmt: skip
    assert said[1].decode().split("\n")[:4] == ["hush", "hush", "440 1000", "none"]
    layer = b"".join(kitchen.snapshotter.diff(tree.snapshot))
    assert b"hush" not in layer
    assert "run" not in {each.split("/")[0] for each in kitchen.files(tree)}


@pytest.mark.parametrize(
    ("mount", "session", "said"),
    [
        pytest.param(
            RunMount(MountKind.SECRET, "/s", id="no", required=True), Lender(), "secret no: not found", id="no"
        ),
        pytest.param(
            RunMount(MountKind.SECRET, "/s", id="big"), Lender({"big": bytes(600 << 10)}), "larger than", id="big"
        ),
        pytest.param(RunMount(MountKind.SSH, "/s", id="no", required=True), Lender(), "unset ssh forward", id="ssh"),
    ],
)
def test_what_is_not_lent(kitchen, mount, session, said):
    with pytest.raises(BuildFailed, match=said):
        kitchen.run("true", mounts=(mount,), session=session)


def test_ssh_agents(kitchen, tmp_path):
    def connect():
        ours, theirs = socket.socketpair()

        def answer():
            with theirs:
                if said := theirs.recv(100):  # one connection only asks whether there is an agent
                    theirs.sendall(said.upper())

        threading.Thread(target=answer, daemon=True).start()
        return ours.detach()

    mount = RunMount(MountKind.SSH, "/agent", id="default", mode=0o666, required=True)
    seen = {}
    ear = Ear()

    def talk(stream, data):
        """Talk to the socket that the container has, from here."""
        [path] = [each / "lent-1" for each in (kitchen.place.run / "mounts").iterdir() if (each / "lent-1").exists()]
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
            client.sendall(b"hello")
            seen["answer"] = client.recv(100)
            seen["mode"] = path.stat().st_mode & 0o777

    ear.log = talk
    kitchen.run("[ -S /agent ] && echo there", mounts=(mount,), session=Lender(agents={"default": connect}), ear=ear)
    assert seen == {"answer": b"HELLO", "mode": 0o666}


# Ends


def test_cancel(kitchen):
    ear = Ear()
    began = threading.Event()
    ear.log = lambda stream, data: began.set()
    failed = []

    def run():
        try:
            kitchen.run("echo begun; while :; do :; done", ear=ear)
        except Unavailable as error:
            failed.append(str(error))

    thread = threading.Thread(target=run)
    thread.start()
    assert began.wait(60)
    ear.cancel.set()
    thread.join()
    assert failed == ["the build was canceled"]
    with pytest.raises(Unavailable):
        kitchen.run("true", ear=ear)


KILLED = """
import sys
from pathlib import Path
from builder.runs import Ear, Kitchen
from moby.testing.mounted import own_mounts
from moby.testing.net_namespaces import own_network

with own_mounts(shared=True), own_network(), Kitchen(Path(sys.argv[1]), Path(sys.argv[2])) as kitchen:
    ear = Ear()
    ear.log = lambda stream, data: print(*(each.pid for each in kitchen.supervisor.list()), flush=True)
    kitchen.run("echo begun; while :; do :; done", ear=ear)
"""


def test_a_step_ends_with_tests_that_are_killed(rootfs, tmp_path):
    """So that it needn't wait for an engine in the same folder, which nobody starts."""
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, tmp_path, rootfs],
        stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    ) as tests:  # fmt: skip
        try:
            step = os.pidfd_open(int(tests.stdout.readline()))
        finally:
            tests.kill()
    try:
        assert readable(step, 60)
    finally:
        os.close(step)
        native = Native(place(tmp_path, "runtime"))
        for each in native.list():
            native.delete(each.id, force=True)


def test_what_a_killed_engine_left(kitchen):
    killed = kitchen.workspace.writing("base")
    killed.__enter__()
    assert any((kitchen.place.run / "mounts").iterdir())
    kitchen.running.sweep()
    kitchen.workspace.sweep()
    assert not any((kitchen.place.run / "mounts").iterdir())
    assert not [each for each in kitchen.snapshotter.list() if each.key.startswith("builder/active/")]
    with pytest.raises(FileNotFoundError):
        killed.__exit__(None, None, None)
