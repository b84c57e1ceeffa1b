"""What is killed, cut off or done at once by several: the whole image or none, and nothing is left."""

import gzip
import io
import json
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from images.store_parts import parts, store_of
from moby_image_registry.folder.layouts import Layouts
from moby_images.store.plugin import Config, make, moby_components
from moby_metadata.sqlite.store import Store as Metadata

from moby.component import facts_of
from moby.contracts.types import Platform
from moby.errors import Conflict, Corrupt, Invalid, MobyError, NotFound
from moby.oci.digest import sha256
from moby.oci.reference import parse
from moby.oci.unpack import Limits
from moby.testing.archives import Archived, docker
from moby.testing.images import add, layer_of

LAYERS = [layer_of({f"f{number}": bytes([number]) * 300_000}) for number in range(3)]


@pytest.fixture
def metadata(tmp_path):
    with Metadata(tmp_path / "metadata.db") as metadata:
        yield metadata


@pytest.fixture
def made(tmp_path, metadata):
    return parts(tmp_path, metadata)


@pytest.fixture
def images(made):
    return store_of(made)


def left(base):
    """What is on disk: blobs, ingests, layers."""
    return (
        [each.name for each in (base / "content/blobs/sha256").iterdir()],
        [each.name for each in (base / "content/ingest").iterdir()],
        [each.name for each in (base / "snapshots").glob("*") if each.is_dir()],
    )


def test_the_part_makes_one(tmp_path, made):
    [component] = moby_components()
    facts = facts_of(component)
    assert (facts.id, sorted(each.kind for each in facts.needs)) == (
        "images/store",
        ["content", "events", "image-registry", "metadata", "snapshotter"],
    )
    images = make(
        Config(max_unpacked_bytes=10),
        content=made.content, snapshotter=made.snapshotter, metadata=made.metadata, events=made.events,
        registry=Layouts(tmp_path / "registry"), clock=made.clock, place=made.place,
    )  # fmt: skip
    with pytest.raises(Invalid, match="more than 10 bytes"):
        list(images.load(io.BytesIO(docker(Archived(LAYERS)))))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"garbage", "unexpected EOF"), (gzip.compress(b"garbage"), "unexpected EOF"),
        (b"x" * 2000, "archive/tar: invalid tar header"),
        (gzip.compress(b"x" * 2000), "archive/tar: invalid tar header"),
    ],
)  # fmt: skip
def test_what_is_no_archive_is_refused_in_dockers_words(images, data, said):
    for store in (lambda: images.import_(io.BytesIO(data), parse("a")), lambda: list(images.load(io.BytesIO(data)))):
        with pytest.raises(Invalid) as caught:
            store()
        assert caught.value.message == said
    assert images.list(all=True) == ()


def test_an_import_for_another_operating_system(images):
    with pytest.raises(Invalid, match="operating system is not supported"):
        images.import_(io.BytesIO(LAYERS[0]), parse("a"), platform=Platform("windows", "amd64"))
    assert images.list(all=True) == ()


_KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from images.store_parts import parts
from images.store_parts import store_of
count = int(sys.argv[3])
def hook(event, arguments):
    global count
    if event in ("os.rename", "open", "os.mkdir", "os.remove"):
        count -= 1
        if count == 0:
            os.kill(os.getpid(), signal.SIGKILL)
images = store_of(parts(Path(sys.argv[2])))
sys.addaudithook(hook)
for each in images.load(sys.stdin.buffer):
    pass
for _ in range(30):
    open("/dev/null").close()
