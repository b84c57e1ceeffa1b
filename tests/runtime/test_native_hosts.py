"""The native runtime where the host has what a bare machine may lack: groups of one's own, many ids, AppArmor."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from guests.cover import needs
from moby_runtime.native.runtime import Native
from peers import binaries

from moby.contracts.types import TaskStatus
from moby.errors import HostUnfit, Invalid
from moby.host.cgroups import hierarchies
from moby.testing.boxes import Boxes, MakeRuntime, cgroup_folders, delegated, run_inside
from moby.testing.runtime import RuntimeFixtures

MIB = 2**20
STAY = ("sh", "-c", "echo up; exec sleep 1000")


class _Native(RuntimeFixtures):
    @pytest.fixture
    def make_runtime(self) -> MakeRuntime:
        return Native


class TestDelegation(_Native):
    """An ordinary user to whom a control group of version 2 was given (cgroups(7), delegation)."""

    @pytest.fixture
    def given(self, boxes: Boxes) -> Path:
        """Return the folder of the group that is the user's."""
        if not boxes.rootless:
            pytest.skip("delegation is for ordinary users; runs as one in the guests uml and qemu")
        needs(delegated(), "control group given to this user", "uml", "qemu")
        tree = next(tree for tree in hierarchies() if tree.version == 2)
        return Path(tree.folder(tree.own)).parent

    @pytest.mark.parametrize(
        ("resources", "file", "value"),
        [
            pytest.param({"pids": {"limit": 77}}, "pids.max", "77", id="pids"),
            pytest.param({"memory": {"limit": 64 * MIB}}, "memory.max", str(64 * MIB), id="memory"),
            pytest.param({"cpu": {"quota": 50000, "period": 200000}}, "cpu.max", "50000 200000", id="cpu"),
            pytest.param({"unified": {"memory.high": "33554432"}}, "memory.high", "33554432", id="unified"),
        ],
    )
    def test_a_limit(self, boxes: Boxes, given: Path, resources: dict[str, Any], file: str, value: str) -> None:
        data = boxes.config(*STAY)
        data["linux"]["resources"] = resources
        box = boxes.started(data)
        box.until("up")
        found = [folder for folder in cgroup_folders(boxes.place.engine) if folder.endswith(box.id)]
        assert [str(Path(each).parent.parent) for each in found] == [str(given)]
        assert Path(found[0], file).read_text().strip() == value
        assert boxes.runtime.pids(box.id) == (box.process.pid,)

    def test_a_limit_can_be_changed(self, boxes: Boxes, given: Path) -> None:
        box = boxes.sleeping()
        boxes.runtime.update(box.id, {"pids": {"limit": 55}, "memory": {"limit": 32 * MIB}})
        (found,) = (folder for folder in cgroup_folders(boxes.place.engine) if folder.endswith(box.id))
        assert Path(found, "pids.max").read_text() == "55\n"
        assert Path(found, "memory.max").read_text() == f"{32 * MIB}\n"

    def test_a_further_program_is_in_the_group(self, boxes: Boxes, given: Path) -> None:
        box = boxes.sleeping()
        code, text = run_inside(boxes, box.id, "cat", "/proc/self/cgroup")
        assert code == 0
        assert text.strip().endswith(f"/{box.id}")

    def test_pause_and_resume(self, boxes: Boxes, given: Path) -> None:
        box = boxes.sleeping()
        boxes.runtime.pause(box.id)
        assert boxes.runtime.state(box.id).status is TaskStatus.PAUSED
        boxes.runtime.resume(box.id)
        assert boxes.runtime.state(box.id).status is TaskStatus.RUNNING

    def test_a_controller_that_was_not_given_is_named(self, boxes: Boxes, given: Path) -> None:
        if "misc" in (given / "cgroup.controllers").read_text().split():
            pytest.skip("it was given; runs in the guest uml")
        data = boxes.config("true")
        data["linux"]["resources"] = {"unified": {"misc.max": "max"}}
        with pytest.raises(HostUnfit, match=r"linux\.resources\.unified\.misc\.max"):
            boxes.create(data)


