"""The engine is killed in the middle: what was asked for is there afterwards, no container twice and none lost."""

import random
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import pytest
from clients.engine import opened_moby
from compose.killed_orchestrator import NAMES, application
from compose.orchestrating import Orchestrated
from peers.box import archive
from peers.sandbox import TEMPORARY

from moby.contracts.orchestrator import TaskState
from moby.testing.bundles import PROGRAMS, make_rootfs
from moby.testing.mounted import own_mounts
from moby.testing.net_namespaces import own_network
from moby.testing.orchestrator import eventually

HERE = Path(__file__).parent


def apply_until_killed(root, rootfs, seconds):
    child = subprocess.Popen(
        [sys.executable, str(HERE / "killed_orchestrator.py"), str(root), str(rootfs)],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert child.stdout.readline() == "ready\n"
        threading.Event().wait(seconds)
    finally:
        child.kill()
        child.wait(60)
        child.stdout.close()


@pytest.mark.slow
def test_an_orchestrator_that_is_killed(tmp_path):
    """In the middle of applying, again and again: the next one goes on with what was asked for last."""
    rootfs = make_rootfs(tmp_path / "rootfs", PROGRAMS)
    chance = random.Random(20261130)
    with own_mounts(shared=True), own_network():
        for _ in range(4):
            apply_until_killed(tmp_path / "root", rootfs, chance.uniform(0.2, 1.5))
        with Orchestrated(tmp_path / "root", rootfs, "served") as engine:
            orchestrator = engine.orchestrator

            def settled():
                running = Counter(
                    (each.spec.name, each.slot)
                    for each in orchestrator.tasks()
                    if each.status.state is TaskState.RUNNING
                    and each.template == orchestrator.service(each.spec.name).template
                )
                wanted = {(each.spec.name, slot) for each in orchestrator.services() for slot in (1, 2)}
                return running == dict.fromkeys(wanted, 1) and len(orchestrator.tasks()) == len(wanted)

            eventually(settled, "what was asked for runs")
            orchestrator.apply(application(-1))
            eventually(lambda: settled() and len(orchestrator.services()) == len(NAMES), "all of it runs")
            there = engine.containers.list()
            assert sorted(each.name for each in there) == [f"shop-{name}-{slot}" for name in NAMES for slot in (1, 2)]
            assert all("N=-1" in each.config.environment for each in there)
            # Each container has its anonymous volume, and nobody has lost one.
            assert all(len(each.users) == 1 for each in engine.volumes.list())
            assert len(engine.volumes.list()) == len(there)
            orchestrator.remove_application("shop")
            eventually(lambda: engine.containers.list() == (), "all goes")


def begin_again(engine):
    """Start another engine in the place of a killed one."""
    engine._daemon.wait(60)
    engine._begin()


SERVICES = 6
FILE = "name: many\nservices:\n" + "".join(
    f"  s{number}: {{image: localhost/box, command: sleep 1000, stop_signal: SIGKILL}}\n" for number in range(SERVICES)
)


@pytest.mark.long
@pytest.mark.parametrize("who", ["docker compose", "own compose"])
def test_up_while_the_engine_is_killed(tmp_path, docker_pyz, who):
    """It fails, and the next one makes what is missing; what had begun goes on."""
    image = archive(tmp_path / "image.tar", tmp_path / "rootfs")
    chance = random.Random(1)
    with opened_moby(tmp_path / "engine", image, docker_pyz) as engine:
        folder = engine.sandbox.seen(TEMPORARY / "many")
        folder.mkdir()
        (folder / "compose.yaml").write_text(FILE)
        first = ["docker", "compose"] if who == "docker compose" else engine.argv("compose")
        command = [*first, "--project-directory", TEMPORARY / "many"]
        for _ in range(3):
            up = subprocess.Popen(
                engine.sandbox.argv(*command, "up", "--detach"), env=engine.sandbox.environment,
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip
            with up:
                threading.Event().wait(chance.uniform(0.3, 1.2))
                engine.sandbox.run("kill", "-9", str(engine.pid()))
                up.wait(120)  # one that finds no engine is one for its own time
            begin_again(engine)
            engine.sandbox.run(*command, "up", "--detach")
            listed = engine.sandbox.run("docker", "ps", "--all", "--format", "{{.Names}} {{.State}}").stdout
            assert sorted(listed.splitlines()) == [f"many-s{number}-1 running" for number in range(SERVICES)]
            engine.sandbox.run(*command, "down", "--timeout", "1")
        assert "many" not in engine.sandbox.run("docker", "network", "ls").stdout
        engine.check_gone()
