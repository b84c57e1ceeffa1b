import fcntl
import gzip
import io
import json
import os
import subprocess
import sys

import pytest
from attrs import evolve
from descriptors import closed_again, descriptors
from moby_images.layout.store import Layout

from moby.errors import Corrupt, HostUnfit, Invalid, NotFound, Unsupported
from moby.oci import image as formats
from moby.oci.digest import sha256
from moby.oci.reference import parse
from moby.oci.unpack import Limits
from moby.testing.image_mutants import MUTANTS
from moby.testing.images import CONFIG, ImagesSuite, add, layer_of


@pytest.fixture
def state(tmp_path):
    return tmp_path / "state"


@pytest.fixture
def images(state):
    return Layout(state)


class TestLayout(ImagesSuite):
    @pytest.fixture
    def store(self, state):
        return lambda: Layout(state)


class TestLayoutUnprivileged:
    @pytest.mark.parametrize("test", [name for name in vars(ImagesSuite) if name.startswith("test_")])
    def test_suite(self, test, unprivileged):
        unprivileged(lambda folder: getattr(ImagesSuite(), test)(lambda: Layout(folder / "state")))


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_mutant_is_caught(mutant, state):
    with pytest.raises(BaseException) as caught:  # an assertion, pytest.fail, or what the fault raises
        getattr(ImagesSuite(), mutant.test)(lambda: mutant.wrap(Layout(state)))
    assert not isinstance(caught.value, KeyboardInterrupt | AttributeError | TypeError)


# What is on disk


def blobs(state):
    return {path.name for path in (state / "layout/blobs/sha256").iterdir()}


def test_it_is_an_oci_image_layout(state, images):
    image = add(images, "me/app:1")
    assert json.loads((state / "layout/oci-layout").read_text()) == {"imageLayoutVersion": "1.0.0"}
    [descriptor] = formats.parse_index((state / "layout/index.json").read_bytes()).manifests
    assert descriptor.digest == image.digest
    assert descriptor.annotations == {
        "io.containerd.image.name": "docker.io/me/app:1",
        "org.opencontainers.image.ref.name": "1",
    }
    for name in blobs(state):
        assert sha256((state / "layout/blobs/sha256" / name).read_bytes()).hex == name
    assert blobs(state) == {image.id.hex, image.digest.hex, image.layers[0].hex}


def test_removing_leaves_no_blob_behind(state, images):
    add(images, "a", layer_of({"x": b"1"}), layer_of({"shared": b""}))
    kept = add(images, "b", layer_of({"y": b"1"}), layer_of({"shared": b""}))
    images.remove("a")
    assert blobs(state) == {kept.id.hex, kept.digest.hex, *(each.hex for each in kept.layers)}
    images.remove("b")
    assert blobs(state) == set()


@pytest.mark.parametrize("failure", [ZeroDivisionError, KeyboardInterrupt])
def test_a_failed_add_leaves_no_file_behind(state, images, failure):
    class Raising(io.RawIOBase):
        def read(self, size=-1):
            raise failure

    with pytest.raises(failure):
        images.add(parse("a"), [io.BytesIO(layer_of({})), Raising()], CONFIG)
    assert blobs(state) == set()
    assert list((state / "ingest").iterdir()) == []


def test_config_that_could_not_be_read_back_is_not_stored(state, images):
    with pytest.raises(Invalid, match="holds a NUL"):
        images.add(parse("a"), [], evolve(CONFIG, command=("\0",)))
    assert blobs(state) == set()


KILLED = """
import io, os, signal, sys
from pathlib import Path
from moby_images.layout.store import Layout
from moby.oci.reference import parse
from moby.testing.images import CONFIG, add, layer_of
class Killing(io.RawIOBase):
    def read(self, size=-1):
        os.kill(os.getpid(), signal.SIGKILL)
images = Layout(Path(sys.argv[1]))
if sys.argv[2] == "add":
    images.add(parse("a"), [io.BytesIO(layer_of({"x": b"y"})), Killing()], CONFIG)
else:
    with images.rootfs(images.get("a")):
        os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize(("verb", "folder"), [("add", "ingest"), ("rootfs", "rootfs")])
def test_what_a_killed_process_left_is_swept(state, images, verb, folder):
    before = add(images, "a")
    with images.rootfs(before) as mine:
        killed = subprocess.run(
            [sys.executable, "-c", KILLED, state, verb], check=False, capture_output=True, text=True
        )
        assert (killed.returncode, killed.stderr) == (-9, "")
        assert images.list() == (before,)
        assert len(list((state / folder).iterdir())) == 1 + (verb == "rootfs")
        add(images, "b")
        with images.rootfs(before):
            assert len(list((state / "rootfs").iterdir())) == 2
        assert (mine / "name").read_bytes() == b"a"
    assert list((state / folder).iterdir()) == []


PROCESS = """
import sys
from pathlib import Path
from moby_images.layout.store import Layout
from moby.oci.reference import parse
from moby.testing.images import add
images = Layout(Path(sys.argv[1]))
for number in range(10):
    name = f"p{sys.argv[2]}:{number}"
    add(images, name)
    if number % 2:
        images.remove(name)