images.remove("a:1")
"""


@pytest.mark.slow
def test_killed_at_any_moment_of_load_and_remove(tmp_path):
    """At every so-many-eth step that changes the disk; afterwards all is whole, and all of it can go."""
    data = docker(Archived(LAYERS), "a:1")
    tests = Path(__file__).parents[1]
    ended, moment = False, 1
    seen = set()
    while not ended:
        base = tmp_path / str(moment)
        base.mkdir()
        code = [sys.executable, "-c", _KILLED, tests, base, str(moment)]
        done = subprocess.run(code, input=data, check=False, stderr=subprocess.PIPE)
        assert done.returncode in (0, -signal.SIGKILL), done.stderr.decode()
        ended = done.returncode == 0
        with Metadata(base / "metadata.db") as metadata:
            images = store_of(parts(base, metadata))
            with images._shared.parts.snapshotter, images:
                pass
            found = images.list(all=True)
            seen.add(len(found))
            for each in found:
                assert [tar.read() for tar in images.export_layers(each)] == LAYERS
                with images.rootfs(each) as root:
                    assert len(list(root.iterdir())) == 3
                images.remove(str(each.id))
            list(images.load(io.BytesIO(data)))
            images.remove("a:1")
            images._shared.parts.content.collect(list, idle_s=-60)  # of ingests what was only begun
            assert left(base) == ([], [], [])
        moment += max(1, moment // 4)
    assert seen == {0, 1}


def test_what_is_left_goes_when_it_starts(made, images, tmp_path):
    add(images, "a", LAYERS[0])
    made.metadata.bucket("images").delete(images.list()[0].id.__str__())
    (tmp_path / "snapshots/0left/fs").mkdir(parents=True)
    with made.snapshotter, store_of(made) as again:
        assert again.list() == ()
    assert left(tmp_path) == ([], [], [])


def test_two_loads_share_the_work(images, tmp_path):
    data, failures = docker(Archived(LAYERS), "a:1"), []

    def load():
        try:
            list(images.load(io.BytesIO(data)))
        except MobyError as error:
            failures.append(error)

    threads = [threading.Thread(target=load) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert failures == []
    assert len(images.list(all=True)) == 1
    assert len(left(tmp_path)[2]) == 3


def test_loads_and_removals_at_once(images, tmp_path):
    data, failures = docker(Archived(LAYERS), "a:1"), []

    def work():
        for _ in range(4):
            try:
                list(images.load(io.BytesIO(data)))
                images.remove("a:1")
            except NotFound:
                pass
            except BaseException as error:
                failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert failures == []
    images.reclaim()
    assert left(tmp_path) == ([], [], [])


def test_a_load_that_is_left_early(images, tmp_path):
    progress = images.load(io.BytesIO(docker(Archived(LAYERS), "a:1")))
    next(progress)
    progress.close()
    images.reclaim()
    assert left(tmp_path)[0] == left(tmp_path)[2] == []


def test_an_endless_archive(tmp_path, metadata):
    class Endless(io.RawIOBase):
        entry = layer_of({"a": b"x" * 1_000_000})[:-1024]
        rest = b""

        def read(self, size=-1):
            self.rest = self.rest or self.entry
            part, self.rest = self.rest[:size], self.rest[size:]
            return part

    images = store_of(parts(tmp_path, metadata, limits=Limits(20_000_000, 1000)))
    with pytest.raises(Invalid, match="more than 20000000 bytes"):
        list(images.load(Endless()))
    images.reclaim()
    assert left(tmp_path) == ([], [], [])


def test_a_blob_that_is_damaged_later(images, tmp_path):
    image = add(images, "a", LAYERS[0])
    path = tmp_path / "content/blobs/sha256" / image.layers[0].hex
    data = bytearray(path.read_bytes())
    data[600] ^= 1
    path.write_bytes(data)
    with pytest.raises(Corrupt, match=image.layers[0].hex):
        b"".join(images.save(["a"]))
    with pytest.raises(Corrupt, match=image.layers[0].hex), images.rootfs(image):
        pass
    path.unlink()
    with pytest.raises(NotFound, match="lacks its blob"):
        b"".join(images.save(["a"]))
    assert images.health() == ""
    assert [str(each) for each in images.remove("a")][:1] == ["Untagged: a:latest"]


def test_a_record_that_is_damaged(images, metadata):
    image = add(images, "a", LAYERS[0])
    bucket = metadata.bucket("images")
    document = bucket.get(str(image.id))
    bucket.put(str(image.id), document | {"config": document["config"].replace("nobody", "root")})
    fresh = store_of(images._shared.parts)
    with pytest.raises(Corrupt, match="another"):
        fresh.get("a")
    assert "damaged" in fresh.health()
    with fresh:  # an engine starts all the same, and removes nothing that it can't tell of
        assert fresh._shared.layers.has(str(image.layers[0]))


def test_a_layer_that_somebody_took_away_is_made_again(images, made):
    image = add(images, "a", LAYERS[0])
    made.snapshotter.remove(str(image.layers[0]))
    images.prepare("c1", image)
    assert images.sizes("c1").root_bytes == 300_000


def test_what_happens_is_told(images, made):
    list(images.load(io.BytesIO(docker(Archived(LAYERS[:1]), "a:1"))))
    images.tag("a:1", parse("b:1"))
    images.remove("b:1")
    images.prepare("c1", images.get("a:1"))
    images.commit("c1", parse("c:1"), changes=("LABEL k=v",))
    images.release("c1")
    first, second = (str(images.get(name).id) for name in ("a:1", "c:1"))
    images.remove("c:1")
    images.import_(io.BytesIO(LAYERS[1]), parse("d:1"))
    images.prune({"dangling": ["false"]})
    told = [(each.action, each.attributes["name"]) for each in made.events.told]
    assert told[:8] == [
        ("load", "a:1"), ("tag", "b:1"), ("untag", first), ("create", "c:1"), ("tag", "c:1"), ("untag", second),
        ("delete", second), ("import", "d:1"),
    ]  # fmt: skip
    assert [action for action, _ in told[8:]] == ["untag", "delete", "untag", "delete"]
    labels = [each.attributes.get("k") for each in made.events.told]
    assert labels[:8] == [None, None, None, "v", "v", "v", None, None]
    assert {each.type for each in made.events.told} == {"image"}


def test_names_with_digests(images, metadata):
    """As a pull will write them."""
    image = add(images, "a:1")
    reference = parse(f"a@{image.digest}")
    images._shared.catalog.name(reference, image.id)
    assert images.get(f"a@{image.digest}").digests == (reference,)
    assert [str(each) for each in images.remove("a:1")][:3] == [
        "Untagged: a:1", f"Untagged: a@{image.digest}", f"Deleted: {image.id}",
    ]  # fmt: skip
    with pytest.raises(NotFound):
        images.get(f"a@{sha256(b'')}")


def test_a_second_hold_is_refused_and_harmless(images):
    image = add(images, "a")
    images.prepare("c1", image)
    with pytest.raises(Conflict):
        images.prepare("c1", image)
    assert images.changes("c1") == ()


def test_a_list_of_many_reads_no_blob(images, tmp_path):
    add(images, "a")
    for each in (tmp_path / "content/blobs/sha256").iterdir():
        each.unlink()
    assert len(images.list()) == 1
    assert json.dumps(images.list()[0].raw_config)
