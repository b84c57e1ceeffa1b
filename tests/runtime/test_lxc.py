"""The runtime over LXC: one of each kind of what the suite sees at length, and what is its own."""

import errno
import gc
import os
import re
import shutil
import signal
import tempfile
from pathlib import Path

import pytest
from moby_runtime.lxc import bootstrap, bundle, configuration, making
from moby_runtime.lxc.places import Places
from moby_runtime.lxc.runtime import Lxc
from runtime.lxc_library import need

from moby.contracts.types import Stdio, TaskStatus
from moby.errors import Conflict, HostUnfit, Invalid, MobyError, Unavailable, Unsupported
from moby.host import processes
from moby.host.processes import set_child_subreaper
from moby.testing.as_user import as_nobody
from moby.testing.boxes import cgroup_folders, place_in, run_inside
from moby.testing.bundles import Bundles, config, make_rootfs
from moby.testing.containers_world import eventually
from moby.testing.runtime import boxes_of

_PR_GET_DUMPABLE = 3
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="this runtime is for root alone; runs as root")


@pytest.fixture(scope="module")
def root():
    folder = Path(tempfile.mkdtemp(prefix="moby-lxc-"))
    folder.chmod(0o755)
    yield make_rootfs(folder / "rootfs")
    shutil.rmtree(folder)


@pytest.fixture
def boxes(root):
    library = need()
    set_child_subreaper()
    try:
        with boxes_of(lambda place: Lxc(place, library), root) as boxes:
            yield boxes
        boxes.runtime.reclaim()
        assert not list(Path("/run/lxc/lock").rglob(f"*{boxes.place.run.parent.parent.name}*"))
    finally:
        set_child_subreaper(False)


def test_a_container_lives_and_is_entered(boxes) -> None:
    data = boxes.config("sh", "-c", "echo $$; env; cat /proc/sys/kernel/hostname; read line; exit 3", env=["A=b"])
    data["linux"]["resources"] = {"memory": {"limit": 64 << 20}, "pids": {"limit": 20}}
    box = boxes.create(data, stdin=True)
    assert boxes.runtime.state(box.id).status is TaskStatus.CREATED
    boxes.runtime.start(box.id)
    text = box.until("box\n")
    assert set(text.split()) - {"PWD=/", "HOME=/root"} == {"1", "A=b", "box"}
    assert run_inside(boxes, box.id, "sh", "-c", "cat /proc/sys/kernel/hostname; exit 5") == (5, "box\n")
    found = boxes.runtime.stats(box.id)
    assert (found.memory_limit_bytes, found.pids_limit, found.pids) == (64 << 20, 20, 1)
    boxes.runtime.pause(box.id)
    assert boxes.runtime.state(box.id).status is TaskStatus.PAUSED
    boxes.runtime.resume(box.id)
    os.write(box.stdin, b"go\n")
    assert box.code() == 3


def test_a_terminal_is_the_containers_own_and_controls_it(boxes) -> None:
    script = "tty; stat -c %F /dev/console; trap 'echo interrupted; exit 9' INT; echo up; while :; do sleep 0.05; done"
    box = boxes.started(boxes.config("sh", "-c", script, terminal=True), terminal=True)
    assert box.until("up").splitlines() == ["/dev/pts/0", "character special file", "up"]
    assert run_inside(boxes, box.id, "tty", terminal=True) == (0, "/dev/pts/1\r\n")
    os.write(box.stdin, b"\x03")
    box.until("interrupted")
    assert box.code() == 9


def test_how_a_program_was_killed_is_passed_on(boxes) -> None:
    box = boxes.sleeping()
    boxes.runtime.kill(box.id, signal.SIGKILL)
    assert box.code() == 137


