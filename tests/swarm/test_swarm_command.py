"""The distribution `swarm` as it is used: by the docker command, and gone without a trace at the end."""

import time

import pytest
from clients.engine import opened_moby
from peers.assembled import assembled
from peers.box import archive

pytestmark = [pytest.mark.long]
PATIENCE_S = 120


@pytest.fixture
def moby(tmp_path):
    """An engine from the assembly, in a sandbox."""
    image = archive(tmp_path / "image.tar", tmp_path / "rootfs")
    with opened_moby(tmp_path / "moby", image, assembled(tmp_path, "swarm")) as engine:
        yield engine


def test_nothing_is_left(moby):
    """Of services with secrets, networks and ports, after `down --purge`."""

    def docker(*words, **more):
        return moby.sandbox.run("docker", *words, **more).stdout.strip()

    docker("swarm", "init", "--advertise-addr", "127.0.0.1")
    docker("secret", "create", "key", "-", input="hello\n")
    docker("network", "create", "--driver", "overlay", "--attachable", "shop")
    docker(
        "service", "create", "--detach", "--no-resolve-image", "--name", "web", "--replicas", "2", "--secret", "key",
        "--network", "shop", "--publish", "8080:80", "localhost/box",
        "sh", "-c", "cat /run/secrets/key; exec sleep 1000",
    )  # fmt: skip
    until = time.monotonic() + PATIENCE_S
    while docker("service", "ls", "--format", "{{.Replicas}}") != "2/2":
        assert time.monotonic() < until, docker("service", "ps", "--no-trunc", "web")
        time.sleep(0.2)
    while docker("service", "logs", "--raw", "web") != "hello\nhello":
        assert time.monotonic() < until, docker("service", "logs", "web")
        time.sleep(0.2)
    assert moby.sandbox.processes() and any("/files" in each for each in moby.sandbox.mounts())
    moby.verb("down", "--purge")
    moby._check(lambda: [each for each in moby._all() if each not in moby.nothing], "the engine")
