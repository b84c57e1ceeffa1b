"""What a control group uses: figures of both versions in one shape, and being told of OOM kills."""

import os
import select
import time
from pathlib import Path

import pytest
from descriptors import closed_again, descriptors

from moby.contracts.runtime import DeviceIo, HugePages, Stall, Stats
from moby.host import cgroup_figures, oom
from moby.host.cgroup_figures import figures
from moby.host.cgroups import Group
from moby.values import evolve

V2 = {
    "cgroup.type": "domain\n",
    "cgroup.events": "populated 1\nfrozen 0\n",
    "cpu.stat": "usage_usec 30\nuser_usec 10\nsystem_usec 20\nnr_periods 5\nnr_throttled 3\nthrottled_usec 7\n",
    "memory.current": "4096\n",
    "memory.max": "8192\n",
    "memory.peak": "5000\n",
    "memory.stat": "anon 1000\nfile 3000\n",
    "memory.swap.current": "10\n",
    "memory.swap.max": "max\n",
    "memory.events": "low 0\nhigh 0\nmax 9\noom 2\noom_kill 1\noom_group_kill 0\n",
    "pids.current": "3\n",
    "pids.max": "max\n",
    "io.stat": "8:16 rbytes=5 wbytes=6 rios=1 wios=2 dbytes=0 dios=0\n8:0 \nsomething rbytes=1\n",
    "hugetlb.2MB.current": "4\n",
    "hugetlb.2MB.max": "9\n",
    "hugetlb.2MB.rsvd.current": "6\n",
    "hugetlb.2MB.rsvd.max": "9\n",
    "hugetlb.2MB.events": "max 8\n",
    "rdma.current": "mlx5_1 hca_handle=2 hca_object=30\n",
    "cpu.pressure": "some avg10=1.50 avg60=0.25 avg300=0.00 total=77\n",
    "io.pressure": "some avg10=0.00 avg60=0.00 avg300=0.00 total=1\nfull avg10=0.00 avg60=0.00 avg300=9.00 total=2\n",
}
V1 = {
    "cpuacct": {"cpuacct.usage": "30\n", "cpuacct.usage_user": "10\n", "cpuacct.usage_sys": "20\n"},
    "cpu": {"cpu.stat": "nr_periods 5\nnr_throttled 3\nthrottled_time 7\n"},
    "memory": {
        "memory.usage_in_bytes": "4096\n",
        "memory.limit_in_bytes": "8192\n",
        "memory.max_usage_in_bytes": "5000\n",
        "memory.stat": "cache 3000\nrss 1000\n",
        "memory.memsw.usage_in_bytes": "4106\n",
        "memory.memsw.limit_in_bytes": "9192\n",
        "memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n",
    },
    "pids": {"pids.current": "3\n", "pids.max": "40\n"},
    "blkio": {
        "blkio.throttle.io_service_bytes_recursive": "8:16 Read 5\n8:16 Write 6\n8:16 Sync 11\nTotal 11\n",
        "blkio.throttle.io_serviced_recursive": "8:16 Read 1\n8:16 Write 2\nTotal 3\n",
    },
    "hugetlb": {
        "hugetlb.2MB.usage_in_bytes": "4\n",
        "hugetlb.2MB.limit_in_bytes": "9\n",
        "hugetlb.2MB.max_usage_in_bytes": "7\n",
        "hugetlb.2MB.failcnt": "8\n",
    },
}
BOTH = {
    "cpu_periods": 5, "cpu_throttled_periods": 3, "memory_bytes": 4096, "memory_limit_bytes": 8192,
    "memory_peak_bytes": 5000, "swap_bytes": 10, "oom_kills": 1, "pids": 3,
}  # fmt: skip


@pytest.fixture
def two(tmp_path: Path) -> Group:
    for name, text in V2.items():
        (tmp_path / name).write_text(text)
    return Group((str(tmp_path),))


@pytest.fixture
def one(tmp_path: Path) -> Group:
    for controller, files in V1.items():
        (tmp_path / controller).mkdir()
        for name, text in files.items():
            (tmp_path / controller / name).write_text(text)
    return Group(tuple(str(tmp_path / controller) for controller in V1))


@pytest.fixture(autouse=True)
def sizes(tmp_path_factory, monkeypatch) -> None:
    root = tmp_path_factory.mktemp("hugepages")
    for size in (64, 2048, 1048576):
        (root / f"hugepages-{size}kB").mkdir()
    monkeypatch.setattr(cgroup_figures.huge_page_sizes, "__defaults__", (root,))


