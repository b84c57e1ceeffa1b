"""What goes wrong, in the words, the log and the exit codes that engines read; nothing is left behind."""

import json
import os
import re
import socket
import subprocess
from pathlib import Path

import pytest
from runtime_command.command import ended

pytestmark = pytest.mark.slow


class TestTheLog:
    def test_json_lines(self, command):
        log = command.folder / "log"
        done = command("--log", log, "--log-format", "json", "state", "nosuch", check=False)
        assert done.returncode == 1
        assert done.stdout == ""
        assert done.stderr == "there is no container 'nosuch': container does not exist\n"
        (line,) = log.read_text().splitlines()
        told = json.loads(line)
        assert list(told) == ["level", "msg", "time"]
        assert (told["level"], told["msg"]) == ("error", done.stderr.rstrip("\n"))
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", told["time"])

    def test_text_lines_are_appended(self, command):
        log = command.folder / "log"
        for _ in range(2):
            command("--log", log, "state", "nosuch", check=False)
        for line in log.read_text().splitlines():
            assert re.fullmatch(r'time="[^"]+" level=error msg="there is no container \'nosuch\': .*"', line)
        assert len(log.read_text().splitlines()) == 2

    def test_without_a_file_it_is_standard_error(self, command):
        done = command("state", "nosuch", check=False)
        assert done.stderr.startswith('time="')
        assert done.stderr.count("\n") == 1

    def test_quotes_are_escaped(self, command):
        done = command("state", 'no"such\\', check=False)
        assert "level=error" in done.stderr
        assert '\\"such' in done.stderr

    def test_debug(self, command):
        done = command("--debug", "list")
        assert "level=debug" in done.stderr
        assert "Traceback" in command("--debug", "state", "nosuch", check=False).stderr

    def test_a_log_that_can_t_be_opened(self, command):
        done = command("--log", command.folder / "no" / "log", "list", check=False)
        assert done.returncode == 1
        assert "no such file or directory" in done.stderr

    def test_a_full_log_hides_nothing(self, command):
        done = command("--log", "/dev/full", "state", "nosuch", check=False)
        assert "container does not exist" in done.stderr


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--log-format", "xml", "list"], "invalid log-format: xml"),
        (["--root", "/", "list"], "--root can't be /"),
        (["--rootless", "perhaps", "list"], "--rootless takes true, false or auto, not 'perhaps'"),
        (["--nonsense", "list"], "flag provided but not defined: --nonsense"),
        (["frobnicate"], "there is no verb 'frobnicate'"),
        (["state"], '"state" requires at least 1 argument(s)'),
        (["state", "a", "b"], '"state" takes at most 1 argument(s)'),
        (["state", ""], "container id cannot be empty"),
        (["kill", "a", "b", "c"], '"kill" takes at most 2 argument(s)'),
        (["create", "--frob", "a"], "flag provided but not defined: --frob"),
    ],
)
def test_wrong_usage(command, words, told):
    done = command(*words, check=False)
    assert done.returncode == 1
    assert done.stdout == ""
    assert told in done.stderr
    assert "--help" in done.stderr


@pytest.mark.parametrize("verb", ["start", "state", "kill", "pause", "resume", "update", "events", "ps", "delete"])
def test_no_such_container(command, verb):
    assert "container does not exist" in command.error(verb, "nosuch")


def test_no_such_container_to_exec_in(command):
    assert "container does not exist" in command.error("exec", "nosuch", "true", code=255)


class TestWrongState:
    def test_the_id_is_taken(self, command):
        command.created("box", "true")
        told = command.error("create", "-b", command.bundle("true"), "box")
        assert told == "create failed: there is a container 'box' already (delete it, or take another id)"

    def test_running(self, command):
        command.sleeping()
        assert "is running, so it can't be started" in command.error("start", "box")
        assert "is running (kill it first, or force it)" in command.error("delete", "box")
        assert "is running, so it can't be resumed" in command.error("resume", "box")

    def test_created(self, command):
        command.created("box", "true")
        assert "only in a running one" in command.error("exec", "box", "true", code=255)
        assert "is created, so it can't be paused" in command.error("pause", "box")

    def test_paused(self, command):
        command.sleeping()
        command("pause", "box")
        assert "cannot exec in a paused container" in command.error("exec", "box", "true", code=255)

    def test_stopped(self, command):
        ended(command.started("box", "true"))
        assert "container not running" in command.error("kill", "box", "KILL")
        assert "cannot exec in a stopped container" in command.error("exec", "box", "true", code=255)
        assert "is stopped, so it can't be started" in command.error("start", "box")
        assert "is not running" in command.error("events", "box")
        assert "has stopped" in command.error("update", "--pids-limit", "5", "box")


