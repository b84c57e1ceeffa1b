"""Podman and dockerd keep containers with our runtime: signals, pauses, restarts, statistics, limits, many at once."""

import json
import subprocess
import time
from pathlib import Path

import pytest
from peers.engines import choices
from peers.sandbox import until

pytestmark = [
    pytest.mark.usefixtures("tidy"),
    pytest.mark.parametrize("engine", choices("podman", "docker"), indirect=True, scope="module"),
]

_LIMITS = {
    "memory": "cat /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null || cat /sys/fs/cgroup/memory.max",
    "processes": "cat /sys/fs/cgroup/pids/pids.max 2>/dev/null || cat /sys/fs/cgroup/pids.max",
    "cpu": "cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us 2>/dev/null || cut -d' ' -f1 /sys/fs/cgroup/cpu.max",
}


def gone(engine, name):
    """Remove a container; return whether it has gone."""
    engine.remove(name, check=False)
    return engine("inspect", name, check=False).returncode != 0


def quiet(engine, name):
    """Whether nothing comes for a while, which is many times what the program waits between its lines."""
    before = engine.out("logs", name)
    time.sleep(0.5)
    return engine.out("logs", name) == before


class TestSignals:
    def test_stop_is_a_request_first(self, engine):
        name = engine.up()
        engine("stop", "-t", "60", name)
        assert engine.inspect(name, ".State.ExitCode") == 3
        assert engine.inspect(name, ".State.Status") == "exited"

    def test_stop_of_what_does_not_listen(self, engine):
        name = engine.start("sh", "-c", "trap '' TERM; echo up; while :; do sleep 0.1; done")
        until(lambda: engine.out("logs", name) == "up", "its output")
        engine("stop", "-t", "1", name)
        assert engine.inspect(name, ".State.ExitCode") == 137

    def test_another_signal_to_stop(self, engine):
        name = engine.start(
            "sh", "-c", "trap 'exit 12' USR1; echo up; while :; do sleep 0.1; done",
            options=["--stop-signal", "USR1"],
        )  # fmt: skip
        until(lambda: engine.out("logs", name) == "up", "its output")
        engine("stop", "-t", "60", name)
        assert engine.inspect(name, ".State.ExitCode") == 12

    def test_kill(self, engine):
        name = engine.start("sh", "-c", "trap 'echo hup' HUP; echo up; while :; do sleep 0.1; done")
        until(lambda: engine.out("logs", name) == "up", "its output")
        engine("kill", "-s", "HUP", name)
        until(lambda: engine.out("logs", name) == "up\nhup", "what it says of the signal")
        engine("kill", name)
        assert engine.out("wait", name) == "137"
        done = engine("kill", name, check=False)
        assert done.returncode != 0
        assert "running" in done.stderr

    def test_pause(self, engine):
        name = engine.start("sh", "-c", "while :; do echo x; sleep 0.05; done")
        until(lambda: engine.out("logs", name), "its output")
        engine("pause", name)
        assert engine.inspect(name, ".State.Status") == "paused"
        # The last lines may still be on their way.
        until(lambda: quiet(engine, name), "silence")
        before = engine.out("logs", name)
        assert engine("exec", name, "true", check=False).returncode != 0
        engine("unpause", name)
        assert engine.inspect(name, ".State.Status") == "running"
        until(lambda: engine.out("logs", name) != before, "more output")

    def test_a_paused_one_is_removed_by_force(self, engine):
        name = engine.up()
        engine("pause", name)
        engine.remove(name)
        assert engine("inspect", name, check=False).returncode != 0


