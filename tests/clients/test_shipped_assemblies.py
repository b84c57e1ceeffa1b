"""What each shipped assembly promises on its page (docs/assemblies.md), at a real engine of it."""

import re
import subprocess
import sys
from contextlib import contextmanager

import pytest
from clients.engine import Moby, opened_moby
from peers.assembled import assembled
from peers.box import NAME
from peers.sandbox import TEMPORARY, until

pytestmark = pytest.mark.long


@contextmanager
def serving(name, folder, image):
    """Lend an engine of an assembly, in a sandbox; at its end nothing of it is left."""
    with opened_moby(folder / "engine", image, assembled(folder, name)) as engine:
        yield engine
        engine.check_gone()


def test_minimal(tmp_path, image):
    """No daemon: what runs is gone with its command, images stay."""
    words = [sys.executable, assembled(tmp_path, "minimal"), "--root", tmp_path / "root"]

    def call(*more):
        return subprocess.run([*words, *more], capture_output=True, text=True, timeout=120, check=False)

    assert call("load", "-i", image).returncode == 0
    assert NAME.partition(":")[0] in call("images").stdout
    done = call("run", NAME, "sh", "-c", "echo in; exit 3")
    assert (done.returncode, done.stdout) == (3, "in\n"), done.stderr
    assert call("tag", NAME, "other:1").returncode == 0
    assert call("serve").returncode == 2
    assert call("down", "--purge").returncode == 0
    assert list((tmp_path / "root").iterdir()) == []


def test_ci_runner(tmp_path, image):
    """Builds, runs what talks to each other by name, publishes nothing."""
    with serving("ci-runner", tmp_path, image) as engine:
        dockerfile = f"FROM {NAME}\nRUN echo built >/file\n"
        engine.sandbox.run("tee", TEMPORARY / "Dockerfile", input=dockerfile)
        engine.verb("build", "-t", "made", str(TEMPORARY))
        assert engine.out("run", "--rm", "made", "cat", "/file") == "built"
        for options in (["-p", "8080:80"], ["-P"]):
            done = engine("run", "--rm", *options, NAME, "true", check=False)
            assert "not allowed" in done.stderr
        engine("network", "create", "town")
        engine("run", "-d", "--name", "one", "--network=town", NAME, "sleep", "100")
        found = engine.out("run", "--rm", "--network=town", NAME, "cat", "/etc/resolv.conf")
        assert "127.0.0.11" in found
        engine("rm", "-f", "one")
        engine("network", "rm", "town")
        engine("rmi", "made")
        engine.verb("builder", "prune", "-af")


def test_edge(tmp_path, image, monkeypatch):
    """On a root that nobody can write to; all processes killed at once, what ran runs again."""
    with serving("edge", tmp_path, image) as engine:
        engine("run", "-d", "--name", "stays", "--restart=unless-stopped", "--network=none", NAME, "sleep", "1000")
        engine.sandbox.run("kill", "-9", *map(str, engine.sandbox.processes()), check=False)
        engine._daemon.wait(60)
        script = 'mount --make-rprivate / && mount -o remount,bind,ro / && exec "$@"'
        read_only = ["unshare", "-m", "sh", "-c", script, "sh", *engine.daemon()]
        monkeypatch.setattr(Moby, "daemon", lambda self: read_only)
        engine._begin()
        until(lambda: engine.inspect("stays", ".State.Status") == "running", "the container")
        assert engine.out("exec", "stays", "echo", "here") == "here"


REFUSED = (
    ["--privileged"],
    ["--pid=host"],
    ["--ipc=host"],
    ["--uts=host"],
    ["--cap-add=SYS_ADMIN"],
    ["--security-opt=seccomp=unconfined"],
    ["--device=/dev/null:/dev/x"],
    ["-v", "/etc:/host"],
    ["--mount", "type=bind,source=/etc,target=/host"],
)


def test_sandbox(tmp_path, image):
    """No network, and nothing that takes confinement away."""
    with serving("sandbox", tmp_path, image) as engine:
        seen = engine.out("run", "--rm", NAME, "sh", "-c", "cat /proc/net/dev; cat /proc/self/status")
        assert re.findall(r"(\w+):\s+\d+\s+\d+", seen)[0] == "lo"
        assert "eth0" not in seen
        assert re.search(r"Seccomp:\s+2", seen)
        for options in REFUSED:
            done = engine("run", "--rm", *options, NAME, "true", check=False)
            assert (done.returncode, "not allowed" in done.stderr) == (125, True), (options, done.stderr)
        for network in ("host", "bridge"):
            done = engine("run", "--rm", f"--network={network}", NAME, "true", check=False)
            assert done.returncode == 125
        assert engine.out("run", "--rm", "-v", "kept:/data", "--cap-drop=ALL", NAME, "echo", "fine") == "fine"
        engine("volume", "rm", "kept")


def test_dev(tmp_path, image):
    """Several runtimes, figures for Prometheus, and the page of what is connected to what."""
    with serving("dev", tmp_path, image) as engine:
        for runtime in ("native", "runc"):
            assert engine.said("echo", "ran", options=[f"--runtime={runtime}"]) == "ran"
        script = "import urllib.request as u; print(u.urlopen('http://127.0.0.1:9323/metrics').read().decode())"
        assert "moby" in engine.sandbox.run(sys.executable, "-c", script).stdout
        page = (tmp_path / "dev/graph.html").read_text()
        assert "runtime/runc" in page
