"""Control groups by systemd: units that a real systemd makes, one of the test's own."""

import itertools
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from moby_runtime.native import scopes
from moby_runtime.native.runtime import Native
from private_systemd import PrivateSystemd, private_systemd

from moby.contracts.types import Stdio
from moby.errors import Conflict, HostUnfit, Invalid, MobyError, Unavailable
from moby.host import systemd
from moby.host.cgroups import Hierarchy, hierarchies
from moby.testing.as_user import NOBODY, as_nobody
from moby.testing.boxes import Box, Boxes, exit_code, place_in, run_inside
from moby.testing.bundles import Bundles, make_rootfs

MIB = 2**20


@pytest.fixture(scope="module")
def rootfs(tmp_path_factory) -> Path:
    return make_rootfs(tmp_path_factory.mktemp("systemd") / "rootfs")


@pytest.fixture(scope="module")
def booted(tmp_path_factory) -> Iterator[PrivateSystemd]:
    with private_systemd(tmp_path_factory.mktemp("booted"), tmp_path_factory.getbasetemp()) as found:
        yield found


@pytest.fixture
def inside(booted: PrivateSystemd, rootfs: Path, tmp_path: Path) -> Callable[[Callable[[Boxes], object]], None]:
    """Run part of a test where that systemd is process 1, with what makes containers by it."""

    def inside(run: Callable[[Boxes], object]) -> None:
        def with_boxes() -> None:
            place = place_in(tmp_path / "place")
            boxes = Boxes(Native(place, systemd=True), place, Bundles(tmp_path / "bundles", rootfs))
            try:
                run(boxes)
            finally:
                boxes.close()
            assert not [each for each in units() if "moby" in each or "box" in each]

        booted.inside(with_boxes)

    return inside


def systemctl(*words: str) -> str:
    return subprocess.run(["systemctl", "--no-pager", *words], capture_output=True, text=True, check=False).stdout


def units() -> list[str]:
    listed = systemctl("list-units", "--all", "--plain", "--no-legend", "--type=scope")
    return [line.split()[0] for line in listed.splitlines()]


def shown(unit: str, name: str) -> str:
    return systemctl("show", "--value", f"--property={name}", unit).strip()


def folder_of(box: Box) -> Path:
    return Path("/sys/fs/cgroup", systemd.group_of(box.process.pid).lstrip("/"))


def sleeping(boxes: Boxes, path: str = "", resources: dict[str, Any] | None = None) -> Box:
    data = boxes.config("sh", "-c", "echo up; exec sleep 1000")
    data["linux"] |= {"cgroupsPath": path, "resources": resources or {}}
    box = boxes.started(data)
    box.until("up")
    return box


@pytest.mark.parametrize(
    ("path", "unit", "group"),
    [
        pytest.param("", "moby-box1.scope", "/system.slice/moby-box1.scope", id="by-default"),
        pytest.param("a-b.slice:moby:web", "moby-web.scope", "/a.slice/a-b.slice/moby-web.scope", id="slice"),
        pytest.param("-.slice:moby:top", "moby-top.scope", "/moby-top.scope", id="no-slice"),
        pytest.param(":moby:x", "moby-x.scope", "/system.slice/moby-x.scope", id="default-slice"),
        pytest.param("system.slice::moby", "moby.scope", "/system.slice/moby.scope", id="no-prefix"),
        pytest.param(":moby:a+b", r"moby-a\x2bb.scope", r"/system.slice/moby-a\x2bb.scope", id="plus"),
    ],
)
def test_a_container_is_in_a_unit(inside, path: str, unit: str, group: str) -> None:
    def run(boxes: Boxes) -> None:
        box = sleeping(boxes, path)
        assert systemd.group_of(box.process.pid) == group
        assert shown(unit, "ActiveState") == "active"
        assert shown(unit, "Delegate") == "yes"
        assert boxes.runtime.pids(box.id) == (box.process.pid,)
        # It sees its own group as the root of all.
        assert "0::/\n" in run_inside(boxes, box.id, "cat", "/proc/self/cgroup")[1]
        boxes.runtime.pause(box.id)
        assert boxes.runtime.state(box.id).status == "paused"
        boxes.runtime.resume(box.id)
        boxes.runtime.kill(box.id, signal.SIGKILL, everyone=True)
        assert box.code() == 137
        boxes.runtime.delete(box.id)
        assert not Path("/sys/fs/cgroup", group.lstrip("/")).exists()
        assert shown(unit, "LoadState") == "not-found"

    inside(run)


