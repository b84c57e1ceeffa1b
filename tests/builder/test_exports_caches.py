"""Caches to and from elsewhere: what one engine writes, another finds, and fetches only what it needs."""

import base64
import io
import json

import pytest
from exporting import Blobs, Heard, config, kept, opened_yard, solution, solved
from image_registry.services.real import registry
from moby_builder.dockerfile.exports.caches.format import CONFIG, INLINE, parse, parse_records
from moby_builder.dockerfile.exports.caches.mounts import mounts_in
from moby_builder.dockerfile.operations import MountKind, Node, Run, RunMount
from moby_builder.dockerfile.solver.effects import Cancel, Tree

from moby.contracts.builder import CacheExport, CacheSource, Export, ExportType
from moby.errors import Conflict, Corrupt, Invalid, MobyError, NotFound, Unsupported
from moby.oci.digest import parse as digest_of
from moby.oci.digest import sha256
from moby.oci.reference import parse as reference_of
from moby.testing.images import add, layer_of
from moby.testing.mounted import own_mounts
from moby.testing.snapshotter import tar
from moby.values import evolve

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"


@pytest.fixture(scope="module", autouse=True)
def apart():
    with own_mounts(shared=True):
        yield


@pytest.fixture
def yard(tmp_path):
    with opened_yard(tmp_path / "one") as yard:
        yield yard


@pytest.fixture
def other(tmp_path):
    with opened_yard(tmp_path / "two") as yard:
        yield yard


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    with registry(tmp_path_factory.mktemp("registry")) as host:
        yield host


def key(name):
    return sha256(name.encode()).hex


def built(yard):
    """Build on an image two layers, beside a stage whose result isn't in the image."""
    base = add(yard.images, "base", layer_of({"a": b"1"}))
    below = yard.images.snapshot(base)
    first = yard.layer("1", tar(b=b"2"), below)
    top = yard.layer("2", tar(c=b"3"), first)
    aside = yard.layer("aside", tar(d=b"4"), below)
    steps = [kept(below, "from"), kept(first, "one"), kept(top, "two"), kept(aside, "aside"), kept("", "nothing"),
             kept("builder/pruned", "pruned")]  # fmt: skip
    return solution(solved(top, "base", "RUN 1", "RUN 2", base=below, kept=steps))


def read(yard, *sources):
    return yard.reading.open(sources, yard.client, yard.begin)


def exported(yard, snapshot):
    """Return the id of an image of a snapshot."""
    return yard.export(solution(solved(snapshot, "base", "RUN 1", "RUN 2")), Export(ExportType.IMAGE))[0].image


def files(yard, snapshot):
    image = yard.images.adopt(snapshot, config())
    with yard.images.rootfs(image) as root:
        return {each.name: each.read_text() for each in root.iterdir()}


def fetched(yard, cache, name):
    found = cache.find(key(name))
    yard_key = f"builder/{name}"
    cache.fetch(found, yard_key, Heard("fetch", yard.told))
    return files(yard, yard_key)


@pytest.mark.parametrize(("mode", "there"), [("min", ["from", "one", "two"]), ("max", ["from", "one", "two", "aside"])])
@pytest.mark.parametrize("as_image", [True, False])
def test_an_image_registry(yard, other, service, mode, there, as_image):
    """What was built here is found there, and its layers are the same."""
    name = f"{service}/cache-{mode}-{as_image}".lower()
    attributes = {"ref": name, "image-manifest": str(as_image)}
    [done] = yard.export(built(yard), caches=[CacheExport("registry", mode, attributes)])
    [written] = done.cache
    manifest = yard.registry.manifest(reference_of(name))
    assert (written.digest, written.media_type) == (manifest.digest, manifest.media_type)
    assert written.size_bytes == len(manifest.data)
    document = json.loads(manifest.data)
    configs = [document["config"]] if as_image else document["manifests"][-1:]
    assert [each["mediaType"] for each in configs] == [CONFIG]
    [cache] = read(other, CacheSource("registry", {"ref": name}))
    names = ("from", "one", "two", "aside", "nothing", "pruned")
    assert [each for each in names if cache.find(key(each))] == there
    assert cache.find(key("two")).identity == "identity-two"
    assert cache.find(key("two")).created_ns == 1_700_000_000_000_000_000
    assert fetched(other, cache, "two") == {"a": "1", "b": "2", "c": "3"}


