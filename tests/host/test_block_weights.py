"""Which devices can be weighed."""

from pathlib import Path

import pytest

from moby.host.block_weights import can_weigh, weighs
from moby.host.cgroups import Hierarchy


@pytest.fixture
def sys(tmp_path: Path) -> Path:
    disk = tmp_path / "dev/block/8:0"
    (disk / "queue").mkdir(parents=True)
    (disk / "sda1").mkdir()
    (tmp_path / "dev/block/8:1").symlink_to("8:0/sda1")
    return tmp_path


@pytest.mark.parametrize(
    ("scheduler", "found"),
    [
        ("none [mq-deadline] kyber bfq\n", False),
        ("[none] mq-deadline kyber bfq\n", False),
        ("none\n", False),
        ("none mq-deadline kyber [bfq]\n", True),
        ("noop deadline [cfq]\n", True),
    ],
)
@pytest.mark.parametrize("device", ["8:0", "8:1"])
def test_schedulers(sys: Path, device: str, scheduler: str, found: bool) -> None:
    (sys / "dev/block/8:0/queue/scheduler").write_text(scheduler)
    assert weighs(device, str(sys)) is found


@pytest.mark.parametrize(
    ("costs", "found"),
    [
        ("8:0 enable=1 ctrl=auto rpct=0.00\n", True),
        ("8:0 enable=0 ctrl=auto\n", False),
        ("8:16 enable=1 ctrl=auto\n", False),
        ("", False),
    ],
)
def test_costs(sys: Path, costs: str, found: bool) -> None:
    (sys / "dev/block/8:0/queue/scheduler").write_text("[none] bfq\n")
    for name in ("one", "unified"):
        (sys / name).mkdir()
    (sys / "unified/io.cost.qos").write_text(costs)
    trees = [Hierarchy(str(sys / "one"), 1, frozenset({"blkio"})), Hierarchy(str(sys / "unified"), 2, frozenset())]
    assert weighs("8:0", str(sys), trees) is found


def test_what_nothing_is_known_of(sys: Path) -> None:
    assert weighs("9:9", str(sys)) is True
    for each in ("/dev/null", str(sys), str(sys / "absent")):
        assert can_weigh(each) is True