def test_a_unit_goes_with_one_that_ends(inside) -> None:
    def run(boxes: Boxes) -> None:
        data = boxes.config("sh", "-c", "exit 3")
        assert boxes.run_config(data)[0] == 3

    inside(run)


def test_a_unit_goes_with_one_that_is_deleted_by_force(inside) -> None:
    def run(boxes: Boxes) -> None:
        box = sleeping(boxes)
        boxes.runtime.delete(box.id, force=True)
        assert box.code() == 137
        assert units() == ["init.scope"]

    inside(run)


def test_a_unit_goes_with_one_that_cannot_be_made(inside) -> None:
    def run(boxes: Boxes) -> None:
        data = boxes.config("true")
        data["mounts"].append({"destination": "/x", "type": "no-such-type", "source": "x"})
        with pytest.raises(MobyError, match="/x"):
            boxes.create(data)
        assert units() == ["init.scope"]
        assert list(boxes.place.run.iterdir()) == []

    inside(run)


def test_limits_are_told_to_systemd_and_set(inside) -> None:
    def run(boxes: Boxes) -> None:
        (tree,) = hierarchies()
        wanted = {
            "memory": {"memory": {"limit": 64 * MIB, "swap": 96 * MIB, "reservation": 16 * MIB}},
            "pids": {"pids": {"limit": 50}},
            "cpu": {"cpu": {"shares": 1024, "quota": 12345, "period": 50000}},
        }
        files = {"memory": "memory.max", "pids": "pids.max", "cpu": "cpu.max"}
        told = {"memory": ("MemoryMax", "67108864"), "pids": ("TasksMax", "50"), "cpu": ("CPUQuotaPerSecUSec", "250ms")}
        text = {"memory": "67108864", "pids": "50", "cpu": "12345 50000"}
        resources: dict[str, Any] = {}
        here = [name for name in files if name in tree.controllers]
        for name in here:
            resources |= wanted[name]
        box = sleeping(boxes, resources=resources)
        changed = sleeping(boxes)
        boxes.runtime.update(changed.id, resources)
        for each in (box, changed):
            for name in here:
                assert (folder_of(each) / files[name]).read_text().strip() == text[name]
                assert shown(f"moby-{each.id}.scope", told[name][0]) == told[name][1]
        # Whatever systemd does, it keeps them.
        systemctl("daemon-reload")
        for name in {"memory", "pids"} & set(here):
            assert (folder_of(box) / files[name]).read_text().strip() == text[name]

    inside(run)


def test_devices_are_refused_too(inside) -> None:
    def run(boxes: Boxes) -> None:
        data = boxes.config("sh", "-c", "true < /dev/node; true < /dev/null && echo null")
        data["linux"]["devices"] = [{"type": "c", "path": "/dev/node", "major": 60, "minor": 5, "fileMode": 0o666}]
        data["linux"]["resources"] = {"devices": [{"allow": False, "access": "rwm"}]}
        text = boxes.run_config(data)[1]
        assert "not permitted" in text
        assert "null\n" in text

    inside(run)


def test_exec_joins_the_group_that_the_first_process_has_moved_to(inside) -> None:
    """In version 2 who passes controllers on has no processes of its own."""

    def run(boxes: Boxes) -> None:
        box = sleeping(boxes)
        folder = folder_of(box)
        assert run_inside(boxes, box.id, "cat", "/proc/self/cgroup")[1].splitlines()[-1] == "0::/"
        (folder / "init").mkdir()
        (folder / "init/cgroup.procs").write_text(str(box.process.pid))
        controllers = (folder / "cgroup.controllers").read_text().split()
        if not controllers:
            return
        (folder / "cgroup.subtree_control").write_text(f"+{controllers[0]}")
        assert run_inside(boxes, box.id, "cat", "/proc/self/cgroup")[1].splitlines()[-1] == "0::/init"
        assert boxes.runtime.pids(box.id) == (box.process.pid,)
        boxes.runtime.delete(box.id, force=True)
        assert not folder.exists()

    inside(run)