"""


@pytest.mark.slow
def test_processes_lose_nothing_of_each_others(state, images):
    running = [subprocess.Popen([sys.executable, "-c", PROCESS, state, str(each)]) for each in range(3)]
    assert [each.wait() for each in running] == [0, 0, 0]
    expected = sorted(f"docker.io/library/p{each}:{number}" for each in range(3) for number in range(0, 10, 2))
    assert [str(each.references[0]) for each in images.list()] == expected


@pytest.mark.slow
def test_a_lock_is_waited_for(state, images):
    add(images, "a")
    script = (
        f"from pathlib import Path\nfrom moby_images.layout.store import Layout\nLayout(Path({str(state)!r})).list()"
    )
    with (state / "lock").open("r+") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        reader = subprocess.Popen([sys.executable, "-c", script])
        with pytest.raises(subprocess.TimeoutExpired):
            reader.wait(1)
    assert reader.wait(120) == 0


def damage(state, digest, data):
    path = state / "layout/blobs/sha256" / digest.hex
    if data is None:
        path.unlink()
    else:
        path.write_bytes(data)


@pytest.mark.parametrize("part", ["layer", "config", "manifest"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param(lambda data: None, "is missing", id="missing"),
        pytest.param(lambda data: data[:-1], "bytes", id="short"),
        pytest.param(lambda data: data + b" ", "longer", id="long"),
        pytest.param(lambda data: data[:-1] + b"\x7f", "hashes to", id="changed"),
    ],
)
def test_damaged_blob_is_corrupt_and_can_be_removed(state, images, part, change, message):
    image = add(images, "a")
    digest = {"layer": image.layers[0], "config": image.id, "manifest": image.digest}[part]
    damage(state, digest, change((state / "layout/blobs/sha256" / digest.hex).read_bytes()))
    with pytest.raises(Corrupt, match=message):
        images.get("a") if part != "layer" else None
        with images.rootfs(image):
            pytest.fail("a damaged image was lent")
    assert list((state / "rootfs").iterdir()) == []
    assert str(images.remove("a")[0]) == "Untagged: a:latest"
    assert images.list() == ()
    assert blobs(state) == set()


def test_damaged_layer_is_not_exported(state, images):
    image = add(images, "a")
    path = state / "layout/blobs/sha256" / image.layers[0].hex
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    [reader] = images.export_layers(image)
    with pytest.raises(ValueError, match="closed"):
        reader.read()
    with pytest.raises(Corrupt, match="hashes to"):
        for each in images.export_layers(image):
            each.read()


def test_a_damaged_image_is_named(state, images):
    image = add(images, "a")
    damage(state, image.id, None)
    with pytest.raises(Corrupt, match=r"image a:latest can't be used: blob .* is missing.*\n  fix: remove a:latest"):
        images.list()


def test_a_damaged_neighbour_keeps_blobs_until_it_goes(state, images):
    image, other = add(images, "a"), add(images, "b")
    damage(state, image.digest, b"x")
    images.remove("b")
    assert other.layers[0].hex in blobs(state)
    with pytest.raises(NotFound):
        images.get(other.id.hex)
    images.remove("a")
    assert blobs(state) == set()


@pytest.mark.parametrize("data", [b"", b"{}", b"[" * 10_000])
def test_damaged_index_is_corrupt(state, images, data):
    add(images, "a")
    (state / "layout/index.json").write_bytes(data)
    with pytest.raises(Corrupt, match=r"index\.json is damaged"):
        images.list()


# Images that others wrote


def put(state, data):
    digest = sha256(data)
    (state / "layout/blobs/sha256" / digest.hex).write_bytes(data)
    return digest


def foreign(state, layers, *, diff_ids=None, annotations=None, gzipped=False):
    """Write an image as another tool would."""
    Layout(state).list()
    kind = formats.LAYER_GZIP if gzipped else formats.LAYER
    packed = [gzip.compress(each) if gzipped else each for each in layers]
    descriptors = tuple(formats.Descriptor(kind, put(state, each), len(each)) for each in packed)
    ids = [sha256(each) for each in layers] if diff_ids is None else diff_ids
    config = formats.dump_config(CONFIG, formats.Platform(), ids)
    manifest = formats.dump_manifest(
        formats.Manifest(formats.Descriptor(formats.CONFIG, put(state, config), len(config)), descriptors)
    )
    entry = formats.Descriptor(formats.MANIFEST, put(state, manifest), len(manifest), annotations=annotations or {})
    (state / "layout/index.json").write_bytes(formats.dump_index(formats.Index((entry,))))


@pytest.mark.parametrize("gzipped", [False, True])
def test_foreign_image_is_used(state, images, gzipped):
    tar = layer_of({"a": b"1" * 100_000})
    foreign(state, [tar], gzipped=gzipped, annotations={"org.opencontainers.image.ref.name": "app:2"})
    image = images.get("app:2")
    with images.rootfs(image) as root:
        assert (root / "a").read_bytes() == b"1" * 100_000
    assert [each.read() for each in images.export_layers(image)] == [tar]


def test_foreign_name_that_is_none_is_no_name(state, images):
    foreign(state, [], annotations={"org.opencontainers.image.ref.name": "Not A Name"})
    [image] = images.list()
    assert image.references == ()
    assert images.get(image.id.hex) == image


@pytest.mark.parametrize(
    ("layers", "more", "error", "message"),
    [
        pytest.param([layer_of({})], {"diff_ids": []}, Invalid, "1 layers, but 0 diff ids", id="count"),
        pytest.param([layer_of({})], {"diff_ids": [sha256(b"")]}, Corrupt, "as the image's config says", id="diff-id"),
        pytest.param(
            [layer_of({})], {"diff_ids": [sha256(b"")], "gzipped": True}, Corrupt, "hashes to", id="gzip-diff-id"
        ),
    ],
)
def test_foreign_image_that_contradicts_itself(state, images, layers, more, error, message):
    foreign(state, layers, annotations={"org.opencontainers.image.ref.name": "a"}, **more)
    with pytest.raises(error, match=message), images.rootfs(images.get("a")):
        pass


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda data: data[:-12], id="cut"),
        pytest.param(lambda data: b"no gzip" + data, id="no-gzip"),
        pytest.param(lambda data: data[:12] + bytes(20) + data[32:], id="changed"),
    ],
)
def test_broken_gzip_is_corrupt(state, images, damage):
    tar = layer_of({"a": os.urandom(1000)})
    whole = gzip.compress(tar)
    broken = damage(whole)
    foreign(state, [tar], gzipped=True, annotations={"org.opencontainers.image.ref.name": "a"})
    index = (state / "layout/index.json").read_bytes()
    manifest = formats.parse_manifest(
        (state / "layout/blobs/sha256" / formats.parse_index(index).manifests[0].digest.hex).read_bytes()
    )
    layer = formats.Descriptor(formats.LAYER_GZIP, put(state, broken), len(broken))
    data = formats.dump_manifest(evolve(manifest, layers=(layer,)))
    entry = evolve(formats.parse_index(index).manifests[0], digest=put(state, data), size_bytes=len(data))
    (state / "layout/index.json").write_bytes(formats.dump_index(formats.Index((entry,))))
    with pytest.raises(Corrupt, match="no whole gzip stream"), images.rootfs(images.get("a")):
        pass


# The host


def test_limits_are_kept(state):
    images = Layout(state, Limits(bytes=3))
    with pytest.raises(Invalid, match="more than 3 bytes"), images.rootfs(add(images, "a", layer_of({"x": b"1234"}))):
        pass
    assert list((state / "rootfs").iterdir()) == []


def test_a_folder_that_may_not_be_written_is_named(unprivileged):
    def listing(folder):
        folder.chmod(0o500)
        with pytest.raises(HostUnfit, match=r"can't read images at .*Permission denied\n  fix: use a --root"):
            Layout(folder / "state").list()

    unprivileged(listing)


FULL = """
import io, subprocess, sys
from pathlib import Path
from moby.errors import HostUnfit
from moby_images.layout.store import Layout
from moby.testing.images import add, layer_of
base = Path(sys.argv[1])
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "none", base], check=True)
images = Layout(base / "state")
small = add(images, "small")
before = sorted(str(path) for path in base.rglob("*"))
def fails(call):
    try:
        call()
    except HostUnfit as error:
        assert "No space left" in str(error) and "fix: make room" in str(error), error
    else:
        raise SystemExit("no error")
    assert images.list() == (small,)
    assert sorted(str(path) for path in base.rglob("*")) == before
