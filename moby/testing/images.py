"""The conformance suite of the kind `images`; `moby.testing.image_mutants` holds what it must fail."""

import io
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any

import pytest

from moby.contracts.images import Image, ImageConfig, Images, Removal
from moby.contracts.types import ImageReference, Platform
from moby.errors import Conflict, Invalid, NotFound
from moby.oci import layer
from moby.oci.digest import sha256
from moby.oci.layer import EntryType, LayerEntry
from moby.oci.reference import parse
from moby.values import evolve

__all__ = ["CONFIG", "ImagesSuite", "add", "layer_of"]

Open = Callable[[], Images]
CONFIG = ImageConfig(("/init",), ("-v",), ("A=b", "PATH=/bin"), "nobody", "/srv", "SIGINT", {"k": "v"})


def layer_of(files: dict[str, bytes], *, folders: Sequence[str] = (), mode: int = 0o755) -> bytes:
    """Return the bytes of a layer with folders and files."""
    entries = [(LayerEntry(path, EntryType.DIRECTORY, mode), b"") for path in folders]
    entries += [(LayerEntry(path, size_bytes=len(data)), data) for path, data in files.items()]
    with layer.write((entry, [data]) for entry, data in entries) as tar:
        return tar.read()


def add(images: Images, name: str, *layers: bytes, config: ImageConfig = CONFIG) -> Image:
    """Store an image; without layers, one whose one file holds the name."""
    tars = [io.BytesIO(each) for each in layers or (layer_of({"name": name.encode()}),)]
    return images.add(parse(name), tars, config)


def _lines(removals: Iterable[Removal]) -> list[str]:
    return [str(each) for each in removals]


class _Failing(io.RawIOBase):
    """A layer that can't be read to its end."""

    def __init__(self, data: bytes) -> None:
        super().__init__()
        self._parts = iter([data])

    def read(self, size: int = -1) -> bytes:
        part = next(self._parts, None)
        if part is None:
            raise Conflict("the source is gone")
        return part


