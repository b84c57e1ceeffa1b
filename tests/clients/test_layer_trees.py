"""What an image unpacks to is the same tree for dockerd and for us, attribute by attribute."""

import contextlib
import json
import sys
import tarfile
import time
from pathlib import Path

import pytest
from clients import layer_corpus as corpus
from peers.binaries import need

from moby.testing.archives import Archived
from moby.testing.archives import docker as archived

pytestmark = pytest.mark.slow
BEGAN_NS = time.time_ns()
PLACE = "/var/lib/peers"
LAYERS = {
    "kinds": [corpus.kinds()],
    "pax": [corpus.names(tarfile.PAX_FORMAT)],
    "gnu": [corpus.names(tarfile.GNU_FORMAT)],
    "whiteouts": [corpus.below(), corpus.above()],
}


def _base(image):
    """Return the layer of an archive that has one, in which programs are."""
    with tarfile.open(image) as tar:
        [item] = json.load(tar.extractfile("manifest.json"))
        return tar.extractfile(item["Layers"][0]).read()


@contextlib.contextmanager
def _running(engine, name):
    """Lend a container of an image, and the folder that its root can be seen at inside the sandbox."""
    made = engine.out("run", "-d", "--network", "none", name, "sleep", "1000").strip()
    pid = engine.out("inspect", "--format", "{{.State.Pid}}", made).strip()
    yield made, str(Path("/proc", pid, "root", corpus.ROOT))
    engine("rm", "-f", made)


def _tree(engine, path):
    """Return what is at a path, by name."""
    told = engine.sandbox.run(sys.executable, "-IS", "-c", corpus.LOOK, path, str(BEGAN_NS)).stdout
    return {line[0]: line[1:] for line in map(json.loads, told.splitlines())}


@pytest.fixture(scope="module")
def loaded(docker, moby, image):
    """Return both engines, with all images loaded."""
    for name, layers in LAYERS.items():
        data = archived(Archived([_base(image), *layers]), f"localhost/{name}:latest")
        for engine in (docker, moby):
            engine.sandbox.seen(f"{PLACE}/{name}.tar").write_bytes(data)
            assert f"localhost/{name}:latest" in engine.out("load", "-i", f"{PLACE}/{name}.tar")
    return docker, moby


@pytest.mark.parametrize("name", LAYERS)
def test_a_load(loaded, name):
    trees = []
    for engine in loaded:
        with _running(engine, f"localhost/{name}") as (_, path):
            trees.append(_tree(engine, path))
    theirs, ours = trees
    assert len(theirs) > 15
    assert ours == theirs


def test_what_we_pack_both_unpack(loaded):
    """All types and attributes go through an export and an import; what nobody has a name for any more is left out."""
    theirs, ours = loaded
    with _running(ours, "localhost/kinds") as (made, path):
        wanted = _tree(ours, path)
        ours("export", "-o", f"{PLACE}/exported.tar", made)
    data = ours.sandbox.seen(f"{PLACE}/exported.tar").read_bytes()
    for engine in (theirs, ours):
        engine.sandbox.seen(f"{PLACE}/imported.tar").write_bytes(data)
        engine("import", "-c", "ENV PATH=/bin", f"{PLACE}/imported.tar", "localhost/imported")
        with _running(engine, "localhost/imported") as (_, path):
            assert _tree(engine, path) == wanted


@pytest.mark.parametrize("name", LAYERS)
def test_skopeo_and_umoci(loaded, name):
    """What both make of an image that we saved is what we show, but for what hard links set, which umoci leaves."""
    _, ours = loaded
    need("umoci", "umoci")
    with _running(ours, f"localhost/{name}") as (_, path):
        wanted = _tree(ours, path)
    run = ours.sandbox.run
    ours("save", "-o", f"{PLACE}/saved.tar", f"localhost/{name}")
    run("skopeo", "--insecure-policy", "copy", "-q", f"docker-archive:{PLACE}/saved.tar", f"oci:{PLACE}/layout:{name}")
    run("umoci", "unpack", "--image", f"{PLACE}/layout:{name}", f"{PLACE}/bundle-{name}")
    found = _tree(ours, f"{PLACE}/bundle-{name}/rootfs/{corpus.ROOT}")
    assert found.keys() == wanted.keys()
    firsts = [line[8] for each, line in wanted.items() if line[8] != each]
    linked = {each for each, line in wanted.items() if line[8] in firsts}
    assert {each: found[each] for each in found.keys() - linked} == {
        each: wanted[each] for each in wanted.keys() - linked
    }
