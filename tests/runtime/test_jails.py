"""The runtimes chroot and cgroup keep the contract of their kind, with what they offer of it."""

import errno
import os
import re
import shutil
import signal
import tempfile
from pathlib import Path

import pytest
from moby_runtime.cgroup import FEATURES as CGROUP
from moby_runtime.chroot import FEATURES as CHROOT
from moby_runtime.jails import inside, runtime
from moby_runtime.jails.runtime import Jails

from moby.contracts.runtime import DIE_WITH_PARENT
from moby.contracts.types import Stdio, TaskStatus
from moby.errors import Conflict, HostUnfit, Invalid, Unavailable, Unsupported
from moby.host.processes import set_child_subreaper
from moby.testing.as_user import as_nobody
from moby.testing.boxes import place_in, readable
from moby.testing.bundles import Bundles, config, make_rootfs
from moby.testing.runtime import MakeRuntime, RuntimeSuite, boxes_of

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="these are for root alone; runs as root")


class TestChroot(RuntimeSuite):
    @pytest.fixture
    def make_runtime(self) -> MakeRuntime:
        return lambda place: Jails(place, "chroot", CHROOT)


class TestCgroup(RuntimeSuite):
    @pytest.fixture
    def make_runtime(self) -> MakeRuntime:
        return lambda place: Jails(place, "cgroup", CGROUP)


# --- what only they do ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def root():
    folder = Path(tempfile.mkdtemp(prefix="moby-jails-"))
    folder.chmod(0o755)
    yield make_rootfs(folder / "rootfs")
    shutil.rmtree(folder)


@pytest.fixture(autouse=True)
def subreaper():
    set_child_subreaper()
    yield
    set_child_subreaper(False)


@pytest.fixture(params=["chroot", "cgroup"])
def boxes(request, root):
    features = {"chroot": CHROOT, "cgroup": CGROUP}[request.param]
    with boxes_of(lambda place: Jails(place, request.param, features), root) as boxes:
        yield boxes


FORSAKEN = "(sh -c 'sleep 1000 & sleep 1000 &' &) ; sleep 0.2; echo up; read line"


def test_what_its_own_parent_forsook_is_still_inside(boxes) -> None:
    box = boxes.started(boxes.config("sh", "-c", FORSAKEN), stdin=True)
    box.until("up")
    inside = boxes.runtime.pids(box.id)
    assert len(inside) == 3
    os.write(box.stdin, b"go\n")
    assert box.code() == 0
    assert [pid for pid in inside if Path(f"/proc/{pid}").exists()] == []


def test_everyone_is_killed(boxes) -> None:
    box = boxes.started(boxes.config("sh", "-c", FORSAKEN), stdin=True)
    box.until("up")
    inside = boxes.runtime.pids(box.id)
    boxes.runtime.kill(box.id, signal.SIGKILL, everyone=True)
    assert box.code() == 137
    assert [pid for pid in inside if Path(f"/proc/{pid}").exists()] == []


@pytest.mark.parametrize("started", [True, False], ids=["running", "created"])
def test_who_kills_the_warden_ends_the_container(boxes, started) -> None:
    box = boxes.sleeping() if started else boxes.create(boxes.config("true"))
    pid = box.process.pid
    ended = os.pidfd_open(pid)
    signal.pidfd_send_signal(box.process.exit_fd, signal.SIGKILL)
    assert box.code() == 137
    assert readable(ended)
    os.close(ended)
    os.waitpid(pid, 0)  # as who became its parent does
    assert boxes.runtime.state(box.id).status is TaskStatus.STOPPED


def test_it_may_die_with_its_maker(boxes) -> None:
    data = boxes.config("sleep", "1000")
    data["annotations"] = {DIE_WITH_PARENT: "true"}
    bundle = boxes.bundles.make("dying", data)
    read, write = os.pipe()
    maker = os.fork()
    if maker == 0:
        null = os.open("/dev/null", os.O_RDWR)
        process = boxes.runtime.create("dying", bundle, Stdio(null, null, null))
        os.write(write, b"%d" % process.pid)
        os._exit(0)
    os.waitpid(maker, 0)
    pid = int(os.read(read, 16))
    os.close(read)
    os.close(write)
    record = boxes.runtime._records.read("dying")
    for each in (record.warden, pid):
        os.waitpid(each, 0)  # which comes to its end by itself
    boxes.runtime.delete("dying")


def test_the_environment_and_the_root_of_the_host_may_be_a_jails(boxes) -> None:
    data = boxes.config("/bin/sh", "-c", "echo $0 $A", env=["A=b"])
    data["root"]["path"] = "/"
    assert boxes.run_config(data) == (0, "/bin/sh b\n")


