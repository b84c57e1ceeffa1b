"""What the native runtime sets of processes: namespaces made or joined, and what the kernel says of each."""

import os
import signal
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from guests.cover import needs
from moby_runtime.native import labels
from moby_runtime.native.runtime import Native
from moby_runtime.native.values import ProcessSpec

from moby.errors import HostUnfit, Invalid, MobyError
from moby.host import namespaces, scheduling
from moby.testing.boxes import Boxes, MakeRuntime, run_inside
from moby.testing.bundles import PROGRAMS, make_rootfs
from moby.testing.runtime import RuntimeFixtures
from moby.testing.runtime_offers import needs_root

CLOCKS = Path("/proc/self/ns/time").exists()
"""Whether this kernel has time namespaces."""
KINDS = {
    "pid": "pid", "network": "net", "ipc": "ipc", "uts": "uts", "cgroup": "cgroup",
    **({"time": "time"} if CLOCKS else {}),
}  # fmt: skip
IDS = [{"containerID": 0, "hostID": 100000, "size": 65536}]
NUMA = "Mems_allowed" in Path("/proc/self/status").read_text() and Path("/proc/self/numa_maps").exists()


class _Native(RuntimeFixtures):
    @pytest.fixture
    def make_runtime(self) -> MakeRuntime:
        return Native


def spaces(*kinds: str, **paths: str) -> list[dict[str, str]]:
    return [{"type": kind, **({"path": paths[kind]} if kind in paths else {})} for kind in (*kinds, *paths)]


class TestNamespaces(_Native):
    def test_joined_ones(self, boxes: Boxes) -> None:
        """All but the mount namespace are another container's."""
        needs_root(boxes, "an ordinary user's containers have a user namespace of their own")
        needs_root(boxes, "an ordinary user joins no namespace of a container of its own")
        data = boxes.config("sh", "-c", "echo up; exec sleep 1000")
        data["linux"]["namespaces"] = spaces("mount", *KINDS)
        first = boxes.started(data)
        first.until("up")
        found = {kind: f"/proc/{first.process.pid}/ns/{name}" for kind, name in KINDS.items()}
        data = boxes.config("sh", "-c", "readlink /proc/self/ns/*")
        data["linux"]["namespaces"] = spaces("mount", **found)
        del data["hostname"]
        lines = boxes.run_config(data)[1].split()
        wanted = {str(Path(path).readlink()) for path in found.values()}
        assert wanted <= set(lines)
        assert str(Path(f"/proc/{first.process.pid}/ns/mnt").readlink()) not in lines

    def test_a_joined_user_namespace(self, boxes: Boxes) -> None:
        """With the mappings beside its path that podman writes, which say nothing there."""
        needs_root(boxes, "an ordinary user maps one id by itself")
        data = boxes.config("sh", "-c", "echo up; exec sleep 1000")
        data["linux"]["namespaces"].append({"type": "user"})
        data["linux"]["uidMappings"] = data["linux"]["gidMappings"] = IDS
        first = boxes.started(data)
        first.until("up")
        pid = first.process.pid
        data = boxes.config("sh", "-c", "cat /proc/self/uid_map; id -u; readlink /proc/self/ns/net")
        data["linux"]["namespaces"] = spaces(
            "mount", "uts", "ipc", "pid", user=f"/proc/{pid}/ns/user", network=f"/proc/{pid}/ns/net"
        )
        data["linux"]["uidMappings"] = [{"containerID": 0, "hostID": 0, "size": 1}]
        code, text = boxes.run_config(data)
        assert (code, text.split()[:4]) == (0, ["0", "100000", "65536", "0"])
        assert text.split()[-1] == str(Path(f"/proc/{pid}/ns/net").readlink())

    def test_those_that_are_left_out_are_the_caller_s(self, boxes: Boxes) -> None:
        needs_root(boxes, "an ordinary user's containers have a user namespace of their own")
        data = boxes.config("sh", "-c", "readlink /proc/self/ns/*")
        data["linux"]["namespaces"] = spaces("mount")
        del data["hostname"]
        data["mounts"][0] = {"destination": "/proc", "source": "/proc", "options": ["rbind"]}
        lines = set(boxes.run_config(data)[1].split())
        own = {str(each.readlink()) for each in Path("/proc/self/ns").iterdir()}
        assert own - lines == {str(Path("/proc/self/ns/mnt").readlink())}

    @pytest.mark.parametrize(
        ("kind", "path", "message"),
        [
            ("network", "/proc/self/ns/ipc", "join the network namespace /proc/self/ns/ipc.*Invalid argument"),
            ("uts", "/etc/passwd", "join the uts namespace /etc/passwd"),
            ("ipc", "/no/such", "open the ipc namespace /no/such.*No such file"),
            ("pid", "proc/self/ns/pid", r"namespaces\[1\]\.path must be an absolute path"),
        ],
    )
    def test_what_cannot_be_joined(self, boxes: Boxes, kind: str, path: str, message: str) -> None:
        data = boxes.config("true")
        own = spaces("user") if boxes.rootless else []
        data["linux"]["namespaces"] = [*spaces("mount", **{kind: path}), *own]
        del data["hostname"]
        with pytest.raises(Invalid, match=message):
            boxes.create(data)

    def clocks(self, boxes: Boxes, offsets: dict[str, Any]) -> dict[str, Any]:
        data = boxes.config("sh", "-c", "cat /proc/uptime /proc/self/timens_offsets; exec sleep 1000")
        data["linux"]["namespaces"].append({"type": "time"})
        data["linux"]["timeOffsets"] = offsets
        return data

    def test_a_clock_of_its_own(self, boxes: Boxes) -> None:
        needs(CLOCKS, "time namespaces", "qemu")
        data = self.clocks(boxes, {"boottime": {"secs": 10**6}, "monotonic": {"secs": 5, "nanosecs": 7}})
        box = boxes.started(data)
        words = box.until("boottime      1000000").split()
        assert float(words[0]) > 10**6
        assert words[2:5] == ["monotonic", "5", "7"]
        uptime = run_inside(boxes, box.id, "cat", "/proc/uptime")[1]
        assert float(uptime.split()[0]) > 10**6

    def test_a_clock_before_the_machine_s_start(self, boxes: Boxes) -> None:
        needs(CLOCKS, "time namespaces", "qemu")
        with pytest.raises(MobyError, match=r"set the clocks \(config.json: linux.timeOffsets\)"):
            boxes.create(self.clocks(boxes, {"boottime": {"secs": -(10**12)}}))

    def test_a_kernel_without_time_namespaces(self, boxes: Boxes, monkeypatch) -> None:
        unshare = namespaces.unshare

        def refuse(flags: int) -> None:
            if flags == namespaces.FLAGS["time"]:
                raise OSError(22, "Invalid argument")
            unshare(flags)

        monkeypatch.setattr(namespaces, "unshare", refuse)
        with pytest.raises(HostUnfit, match=r"time namespace \(config.json: linux.namespaces\)"):
            boxes.create(self.clocks(boxes, {}))

    def test_offsets_without_a_namespace(self, boxes: Boxes) -> None:
        data = boxes.config("true")
        data["linux"]["timeOffsets"] = {"boottime": {"secs": 1}}
        with pytest.raises(Invalid, match=r"linux\.timeOffsets is set, but"):
            boxes.create(data)


