"""What `info` says of limits, by the trees that there are."""

import pytest
from moby_frontend.docker.handlers.limits import limits

from moby.host.cgroups import Hierarchy
from moby.values import evolve

WHOLE = [
    *[f"memory/memory.{name}" for name in ("limit_in_bytes", "memsw.limit_in_bytes", "kmem.tcp.limit_in_bytes")],
    "memory/memory.oom_control", "cpu/cpu.shares", "cpu/cpu.cfs_quota_us", "cpuset/cpuset.cpus", "pids/cgroup.procs",
    "blkio/blkio.throttle.read_bps_device",
]  # fmt: skip
NAMES = [
    "MemoryLimit", "SwapLimit", "KernelMemoryTCP", "OomKillDisable", "CpuCfsQuota", "CpuCfsPeriod", "CPUShares",
    "CPUSet", "PidsLimit",
]  # fmt: skip


def first(tmp_path, files):
    for each in files:
        path = tmp_path / each
        path.parent.mkdir(exist_ok=True)
        path.touch()
    kinds = sorted({each.partition("/")[0] for each in files})
    return [Hierarchy(str(tmp_path / kind), 1, frozenset({kind})) for kind in kinds]


def test_all_of_version_1(tmp_path):
    found = limits(first(tmp_path, WHOLE), ordinary=False)
    assert found == {**dict.fromkeys(NAMES, True), "CgroupDriver": "cgroupfs", "CgroupVersion": "1", "Warnings": None}


@pytest.mark.parametrize(
    ("lacks", "fields", "told"),
    [
        ("memory/memory.memsw.limit_in_bytes", ["SwapLimit"], ["swap limit"]),
        ("memory/memory.oom_control", ["OomKillDisable"], ["oom kill disable"]),
        ("cpu/cpu.cfs_quota_us", ["CpuCfsQuota", "CpuCfsPeriod"], ["cpu cfs quota", "cpu cfs period"]),
        ("pids/cgroup.procs", ["PidsLimit"], []),
        (
            "blkio/blkio.throttle.read_bps_device",
            [],
            [f"blkio throttle.{each}_device" for each in ("read_bps", "write_bps", "read_iops", "write_iops")],
        ),
    ],
)
def test_what_version_1_lacks(tmp_path, lacks, fields, told):
    found = limits(first(tmp_path, [each for each in WHOLE if each != lacks]), ordinary=False)
    assert [each for each in NAMES if not found[each]] == fields
    assert found["Warnings"] == ([f"WARNING: No {each} support" for each in told] or None)


def test_version_2():
    """It has no limits of its own for what version 1 had, which is nothing to warn of."""
    tree = Hierarchy("/nowhere", 2, frozenset({"memory", "cpu", "cpuset", "io", "pids"}))
    found = limits([tree], ordinary=False)
    assert [each for each in NAMES if not found[each]] == ["KernelMemoryTCP", "OomKillDisable"]
    assert (found["CgroupVersion"], found["Warnings"]) == ("2", None)
    found = limits([Hierarchy("/nowhere", 2, frozenset({"cpu", "cpuset", "memory"}))], ordinary=False)
    named = [
        "io.weight",
        "io.weight (per device)",
        "io.max (rbps)",
        "io.max (wbps)",
        "io.max (riops)",
        "io.max (wiops)",
    ]
    assert found["Warnings"] == [f"WARNING: No {each} support" for each in named]
    hybrid = [Hierarchy("/nowhere", 1, frozenset()), tree]
    assert limits(hybrid, ordinary=False)["CgroupVersion"] == "2", "a tree of systemd's own has no controllers"


def test_none_for_who_was_given_no_group(tmp_path):
    found = limits(first(tmp_path, WHOLE), ordinary=True)
    assert not any(found[each] for each in NAMES)
    assert (found["CgroupDriver"], found["CgroupVersion"]) == ("none", "1")
    (told,) = found["Warnings"]
    assert told.startswith("WARNING: Running in rootless-mode without cgroups.")


def test_no_groups_at_all():
    """Are warned of one by one: root would have them where they are mounted."""
    found = limits([], ordinary=False)
    assert (found["CgroupDriver"], found["Warnings"][0]) == ("cgroupfs", "WARNING: No memory limit support")


def second(tmp_path, **groups):
    """The tree of a host that gives all controllers to the groups at its root; `/user/session` is the user's own."""
    names = {"": "cpuset cpu io memory pids", "user/session": "", **groups}
    for each, controllers in names.items():
        path = tmp_path / each
        path.mkdir(parents=True, exist_ok=True)
        (path / "cgroup.controllers").write_text(controllers)
    return Hierarchy(str(tmp_path), 2, frozenset(names[""].split()), "/user/session")


@pytest.mark.parametrize("given", ["user", "user/session"])
def test_what_was_given_to_an_ordinary_user(tmp_path, given):
    tree = second(tmp_path, **{given: "memory pids"})
    (tmp_path / given / "cgroup.procs").touch()
    found = limits([tree], ordinary=True)
    assert [each for each in NAMES if found[each]] == ["MemoryLimit", "SwapLimit", "PidsLimit"]
    assert found["CgroupDriver"] == "cgroupfs"
    words = ["cpu cfs quota", "cpu cfs period", "cpu shares", "cpuset", "io.weight", "io.weight (per device)"]
    words += [f"io.max ({each})" for each in ("rbps", "wbps", "riops", "wiops")]
    assert found["Warnings"] == [f"WARNING: No {each} support" for each in words]
    assert limits([tree], ordinary=False)["Warnings"] is None


@pytest.mark.parametrize("controllers", ["", "hugetlb"])
def test_a_group_that_limits_nothing(tmp_path, controllers):
    tree = second(tmp_path, user=controllers)
    (tmp_path / "user/cgroup.procs").touch()
    assert limits([tree], ordinary=True)["CgroupDriver"] == "none"


def test_a_group_that_is_shown_read_only(tmp_path):
    tree = second(tmp_path, user="memory")
    (tmp_path / "user/cgroup.procs").touch()
    assert limits([evolve(tree, writable=False)], ordinary=True)["CgroupDriver"] == "none"
