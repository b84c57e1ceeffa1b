"""Many calls at once on one folder, and calls that are killed on their way."""

import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from runtime_command.command import PATIENCE_S, ended


@pytest.mark.slow
def test_many_containers_at_once(command):
    bundles = [command.bundle("sh", "-c", f"exit {number}") for number in range(12)]
    with ThreadPoolExecutor(6) as pool:
        runs = [
            pool.submit(command, "run", "-b", each, f"box{number}", check=False) for number, each in enumerate(bundles)
        ]
        lists = [pool.submit(command, "list", "--format", "json") for _ in range(4)]
        assert [each.result().returncode for each in runs] == list(range(12)), [each.result().stderr for each in runs]
        assert all(each.result().stdout.startswith(("[", "null")) for each in lists)


def test_one_id_is_taken_once(command):
    bundle = command.bundle("true")
    begun = [
        command.begin(
            "create",
            "-b",
            bundle,
            "box",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for _ in range(6)
    ]
    assert sorted(each.wait(PATIENCE_S) for each in begun) == [0, 1, 1, 1, 1, 1]
    assert command.status("box") == "created"


def test_one_start_is_the_first(command):
    pid = command.created("box", "sleep", "1000")
    begun = [
        command.begin("start", "box", stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(4)
    ]
    assert sorted(each.wait(PATIENCE_S) for each in begun) == [0, 1, 1, 1]
    command("kill", "box", "KILL")
    assert ended(pid) == 137


def test_everybody_may_delete_by_force(command):
    command.sleeping()
    with ThreadPoolExecutor(4) as pool:
        done = [pool.submit(command, "delete", "--force", "box", check=False) for _ in range(4)]
        assert [each.result().returncode for each in done] == [0, 0, 0, 0], [each.result().stderr for each in done]
    assert command.ids() == []


@pytest.mark.slow
def test_killed_anywhere_on_its_way(command):
    """Whatever step it was at, the container is as it was or can be removed, and its id is free then."""
    bundle = command.bundle("sleep", "1000")
    streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    begun = time.monotonic()
    command("run", "-d", "-b", bundle, "box", **streams)
    whole_s = time.monotonic() - begun
    command("delete", "--force", "box")
    for step in range(24):
        process = command.begin("run", "-d", "-b", bundle, "box", **streams)
        time.sleep(whole_s * step / 20)
        process.send_signal(signal.SIGKILL)
        process.wait(PATIENCE_S)
        command("list")
        command("delete", "--force", "box")
        assert command.ids() == []
        assert command.groups() == ()
