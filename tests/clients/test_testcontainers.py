"""testcontainers, unmodified, on our engine; without published ports, and so without its own reaper."""

import pytest
from peers.images import NAME
from testcontainers.core.config import testcontainers_config
from testcontainers.core.container import DockerContainer
from testcontainers.core.docker_client import DockerClient
from testcontainers.core.wait_strategies import LogMessageWaitStrategy

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def ours(moby, monkeypatch):
    """Have it find our engine, and start no helper image, which only an image registry has."""
    monkeypatch.setenv("DOCKER_HOST", f"unix:/{moby.sandbox.seen('/run/docker.sock')}")
    monkeypatch.setattr(testcontainers_config, "ryuk_disabled", True)


def made():
    """A container that says that it is up, and stays."""
    script = "echo ready; while :; do sleep 0.1; done"
    container = DockerContainer(NAME, network_mode="none").with_command(["sh", "-c", script])
    return container.waiting_for(LogMessageWaitStrategy("ready"))


def test_a_container_lives_as_long_as_its_block():
    with made().with_env("A", "1").with_name("tested") as container:
        assert container.exec(["sh", "-c", "echo $A"]).output == b"1\n"
        out, err = container.get_logs()
        assert (out, err) == (b"ready\n", b"")
        assert container.get_wrapped_container().status in {"created", "running"}
    assert not DockerClient().client.containers.list(all=True, filters={"name": "tested"})


def test_volumes_and_work(tmp_path):
    with made().with_volume_mapping("tested-volume", "/data", "rw") as container:
        assert container.exec("touch /data/file").exit_code == 0
    client = DockerClient().client
    client.volumes.get("tested-volume").remove()
