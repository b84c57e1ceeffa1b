"""What runc and crun do where the specification leaves it open, so that engines and their users count on it."""

import json
import os
import subprocess
from pathlib import Path

import pytest
from moby_runtime.native.cli import events
from runtime_command.command import ended, until

from moby.contracts.runtime_values import Stats

pytestmark = pytest.mark.slow
PRIVATE = {"destination": "/private", "type": "tmpfs", "source": "tmpfs", "options": ["mode=700"]}
USER = {"uid": 1000, "gid": 1000}


def lines_of(command, data, *args):
    return command("run", "-b", command.bundle(data=data), *args, "box").stdout.splitlines()


class TestWorkingFolder:
    @pytest.fixture
    def data(self, command):
        data = command.config("sh", "-c", "pwd", cwd="/private")
        data["mounts"].append(PRIVATE)
        return data

    def test_root_enters_it_for_its_user(self, command, data):
        data["process"]["user"] = USER
        assert lines_of(command, data) == ["/private"]

    def test_also_for_a_further_program_s(self, command, data):
        data["process"]["args"] = ["sleep", "1000"]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        command("run", "-d", "-b", command.bundle(data=data), "box", **quiet)
        assert command("exec", "--user", "1000:1000", "box", "sh", "-c", "pwd").stdout == "/private\n"
        assert command("exec", "--user", "1000:1000", "--cwd", "/", "box", "sh", "-c", "pwd").stdout == "/\n"

    def test_what_lacks_is_made(self, command):
        data = command.config("sh", "-c", "pwd; stat -c %a:%u /tmp/made /tmp/made/here", cwd="/tmp/made/here")
        data["mounts"].append({"destination": "/tmp", "type": "tmpfs", "source": "tmpfs"})
        assert lines_of(command, data) == ["/tmp/made/here", "755:0", "755:0"]

    def test_what_cannot_be_made_is_told(self, command):
        data = command.config("pwd", cwd="/proc/absent/here")
        assert "change to the folder /proc/absent/here" in command.error("run", "-b", command.bundle(data=data), "box")


def test_a_masked_file_is_not_the_host_s_to_change(command):
    before = Path("/dev/null").stat().st_mtime
    data = command.config("sh", "-c", "echo kept >/proc/keys; touch -d 2000-01-01 /proc/keys")
    data["linux"]["maskedPaths"] = ["/proc/keys"]
    done = command("run", "-b", command.bundle(data=data), "box", check=False)
    assert done.returncode == 1
    assert "Read-only file system" in done.stderr
    assert Path("/dev/null").stat().st_mtime == before


def test_the_last_of_two_values_holds(command):
    data = command.config("env", env=["PATH=/bin", "A=1", "B=2", "A=3"])
    assert lines_of(command, data) == ["PATH=/bin", "A=3", "B=2", "HOME=/root"]
    command.sleeping("other")
    told = command("exec", "--env", "A=b", "--env", "A=c", "other", "env").stdout.splitlines()
    assert [line for line in told if line.startswith("A=")] == ["A=c"]


def test_a_whole_process_may_as_much_as_the_container_s(command, tmp_path):
    names = ["CAP_CHOWN", "CAP_NET_RAW"]
    sets = dict.fromkeys(("bounding", "permitted", "effective"), names)
    command.started("box", "sleep", "1000", capabilities=sets)
    file = tmp_path / "process.json"
    asked = {"args": ["cat", "/proc/self/status"], "cwd": "/", "env": ["PATH=/bin"]}
    found = []
    for more in ({}, {"capabilities": {}}):
        file.write_text(json.dumps({**asked, **more}))
        told = command("exec", "--process", file, "box").stdout.splitlines()
        found.append({line.split()[1].lstrip("0") for line in told if line.startswith(("CapBnd", "CapEff"))})
    assert found == [{"2001"}, {""}]


class TestWithoutPidNamespace:
    @pytest.fixture
    def left(self, command):
        """The pid of a process that has outlived its container's first one."""
        data = command.config("sh", "-c", "sleep 7777 & echo $!")
        data["linux"]["namespaces"] = [each for each in data["linux"]["namespaces"] if each["type"] != "pid"]
        read, write = os.pipe()
        pid_file = command.folder / "left.pid"
        command("create", "-b", command.bundle(data=data), "--pid-file", pid_file, "box", stdout=write, stderr=None)
        os.close(write)
        command("start", "box")
        with os.fdopen(read) as file:
            pid = int(file.readline())
            assert ended(int(pid_file.read_text())) == 0
            yield pid

    def test_all_are_killed_and_listed(self, command, left):
        assert command.status("box") == "stopped"
        assert json.loads(command("ps", "--format", "json", "box").stdout) == [left]
        command("kill", "--all", "box", "KILL")
        assert ended(left) == 128 + 9
        until(lambda: json.loads(command("ps", "--format", "json", "box").stdout) == [], "the end of all")
        command("kill", "--all", "box", "KILL")  # of nobody
        assert "not running" in command.error("kill", "box", "KILL")


def test_what_is_missing_is_named(command):
    folder = Path("/absent/containers/none")
    told = command.error("run", "-b", folder, "box")
    assert str(folder) in told
    assert "container does not exist" not in told
    assert "container does not exist" in command.error("state", "box")


def test_what_else_is_in_the_folder_is_left_alone(command):
    command.sleeping()
    (command.root / "stray").touch()
    assert command.ids() == ["box"]
    assert command("list").stdout.count("\n") == 2
    assert "container does not exist" in command.error("state", "stray")
    (command.root / "stray").unlink()


@pytest.mark.parametrize(("swap", "limit"), [(0, 20 << 20), (5 << 20, 25 << 20), (None, 2**64 - 1)])
def test_the_limit_of_swap_holds_memory_too(swap, limit):
    stats = Stats(time_ns=0, memory_limit_bytes=20 << 20, swap_limit_bytes=swap)
    assert events._facts(stats)["memory"]["swap"]["limit"] == limit
