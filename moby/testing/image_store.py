"""The conformance suite of stores that have all of the contract `images`; its mutants are beside it."""

import bz2
import gzip
import io
import json
import lzma
import subprocess
import tarfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from moby.contracts.content import Content
from moby.contracts.images import Fixture, Image, ImageConfig, Images, Progress
from moby.contracts.snapshotter import Change, ChangeKind, Snapshotter
from moby.contracts.types import Digest, Platform
from moby.errors import Conflict, Corrupt, Invalid, NotFound
from moby.oci.digest import sha256
from moby.oci.reference import familiar, parse
from moby.testing.archives import Archived, archive, described, docker, layout, legacy
from moby.testing.images import add, layer_of
from moby.testing.mounted import mounted

__all__ = ["ImageStoreSuite", "load"]

Open = Callable[[], Images]
_A, _B = layer_of({"a": b"1"}), layer_of({"b": b"2", ".wh.a": b""})
_LOOP = b'{"a":{"1":"0"}}'
_INDEX = "application/vnd.oci.image.index.v1+json"
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_HOST = {"amd64": "arm64"}.get(Platform.host().architecture, "amd64")


class Unseekable(io.RawIOBase):
    """A stream as a socket gives it."""

    def __init__(self, data: bytes) -> None:
        super().__init__()
        self._inner = io.BytesIO(data)

    def read(self, size: int = -1) -> bytes:
        """Return at most 60,000 bytes."""
        return self._inner.read(60_000 if size < 0 else min(size, 60_000))


def load(images: Images, data: bytes, **options: Any) -> list[Progress]:
    """Load an archive from a stream that can't seek."""
    stream: Any = Unseekable(data)
    return list(images.load(stream, **options))


def _loaded(images: Images, data: bytes, **options: Any) -> list[Image]:
    found = {each.image.id: each.image for each in load(images, data, **options) if each.image}
    return list(found.values())


def _gzip(data: bytes) -> bytes:
    return gzip.compress(data, mtime=0)


def _zstd(data: bytes) -> bytes:
    return subprocess.run(["zstd", "-qc"], input=data, stdout=subprocess.PIPE, check=True).stdout


def _files(images: Images, name: str) -> dict[str, bytes]:
    with images.rootfs(images.get(name)) as root:
        return {str(each.relative_to(root)): each.read_bytes() for each in sorted(root.rglob("*")) if each.is_file()}


def _lines(removals: Iterable[object]) -> list[str]:
    return [str(each) for each in removals]


def _on(snapshotter: Snapshotter, key: str, parent: str, **files: bytes) -> str:
    """Commit a snapshot of files on another; return its key."""
    snapshotter.prepare("work", parent)
    snapshotter.apply("work", io.BytesIO(layer_of(files)))
    snapshotter.commit(key, "work")
    return key


def _chain(image: Image) -> Digest:
    return sha256(f"{image.layers[0]} {image.layers[1]}".encode())