def found_of(group: Group) -> Stats:
    began = time.time_ns()
    found = figures(group)
    assert began <= found.time_ns <= time.time_ns()
    return evolve(found, time_ns=0)


def test_version_2(two: Group) -> None:
    assert found_of(two) == Stats(
        0, **BOTH, cpu_ns=30000, cpu_user_ns=10000, cpu_system_ns=20000, cpu_throttled_ns=7000,
        memory_detail={"anon": 1000, "file": 3000}, swap_limit_bytes=0, pids_limit=0,
        io=(DeviceIo(8, 16, 5, 6, 1, 2),), huge_pages=(HugePages("2MB", 6, None, 8),),
        rdma={"mlx5_1": {"hca_handle": 2, "hca_object": 30}},
        pressure={"cpu": (Stall(1.5, 0.25, 0.0, 77), Stall()), "io": (Stall(0, 0, 0, 1), Stall(0, 0, 9.0, 2))},
    )  # fmt: skip


def test_version_1(one: Group) -> None:
    assert found_of(one) == Stats(
        0, **BOTH, cpu_ns=30, cpu_user_ns=10, cpu_system_ns=20, cpu_throttled_ns=7,
        memory_detail={"cache": 3000, "rss": 1000}, swap_limit_bytes=1000, pids_limit=40,
        io=(DeviceIo(8, 16, 5, 6, 1, 2),), huge_pages=(HugePages("2MB", 4, 7, 8),),
    )  # fmt: skip


def test_nothing_is_known_of_what_is_not_there(tmp_path: Path) -> None:
    assert found_of(Group((str(tmp_path / "gone"),))) == Stats(0)
    assert found_of(Group(())) == Stats(0)


@pytest.mark.parametrize(("text", "limit"), [("max\n", 0), ("0\n", None), ("700\n", 700)])
def test_no_swap_is_not_any_swap(two: Group, text: str, limit: int | None) -> None:
    (Path(two.folders[0]) / "memory.swap.max").write_text(text)
    assert figures(two).swap_limit_bytes == limit


@pytest.mark.parametrize(
    ("both", "limit", "swap"),
    [("9223372036854771712", "8192", 0), ("8192", "8192", None), ("9223372036854771712", "9223372036854771712", 0)],
)
def test_no_swap_in_version_1(one: Group, both: str, limit: str, swap: int | None) -> None:
    memory = Path(one.folders[2])
    (memory / "memory.memsw.limit_in_bytes").write_text(both)
    (memory / "memory.limit_in_bytes").write_text(limit)
    assert figures(one).swap_limit_bytes == swap


def test_kills_below_are_counted_in_version_1(one: Group) -> None:
    below = Path(one.folders[2]) / "a/b"
    below.mkdir(parents=True)
    (below / "memory.oom_control").write_text("oom_kill 4\n")
    assert figures(one).oom_kills == 5


def test_version_1_before_it_counted_kills(one: Group) -> None:
    (Path(one.folders[2]) / "memory.oom_control").write_text("oom_kill_disable 0\nunder_oom 0\n")
    assert figures(one).oom_kills is None


def test_the_scheduler_s_own_counts_where_there_is_no_throttle(one: Group) -> None:
    blkio = Path(one.folders[4])
    for each in list(blkio.iterdir()):
        each.rename(blkio / each.name.replace("throttle", "bfq"))
    assert figures(one).io == (DeviceIo(8, 16, 5, 6, 1, 2),)


def test_a_watch_of_version_2_tells_of_changes(two: Group) -> None:
    fd = oom.watch(two)
    try:
        with pytest.raises(BlockingIOError):
            os.read(fd, 4096)
        (Path(two.folders[0]) / "memory.events").write_text("oom_kill 2\n")
        assert select.select([fd], [], [], 60)[0]
        os.read(fd, 4096)
        (Path(two.folders[0]) / "cgroup.events").write_text("populated 0\n")
        assert select.select([fd], [], [], 60)[0]
    finally:
        os.close(fd)


def test_a_watch_needs_a_controller_of_memory(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no memory controller"):
        oom.watch(Group((str(tmp_path),)))


def test_a_watch_that_fails_leaves_nothing_open(two: Group, one: Group) -> None:
    before = descriptors()
    (Path(two.folders[0]) / "cgroup.events").unlink()
    for group in (two, one):
        with pytest.raises(OSError, match=r"cgroup\.event"):
            oom.watch(group)
    closed_again(before)