def test_only_what_is_needed_is_fetched(yard, other, service):
    """Blobs of what is found, and of these only those that aren't here."""
    name = f"{service}/lazy"
    yard.export(built(yard), caches=[CacheExport("registry", "max", {"ref": name})])
    [cache] = read(other, CacheSource("registry", {"ref": name}))
    assert other.content.list() == ()
    assert fetched(other, cache, "one") == {"a": "1", "b": "2"}
    layers = cache.find(key("one")).layers
    stored = {each.digest for each in other.content.list()}
    assert {each.digest for each in layers} <= stored
    assert cache.find(key("two")).layers[-1].digest not in stored
    begun = [text for name, text in other.told if name == "fetch"]
    fetched(other, cache, "two")
    again = [text for name, text in other.told if name == "fetch"][len(begun) :]
    assert again == [str(cache.find(key("two")).layers[-1].digest)]
    with pytest.raises(Conflict, match="builder/two"):
        fetched(other, cache, "two")


@pytest.mark.parametrize("compression", ["zstd", "uncompressed"])
def test_a_folder_of_the_clients(yard, other, compression):
    attributes = {"dest": "/there", "compression": compression, "force-compression": "true"}
    [done] = yard.export(built(yard), caches=[CacheExport("local", "max", attributes)])
    other.client.stores["local:/there"] = yard.client.stores["local:/there"]
    [cache] = read(other, CacheSource("local", {"src": "/there", "digest": str(done.cache[0].digest)}))
    assert {each.media_type.rpartition(".")[2] for each in cache.find(key("two")).layers} == {
        {"zstd": "tar+zstd"}.get(compression, "tar")
    }
    assert fetched(other, cache, "aside") == {"a": "1", "d": "4"}
    assert fetched(other, cache, "two") == {"a": "1", "b": "2", "c": "3"}
    assert exported(other, "builder/two") == exported(yard, "builder/2")  # to the nanosecond


def test_inside_an_image(yard, other, service):
    """The config tells by which keys its layers are found; a push makes it a cache for everybody."""
    name = f"{service}/inline:1"
    target = built(yard)
    wanted = Export(ExportType.IMAGE, names=(name,), push=True)
    pushed, caches = yard.export(target, wanted, caches=[CacheExport("inline")])
    assert caches.cache == ()
    text = yard.images.get(name).raw_config[INLINE]
    assert [each["layers"] for each in json.loads(base64.b64decode(text))] != []
    [cache] = read(other, CacheSource("registry", {"ref": name}))
    assert [each for each in ("from", "one", "two", "aside") if cache.find(key(each))] == ["from", "one", "two"]
    assert fetched(other, cache, "two") == {"a": "1", "b": "2", "c": "3"}
    assert pushed.image == yard.images.get(name).id
    assert exported(other, "builder/two") == exported(yard, "builder/2")


def test_inside_an_image_of_several_platforms(yard, other, service):
    name = f"{service}/inline-index:1"
    target = built(yard)
    [one] = target.targets
    both = evolve(target, targets=(one, evolve(one, platform=evolve(one.platform, architecture="riscv64"))))
    wanted = Export(ExportType.IMAGE, names=(name,), push=True, attributes={"store": "false"})
    yard.export(both, wanted, caches=[CacheExport("inline")])
    [cache] = read(other, CacheSource("registry", {"ref": name}))
    assert cache.find(key("two"))


def test_the_same_cache_twice(yard):
    """Has the same digest."""
    target = built(yard)
    wanted = [CacheExport("local", "max", {"dest": each}) for each in ("/a", "/b")]
    [done] = yard.export(target, caches=wanted)
    assert done.cache[0].digest == done.cache[1].digest


