"""A store that drops the blobs of layers once they are unpacked."""

import gzip
import io
import json
import signal
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from images.store_parts import parts, store_of
from moby_image_registry.folder.layouts import Layouts
from moby_metadata.sqlite.store import Store as Metadata

from moby.contracts.images import ImageConfig
from moby.errors import NotFound
from moby.oci.reference import parse
from moby.testing.archives import Archived, docker
from moby.testing.images import layer_of
from moby.values import evolve

LAYERS = [layer_of({f"f{number}": bytes([number]) * 300_000}) for number in range(2)]
PACKED = Archived(LAYERS, packed=[gzip.compress(each, mtime=0) for each in LAYERS])
DROPPED = "lacks its blob sha256:.* dropped once it was unpacked .* set that to false, and pull or load the image again"


class Counted(Layouts):
    """An image registry that counts the blobs that are fetched from it."""

    fetched = 0

    def blob(self, *args, **more):
        self.fetched += 1
        return super().blob(*args, **more)


@pytest.fixture
def made(tmp_path):
    with Metadata(tmp_path / "metadata.db") as metadata:
        yield evolve(parts(tmp_path, metadata), drop_blobs=True)


@pytest.fixture
def registry(tmp_path):
    return Counted(tmp_path / "registry")


@pytest.fixture
def images(made, registry):
    return store_of(made, registry)


@pytest.fixture
def published(tmp_path, registry):
    """An image of the registry, whose layers are compressed."""
    base = tmp_path / "elsewhere"
    base.mkdir()
    with Metadata(base / "metadata.db") as metadata:
        other = store_of(parts(base, metadata), registry)
        load(other, docker(PACKED, "here/a:1"))
        list(other.push(parse("here/a:1")))
        return other.get("here/a:1")


def load(images, data):
    list(images.load(io.BytesIO(data)))


def pull(images, name):
    list(images.pull(parse(name)))


def blobs(made):
    return {each.digest for each in made.content.list()}


def own(image):
    return {image.id, image.digest}


def changed(images, container_id, name):
    """Prepare a container of an image, and write a file into it."""
    [mount] = images.prepare(container_id, images.get(name))
    uppers = [each.removeprefix("upperdir=") for each in mount.options if each.startswith("upperdir=")]
    (Path(*uppers or [mount.source]) / "new").write_bytes(b"new" * 1000)


def test_what_is_pulled_runs_and_goes_without_its_blobs(made, images, published):
    pull(images, "here/a:1")
    image = images.get("here/a:1")
    assert image.id == published.id
    assert blobs(made) == own(image)
    changed(images, "c", "here/a:1")
    assert [each.path for each in images.changes("c")] == ["/new"]
    images.release("c")
    images.remove("here/a:1")
    assert blobs(made) == set()
    assert made.snapshotter.list() == ()
    pull(images, "here/a:1")
    assert images.get("here/a:1").layers == published.layers


def test_a_pull_of_what_is_there_fetches_nothing(images, registry, published):
    pull(images, "here/a:1")
    before = registry.fetched
    pull(images, "here/a:1")
    assert registry.fetched == before


def test_a_layer_that_another_image_has_is_not_fetched(images, registry, published):
    """Only the config of the second image is."""
    pull(images, "here/a:1")
    load(images, docker(Archived(LAYERS[:1], packed=PACKED.packed[:1], Cmd=["b"]), "b"))
    before = registry.fetched
    images.remove("here/a:1")
    pull(images, "here/a:1")
    assert registry.fetched == before + 2  # config, and the layer that only it has


@pytest.mark.parametrize("take", ["save", "export_layers", "rootfs"])
def test_what_needs_the_blobs_is_refused(images, published, take):
    pull(images, "here/a:1")
    with pytest.raises(NotFound, match=DROPPED):
        if take == "save":
            next(images.save(["here/a:1"]))
        elif take == "rootfs":
            with images.rootfs(images.get("here/a:1")):
                pass
        else:
            next(images.export_layers(images.get("here/a:1")))


def test_it_is_saved_once_blobs_stay_and_it_is_pulled_again(made, images, registry, published):
    pull(images, "here/a:1")
    kept = store_of(evolve(made, drop_blobs=False), registry)
    with pytest.raises(NotFound, match=r"lacks its blob sha256:.*: pull or load it again"):
        next(kept.save(["here/a:1"]))
    with pytest.raises(NotFound, match=r"lacks its blob sha256:.*: pull or load it again"):
        list(kept.push(parse("here/a:1")))
    pull(kept, "here/a:1")
    with tarfile.open(fileobj=io.BytesIO(b"".join(kept.save(["here/a:1"])))) as tar:
        [item] = json.load(tar.extractfile("manifest.json"))
        assert [tar.extractfile(each).read() for each in item["Layers"]] == PACKED.packed


