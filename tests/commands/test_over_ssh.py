"""The docker command reaches an engine by ssh, as another machine's would: `docker -H ssh://SERVER`."""

import shlex

import pytest
from peers.sandbox import TEMPORARY, until

pytestmark = pytest.mark.slow

# As ssh(1) does it: options, the server, and words that the server's shell puts together.
SSH = """#!/bin/sh
echo "$@" >>{folder}/asked
while [ "$1" != -- ]; do shift; done
shift 2
export PATH={folder}/server:$PATH
exec sh -c "$*"
"""
# What docs/engine.md says that a server has.
DOCKER = """#!/bin/sh
exec {command} "$@"
"""


@pytest.fixture(scope="module")
def docker(engine):
    """Return a function that runs docker's command at our engine by way of `ssh`."""
    run = engine.sandbox.run
    for name, text in {
        "client/ssh": SSH.format(folder=TEMPORARY),
        "server/docker": DOCKER.format(command=shlex.join(engine.argv())),
    }.items():
        path = f"{TEMPORARY}/{name}"
        run("install", "-D", "-m", "755", "/dev/stdin", path, input=text)
    path = {"PATH": f"{TEMPORARY}/client:{engine.sandbox.environment['PATH']}"}

    def call(*words, check=True, **more):
        return run("docker", "-H", "ssh://user@server", *words, check=check, env=path, **more)

    yield call
    run("rm", "-r", f"{TEMPORARY}/client", f"{TEMPORARY}/server", f"{TEMPORARY}/asked")


def test_it_is_the_engine(engine, docker):
    assert docker("info", "--format", "{{.ID}}").stdout == engine.verb("info", "--format", "{{.ID}}").stdout
    asked = engine.sandbox.run("cat", f"{TEMPORARY}/asked").stdout
    assert asked.splitlines()[0].endswith("-- server docker system dial-stdio")


def test_output_errors_and_exit_code(docker):
    done = docker(
        "run", "--rm", "--network", "none", "localhost/box", "sh", "-c", "echo o; echo e >&2; exit 7", check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (7, "o\n", "e\n")


def test_the_end_of_the_input_reaches_it_and_all_comes_back(docker):
    text = "".join(f"line {number}\n" for number in range(300_000))
    done = docker("run", "--rm", "-i", "--network", "none", "localhost/box", "sort", "-r", input=text)
    assert sorted(done.stdout.splitlines()) == sorted(text.splitlines())


def test_exec_and_logs(docker):
    docker("run", "-d", "--network", "none", "--name", "far", "localhost/box", "sh", "-c", "echo up; exec sleep 1000")
    assert docker("exec", "-i", "far", "cat", input="typed").stdout == "typed"
    until(lambda: docker("logs", "far").stdout == "up\n", "what it says")
    assert docker("rm", "-f", "far").stdout == "far\n"


def test_nothing_stays_on_the_server(engine, docker):
    docker("ps")
    until(lambda: not any("dial-stdio" in words for words in engine.sandbox.processes().values()), "the end of all")