def test_one_that_was_killed_for_want_of_memory_says_so_once_its_groups_are_gone(boxes) -> None:
    data = boxes.config("sh", "-c", "x=0123456789abcdef; while :; do x=$x$x; done")
    data["linux"]["resources"] = {"memory": {"limit": 16 << 20}}
    box = boxes.started(data)
    assert box.code() == 137
    groups = [Path(each) for each in cgroup_folders(boxes.place.engine) if Path(each).name == box.id]
    eventually(lambda: not any(each.exists() for each in groups), "LXC removes them")
    found = boxes.runtime.stats(box.id)
    assert (found.oom_kills or 0) >= 1
    assert found.cpu_ns
    shutil.rmtree(Path(boxes.runtime._records.path(box.id), configuration.COUNTED))
    with pytest.raises(Conflict, match="is gone"):  # as of one that an earlier release has made
        boxes.runtime.stats(box.id)


def test_nothing_of_the_host_is_left_inside(boxes) -> None:
    """What the interpreter came in by is closed, and was never mounted."""
    script = (
        "for each in 0 1 2; do readlink /proc/self/fd/$each; done; ls /proc/self/fd; cat /proc/self/mountinfo; ls /"
    )
    code, text = boxes.run("sh", "-c", script)
    assert code == 0
    assert "python" not in text
    assert str(Path(bootstrap.__file__).parents[3]) not in text


def test_a_masked_path_and_a_device(boxes) -> None:
    data = boxes.config("sh", "-c", "cat /proc/uptime; ls /proc/irq; stat -c '%F %t %T' /dev/odd; (: < /dev/odd) 2>&1")
    data["linux"] |= {
        "maskedPaths": ["/proc/uptime", "/proc/irq", "/proc/none"],
        "devices": [{"path": "/dev/odd", "type": "c", "major": 240, "minor": 7, "fileMode": 0o666}],
        "resources": {"devices": [{"allow": False, "access": "rwm"}]},
    }
    _, text = boxes.run_config(data)
    first, second = text.splitlines()
    assert first == "character special file f0 7"
    assert "Operation not permitted" in second


def test_a_device_in_folders_of_its_own(boxes) -> None:
    """As /dev/cpu/0/cpuid, which privileged containers have of hosts that have it."""
    data = boxes.config("stat", "-c", "%F %t %T", "/dev/one/two/odd")
    data["linux"]["devices"] = [{"path": "/dev/one/two/odd", "type": "c", "major": 240, "minor": 7}]
    assert boxes.run_config(data) == (0, "character special file f0 7\n")


def test_the_name_of_a_domain(boxes) -> None:
    """LXC has no word for it, but for settings."""
    data = boxes.config("cat", "/proc/sys/kernel/domainname")
    data["domainname"] = "there.example"
    assert boxes.run_config(data) == (0, "there.example\n")


def test_what_lxc_says_is_told_with_the_mount_that_it_names(boxes) -> None:
    data = boxes.config("true")
    data["mounts"].append({"destination": "/data", "type": "tmpfs", "source": "t", "options": ["size=half"]})
    with pytest.raises(Invalid, match=rf"mounts\[{len(data['mounts']) - 1}\]"):
        boxes.create(data)
    assert boxes.runtime.list() == ()


def test_what_lxc_says_else_is_the_hosts_fault(boxes) -> None:
    data = boxes.config("true")
    data["linux"]["sysctl"] = {"net.no.such.setting": "1"}
    with pytest.raises(HostUnfit, match="LXC can't make the container") as caught:
        boxes.create(data)
    assert "lxc-checkconfig" in caught.value.hint
    assert boxes.runtime.list() == ()


def test_who_enters_shows_nothing_of_the_caller(boxes, monkeypatch) -> None:
    """A process of the container could watch it, and get at the caller's descriptors (CVE-2016-9962)."""

    def join(fd, flags) -> None:
        shown = Path("/proc/self/cmdline").read_bytes().strip(b"\0")
        if shown or processes.prctl(_PR_GET_DUMPABLE):
            os._exit(71)
        usual(fd, flags)

    usual = making.namespaces.join
    monkeypatch.setattr(making.namespaces, "join", join)
    box = boxes.sleeping()
    assert run_inside(boxes, box.id, "true") == (0, "")