def test_it_is_pushed_to_where_its_layers_are_and_refused_elsewhere(images, registry, published):
    pull(images, "here/a:1")
    for name in ("here/b:1", "127.0.0.1:5000/a:1"):
        images.tag("here/a:1", parse(name))
    list(images.push(parse("here/b:1")))
    assert registry.resolve(parse("here/b:1"))[0] == published.digest
    with pytest.raises(NotFound, match=DROPPED):
        list(images.push(parse("127.0.0.1:5000/a:1")))
    with pytest.raises(NotFound):
        registry.resolve(parse("127.0.0.1:5000/a:1"))


def test_what_was_written_here_is_written_anew(tmp_path, made, images):
    """With the same digests: layers of commits."""
    images.add(parse("empty:1"), [], ImageConfig())
    changed(images, "b", "empty:1")
    images.commit("b", parse("base:1"))
    changed(images, "c", "base:1")
    image = images.commit("c", parse("made:1"))
    assert blobs(made) == own(image) | own(images.get("base:1")) | own(images.get("empty:1"))
    saved = b"".join(images.save(["made:1"]))
    with tarfile.open(fileobj=io.BytesIO(saved)) as tar:
        assert {each.name for each in tar} >= {f"blobs/sha256/{each.hex}" for each in (*image.layers, *own(image))}
    list(images.push(parse("made:1")))
    base = tmp_path / "elsewhere"
    base.mkdir()
    with Metadata(base / "metadata.db") as metadata:
        other = store_of(parts(base, metadata))
        load(other, saved)
        assert other.get("made:1").id == image.id
    images.collect()
    assert blobs(made) == own(image) | own(images.get("base:1")) | own(images.get("empty:1"))


def test_one_that_is_saved_while_it_is_saved(made, images, monkeypatch):
    """Each writes its layers anew, and neither is in the other's way."""
    images.add(parse("empty:1"), [], ImageConfig())
    changed(images, "b", "empty:1")
    images.commit("b", parse("made:1"))
    diff, inner = made.snapshotter.diff, []

    def diffed(key):
        for number, chunk in enumerate(diff(key)):
            if not inner and not number:
                inner.append(b"")
                inner.append(b"".join(images.save(["made:1"])))
            yield chunk

    monkeypatch.setattr(made.snapshotter, "diff", diffed)
    outer = b"".join(images.save(["made:1"]))
    assert outer == inner[1]


def test_what_would_come_to_other_bytes_is_refused(images):
    """A layer that came uncompressed, whose headers somebody else wrote."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name in "ba":
            tar.addfile(tarfile.TarInfo(name))
    load(images, docker(Archived([out.getvalue()]), "a:1"))
    with pytest.raises(NotFound, match=DROPPED):
        next(images.save(["a:1"]))
    with pytest.raises(NotFound, match=DROPPED):
        list(images.push(parse("a:1")))


def test_what_is_made_on_it_has_its_layers(images, made, published):
    """As they came, though they aren't here, so that they needn't be sent again."""
    pull(images, "here/a:1")
    image = images.adopt(images.snapshot(images.get("here/a:1")), {"os": "linux", "architecture": "amd64"})
    assert image.layers == published.layers
    assert blobs(made) == own(image) | own(images.get("here/a:1"))
    with made.content.lease() as lease:  # who has to have the blobs gets others, of the same files
        stored = images.layers(images.snapshot(image), lease)
        assert all(made.content.info(each.digest).size_bytes == each.size_bytes for each in stored)


_KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from images.store_parts import parts, store_of
from moby.values import evolve
images = store_of(evolve(parts(Path(sys.argv[2])), drop_blobs=True))
def hook(event, arguments):
    if event == "os.remove" and "/blobs/" in str(arguments[0]):
        os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(hook)
list(images.load(sys.stdin.buffer))
"""


def test_killed_between_unpacking_and_dropping(tmp_path, made, images):
    """The image is whole, and the next start drops the blobs."""
    code = [sys.executable, "-c", _KILLED, Path(__file__).parents[1], tmp_path]
    done = subprocess.run(code, input=docker(PACKED, "a:1"), check=False)
    assert done.returncode == -signal.SIGKILL
    image = images.get("a:1")
    assert len(blobs(made)) > len(own(image))
    with images:
        assert blobs(made) == own(image)
        changed(images, "c", "a:1")
        assert images.prune().removals == ()
