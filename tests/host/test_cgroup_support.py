"""Which limits a tree of version 1 has, by the files in its groups."""

from pathlib import Path

import pytest

from moby.host.cgroup_support import support
from moby.host.cgroups import Hierarchy, hierarchies


@pytest.mark.parametrize(
    ("files", "weight", "of_devices"),
    [
        (["blkio.reset_stats"], False, False),
        (["blkio.weight", "blkio.weight_device"], True, True),
        (["own/blkio.bfq.weight"], True, False),
        (["own/blkio.bfq.weight", "own/blkio.bfq.weight_device"], True, True),
        (["blkio.bfq.io_service_bytes"], True, True),
        (["other/blkio.bfq.weight"], False, False),
    ],
)
def test_weights(tmp_path: Path, files: list[str], weight: bool, of_devices: bool) -> None:
    for each in files:
        (tmp_path / each).parent.mkdir(exist_ok=True)
        (tmp_path / each).touch()
    found = support([Hierarchy(str(tmp_path), 1, frozenset({"blkio"}), "/own")])
    assert (found.io_weight, found.io_weight_device) == (weight, of_devices)


def test_weights_are_known_at_the_root_as_in_a_group_below() -> None:
    """Of what this kernel has: the root group alone says what those below have."""
    for tree in hierarchies():
        if "blkio" in tree.controllers and tree.version == 1:
            below = [each for each in Path(tree.mount).iterdir() if each.is_dir()]
            there = any(each.joinpath(name).exists() for each in below for name in ("blkio.weight", "blkio.bfq.weight"))
            assert not below or support([tree]).io_weight == there