class TestPrograms:
    """The words by which docker and podman choose 126 and 127."""

    @pytest.fixture
    def programs(self, command):
        data = command.config("true")
        folder = command.folder / "programs"
        folder.mkdir()
        folder.chmod(0o755)
        (folder / "plain").write_text("echo x\n")
        data["mounts"].append({"destination": "/programs", "source": str(folder), "options": ["bind"]})
        return data

    @pytest.mark.parametrize(
        ("program", "words"),
        [
            ("nosuch", "executable file not found in $PATH"),
            ("/nosuch", "no such file or directory"),
            ("/programs", "permission denied"),
            ("/programs/plain", "permission denied"),
        ],
    )
    def test_run(self, command, programs, program, words):
        programs["process"]["args"] = [program]
        told = command.error("run", "-b", command.bundle(data=programs), "box")
        assert told.startswith("run failed: ")
        assert words in told
        assert repr(program) in told
        assert command.ids() == []

    @pytest.mark.parametrize(
        ("program", "words"),
        [("nosuch", "executable file not found in $PATH"), ("/nosuch", "no such file or directory"),
         ("/programs/plain", "permission denied")],
    )  # fmt: skip
    def test_exec(self, command, programs, program, words):
        programs["process"]["args"] = ["sleep", "1000"]
        command("run", "-d", "-b", command.bundle(data=programs), "box", stdout=subprocess.DEVNULL, stderr=None)
        told = command.error("exec", "box", program, code=255)
        assert told.startswith("exec failed: ")
        assert words in told

    def test_start(self, command, programs):
        """The program goes between the two steps."""
        file = command.folder / "programs" / "plain"
        file.chmod(0o755)
        programs["process"]["args"] = ["/programs/plain"]
        command("create", "-b", command.bundle(data=programs), "box", stdout=subprocess.DEVNULL, stderr=None)
        file.unlink()
        told = command.error("start", "box")
        assert told.startswith("start failed: ")
        assert "no such file or directory" in told
        assert command.status("box") == "stopped"


class TestBundles:
    def test_no_bundle(self, command):
        assert "there is no bundle at /nosuch" in command.error("create", "-b", "/nosuch", "box")

    def test_no_config(self, command):
        assert "has no config.json" in command.error("create", "-b", command.folder, "box")

    def test_the_field_is_named(self, command):
        data = command.config("true")
        data["process"]["cwd"] = "here"
        data["hostname"] = 5
        told = command.error("run", "-b", command.bundle(data=data), "box")
        assert "hostname must be a string" in told
        assert command.ids() == []

    def test_an_id_that_can_t_be(self, command):
        for name in ("../x", ".", "a/b", "-" * 300):
            assert "can't be the id" in command.error("create", "-b", command.bundle("true"), "--", name)