def test_who_can_t_enter_leaves_nothing_open(boxes, monkeypatch) -> None:
    def refuse(group):
        raise OSError(errno.ENODEV, "gone")

    box = boxes.sleeping()
    monkeypatch.setattr(making.Group, "entrance", refuse)
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(MobyError, match="enter the control group"):
        run_inside(boxes, box.id, "true")
    gc.collect()
    assert len(list(Path("/proc/self/fd").iterdir())) <= before


@pytest.mark.parametrize("known", [True, False])
def test_a_root_that_is_still_shown_is_not_emptied(boxes, known) -> None:
    box = boxes.sleeping()
    boxes.runtime.kill(box.id, signal.SIGKILL)
    box.code()
    folder = boxes.place.run / box.id
    (folder / "root/file").touch()  # as if it were the image's
    if not known:
        boxes.runtime._remove_groups(boxes.runtime._records.read(box.id))
        (folder / "jail.json").unlink()
    with pytest.raises(Unavailable, match=r"something is still at .*/root: Directory not empty"):
        boxes.runtime.delete(box.id, force=True)
    assert (folder / "root/file").exists()
    (folder / "root/file").unlink()
    boxes.runtime.delete(box.id, force=True)
    assert not folder.exists()


def test_who_kills_lxcs_process_ends_the_container(boxes) -> None:
    box = boxes.sleeping()
    signal.pidfd_send_signal(box.process.exit_fd, signal.SIGKILL)
    assert box.code() == 137
    os.waitpid(box.process.pid, 0)
    assert boxes.runtime.state(box.id).status is TaskStatus.STOPPED


def test_a_library_that_is_not_there_is_told(root) -> None:
    place = place_in(Path(tempfile.mkdtemp()) / "place")
    bundles = Bundles(place.state / "bundles", root)
    null = os.open("/dev/null", os.O_RDWR)
    with pytest.raises(HostUnfit, match="LXC's library") as caught:
        Lxc(place, "/no/such/library").create("a", bundles.make("a", config(["true"])), Stdio(null, null, null))
    os.close(null)
    assert caught.value.hint == "apt install lxc"


def test_an_ordinary_user_is_told(root) -> None:
    def run() -> None:
        folder = Path(tempfile.mkdtemp())
        bundles = Bundles(folder / "bundles", root)
        null = os.open("/dev/null", os.O_RDWR)
        with pytest.raises(HostUnfit, match="only as root"):
            Lxc(place_in(folder / "place")).create("a", bundles.make("a", config(["true"])), Stdio(null, null, null))
        shutil.rmtree(folder)

    as_nobody(run)


def test_an_interpreter_of_no_loader_is_told(monkeypatch) -> None:
    monkeypatch.setattr(bootstrap.Path, "read_text", lambda self, **more: "")
    with pytest.raises(HostUnfit, match=r"ld\.so"):
        bootstrap._loaded()


def test_one_that_ends_while_it_is_entered_is_a_conflict(boxes, monkeypatch) -> None:
    box = boxes.sleeping()
    boxes.runtime.kill(box.id, signal.SIGKILL)
    box.code()
    monkeypatch.setattr(boxes.runtime, "_status", lambda record: TaskStatus.RUNNING)
    with pytest.raises(Conflict, match="has stopped"):
        run_inside(boxes, box.id, "true")


# --- a bundle, read and written ---------------------------------------------------------------------------------------


def read(tmp_path, root, change=lambda data: None):
    data = config(["true"])
    change(data)
    return bundle.read(str(Bundles(tmp_path / "bundles", root).make("one", data)))