class TestTraits(_Native):
    @pytest.fixture(scope="class")
    @classmethod
    def shared_rootfs(cls, tmp_path_factory) -> Iterator[Path]:
        folder = tmp_path_factory.mktemp("traits")
        for each in (folder, folder.parent, folder.parent.parent):
            if not each.stat().st_mode & stat.S_ISVTX:  # /tmp itself, in a short place for tests
                each.chmod(0o755)
        yield make_rootfs(folder / "rootfs", (*PROGRAMS, "uname", "chrt", "ionice", "taskset"))

    def said(self, boxes: Boxes, *args: str, process: dict[str, Any] | None = None, **linux: Any) -> str:
        data = boxes.config(*args, **(process or {}))
        data["linux"].update(linux)
        return boxes.run_config(data)[1]

    @pytest.mark.parametrize(
        ("wanted", "shown"),
        [
            ({"policy": "SCHED_BATCH", "nice": 7}, "SCHED_BATCH"),
            ({"policy": "SCHED_IDLE"}, "SCHED_IDLE"),
            (
                {"policy": "SCHED_OTHER", "nice": -3, "flags": ["SCHED_FLAG_RESET_ON_FORK"]},
                "SCHED_OTHER|SCHED_RESET_ON_FORK",
            ),
        ],
    )
    def test_the_scheduler(self, boxes: Boxes, wanted: dict[str, Any], shown: str) -> None:
        if wanted.get("nice", 0) < 0:
            needs_root(boxes, "an ordinary user takes no time from others")
        data = boxes.config("sh", "-c", "chrt -p 1; cat /proc/1/stat", scheduler=wanted)
        lines = boxes.run_config(data)[1].splitlines()
        assert lines[0] == f"pid 1's current scheduling policy: {shown}"
        assert lines[-1].rpartition(")")[2].split()[16] == str(wanted.get("nice", os.nice(0)))

    def test_the_io_priority(self, boxes: Boxes) -> None:
        wanted = {"class": "IOPRIO_CLASS_BE", "priority": 6}
        assert self.said(boxes, "ionice", process={"ioPriority": wanted}) == "best-effort: prio 6\n"
        assert self.said(boxes, "ionice", process={"ioPriority": {"class": "IOPRIO_CLASS_IDLE"}}) == "idle\n"

    def test_the_personality_is_that_of_further_programs_too(self, boxes: Boxes) -> None:
        machine = "i686" if os.uname().machine == "x86_64" else ""
        told = subprocess.run(["setarch", machine or "linux32", "true"], stderr=subprocess.DEVNULL, check=False)
        needs(not told.returncode, "personality of 32 bits", "qemu")
        data = boxes.config("sh", "-c", "uname -m; exec sleep 1000")
        data["linux"]["personality"] = {"domain": "LINUX32"}
        box = boxes.started(data)
        assert box.until("\n").strip() == machine or not machine
        assert run_inside(boxes, box.id, "uname", "-m")[1].strip() == machine or not machine
        data["linux"]["personality"] = {"domain": "LINUX"}
        assert boxes.started(data).until("\n").strip() == os.uname().machine

    def test_the_memory_policy(self, boxes: Boxes) -> None:
        needs(NUMA, "memory policies", "qemu")
        shown = self.said(boxes, "cat", "/proc/self/numa_maps", memoryPolicy={"mode": "MPOL_BIND", "nodes": "0"})
        assert {line.split()[1] for line in shown.splitlines()} >= {"bind:0"}
        shown = self.said(boxes, "cat", "/proc/self/numa_maps", memoryPolicy={"mode": "MPOL_DEFAULT"})
        assert {line.split()[1] for line in shown.splitlines()} == {"default"}
        flags = ["MPOL_F_STATIC_NODES"]
        policy = {"mode": "MPOL_INTERLEAVE", "nodes": "0", "flags": flags}
        assert "interleave=static:0" in self.said(boxes, "cat", "/proc/self/numa_maps", memoryPolicy=policy)
        with pytest.raises(Invalid, match=r"linux\.memoryPolicy"):
            self.said(boxes, "true", memoryPolicy={"mode": "MPOL_BIND", "nodes": "1000"})

    def test_processors_of_further_programs(self, boxes: Boxes) -> None:
        box = boxes.started(boxes.config("sh", "-c", "taskset -p 1; exec sleep 1000", execCPUAffinity={"final": "0"}))
        mine = os.sched_getaffinity(0)
        assert int(box.until("\n").split()[-1], 16) == sum(1 << each for each in mine), "the first one isn't meant"
        last = max(mine)
        for asked in ({"final": str(last)}, {"initial": f"{last}-{last}"}, {"initial": "0", "final": f"{last},{last}"}):
            _, text = run_inside(boxes, box.id, "sh", "-c", "exec taskset -p $$", execCPUAffinity=asked)
            assert int(text.split()[-1], 16) == 1 << last, asked
        with pytest.raises(Invalid, match=r"execCPUAffinity\.final"):
            run_inside(boxes, box.id, "true", execCPUAffinity={"final": "5000"})
        with pytest.raises(Invalid, match=r"execCPUAffinity\.initial"):
            run_inside(boxes, box.id, "true", execCPUAffinity={"initial": "5000"})

    def test_the_mask_of_modes(self, boxes: Boxes) -> None:
        before = os.umask(0o027)
        try:
            assert boxes.run("sh", "-c", "umask") == (0, "0027\n")
            assert boxes.run("sh", "-c", "umask", user={"uid": 0, "gid": 0, "umask": 0o45}) == (0, "0045\n")
        finally:
            os.umask(before)

    @pytest.mark.parametrize(
        ("process", "linux", "message"),
        [
            ({"scheduler": {"policy": "SCHED_MOON"}}, {}, r"scheduler\.policy is 'SCHED_MOON'; there are SCHED_OTHER"),
            ({"scheduler": {"nice": 1}}, {}, r"scheduler\.policy is None"),
            ({"scheduler": {"policy": "SCHED_ISO"}}, {}, r"set the scheduler .*Invalid argument"),
            ({"scheduler": {"policy": "SCHED_OTHER", "flags": ["FAST"]}}, {}, r"scheduler\.flags\[0\] is 'FAST'"),
            ({"scheduler": {"policy": "SCHED_OTHER", "nice": 2**40}}, {}, r"scheduler\.nice is out of range"),
            ({"scheduler": {"policy": "SCHED_DEADLINE", "period": -1}}, {}, r"scheduler\.period is out of range"),
            ({"scheduler": {"policy": "SCHED_FIFO"}}, {}, r"set the scheduler .*Invalid argument"),
            ({"ioPriority": {"class": "BEST"}}, {}, r"ioPriority\.class is 'BEST'"),
            ({"ioPriority": {"class": "IOPRIO_CLASS_BE", "priority": 8}}, {}, r"priority is 8; it goes from 0 to 7"),
            ({"execCPUAffinity": {"final": "many"}}, {}, r"execCPUAffinity\.final is 'many', and no list"),
            ({"execCPUAffinity": {"initial": "3-1"}}, {}, r"execCPUAffinity\.initial is '3-1', and no list"),
            ({}, {"personality": {"domain": "BSD"}}, r"personality\.domain is 'BSD'; there are LINUX, LINUX32"),
            ({}, {"personality": {"domain": "LINUX", "flags": ["X"]}}, r"personality\.flags must be empty"),
            ({}, {"memoryPolicy": {"mode": "MPOL_MOST"}}, r"memoryPolicy\.mode is 'MPOL_MOST'"),
            ({}, {"memoryPolicy": {"mode": "MPOL_BIND", "nodes": "x"}}, r"memoryPolicy\.nodes is 'x'"),
            ({}, {"memoryPolicy": {"mode": "MPOL_BIND", "flags": ["Y"]}}, r"memoryPolicy\.flags\[0\] is 'Y'"),
            (
                {"rlimits": [{"type": "RLIMIT_CORE", "soft": 1, "hard": 1}] * 2},
                {},
                r"rlimits\[1\] sets RLIMIT_CORE twice",
            ),
        ],
    )
    def test_what_is_none_of_these(self, boxes: Boxes, process, linux, message) -> None:
        data = boxes.config("true", **process)
        data["linux"].update(linux)
        with pytest.raises(Invalid, match=message):
            boxes.create(data)

    def test_what_the_size_of_no_terminal_is(self, boxes: Boxes) -> None:
        assert boxes.run("true", consoleSize={"height": 10**9, "width": 1}) == (0, "")

    @pytest.mark.parametrize(
        ("version", "message"),
        [
            ("2.0.0", "follows 1.3.0"), ("0.2.0", "follows 1.3.0"), ("", "must be a version such as 1.3.0"),
            ("one", "must be a version"), ("1", "must be a version"),
        ],
    )  # fmt: skip
    def test_the_version(self, boxes: Boxes, version: str, message: str) -> None:
        data = boxes.config("true")
        data["ociVersion"] = version
        with pytest.raises(Invalid, match=message):
            boxes.create(data)
        data["ociVersion"] = "1.0.2-dev"
        assert boxes.run_config(data) == (0, "")


