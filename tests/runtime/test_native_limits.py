"""Limits of the native runtime in the real kernel: read back, shown to work, changed, and refused by name."""

import json
import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from guests.cover import lacks
from moby_runtime.groups import limits
from moby_runtime.native.runtime import Native

from moby.errors import Conflict, HostUnfit, Invalid, MobyError
from moby.host import mounts
from moby.host.cgroups import Group, hierarchies
from moby.testing.boxes import Box, Boxes, MakeRuntime, run_inside
from moby.testing.runtime import RuntimeFixtures

MIB = 2**20
NODE = {"type": "c", "path": "/dev/node", "major": 60, "minor": 5, "fileMode": 0o666}
"""A device that no machine has: whether it may be used is told by the answer."""
LOOK = "true < /dev/node"
REFUSED, ABSENT = "not permitted", "No such device or address"


def group_of(boxes: Boxes, box: Box) -> Group:
    record = json.loads((boxes.place.run / box.id / "state.json").read_text())
    return Group(tuple(record["cgroups"]))


def limited(boxes: Boxes, resources: dict[str, Any], *args: str) -> dict[str, Any]:
    data = boxes.config(*(args or ("sh", "-c", "echo up; exec sleep 1000")))
    data["linux"]["resources"] = resources
    return data


def shown(group: Group, name: str, among: str = "") -> str:
    """Return what a file says, or of what has one line a device the line of one."""
    path = group.file(name)
    assert path is not None, f"no {name}"
    text = Path(path).read_text().strip()
    return next((line for line in text.splitlines() if line.startswith(among)), "") if among else text


def block_device() -> str:
    """Return the numbers of a disk of this machine."""
    for each in sorted(Path("/sys/block").iterdir()):
        if (each / "queue").is_dir() and int((each / "size").read_text()):
            return (each / "dev").read_text().strip()
    return lacks("disk", "uml", "qemu")


def expected(group: Group, files: dict[str, str]) -> tuple[str, str]:
    """Choose what is to be seen here by the files that are there."""
    for name, value in files.items():
        if group.file(name):
            return name, value
    # The guest has every file of version 2; that of version 1 alone is for hosts that have that.
    return lacks(" or ".join(files), *([] if "memory.swappiness" in files else ["qemu"]))


LIMITS = [
    pytest.param(
        {"memory": {"limit": 64 * MIB}}, {"memory.limit_in_bytes": "67108864", "memory.max": "67108864"}, id="memory"
    ),
    pytest.param(
        {"memory": {"limit": 64 * MIB, "reservation": 32 * MIB}},
        {"memory.soft_limit_in_bytes": "33554432", "memory.low": "33554432"},
        id="reservation",
    ),
    pytest.param(
        {"memory": {"limit": 64 * MIB, "swap": 96 * MIB}},
        {"memory.memsw.limit_in_bytes": "100663296", "memory.swap.max": "33554432"},
        id="swap",
    ),
    pytest.param(
        {"memory": {"limit": 64 * MIB, "swap": -1}},
        {"memory.memsw.limit_in_bytes": "9223372036854771712", "memory.swap.max": "max"},
        id="any-swap",
    ),
    pytest.param({"cpu": {"shares": 512}}, {"cpu.shares": "512", "cpu.weight": "59"}, id="shares"),
    pytest.param(
        {"cpu": {"quota": 50000, "period": 200000}},
        {"cpu.cfs_quota_us": "50000", "cpu.max": "50000 200000"},
        id="quota",
    ),
    pytest.param(
        {"cpu": {"quota": 50000, "period": 200000, "burst": 10000}},
        {"cpu.cfs_burst_us": "10000", "cpu.max.burst": "10000"},
        id="burst",
    ),
    pytest.param({"cpu": {"idle": 1}}, {"cpu.idle": "1"}, id="idle"),
    pytest.param({"cpu": {"cpus": "0"}}, {"cpuset.cpus": "0"}, id="cpus"),
    pytest.param({"cpu": {"mems": "0"}}, {"cpuset.mems": "0"}, id="mems"),
    pytest.param({"pids": {"limit": 77}}, {"pids.max": "77"}, id="pids"),
    pytest.param({"pids": {"limit": -1}}, {"pids.max": "max"}, id="any-pids"),
    pytest.param(
        {"blockIO": {"weight": 500}},
        {"blkio.weight": "500", "blkio.bfq.weight": "500", "io.bfq.weight": "default 500", "io.weight": "default 4950"},
        id="io-weight",
    ),
    pytest.param(
        {"hugepageLimits": [{"pageSize": "2MB", "limit": 4 * MIB}]},
        {"hugetlb.2MB.limit_in_bytes": "4194304", "hugetlb.2MB.max": "4194304"},
        id="huge-pages",
    ),
    pytest.param(
        {"hugepageLimits": [{"pageSize": "2MB", "limit": 4 * MIB}]},
        {"hugetlb.2MB.rsvd.limit_in_bytes": "4194304", "hugetlb.2MB.rsvd.max": "4194304"},
        id="reserved-huge-pages",
    ),
    pytest.param({"memory": {"swappiness": 42}}, {"memory.swappiness": "42"}, id="swappiness"),
]
THROTTLES = [
    ("throttleReadBpsDevice", "blkio.throttle.read_bps_device", "rbps"),
    ("throttleWriteBpsDevice", "blkio.throttle.write_bps_device", "wbps"),
    ("throttleReadIOPSDevice", "blkio.throttle.read_iops_device", "riops"),
    ("throttleWriteIOPSDevice", "blkio.throttle.write_iops_device", "wiops"),
]

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="control groups are root's here; runs as root")