REFUSED = [
    ("hostname", {"hostname": "box"}),
    ("domainname", {"domainname": "there"}),
    ("hooks", {"hooks": {"poststop": [{"path": "/bin/true"}]}}),
    ("linux.sysctl", {"linux": {"sysctl": {"net.ipv4.ip_forward": "1"}}}),
    ("linux.rootfsPropagation", {"linux": {"rootfsPropagation": "shared"}}),
    ("linux.intelRdt", {"linux": {"intelRdt": {"closID": "a"}}}),
    ("process.apparmorProfile", {"process": {"apparmorProfile": "strict"}}),
    ("process.scheduler", {"process": {"scheduler": {"policy": "SCHED_IDLE"}}}),
    ("process.terminal", {"process": {"terminal": True}}),
]


@pytest.mark.parametrize(("named", "change"), REFUSED, ids=[named for named, _ in REFUSED])
def test_what_it_lacks_is_refused_by_name(boxes, named, change) -> None:
    data = boxes.config("true")
    for key, value in change.items():
        data[key] = {**data.get(key, {}), **value} if isinstance(value, dict) else value
    with pytest.raises(Unsupported, match=re.escape(named)) as caught:
        boxes.create(data)
    assert "choose a runtime that has it" in caught.value.hint
    assert boxes.runtime.list() == ()


def test_a_control_group_is_refused_without_limits(root) -> None:
    with boxes_of(lambda place: Jails(place, "chroot", CHROOT), root) as boxes:
        data = boxes.config("true")
        data["linux"]["cgroupsPath"] = "/some"
        with pytest.raises(Unsupported, match=r"linux\.cgroupsPath.*it makes no control group"):
            boxes.create(data)


@pytest.mark.parametrize(
    ("change", "named"),
    [({"ociVersion": "2.0"}, "ociVersion"), ({"root": {"path": ""}}, r"root\.path"), ({"linux": []}, "linux")],
)
def test_what_is_wrong_is_named(boxes, change, named) -> None:
    with pytest.raises(Invalid, match=named):
        boxes.create({**boxes.config("true"), **change})


def test_limits_that_make_no_sense_are_named(root) -> None:
    with boxes_of(lambda place: Jails(place, "cgroup", CGROUP), root) as boxes:
        data = boxes.config("true")
        data["linux"]["resources"] = {"memory": {"swappiness": 101}}
        with pytest.raises(Invalid, match=r"memory\.swappiness"):
            boxes.create(data)


def test_a_first_process_that_is_killed_leaves_nothing(boxes, monkeypatch) -> None:
    monkeypatch.setattr(inside, "run_first", lambda cell: os._exit(0))
    with pytest.raises(HostUnfit, match="its first process was killed"):
        boxes.create(boxes.config("true"))
    assert boxes.runtime.list() == ()


def test_an_ordinary_user_is_told_which_step_takes_root(root) -> None:
    def run() -> None:
        folder = Path(tempfile.mkdtemp())
        place = place_in(folder / "place")
        bundles = Bundles(folder / "bundles", root)
        null = os.open("/dev/null", os.O_RDWR)
        with pytest.raises(HostUnfit, match=r"root\.path"):
            Jails(place, "chroot", CHROOT).create(
                "a", bundles.make("a", config(("true",), namespaces=False, mounts=False)), Stdio(null, null, null)
            )
        shutil.rmtree(folder)

    as_nobody(run)


def test_one_that_ends_before_its_start_is_a_conflict(boxes, monkeypatch) -> None:
    box = boxes.create(boxes.config("true"))
    boxes.runtime.kill(box.id, signal.SIGKILL)
    box.code()
    monkeypatch.setattr(boxes.runtime, "_status", lambda record: TaskStatus.CREATED)
    with pytest.raises(Conflict, match="has ended before its start"):
        boxes.runtime.start(box.id)


def test_what_does_not_end_is_told(boxes, monkeypatch) -> None:
    box = boxes.sleeping()
    monkeypatch.setattr(runtime, "_KILL_S", 0.2)
    os.kill(boxes.runtime._records.read(box.id).warden, signal.SIGSTOP)
    with pytest.raises(Unavailable, match="doesn't end"):
        boxes.runtime.delete(box.id, force=True)
    signal.pidfd_send_signal(box.process.exit_fd, signal.SIGCONT)
    assert box.code() == 137


def test_what_cannot_be_frozen_or_removed_is_told(root, monkeypatch) -> None:
    def refuse(group) -> None:
        raise OSError(errno.EBUSY, "busy")

    with boxes_of(lambda place: Jails(place, "cgroup", CGROUP), root) as boxes:
        box = boxes.sleeping()
        monkeypatch.setattr(runtime.Group, "freeze", refuse)
        with pytest.raises(Unavailable, match="doesn't freeze"):
            boxes.runtime.pause(box.id)
        monkeypatch.setattr(runtime.Group, "remove", refuse)
        with pytest.raises(Unavailable, match="still in use"):
            boxes.runtime.delete(box.id, force=True)
        monkeypatch.undo()
        with pytest.raises(Invalid, match="pids"):
            boxes.runtime.update(box.id, {"pids": {"limit": "many"}})


def test_all_that_was_left_is_reclaimed(boxes) -> None:
    box = boxes.sleeping()
    boxes.runtime.reclaim()
    assert box.code() == 137
    assert boxes.runtime.list() == ()
