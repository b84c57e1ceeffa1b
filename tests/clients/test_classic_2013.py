"""The assembly `classic-2013`: the docker command at an engine whose containers LXC makes."""

import re
import sys

import pytest
from clients.test_networks import inside
from peers.assembled import assembled
from peers.binaries import need
from peers.box import NAME
from peers.sandbox import until

pytestmark = pytest.mark.long

ASK = "import socket, sys; print(socket.gethostbyname(sys.argv[1]))"


@pytest.fixture(scope="module")
def docker_pyz(tmp_path_factory):
    """The distribution `classic-2013`, in place of `docker`."""
    need("lxc-start", "lxc")
    return assembled(tmp_path_factory.mktemp("classic"), "classic-2013")


@pytest.fixture(scope="module")
def engine(moby):
    return moby


def test_lxc_makes_the_containers(engine):
    """What it was told lies in the run folder while a container lives, and LXC's group beside the container's."""
    name = engine.up()
    found = engine.sandbox.run("sh", "-c", "cat $(find /run /var/lib/docker -name config -path '*lxc*' 2>/dev/null)")
    assert "lxc.rootfs.path = dir:" in found.stdout
    identity = engine.inspect(name, ".Id")
    assert f"lxc.cgroup.dir.monitor = {identity}.monitor" in re.sub(r"moby-[^/\n]*/", "", found.stdout)
    engine.remove(name)


def test_a_programs_code_output_and_environment(engine):
    done = engine.run("sh", "-c", "echo out; echo err >&2; env; exit 3", options=["-e", "A=two words"])
    assert (done.returncode, done.stderr) == (3, "err\n")
    assert done.stdout.startswith("out\n")
    assert "A=two words\n" in done.stdout
    assert "container=" not in done.stdout
    assert engine.run("absent").returncode == 127


def test_a_terminal(engine):
    terminal = engine.terminal("run", "-it", "--rm", "--network=none", NAME, "sh")
    terminal.write("tty; echo 'u''p'\n")
    assert "/dev/pts/0" in terminal.read_until("up\r\n")
    terminal.write("exit 4\n")
    assert terminal.code() == 4


def test_a_container_is_entered_paused_changed_and_stopped(engine):
    name = engine.up(options=["-m", "64m"])
    assert engine.out("exec", name, "sh", "-c", "echo in >/file; cat /file") == "in"
    engine("pause", name)
    assert engine.inspect(name, ".State.Status") == "paused"
    engine("unpause", name)
    engine("update", "-m", "96m", "--memory-swap", "-1", name)
    stats = engine.out("stats", "--no-stream", "--format", "{{.MemUsage}}", name)
    assert stats.endswith("/ 96MiB")
    engine("stop", name)
    assert engine.inspect(name, ".State.ExitCode") == 3
    assert engine.out("logs", name) == "up"
    engine.remove(name)


def test_what_takes_too_much_memory_is_killed(engine):
    name = engine.start("sh", "-c", "x=0123456789; while :; do x=$x$x; done", options=["-m", "32m"])
    until(lambda: engine.inspect(name, ".State.Status") == "exited", "its end")
    assert (engine.inspect(name, ".State.OOMKilled"), engine.inspect(name, ".State.ExitCode")) == (True, 137)
    engine.remove(name)


def test_volumes_files_and_a_root_that_is_readonly(engine):
    options = ["--read-only", "-v", "kept:/data", "--tmpfs", "/scratch"]
    script = "echo kept >/data/file; echo x >/scratch/file && touch /new || echo refused"
    assert engine.said("sh", "-c", script, options=options) == "refused"
    assert engine.said("cat", "/data/file", options=["-v", "kept:/data:ro"]) == "kept"
    engine("volume", "rm", "kept")


def test_no_more_rights_than_docker_gives(engine):
    text = engine.said("cat", "/proc/self/status", options=["--user", "1000:1000", "--cap-drop=ALL"])
    found = {key: value.strip() for key, _, value in (line.partition(":") for line in text.splitlines())}
    assert (found["Uid"].split()[0], found["Seccomp"]) == ("1000", "2")
    assert {int(found[name], 16) for name in ("CapEff", "CapPrm", "CapBnd")} == {0}
    assert engine.said("sh", "-c", "echo x >/proc/sysrq-trigger || echo refused") == "refused"


def test_containers_find_each_other(engine):
    engine("network", "create", "town")
    for name in ("one", "two"):
        engine("run", "-d", "--name", name, "--network=town", NAME, "sleep", "1000")
    address = engine.inspect("one", ".NetworkSettings.Networks.town.IPAddress")
    found = engine.sandbox.run(*inside(engine, "two"), sys.executable, "-c", ASK, "one")
    assert found.stdout.strip() == address
    engine.remove("one", "two")
    engine("network", "rm", "town")


def test_containers_outlive_the_engine(engine):
    name = engine.up()
    engine.again()
    assert engine.out("exec", name, "echo", "here") == "here"
    engine("stop", name)
    assert engine.inspect(name, ".State.ExitCode") == 3
    engine.remove(name)
