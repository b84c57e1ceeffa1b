"""testcontainers, unmodified, on our engine: containers for a block, published ports, and its own reaper's calls."""

import shutil
import sys
from pathlib import Path

import pytest
from builder import host_images
from peers.box import NAME
from peers.sandbox import until
from testcontainers.core.config import testcontainers_config
from testcontainers.core.container import DockerContainer
from testcontainers.core.docker_client import DockerClient
from testcontainers.core.wait_strategies import LogMessageWaitStrategy

pytestmark = pytest.mark.slow
REAPER = "localhost/reaper:latest"
PYTHON = "localhost/python:latest"
# A user's tests: a server that is reached by its published port and by name, and nobody who takes them down.
KILLED = f"""
import os, signal, urllib.request
from testcontainers.core.container import DockerContainer
from testcontainers.core.network import Network
from testcontainers.core.wait_strategies import HttpWaitStrategy
network = Network().create()
web = DockerContainer("{PYTHON}").with_command("python3 -m http.server 80").with_exposed_ports(80)
web.with_network(network).with_network_aliases("web").with_volume_mapping("left-behind", "/data", "rw")
web.waiting_for(HttpWaitStrategy(80)).start()
address = f"http://{{web.get_container_host_ip()}}:{{web.get_exposed_port(80)}}"
print("published", urllib.request.urlopen(address, timeout=30).status)
asking = ["python3", "-c", "import urllib.request; print(urllib.request.urlopen('http://web/', timeout=30).status)"]
client = DockerContainer("{PYTHON}").with_command(asking).with_network(network).start()
print("ended with", client.wait(), "by name", *client.get_logs(), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def ours(moby, monkeypatch):
    """Have it find our engine, and start no helper image, which only an image registry has."""
    monkeypatch.setenv("DOCKER_HOST", f"unix:/{moby.sandbox.seen('/run/docker.sock')}")
    monkeypatch.setattr(testcontainers_config, "ryuk_disabled", True)


def made():
    """A container that says that it is up, and stays."""
    script = "echo ready; while :; do sleep 0.1; done"
    container = DockerContainer(NAME, network_mode="none").with_command(["sh", "-c", script])
    return container.waiting_for(LogMessageWaitStrategy("ready"))


def test_a_container_lives_as_long_as_its_block(ours):
    with made().with_env("A", "1").with_name("tested") as container:
        assert container.exec(["sh", "-c", "echo $A"]).output == b"1\n"
        out, err = container.get_logs()
        assert (out, err) == (b"ready\n", b"")
        assert container.get_wrapped_container().status in {"created", "running"}
    assert not DockerClient().client.containers.list(all=True, filters={"name": "tested"})


def test_volumes_and_work(ours, tmp_path):
    with made().with_volume_mapping("tested-volume", "/data", "rw") as container:
        assert container.exec("touch /data/file").exit_code == 0
    client = DockerClient().client
    client.volumes.get("tested-volume").remove()


@pytest.fixture
def reaper(moby, tmp_path):
    """The image of a stand-in for the reaper, with a Python for whoever wants one."""
    root = host_images.python(tmp_path / "root")
    shutil.copy(Path(__file__).with_name("reaper.py"), root / "reaper.py")
    packed = moby.sandbox.seen("/var/lib/peers/reaper.tar")
    host_images.packed(root, packed)
    changes = ("--change", 'CMD ["python3", "/reaper.py"]', "--change", "ENV PATH=/bin")
    moby("import", *changes, "/var/lib/peers/reaper.tar", REAPER)
    moby("tag", REAPER, PYTHON)
    packed.unlink()
    yield
    moby("volume", "rm", "left-behind")
    moby("rmi", REAPER, PYTHON)


def test_published_ports_and_what_is_left_by_who_is_killed(moby, reaper):
    """Its reaper, by a published port and the engine's socket, removes containers and networks of one that was."""
    settings = {"RYUK_CONTAINER_IMAGE": REAPER, "RYUK_RECONNECTION_TIMEOUT": "1s"}
    done = moby.sandbox.run(sys.executable, "-c", KILLED, env=settings, check=False)
    assert done.stdout.splitlines() == ["published 200", "ended with 0 by name b'200\\n' b''"], done.stderr
    until(lambda: not moby.out("ps", "-aq"), "the containers' end, the reaper's own among them")
    assert moby.out("network", "ls", "-q", "--filter", "type=custom") == ""
