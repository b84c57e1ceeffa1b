"""The docker command goes on where the supervisor's process is killed: no output, input or exit code is lost."""

import json
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from peers.box import NAME
from peers.sandbox import until

pytestmark = pytest.mark.slow

COUNTS = "i=0; while [ $i -lt 100000 ]; do echo line $i; i=$((i+1)); done; exit 7"
SPEAKS = "i=0; while [ $i -lt 50 ]; do echo line $i; sleep 0.02; i=$((i+1)); done; exit 7"
REPEATS = 'while read line; do echo "$line"; done; exit 8'
PATIENCE_S = 120


def lines(count):
    return b"".join(b"line %d\n" % number for number in range(count))


def kill_supervisor(engine):
    """Kill the supervisor's process where there is one; whether there was."""
    for pid, words in sorted(engine.sandbox.processes().items()):
        plan = engine.sandbox.seen(words.split()[-1]) if "moby.engine.part" in words else None
        if plan and plan.exists() and json.loads(plan.read_text())["key"] == "supervisor/local":
            return engine.sandbox.run("kill", "-KILL", str(pid), check=False).returncode == 0
    return False


@pytest.fixture
def stays(moby):
    moby("run", "-d", "--name", "stays", "--network", "none", NAME, "sleep", "10000")
    yield
    moby("rm", "-f", "stays")


def cut(moby, *words, data=None):
    """Run a docker command, and kill the supervisor meanwhile, twice; return its output and exit code."""
    argv = moby.sandbox.argv("docker", *words)
    stdin = subprocess.DEVNULL if data is None else subprocess.PIPE
    process = subprocess.Popen(
        argv, env=moby.sandbox.environment, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    with ThreadPoolExecutor(1) as threads:
        done = threads.submit(process.communicate, data, PATIENCE_S)
        for _ in range(2):
            time.sleep(0.25)  # it is under way by then, and most often at it still
            until(lambda: done.done() or kill_supervisor(moby), "the supervisor is there again")
        return done.result()[0], process.returncode


def test_output_of_an_exec(moby, stays):
    assert cut(moby, "exec", "stays", "sh", "-c", COUNTS) == (lines(100000), 7)


def test_input_of_an_exec(moby, stays):
    data = lines(50000)
    assert cut(moby, "exec", "-i", "stays", "sh", "-c", REPEATS, data=data) == (data, 8)


def test_output_of_a_container(moby):
    """Which is logged, too."""
    assert cut(moby, "run", "--name", "spoke", "--network", "none", NAME, "sh", "-c", SPEAKS) == (lines(50), 7)
    assert moby.out("logs", "spoke").encode() + b"\n" == lines(50)
    moby("rm", "spoke")


def test_input_of_a_container(moby):
    data = lines(50)
    script = "while read line; do sleep 0.02; echo $line; done; exit 9"
    assert cut(moby, "run", "--rm", "-i", "--network", "none", NAME, "sh", "-c", script, data=data) == (data, 9)
