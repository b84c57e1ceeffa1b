"""Terminals, descriptors and sockets: what crosses between the caller, the command and the container."""

import fcntl
import os
import select
import socket
import struct
import subprocess
import tempfile
import termios
from contextlib import contextmanager
from pathlib import Path

import pytest
from runtime_command.command import PATIENCE_S, Terminal, ended, until

from moby.testing.boxes import read_all, read_until

pytestmark = pytest.mark.slow


@pytest.fixture
def sockets():
    """A folder with a short name, as the address of a socket has few bytes."""
    with tempfile.TemporaryDirectory(prefix="s") as folder:
        yield Path(folder)


@contextmanager
def listening(path):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        listener.settimeout(PATIENCE_S)
        yield listener


def received(listener):
    """Return the descriptor that comes over the next connection."""
    connection, _ = listener.accept()
    with connection:
        connection.settimeout(PATIENCE_S)
        message, descriptors, _, _ = socket.recv_fds(connection, 4096, 4)
    assert message
    (fd,) = descriptors
    return fd


class TestConsoleSocket:
    def test_create(self, command, sockets):
        data = command.config(
            "sh", "-c", "tty; read line; echo got:$line", terminal=True, consoleSize={"height": 5, "width": 7}
        )
        with listening(sockets / "c") as listener:
            command("create", "-b", command.bundle(data=data), "--console-socket", sockets / "c", "--pid-file",
                    sockets / "pid", "box")  # fmt: skip
            master = received(listener)
        size = struct.unpack("HHHH", fcntl.ioctl(master, termios.TIOCGWINSZ, bytes(8)))
        assert size[:2] == (5, 7)
        command("start", "box")
        assert "/dev/pts/0" in read_until(master, "\n")
        os.write(master, b"word\n")
        assert "got:word" in read_all(master)
        os.close(master)
        assert ended(int((sockets / "pid").read_text())) == 0

    def test_run_detached_and_exec(self, command, sockets):
        script = "trap 'echo ouch' INT; echo up; while :; do sleep 0.05; done"
        with listening(sockets / "c") as listener:
            command(
                "run",
                "-d",
                "-b",
                command.bundle("sh", "-c", script, terminal=True),
                "--console-socket",
                sockets / "c",
                "box",
            )
            master = received(listener)
            read_until(master, "up")
            command(
                "exec",
                "--tty",
                "--detach",
                "--console-socket",
                sockets / "c",
                "--pid-file",
                sockets / "pid",
                "box",
                "tty",
            )
            other = received(listener)
        assert "/dev/pts/1" in read_all(other)
        assert ended(int((sockets / "pid").read_text())) == 0
        os.write(master, b"\x03")
        assert "ouch" in read_until(master, "ouch")
        os.close(other)
        os.close(master)

    def test_a_pidfd(self, command, sockets):
        with listening(sockets / "p") as listener:
            pid = command.created("box", "sh", "-c", "exit 3", options=["--pidfd-socket", sockets / "p"])
            fd = received(listener)
            command("start", "box")
            assert select.select([fd], [], [], PATIENCE_S)[0]
            os.close(fd)
        assert ended(pid) == 3