class ImagesSuite:
    """What every store of images must do. A subclass brings the fixture `store`."""

    @pytest.fixture
    def store(self) -> Open:
        """Return a function that opens the store under test; each call gives another client of the same store."""
        raise NotImplementedError

    def test_it_says_what_keeps_layers(self, store: Open) -> None:
        """By a word, which is the same for all who ask."""
        assert store().storage == store().storage
        assert store().storage.isidentifier()
        assert all(each and each.isprintable() for pair in store().storage_details().items() for each in pair)
        with pytest.raises(NotFound):
            store().storage_details("absent")

    # Storing

    def test_what_was_added_is_there(self, store: Open) -> None:
        """An image comes back as it was given, to every client."""
        tar = layer_of({"a": b"1"})
        image = add(store(), "me/app:1", tar)
        assert image.references == (ImageReference("docker.io", "me/app", "1"),)
        assert (image.config, image.platform, image.layers) == (CONFIG, Platform.host(), (sha256(tar),))
        assert image.size_bytes > 0
        assert store().get("me/app:1") == image

    def test_creation_time_is_kept(self, store: Open) -> None:
        """It is part of the image."""
        time = "2020-01-02T03:04:05Z"
        image = store().add(parse("a"), [io.BytesIO(layer_of({}))], CONFIG, created=time)
        assert (image.created, store().get("a").created) == (time, time)

    def test_an_image_without_layers(self, store: Open) -> None:
        """Is an image, with an empty root."""
        image = store().add(parse("empty"), [], CONFIG)
        assert (image.layers, list(store().export_layers(image))) == ((), [])
        with store().rootfs(image) as root:
            assert list(root.iterdir()) == []

    def test_same_content_is_the_same_image(self, store: Open) -> None:
        """Adding twice is fine, and the id depends on the content alone."""
        first, again, other = add(store(), "a"), add(store(), "a"), add(store(), "b", layer_of({"name": b"a"}))
        assert first == again
        assert other.id == first.id
        assert other.references == (parse("a"), parse("b"))

    def test_a_taken_name_moves(self, store: Open) -> None:
        """The image that had it stays, without a name."""
        before, after = add(store(), "a:1"), add(store(), "a:1", layer_of({"x": b"new"}))
        assert store().get("a:1").id == after.id != before.id
        assert store().get(str(before.id)).references == ()

    def test_a_name_has_a_tag(self, store: Open) -> None:
        """It is `latest` where none is given."""
        image = store().add(parse("a", default_tag=False), [], CONFIG)
        assert image.references == (parse("a:latest"),)

    def test_a_digest_is_no_name(self, store: Open) -> None:
        """Invalid, to add as to tag, and nothing is stored."""
        reference = evolve(parse("a"), digest=sha256(b""))
        with pytest.raises(Invalid):
            store().add(reference, [], CONFIG)
        add(store(), "b")
        with pytest.raises(Invalid):
            store().tag("b", reference)
        assert [each.references for each in store().list()] == [(parse("b"),)]

    def test_a_failed_add_leaves_nothing(self, store: Open) -> None:
        """The name stays what it was."""
        before = add(store(), "a")
        source: Any = _Failing(layer_of({"x": b"y"})[:700])
        with pytest.raises(Conflict):
            store().add(parse("a"), [io.BytesIO(layer_of({})), source], CONFIG)
        assert store().list() == (before,)

    # Finding

    def test_found_by_name_and_id(self, store: Open) -> None:
        """By short and long reference, id, hexadecimal id, and the beginning of one."""
        image = add(store(), "a:1")
        for name in ("a:1", "docker.io/library/a:1", str(image.id), image.id.hex, image.id.hex[:12]):
            assert store().get(name) == image
        assert store().get(f"a@{image.digest}") == image

    def test_a_name_goes_before_an_id(self, store: Open) -> None:
        """A name that reads like the beginning of an id is a name."""
        image = add(store(), "a")
        named = add(store(), image.id.hex[:12])
        assert store().get(image.id.hex[:12]) == named

    def test_beginning_of_two_ids(self, store: Open) -> None:
        """Invalid, where it isn't unique; every seventeenth image has the first digit of another."""
        ids = [add(store(), f"a:{number}").id.hex for number in range(17)]
        first = next(each for each in (one[0] for one in ids) if sum(one[0] == each for one in ids) > 1)
        with pytest.raises(Invalid):
            store().get(first)

    def test_not_found_lists_what_is_there(self, store: Open) -> None:
        """NotFound, by each verb that takes a name."""
        add(store(), "here:1")
        for call in (store().get, store().remove, lambda name: store().tag(name, parse("b"))):
            for name in ("nowhere", "Not A Name", "", "sha256:", "0" * 64):
                with pytest.raises(NotFound, match="here:1"):
                    call(name)

    def test_list_is_sorted(self, store: Open) -> None:
        """By first reference, then id, each image once, those without a name last."""
        for name in ("c", "a", "b", "d"):
            add(store(), name)
        store().tag("c", parse("z"))
        add(store(), "d", layer_of({"name": b"e"}))
        found = store().list()
        assert [each.references[:1] for each in found] == [
            (parse("a"),),
            (parse("b"),),
            (parse("c"),),
            (parse("d"),),
            (),
        ]
        assert found[2].references == (parse("c"), parse("z"))

    # Names

    def test_tag_adds_a_name(self, store: Open) -> None:
        """Of one image more than one; twice is fine."""
        image = add(store(), "a")
        for _ in range(2):
            store().tag("a", parse("b:2"))
        assert store().get("b:2").id == image.id
        assert store().get("a").references == (parse("a"), parse("b:2"))

    def test_tag_moves_a_taken_name(self, store: Open) -> None:
        """And the other image stays."""
        other = add(store(), "b")
        image = add(store(), "a")
        store().tag("a", parse("b"))
        assert store().get("b").id == image.id
        assert store().get(str(other.id)).references == ()

    def test_tag_names_a_nameless_image(self, store: Open) -> None:
        """By its id, and it is listed once."""
        image = add(store(), "a")
        add(store(), "a", layer_of({"x": b"y"}))
        store().tag(image.id.hex[:20], parse("b"))
        assert [each.references for each in store().list()] == [(parse("a"),), (parse("b"),)]

    def test_remove_takes_a_name(self, store: Open) -> None:
        """With others left the image stays."""
        image = add(store(), "a")
        store().tag("a", parse("b"))
        assert _lines(store().remove("a")) == ["Untagged: a:latest"]
        assert store().list() == (evolve(image, references=(parse("b"),)),)

    def test_remove_of_the_last_name_deletes(self, store: Open) -> None:
        """What was done is told in this order."""
        image, kept = add(store(), "a"), add(store(), "b")
        assert _lines(store().remove("a"))[:2] == ["Untagged: a:latest", f"Deleted: {image.id}"]
        assert store().list() == (kept,)
        with pytest.raises(NotFound):
            store().get(str(image.id))
        with store().rootfs(kept) as root:
            assert (root / "name").read_bytes() == b"b"

    def test_remove_by_id(self, store: Open) -> None:
        """Takes the only name too; Conflict where there are several."""
        image = add(store(), "a")
        store().tag("a", parse("b"))
        with pytest.raises(Conflict, match=r"a:latest.*b:latest"):
            store().remove(str(image.id))
        store().remove("b")
        assert _lines(store().remove(image.id.hex[:12]))[:2] == ["Untagged: a:latest", f"Deleted: {image.id}"]
        assert store().list() == ()

    def test_remove_of_a_nameless_image(self, store: Open) -> None:
        """By its id."""
        image, kept = add(store(), "a"), add(store(), "a", layer_of({"x": b"y"}))
        assert _lines(store().remove(str(image.id)))[:1] == [f"Deleted: {image.id}"]
        assert store().list() == (kept,)

    # Using

    def test_rootfs_is_the_layers_in_order(self, store: Open) -> None:
        """Upper layers win, and whiteouts hide."""
        lower, upper = layer_of({"a": b"1", "b": b"1", "c": b"1"}), layer_of({"b": b"2", ".wh.c": b""})
        with store().rootfs(add(store(), "a", lower, upper)) as root:
            assert {each.name: each.read_bytes() for each in root.iterdir()} == {"a": b"1", "b": b"2"}

    def test_rootfs_is_writable_and_fresh(self, store: Open) -> None:
        """What one writes no other one sees, at the same time or later."""
        image = add(store(), "a")
        with store().rootfs(image) as one, store().rootfs(image) as two:
            (one / "name").write_text("changed")
            (one / "new").write_text("x")
            assert sorted(each.name for each in two.iterdir()) == ["name"]
            assert (two / "name").read_bytes() == b"a"
        with store().rootfs(image) as three:
            assert (three / "name").read_bytes() == b"a"

    def test_rootfs_goes_on_leaving(self, store: Open) -> None:
        """With all that was written, folders that may not be written included, and after an exception too."""
        image = add(store(), "a", layer_of({"d/f": b"x"}, folders=["d"], mode=0o555))
        with suppress(KeyError), store().rootfs(image) as root:
            (root / "new/deep").mkdir(parents=True)
            (root / "new").chmod(0o500)
            raise KeyError
        assert not root.exists()

    def test_rootfs_outlives_its_image(self, store: Open) -> None:
        """Removing an image that is in use is fine."""
        with store().rootfs(add(store(), "a")) as root:
            store().remove("a")
            assert (root / "name").read_bytes() == b"a"

    def test_rootfs_of_an_image_that_is_gone(self, store: Open) -> None:
        """NotFound."""
        image = add(store(), "a")
        store().remove("a")
        with pytest.raises(NotFound), store().rootfs(image):
            pass

    def test_hostile_layer_is_refused(self, store: Open) -> None:
        """Invalid, when it is added or when it is used, and nothing of it stays."""
        with pytest.raises(Invalid):
            image = add(store(), "a", layer_of({"f": b"x"}).replace(b"f\0", b"..", 1))
            with store().rootfs(image):
                pass

    def test_layers_come_back(self, store: Open) -> None:
        """Byte by byte, lowest first."""
        tars = [layer_of({"a": b"1" * 3_000_000}), layer_of({"b": b"2"})]
        image = add(store(), "a", *tars)
        found = []
        for each in store().export_layers(image):
            with each:
                found.append(each.read())
        assert found == tars

    def test_many_at_once(self, store: Open) -> None:
        """Threads that add, tag and remove get all done, and lose nothing of each other's."""
        images, failures = store(), []

        def work(number: int) -> None:
            try:
                add(images, f"a:{number}")
                images.tag(f"a:{number}", parse(f"b:{number}"))
                images.remove(f"a:{number}")
                with images.rootfs(images.get(f"b:{number}")) as root:
                    assert (root / "name").read_text() == f"a:{number}"
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=work, args=[number]) for number in range(8)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        assert failures == []
        assert sorted(each.references for each in store().list()) == [(parse(f"b:{n}"),) for n in range(8)]
