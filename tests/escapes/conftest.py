"""Attackers: containers with a Python of their own, so that an attack can make any system call."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from escape_attacks import Victim, attacker_root
from moby_runtime.native.runtime import Native

from moby.testing.boxes import Boxes
from moby.testing.runtime import boxes_of


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if os.geteuid() == 0:
        return
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.skip(reason="attacks on what root runs; run by root they are covered"))


@pytest.fixture(scope="session")
def shared_rootfs() -> Iterator[Path]:
    """A root file system with a Python in it, below a folder that every user can enter."""
    folder = Path(tempfile.mkdtemp(prefix="moby-escapes-"))
    folder.chmod(0o755)
    try:
        yield attacker_root(folder / "rootfs")
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def boxes(shared_rootfs: Path) -> Iterator[Boxes]:
    """What makes containers; at the end none is left, nor anything else."""
    with boxes_of(Native, shared_rootfs) as boxes:
        yield boxes


@pytest.fixture
def victim(boxes: Boxes) -> Victim:
    """A folder of the host that no container may get at."""
    return Victim.make(boxes.bundles.folder / "victim")
