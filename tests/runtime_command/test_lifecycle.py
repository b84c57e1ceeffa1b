"""Verbs in the order of a container's life, as conmon and containerd's shim call them."""

import json
import os
import re
import signal
import subprocess
from pathlib import Path

import pytest
from runtime_command.command import ended, until

from moby.host.cgroups import hierarchies
from moby.testing.runtime_limits import FILLING

pytestmark = pytest.mark.slow


class TestLife:
    def test_from_create_to_delete(self, command):
        pid = command.created("box", "sh", "-c", "exit 7")
        made = command.state("box")
        assert (made["id"], made["pid"], made["status"]) == ("box", pid, "created")
        command("start", "box")
        assert ended(pid) == 7
        stopped = command.state("box")
        assert (stopped["pid"], stopped["status"]) == (0, "stopped")
        command("delete", "box")
        assert command.ids() == []

    def test_its_first_process_becomes_the_next_subreaper_s(self, command):
        pid = command.sleeping()
        stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        assert int(stat[1]) == os.getpid()
        assert command.status("box") == "running"

    def test_the_streams_of_create_are_the_program_s(self, command):
        read, write = os.pipe()
        bundle = command.bundle("sh", "-c", "cat; echo out; echo err >&2")
        command("create", "-b", bundle, "box", stdout=write, stderr=write, stdin=subprocess.DEVNULL)
        os.close(write)
        command("start", "box")
        with os.fdopen(read) as file:
            assert sorted(file.read().split()) == ["err", "out"]

    def test_state_is_as_runc_has_it(self, command):
        data = command.config("sleep", "1000")
        data["annotations"] = {"org.example": "yes"}
        bundle = command.bundle(data=data)
        command("run", "-d", "-b", bundle, "box", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        state = command.state("box")
        assert list(state) == [
            "ociVersion", "id", "pid", "status", "bundle", "rootfs", "created", "annotations", "owner"
        ]  # fmt: skip
        assert (state["bundle"], state["rootfs"]) == (str(bundle), str(bundle / "rootfs"))
        assert state["annotations"] == {"org.example": "yes"}
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z", state["created"])

    def test_the_bundle_is_the_current_folder(self, command):
        done = command("run", "box", cwd=command.bundle("echo", "here"))
        assert done.stdout == "here\n"

    def test_a_container_that_never_started_is_deleted_without_force(self, command):
        pid = command.created("box", "true")
        command("delete", "box")
        assert ended(pid) == 137
        assert command.ids() == []

    def test_delete_by_force_of_what_isn_t_there(self, command):
        command("delete", "--force", "box")

    def test_signals_by_name_and_number(self, command):
        script = "trap 'exit 3' USR1; trap 'exit 4' TERM; echo >/tmp/up; while :; do sleep 0.05; done"
        for wanted, names in {3: ("SIGUSR1",), 4: (), 137: ("9",)}.items():
            pid = command.started("box", "sh", "-c", script)
            until(lambda: command("exec", "box", "ls", "/tmp/up", check=False).returncode == 0, "the traps")
            command("kill", "box", "0")
            command("kill", "box", *names)
            assert ended(pid) == wanted
            command("delete", "box")

    def test_kill_all_of_a_stopped_one_is_fine(self, command):
        pid = command.sleeping()
        command("kill", "--all", "box", "KILL")
        assert ended(pid) == 137
        command("kill", "--all", "box", "KILL")

    def test_exec_in_a_paused_container_waits_for_its_resume(self, command):
        command.sleeping()
        command("pause", "box")
        waiting = command.begin("exec", "--ignore-paused", "box", "sh", "-c", "echo in; exit 3")
        until(lambda: Path(f"/proc/{waiting.pid}/task/{waiting.pid}/children").read_text(), "its process")
        assert waiting.poll() is None
        assert command.status("box") == "paused"
        command("resume", "box")
        out, _ = waiting.communicate(timeout=60)
        assert (waiting.returncode, out) == (3, b"in\n")

    def test_a_group_below_one_of_the_folder_s_is_used_and_goes_with_it(self, command):
        """As containers of earlier releases have theirs, and those whose bundle names one that begins with no slash."""
        if command.rootless:
            pytest.skip("an ordinary user has no control groups here; runs as root")
        data = command.config("sleep", "1000")
        data["linux"]["cgroupsPath"] = "box"
        streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        command("run", "--detach", "--bundle", command.bundle(data=data), "box", **streams)
        assert all(re.search("-[0-9a-f]{8}(/box)?$", each) for each in command.groups())
        command("pause", "box")
        assert command.status("box") == "paused"
        command("resume", "box")
        command("delete", "--force", "box")
        assert command.groups() == ()

    def test_pause_and_resume(self, command):
        command.sleeping()
        command("pause", "box")
        assert command.status("box") == "paused"
        command("resume", "box")
        assert command.status("box") == "running"


class TestForeground:
    @pytest.mark.parametrize("code", [0, 1, 42, 255])
    def test_run_ends_as_its_program(self, command, code):
        done = command(
            "run", "-b", command.bundle("sh", "-c", f"echo out; echo err >&2; exit {code}"), "box", check=False
        )
        assert (done.returncode, done.stdout, done.stderr) == (code, "out\n", "err\n")
        assert command.ids() == []

    def test_input_comes_in(self, command):
        text = "x" * 300_000
        assert command("run", "-b", command.bundle("cat"), "box", input=text).stdout == text

    def test_run_that_keeps(self, command):
        command("run", "--keep", "-b", command.bundle("true"), "box")
        assert command.status("box") == "stopped"

    def test_run_in_place_of_another(self, command):
        """What a killed `run` left, its container too; and where nothing is, it is as without the flag."""
        with command.begin("run", "-b", command.bundle("sleep", "1000"), "box") as process:
            until(
                lambda: command("state", "box", check=False).returncode == 0 and command.status("box") == "running",
                "it",
            )
            process.kill()
        again = ("run", "-b", command.bundle("echo", "new"), "box")
        assert "box" in command(*again, check=False).stderr
        for _ in range(2):
            assert command(again[0], "--replace", *again[1:]).stdout == "new\n"
        assert command.ids() == []

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR2])
    def test_signals_are_passed_on(self, command, number):
        name = signal.Signals(number).name.removeprefix("SIG")
        script = f"trap 'echo got; exit 5' {name}; echo up; while :; do sleep 0.05; done"
        process = command.begin("run", "-b", command.bundle("sh", "-c", script), "box")
        with process:
            assert process.stdout.readline() == b"up\n"
            process.send_signal(number)
            assert process.stdout.readline() == b"got\n"
            assert process.wait(60) == 5

    def test_a_program_that_is_killed(self, command):
        process = command.begin("run", "-b", command.bundle("sleep", "1000"), "box")
        with process:
            until(
                lambda: command("state", "box", check=False).returncode == 0 and command.status("box") == "running",
                "it",
            )
            command("kill", "box", "KILL")
            assert process.wait(60) == 137

    def test_nohup_s_signal_stays_ignored(self, command):
        script = "trap 'exit 6' HUP; echo up; while :; do sleep 0.05; done"
        process = command.begin(
            "run", "-b", command.bundle("sh", "-c", script), "box",
            preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN),
        )  # fmt: skip
        with process:
            assert process.stdout.readline() == b"up\n"
            process.send_signal(signal.SIGHUP)
            command("kill", "box", "KILL")
            assert process.wait(60) == 137

    def test_a_pid_file(self, command):
        path = command.folder / "pid"
        process = command.begin("run", "--pid-file", path, "-b", command.bundle("sleep", "1000"), "box")
        with process:
            until(path.exists, "the pid file")
            assert int(path.read_text()) == command.state("box")["pid"]
            command("kill", "box", "KILL")
            assert process.wait(60) == 137