class TestOwnTerminal:
    def test_run(self, command):
        script = "trap 'echo resized' WINCH; echo up; read a; echo got:$a; read b; exit 4"
        terminal = Terminal(command, "run", "-b", command.bundle("sh", "-c", script, terminal=True), "box")
        terminal.until("up")
        os.write(terminal.master, b"word\r")
        terminal.until("got:word")
        terminal.resize(40, 50)
        terminal.until("resized")
        os.write(terminal.master, b"\r")
        assert terminal.code() == 4

    def test_the_container_s_terminal_has_our_size_and_keys(self, command):
        script = "trap 'echo ouch; exit 8' INT; echo up; while :; do sleep 0.05; done"
        terminal = Terminal(command, "run", "-b", command.bundle("sh", "-c", script, terminal=True), "box")
        terminal.until("up")
        os.write(terminal.master, b"\x03")
        terminal.until("ouch")
        assert terminal.code() == 8

    def test_the_mode_is_given_back(self, command):
        terminal = Terminal(command, "run", "-b", command.bundle("echo", "up", terminal=True), "box")
        terminal.until("up")
        assert terminal.process.wait(PATIENCE_S) == 0
        assert termios.tcgetattr(terminal.master)[3] == terminal.before[3]
        os.close(terminal.master)

    def test_exec(self, command):
        command.sleeping()
        terminal = Terminal(command, "exec", "-t", "box", "sh", "-c", "tty; exit 6")
        terminal.until("/dev/pts/0")
        assert terminal.code() == 6

    def test_much_output(self, command):
        terminal = Terminal(
            command,
            "run",
            "-b",
            command.bundle("sh", "-c", "i=0; while [ $i -lt 5000 ]; do echo line$i; i=$((i+1)); done", terminal=True),
            "box",
        )
        assert "line4999" in terminal.until("line4999\r\n")
        assert terminal.code() == 0


class TestMoreDescriptors:
    def test_preserved(self, command):
        read, write = os.pipe()
        (command.folder / "words").write_text("from 3\n")
        words = os.open(command.folder / "words", os.O_RDONLY)
        listing = "cat <&3; ls /proc/self/fd >&4"
        bundle = command.bundle("sh", "-c", listing)

        def place():
            high = [fcntl.fcntl(fd, fcntl.F_DUPFD, 50) for fd in (words, write)]
            for number, fd in enumerate(high, start=3):
                os.dup2(fd, number)

        process = command.begin("run", "--preserve-fds", "2", "-b", bundle, "box", preexec_fn=place, close_fds=False)
        os.close(write)
        os.close(words)
        with process, os.fdopen(read) as file:
            out, err = process.communicate(timeout=PATIENCE_S)
            assert (process.returncode, out) == (0, b"from 3\n"), err
            # ls has its own of the folder; nothing else of ours comes in.
            assert [int(word) for word in file.read().split()] == [0, 1, 2, 3, 4, 5]

    def test_of_an_exec(self, command):
        command.sleeping()
        read, write = os.pipe()
        process = command.begin(
            "exec", "--preserve-fds", "1", "box", "sh", "-c", "echo through >&3",
            preexec_fn=lambda: os.dup2(write, 3) if write != 3 else os.set_inheritable(3, True), close_fds=False,
        )  # fmt: skip
        os.close(write)
        with process, os.fdopen(read) as file:
            assert process.wait(PATIENCE_S) == 0, process.stderr.read()
            assert file.read() == "through\n"

    def test_none_but_those_asked_for(self, command):
        extra = os.open("/etc/passwd", os.O_RDONLY)
        os.set_inheritable(extra, True)
        done = command("run", "-b", command.bundle("ls", "/proc/self/fd"), "box", close_fds=False)
        os.close(extra)
        assert done.stdout.split() == ["0", "1", "2", "3"]

    def test_sockets_of_a_service_manager(self, command, sockets):
        script = 'echo "$LISTEN_FDS,$LISTEN_PID"; stat -L -c %F /proc/self/fd/3'
        argv = command.argv("run", "-b", command.bundle("sh", "-c", script), "box")
        with listening(sockets / "l") as listener:
            activate = f'exec 3<&{listener.fileno()}; LISTEN_FDS=1 LISTEN_PID=$$ exec "$@"'
            done = subprocess.run(
                ["bash", "-c", activate, "bash", *argv], pass_fds=[listener.fileno()], capture_output=True, text=True,
                timeout=PATIENCE_S, check=False, **command.options(),
            )  # fmt: skip
        assert (done.returncode, done.stdout) == (0, "1,1\nsocket\n"), done.stderr

    def test_sockets_of_another_process_are_not_ours(self, command):
        env = {"LISTEN_FDS": "1", "LISTEN_PID": "1"}
        done = command("run", "-b", command.bundle("sh", "-c", "echo ${LISTEN_FDS-none}"), "box", env=env)
        assert done.stdout == "none\n"

    def test_closed_streams(self, command):
        argv = command.argv("run", "-b", command.bundle("ls", "/proc/self/fd"), "box")
        closed = 'exec "$@" <&- 2>&-'
        done = subprocess.run(
            ["sh", "-c", closed, "sh", *argv], capture_output=True, text=True, timeout=PATIENCE_S, check=False,
            **command.options(),
        )  # fmt: skip
        assert (done.returncode, done.stdout.split()) == (0, ["0", "1", "2", "3"])

    @pytest.mark.parametrize("words", [["state", "nosuch"], ["--frob"], ["frobnicate"]])
    def test_an_error_that_nobody_hears(self, command, words):
        argv = command.argv(*words)
        closed = 'exec "$@" <&- >&- 2>&-'
        done = subprocess.run(["sh", "-c", closed, "sh", *argv], timeout=PATIENCE_S, check=False, **command.options())
        assert done.returncode == 1