REFUSED = [
    ("domainname", lambda data: data["linux"].update(namespaces=[{"type": "mount"}]) or data.update(domainname="x")),
    ("hooks", lambda data: data.update(hooks={"poststop": [{"path": "/bin/true"}]})),
    ("process.apparmorProfile", lambda data: data["process"].update(apparmorProfile="strict")),
    ("linux.intelRdt", lambda data: data["linux"].update(intelRdt={"closID": "a"})),
    ("linux.namespaces[6].type time", lambda data: data["linux"]["namespaces"].append({"type": "time"})),
    ("linux.namespaces without one of mounts", lambda data: data["linux"]["namespaces"].pop(1)),
    ("mounts without tmpfs at /dev", lambda data: data["mounts"].pop(1)),
    ("mounts without proc at /proc", lambda data: data["mounts"].pop(0)),
    ("mounts[4].type ext4", lambda data: data["mounts"].append(
        {"destination": "/a", "type": "ext4", "source": "/dev/x"})),
    ("mounts[4].options sync", lambda data: data["mounts"].append(
        {"destination": "/a", "type": "tmpfs", "source": "t", "options": ["sync"]})),
    ("mounts[4].destination /other", lambda data: data["mounts"].append(
        {"destination": "/other", "type": "cgroup", "source": "cgroup"})),
    *((f"mounts[4].options {option}", lambda data, option=option: data["mounts"].append(
        {"destination": "/a", "type": "tmpfs", "source": "t", "options": [option]}))
      for option in ("create=file", "idmap=container", "size=1,optional")),
    ("mounts[4].uidMappings", lambda data: data["mounts"].append(
        {"destination": "/a", "source": "/etc", "options": ["bind"],
         "uidMappings": [{"containerID": 0, "hostID": 1, "size": 1}]})),
    ("linux.seccomp.listenerPath", lambda data: data["linux"].update(seccomp={
        "defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/run/agent",
        "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"}]})),
]  # fmt: skip


@pytest.mark.parametrize(("named", "change"), REFUSED, ids=[named for named, _ in REFUSED])
def test_what_it_lacks_is_refused_by_name(tmp_path, root, named, change) -> None:
    with pytest.raises(Unsupported, match=re.escape(named)):
        read(tmp_path, root, change)


WRONG = [
    ("ociVersion", lambda data: data.update(ociVersion="2.0")),
    ("root.path", lambda data: data.update(root={"path": ""})),
    ("mounts[4].destination", lambda data: data["mounts"].append({"destination": "a", "type": "tmpfs", "source": "t"})),
    (
        "mounts[4].destination",
        lambda data: data["mounts"].append(
            {"destination": "/a\nlxc.hook.pre-start = /bin/sh", "type": "tmpfs", "source": "t"}
        ),
    ),
    ("linux.namespaces[0].type", lambda data: data["linux"]["namespaces"][0].update(type="moon")),
    ("linux.sysctl.kernel.core_pattern", lambda data: data["linux"].update(sysctl={"kernel.core_pattern": "|/x"})),
    (
        "linux.sysctl.net.a",
        lambda data: (
            data["linux"]["namespaces"][4].update(path="/proc/self/ns/net"),
            data["linux"].update(sysctl={"net.a": "1"}),
        ),
    ),
]


@pytest.mark.parametrize(("named", "change"), WRONG, ids=[named for named, _ in WRONG])
def test_what_is_wrong_is_named(tmp_path, root, named, change) -> None:
    with pytest.raises(Invalid, match=re.escape(named)):
        read(tmp_path, root, change)


