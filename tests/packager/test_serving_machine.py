"""A machine whose engine serves: docker's own command, in a container beside it, drives it."""

import hashlib
import json
import signal
from pathlib import Path

import pytest
import yaml
from booting import busybox_image, service, started, tarred
from peers import binaries

pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(600)]

LIBRARIES = ("/lib64/ld-linux-x86-64.so.2", "/lib/x86_64-linux-gnu/libc.so.6")
"""What docker's command is linked with."""
SCRIPT = """
docker version --format 'API {{.Server.APIVersion}}' || exit 1
docker load --quiet --input /box.tar
docker run --rm --network none busybox busybox echo from a container
docker run --detach --name kept --network none busybox busybox sleep 1000
docker exec kept busybox echo from beside it
docker ps --format '{{.Names}} is {{.Status}}'
echo that was all
"""


def client_image(path: Path) -> Path:
    """Write an image that holds docker's command, what it is linked with, and a shell."""
    programs = {f"bin/{each}": binaries.need(each, each).read_bytes() for each in ("docker", "busybox")}
    layer = tarred(programs | {each[1:]: Path(each).read_bytes() for each in LIBRARIES}, mode=0o755)
    environment = ["PATH=/bin", "HOME=/tmp", "DOCKER_HOST=unix:///host/docker.sock"]
    about = {
        "os": "linux", "architecture": "amd64", "config": {"Env": environment},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
    }  # fmt: skip
    listed = [{"Config": "about.json", "RepoTags": ["client:latest"], "Layers": ["layer.tar"]}]
    files = {"about.json": json.dumps(about).encode(), "layer.tar": layer, "manifest.json": json.dumps(listed).encode()}
    path.write_bytes(tarred(files))
    return path


@pytest.fixture
def served(tmp_path: Path) -> Path:
    """An assembly that serves, without bridges, for which user-mode Linux has no firewall."""
    binaries.need("linux.uml", "uml")
    box = busybox_image(tmp_path / "busybox.tar")
    binds = ["/run/:/host", "/srv/box.tar:/box.tar:ro"]
    client = service("client", client_image(tmp_path / "client.tar"), SCRIPT, binds=binds, tmpfs=["/tmp"])
    machine = {
        "kernel": str(binaries.ROOT), "level": 0, "files": {"/srv/box.tar": {"source": str(box)}}, "services": [client],
    }  # fmt: skip
    said = {
        "moby": 1, "name": "served", "extends": ["edge"],
        "components": {
            "network-driver": ["none", "host"], "ipam": ["null"], "discovery": "none",
            "command": [{"use": "docker-run", "as": "run"}, "bundle"],
            "frontend": {"use": "docker", "config": {"socket": "/run/docker.sock"}},
        },
        "distribution": {"formats": ["vm"], "budget": "200MB", "config": {"vm": machine}},
    }  # fmt: skip
    path = tmp_path / "served.yaml"
    path.write_text(yaml.safe_dump(said))
    return path


def test_docker_s_command_drives_a_machine(served: Path) -> None:
    """The client is started again until the engine answers; the machine ends in order while a container runs."""
    with started(served.parent, ["--uml", "--memory", "768", str(served)]) as process:
        assert process.stdout is not None
        said = ""
        while "that was all" not in said:
            line = process.stdout.readline()
            assert line, said
            said += line
        process.send_signal(signal.SIGTERM)
        rest, _ = process.communicate(timeout=200)
    assert process.returncode == 0, said + rest
    for wanted in ("API 1.", "Loaded image: busybox:latest", "from a container", "from beside it", "kept is Up"):
        assert wanted in said
    assert "Power down" in rest
