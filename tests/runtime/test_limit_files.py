"""What linux.resources comes to in files of version 2, 1, and where a controller of each is: worked out in folders."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from moby_runtime.groups import device_rules, limits
from moby_runtime.groups.limit_files import Files, shares_to_weight, writes

from moby.errors import Conflict, HostUnfit, Invalid, MobyError
from moby.host.cgroups import Group

V2 = {
    "cgroup.type": "domain", "memory.max": "max", "memory.swap.max": "max", "memory.low": "0", "memory.current": "5000",
    "cpu.weight": "100", "cpu.max": "max 100000", "cpu.max.burst": "0", "cpu.idle": "0", "cpuset.cpus": "",
    "cpuset.mems": "", "pids.max": "max", "io.max": "", "io.weight": "default 100", "hugetlb.2MB.max": "max",
    "hugetlb.2MB.rsvd.max": "max", "rdma.max": "",
}  # fmt: skip
V1 = {
    "memory": [
        "limit_in_bytes", "memsw.limit_in_bytes", "soft_limit_in_bytes", "swappiness", "oom_control", "use_hierarchy",
    ],
    "cpu": ["shares", "cfs_quota_us", "cfs_period_us", "cfs_burst_us", "rt_runtime_us", "rt_period_us", "idle"],
    "cpuset": ["cpus", "mems"],
    "blkio": ["reset_stats", "weight", "leaf_weight", "weight_device", "leaf_weight_device"],
    "hugetlb": ["2MB.limit_in_bytes"],
    "net_cls": ["classid"],
    "net_prio": ["ifpriomap"],
    "pids": ["max"],
    "rdma": ["max"],
}  # fmt: skip
DISK = {"major": 8, "minor": 16}


@pytest.fixture
def two(tmp_path: Path) -> Group:
    for name, text in V2.items():
        (tmp_path / name).write_text(text)
    return Group((tmp_path,))


@pytest.fixture
def one(tmp_path: Path) -> Group:
    for controller, names in V1.items():
        (tmp_path / controller).mkdir()
        for name in names:
            (tmp_path / controller / f"{controller}.{name}").write_text("")
    return Group(tuple(tmp_path / controller for controller in V1))


def asked(group: Group, resources: dict) -> list[tuple[str, str]]:
    """Return what is written, in order."""
    files = Files(group)
    found = []
    for each in writes(files, resources):
        assert not each.wrong
        assert not each.lacking
        path = next((path for name in each.files if (path := files.find(name, unified=each.unified))), "")
        assert path or each.optional
        if path:
            found.append((path.rpartition("/")[2], each.text))
    return found


@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        ({"memory": {"limit": 100}}, [("memory.max", "100")]),
        ({"memory": {"limit": -1}}, [("memory.swap.max", "max"), ("memory.max", "max")]),
        ({"memory": {"limit": 100, "swap": 300}}, [("memory.swap.max", "200"), ("memory.max", "100")]),
        ({"memory": {"limit": 100, "swap": 100}}, [("memory.swap.max", "0"), ("memory.max", "100")]),
        ({"memory": {"limit": 100, "swap": -1}}, [("memory.swap.max", "max"), ("memory.max", "100")]),
        ({"memory": {"limit": -1, "swap": 300}}, [("memory.swap.max", "300"), ("memory.max", "max")]),
        ({"memory": {"reservation": 50}}, [("memory.low", "50")]),
        ({"memory": {"limit": 0, "swap": 0, "kernel": 7, "kernelTCP": 8, "swappiness": -1}}, []),
        ({"memory": {"useHierarchy": True, "disableOOMKiller": False}}, []),
        ({"cpu": {"shares": 1024}}, [("cpu.weight", "100")]),
        ({"cpu": {"quota": 5000}}, [("cpu.max", "5000 100000")]),
        ({"cpu": {"quota": -1}}, [("cpu.max", "max 100000")]),
        ({"cpu": {"period": 50000}}, [("cpu.max", "max 50000")]),
        ({"cpu": {"burst": 10, "idle": 1}}, [("cpu.max.burst", "10"), ("cpu.idle", "1")]),
        ({"cpu": {"cpus": "0-1", "mems": "0"}}, [("cpuset.cpus", "0-1"), ("cpuset.mems", "0")]),
        ({"pids": {"limit": 0}}, [("pids.max", "1")]),
        ({"pids": {"limit": -1}}, [("pids.max", "max")]),
        ({"blockIO": {"weight": 10}}, [("io.weight", "1")]),
        ({"blockIO": {"weight": 1000}}, [("io.weight", "10000")]),
        ({"blockIO": {"weightDevice": [{**DISK, "weight": 10}]}}, [("io.weight", "8:16 1")]),
        ({"blockIO": {"throttleReadBpsDevice": [{**DISK, "rate": 5}]}}, [("io.max", "8:16 rbps=5")]),
        ({"blockIO": {"throttleWriteIOPSDevice": [{**DISK, "rate": 0}]}}, [("io.max", "8:16 wiops=max")]),
        (
            {"hugepageLimits": [{"pageSize": "2MB", "limit": 9}]},
            [("hugetlb.2MB.max", "9"), ("hugetlb.2MB.rsvd.max", "9")],
        ),
        ({"rdma": {"mlx5_1": {"hcaObjects": 5, "hcaHandles": 3}}}, [("rdma.max", "mlx5_1 hca_handle=3 hca_object=5")]),
        ({"rdma": {"rxe3": {"hcaObjects": 5}}}, [("rdma.max", "rxe3 hca_object=5")]),
        ({"unified": {"io.max": "8:0 rbps=1\n8:16 rbps=2"}}, [("io.max", "8:0 rbps=1"), ("io.max", "8:16 rbps=2")]),
        ({"unified": {"cpu.max": ""}}, [("cpu.max", "")]),
    ],
)
def test_version_2(two: Group, resources, expected) -> None:
    assert asked(two, resources) == expected


@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        ({"memory": {"limit": -1}}, [("memory.limit_in_bytes", "-1"), ("memory.memsw.limit_in_bytes", "-1")]),
        ({"memory": {"limit": 5, "swap": 9}}, [("memory.limit_in_bytes", "5"), ("memory.memsw.limit_in_bytes", "9")]),
        (
            {"memory": {"swappiness": 0, "useHierarchy": True}},
            [("memory.swappiness", "0"), ("memory.use_hierarchy", "1")],
        ),
        ({"cpu": {"realtimePeriod": 7, "realtimeRuntime": 3}}, [("cpu.rt_period_us", "7"), ("cpu.rt_runtime_us", "3")]),
        ({"cpu": {"quota": -1}}, [("cpu.cfs_quota_us", "-1")]),
        ({"blockIO": {"weight": 10, "leafWeight": 20}}, [("blkio.weight", "10"), ("blkio.leaf_weight", "20")]),
        (
            {"blockIO": {"weightDevice": [{**DISK, "weight": 10, "leafWeight": 20}]}},
            [("blkio.weight_device", "8:16 10"), ("blkio.leaf_weight_device", "8:16 20")],
        ),
        ({"hugepageLimits": [{"pageSize": "2MB", "limit": 9}]}, [("hugetlb.2MB.limit_in_bytes", "9")]),
        (
            {"network": {"classID": 17, "priorities": [{"name": "lo", "priority": 3}]}},
            [("net_cls.classid", "17"), ("net_prio.ifpriomap", "lo 3")],
        ),
    ],
)
def test_version_1(one: Group, resources, expected) -> None:
    assert asked(one, resources) == expected


def test_each_controller_is_looked_for_in_both(one: Group, two: Group) -> None:
    for name in ("memory.max", "cpu.weight"):
        (two.folders[0] / name).unlink()
    both = Group((*one.folders[:2], *two.folders))
    resources = {
        "memory": {"limit": 5},
        "hugepageLimits": [{"pageSize": "2MB", "limit": 9}],
        "unified": {"pids.max": "3"},
    }
    assert [name for name, _ in asked(both, resources)] == [
        "memory.limit_in_bytes", "hugetlb.2MB.max", "hugetlb.2MB.rsvd.max", "pids.max",
    ]  # fmt: skip


def test_one_of_quota_and_period_leaves_the_other(two: Group) -> None:
    limits.apply(two, {"cpu": {"quota": 20000, "period": 50000}})
    limits.apply(two, {"cpu": {"period": 70000}})
    assert (two.folders[0] / "cpu.max").read_text() == "20000 70000"


def test_a_scheduler_that_weighs_is_preferred(two: Group) -> None:
    (two.folders[0] / "io.bfq.weight").write_text("")
    assert asked(two, {"blockIO": {"weight": 300, "weightDevice": [{**DISK, "weight": 400}]}}) == [
        ("io.bfq.weight", "300"), ("io.bfq.weight", "8:16 400"),
    ]  # fmt: skip


def test_swap_needs_no_file_where_there_is_none(two: Group) -> None:
    (two.folders[0] / "memory.swap.max").unlink()
    limits.apply(two, {"memory": {"limit": 100, "swap": 100}})
    limits.apply(two, {"memory": {"limit": 100, "swap": -1}})
    with pytest.raises(HostUnfit, match=r"memory\.swap of config\.json: no control group here has memory\.swap\.max"):
        limits.apply(two, {"memory": {"limit": 100, "swap": 150}})


def test_swap_takes_the_limit_that_is_there(two: Group) -> None:
    (two.folders[0] / "memory.max").write_text("100")
    assert asked(two, {"memory": {"swap": 150}}) == [("memory.swap.max", "50")]


@pytest.mark.parametrize(
    ("resources", "error", "message"),
    [
        ({"memory": {"swap": 5}}, Invalid, r"memory\.swap is of memory and swap together, so it needs"),
        ({"memory": {"limit": 9, "swap": 5}}, Invalid, r"memory\.swap .* 5 can't be less than 9"),
        ({"memory": {"swappiness": 5}}, HostUnfit, r"memory\.swappiness of config\.json: there is nothing like it"),
        ({"memory": {"disableOOMKiller": True}}, HostUnfit, r"memory\.disableOOMKiller"),
        ({"memory": {"useHierarchy": False}}, HostUnfit, r"memory\.useHierarchy"),
        ({"memory": {"limit": 4999, "checkBeforeUpdate": True}}, Invalid, r"memory\.limit 4999 is less than the 5000"),
        ({"cpu": {"realtimeRuntime": 5}}, HostUnfit, r"cpu\.realtimeRuntime"),
        ({"blockIO": {"leafWeight": 5}}, HostUnfit, r"blockIO\.leafWeight"),
        ({"blockIO": {"weightDevice": [{**DISK, "leafWeight": 5}]}}, HostUnfit, r"weightDevice\[0\]\.leafWeight"),
        ({"network": {"classID": 5}}, HostUnfit, r"network\.classID .* net_cls\.classid"),
        ({"unified": {"misc.max": "5"}}, HostUnfit, r"unified\.misc\.max"),
    ],
)
def test_version_2_has_no_such_thing(two: Group, resources, error, message) -> None:
    with pytest.raises(error, match=message):
        limits.apply(two, resources)


@pytest.mark.parametrize("shares", [1, 262145])
def test_shares_that_version_1_would_change_by_itself(one: Group, shares: int) -> None:
    with pytest.raises(Invalid, match=r"cpu\.shares must be from 2 to 262144"):
        limits.apply(one, {"cpu": {"shares": shares}})


def test_unified_is_of_version_2_alone(one: Group) -> None:
    with pytest.raises(HostUnfit, match=r"unified\.pids\.max") as caught:
        limits.apply(one, {"unified": {"pids.max": "5"}})
    assert "unified_cgroup_hierarchy=1" in caught.value.hint


@pytest.mark.parametrize(
    ("number", "file", "resources", "error", "message"),
    [
        (16, "memory.limit_in_bytes", {"memory": {"limit": 5}}, Conflict, "77 bytes are in use"),
        (16, "cpuset.cpus", {"cpu": {"cpus": "0"}}, Conflict, "stop what uses it"),
        (13, "cpuset.cpus", {"cpu": {"cpus": "7"}}, Invalid, "above has fewer"),
        (28, "cpuset.mems", {"cpu": {"mems": "7"}}, Invalid, "above has fewer"),
        (19, "blkio.weight", {"blockIO": {"weight": 5}}, Invalid, "no such device here"),
        (34, "blkio.weight", {"blockIO": {"weight": 5}}, Invalid, "from 10 to 1000"),
        (22, "cpu.idle", {"cpu": {"idle": 1}}, Invalid, "0 or 1"),
        (95, "pids.max", {"pids": {"limit": 5}}, None, "not supported"),
    ],
)
def test_the_kernel_s_answer_is_told(one: Group, number, file, resources, error, message, monkeypatch) -> None:
    (one.folders[0] / "memory.usage_in_bytes").write_text("77")

    def refuse(path: str, text: str) -> None:
        if path.endswith(file):
            import os

            raise OSError(number, os.strerror(number))

    monkeypatch.setattr(limits, "_write", refuse)
    with pytest.raises(MobyError) as caught:
        limits.apply(one, resources)
    assert error is None or type(caught.value) is error
    assert "config.json: linux.resources." in str(caught.value)
    assert message in str(caught.value)


def test_devices_need_a_controller(one: Group) -> None:
    with pytest.raises(HostUnfit, match=r"linux\.resources\.devices") as caught:
        device_rules.set_devices(one, [{"allow": False}])
    assert "devices" in caught.value.hint


@given(st.integers(2, 262144), st.integers(2, 262144))
def test_more_shares_are_no_less_weight(one_shares: int, more: int) -> None:
    first, second = sorted((one_shares, more))
    assert 1 <= shares_to_weight(first) <= shares_to_weight(second) <= 10000


@pytest.mark.parametrize(
    ("shares", "weight"), [(0, 1), (2, 1), (1024, 100), (262144, 10000), (10**9, 10000), (512, 59)]
)
def test_shares_and_weights_that_are_known(shares: int, weight: int) -> None:
    assert shares_to_weight(shares) == weight
