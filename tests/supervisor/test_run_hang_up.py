"""What becomes of a container whose terminal hangs up."""

import fcntl
import os
import pty
import signal
import termios
import time

import pytest
from moby_supervisor.run import terminal

from moby.testing.supervisor import read_until

pytestmark = pytest.mark.slow

LOOP = "echo ready; while :; do sleep 0.1; done"
GRACE_S = 0.3
LONG_S = 600
"""For who is to end by itself."""


def in_terminal(engine, *arguments, controlling=True, grace_s=GRACE_S, asked_grace_s=GRACE_S):
    """Start `run` with a terminal as its standard streams; return it and the master's descriptor."""
    master, slave = pty.openpty()
    take = (lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0)) if controlling else None
    environment = {**os.environ, "ENGINE_GRACE_S": str(grace_s), "ENGINE_ASKED_GRACE_S": str(asked_grace_s)}
    streams = {"stdin": slave, "stdout": slave, "stderr": slave}
    process = engine.start(*arguments, **streams, start_new_session=True, preexec_fn=take, env=environment)
    os.close(slave)
    read_until(master, b"ready")
    return process, master


@pytest.mark.parametrize(
    ("traps", "code", "graces"),
    [
        pytest.param("trap 'exit 7' HUP", 7, {"grace_s": LONG_S}, id="told"),
        pytest.param("trap '' HUP; trap 'exit 8' TERM", 8, {"asked_grace_s": LONG_S}, id="asked again"),
        pytest.param("trap '' HUP TERM", 128 + signal.SIGKILL, {}, id="killed"),
    ],
)
@pytest.mark.parametrize(
    ("options", "controlling"),
    [
        pytest.param(["-it"], True, id="interactive"),
        pytest.param(["-t"], True, id="output alone"),
        pytest.param([], True, id="no terminal inside"),
        pytest.param(["-it"], False, id="not the controlling one"),
    ],
)
def test_container_ends(isolating, options, controlling, traps, code, graces):
    command = ["demo", "sh", "-c", f"{traps}; {LOOP}"]
    process, master = in_terminal(isolating, *options, *command, controlling=controlling, **graces)
    os.close(master)
    assert process.wait(60) == code


def test_shell_of_a_terminal_that_hangs_up(isolating):
    """The first process of a container ignores what it has no handler for, SIGHUP and SIGTERM too."""
    process, master = in_terminal(isolating, "-it", "demo", "sh", "-c", "echo ready; exec sh")
    os.close(master)
    assert process.wait(60) in {0, 128 + signal.SIGHUP, 128 + signal.SIGKILL}


def test_hang_up_sent_by_hand_ends_nothing(plain):
    """Programs take it for a wish to read their configuration again."""
    process, master = in_terminal(plain, "demo", "sh", "-c", f"trap 'echo again' HUP; {LOOP}")
    process.send_signal(signal.SIGHUP)
    read_until(master, b"again")
    time.sleep(4 * GRACE_S)
    assert process.poll() is None
    process.terminate()
    assert process.wait(60) == 128 + signal.SIGTERM
    os.close(master)


def test_nohup_keeps_it_running(plain):
    """A terminal that hangs up is nothing to who ignores it (nohup(1))."""
    master, slave = pty.openpty()
    process = plain.start(
        "-t", "demo", "sh", "-c", LOOP,
        stdin=slave, stderr=slave, start_new_session=True, env={**os.environ, "ENGINE_GRACE_S": str(GRACE_S)},
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN),
    )  # fmt: skip
    os.close(slave)
    read_until(process.stdout.fileno(), b"ready")
    os.close(master)
    time.sleep(4 * GRACE_S)
    assert process.poll() is None
    process.terminate()
    assert process.wait(60) == 128 + signal.SIGTERM


def test_terminal_that_hangs_up_before_it_is_used():
    """That is no fault of ours; what is to come of it is told in another way."""
    master, slave = pty.openpty()
    os.close(master)
    with terminal.raw(slave):
        assert not os.isatty(slave)
    os.close(slave)
