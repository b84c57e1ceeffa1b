"""Control groups by an ordinary user's own systemd: a real one, in a control group that was given to the user."""

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from guests.cover import needs
from moby_runtime.native.runtime import Native

from moby.errors import Invalid
from moby.host import systemd
from moby.host.cgroups import Group, hierarchies
from moby.testing.boxes import Box, Boxes, MakeRuntime, delegated, run_inside
from moby.testing.runtime import RuntimeFixtures

MIB = 2**20
PROGRAM = Path("/usr/lib/systemd/systemd")
UNITS = {
    "box.target": "[Unit]\nDefaultDependencies=no\nAllowIsolate=yes\nRequires=dbus.service\nAfter=dbus.service\n",
    "dbus.socket": "[Unit]\nDefaultDependencies=no\n[Socket]\nListenStream=%t/bus\n",
    "dbus.service": (
        "[Unit]\nDefaultDependencies=no\nRequires=dbus.socket\n[Service]\nType=notify\nNotifyAccess=main\n"
        "ExecStart=/usr/bin/dbus-daemon --session --address=systemd: --nofork --nopidfile --systemd-activation\n"
    ),
}


@pytest.fixture(scope="module")
def booted() -> Iterator[None]:
    """Have a systemd of the user's own, beside the group of these tests."""
    if os.geteuid() == 0:
        pytest.skip("root's containers are in units of the host's systemd; runs as an ordinary user in the guest uml")
    needs(delegated() and systemd.running() and PROGRAM.exists(), "host booted by systemd", "uml")
    (tree,) = (each for each in hierarchies() if each.version == 2)
    given = Path(tree.folder(tree.own)).parent
    for name in (given / "cgroup.controllers").read_text().split():
        (given / "cgroup.subtree_control").write_text(f"+{name}")
    own = Group((str(given / "systemd"),))
    Path(own.folders[0]).mkdir()
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", folder)
        patch.delenv("DBUS_SESSION_BUS_ADDRESS", raising=False)
        units = Path(folder, "systemd/user")
        units.mkdir(parents=True)
        for name, text in UNITS.items():
            (units / name).write_text(text)
        log = Path(folder, "log")
        start = f"echo 0 > {own.folders[0]}/cgroup.procs; exec {PROGRAM} --user --unit=box.target --log-target=console"
        with log.open("wb") as out:
            process = subprocess.Popen(["sh", "-c", start], stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        try:
            _await(log)
            yield
        finally:
            own.kill(signal.SIGKILL)
            process.wait()
            own.remove()


def _await(log: Path) -> None:
    deadline = time.monotonic() + 60
    while subprocess.run(["busctl", "--user", "status"], capture_output=True, check=False).returncode or (
        systemctl("is-system-running").strip() not in ("running", "degraded")
    ):
        assert time.monotonic() < deadline, f"it doesn't boot: {log.read_text()}"
        time.sleep(0.1)


def systemctl(*words: str) -> str:
    command = ["systemctl", "--user", "--no-pager", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def shown(unit: str, name: str) -> str:
    return systemctl("show", "--value", f"--property={name}", unit).strip()


def folder_of(box: Box) -> Path:
    return Path("/sys/fs/cgroup", systemd.group_of(box.process.pid).lstrip("/"))


@pytest.mark.usefixtures("booted")
class TestUserSystemd(RuntimeFixtures):
    @pytest.fixture
    def make_runtime(self) -> MakeRuntime:
        return lambda place: Native(place, systemd=True)

    def test_a_container_is_in_a_unit_below_the_users_own(self, boxes: Boxes) -> None:
        box = boxes.sleeping()
        unit = f"moby-{box.id}.scope"
        assert systemd.group_of(box.process.pid) == f"/user/systemd/user.slice/{unit}"
        assert (shown(unit, "ActiveState"), shown(unit, "Delegate")) == ("active", "yes")
        assert boxes.runtime.pids(box.id) == (box.process.pid,)
        boxes.runtime.pause(box.id)
        assert boxes.runtime.state(box.id).status == "paused"
        boxes.runtime.resume(box.id)
        folder = folder_of(box)
        boxes.runtime.delete(box.id, force=True)
        assert box.code() == 137
        assert not folder.exists()
        assert shown(unit, "LoadState") == "not-found"

    def test_limits_are_told_to_systemd_and_set(self, boxes: Boxes) -> None:
        data = boxes.config("sh", "-c", "echo up; exec sleep 1000")
        data["linux"]["resources"] = {"memory": {"limit": 64 * MIB}, "pids": {"limit": 50}}
        box = boxes.started(data)
        box.until("up")
        unit = f"moby-{box.id}.scope"
        assert (folder_of(box) / "memory.max").read_text() == f"{64 * MIB}\n"
        assert (folder_of(box) / "pids.max").read_text() == "50\n"
        assert (shown(unit, "MemoryMax"), shown(unit, "TasksMax")) == (str(64 * MIB), "50")
        boxes.runtime.update(box.id, {"pids": {"limit": 40}})
        assert (folder_of(box) / "pids.max").read_text() == "40\n"
        assert shown(unit, "TasksMax") == "40"

    def test_what_comes_in_is_moved_by_systemd(self, boxes: Boxes) -> None:
        box = boxes.sleeping()
        code, text = run_inside(boxes, box.id, "cat", "/proc/self/cgroup")
        assert code == 0
        assert text.strip().endswith(f"/moby-{box.id}.scope")

    def test_a_unit_goes_with_one_that_cannot_be_made(self, boxes: Boxes) -> None:
        data = boxes.config("true")
        data["process"]["args"] = ["/bin/absent"]
        with pytest.raises(Invalid, match="absent"):
            boxes.started(data)
        boxes.close()
        assert "moby-" not in systemctl("list-units", "--all", "--plain", "--no-legend", "--type=scope")