class TestServiceManager:
    """NOTIFY_SOCKET: the container says that it is ready to a socket of ours, and we pass it on."""

    SCRIPT = """
import os, socket, sys
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
    s.connect(os.environ["NOTIFY_SOCKET"])
    s.send(b"STATUS=starting")
    s.send(b"READY=1")
"""

    @pytest.fixture
    def manager(self, sockets):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind(str(sockets / "manager"))
            manager.settimeout(PATIENCE_S)
            yield manager

    @staticmethod
    def say_ready(command):
        """Say READY=1 to the socket that the container `box` sees."""
        path = command.root / "box" / "notify"
        fd = os.open(path, os.O_PATH | os.O_DIRECTORY)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as said:
            until((path / "notify.sock").exists, "the socket")
            said.connect(f"/proc/self/fd/{fd}/notify.sock")
            said.send(b"STATUS=soon")
            said.send(b"READY=1")
        os.close(fd)

    @staticmethod
    def heard(manager):
        """Return what came, and let go of the barrier that follows."""
        message = manager.recv(4096)
        barrier, descriptors, _, _ = socket.recv_fds(manager, 4096, 4)
        assert barrier == b"BARRIER=1"
        for fd in descriptors:
            os.close(fd)
        return message

    def test_create_and_start(self, command, sockets, manager):
        env = {"NOTIFY_SOCKET": str(sockets / "manager")}
        bundle = command.bundle("sh", "-c", "echo $NOTIFY_SOCKET >/tmp/where; exec sleep 1000")
        command("create", "-b", bundle, "box", env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        process = command.begin("start", "box", env=env)
        with process:
            self.say_ready(command)
            assert self.heard(manager) == b"MAINPID=%d\nREADY=1" % command.state("box")["pid"]
            assert process.wait(PATIENCE_S) == 0
        inside = command("exec", "box", "sh", "-c", "cat /tmp/where; stat -c %F /run/notify/notify.sock")
        assert inside.stdout == "/run/notify/notify.sock\nsocket\n"

    def test_a_program_that_ends_before(self, command, sockets, manager):
        env = {"NOTIFY_SOCKET": str(sockets / "manager")}
        done = command("run", "-d", "-b", command.bundle("true"), "box", env=env)
        assert done.returncode == 0

    def test_run_in_the_foreground(self, command, sockets, manager):
        env = {"NOTIFY_SOCKET": str(sockets / "manager")}
        process = command.begin("run", "-b", command.bundle("sh", "-c", "read x"), "box", env=env)
        with process:
            until((command.root / "box" / "notify" / "notify.sock").exists, "the socket")
            self.say_ready(command)
            assert self.heard(manager) == b"MAINPID=%d\nREADY=1" % process.pid
            process.communicate(b"\n", timeout=PATIENCE_S)
            assert process.returncode == 0

    def test_started_without_what_it_was_made_with(self, command, sockets, manager):
        pid = command.created("box", "true")
        command("start", "box", env={"NOTIFY_SOCKET": str(sockets / "manager")})
        assert ended(pid) == 0
