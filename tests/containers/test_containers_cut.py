"""A supervisor that is killed cuts the streams of who is attached; they are had again, and what was said is there."""

import os
import signal

import pytest
from containers_engine import KEY, Engine

from moby.contracts.containers import ExecConfig, Status
from moby.contracts.log_driver import LogQuery
from moby.testing.boxes import read_all, read_until
from moby.testing.containers import close, eventually

LINES = "".join(f"line {number}\n" for number in range(20000))
SAYS = "i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done"


@pytest.fixture
def engine(tmp_path, rootfs):
    with Engine(tmp_path, rootfs, "served") as opened:
        yield opened


def kill_supervisor(engine):
    (pid,) = {each.pid for each in engine.launcher.parts() if each.key == KEY and each.pid}
    os.kill(pid, signal.SIGKILL)


def cut(engine, streams):
    """Kill the supervisor; return what had come to the streams by then."""
    carrier = engine.containers.carrier()
    kill_supervisor(engine)
    found = read_all(streams.stdout)
    close(streams)
    eventually(lambda: engine.containers.carrier() != carrier, "another carries streams")
    return found


def test_of_an_exec(engine):
    made = engine.create("sleep 1000")
    engine.containers.start(made)
    config = ExecConfig(("sh", "-c", f"cat; {SAYS}"), attach_stdin=True, attach_stdout=True)
    exec_id = engine.containers.exec_create(made, config)
    first = engine.containers.exec_start(exec_id)
    os.write(first.stdin, b"before\n")
    assert read_until(first.stdout, "before\n") == "before\n"
    assert cut(engine, first) == ""
    second = engine.containers.attach_again(exec_id)
    os.write(second.stdin, b"after\n")
    os.close(second.stdin)
    found = read_until(second.stdout, "line 9\n")
    found += cut(engine, type(second)(-1, second.stdout, second.stderr))
    third = engine.containers.attach_again(exec_id)
    assert found + read_all(third.stdout) == f"after\n{LINES}"
    close(third)


def test_of_a_container_that_is_logged(engine):
    """Its log has all of it, too."""
    made = engine.create("read a; echo got $a; read b; echo got $b; exit 4", open_stdin=True)
    first = engine.containers.attach(made)
    engine.containers.start(made)
    os.write(first.stdin, b"one\n")
    assert read_until(first.stdout, "got one\n") == "got one\n"
    assert cut(engine, first) == ""
    second = engine.containers.attach_again(made)
    os.write(second.stdin, b"two\n")
    assert read_all(second.stdout) == "got two\n"
    close(second)
    eventually(lambda: engine.containers.get(made).state.status is Status.EXITED, "it ends")
    assert engine.containers.get(made).state.exit_code == 4
    assert engine.containers.attach_again(made) is None
    log = engine.containers.logs(made, LogQuery(framed=False))
    assert read_all(log) == "got one\ngot two\n"
    os.close(log)


def test_of_a_container_that_is_yet_to_start(engine):
    made = engine.create("echo said; exit 6")
    assert cut(engine, engine.containers.attach(made)) == ""
    again = engine.containers.attach_again(made)
    engine.containers.start(made)
    assert read_all(again.stdout) == "said\n"
    close(again)
    eventually(lambda: engine.containers.get(made).state.exit_code == 6, "it ends")