def test_caches_that_cannot_be_read_are_told(yard, service):
    """And left out."""
    add(yard.images, f"{service}/plain:1")
    for _ in yard.images.push(reference_of(f"{service}/plain:1")):
        pass
    yard.client.stores["local:/x"] = Blobs({sha256(b"{}"): b"[]"})
    assert read(
        yard,
        CacheSource("registry", {"ref": f"{service}/absent"}),
        CacheSource("registry", {"ref": f"{service}/plain:1"}),
        CacheSource("local", {"src": "/x", "digest": str(sha256(b"{}"))}),
        CacheSource("local", {"src": "/x", "digest": str(sha256(b"absent"))}),
    ) == ()  # fmt: skip
    told = [text for _, text in yard.told if "can't be used" in text]
    for text, shown in zip(told, ("absent", "no cache in its config", "damaged", "no blob"), strict=True):
        assert shown in text


def stored(blobs, document, media_type=MANIFEST):
    """Put a document into a store; return what describes it."""
    data = document if isinstance(document, bytes) else json.dumps(document).encode()
    blobs.kept[sha256(data)] = data
    return {"mediaType": media_type, "digest": str(sha256(data)), "size": len(data)}


def image_of(blobs, inline, layers=1):
    config = {"os": "linux", "architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": [str(sha256(b"d"))]}}
    described = stored(blobs, {**config, INLINE: inline}, "application/vnd.oci.image.config.v1+json")
    blob = {"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": str(sha256(b"d")), "size": 1}
    return {"schemaVersion": 2, "mediaType": MANIFEST, "config": described, "layers": [blob] * layers}


def too_big(blobs):
    described = {**stored(blobs, b"{}", CONFIG), "size": 65 << 20}
    return {"schemaVersion": 2, "mediaType": INDEX, "manifests": [described]}


def of_nobody(blobs):
    """Return an index of an image that isn't there, and of attestations."""
    platforms = ({"os": "linux", "architecture": "amd64"}, {"os": "unknown", "architecture": "unknown"})
    listed = [{"mediaType": MANIFEST, "digest": str(sha256(b"absent")), "size": 1, "platform": each}
              for each in platforms]  # fmt: skip
    return {"schemaVersion": 2, "mediaType": INDEX, "manifests": listed}


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (too_big, "are allowed"),
        (of_nobody, "no image of it has a cache"),
        (lambda blobs: image_of(blobs, "W10=", layers=2), "another number of layers"),
        (lambda blobs: image_of(blobs, "~"), "isn't base64"),
        (lambda blobs: image_of(blobs, base64.b64encode(b"{").decode()), "isn't JSON"),
        (lambda blobs: b"text", "is no JSON"),
    ],
)
def test_images_and_indexes_that_are_wrong(yard, make, text):
    """Are told, and left out."""
    blobs = yard.client.stores["local:/x"] = Blobs()
    described = stored(blobs, make(blobs))
    assert read(yard, CacheSource("local", {"src": "/x", "digest": described["digest"]})) == ()
    [told] = [each for _, each in yard.told if "can't be used" in each]
    assert text in told


@pytest.mark.parametrize(
    ("source", "error", "text"),
    [
        (CacheSource("gha"), Unsupported, "'gha'"),
        (CacheSource("registry"), Invalid, "requires ref"),
        (CacheSource("local", {"src": "/x"}), Invalid, "requires src and digest"),
        (CacheSource("registry", {"ref": "a", "new": "1"}), Unsupported, "no attribute 'new'"),
    ],
)
def test_sources_that_are_refused(yard, source, error, text):
    with pytest.raises(error, match=text):
        read(yard, source)


@pytest.mark.parametrize(
    ("cache", "error", "text"),
    [
        (CacheExport("s3"), Unsupported, "'s3'"),
        (CacheExport("registry"), Invalid, "requires ref"),
        (CacheExport("local"), Invalid, "requires dest"),
        (CacheExport("local", "most", {"dest": "/x"}), Invalid, "no mode 'most'"),
        (CacheExport("inline", "max"), Invalid, "no mode 'max'"),
        (CacheExport("inline", attributes={"ref": "a"}), Unsupported, "no attribute 'ref'"),
        (CacheExport("local", attributes={"dest": "/x", "new": "1"}), Unsupported, "no attribute 'new'"),
        (CacheExport("local", attributes={"dest": "/x", "compression": "estargz"}), Unsupported, "estargz"),
    ],
)
def test_exports_that_are_refused(yard, cache, error, text):
    """Before anything is written."""
    with pytest.raises(error, match=text):
        yard.export(built(yard), Export(ExportType.IMAGE, names=("app",)), caches=[cache])
    with pytest.raises(NotFound):
        yard.images.get("app")


