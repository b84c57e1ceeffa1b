"""Whole engines whose layers are shown by fuse-overlayfs, or are subvolumes of btrfs, at docker's command."""

import os

import pytest
from clients.engine import Moby, opened
from peers.assembled import assembled
from peers.binaries import need
from peers.box import NAME, archive
from peers.sandbox import TEMPORARY, until

pytestmark = pytest.mark.slow

ASSEMBLY = """
moby: 1
name: layered
extends: [docker]
components:
  snapshotter: PART
distribution: {formats: [pyz]}
"""
DOCKERFILE = (
    f"FROM {NAME}\nRUN echo built >/built && rm -r /home && mkdir /home && touch /home/new\nCOPY file /copied\n"
)


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    folder = tmp_path_factory.mktemp("image")
    return archive(folder / "image.tar", folder / "rootfs")


class OnBtrfs(Moby):
    """An engine whose files are on a btrfs of its own."""

    def open(self, image):
        disk = str(TEMPORARY / "disk")
        self.sandbox.run("truncate", "-s", "400M", disk)
        self.sandbox.run("mkfs.btrfs", "-q", disk)
        done = self.sandbox.run("mount", "-o", "loop", disk, "/var/lib/docker", check=False)
        if done.returncode:
            pytest.skip(f"this host mounts no btrfs by a loop device: {done.stderr.strip()}")
        super().open(image)


@pytest.fixture(params=["fuse-overlayfs", pytest.param("btrfs", marks=pytest.mark.long)])
def engine(request, tmp_path, image):
    kind = OnBtrfs if request.param == "btrfs" else Moby
    if request.param == "btrfs":
        need("mkfs.btrfs", "btrfs")
    elif not os.access("/dev/fuse", os.W_OK):
        pytest.skip("no /dev/fuse here")
    else:
        need("fuse-overlayfs", "fuse-overlayfs")
    pyz = assembled(tmp_path, "layered", ASSEMBLY.replace("PART", request.param))
    with opened(kind, tmp_path / "engine", image, distribution=pyz) as engine:
        yield engine, request.param


def test_images_and_containers(engine, tmp_path):
    engine, part = engine
    assert engine.out("info", "-f", "{{.Driver}}") == part
    made = engine.out("run", "-d", "--name", "box", "--network=none", "--user", "1000", NAME, "sleep", "1000")
    assert made
    assert engine.out("exec", "box", "sh", "-c", "id -u; cat /etc/passwd | wc -l").split() == ["1000", "3"]
    engine("exec", "-u", "0", "box", "sh", "-c", "rm /etc/group; echo 1 >/etc/new; mkdir /d; chown 1000 /d")
    assert set(engine.out("diff", "box").splitlines()) >= {"C /etc", "D /etc/group", "A /etc/new", "A /d"}
    engine("restart", "-t", "0", "box")
    assert engine.out("exec", "box", "cat", "/etc/new") == "1"
    engine("stop", "-t", "0", "box")
    if part == "fuse-overlayfs":
        until(lambda: not shown(engine), "the end of the process that showed the container's files")
    (tmp_path / "file").write_text("copied\n")
    engine("cp", str(tmp_path / "file"), "box:/d/file")
    assert engine.out("cp", "box:/d/file", "-")
    engine("commit", "box", "committed")
    found = engine.out("run", "--rm", "--network=none", "committed", "sh", "-c", "cat /d/file; ls /etc").split()
    assert (found[0], "group" in found, "new" in found) == ("copied", False, True)
    context = tmp_path / "context"
    context.mkdir()
    (context / "file").write_text("given\n")
    (context / "Dockerfile").write_text(DOCKERFILE)
    engine("build", "-q", "-t", "built", str(context), env={"DOCKER_BUILDKIT": "0"})
    script = "cat /built /copied; ls /home"
    assert engine.out("run", "--rm", "--network=none", "built", "sh", "-c", script).split() == ["built", "given", "new"]
    saved = TEMPORARY / "saved.tar"
    engine("save", "-o", str(saved), "built")
    engine("rm", "-f", "box")
    engine("rmi", "-f", "built", "committed")
    engine("load", "-i", str(saved))
    assert engine.out("run", "--rm", "--network=none", "built", "sh", "-c", script).split() == ["built", "given", "new"]
    engine.again()
    engine("run", "--rm", "--network=none", "built", "true")
    engine.check_gone()


def shown(engine):
    return [words for words in engine.sandbox.processes().values() if "fuse-overlayfs" in words]
