"""Pulls that are killed, meet a full disk or damaged stores: the whole image or none, and the next pull mends it."""

import errno
import gzip
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from images.store_parts import parts, store_of
from moby_image_registry.folder.layouts import Layouts
from moby_images.store.crew import Crew, GivenUp
from moby_metadata.sqlite.store import Store as Metadata

from moby.contracts.image_registry import Manifest
from moby.errors import HostUnfit, Invalid, NotFound
from moby.oci.digest import sha256
from moby.oci.reference import parse
from moby.oci.unpack import Limits
from moby.testing.archives import Archived, described
from moby.testing.image_transfers import Recorder, send
from moby.testing.images import layer_of

NAME = "example.org/a:1"
LAYERS = [layer_of({f"f{number}": os.urandom(1_500_000)}) for number in range(2)]


@pytest.fixture
def made():
    return Archived(LAYERS, packed=[gzip.compress(each, 1, mtime=0) for each in LAYERS])


@pytest.fixture
def registry(tmp_path, made):
    found = Layouts(tmp_path / "registry")
    send(found, NAME, made)
    return found


@pytest.fixture
def store(tmp_path):
    with Metadata(tmp_path / "metadata.db") as metadata:
        yield parts(tmp_path, metadata)


def pulled(images, name=NAME, **options):
    return [each.image for each in images.pull(parse(name), **options) if each.image][-1]


_KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from images.store_parts import parts, store_of
from moby_image_registry.folder.layouts import Layouts
from moby.oci.reference import parse
count = int(sys.argv[4])
def hook(event, arguments):
    global count
    if event in ("os.rename", "open", "os.mkdir", "os.remove"):
        count -= 1
        if count == 0:
            os.kill(os.getpid(), signal.SIGKILL)
images = store_of(parts(Path(sys.argv[2])), Layouts(Path(sys.argv[3])))
sys.addaudithook(hook)
for each in images.pull(parse("example.org/a:1")):
    pass