def test_the_configuration(tmp_path, root) -> None:
    shared = tmp_path / "with space"
    shared.mkdir()

    def change(data) -> None:
        data["mounts"].append({"destination": "/in", "source": str(shared), "options": ["rbind", "ro"]})
        data["mounts"].append({"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "c", "options": ["ro"]})
        data["linux"]["sysctl"] = {"kernel.shmmni": "100"}
        data["linux"]["namespaces"][4]["path"] = "/proc/self/ns/net"
        data["process"]["oomScoreAdj"] = 5

    found = read(tmp_path, root, change)
    lines = configuration.text_of(found, "/run/one", "/moby-x/one", ("/g/x y/one",), "/home").splitlines()
    wanted = {
        f"lxc.rootfs.path = dir:{root}", "lxc.rootfs.mount = /run/one/root", "lxc.uts.name = box",
        "lxc.namespace.clone = pid mnt uts ipc cgroup", "lxc.namespace.share.net = /proc/self/ns/net",
        "lxc.autodev.tmpfs.size = 65536", "lxc.mount.entry = proc proc proc nosuid,noexec,nodev 0 0",
        "lxc.mount.entry = " + str(shared).replace(" ", "\\040") + " in none rbind,ro 0 0",
        "lxc.mount.auto = cgroup:ro:force", "lxc.sysctl.kernel.shmmni = 100", "lxc.proc.oom_score_adj = 5",
        "lxc.cgroup.dir.container = moby-x/one", "lxc.cgroup.dir.monitor = moby-x/one.monitor",
        "lxc.cgroup.dir.monitor.pivot = moby-x/one.last",
    }  # fmt: skip
    assert wanted <= set(lines)
    (hook,) = (line for line in lines if line.startswith("lxc.hook"))
    assert hook.startswith("lxc.hook.stop = cp '/g/x y/one'/memory.oom_control ")


def test_no_field_goes_on_in_a_second_line(tmp_path, root) -> None:
    found = read(tmp_path, root, lambda data: data.update(hostname="box\nlxc.hook.pre-start = /bin/sh"))
    with pytest.raises(Invalid, match=r"lxc\.uts\.name"):
        configuration.text_of(found, "/run/one", "/moby-x/one", (), "/home")


@pytest.fixture
def image(tmp_path):
    (tmp_path / "image/etc").mkdir(parents=True)
    (tmp_path / "outside").mkdir()
    return tmp_path / "image"


@pytest.mark.parametrize("link", ["absolute", "relative"])
def test_a_place_behind_a_link_of_the_image_is_not_made_elsewhere(image, tmp_path, link) -> None:
    outside = tmp_path / "outside"
    (image / "trap").symlink_to(outside if link == "absolute" else "../outside")
    with pytest.raises(Invalid, match=r"mounts\[0\]"):
        Places(str(image)).add("/trap/made", "tmpfs", "", "mounts[0]")
    assert list(outside.iterdir()) == []


def test_places_are_made_where_they_will_be(image, tmp_path) -> None:
    volume = tmp_path / "volume"
    volume.mkdir()
    (volume / "file").touch()
    places = Places(str(image))
    assert places.add("/var/lib/data", "bind", str(volume), "mounts[0]") == ("var/lib/data", False)
    assert places.add("/var/lib/data/deep", "tmpfs", "", "mounts[1]") == ("var/lib/data/deep", False)
    assert places.add("/var/lib/data/deep/er", "tmpfs", "", "mounts[2]") == ("var/lib/data/deep/er", True)
    assert places.add("/etc/hosts", "bind", str(volume / "file"), "mounts[3]") == ("etc/hosts", False)
    assert (volume / "deep").is_dir()
    assert (image / "etc/hosts").is_file()
    assert list((image / "var/lib/data").iterdir()) == []


def test_no_place_is_below_proc_by_way_of_another(image) -> None:
    places = Places(str(image))
    places.add("/tmp", "tmpfs", "", "mounts[0]")
    with pytest.raises(Invalid, match=r"mounts\[1\]\.destination is below /proc"):
        places.add("/tmp/../proc/sys", "tmpfs", "", "mounts[1]")
    assert places.add("/tmp/./a//b", "tmpfs", "", "mounts[2]") == ("tmp/a/b", True)


@pytest.mark.parametrize("kind", ["bind", "tmpfs"])
def test_nothing_but_the_kernels_covers_proc(image, tmp_path, kind) -> None:
    with pytest.raises(Invalid, match="which nothing but the kernel's may cover"):
        Places(str(image)).add("/proc/sys", kind, str(tmp_path) if kind == "bind" else "", "mounts[0]")


def test_a_proc_behind_a_link_is_refused(image) -> None:
    (image / "proc").symlink_to("etc")
    with pytest.raises(Invalid, match="a link in the image"):
        Places(str(image)).add("/proc", "proc", "", "mounts[0]")