class TestFlags:
    @pytest.mark.parametrize(
        ("words", "told"),
        [
            (["list", "--format", "yaml"], "invalid format option 'yaml'"),
            (["ps", "--format", "yaml", "box"], "invalid format option 'yaml'"),
            (["kill", "box", "FROB"], "unknown signal 'FROB'"),
            (["kill", "box", "6500"], "unknown signal '6500'"),
            (["events", "--interval", "soon", "box"], "--interval 'soon' is no duration"),
            (["events", "--interval", "0s", "box"], "--interval must be greater than 0"),
            (["update", "--memory", "lots", "box"], "invalid value for memory: 'lots' is no size"),
            (["update", "--cpu-share", "-5", "box"], "invalid value for cpu-share: '-5' is no number"),
            (["update", "--cpu-quota", "half", "box"], "invalid value for cpu-quota: 'half' is no number"),
            (["update", "--l3-cache-schema", "x", "box"], "has no resctrl group (set linux.intelRdt"),
            (["update", "--resources", "/nosuch", "box"], "--resources file /nosuch isn't there"),
            (["update", "--resources", "-", "box"], "--resources file - is no JSON"),
            (["checkpoint", "--lazy-pages", "box"], "has no --lazy-pages for checkpoints"),
            (["checkpoint", "--manage-cgroups-mode", "full", "box"], "support --manage-cgroups-mode full"),
            (["restore", "--empty-ns", "ipc", "box"], "has no --empty-ns ipc"),
            (["restore", "--bundle", "/nosuch", "box"], "there is no bundle at /nosuch"),
            (["spec", "--bundle", "/nosuch"], "there is no folder /nosuch"),
            (["ps", "box", "-o", "args"], "couldn't find PID field"),
            (["ps", "box", "--frobnicate"], "ps refuses: "),
        ],
    )
    def test_a_wrong_value(self, command, words, told):
        if "box" in words:
            command.sleeping()
        assert told in command.error(*words)

    def test_resources_that_are_no_object(self, command):
        assert "has no JSON object" in command.error("update", "-r", "-", "box", input="[]")

    def test_ps_needs_ps(self, command):
        command.sleeping()
        assert "ps isn't there" in command.error("ps", "box", env={"PATH": "/nosuch"})

    def test_a_config_is_not_overwritten(self, command):
        command("spec", "--bundle", command.folder)
        assert "is there already (remove it first)" in command.error("spec", "--bundle", command.folder)

    def test_memory_of_the_kernel_is_ignored(self, command):
        command.sleeping()
        assert "--kernel-memory is ignored" in command("update", "--kernel-memory", "5", "box").stderr

    @pytest.mark.parametrize(
        ("words", "told"),
        [
            (["box"], "there is no program to run"),
            (["--process", "/nosuch", "box"], "--process file /nosuch isn't there"),
            (["--process", "/dev/null", "box"], "--process file /dev/null is no JSON"),
            (["--process", "-", "box"], "--process file - has no JSON object"),
            (["--process", "-", "box", "true"], "no program may follow the id"),
            (["--user", "root", "box", "true"], "--user takes ids as numbers, not 'root'"),
            (["--user", "0:x", "box", "true"], "--user takes ids as numbers, not 'x'"),
            (["--additional-gids", "-1", "box", "true"], "--additional-gids takes ids as numbers, not '-1'"),
            (["--tty", "--detach", "box", "true"], "nobody gets the terminal"),
            (["--tty", "box", "true"], "there is no terminal here"),
            (["--console-socket", "/x", "box", "true"], "--console-socket is for a process with a terminal"),
            (["--preserve-fds", "2", "box", "true"], "descriptor 3, which --preserve-fds 2 is to pass on, is not open"),
            (["--preserve-fds", "-1", "box", "true"], "--preserve-fds must not be negative: -1"),
            (["--cgroup", "nosuch", "box", "true"], "the container has no control group"),
            (["--cgroup", "frob:x", "box", "true"], "no control group of the controller 'frob'"),
            (["--cgroup", ":x", "box", "true"], "--cgroup ':x' names no controller before the colon"),
            (["--cgroup", "a", "--cgroup", "b", "box", "true"], "--cgroup says twice what version 2 is to be in"),
        ],
    )
    def test_exec(self, command, words, told):
        command.sleeping()
        assert told in command.error("exec", *words, code=255, input="[]", start_new_session=True)

    def test_the_bundle_of_an_exec_has_gone(self, command):
        command.sleeping()
        config = Path(command.state("box")["bundle"]) / "config.json"
        config.unlink()
        assert "isn't there" in command.error("exec", "box", "true", code=255)
        config.write_text("{}")
        assert "has no process" in command.error("exec", "box", "true", code=255)


class TestNothingIsLeft:
    """Where the caller can't be told of a container, there is none."""

    def test_sockets_that_nobody_listens_on(self, command):
        terminal = command.bundle("true", terminal=True)
        told = command.error("create", "-b", terminal, "--console-socket", command.folder / "no", "box")
        assert "--console-socket" in told
        assert "No such file or directory" in told
        with socket.socket(socket.AF_UNIX) as deaf:
            deaf.bind(str(command.folder / "deaf"))
            told = command.error(
                "create", "-b", command.bundle("true"), "--pidfd-socket", command.folder / "deaf", "box"
            )
        assert "Connection refused" in told
        assert command.ids() == []

    def test_a_terminal_for_nobody(self, command):
        told = command.error("create", "-b", command.bundle("true", terminal=True), "box")
        assert "name a socket that takes it with --console-socket" in told
        assert "process.terminal" in told

    @pytest.mark.parametrize("verb", [["create"], ["run"], ["run", "--detach"]])
    def test_a_pid_file_that_can_t_be_written(self, command, verb):
        told = command.error(*verb, "-b", command.bundle("sleep", "1000"), "--pid-file", "/nosuch/pid", "box")
        assert "/nosuch/.pid: no such file or directory" in told
        assert command.ids() == []
        assert command.groups() == ()

    def test_of_an_exec_neither(self, command):
        command.sleeping()
        told = command.error("exec", "--detach", "--pid-file", "/nosuch/pid", "box", "sleep", "1000", code=255)
        assert "/nosuch/.pid: no such file or directory" in told
        assert len(json.loads(command("ps", "-f", "json", "box").stdout)) == 1

    def test_a_root_that_can_t_be_made(self, command):
        command.root.write_text("a file")
        told = command.error("create", "-b", command.bundle("true"), "box")
        assert "not a directory" in told.lower() or "file exists" in told.lower()
        command.root.unlink()

    def test_a_reader_that_has_gone(self, command):
        command.sleeping()
        read, write = os.pipe()
        os.close(read)
        done = command("list", stdout=write, check=False)
        os.close(write)
        assert done.returncode == 1
        assert "Traceback" not in done.stderr