def test_an_error_that_is_ignored(yard):
    """Is told."""
    attributes = {"ref": "127.0.0.1:1/nobody", "ignore-error": "true"}
    [done] = yard.export(built(yard), caches=[CacheExport("registry", "min", attributes)])
    assert done.cache == ()
    assert [name for name, text in yard.told if "which was ignored" in text] == ["exporting cache to registry"]
    with pytest.raises(MobyError):
        yard.export(built_again(yard), caches=[CacheExport("registry", "min", {"ref": "127.0.0.1:1/nobody"})])


def built_again(yard):
    return solution(solved("builder/2", kept=[kept("builder/2", "two")]))


def test_a_blob_that_is_another(yard, other):
    """Is Corrupt, and nothing of it stays."""
    [done] = yard.export(built(yard), caches=[CacheExport("local", "min", {"dest": "/x"})])
    store = other.client.stores["local:/x"] = yard.client.stores["local:/x"]
    [cache] = read(other, CacheSource("local", {"src": "/x", "digest": str(done.cache[0].digest)}))
    found = cache.find(key("one"))
    store.kept[found.layers[-1].digest] = b"another"
    with pytest.raises(Corrupt):
        cache.fetch(found, "builder/x", Heard("fetch", []))
    assert found.layers[-1].digest not in {each.digest for each in other.content.list()}
    assert [each.key for each in other.snapshotter.list() if each.key == "builder/x"] == []


# Cache mounts


def keeping(yard, *ids):
    """Return something built with cache mounts, in each of which is a file."""
    for each in ids:
        with yard.mounts.lend(each, "shared", Tree(), f"mount {each}", Cancel()) as path:
            (path / "kept").write_text(each)
    mounts = (*(RunMount(MountKind.CACHE, "/m", id=each) for each in (*ids, "absent")), RunMount(MountKind.TMPFS, "/t"))
    root = Node(Run(("x",), mounts=(*mounts, RunMount(MountKind.CACHE, "/o", input=0, id="begun"))))
    top = yard.layer("1", tar(a=b"1"))
    return solution(evolve(solved(top, kept=[kept(top, "one")]), root=root))


@pytest.mark.parametrize("as_image", [True, False])
@pytest.mark.parametrize("compression", ["gzip", "zstd", "uncompressed"])
def test_cache_mounts_go_along(yard, other, as_image, compression):
    """Where that is asked for, at both ends; one that is there stays as it is."""
    attributes = {
        "dest": "/x", "cache-mounts": "true", "image-manifest": str(as_image), "compression": compression,
    }  # fmt: skip
    [done] = yard.export(keeping(yard, "one", "two"), caches=[CacheExport("local", "max", attributes)])
    assert [text for _, text in yard.told if "absent is in use or gone" in text]
    other.client.stores = yard.client.stores
    with other.mounts.lend("two", "shared", Tree(), "mine", Cancel()) as path:
        (path / "kept").write_text("other")
    source = {"src": "/x", "digest": str(done.cache[0].digest)}
    read(other, CacheSource("local", source))
    assert [each.id for each in other.mounts.list()] == ["two"]
    for _ in range(2):
        assert len(read(other, CacheSource("local", {**source, "cache-mounts": "true"}))) == 1
    assert {each.id: each.description for each in other.mounts.list()} == {"one": "mount one", "two": "mine"}
    for each, text in (("one", "one"), ("two", "other")):
        with other.mounts.lend(each, "shared", Tree(), "again", Cancel()) as path:
            assert (path / "kept").read_text() == text