class TestLife:
    def test_it_is_made_then_started_and_attached_to(self, engine):
        name = engine.fresh()
        engine("create", "--network=none", "--name", name, "localhost/box", "sh", "-c", "echo out; exit 9")
        assert engine.inspect(name, ".State.Status") == "created"
        done = engine("start", "-a", name, check=False)
        assert (done.returncode, done.stdout) == (9, "out\n")

    def test_it_can_be_started_again(self, engine):
        name = engine.start("sh", "-c", "echo line; exit 1")
        engine.wait_for(name, ".State.Running", False)
        engine("start", name)
        engine.wait_for(name, ".State.Running", False)
        assert engine.out("logs", name) == "line\nline"
        name = engine.up()
        first = engine.inspect(name, ".State.Pid")
        engine("restart", "-t", "0", name)
        assert engine.inspect(name, ".State.Pid") != first
        assert engine("exec", name, "true").returncode == 0

    def test_restart_policy(self, engine):
        name = engine.start("sh", "-c", "echo again; exit 4", options=["--restart", "on-failure:2"])
        engine.wait_for(name, ".RestartCount", 2)
        engine.wait_for(name, ".State.Status", "exited")
        assert engine.out("logs", name).split() == ["again"] * 3
        assert engine.inspect(name, ".State.ExitCode") == 4

    def test_logs(self, engine):
        name = engine.start("sh", "-c", "echo one; echo two >&2; echo three")
        engine.wait_for(name, ".State.Running", False)
        done = engine("logs", name)
        assert (done.stdout, done.stderr) == ("one\nthree\n", "two\n")

    def test_processes_are_listed(self, engine):
        name = engine.start("sh", "-c", "sleep 1001 & exec sleep 1002")
        until(lambda: engine.out("top", name).count("sleep 100") == 2, "both programs")

    def test_use_is_told(self, engine):
        name = engine.up()
        told = json.loads(engine.out("stats", "--no-stream", "--format", "json", name))
        used = told[0] if isinstance(told, list) else told
        assert int(used.get("PIDs", used.get("pids"))) >= 1
        assert not (used.get("MemUsage", used.get("mem_usage"))).startswith("0B")

    def test_twenty_at_once(self, engine):
        command = engine.command("run", "--rm", "--network=none", "localhost/box", "sh", "-c", 'sleep 1; exit "$0"')
        started = [
            subprocess.Popen(
                engine.sandbox.argv(*command, str(code)), env=engine.sandbox.environment, stdin=subprocess.DEVNULL
            )
            for code in range(20)
        ]
        assert [each.wait(120) for each in started] == list(range(20))

    def test_killed_while_it_is_made(self, engine):
        for delay in (0.02, 0.05, 0.1, 0.2):
            name = engine.fresh()
            command = engine.command("run", "--network=none", "--name", name, "localhost/box", "sleep", "1000")
            running = subprocess.Popen(
                engine.sandbox.argv(*command), env=engine.sandbox.environment,
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip
            with pytest.raises(subprocess.TimeoutExpired):
                running.wait(delay)
            until(lambda name=name: engine("inspect", name, check=False).returncode == 0, "the container")
            # While it is being made, an engine may say that it can't be removed yet.
            until(lambda name=name: gone(engine, name), "the end of the container")
            assert running.wait(120) != 0


class TestLimits:
    def test_they_are_set_and_changed(self, engine):
        name = engine.up(options=["-m", "64m", "--cpus", "0.5", "--pids-limit", "30"])

        def limits():
            return [engine.out("exec", name, "sh", "-c", script) for script in _LIMITS.values()]

        assert limits() == [str(64 << 20), "30", "50000"]
        engine("update", "-m", "96m", "--memory-swap", "192m", "--cpus", "0.25", "--pids-limit", "40", name)
        assert limits() == [str(96 << 20), "40", "25000"]

    def test_every_limit_of_the_command_line(self, engine):
        if not Path("/sys/fs/cgroup/memory/memory.swappiness").exists():
            pytest.skip("some of them are of control groups of version 1; runs where there is that")
        options = {
            "-m=64m": ("memory/memory.limit_in_bytes", str(64 << 20)),
            "--memory-reservation=32m": ("memory/memory.soft_limit_in_bytes", str(32 << 20)),
            "--memory-swap=128m": ("memory/memory.memsw.limit_in_bytes", str(128 << 20)),
            "--memory-swappiness=40": ("memory/memory.swappiness", "40"),
            "--oom-kill-disable": ("memory/memory.oom_control", "oom_kill_disable 1"),
            "--cpu-period=50000": ("cpu/cpu.cfs_period_us", "50000"),
            "--cpu-quota=25000": ("cpu/cpu.cfs_quota_us", "25000"),
            "--cpu-shares=300": ("cpu/cpu.shares", "300"),
            "--cpuset-cpus=0": ("cpuset/cpuset.cpus", "0"),
            "--cpuset-mems=0": ("cpuset/cpuset.mems", "0"),
            "--pids-limit=40": ("pids/pids.max", "40"),
        }
        name = engine.up(options=[*options, "--device=/dev/null:/dev/other:r"])
        for file, value in options.values():
            assert engine.out("exec", name, "head", "-n1", f"/sys/fs/cgroup/{file}") == value
        told = engine("exec", name, "sh", "-c", "true < /dev/other && true > /dev/other", check=False)
        assert told.returncode == 0, "a default device may be written, whatever its name"

    def test_processors(self, engine):
        assert engine.said("nproc", options=["--cpuset-cpus", "0", "--cpu-shares", "512"]) == "1"

    def test_processes_are_counted(self, engine):
        script = "for i in 1 2 3 4 5 6 7 8 9; do sleep 100 & done; wait"
        done = engine.run("sh", "-c", script, options=["--pids-limit=5"])
        assert done.returncode != 0
        assert "fork" in done.stderr

    def test_want_of_memory_kills_and_is_told(self, engine):
        name = engine.start("tail", "/dev/zero", options=["-m", "32m", "--memory-swap", "32m"])
        engine.wait_for(name, ".State.Running", False)
        engine.wait_for(name, ".State.OOMKilled", True)
        assert engine.inspect(name, ".State.ExitCode") == 137