"""


@pytest.mark.slow
def test_killed_at_any_moment(tmp_path, registry, made):
    """At every so-many-eth step that changes the disk; afterwards all is whole, and the next pull does the rest."""
    tests, ended, moment, seen = Path(__file__).parents[1], False, 1, set()
    while not ended:
        base = tmp_path / str(moment)
        base.mkdir()
        code = [sys.executable, "-c", _KILLED, tests, base, tmp_path / "registry", str(moment)]
        done = subprocess.run(code, check=False, stderr=subprocess.PIPE)
        assert done.returncode in (0, -signal.SIGKILL), done.stderr.decode()
        ended = done.returncode == 0
        with Metadata(base / "metadata.db") as metadata:
            images = store_of(parts(base, metadata), registry)
            with images._shared.parts.snapshotter, images:
                pass
            found = images.list(all=True)
            seen.add(len(found))
            for each in found:
                assert [tar.read() for tar in images.export_layers(each)] == LAYERS
            image = pulled(images)
            assert str(image.id) == made.id
            assert [tar.read() for tar in images.export_layers(image)] == LAYERS
            images.remove(NAME)
            images._shared.parts.content.collect(list, idle_s=-60)
            assert not list((base / "content/blobs/sha256").iterdir())
            assert not list((base / "content/ingest").iterdir())
            assert not [each for each in (base / "snapshots").glob("*") if each.is_dir()]
        moment += max(1, moment // 3)
    assert seen == {0, 1}


def test_what_a_killed_one_fetched_is_gone_on_with(store, registry, made):
    layer = made.packed[0]
    with store.content.lease() as lease, store.content.writer(f"fetch-{sha256(layer)}", lease) as writer:
        writer.write(layer[:1000])
    recorder = Recorder(registry)
    pulled(store_of(store, recorder))
    assert (sha256(layer), 1000) in recorder.blobs


@pytest.mark.parametrize("before", [b"longer", b"wrong"])
def test_what_came_before_was_wrong(store, registry, made, before):
    layer = made.packed[0]
    with store.content.lease() as lease, store.content.writer(f"fetch-{sha256(layer)}", lease) as writer:
        writer.write(layer + b"more" if before == b"longer" else b"wrong")
    images = store_of(store, registry)
    assert [tar.read() for tar in images.export_layers(pulled(images))] == LAYERS


def test_a_full_disk_keeps_nothing(store, registry, monkeypatch):
    real, left = os.write, [2]

    def write(fd, data):
        if len(data) > 10_000:
            left[0] -= 1
            if left[0] < 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(fd, data)

    images = store_of(store, registry)
    monkeypatch.setattr(os, "write", write)
    with pytest.raises(HostUnfit, match="No space left"):
        pulled(images)
    monkeypatch.setattr(os, "write", real)
    assert store.content.ingests() == ()
    assert images.list(all=True) == ()
    assert pulled(images)


def test_a_blob_that_somebody_took_away_is_fetched_again(store, registry, made):
    images = store_of(store, registry)
    image = pulled(images)
    store.content.delete(sha256(made.packed[1]))
    assert pulled(images) == image
    assert [tar.read() for tar in images.export_layers(image)] == LAYERS
    store.content.delete(sha256(made.packed[1]))
    with pytest.raises(NotFound, match="lacks its blob"):
        list(images.push(parse(NAME)))


def test_more_than_may_be_unpacked(tmp_path, registry):
    with Metadata(tmp_path / "metadata.db") as metadata:
        images = store_of(parts(tmp_path, metadata, limits=Limits(100_000, 1000)), registry)
        with pytest.raises(Invalid, match="it may unpack to 100000 at most"):
            pulled(images)


def _manifest(made, **changes):
    document = json.loads(made.manifest) | changes
    made.manifest = json.dumps(document).encode()
    return made


def test_a_config_as_large_as_a_layer(store, registry, made):
    config = described(b"", "application/vnd.oci.image.config.v1+json") | {"size": 1 << 40}
    data = json.dumps(json.loads(made.manifest) | {"config": config}).encode()
    made.manifest = data

    class Lying(Recorder):
        def manifest(self, reference, credentials=None):
            return Manifest(sha256(data), "application/vnd.oci.image.manifest.v1+json", data)

    with pytest.raises(Invalid, match="are allowed for a config"):
        pulled(store_of(store, Lying(registry)))


def test_a_blob_of_another_size_than_is_said(store, registry, made):
    images = store_of(store, registry)
    pulled(images)
    layers = json.loads(made.manifest)["layers"]
    layers[0]["size"] += 1
    send(registry, "example.org/b:1", _manifest(made, layers=layers))
    with pytest.raises(Invalid, match="as the image says"):
        pulled(images, "example.org/b:1")


def test_an_index_without_end(store, registry):
    index = "application/vnd.oci.image.index.v1+json"
    platform = {"os": "linux", "architecture": "amd64"}

    class Endless(Recorder):
        def manifest(self, reference, credentials=None):
            entry = described(os.urandom(8), index, platform=platform)
            data = json.dumps({"schemaVersion": 2, "mediaType": index, "manifests": [entry]}).encode()
            return Manifest(sha256(data), index, data)

    with pytest.raises(Invalid, match="nested deeper"):
        pulled(store_of(store, Endless(registry)))


def test_a_repository_without_tags(store, registry):
    class Empty(Recorder):
        def tags(self, reference, credentials=None):
            return iter(())

    with pytest.raises(NotFound, match="has no tags"):
        list(store_of(store, Empty(registry)).pull(parse("example.org/a", default_tag=False)))


def test_what_happens_is_told(store, registry):
    images = store_of(store, registry)
    pulled(images)
    list(images.push(parse(NAME)))
    list(images.pull(parse("example.org/a", default_tag=False)))
    told = [(each.action, each.id, each.attributes["name"]) for each in store.events.told]
    assert told == [
        ("pull", NAME, "example.org/a"), ("push", NAME, "example.org/a"), ("pull", "example.org/a", "example.org/a"),
    ]  # fmt: skip


def test_compressed_otherwise_than_before(store, registry):
    """Another zlib's bytes are other bytes: what was noted of the last one's is put right."""
    images = store_of(store, registry)
    image = images.add(parse("example.org/c:1"), [__import__("io").BytesIO(LAYERS[0])], pulled(images).config)
    noted = store.metadata.bucket("image-compressed")
    noted.put(str(image.layers[0]), {"digest": str(sha256(b"other")), "size_bytes": 5})
    list(images.push(parse("example.org/c:1")))
    assert noted.get(str(image.layers[0]))["digest"] != str(sha256(b"other"))
    images.remove("example.org/c:1")
    assert pulled(images, "example.org/c:1").id == image.id


class TestCrew:
    def test_the_first_failure_ends_all(self):
        crew, ran = Crew(), []

        def fails(tell):
            raise Invalid("first")

        def waits(tell):
            while True:
                crew.wait(10)

        with pytest.raises(Invalid, match="first"):
            list(crew.work((1, [fails, ran.append]), (1, [waits])))
        assert ran == []
        with pytest.raises(GivenUp):
            crew.check()

    def test_a_bug_is_not_swallowed(self):
        with pytest.raises(ZeroDivisionError):
            list(Crew().work((1, [lambda tell: tell(1 / 0)])))