@pytest.mark.parametrize(
    ("user", "options", "namespace", "owner"),
    [
        pytest.param({"uid": 7, "gid": 7}, [], True, 7, id="writable"),
        pytest.param({"uid": 7, "gid": 7}, ["ro"], True, 0, id="read-only"),
        pytest.param({"uid": 7, "gid": 7}, [], False, 0, id="no-namespace"),
        pytest.param({"uid": 0, "gid": 0}, [], True, 0, id="root"),
    ],
)
def test_who_owns_the_group(inside, user, options, namespace, owner) -> None:
    """A user who sees its group writable may make groups in it (config-linux.md, cgroup ownership)."""

    def run(boxes: Boxes) -> None:
        data = boxes.config("sh", "-c", "echo up; exec sleep 1000", user=user)
        mount = {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": options}
        if namespace:
            data["mounts"].append({"destination": "/sys", "type": "tmpfs", "source": "tmpfs"})
            data["mounts"].append(mount)
        else:
            data["linux"]["namespaces"] = [each for each in data["linux"]["namespaces"] if each["type"] != "cgroup"]
        box = boxes.started(data)
        box.until("up")
        folder = folder_of(box)
        assert folder.stat().st_uid == (folder / "cgroup.procs").stat().st_uid == owner
        assert (folder / "cgroup.max.depth").stat().st_uid == 0
        if owner:
            made = run_inside(boxes, box.id, "mkdir", "/sys/fs/cgroup/mine", user=user, capabilities={})
            assert made == (0, "")
            assert (folder / "mine").is_dir()

    inside(run)


def test_a_unit_that_is_there_already(inside) -> None:
    def run(boxes: Boxes) -> None:
        first = sleeping(boxes, ":moby:same")
        with pytest.raises(Conflict, match=r"moby-same\.scope already"):
            sleeping(boxes, ":moby:same")
        assert boxes.runtime.pids(first.id) == (first.process.pid,)
        assert shown("moby-same.scope", "ActiveState") == "active"

    inside(run)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/a/b", "SLICE:PREFIX:NAME"),
        ("a:b", "SLICE:PREFIX:NAME"),
        ("a.slice:b:", "SLICE:PREFIX:NAME"),
        ("a.slice:b:c.slice", "SLICE:PREFIX:NAME"),
        ("a.slice:b:../c", "can't be a unit"),
        (f"a.slice:b:{'c' * 250}", "can't be a unit"),
        ("a:b:c", "no slice"),
        ("../a.slice:b:c", "no slice"),
        ("a--b.slice:b:c", "no slice"),
        (".slice:b:c", "no slice"),
    ],
)
def test_what_cannot_be_a_unit(inside, path: str, message: str) -> None:
    def run(boxes: Boxes) -> None:
        with pytest.raises(Invalid, match=rf"linux\.cgroupsPath .*{message}"):
            sleeping(boxes, path)
        assert units() == ["init.scope"]

    inside(run)


def test_what_systemd_refuses_is_told(inside) -> None:
    def run(boxes: Boxes) -> None:
        with pytest.raises(HostUnfit, match="systemd refuses SetUnitProperties"):
            systemd.set_properties("absent.scope", [systemd.Property("TasksMax", "t", ("5",))])
        with pytest.raises(HostUnfit, match="systemd refuses StartTransientUnit"):
            systemd.start_scope("bad name.scope", os.getpid(), [])
        with pytest.raises(HostUnfit, match="systemd refuses") as caught:
            systemd.user_group()
        assert "systemctl --user" in caught.value.hint
        systemd.stop("absent.scope")
        systemd.set_properties("absent.scope", [])

    inside(run)