class TestLimits(RuntimeFixtures):
    @pytest.fixture
    def make_runtime(self) -> MakeRuntime:
        return Native

    @pytest.fixture
    def box(self, boxes: Boxes) -> Iterator[Box]:
        yield boxes.sleeping()

    @pytest.mark.parametrize(("resources", "files"), LIMITS)
    def test_a_limit_is_set_when_it_is_made(self, boxes: Boxes, box: Box, resources, files) -> None:
        expected(group_of(boxes, box), files)
        fresh = boxes.create(limited(boxes, resources))
        name, value = expected(group_of(boxes, fresh), files)
        assert shown(group_of(boxes, fresh), name) == value

    @pytest.mark.parametrize(("resources", "files"), LIMITS)
    def test_a_limit_is_set_while_it_runs(self, boxes: Boxes, box: Box, resources, files) -> None:
        name, value = expected(group_of(boxes, box), files)
        boxes.runtime.update(box.id, resources)
        assert shown(group_of(boxes, box), name) == value

    @pytest.mark.parametrize(("field", "file", "key"), THROTTLES)
    def test_traffic_with_a_disk(self, boxes: Boxes, box: Box, field: str, file: str, key: str) -> None:
        device = block_device()
        major, minor = (int(word) for word in device.split(":"))
        group = group_of(boxes, box)
        for rate, one, two in ((4 * MIB, f"{device} {4 * MIB}", f"{key}={4 * MIB}"), (0, "", f"{key}=max")):
            boxes.runtime.update(box.id, {"blockIO": {field: [{"major": major, "minor": minor, "rate": rate}]}})
            if group.file(file):
                assert shown(group, file, f"{device} ") == one
            else:
                assert not rate or two in shown(group, "io.max", f"{device} ").split()
                assert two in (shown(group, "io.max", f"{device} ") or f"{device} {two}").split()

    def test_the_weight_of_a_disk(self, boxes: Boxes, box: Box) -> None:
        device = block_device()
        major, minor = (int(word) for word in device.split(":"))
        group = group_of(boxes, box)
        files = {"blkio.bfq.weight_device": "300", "io.bfq.weight": "300", "io.weight": "2930"}
        name, value = expected(group, files)
        weights = {"blockIO": {"weightDevice": [{"major": major, "minor": minor, "weight": 300}]}}
        try:
            boxes.runtime.update(box.id, weights)
        except MobyError as error:
            # The scheduler of the disk may have no weights, which the kernel tells.
            assert "blockIO.weightDevice[0]" in str(error)
            assert "not supported" in str(error)
        else:
            assert shown(group, name, f"{device} ") == f"{device} {value}"

    @pytest.mark.parametrize("hooks", [{}, {"createContainer": [{"path": "/bin/true"}]}], ids=["plain", "hooks"])
    def test_memory_that_is_too_little_for_a_start_is_named(self, boxes: Boxes, hooks) -> None:
        """The kernel refuses the limit, or kills whoever is about to become the container."""
        data = {**limited(boxes, {"memory": {"limit": 400 << 10}}, "true"), "hooks": hooks}
        with pytest.raises((Invalid, Conflict), match=r"linux\.resources\.memory\.limit"):
            boxes.create(data)
        assert boxes.runtime.list() == ()

    def test_what_docker_run_asks_for_is_set(self, boxes: Boxes) -> None:
        """-m --memory-reservation --memory-swap --kernel-memory --cpus --pids-limit --cpuset-cpus --blkio-weight."""
        memory = {"limit": 64 * MIB, "reservation": 32 * MIB, "swap": 128 * MIB, "kernel": 50 * MIB, "kernelTCP": MIB}
        resources = {
            "devices": [
                {"allow": False, "access": "rwm"},
                {"allow": True, "type": "c", "major": 1, "minor": 5, "access": "rwm"},
            ],
            "memory": {**memory, "disableOOMKiller": False, "checkBeforeUpdate": False},
            "cpu": {"shares": 0, "quota": 150000, "period": 100000, "realtimeRuntime": 0, "cpus": "0", "mems": ""},
            "pids": {"limit": 100},
            "blockIO": {"weight": 0, "weightDevice": [], "throttleReadBpsDevice": []},
            "hugepageLimits": [],
            "network": {"classID": 0, "priorities": []},
            "rdma": {},
            "unified": {},
        }  # fmt: skip
        if not any("cpuset" in tree.controllers for tree in hierarchies()):
            resources["cpu"]["cpus"] = ""
        box = boxes.started(limited(boxes, resources))
        group = group_of(boxes, box)
        for files in ({"memory.limit_in_bytes": "67108864", "memory.max": "67108864"}, {"pids.max": "100"}):
            name, value = expected(group, files)
            assert shown(group, name) == value
        # docker update
        for limit in (128, 32):
            memory = {"limit": limit * MIB, "reservation": 16 * MIB, "swap": limit * MIB * 2, "kernel": 0}
            boxes.runtime.update(box.id, {"memory": memory, "cpu": {"shares": 300}, "pids": {"limit": 50}})
            name, _ = expected(group, {"memory.limit_in_bytes": "", "memory.max": ""})
            assert shown(group, name) == str(limit * MIB)

    def test_no_limit_takes_both_away(self, boxes: Boxes) -> None:
        box = boxes.create(limited(boxes, {"memory": {"limit": 64 * MIB, "swap": 128 * MIB}}))
        boxes.runtime.update(box.id, {"memory": {"limit": -1}})
        stats = boxes.runtime.stats(box.id)
        assert (stats.memory_limit_bytes, stats.swap_limit_bytes or 0) == (0, 0)

    def test_the_oom_killer_off_and_on_again(self, boxes: Boxes, box: Box) -> None:
        group = group_of(boxes, box)
        if group.file("memory.oom_control") is None:
            with pytest.raises(HostUnfit, match="disableOOMKiller"):
                boxes.runtime.update(box.id, {"memory": {"disableOOMKiller": True}})
            return
        for off in (True, False):
            boxes.runtime.update(box.id, {"memory": {"disableOOMKiller": off}})
            assert f"oom_kill_disable {int(off)}" in shown(group, "memory.oom_control")

    def test_time_of_real_time_processes_is_the_parents_to_give(self, boxes: Boxes, box: Box) -> None:
        group = group_of(boxes, box)
        asked = {"cpu": {"realtimePeriod": 500000, "realtimeRuntime": 1000}}
        if group.file("cpu.rt_runtime_us") is None:
            with pytest.raises(HostUnfit, match=r"cpu\.realtime"):
                boxes.runtime.update(box.id, asked)
            return
        with pytest.raises(Invalid, match=r"cpu\.realtimeRuntime.*\n.*above must have"):
            boxes.runtime.update(box.id, asked)

    # --- that they work ---------------------------------------------------------------------------------------------

    def test_time_of_the_processor_is_limited(self, boxes: Boxes) -> None:
        data = limited(boxes, {"cpu": {"quota": 5000, "period": 50000}}, "sh", "-c", "while :; do :; done")
        box = boxes.started(data)
        deadline = time.monotonic() + 60
        while not (stats := boxes.runtime.stats(box.id)).cpu_throttled_ns:  # counted when it goes on, after the period
            assert time.monotonic() < deadline, stats
            time.sleep(0.05)
        assert stats.cpu_periods >= stats.cpu_throttled_periods > 0

    def test_the_last_process_of_a_limit_may_be_one_that_comes_in(self, boxes: Boxes) -> None:
        box = boxes.started(limited(boxes, {"pids": {"limit": 2}}))
        box.until("up")
        if group_of(boxes, box).file("pids.max") != f"{group_of(boxes, box).unified}/pids.max":
            assert run_inside(boxes, box.id, "echo", "in") == (0, "in\n")
        boxes.runtime.update(box.id, {"pids": {"limit": 10}})
        assert run_inside(boxes, box.id, "echo", "in") == (0, "in\n")

    def test_memory_is_limited_and_the_kill_is_told(self, boxes: Boxes) -> None:
        line = "line=0123456789abcdef; for each in 1 2 3 4 5 6 7 8; do line=$line$line; done"
        script = f"read go; {line}; while :; do echo $line; done > /tmp/much"
        box = boxes.started(limited(boxes, {"memory": {"limit": 8 * MIB}}, "sh", "-c", script), stdin=True)
        watched = boxes.runtime.watch_oom(box.id)
        try:
            os.write(box.stdin, b"go\n")
            assert box.code() == 137
            assert len(os.read(watched, 4096)) > 0
            with pytest.raises(BlockingIOError):
                for _ in range(100):  # its end may be told, too
                    os.read(watched, 4096)
            stats = boxes.runtime.stats(box.id)
            assert (stats.oom_kills, stats.memory_limit_bytes) == (1, 8 * MIB)
            with pytest.raises(Conflict, match="has stopped"):
                boxes.runtime.watch_oom(box.id)
        finally:
            os.close(watched)

    def test_a_watch_outlives_its_container(self, boxes: Boxes) -> None:
        box = boxes.sleeping()
        watched = boxes.runtime.watch_oom(box.id)
        try:
            boxes.runtime.delete(box.id, force=True)
            import select

            assert select.select([watched], [], [], 60)[0]
        finally:
            os.close(watched)

    def test_devices_are_refused_then_allowed_then_refused(self, boxes: Boxes) -> None:
        data = limited(boxes, {"devices": [{"allow": False, "access": "rwm"}]})
        data["linux"]["devices"] = [NODE]
        box = boxes.started(data)
        allow = {"allow": True, "type": "c", "major": NODE["major"], "minor": NODE["minor"], "access": "r"}
        none, everything = {"allow": False, "access": "rwm"}, {"allow": True, "access": "rwm"}
        for rules, answer in (
            ([none], REFUSED), ([none, allow], ABSENT), ([none], REFUSED), ([everything], ABSENT), ([none], REFUSED),
            ([everything, {**allow, "allow": False}], REFUSED), ([everything], ABSENT),
        ):  # fmt: skip
            boxes.runtime.update(box.id, {"devices": rules})
            assert answer in run_inside(boxes, box.id, "sh", "-c", LOOK)[1], rules
            assert run_inside(boxes, box.id, "sh", "-c", "true > /dev/null && echo fine")[1] == "fine\n"
        assert boxes.runtime.state(box.id).status == "running"

    def test_devices_of_a_paused_one_stay_paused(self, boxes: Boxes) -> None:
        box = boxes.sleeping()
        boxes.runtime.pause(box.id)
        boxes.runtime.update(box.id, {"devices": [{"allow": True, "access": "rwm"}]})
        assert boxes.runtime.state(box.id).status == "paused"

    @pytest.mark.parametrize("named", [True, False])
    def test_without_rules_only_its_own_devices_and_the_default_ones(self, boxes: Boxes, named: bool) -> None:
        """A container that may make nodes is no nearer to the host's disks."""
        data = boxes.config("sh", "-c", f"{LOOK}; true < /dev/zero && echo zero")
        if named:
            data["linux"]["devices"] = [NODE]
        else:
            # In a file system of its own, since that of a test may let no node be opened.
            folder = boxes.bundles.folder / "nodes"
            folder.mkdir()
            mounts.mount("tmpfs", str(folder), "tmpfs", 0, "mode=755")
            os.mknod(folder / "node", 0o666 | stat.S_IFCHR, os.makedev(NODE["major"], NODE["minor"]))
            data["mounts"].append({"destination": NODE["path"], "source": str(folder / "node"), "options": ["bind"]})
        try:
            text = boxes.run_config(data)[1]
        finally:
            if not named:
                mounts.unmount(str(folder), detach=True)
        assert (ABSENT if named else REFUSED) in text
        assert "zero\n" in text

    # --- what is refused --------------------------------------------------------------------------------------------

    @pytest.mark.parametrize(
        ("resources", "error", "message"),
        [
            pytest.param({"memory": {"limit": -2}}, Invalid, r"memory\.limit must be from -1", id="limit"),
            pytest.param({"memory": {"swappiness": 101}}, Invalid, r"memory\.swappiness must be", id="swappiness"),
            pytest.param(
                {"memory": {"limit": 64 * MIB, "swap": 32 * MIB}}, Invalid, r"memory\.(swap|limit)", id="swap"
            ),
            pytest.param({"cpu": {"shares": -1}}, Invalid, r"cpu\.shares must be", id="shares"),
            pytest.param({"cpu": {"period": 10}}, Invalid, r"cpu\.period", id="period"),
            pytest.param({"cpu": {"idle": 7}}, Invalid, r"cpu\.idle", id="idle"),
            pytest.param({"cpu": {"cpus": "0-99999"}}, (Invalid, HostUnfit), r"cpu\.cpus", id="cpus"),
            pytest.param({"cpu": {"cpus": "x"}}, (Invalid, HostUnfit), r"cpu\.cpus", id="no-cpus"),
            pytest.param({"blockIO": {"weight": 1001}}, Invalid, r"blockIO\.weight must", id="weight"),
            pytest.param({"blockIO": {"leafWeight": 500}}, HostUnfit, r"blockIO\.leafWeight", id="leaf-weight"),
            pytest.param(
                {"blockIO": {"weightDevice": [{"major": 8, "minor": 0}]}},
                Invalid,
                r"weightDevice\[0\] needs",
                id="no-weight",
            ),
            pytest.param(
                {"blockIO": {"weightDevice": [{"major": 8, "minor": 0, "weight": 1, "leafWeight": 2000}]}},
                Invalid,
                r"weightDevice\[0\]\.leafWeight must",
                id="leaf-weight-of-a-disk",
            ),
            pytest.param(
                {"blockIO": {"throttleReadBpsDevice": [{"major": 8, "minor": 0}]}},
                Invalid,
                r"BpsDevice\[0\]\.rate",
                id="rate",
            ),
            pytest.param(
                {"blockIO": {"throttleReadBpsDevice": [{"major": 250, "minor": 250, "rate": 5}]}},
                Invalid,
                r"throttleReadBpsDevice\[0\]",
                id="no-such-disk",
            ),
            pytest.param(
                {"hugepageLimits": [{"pageSize": "2M", "limit": 1}]}, Invalid, r"\[0\]\.pageSize must", id="size"
            ),
            pytest.param({"hugepageLimits": [{"pageSize": "2MB"}]}, Invalid, r"\[0\]\.limit is missing", id="no-limit"),
            pytest.param(
                {"hugepageLimits": [{"pageSize": "3MB", "limit": 1}]},
                (Invalid, HostUnfit),
                r"hugepageLimits\[0\]",
                id="no-size",
            ),
            pytest.param(
                {"network": {"priorities": [{"name": "a b", "priority": 1}]}}, Invalid, r"\[0\]\.name", id="interface"
            ),
            pytest.param({"network": {"priorities": [{"name": "lo"}]}}, Invalid, r"\[0\]\.priority", id="no-priority"),
            pytest.param({"rdma": {"mlx5 1": {"hcaHandles": 3}}}, Invalid, "rdma must name", id="rdma-name"),
            pytest.param({"rdma": {"mlx5_1": {}}}, Invalid, r"rdma\.mlx5_1 needs", id="rdma-nothing"),
            pytest.param({"rdma": {"mlx5_1": {"hcaHandles": -1}}}, Invalid, r"hcaHandles must", id="rdma-number"),
            pytest.param({"unified": {"../memory.max": "1"}}, Invalid, r"unified\.\.\./memory", id="unified-path"),
            pytest.param({"unified": {"memory": "1"}}, Invalid, r"unified\.memory is no file", id="unified-name"),
            pytest.param({"unified": {"quantum.max": "1"}}, HostUnfit, r"unified\.quantum\.max", id="unified-none"),
            pytest.param(
                {"devices": [{"allow": True, "type": "c", "major": 2**31, "minor": 1}]},
                Invalid,
                r"devices\[0\]",
                id="device",
            ),
            pytest.param({"devices": [{"type": "c"}]}, Invalid, r"devices\[0\]", id="device-what"),
        ],
    )
    def test_what_cannot_be_is_refused_by_name(self, boxes: Boxes, resources, error, message) -> None:
        with pytest.raises(error, match=message):
            boxes.create(limited(boxes, resources))
        assert list(boxes.place.run.iterdir()) == []

    @pytest.mark.parametrize(
        ("resources", "file"),
        [
            ({"rdma": {"mlx5_1": {"hcaHandles": 3, "hcaObjects": 4}}}, "rdma.max"),
            ({"network": {"classID": 17}}, "net_cls.classid"),
            ({"network": {"priorities": [{"name": "lo", "priority": 1}]}}, "net_prio.ifpriomap"),
        ],
    )
    def test_a_controller_that_is_not_there_is_the_hosts_fault(self, boxes: Boxes, box: Box, resources, file) -> None:
        if group_of(boxes, box).file(file):
            pytest.skip(f"this kernel has {file}")
        with pytest.raises(HostUnfit, match=f"linux.resources.*{file}"):
            boxes.create(limited(boxes, resources))

    def test_limits_that_no_kernel_has_are_told_of(self, boxes: Boxes) -> None:
        warned = []

        class Telling:
            def warning(self, message: str, **fields: object) -> None:
                warned.append((message, fields["field"]))

        runtime = Native(boxes.place, Telling())  # type: ignore[arg-type]
        own = Boxes(runtime, boxes.place, boxes.bundles)
        try:
            box = own.create(limited(own, {"memory": {"kernel": 5 * MIB, "kernelTCP": 0}}))
            runtime.update(box.id, {"memory": {"kernelTCP": MIB, "kernel": -1}})
        finally:
            own.close()
        assert [field for _, field in warned] == ["linux.resources.memory.kernel", "linux.resources.memory.kernelTCP"]
        assert all("has no effect" in message for message, _ in warned)

    def test_where_one_is_refused_the_others_are_as_they_were(self, boxes: Boxes) -> None:
        box = boxes.started(limited(boxes, {"memory": {"limit": 128 * MIB}, "cpu": {"shares": 77}}))
        group = group_of(boxes, box)
        names = [name for name in ("memory.limit_in_bytes", "memory.max", "cpu.shares", "cpu.weight", "pids.max")
                 if group.file(name)]  # fmt: skip
        before = [shown(group, name) for name in names]
        assert len(before) >= 3
        asked = {"memory": {"limit": 64 * MIB}, "cpu": {"shares": 88, "cpus": "777"}, "pids": {"limit": 44}}
        with pytest.raises(Invalid, match=r"cpuset\.cpus"):
            boxes.runtime.update(box.id, asked)
        assert [shown(group, name) for name in names] == before

    def test_less_memory_than_is_used_is_refused(self, boxes: Boxes) -> None:
        script = "while read line; do for i in $(echo $line); do :; done; x=$x$line$x; echo up; done"
        box = boxes.started(limited(boxes, {}, "sh", "-c", script), stdin=True)
        for _ in range(16):
            os.write(box.stdin, b"0123456789abcdef" * 4 + b"\n")
            box.until("up")
        with pytest.raises((Conflict, Invalid), match=r"memory\.limit"):
            boxes.runtime.update(box.id, {"memory": {"limit": 4096, "checkBeforeUpdate": True}})
        assert boxes.runtime.state(box.id).status == "running"

    def test_devices_that_version_1_cannot_tell_apart(self, boxes: Boxes, box: Box) -> None:
        rules = [
            {"allow": False},
            {"allow": True, "type": "c", "major": 10},
            {"allow": False, "type": "c", "major": 10, "minor": 200},
        ]
        if group_of(boxes, box).file("devices.allow") is None:
            boxes.runtime.update(box.id, {"devices": rules})
            return
        with pytest.raises(Invalid, match=r"devices\[2\].*version 1"):
            boxes.runtime.update(box.id, {"devices": rules})

    def test_stats_of_everything(self, boxes: Boxes) -> None:
        box = boxes.started(limited(boxes, {"pids": {"limit": 40}, "memory": {"limit": 64 * MIB}}))
        box.until("up")
        stats = boxes.runtime.stats(box.id)
        assert stats.pids == 1
        assert stats.pids_limit == 40
        assert stats.memory_limit_bytes == 64 * MIB
        assert 0 < stats.memory_bytes <= stats.memory_peak_bytes
        assert stats.memory_detail
        assert stats.oom_kills == 0
        assert stats.cpu_ns > 0
        assert {stats.cpu_user_ns is None, stats.cpu_system_ns is None} == {False}
        assert stats.io is not None
        assert abs(stats.time_ns - time.time_ns()) < 60 * 10**9
        if any(tree.version == 2 for tree in hierarchies()) and Path("/proc/pressure").is_dir():
            assert {"cpu", "memory", "io"} >= set(stats.pressure) > set()
        boxes.runtime.kill(box.id, 9)
        box.code()
        assert boxes.runtime.stats(box.id).cpu_ns >= stats.cpu_ns

    def test_stats_of_a_group_that_is_gone(self, boxes: Boxes) -> None:
        box = boxes.sleeping()
        boxes.runtime.kill(box.id, 9)
        box.code()
        group_of(boxes, box).remove()
        with pytest.raises(Conflict, match="is gone"):
            boxes.runtime.stats(box.id)


@pytest.mark.parametrize(
    ("resources", "fields"),
    [
        ({"memory": {"limit": 0, "swap": -1, "kernel": 5, "useHierarchy": True, "checkBeforeUpdate": True}}, ()),
        ({"memory": {"swappiness": 0, "disableOOMKiller": False}}, ("linux.resources.memory.swappiness",)),
        ({"pids": {"limit": -1}}, ()),
        ({"pids": {"limit": 0}}, ("linux.resources.pids.limit",)),
        ({"cpu": {"shares": 0, "quota": -1, "cpus": ""}}, ()),
        ({"devices": [{"allow": False}]}, ()),
        ({"blockIO": {"weight": 0, "weightDevice": []}}, ()),
        ({"hugepageLimits": [{"pageSize": "2MB", "limit": 1}]}, ("linux.resources.hugepageLimits",)),
        ({"unified": {"memory.high": "5"}}, ("linux.resources.unified.memory.high",)),
    ],
)
def test_what_asks_for_a_limit(resources, fields) -> None:
    assert limits.asked(resources) == fields
