"""A whole engine whose containers and layers are containerd's, at docker's command, as Docker is built."""

import pytest
from clients.engine import Moby, opened
from peers.assembled import assembled
from peers.binaries import need
from peers.box import NAME, archive
from peers.sandbox import until

pytestmark = pytest.mark.slow

ADDRESS = "/run/containerd/containerd.sock"
ASSEMBLY = f"""
moby: 1
name: theirs
extends: [docker]
components:
  runtime: null
  supervisor: {{use: containerd, config: {{address: {ADDRESS}}}}}
  snapshotter: containerd
  content: {{use: containerd, config: {{namespace: moby}}}}
distribution: {{formats: [pyz]}}
"""


class BesideContainerd(Moby):
    """An engine that uses a containerd which is there before it."""

    def open(self, image):
        self.process = self.sandbox.start("containerd", log=self.log.with_name("containerd.log"))
        until(lambda: self.sandbox.run("ctr", "version", check=False).returncode == 0, "containerd's answer")
        super().open(image)

    def close(self):
        super().close()
        self.process.wait(60)

    def seen(self, kind):
        """What containerd's own client sees of snapshots or content."""
        return self.sandbox.run("ctr", "-n", "moby", kind, "ls").stdout.splitlines()[1:]


@pytest.fixture
def engine(tmp_path):
    need("containerd", "containerd")
    pyz = assembled(tmp_path, "theirs", ASSEMBLY)
    image = archive(tmp_path / "image.tar", tmp_path / "rootfs")
    with opened(BesideContainerd, tmp_path / "engine", image, distribution=pyz) as engine:
        yield engine


def test_images_and_containers(engine, tmp_path):
    assert engine.out("info", "-f", "{{.Driver}}") == "overlayfs"
    engine("run", "-d", "--name", "box", "--network=none", NAME, "sleep", "1000")
    assert len(engine.seen("snapshots")) == 3  # the image's, what all containers have besides, the container's
    assert len(engine.seen("content")) == 3  # a manifest, a configuration and the layer
    engine("exec", "box", "sh", "-c", "rm /etc/group; echo 1 >/etc/new")
    assert set(engine.out("diff", "box").splitlines()) >= {"C /etc", "D /etc/group", "A /etc/new"}
    engine("restart", "-t", "0", "box")
    assert engine.out("exec", "box", "cat", "/etc/new") == "1"
    engine("commit", "box", "committed")
    found = engine.out("run", "--rm", "--network=none", "committed", "ls", "/etc").split()
    assert ("group" in found, "new" in found) == (False, True)
    context = tmp_path / "context"
    context.mkdir()
    (context / "Dockerfile").write_text(f"FROM {NAME}\nRUN echo built >/built\n")
    engine("build", "-q", "-t", "built", str(context), env={"DOCKER_BUILDKIT": "0"})
    assert engine.out("run", "--rm", "--network=none", "built", "cat", "/built") == "built"
    engine("rm", "-f", "box")
    engine("rmi", "-f", "built", "committed", NAME)
    engine("system", "prune", "-af")
    assert (engine.seen("snapshots"), engine.seen("content")) == ([], [])
