"""Debian's dockerd takes what is exported for it."""

import json

import pytest
from exporting import EPOCH, opened_yard, solution, solved
from peers.box import NAME, archive
from peers.engines import opened

from moby.contracts.builder import Export, ExportType
from moby.oci.reference import parse
from moby.testing.mounted import own_mounts
from moby.testing.snapshotter import file, folder, tar

PLACE = "/var/lib/peers"
NAMES = ("app:1", "localhost/app:2")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", autouse=True)
def apart():
    with own_mounts(shared=True):
        yield


def test_docker_load(tmp_path):
    """To the same id, with every name, and its files are there; however its layers are compressed."""
    box = archive(tmp_path / "box.tar", tmp_path / "rootfs")
    (tmp_path / "docker").mkdir()
    with opened_yard(tmp_path / "yard") as yard, opened("docker", "runc", tmp_path / "docker", box) as engine:
        with box.open("rb") as stream:
            for _ in yard.images.load(stream):
                pass
        below = yard.images.snapshot(yard.images.get(str(parse(NAME))))
        top = yard.layer("1", tar(folder("d"), file("d/f", b"made\n")), below)
        target = solved(top, "box", "COPY d", base=below, Env=["PATH=/bin"], Cmd=["cat", "/d/f"])
        for compression in ("gzip", "uncompressed"):
            attributes = {"compression": compression, "rewrite-timestamp": "true"}
            [done] = yard.export(
                solution(target, epoch_s=EPOCH), Export(ExportType.DOCKER, 1, NAMES, attributes=attributes)
            )
            engine.sandbox.seen(PLACE).joinpath("app.tar").write_bytes(yard.client.streams[1].taken)
            said = engine("load", "-i", f"{PLACE}/app.tar").stdout
            assert said.splitlines() == ["Loaded image: app:1", "Loaded image: localhost/app:2"]
            [shown] = json.loads(engine("inspect", "app:1").stdout)
            assert shown["Id"] == str(done.image)
            assert shown["Created"] == "2020-09-13T12:26:40Z"
            assert engine("run", "--rm", "app:1").stdout == "made\n"
            engine("rmi", "-f", "app:1", "localhost/app:2")
