"""What containers have besides their image: made through a hostile image, once, and gone with it."""

import io
import os
import stat
import threading
from pathlib import Path

import pytest
from images.store_parts import parts, store_of
from moby_metadata.sqlite.store import Store as Metadata
from moby_snapshotter.copy.snapshots import Copy

from moby.contracts.images import Fixture, ImageConfig
from moby.errors import HostUnfit, Invalid
from moby.host.private_mounts import apart
from moby.oci import layer
from moby.oci.layer import EntryType, LayerEntry
from moby.oci.reference import parse
from moby.testing.as_user import as_nobody
from moby.testing.images import add, layer_of
from moby.testing.mounted import mounted

SKELETON = (Fixture("/etc/hosts"), Fixture("/dev/pts", is_folder=True), Fixture("/etc/mtab", link="/proc/mounts"))


@pytest.fixture
def metadata(tmp_path):
    with Metadata(tmp_path / "metadata.db") as metadata:
        yield metadata


@pytest.fixture(params=["overlay", "copy"])
def made(request, tmp_path, metadata):
    snapshotter = Copy(tmp_path / "snapshots", metadata) if request.param == "copy" else None
    return parts(tmp_path, metadata, snapshotter)


@pytest.fixture
def images(made):
    return store_of(made)


def skeletons(made):
    return [each.key for each in made.snapshotter.list() if "init/" in each.key]


def image_of(images, *entries):
    data = layer.write([(each, ()) for each in entries]).read()
    return images.add(parse("hostile"), [io.BytesIO(data)], ImageConfig())


def test_once_for_each_image(images, made):
    image = add(images, "a")
    for each in ("c1", "c2"):
        images.prepare(each, image, skeleton=SKELETON)
    assert len(skeletons(made)) == 1
    images.prepare("c3", add(images, "b"), skeleton=SKELETON)
    images.prepare("c4", image, skeleton=SKELETON[:1])
    assert len(skeletons(made)) == 3


def test_it_goes_with_its_image(images, made):
    """As soon as no container is on it; what else uses the layers keeps them."""
    shared = layer_of({"x": b"1"})
    image, _ = add(images, "a", shared), add(images, "b", shared, layer_of({"y": b"1"}))
    images.prepare("c1", image, skeleton=SKELETON)
    images.remove("a", force=True)
    assert len(skeletons(made)) == 1
    images.release("c1")
    assert skeletons(made) == []
    images.remove("b")
    assert made.snapshotter.list() == ()


def test_of_an_image_without_layers(images, made):
    image = images.add(parse("empty"), [], ImageConfig())
    images.prepare("c1", image, skeleton=SKELETON)
    assert images.changes("c1") == ()
    images.release("c1")
    images.remove("empty")
    assert skeletons(made) == []


def test_no_link_of_an_image_is_followed(images, tmp_path):
    """Links and files in the way are replaced; folders stay as they are."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "hosts").write_text("mine")
    image = image_of(
        images,
        LayerEntry("etc", EntryType.SYMLINK, link=str(outside)),
        LayerEntry("dev", EntryType.FILE, mode=0o600),
    )
    old = os.umask(0o077)
    try:
        mounts = images.prepare("c1", image, skeleton=SKELETON)
    finally:
        os.umask(old)

    def look(root):
        assert stat.S_ISDIR((root / "etc").lstat().st_mode)
        assert stat.S_ISDIR((root / "dev/pts").lstat().st_mode)
        for name in ("etc", "etc/hosts", "dev", "dev/pts"):
            assert stat.S_IMODE((root / name).lstat().st_mode) == 0o755
        assert str((root / "etc/mtab").readlink()) == "/proc/mounts"

    mounted(mounts, tmp_path / "mounted", look)
    assert [each.name for each in outside.iterdir()] == ["hosts"]
    assert (outside / "hosts").read_text() == "mine"


def test_folders_stay(images, tmp_path):
    image = image_of(
        images,
        LayerEntry("dev", EntryType.DIRECTORY, mode=0o700),
        LayerEntry("dev/pts", EntryType.DIRECTORY, mode=0o1777),
        LayerEntry("etc", EntryType.DIRECTORY, mode=0o711),
        LayerEntry("etc/hosts", EntryType.DIRECTORY, mode=0o700),
    )

    def look(root):
        modes = [stat.S_IMODE((root / name).lstat().st_mode) for name in ("dev", "dev/pts", "etc", "etc/hosts")]
        assert modes == [0o700, 0o1777, 0o711, 0o700]

    mounted(images.prepare("c1", image, skeleton=SKELETON), tmp_path / "mounted", look)


def test_what_a_killed_process_left_is_made_anew(images, made):
    image = add(images, "a")
    images.prepare("c1", image, skeleton=SKELETON)
    (name,) = skeletons(made)
    images.release("c1")
    made.snapshotter.remove(name)
    made.snapshotter.prepare(f"extract/{name}", str(image.layers[-1]))  # and there it was killed
    images.prepare("c1", image, skeleton=SKELETON)
    assert skeletons(made) == [name]
    made.snapshotter.prepare(f"extract/{name}", str(image.layers[-1]))
    store_of(made).reclaim()
    assert skeletons(made) == [name]


def test_several_at_once(images, made):
    image, failed = add(images, "a"), []

    def prepare(name):
        try:
            images.prepare(name, image, skeleton=SKELETON)
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=prepare, args=(f"c{number}",)) for number in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert failed == []
    assert len(skeletons(made)) == 1


@pytest.mark.parametrize("path", ["etc", "/", "/a/../b", "/a//b", "/."])
def test_paths_that_are_none(images, made, path):
    image = add(images, "a")
    with pytest.raises(Invalid, match="absolute"):
        images.prepare("c1", image, skeleton=[Fixture(path)])
    assert skeletons(made) == []
    assert images.prepared() == {}


def test_nothing_is_mounted_for_others(images):
    mountinfo = Path("/proc/self/mountinfo")
    before = mountinfo.read_text().count("/skeleton ")
    images.prepare("c1", add(images, "a"), skeleton=SKELETON)
    assert mountinfo.read_text().count("/skeleton ") == before


def test_without_the_right_to_mount(tmp_path):
    place = tmp_path / "nobody"
    place.mkdir()
    for each in (place, *place.parents[:3]):
        each.chmod(0o777)

    def run():
        with Metadata(place / "metadata.db") as metadata:
            made = parts(place, metadata)
            images = store_of(made)
            with pytest.raises(HostUnfit, match="besides their image"):
                images.prepare("c1", add(images, "a"), skeleton=SKELETON)
            assert skeletons(made) == []
            assert images.prepared() == {}

    as_nobody(run)


def test_what_is_raised_apart_is_raised_here():
    with pytest.raises(KeyError):
        apart(lambda: {}["x"])
