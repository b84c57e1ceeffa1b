"""What a start is said to have failed by where its first process was killed."""

import errno
from pathlib import Path

import pytest
from moby_runtime.groups.killed import LIMIT, killed
from moby_runtime.records.failures import Failure, error_of

from moby.errors import HostUnfit, Invalid
from moby.host.cgroups import Group

LIMITED = {"memory": {"limit": 100}}


@pytest.mark.parametrize(
    ("kills", "resources", "error", "told"),
    [
        pytest.param(
            0, LIMITED, HostUnfit, "cannot make the container: its first process was killed", id="by-somebody"
        ),
        pytest.param(
            1,
            LIMITED,
            Invalid,
            "cannot make the container (config.json: linux.resources.memory.limit): its first process was killed for "
            "want of memory: its limit is 100 bytes",
            id="by-its-limit",
        ),
        *(
            pytest.param(
                1,
                given,
                HostUnfit,
                "cannot make the container: its first process was killed for want of memory",
                id=f"above-{number}",
            )
            for number, given in enumerate(({}, {"memory": {"limit": -1}}, {"memory": {"swappiness": 5}}))
        ),
    ],
)
@pytest.mark.parametrize("file", ["memory.events", "memory.oom_control"])
def test_what_it_was_killed_by(tmp_path: Path, kills, resources, error, told, file) -> None:
    (tmp_path / file).write_text(f"oom_kill_disable 0\noom_kill {kills}\n")
    found = error_of(killed(Group((str(tmp_path),)), resources))
    assert type(found) is error
    assert found.message == told
    assert (found.hint == "raise it, or leave it out") is (error is Invalid)


@pytest.mark.parametrize(
    ("files", "field"),
    [
        ({"memory.events": "max 9\noom 1\noom_kill 1\n"}, LIMIT),
        ({"memory.events": "max 0\noom 0\noom_kill 1\n"}, ""),
        ({"memory.oom_control": "oom_kill 1\n", "memory.failcnt": "7\n"}, LIMIT),
        ({"memory.oom_control": "oom_kill 1\n", "memory.failcnt": "0\n", "memory.memsw.failcnt": "7\n"}, LIMIT),
        ({"memory.oom_control": "oom_kill 1\n", "memory.failcnt": "0\n", "memory.memsw.failcnt": "0\n"}, ""),
    ],
)
def test_the_limit_of_a_group_above_is_not_its_own(tmp_path: Path, files, field) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert killed(Group((str(tmp_path),)), LIMITED).field == field


def test_a_limit_that_the_kernel_refuses_is_not_one_that_killed() -> None:
    assert isinstance(error_of(Failure("set it", LIMIT, errno.EPERM)), HostUnfit)


def test_one_without_a_group() -> None:
    assert killed(Group(()), LIMITED).detail == "its first process was killed"