class ImageStoreSuite:
    """What a store that has all of the contract must do. A subclass brings the fixture `store`."""

    @pytest.fixture
    def store(self) -> Open:
        """Return a function that opens the store under test; each call gives another client of the same store."""
        raise NotImplementedError

    @pytest.fixture
    def snapshotter(self) -> Callable[[], Snapshotter]:
        """Return a function that opens the snapshotter that the store keeps its layers in."""
        raise NotImplementedError

    @pytest.fixture
    def content(self) -> Callable[[], Content]:
        """Return a function that opens the blobs that the store keeps."""
        raise NotImplementedError

    # Loading

    @pytest.mark.parametrize("kind", ["docker", "linked", "layout", "legacy", "both"])
    @pytest.mark.parametrize("pack", [bytes, _gzip, bz2.compress, lzma.compress, _zstd], ids=lambda f: f.__name__)
    def test_archives_of_every_age(self, store: Open, kind: str, pack: Callable[[bytes], bytes]) -> None:
        """Whatever wrote them, and however the stream is compressed; names, config and layers come back."""
        image = Archived([_A, _B], Cmd=["sh"], ExposedPorts={"80/tcp": {}})
        index = [described(image.manifest, _MANIFEST, annotations={"io.containerd.image.name": "docker.io/me/app:1"})]
        item = {
            "Config": f"blobs/{image.id.replace(':', '/')}",
            "RepoTags": ["me/app:1"],
            "Layers": list(blob_paths(image)),
        }
        data = {
            "docker": lambda: docker(image, "me/app:1"),
            "linked": lambda: docker(Archived([_A, _A], Cmd=["sh"]), "me/app:1", linked=True),
            "layout": lambda: layout(index, image),
            "legacy": lambda: legacy([_A, _B], {"me/app": {"1": "1"}}),
            "both": lambda: layout(index, image, **{"manifest.json": json.dumps([item]).encode()}),
        }[kind]()
        progress = load(store(), pack(data))
        assert progress[-1].text == "Loaded image: me/app:1"
        assert progress[-1].image == store().get("me/app:1")
        found = store().get("me/app:1")
        assert found.config.command == ("sh",)
        assert found.layers == ((sha256(_A), sha256(_A)) if kind == "linked" else (sha256(_A), sha256(_B)))
        assert _files(store(), "me/app:1") == ({"a": b"1"} if kind == "linked" else {"b": b"2"})
        if kind in ("layout", "both", "docker"):
            assert (str(found.id), found.config.exposed_ports) == (image.id, ("80/tcp",))
        if kind in ("layout", "both"):
            assert found.digest == sha256(image.manifest)
        assert any(each.status == "Loading layer" and each.id and each.total for each in progress)

    @pytest.mark.parametrize("pack", [bytes, _gzip, _zstd], ids=lambda function: function.__name__)
    @pytest.mark.parametrize("write", [docker, None], ids=["docker", "layout"])
    def test_compressed_layers(self, store: Open, pack: Callable[[bytes], bytes], write: Any) -> None:
        """Are unpacked, and saved again as they came."""
        image = Archived([_A], packed=[pack(_A)])
        index = [described(image.manifest, _MANIFEST, annotations={"org.opencontainers.image.ref.name": "a:1"})]
        [found] = _loaded(store(), write(image, "a:1") if write else layout(index, image))
        assert _files(store(), "a:1") == {"a": b"1"}
        saved = b"".join(store().save(["a:1"]))
        assert pack(_A) in saved
        assert [tar.read() for tar in store().export_layers(found)] == [_A]

    def test_a_platform_is_chosen(self, store: Open) -> None:
        """Of nested indexes: the host's, or that which is asked for; without one it is Invalid."""
        host = Platform.host()
        mine, other = Archived([_A], architecture=host.architecture), Archived([_B], architecture=_HOST)
        descriptors = [
            described(other.manifest, _MANIFEST, platform={"os": "linux", "architecture": _HOST}),
            described(mine.manifest, _MANIFEST, platform={"os": "linux", "architecture": host.architecture}),
            described(b"{}", _MANIFEST, platform={"os": "unknown", "architecture": "unknown"}),
        ]
        inner = json.dumps({"schemaVersion": 2, "mediaType": _INDEX, "manifests": descriptors}).encode()
        names = {"io.containerd.image.name": "a:1"}
        data = layout(
            [described(inner, _INDEX, annotations=names)], mine, other, **{f"blobs/sha256/{sha256(inner).hex}": inner}
        )
        assert [str(each.id) for each in _loaded(store(), data)] == [mine.id]
        assert [str(each.id) for each in _loaded(store(), data, platform=Platform("linux", _HOST))] == [other.id]
        assert str(store().get("a:1").id) == other.id
        with pytest.raises(Invalid, match="linux/riscv64"):
            load(store(), data, platform=Platform("linux", "riscv64"))

    def test_an_image_without_a_name(self, store: Open) -> None:
        """Is told by its id."""
        image = Archived([_A])
        assert load(store(), docker(image))[-1].text == f"Loaded image ID: {image.id}"
        assert store().get(image.id).references == ()

    def test_a_name_that_moves_is_told(self, store: Open) -> None:
        """As Docker tells it."""
        former = add(store(), "a:1")
        texts = [each.text for each in load(store(), docker(Archived([_A]), "a:1"))]
        assert f"The image a:1 already exists, renaming the old one with ID {former.id} to empty string" in texts

    @pytest.mark.parametrize(
        ("data", "error", "text"),
        [
            (b"nothing like a tar" * 100, Invalid, "archive"),
            (b"", Invalid, "no image"),
            (archive({"a": b"1"}), Invalid, "no image"),
            (docker(Archived([_A]), "a:1")[:4000], Invalid, "ends"),
            (_gzip(docker(Archived([_A]), "a:1"))[:200], Invalid, "gzip"),
            (docker(Archived([_A]), "Not A Name"), Invalid, "Not A Name"),
            (archive({"manifest.json": b"[1]"}), Invalid, "Config"),
            (archive({"manifest.json": b"{"}), Invalid, "JSON"),
            (archive({"manifest.json": b'[{"Config": "../../etc/passwd"}]'}), Invalid, "no file"),
            (archive({"manifest.json": b'[{"Config":"c","Layers":[1]}]', "c": b"{}"}), Invalid, "Layers"),
            (archive({"manifest.json": b'[{"Config":"c"}]'}, {"c": "d", "d": "c"}), Invalid, "no file"),
            (archive({"blobs/sha256/" + "0" * 64: b"wrong"}), Corrupt, "damaged"),
            (archive({"blobs/sha256/short": b"wrong"}), Invalid, "digits"),
            (layout([described(b"x", _MANIFEST)]), Invalid, "no blob"),
            (docker(Archived([_A], packed=[_B]), "a:1"), Corrupt, "layer"),
            (docker(Archived([_A], packed=[_gzip(_B)]), "a:1"), Corrupt, "layer"),
            (docker(Archived([_A, _B], packed=[_A]), "a:1"), Invalid, "layers"),
            (docker(Archived([b"no tar" * 200]), "a:1"), Invalid, "layer sha256"),
            (docker(Archived([bz2.compress(_A)], packed=[bz2.compress(_A)]), "a:1"), Invalid, "bzip2"),
            (docker(Archived([_A.replace(b"a\0", b"..", 1)]), "a:1"), Invalid, "layer sha256"),
            (archive({"repositories": b'{"a":{"1":"0"}}'}), Invalid, "no file"),
            (archive({"repositories": b'{"a":{"1":"../x"}}'}), Invalid, "parents"),
            (archive({"repositories": b"[]"}), Invalid, "object"),
            (archive({"repositories": b'{"a":1}'}), Invalid, "tags"),
            (archive({"repositories": _LOOP, "0/json": b'{"parent":"0"}', "0/layer.tar": _A}), Invalid, "parents"),
            (archive({"repositories": _LOOP, "0/json": b"[]", "0/layer.tar": _A}), Invalid, "object"),
        ],
    )  # fmt: skip
    def test_hostile_archives(self, store: Open, data: bytes, error: type[Exception], text: str) -> None:
        """Are refused by name, and nothing of them stays; what was there before does."""
        kept = add(store(), "kept")
        with pytest.raises(error, match=text):
            load(store(), data)
        assert store().list(all=True) == (kept,)
        assert _files(store(), "kept") == {"name": b"kept"}
        assert store().prune().removals == ()

    def test_a_good_image_before_a_bad_one(self, store: Open) -> None:
        """Is kept: it was whole."""
        good, bad = Archived([_A]), Archived([_A, _B], packed=[_A, _A])
        names = [{"io.containerd.image.name": f"a:{number}"} for number in (1, 2)]
        index = [
            described(each.manifest, _MANIFEST, annotations=name) for each, name in zip((good, bad), names, strict=True)
        ]
        with pytest.raises(Corrupt, match=sha256(_A).hex):
            load(store(), layout(index, good, bad))
        assert [str(each.id) for each in store().list()] == [good.id]

    # Saving

    def test_save_load_save(self, store: Open) -> None:
        """Gives the same bytes, and the same images; the archive is one that everybody reads."""
        add(store(), "a:1", layer_of({"x": b"1"}), layer_of({"y": b"2"}))
        store().tag("a:1", parse("a:2"))
        add(store(), "b:1", layer_of({"x": b"1"}))
        before = store().list()
        data = b"".join(store().save(["a:1", "b:1", "a:2"]))
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            names = tar.getnames()
            manifest = json.load(tar.extractfile("manifest.json"))  # type: ignore[arg-type]
        assert {"index.json", "manifest.json", "oci-layout", "repositories"} < set(names)
        assert sorted(each["RepoTags"] for each in manifest) == [["a:1", "a:2"], ["b:1"]]
        assert all(path in names for each in manifest for path in (each["Config"], *each["Layers"]))
        for name in ("a:1", "a:2", "b:1"):
            store().remove(name)
        assert store().list() == ()
        load(store(), data)
        assert store().list() == before
        assert b"".join(store().save(["a:1", "b:1", "a:2"])) == data

    def test_save_by_repository_and_id(self, store: Open) -> None:
        """A name without a tag is all tags; an id has no name; NotFound before the first byte."""
        image = add(store(), "a:1")
        store().tag("a:1", parse("a:2"))
        assert b"".join(store().save(["a"])) == b"".join(store().save(["a:1", "a:2"]))
        by_id = b"".join(store().save([image.id.hex[:12]]))
        with tarfile.open(fileobj=io.BytesIO(by_id)) as tar:
            assert json.load(tar.extractfile("manifest.json"))[0]["RepoTags"] is None  # type: ignore[arg-type]
        with pytest.raises(NotFound, match=r"No such image: nowhere\s"):
            store().save(["a:1", "nowhere"])
        with pytest.raises(NotFound, match="reference does not exist"):
            store().save(["a:1", "a:none"])

    def test_save_outlives_its_image(self, store: Open) -> None:
        """What is removed meanwhile is still whole in it."""
        add(store(), "a", layer_of({"x": b"1" * 5_000_000}))
        chunks = store().save(["a"])
        first = next(chunks)
        store().remove("a")
        store().prune()
        load(store(), first + b"".join(chunks))
        assert _files(store(), "a") == {"x": b"1" * 5_000_000}

    # Making

    @pytest.mark.parametrize("pack", [bytes, _gzip, bz2.compress, lzma.compress, _zstd], ids=lambda f: f.__name__)
    def test_import(self, store: Open, pack: Callable[[bytes], bytes]) -> None:
        """Makes an image of a tar, with changes, a message and a platform."""
        stream: Any = Unseekable(pack(_A))
        image = store().import_(
            stream, parse("a:1"), message="made", platform=Platform("linux", "arm64", "v8"),
            changes=["CMD sh -x", "ENV A=b C='d e'", "EXPOSE 80", "VOLUME /v", "USER me", "LABEL k=v"],
        )  # fmt: skip
        assert store().get("a:1") == image
        assert (image.layers, image.comment, image.platform) == (
            (sha256(_A),),
            "made",
            Platform("linux", "arm64", "v8"),
        )
        expected = ImageConfig(
            command=("/bin/sh", "-c", "sh -x"), environment=("A=b", "C=d e"), exposed_ports=("80/tcp",),
            volumes=("/v",), user="me", labels={"k": "v"},
        )  # fmt: skip
        assert image.config == expected
        assert _files(store(), "a:1") == {"a": b"1"}
        [step] = store().history("a:1")
        assert (step.comment, step.id, step.size_bytes) == ("made", image.id, 1)

    def test_import_that_fails(self, store: Open) -> None:
        """Leaves nothing."""
        for data, changes in ((b"no tar" * 200, []), (_A, ["RUN x"]), (_A, ["EXPOSE x"])):
            with pytest.raises(Invalid):
                store().import_(io.BytesIO(data), parse("a"), changes=changes)
        assert store().list(all=True) == ()

    def test_commit(self, store: Open, tmp_path: Path) -> None:
        """Makes an image with one more layer; what it was made on is its parent, and known in its history."""
        base = add(store(), "base", layer_of({"a": b"1", "b": b"1"}))

        def change(root: Path) -> None:
            (root / "a").unlink()
            (root / "c").write_text("new")

        mounted(store().prepare("c1", base), tmp_path / "mounted", change)
        image = store().commit(
            "c1", parse("me/app"), changes=["CMD new"], author="me", message="why", created_by="sh -c x"
        )
        assert _files(store(), "me/app") == {"b": b"1", "c": b"new"}
        assert (image.parent, image.author, image.comment) == (base.id, "me", "why")
        assert image.config.command == ("/bin/sh", "-c", "new")
        assert image.config.environment == base.config.environment
        assert image.layers[:-1] == base.layers
        steps = store().history("me/app")
        assert [each.created_by for each in steps] == ["sh -c x", ""]
        assert [each.id for each in steps] == [image.id, base.id]
        assert steps[0].size_bytes == 3
        with pytest.raises(Conflict, match="dependent child"):
            store().remove("base", force=True, prune=False) and store().remove(str(base.id), force=True)
        with pytest.raises(NotFound):
            store().commit("nowhere")

    # Containers

    def test_a_container_has_a_layer(self, store: Open, tmp_path: Path) -> None:
        """Of its own, which stays until it is released, whoever looks."""
        image = add(store(), "a", layer_of({"x": b"1", "gone": b"1"}))
        mounts = store().prepare("c1", image)
        at = tmp_path / "mounted"

        def change(root: Path) -> None:
            (root / "x").write_text("changed")
            (root / "gone").unlink()
            (root / "new").write_text("12345")

        mounted(mounts, at, change)
        assert store().mounts("c1") == mounts
        assert store().prepared() == {"c1": image.id}
        assert store().changes("c1") == (
            Change("/gone", ChangeKind.DELETED), Change("/new", ChangeKind.ADDED), Change("/x", ChangeKind.MODIFIED),
        )  # fmt: skip
        sizes = store().sizes("c1")
        assert (sizes.changed_bytes, sizes.root_bytes) == (12, 14)
        with tarfile.open(fileobj=io.BytesIO(b"".join(store().export("c1")))) as tar:
            assert {each.name: tar.extractfile(each).read() for each in tar if each.isfile()} == {  # type: ignore[union-attr]
                "x": b"changed", "new": b"12345",
            }  # fmt: skip
        with pytest.raises(Conflict, match="c1"):
            store().prepare("c1", image)
        store().release("c1")
        store().release("c1")
        assert store().prepared() == {}
        for call in (store().mounts, store().changes, store().export, store().sizes):
            with pytest.raises(NotFound, match="c1"):
                call("c1")
        mounted(store().prepare("c1", image), at, lambda root: (root / "gone").read_bytes() == b"1" or 1 / 0)

    def test_a_skeleton(self, store: Open, tmp_path: Path) -> None:
        """Is below what containers change, and in no image that is made of them."""
        image = add(store(), "a", layer_of({"d/x": b"1", "file": b"22"}))
        skeleton = (Fixture("/file"), Fixture("/d", is_folder=True), Fixture("/new/empty"), Fixture("/l", link="d/x"))

        def look(root: Path) -> None:
            assert (root / "file").read_bytes() == (root / "new/empty").read_bytes() == b""
            assert (root / "l").read_bytes() == (root / "d/x").read_bytes() == b"1"
            (root / "own").write_text("1")
            (root / "l").unlink()

        mounted(store().prepare("c1", image, skeleton=skeleton), tmp_path / "mounted", look)
        assert store().changes("c1") == (Change("/l", ChangeKind.DELETED), Change("/own", ChangeKind.ADDED))
        mounted(store().prepare("c2", image, skeleton=skeleton), tmp_path / "m2", lambda root: (root / "l").read_text())
        assert store().changes("c2") == ()
        store().commit("c1", parse("made"))
        assert _files(store(), "made") == {"d/x": b"1", "file": b"22", "own": b"1"}
        store().remove("made")
        store().release("c1")
        store().release("c2")
        with pytest.raises(Invalid, match="absolute"):
            store().prepare("c3", image, skeleton=[Fixture("/../x")])
        assert store().prepared() == {}

    def test_of_an_image_that_is_gone(self, store: Open) -> None:
        """NotFound, and nothing is held."""
        image = add(store(), "a")
        store().remove("a")
        with pytest.raises(NotFound, match="No such image"):
            store().prepare("c1", image)
        assert store().prepared() == {}

    # Snapshots

    def test_a_snapshot_is_adopted(
        self, store: Open, snapshotter: Callable[[], Snapshotter], content: Callable[[], Content]
    ) -> None:
        """As it is, on an image's layers; what both have goes with the last that has it."""
        base = add(store(), "base", layer_of({"a": b"1"}))
        made = _on(snapshotter(), "builder/2", store().snapshot(base, "builder/1"), b=b"2")
        config = {**base.raw_config, "config": {"Cmd": ["new"]}, "author": "me"}
        image = store().adopt(made, config, [parse("app:1"), parse("app")], annotations={"k": "v"}, parent=base.id)
        assert image == store().get("app:1") == store().get("app:latest")
        assert (image.layers[0], image.layers[1:], image.parent) == (base.layers[0], image.layers[1:2], base.id)
        assert (image.config.command, image.author, image.size_bytes) == (("new",), "me", 2)
        assert _files(store(), "app") == {"a": b"1", "b": b"2"}
        assert json.loads(content().open(image.digest).read())["annotations"] == {"k": "v"}
        assert snapshotter().stat("builder/2").aliases == (str(_chain(image)),)
        for name in ("app:1", "app", "base"):
            store().remove(name)
        assert [each.key for each in snapshotter().list()] == ["builder/1", "builder/2"]
        assert store().layers_bytes() == 0
        again = store().adopt(made, config, [parse("again")])
        assert (again.id, again.layers) == (image.id, image.layers)
        snapshotter().remove("builder/2")
        snapshotter().remove("builder/1")
        assert _files(store(), "again") == {"a": b"1", "b": b"2"}
        assert store().remove("again")
        assert (snapshotter().list(), content().list()) == ((), ())

    def test_a_snapshot_like_an_images_is_adopted(self, store: Open, snapshotter: Callable[[], Snapshotter]) -> None:
        """One of the two is the image's, and the other one is not needed."""
        base = add(store(), "base", layer_of({"a": b"1"}))
        one, two = (_on(snapshotter(), key, store().snapshot(base), b=b"2") for key in ("one", "two"))
        first = store().adopt(one, base.raw_config, [parse("a")])
        assert store().adopt(two, base.raw_config, [parse("b")]).id == first.id
        assert [snapshotter().stat(each).aliases for each in ("one", "two")] == [(str(_chain(first)),), ()]
        for key in ("one", "two"):
            snapshotter().remove(key)
        assert _files(store(), "b") == {"a": b"1", "b": b"2"}

    def test_an_image_without_layers(self, store: Open, content: Callable[[], Content]) -> None:
        """Has no snapshot; none is an image without layers."""
        empty = store().adopt("", {"os": "linux", "architecture": "amd64"}, [parse("empty")])
        assert (empty.layers, store().snapshot(empty, "mine"), store().snapshot(empty)) == ((), "", "")
        with content().lease() as lease:
            assert store().layers("", lease) == ()

    def test_layers_of_a_snapshot(
        self, store: Open, snapshotter: Callable[[], Snapshotter], content: Callable[[], Content]
    ) -> None:
        """Are an image's blobs, as they came; else they are written, once."""
        data = _gzip(_A)
        found = Archived([_A], packed=[data])
        [image] = _loaded(store(), layout([described(found.manifest, _MANIFEST)], found))
        made = _on(snapshotter(), "mine", store().snapshot(image), b=b"2")
        with content().lease() as lease:
            lower, upper = store().layers(made, lease)
            assert (lower.diff_id, lower.digest, lower.size_bytes) == (sha256(_A), sha256(data), len(data))
            assert lower.media_type.endswith("+gzip")
            assert upper.diff_id == upper.digest
            assert content().open(upper.digest).read() == b"".join(snapshotter().diff("mine"))
            assert store().collect() == 0
            assert store().layers(made, lease) == (lower, upper)
        assert store().prune({"dangling": ["false"]}).removals
        with content().lease() as lease:
            assert store().layers(made, lease) == (lower, upper)
        snapshotter().remove("mine")
        assert store().collect() == 1
        assert (snapshotter().list(), content().list()) == ((), ())

    def test_layers_are_unpacked(
        self, store: Open, snapshotter: Callable[[], Snapshotter], content: Callable[[], Content]
    ) -> None:
        """Under a key of the caller's; their blobs stay as long as that, and what images have is used."""
        data = _gzip(_B)
        found = Archived([_A, _B], packed=[_A, data])
        [image] = _loaded(store(), layout([described(found.manifest, _MANIFEST)], found))
        with content().lease() as lease:
            layers = store().layers(store().snapshot(image), lease)
            assert store().remove(str(image.id))
            store().unpack(layers, "mine")
            with pytest.raises(Conflict, match="mine"):
                store().unpack(layers, "mine")
            with pytest.raises(Invalid, match="no layer"):
                store().unpack((), "other")
        assert store().collect() == 0
        assert {each.digest for each in content().list()} == {sha256(_A), sha256(data)}
        again = store().adopt("mine", image.raw_config, [parse("again")])
        assert (again.layers, _files(store(), "again")) == (image.layers, {"b": b"2"})
        assert store().remove("again")
        snapshotter().remove("mine")
        assert store().collect() == 1
        with pytest.raises(NotFound):
            store().unpack(layers, "mine")

    def test_what_lay_under_a_snapshot_is_collected(self, store: Open, snapshotter: Callable[[], Snapshotter]) -> None:
        """Once it is gone, and the image too."""
        image = add(store(), "a", layer_of({"a": b"123"}))
        made = _on(snapshotter(), "mine", store().snapshot(image), b=b"2")
        assert store().remove("a")
        assert [each.key for each in snapshotter().list()] == ["mine", str(image.layers[0])]
        snapshotter().remove(made)
        assert store().collect() == 3
        assert snapshotter().list() == ()

    def test_what_cannot_be_adopted(self, store: Open, snapshotter: Callable[[], Snapshotter]) -> None:
        """A wrong config, and what is no committed snapshot; nothing stays. A key that is taken can't be lent."""
        image = add(store(), "a")
        made = _on(snapshotter(), "mine", "", b=b"2")
        with pytest.raises(Invalid, match="architecture"):
            store().adopt(made, {"os": "linux"}, [parse("b")])
        with pytest.raises(NotFound, match="absent"):
            store().adopt("absent", image.raw_config, [parse("b")])
        with pytest.raises(Conflict, match="mine"):
            store().snapshot(image, "mine")
        store().remove("a")
        with pytest.raises(NotFound, match=str(image.id)):
            store().snapshot(image)
        assert (store().list(all=True), [each.key for each in snapshotter().list()]) == ((), ["mine"])

    # Removing

    def test_an_image_in_use_stays(self, store: Open, tmp_path: Path) -> None:
        """Conflict in Docker's words; by force the name goes, and a running container keeps the image."""
        image = add(store(), "a")
        store().prepare("c1" * 32, image)
        short = image.id.hex[:12]
        text = f'unable to remove repository reference "a" \\(must force\\) - container c1c1c1c1c1c1 .* {short}'
        with pytest.raises(Conflict, match=text):
            store().remove("a")
        with pytest.raises(Conflict, match=f"unable to delete {short} \\(must be forced\\) - .*stopped container c1c1"):
            store().remove(image.id.hex)
        with pytest.raises(Conflict, match=r"\(cannot be forced\) - image is being used by running container c1c1"):
            store().remove(image.id.hex, force=True, running=["c1" * 32])
        assert _lines(store().remove("a", force=True, running=["c1" * 32])) == ["Untagged: a:latest"]
        assert store().get(str(image.id)).references == ()
        assert _lines(store().remove(image.id.hex, force=True)) == [f"Deleted: {image.id}"]  # whose layers stay
        mounted(store().mounts("c1" * 32), tmp_path / "m", lambda root: (root / "name").read_bytes() == b"a" or 1 / 0)
        store().release("c1" * 32)

    def test_one_more_name_is_free_to_go(self, store: Open) -> None:
        """Though a container uses the image."""
        image = add(store(), "a")
        store().tag("a", parse("b"))
        store().prepare("c1", image)
        assert _lines(store().remove("a")) == ["Untagged: a:latest"]

    def test_by_id_all_names_of_a_repository_go(self, store: Open) -> None:
        """Those of several only by force."""
        image = add(store(), "a:1")
        store().tag("a:1", parse("a:2"))
        store().tag("a:1", parse("b:1"))
        with pytest.raises(Conflict, match=r"\(must be forced\) - image is referenced in multiple repositories"):
            store().remove(str(image.id))
        store().prepare("c1", image)
        with pytest.raises(Conflict, match=r"\(cannot be forced\) - image is being used by running container c1"):
            store().remove(str(image.id), running=["c1"])
        store().release("c1")
        assert _lines(store().remove(str(image.id), force=True))[:4] == [
            "Untagged: a:1", "Untagged: a:2", "Untagged: b:1", f"Deleted: {image.id}",
        ]  # fmt: skip
        image = add(store(), "a:1")
        store().tag("a:1", parse("a:2"))
        assert len(_lines(store().remove(str(image.id)))) >= 3

    def test_layers_that_others_have_stay(self, store: Open) -> None:
        """Those that nobody has are told as deleted, by chain id."""
        shared = layer_of({"shared": b"1"})
        first, _ = add(store(), "a", shared, layer_of({"x": b"1"})), add(store(), "b", shared)
        chain = sha256(f"{first.layers[0]} {first.layers[1]}".encode())
        assert _lines(store().remove("a")) == ["Untagged: a:latest", f"Deleted: {first.id}", f"Deleted: {chain}"]
        assert _files(store(), "b") == {"shared": b"1"}
        assert _lines(store().remove("b"))[2:] == [f"Deleted: {sha256(shared)}"]
        assert store().layers_bytes() == 0

    def test_nameless_parents_go_too(self, store: Open) -> None:
        """Unless that isn't wanted."""
        for prune in (True, False):
            base = add(store(), "base")
            store().prepare("c1", base)
            child = store().commit("c1", parse("child"))
            store().release("c1")
            store().remove("base", force=True)
            assert [each.id for each in store().list()] == [child.id]
            assert {each.id for each in store().list(all=True)} == {child.id, base.id}
            lines = _lines(store().remove("child", prune=prune))
            assert (f"Deleted: {base.id}" in lines) is prune

    def test_prune(self, store: Open) -> None:
        """The nameless; by `dangling=false` all that no container has."""
        used, old = add(store(), "used"), add(store(), "old", layer_of({"x": b"1" * 1000}))
        store().prepare("c1", used)
        new = add(store(), "old", config=ImageConfig(labels={"keep": "1"}))
        pruned = store().prune()
        assert _lines(pruned.removals)[0] == f"Deleted: {old.id}"
        assert pruned.reclaimed_bytes == 1000
        assert {each.id for each in store().list()} == {used.id, new.id}
        assert store().prune({"dangling": ["false"], "label!": ["keep"]}).removals == ()
        assert store().prune({"dangling": ["false"], "until": ["2000-01-01"], "label": ["nowhere"]}).removals == ()
        assert _lines(store().prune({"dangling": ["0"]}).removals)[:2] == ["Untagged: old:latest", f"Deleted: {new.id}"]
        for filters in ({"reference": ["a"]}, {"dangling": ["maybe"]}, {"until": ["soon"]}):
            with pytest.raises(Invalid):
                store().prune(filters)

    # Listing

    def test_filters(self, store: Open) -> None:
        """Each of Docker's; Invalid for others."""

        def made(name: str, year: int, **labels: str) -> None:
            store().add(
                parse(name),
                [io.BytesIO(layer_of({name: b"1"}))],
                ImageConfig(labels=labels),
                created=f"{year}-01-01T00:00:00Z",
            )

        made("a:1", 2001, k="1")
        made("me/b:2", 2002, k="2", l="3")
        made("ghcr.io/c:3", 2003)
        made("gone:1", 2004)
        made("gone:1", 2005)

        def names(**filters: list[str]) -> list[str]:
            found = store().list(filters)
            return sorted(familiar(each.references[0]) if each.references else "<none>" for each in found)

        assert names(dangling=["true"]) == ["<none>"]
        assert "<none>" not in names(dangling=["false"])
        assert names(label=["k"]) == ["a:1", "me/b:2"]
        assert names(label=["k=2"]) == ["me/b:2"]
        assert names(label=["k", "l=3"]) == ["me/b:2"]
        assert names(before=["ghcr.io/c:3"]) == ["a:1", "me/b:2"]
        assert names(since=["me/b:2"]) == ["<none>", "gcr.io/c:3".replace("gcr", "ghcr"), "gone:1"]
        assert names(until=["2002-06-01"]) == ["a:1", "me/b:2"]
        assert (
            names(reference=["a"]) == names(reference=["a:*"]) == names(reference=["docker.io/library/a:1"]) == ["a:1"]
        )
        assert names(reference=["*/*:2", "a"]) == ["a:1", "me/b:2"]
        store().tag("a:1", parse("z:9"))
        assert [each.references for each in store().list({"reference": ["z"]})] == [(parse("z:9"),)]
        for filters in ({"nothing": ["1"]}, {"dangling": ["2"]}, {"until": ["never"]}):
            with pytest.raises(Invalid):
                store().list(filters)
        with pytest.raises(NotFound):
            store().list({"before": ["nowhere"]})

    def test_history_without_layers(self, store: Open) -> None:
        """Steps that made no layer take nothing, and the last step is the first."""
        image = Archived([_A])
        config = json.loads(image.config)
        config["history"] = [{"created_by": "ADD"}, {"created_by": "CMD", "empty_layer": True}]
        image.config = json.dumps(config).encode()
        image.id = str(sha256(image.config))
        load(store(), docker(image, "a:1"))
        assert [(each.created_by, each.size_bytes) for each in store().history("a:1")] == [("CMD", 0), ("ADD", 1)]
        assert [str(each.id) for each in store().history("a:1")] == [image.id, "None"]

    def test_no_history(self, store: Open) -> None:
        """None is told where the config has none; a commit's step is the first all the same."""
        image = Archived([_A])
        config = json.loads(image.config)
        config.pop("history", None)
        image.config = json.dumps(config).encode()
        image.id = str(sha256(image.config))
        load(store(), docker(image, "a:1"))
        assert store().history("a:1") == ()
        store().prepare("c1", store().get("a:1"))
        store().commit("c1", parse("made"), message="why")
        assert [each.comment for each in store().history("made")] == ["why"]

    def test_usage(self, store: Open) -> None:
        """What each takes, what of it others have, and which containers have it."""
        shared = layer_of({"s": b"1" * 100})
        one = add(store(), "a", shared, layer_of({"x": b"1" * 10}))
        add(store(), "b", shared)
        store().prepare("c1", one)
        found = [(each.size_bytes, each.shared_bytes, each.containers) for each in store().usage()]
        assert found == [(110, 100, ("c1",)), (100, 100, ())]
        assert store().layers_bytes() == 110
        assert one.size_bytes == 110


def blob_paths(image: Archived) -> Iterable[str]:
    """Return where an image's layers are in a layout."""
    return (f"blobs/{str(sha256(each)).replace(':', '/')}" for each in image.packed)