fails(lambda: add(images, "small", layer_of({"x": bytes(4_000_000)})))
large = add(images, "large", layer_of({"x": bytes(2_000_000)}))
def borrow():
    with images.rootfs(large):
        pass
try:
    borrow()
except HostUnfit as error:
    assert "No space left" in str(error), error
assert list((base / "state/rootfs").iterdir()) == []
with images.rootfs(small) as root:
    assert (root / "name").exists()
print("done")
"""


def test_a_full_disk_harms_nothing(tmp_path):
    unshare = ["unshare", "--mount", *(["--user", "--map-root-user"] if os.geteuid() else [])]
    if subprocess.run([*unshare, "true"], check=False).returncode:
        pytest.skip("mount namespaces can't be made here; every guest covers it")
    done = subprocess.run([*unshare, sys.executable, "-c", FULL, tmp_path], check=False, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("done\n", "")


def test_an_error_of_the_borrowers_stays_what_it_is(images):
    with pytest.raises(OSError, match="mine") as caught, images.rootfs(add(images, "a")):
        raise OSError("mine")
    assert not isinstance(caught.value, HostUnfit)


def test_no_descriptor_stays_open(images):
    image = add(images, "a")
    before = descriptors()
    for _ in range(3):
        with images.rootfs(images.get("a")):
            pass
        list(images.export_layers(image))
        add(images, "b")
        images.remove("b")
    closed_again(before)


def test_a_layout_asks_no_image_registry(images):
    for ask in (images.describe, images.pull):
        with pytest.raises(Unsupported, match="images/layout never does this: pull"):
            ask(parse("box:1"))