USER = Path("/run/user/65534")
USER_UNITS = {
    "default.target": "[Unit]\nDefaultDependencies=no\nAllowIsolate=yes\nRequires=dbus.service\nAfter=dbus.service\n",
    "dbus.socket": "[Unit]\nDefaultDependencies=no\n[Socket]\nListenStream=%t/bus\n",
    "dbus.service": (
        "[Unit]\nDefaultDependencies=no\nRequires=dbus.socket\n[Service]\nType=notify\nNotifyAccess=main\n"
        "ExecStart=/usr/bin/dbus-daemon --session --address=systemd: --nofork --nopidfile --systemd-activation\n"
    ),
}


def start_user_systemd() -> None:
    """Have the systemd of the host, so to speak, start one of an ordinary user."""
    units = USER / "systemd/user"
    units.mkdir(parents=True)
    for name, text in USER_UNITS.items():
        (units / name).write_text(text)
    for each in (USER, *USER.rglob("*")):
        os.chown(each, NOBODY, NOBODY)
    properties = ["Delegate=yes", "Type=notify", "DefaultDependencies=no"]
    command = ["systemd-run", "--quiet", f"--uid={NOBODY}", f"--gid={NOBODY}", "--unit=own.service"]
    command += [word for each in properties for word in ("-p", each)]
    command += ["-E", f"XDG_RUNTIME_DIR={USER}", "-E", "HOME=/nonexistent", "/usr/lib/systemd/systemd", "--user"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_an_ordinary_user_by_a_systemd_of_its_own(booted: PrivateSystemd) -> None:
    def as_user() -> None:
        os.environ["XDG_RUNTIME_DIR"] = str(USER)
        folder = Path("/run/own")
        place = place_in(folder / "place")
        boxes = Boxes(Native(place, systemd=True), place, Bundles(folder / "bundles", folder / "rootfs"))
        try:
            limit = {"pids": {"limit": 40}} if "pids" in hierarchies()[0].controllers else {}
            box = sleeping(boxes, resources=limit)
            group = systemd.group_of(box.process.pid)
            assert group == "/system.slice/own.service/user.slice/moby-box1.scope"
            if limit:
                assert (folder_of(box) / "pids.max").read_text() == "40\n"
                boxes.runtime.update(box.id, {"pids": {"limit": 30}})
                assert (folder_of(box) / "pids.max").read_text() == "30\n"
            null = os.open("/dev/null", os.O_RDWR)
            further = boxes.runtime.exec(box.id, boxes.config("sleep", "1000")["process"], Stdio(null, null, null))
            os.close(null)
            assert systemd.group_of(further.pid) == group
            assert boxes.runtime.pids(box.id) == tuple(sorted((box.process.pid, further.pid)))
            boxes.runtime.delete(box.id, force=True)
            assert exit_code(further) == 137
            assert not Path("/sys/fs/cgroup", group[1:]).exists()
        finally:
            boxes.close()

    def as_root() -> None:
        start_user_systemd()
        make_rootfs(Path("/run/own/rootfs"))
        os.chown("/run/own", NOBODY, NOBODY)
        try:
            as_nobody(as_user)
        finally:
            systemctl("stop", "own.service")

    booted.inside(as_root)


def test_where_systemd_does_not_run(tmp_path: Path, rootfs: Path, monkeypatch) -> None:
    place = place_in(tmp_path / "place")
    boxes = Boxes(Native(place, systemd=True), place, Bundles(tmp_path / "bundles", rootfs))
    monkeypatch.setattr(systemd.running, "__defaults__", (tmp_path / "absent",))
    with pytest.raises(HostUnfit, match="doesn't run here") as caught:
        boxes.create(boxes.config("true"))
    assert "--systemd-cgroup" in caught.value.hint
    assert list(place.run.iterdir()) == []


def test_version_1_is_not_for_systemd(monkeypatch) -> None:
    one = Hierarchy("/x", 1, frozenset({"memory"}))
    monkeypatch.setattr(systemd, "running", lambda: True)
    monkeypatch.setattr(scopes, "hierarchies", lambda: (one,))
    with pytest.raises(HostUnfit, match="cgroup v2 only"):
        scopes._tree()


def test_without_busctl(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(HostUnfit, match="busctl, which isn't on PATH"):
        systemd.user_group()


def fake_busctl(folder: Path, script: str, monkeypatch) -> None:
    (folder / "busctl").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "busctl").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


def test_a_systemd_that_does_not_answer(monkeypatch, tmp_path: Path) -> None:
    fake_busctl(tmp_path, "exec sleep 1000", monkeypatch)
    monkeypatch.setattr(systemd, "_PATIENCE_S", 0.1)
    with pytest.raises(Unavailable, match="doesn't answer"):
        systemd.start_scope("a.scope", os.getpid(), [])


def test_a_systemd_that_does_not_start(monkeypatch, tmp_path: Path) -> None:
    """However long busctl takes: the time that passes meanwhile is the test's own."""
    fake_busctl(tmp_path, "exit 0", monkeypatch)
    seconds = itertools.count(step=10)
    clock = SimpleNamespace(monotonic=lambda: next(seconds), sleep=lambda _: None)
    monkeypatch.setattr(systemd, "time", clock)
    with pytest.raises(Unavailable, match=r"doesn't start a\.scope in time"):
        systemd.start_scope("a.scope", os.getpid(), [])
    assert next(seconds) == 50, "it was waited for"


def test_a_systemd_that_puts_it_elsewhere(monkeypatch) -> None:
    monkeypatch.setattr(systemd, "start_scope", lambda *arguments, **options: "/elsewhere")
    monkeypatch.setattr(systemd, "stop", lambda *arguments, **options: None)
    tree = Hierarchy("/absent", 2, frozenset())
    scope = scopes.Scope("a.scope", "system.slice", "/system.slice/a.scope", tree, False)
    with pytest.raises(Unavailable, match="at /elsewhere and not at"), ExitStack() as undo:
        scope.enter(1, {}, undo)


def test_the_user_s_own_systemd(monkeypatch, tmp_path: Path) -> None:
    """An ordinary user's units are below what its own systemd has; that also moves what comes in later."""
    fake_busctl(tmp_path, f'echo "$@" >> {tmp_path}/said; echo \'s "/user.slice/user@7.service"\'', monkeypatch)
    monkeypatch.setattr(scopes, "_tree", lambda: Hierarchy("/m", 2, frozenset()))
    monkeypatch.setattr(scopes, "is_root_of_host", lambda: False)

    class Bundle:
        cgroups_path = ""

    scope = scopes.plan("web", Bundle())
    assert (scope.user, scope.slice) == (True, "user.slice")
    assert scope.group.folders == ("/m/user.slice/user@7.service/user.slice/moby-web.scope",)
    systemd.attach(scope.unit, 77, user=True)
    said = (tmp_path / "said").read_text().splitlines()
    assert said[0].startswith("--user ")
    assert said[1].endswith("AttachProcessesToUnit ssau moby-web.scope  1 77")


@pytest.mark.parametrize(
    ("text", "bits"), [("0", [1]), ("0-3,8", [15, 1]), ("7", [128]), ("", []), ("x", []), ("0-99999", []), ("1-", [2])]
)
def test_processors_as_bits(text: str, bits: list[int]) -> None:
    assert list(scopes._bits(text)) == bits


@pytest.mark.parametrize(
    ("text", "second"),
    [
        ("max 100000", systemd.NO_LIMIT),
        ("150000 100000", "1500000"),
        ("12345 50000", "250000"),
        ("1000 1000000", "10000"),
    ],
)
def test_a_quota_as_systemd_has_it(text: str, second: str) -> None:
    assert [each.words for each in scopes._quota(text)] == [(text.split()[1],), (second,)]


@pytest.mark.parametrize("text", ["", "some 1", "5 0", "5 x"])
def test_no_quota(text: str) -> None:
    assert list(scopes._quota(text)) == []
