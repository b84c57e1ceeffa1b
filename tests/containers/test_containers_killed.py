"""An engine that is killed at any moment: nothing leaks, and what the next one shows is true."""

import random
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from containers_engine import Engine

from moby.contracts.containers import Status
from moby.testing.boxes import PATIENCE_S
from moby.testing.containers import eventually

HERE = Path(__file__).parent


def run_and_kill(root, rootfs, seconds):
    child = subprocess.Popen(
        [sys.executable, str(HERE / "killed_engine.py"), str(root), str(rootfs)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert child.stdout.readline() == "ready\n"
        threading.Event().wait(seconds)
    finally:
        child.kill()
        child.wait(PATIENCE_S)
        child.stdout.close()


def consistent(engine):
    """Whether what is shown is what the supervisor has."""
    tasks = {each.id: each for each in engine.supervisor.list()}
    for each in engine.containers.list():
        runs = each.state.status is Status.RUNNING
        task = tasks.get(each.id)
        if runs != (task is not None and task.status == "running"):
            return False
        if runs and each.state.pid != task.pid:
            return False
    return True


@pytest.mark.slow
def test_killed_again_and_again(tmp_path, rootfs):
    root = tmp_path / "root"
    chance = random.Random(20261124)
    for _ in range(6):
        run_and_kill(root, rootfs, chance.uniform(0.05, 0.8))
    with Engine(root, rootfs, "served") as engine:
        eventually(lambda: consistent(engine), "what is shown is true")
        known = {each.id for each in engine.containers.list()}
        assert set(engine.images.prepared()) == known
        assert {each.name for each in (root / "state/containers").iterdir()} == known
        assert all(user in known for volume in engine.volumes.list() for user in volume.users)
        for each in engine.containers.list():
            engine.containers.remove(each.id, force=True, volumes=True)
        assert [each.name for each in engine.volumes.list() if not each.name.startswith("shared-")] == []
        eventually(lambda: engine.supervisor.list() == (), "no task is left")
        assert list((root / "run/containers").iterdir()) == []
        assert str(root / "run/containers") not in Path("/proc/self/mountinfo").read_text()