def test_a_cache_mount_that_a_step_has_alone(yard, other):
    """Isn't taken, nor made while somebody begins with it."""
    attributes = {"dest": "/x", "cache-mounts": "true"}
    built = keeping(yard, "one")
    with yard.mounts.lend("one", "locked", Tree(), "", Cancel()):
        [done] = yard.export(built, caches=[CacheExport("local", "max", attributes)])
    assert [text for _, text in yard.told if "cache mount one is in use" in text]
    assert "mounts" not in json.loads(yard.client.stores["local:/x"].kept[sole_config(yard, done)])
    [done] = yard.export(built, caches=[CacheExport("local", "max", attributes)])
    [mount] = mounts_in(yard.client.stores["local:/x"].kept[sole_config(yard, done)])
    with other.mounts.lend("one", "locked", Tree(), "", Cancel()):
        assert other.mounts.bring(mount.id, "late", io.BytesIO()) is False


def sole_config(yard, done):
    index = json.loads(yard.client.stores["local:/x"].kept[done.cache[0].digest])
    return digest_of(index["manifests"][-1]["digest"])


def test_a_cache_mount_that_was_being_filled(yard):
    """By a process that was killed: it is made anew; one whose layer is none isn't made."""
    with pytest.raises(Invalid):
        yard.mounts.bring("one", "bad", io.BytesIO(b"no tar" * 200))
    assert (yard.mounts.list(), yard.snapshotter.list()) == ((), ())
    yard.mounts.bring("one", "good", io.BytesIO(tar(a=b"1")))
    [key] = [each.key for each in yard.mounts.list()]
    yard.parts.metadata.bucket("builder/cache-mounts").delete(key)
    with yard.mounts.lend("one", "shared", Tree(), "new", Cancel()) as path:
        assert list(path.iterdir()) == []
    yard.parts.metadata.bucket("builder/cache-mounts").delete(key)
    assert yard.mounts.bring("one", "again", io.BytesIO(tar(b=b"1")))


def test_mounts_that_are_wrong():
    for each in (1, {}, {"id": "a", "description": "", "blob": str(sha256(b"")), "mediaType": "m", "size": "x"}):
        with pytest.raises(Invalid, match="mount 0 lacks"):
            mounts_in(json.dumps({"mounts": [each]}).encode())
    with pytest.raises(Invalid, match="aren't a list"):
        mounts_in(b'{"mounts": 1}')


# The format


LAYER = {
    "blob": str(sha256(b"b")), "parent": -1,
    "annotations": {"mediaType": "m", "diffID": str(sha256(b"d")), "size": 1},
}  # fmt: skip


@pytest.mark.parametrize(
    ("document", "text"),
    [
        (b"{", "isn't JSON"),
        (b"[" * 100_000, "isn't JSON"),
        (b"[]", "isn't an object"),
        ({"layers": {}, "records": []}, None),
        ({"layers": "many"}, "a list is missing"),
        ({"records": 1}, "a list is missing"),
        ({"layers": [1]}, "layer 0 lacks"),
        ({"layers": [{**LAYER, "annotations": {}}]}, "layer 0 lacks"),
        ({"layers": [{**LAYER, "parent": 0}]}, "layer 0 has a parent that isn't listed"),
        ({"layers": [{**LAYER, "parent": "x"}]}, "layer 0 has a parent that isn't listed"),
        ({"layers": [{**LAYER, "blob": "x"}]}, "no digest"),
        ({"layers": [{**LAYER, "annotations": {**LAYER["annotations"], "size": -1}}]}, "layer 0 has no size"),
    ],
)
def test_configs_that_are_wrong(document, text):
    data = document if isinstance(document, bytes) else json.dumps(document).encode()
    if text is None:
        assert parse(data) == ((), ())
        return
    with pytest.raises(Invalid, match=text):
        parse(data)


def test_records_of_others_are_passed_over():
    """Those that BuildKit writes have no identity; and what leads nowhere is none."""
    records = [
        1, {"digest": "sha256:1", "layers": [{"layer": 0}]}, {"digest": "sha256:2", "identity": "i", "layers": [1]},
        {"digest": "sha256:3", "identity": "i", "layers": [{"layer": 5, "createdAt": "x"}]},
        {"digest": "sha256:4", "identity": "i", "layers": [{"layer": 0, "createdAt": "x"}]},
    ]  # fmt: skip
    assert [(each.key, each.created_ns) for each in parse_records(json.dumps(records).encode(), 1)] == [("4", 0)]
