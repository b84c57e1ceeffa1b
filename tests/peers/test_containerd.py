"""containerd's own client runs containers with our runtime in place of runc."""

import re

import pytest
from peers.box import NAME
from peers.engines import choices
from peers.sandbox import TEMPORARY, until

pytestmark = [
    pytest.mark.usefixtures("tidy"),
    pytest.mark.parametrize("engine", choices("ctr"), indirect=True, scope="module"),
]


def status(engine, name):
    """What containerd says of a container's program."""
    for line in engine("tasks", "ls").stdout.splitlines():
        if line.split()[0] == name:
            return line.split()[2]
    return None


def up(engine, options=()):
    """Start a container that stays."""
    name = engine.start("sh", "-c", "trap 'exit 3' TERM; while :; do sleep 0.1; done", options=options)
    until(lambda: status(engine, name) == "RUNNING", "a running container")
    return name


class TestRun:
    @pytest.mark.parametrize("code", [0, 9, 255])
    def test_its_exit_code_is_the_programs(self, engine, code):
        assert engine.run("sh", "-c", f"exit {code}").returncode == code

    def test_output_input_environment_and_user(self, engine):
        script = 'read line; echo $line; echo "$A $PWD $(id -u)"; echo err >&2'
        options = ["--env", "A=1", "--cwd", "/tmp", "--user", "1000"]
        done = engine.run("sh", "-c", script, options=options, input="given\n")
        assert (done.stdout, done.stderr) == ("given\n1 /tmp 1000\n", "err\n")

    def test_terminal(self, engine):
        script = 'tty; until [ "$(stty size)" = "31 99" ]; do sleep 0.05; done; echo sized; read line; exit 4'
        terminal = engine.terminal(
            "run", "--rm", "-t", *engine.chosen(), NAME, engine.fresh(), "sh", "-c", script, rows=31, columns=99
        )
        assert "/dev/pts/0" in terminal.read_until("sized")
        terminal.write("\n")
        assert terminal.code() == 4

    def test_a_program_that_is_not_there(self, engine):
        done = engine.run("nonesuch")
        assert done.returncode != 0
        assert re.search(r"executable file.* not found in \$PATH", done.stderr)

    def test_confinement(self, engine):
        options = ["--seccomp", "--read-only", "--rootfs-propagation", "rprivate", "--memory-limit", "67108864"]
        done = engine.run("sh", "-c", "grep -E 'Seccomp:|NoNew' /proc/self/status; touch /x", options=options)
        assert done.stdout.split() == ["NoNewPrivs:", "1", "Seccomp:", "2"]
        assert "Read-only file system" in done.stderr


class TestTasks:
    def test_exec(self, engine):
        name = up(engine)
        done = engine(
            "tasks", "exec", "--exec-id", "one", "--cwd", "/tmp", name, "sh", "-c", "cat; pwd; exit 6",
            input="in\n", check=False,
        )  # fmt: skip
        assert (done.returncode, done.stdout) == (6, "in\n/tmp\n")
        terminal = engine.terminal("tasks", "exec", "--exec-id", "two", "-t", name, "sh", "-c", "tty; exit 7")
        terminal.read_until("/dev/pts/")
        assert terminal.code() == 7

    def test_exec_of_what_is_not_there(self, engine):
        done = engine("tasks", "exec", "--exec-id", "one", up(engine), "nonesuch", check=False)
        assert done.returncode != 0
        assert re.search(r"executable file.* not found in \$PATH", done.stderr)

    def test_kill_and_delete(self, engine):
        name = up(engine)

        def stopped():
            # Until the program has said what it does of it, the first of a namespace isn't sent the signal.
            engine("tasks", "kill", "-s", "SIGTERM", name, check=False)
            return status(engine, name) == "STOPPED"

        until(stopped, "its end")
        assert "exit code 3" in engine("tasks", "delete", name, check=False).stderr
        engine("containers", "rm", name)

    def test_pause(self, engine):
        name = up(engine)
        engine("tasks", "pause", name)
        assert status(engine, name) == "PAUSED"
        engine("tasks", "resume", name)
        assert status(engine, name) == "RUNNING"

    def test_processes_and_use(self, engine):
        name = up(engine)
        pids = [line.split()[0] for line in engine("tasks", "ps", name).stdout.splitlines()[1:]]
        first = next(line.split()[1] for line in engine("tasks", "ls").stdout.splitlines() if line.startswith(name))
        assert first in pids
        used = engine("tasks", "metrics", name).stdout
        assert re.search(r"memory.usage_in_bytes\s+[1-9]|memory\.current\s+[1-9]", used)
        assert re.search(r"pids.current\s+[1-9]", used)

    def test_the_kernels_killing_is_an_event(self, engine):
        events = TEMPORARY / "events"
        engine.sandbox.run("sh", "-c", f": >{events}; ctr events >{events} 2>&1 & echo $! >{events}.pid")
        seen = engine.sandbox.seen(events)

        def listens():
            engine("namespaces", "label", "default", "said=again")
            return "/namespaces/update" in seen.read_text()

        until(listens, "an event that comes")
        options = ["--memory-limit", "33554432"]
        # It listens for that only once the program runs.
        done = engine.run("sh", "-c", "sleep 1; exec tail /dev/zero", options=options)
        assert done.returncode == 137
        until(lambda: "/tasks/oom" in seen.read_text(), "the event of the kernel's killing")
        engine.sandbox.run("sh", "-c", f"kill $(cat {events}.pid)")