class TestLabels(_Native):
    """Where no security module is at work; the guest qemu has one."""

    @pytest.mark.parametrize(
        ("process", "linux", "name"),
        [
            ({"apparmorProfile": "strict"}, {}, r"no AppArmor at work .*process\.apparmorProfile"),
            ({"selinuxLabel": "a:b:c:s0"}, {}, r"no SELinux at work .*process\.selinuxLabel"),
            ({}, {"mountLabel": "a:b:c:s0"}, r"no SELinux at work .*linux\.mountLabel"),
        ],
    )
    def test_a_label_of_what_is_not_there(self, boxes: Boxes, monkeypatch, process, linux, name) -> None:
        monkeypatch.setattr(labels, "_has_apparmor", lambda: False)
        data = boxes.config("true", **process)
        data["linux"].update(linux)
        with pytest.raises(HostUnfit, match=name) as caught:
            boxes.create(data)
        assert "lsm=" in caught.value.hint
        box = boxes.sleeping()
        if process:
            with pytest.raises(HostUnfit, match=name):
                run_inside(boxes, box.id, "true", **process)
        boxes.runtime.kill(box.id, signal.SIGKILL)

    def test_unconfined_is_there_everywhere(self, boxes: Boxes) -> None:
        assert boxes.run("true", apparmorProfile="unconfined") == (0, "")

    def test_what_is_written_where(self, tmp_path: Path, monkeypatch) -> None:
        monkeypatch.setattr(labels, "_OWN", tmp_path)
        monkeypatch.setattr(labels, "_has_apparmor", lambda: True)
        (tmp_path / "exec").write_text("")
        labels.apply(ProcessSpec(("a",), "/", selinux="u:r:t:s0"))
        assert (tmp_path / "exec").read_text() == "u:r:t:s0"
        (tmp_path / "exec").write_text("")
        labels.apply(ProcessSpec(("a",), "/", apparmor="strict"))
        assert (tmp_path / "exec").read_text() == "exec strict"
        (tmp_path / "apparmor").mkdir()
        (tmp_path / "apparmor/exec").write_text("")
        labels.apply(ProcessSpec(("a",), "/", apparmor="loose"))
        assert (tmp_path / "apparmor/exec").read_text() == "exec loose"


def test_nodes_beyond_one_word() -> None:
    needs(NUMA, "memory policies", "qemu")
    with pytest.raises(OSError, match="Invalid argument"):
        scheduling.set_memory_policy(scheduling.MEMORY_MODES["MPOL_BIND"], {200})