class TestSubordinateIds(_Native):
    """An ordinary user with ranges in /etc/subuid and /etc/subgid, which newuidmap and newgidmap map."""

    @pytest.fixture
    def first(self, boxes: Boxes) -> int:
        """Return the first id of the user's range."""
        if not boxes.rootless:
            pytest.skip("root maps what it likes; runs as an ordinary user in the guests uml and qemu")
        name = subprocess.run(["id", "-un"], capture_output=True, text=True, check=False).stdout.strip()
        lines = [line.split(":") for line in Path("/etc/subuid").read_text().splitlines() if line.count(":") == 2]
        found = [int(start) for user, start, _ in lines if user == name]
        needs(found and shutil.which("newuidmap"), "range of further ids for this user", "uml", "qemu")
        return found[0]

    def test_many_ids(self, boxes: Boxes, first: int) -> None:
        script = (
            "cat /proc/self/uid_map /proc/self/gid_map /proc/self/setgroups; id -u; id -g; id -G; echo x > /tmp/mine"
        )
        data = boxes.config("sh", "-c", script, user={"uid": 1000, "gid": 1001, "additionalGids": [5, 6]})
        self._map(data, first)
        code, text = boxes.run_config(data)
        own = [["0", str(os.geteuid()), "1"], ["1", str(first), "5000"]]
        lines = [line.split() for line in text.splitlines()]
        assert code == 0
        assert lines == [*own, *own, ["allow"], ["1000"], ["1001"], ["1001", "5", "6"]]

    def test_further_programs_have_them_too(self, boxes: Boxes, first: int) -> None:
        data = boxes.config(*STAY)
        self._map(data, first)
        box = boxes.started(data)
        box.until("up")
        assert run_inside(boxes, box.id, "id", "-u", user={"uid": 7, "gid": 8}) == (0, "7\n")

    def test_what_was_not_given_is_refused(self, boxes: Boxes, first: int) -> None:
        data = boxes.config("true")
        self._map(data, first - 10)
        with pytest.raises(HostUnfit, match="newuidmap refuses") as caught:
            boxes.create(data)
        assert "/etc/subuid" in caught.value.hint

    @staticmethod
    def _map(data: dict[str, Any], first: int) -> None:
        for name, own in (("uidMappings", os.geteuid()), ("gidMappings", os.getegid())):
            data["linux"][name] = [
                {"containerID": 0, "hostID": own, "size": 1},
                {"containerID": 1, "hostID": first, "size": 5000},
            ]


PROFILE = """
abi <abi/4.0>,
profile moby-test-confined flags=(attach_disconnected,mediate_deleted) {
  file,
  capability,
  signal,
  deny /tmp/forbidden w,
}
"""


class TestAppArmor(_Native):
    """process.apparmorProfile (runtime-spec, config.md)."""

    @pytest.fixture
    def profile(self, boxes: Boxes, tmp_path: Path) -> Iterator[str]:
        """Have a profile loaded, under which one file can't be written."""
        if boxes.rootless:
            pytest.skip("only root loads a profile; runs as root in the guest qemu")
        needs(Path("/sys/kernel/security/apparmor/profiles").exists(), "AppArmor", "qemu")
        parser = binaries.need("apparmor_parser", "apparmor")
        file = tmp_path / "profile"
        file.write_text(PROFILE.replace("abi <abi/4.0>,\n", ""))
        command = [parser, "--skip-cache", "--base", binaries.ROOT / "etc/apparmor.d"]
        subprocess.run([*command, "--replace", file], check=True, env=binaries.environment())
        yield "moby-test-confined"
        subprocess.run([*command, "--remove", file], check=True, env=binaries.environment())

    SCRIPT = (
        "cat /proc/self/attr/current; echo x > /tmp/allowed && echo written; echo x > /tmp/forbidden || echo refused"
    )

    def test_it_confines(self, boxes: Boxes, profile: str) -> None:
        code, text = boxes.run_config(boxes.config("sh", "-c", self.SCRIPT, apparmorProfile=profile))
        assert code == 0
        assert text.splitlines()[0] == f"{profile} (enforce)"
        assert "written" in text.splitlines()
        assert text.splitlines()[-1] == "refused"

    def test_without_one_nothing_is_refused(self, boxes: Boxes, profile: str) -> None:
        _, text = boxes.run_config(boxes.config("sh", "-c", self.SCRIPT))
        assert text.splitlines() == ["unconfined", "written"]

    def test_further_programs_have_their_own(self, boxes: Boxes, profile: str) -> None:
        box = boxes.sleeping()
        _, text = run_inside(boxes, box.id, "sh", "-c", self.SCRIPT, apparmorProfile=profile)
        assert text.splitlines()[-1] == "refused"

    def test_one_that_is_not_loaded_is_invalid(self, boxes: Boxes, profile: str) -> None:
        with pytest.raises(Invalid, match=r"process\.apparmorProfile"):
            boxes.create(boxes.config("true", apparmorProfile="moby-test-absent"))