class TestExec:
    @pytest.fixture(autouse=True)
    def box(self, command):
        command.sleeping()

    def test_output_and_exit_code(self, command):
        done = command("exec", "box", "sh", "-c", "echo out; echo err >&2; exit 9", check=False)
        assert (done.returncode, done.stdout, done.stderr) == (9, "out\n", "err\n")

    def test_flags_of_the_program_are_its_own(self, command):
        assert command("exec", "box", "echo", "--detach", "-t").stdout == "--detach -t\n"
        assert command("exec", "--", "box", "echo", "-d").stdout == "-d\n"

    def test_what_flags_change(self, command):
        flags = ["--cwd", "/tmp", "-e", "FOO=bar", "--env", "BAR=", "--no-new-privs=false"]
        done = command("exec", *flags, "box", "sh", "-c", 'echo "$PWD,$FOO,${BAR-none},$HOME"')
        assert done.stdout == "/tmp,bar,,/root\n"

    def test_user_and_groups(self, command):
        if command.rootless:
            pytest.skip("other users are for root; runs as root")
        text = command("exec", "--user", "5:6", "--additional-gids", "7", "-g", "8", "box", "id").stdout
        assert text.startswith("uid=5 gid=6 groups=6,7,8")

    def test_capabilities_are_added(self, command):
        read = [
            "sh",
            "-c",
            "while read name value; do case $name in CapBnd:) echo $value;; esac; done </proc/self/status",
        ]
        before, after = (
            int(command("exec", *flags, "box", *read).stdout, 16) for flags in ([], ["--cap", "CAP_SYS_TIME"])
        )
        assert after & ~before == 1 << 25

    def test_control_groups_below(self, command):
        if command.rootless:
            pytest.skip("an ordinary user has no control groups here; runs as root")
        tree = next(each for each in hierarchies() if each.writable and "pids" in each.controllers)
        (own,) = [each for each in command.groups() if each.startswith(f"{tree.mount}/") and each.endswith("-box")]
        Path(own, "lower").mkdir()
        before = "" if tree.version == 2 else "pids:"
        for path in ("lower", "/lower", "../../lower"):
            done = command("exec", "--cgroup", f"{before}{path}", "box", "cat", "/proc/self/cgroup")
            assert f":{before}/lower\n" in done.stdout if before else "0::/lower\n" in done.stdout
        assert "lower" not in command("exec", "box", "cat", "/proc/self/cgroup").stdout
        told = command.error("exec", "--cgroup", f"{before}upper", "box", "true", code=255)
        assert "has no control group 'upper' (a process inside makes it, with mkdir)" in told

    def test_a_whole_process(self, command):
        path = command.folder / "process.json"
        process = command.config("sh", "-c", 'echo "$X"; exit 3', env=["PATH=/bin", "X=y"])["process"]
        path.write_text(json.dumps(process))
        for flag in ("--process", "-p"):
            done = command("exec", flag, path, "box", check=False)
            assert (done.returncode, done.stdout) == (3, "y\n")
        assert command("exec", "-p", "-", "box", input=json.dumps(process), check=False).returncode == 3

    def test_detached(self, command):
        path = command.folder / "exec.pid"
        read, write = os.pipe()
        process = command.begin(
            "exec", "--detach", "--pid-file", path, "box", "sh", "-c", "echo in; exit 4", stdout=write
        )
        os.close(write)
        with process, os.fdopen(read) as file:
            assert process.wait(60) == 0
            assert ended(int(path.read_text())) == 4
            assert file.read() == "in\n"


class TestTelling:
    def test_list(self, command):
        assert command("list").stdout == "ID          PID         STATUS      BUNDLE      CREATED     OWNER\n"
        assert command("list", "--format", "json").stdout == "null\n"
        pid = command.sleeping("one")
        command.created("two", "true")
        title, first, second = command("list").stdout.splitlines()
        assert title.split() == ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"]
        assert first.split()[:3] == ["one", str(pid), "running"]
        assert second.split()[2] == "created"
        assert first.split()[5] == "root" or command.rootless
        assert title.index("PID") == first.index(str(pid))
        both = json.loads(command("list", "-f", "json").stdout)
        assert [(each["id"], each["status"]) for each in both] == [("one", "running"), ("two", "created")]
        assert command("list", "--quiet").stdout == "one\ntwo\n"

    def test_a_record_that_can_t_be_read_hides_no_other(self, command):
        command.sleeping("one")
        (command.root / "two").mkdir()
        (command.root / "two" / "state.json").write_text("{")
        done = command("list", "-f", "json")
        assert [each["id"] for each in json.loads(done.stdout)] == ["one"]
        assert "two" in done.stderr
        (command.root / "two" / "state.json").unlink()
        assert command("delete", "--force", "two").returncode == 0

    def test_ps(self, command):
        pid = command.sleeping()
        assert command("ps", "--format", "json", "box").stdout == f"[{pid}]\n"
        title, line = command("ps", "box").stdout.splitlines()
        assert "PID" in title
        assert line.split()[title.split().index("PID")] == str(pid)
        assert command("ps", "box", "-e", "-o", "pid,args").stdout.split() == [
            "PID",
            "COMMAND",
            str(pid),
            "sleep",
            "1000",
        ]

    def test_events_once(self, command):
        command.sleeping()
        (line,) = command("events", "--stats", "box").stdout.splitlines()
        event = json.loads(line)
        assert (event["type"], event["id"]) == ("stats", "box")
        data = event["data"]
        assert list(data) == [
            "cpu", "cpuset", "memory", "pids", "blkio", "hugetlb", "intel_rdt", "network_interfaces"
        ]  # fmt: skip
        assert data["pids"]["current"] == 1
        assert data["memory"]["usage"]["usage"] > 0
        assert data["cpu"]["usage"]["total"] > 0

    def test_events_to_the_end(self, command):
        pid = command.sleeping()
        process = command.begin("events", "--interval", "50ms", "box")
        with process:
            for _ in range(2):
                assert json.loads(process.stdout.readline())["type"] == "stats"
            command("kill", "box", "KILL")
            ended(pid)
            process.stdout.read()
            assert process.wait(60) == 0

    def test_update(self, command):
        command.sleeping()
        command(
            "update", "--memory", "64m", "--pids-limit", "20", "--cpu-quota", "20000", "--cpu-period", "100000", "box"
        )
        data = json.loads(command("events", "--stats", "box").stdout)["data"]
        assert (data["memory"]["usage"]["limit"], data["pids"]["limit"]) == (64 << 20, 20)
        command("update", "--resources", "-", "box", input='{"pids": {"limit": 30}, "memory": {}, "blockIO": null}')
        path = command.folder / "resources.json"
        path.write_text('{"memory": {"limit": 33554432}}')
        command("update", "-r", path, "box")
        data = json.loads(command("events", "--stats", "box").stdout)["data"]
        assert (data["memory"]["usage"]["limit"], data["pids"]["limit"]) == (32 << 20, 30)

    def test_features(self, command):
        data = json.loads(command("features").stdout)
        assert data["ociVersionMin"] == "1.0.0"
        assert {"pid", "mount", "user"} <= set(data["linux"]["namespaces"])
        assert {"bind", "rbind", "ro", "rro", "rprivate"} <= set(data["mountOptions"])

    def test_version_and_help(self, command):
        first, spec, _ = command("--version").stdout.splitlines()
        assert first.startswith("moby-runtime version ")
        assert spec.startswith("spec: 1.")
        for words in ([], ["--help"], ["help"]):
            assert command(*words).stdout.startswith("usage: moby-runtime [FLAG...] VERB")
        for words in (["create", "--help"], ["help", "create"]):
            assert command(*words).stdout.startswith("usage: moby-runtime create [FLAG...] ID\n")

    def test_spec_is_a_bundle_s(self, command):
        bundle = command.folder / "new"
        bundle.mkdir()
        (bundle / "rootfs").symlink_to(command.bundles.rootfs)
        command("spec", "--bundle", bundle, *(["--rootless"] if command.rootless else []))
        data = json.loads((bundle / "config.json").read_text())
        assert data["process"]["args"] == ["sh"]
        data["process"] |= {"terminal": False, "args": ["echo", "well"], "env": ["PATH=/bin"]}
        (bundle / "config.json").write_text(json.dumps(data))
        assert command("run", "-b", bundle, "box").stdout == "well\n"


def test_events_tell_of_oom_kills(command):
    data = command.config(
        "sh", "-c", f"until [ -e /tmp/go ]; do sleep 0.05; done; sh -c '{FILLING}'; echo >/tmp/killed; exec sleep 1000"
    )
    data["linux"]["resources"] = {"memory": {"limit": 16 << 20}}
    streams = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    command("run", "-d", "-b", command.bundle(data=data), "box", **streams)
    process = command.begin("events", "--interval", "100ms", "box")
    with process:
        assert json.loads(process.stdout.readline())["type"] == "stats"
        command("exec", "box", "touch", "/tmp/go")
        for line in process.stdout:
            if json.loads(line) == {"type": "oom", "id": "box"}:
                break
        else:
            pytest.fail("no OOM kill was told")
        command("delete", "--force", "box")
        process.stdout.read()
        assert process.wait(60) == 0
