"""The conformance suite of `images` that pull from, and push to, image registries; its mutants are beside it."""

import gzip
import io
import json
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, BinaryIO

import pytest

from moby.contracts.image_registry import Credentials, ImageRegistry, Manifest, Pushed
from moby.contracts.images import Image, Images, Progress
from moby.contracts.types import Digest, ImageReference, Platform
from moby.errors import Corrupt, Invalid, NotFound, Unavailable
from moby.oci.digest import sha256
from moby.oci.reference import familiar, parse
from moby.testing.archives import Archived, described, docker
from moby.testing.image_store import load
from moby.testing.images import add, layer_of
from moby.values import evolve

__all__ = ["ImageTransferSuite", "Recorder", "send"]

Open = Callable[[ImageRegistry], Images]
_INDEX = "application/vnd.oci.image.index.v1+json"
_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_A, _B, _C = (layer_of({name: name.encode() * 300_000}) for name in "abc")
_WHO = Credentials("me", "secret")
_HOST = Platform.host()
_OTHER = Platform("linux", {"amd64": "arm64"}.get(_HOST.architecture, "amd64"))


class Recorder:
    """An image registry that writes down what is asked of it, and does what a test wants before a blob's bytes."""

    def __init__(self, registry: ImageRegistry) -> None:
        self.registry = registry
        self.blobs: list[tuple[Digest, int]] = []
        """Digest and offset of each that was asked for."""
        self.pushed: list[Pushed] = []
        self.credentials: set[Credentials | None] = set()
        self.change: Callable[[Digest, Iterator[bytes]], Iterator[bytes]] = lambda digest, chunks: chunks
        self.after_manifest: Callable[[], object] = lambda: None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.registry, name)

    def manifest(self, reference: ImageReference, credentials: Credentials | None = None) -> Manifest:
        """Fetch one, and do what is to be done then."""
        self.credentials.add(credentials)
        found = self.registry.manifest(reference, credentials)
        self.after_manifest()
        return found

    def blob(
        self, reference: ImageReference, digest: Digest, size_bytes: int, credentials: Credentials | None = None,
        *, offset: int = 0,
    ) -> Iterator[bytes]:  # fmt: skip
        """Yield one, changed."""
        self.blobs.append((digest, offset))
        self.credentials.add(credentials)
        return self.change(digest, self.registry.blob(reference, digest, size_bytes, credentials, offset=offset))

    def push_blob(
        self, reference: ImageReference, digest: Digest, size_bytes: int, content: Callable[[], BinaryIO],
        credentials: Credentials | None = None, *, mount_from: Sequence[ImageReference] = (),
        progress: Callable[[int], None] | None = None,
    ) -> Pushed:  # fmt: skip
        """Send one."""
        self.credentials.add(credentials)
        result = self.registry.push_blob(
            reference, digest, size_bytes, content, credentials, mount_from=mount_from, progress=progress
        )
        self.pushed.append(result)
        return result


def send(registry: ImageRegistry, name: str, image: Archived, media_type: str = _MANIFEST) -> Manifest:
    """Put an image into an image registry."""
    reference = parse(name)
    for each in (image.config, *image.packed):
        registry.push_blob(reference, sha256(each), len(each), lambda data=each: io.BytesIO(data))  # type: ignore[misc]
    manifest = Manifest(sha256(image.manifest), media_type, image.manifest)
    registry.push_manifest(reference, manifest)
    return manifest


def _index(registry: ImageRegistry, name: str, kind: str, *images: Archived) -> Manifest:
    """Put an index of images into an image registry, each by its digest alone."""
    reference, entries = parse(name), list[dict[str, Any]]()
    for each in images:
        untagged = evolve(reference, tag="", digest=sha256(each.manifest))
        send(registry, str(untagged), each)
        architecture = json.loads(each.config)["architecture"]
        entries.append(described(each.manifest, _MANIFEST, platform={"os": "linux", "architecture": architecture}))
    data = json.dumps({"schemaVersion": 2, "mediaType": kind, "manifests": entries}).encode()
    manifest = Manifest(sha256(data), kind, data)
    registry.push_manifest(reference, manifest)
    return manifest


def _image(*layers: bytes, architecture: str = _HOST.architecture, **more: Any) -> Archived:
    return Archived(
        layers or (_A, _B), packed=[_gzip(each) for each in layers or (_A, _B)], architecture=architecture, **more
    )


def _gzip(data: bytes) -> bytes:
    return gzip.compress(data, mtime=0)


def _zstd(data: bytes) -> bytes:
    return subprocess.run(["zstd", "-qc"], input=data, stdout=subprocess.PIPE, check=True).stdout


def _pulled(images: Images, name: str, **options: Any) -> Image:
    [image] = {each.image.id: each.image for each in images.pull(parse(name), **options) if each.image}.values()
    return image


def _pinned(reference: ImageReference, digest: Digest) -> ImageReference:
    return evolve(reference, tag="", digest=digest)


def _said(told: Sequence[Progress]) -> list[str]:
    return [f"{each.id}: {each.status}" if each.id else each.status for each in told if not each.current]


def _files(images: Images, image: Image) -> list[str]:
    with images.rootfs(image) as root:
        return sorted(each.name for each in root.iterdir())


def _cut(chunks: Iterator[bytes]) -> Iterator[bytes]:
    yield next(chunks)[:1000]
    raise Unavailable("the connection broke off")


def _wrong(chunks: Iterator[bytes]) -> Iterator[bytes]:
    for chunk in chunks:
        yield bytes(len(chunk))


class ImageTransferSuite:
    """What images do with image registries. A subclass brings `store` and `registry`."""

    @pytest.fixture
    def store(self) -> Open:
        """Return a function that opens the store under test at an image registry; always the same store."""
        raise NotImplementedError

    @pytest.fixture
    def elsewhere(self) -> Open:
        """Return the same for another store."""
        raise NotImplementedError

    @pytest.fixture
    def registry(self) -> ImageRegistry:
        """Return an image registry without any images; `example.org` is a service of it."""
        raise NotImplementedError

    # Pulling

    @pytest.mark.parametrize("pack", [bytes, _gzip, _zstd], ids=lambda function: function.__name__)
    def test_what_is_pulled(self, store: Open, registry: ImageRegistry, pack: Callable[[bytes], bytes]) -> None:
        """Is the image as it was made, by its tag and its digest, its blobs as they came, and told step by step."""
        made = Archived([_A, _B], packed=[pack(_A), pack(_B)], architecture=_HOST.architecture, Cmd=["sh"])
        manifest = send(registry, "example.org/a:1", made)
        told = list(store(registry).pull(parse("example.org/a:1")))
        image = store(registry).get("example.org/a:1")
        assert (str(image.id), image.digest, image.layers) == (made.id, manifest.digest, (sha256(_A), sha256(_B)))
        assert image.config.command == ("sh",)
        assert [familiar(each) for each in image.digests] == [f"example.org/a@{manifest.digest}"]
        assert store(registry).get(f"example.org/a@{manifest.digest}") == image
        assert _files(store(registry), image) == ["a", "b"]
        assert all(pack(each) in b"".join(store(registry).save(["example.org/a:1"])) for each in (_A, _B))
        said = _said(told)
        assert said[0] == "1: Pulling from a"
        assert said[-2:] == [f"Digest: {manifest.digest}", "Status: Downloaded newer image for example.org/a:1"]
        for each in made.packed:
            steps = [line.partition(": ")[2] for line in said if line.startswith(sha256(each).hex[:12])]
            assert steps == ["Pulling fs layer", "Verifying Checksum", "Download complete", "Pull complete"]
        assert [each.image for each in told if each.image] == [image]

    def test_what_is_here_is_not_fetched(self, store: Open, registry: ImageRegistry) -> None:
        """No blob of an image that is here, and of another one just those that it hasn't in common with it."""
        recorder = Recorder(registry)
        send(registry, "example.org/a:1", _image(_A, _B))
        other = _image(_A, _C)
        send(registry, "example.org/a:2", other)
        _pulled(store(recorder), "example.org/a:1")
        recorder.blobs.clear()
        told = _said(list(store(recorder).pull(parse("example.org/a:1"))))
        assert (recorder.blobs, told[-1]) == ([], "Status: Image is up to date for example.org/a:1")
        told = _said(list(store(recorder).pull(parse("example.org/a:2"))))
        assert {digest for digest, _ in recorder.blobs} == {sha256(other.config), sha256(other.packed[1])}
        assert f"{sha256(other.packed[0]).hex[:12]}: Already exists" in told

    @pytest.mark.parametrize("kind", [_INDEX, _LIST])
    def test_a_platform_is_chosen(self, store: Open, registry: ImageRegistry, kind: str) -> None:
        """The host's, or what is asked for; the index's digest is the one that is kept."""
        mine, other = _image(_A), _image(_B, architecture=_OTHER.architecture)
        index = _index(registry, "example.org/a:1", kind, other, mine)
        image = _pulled(store(registry), "example.org/a:1")
        assert (str(image.id), image.digest) == (mine.id, sha256(mine.manifest))
        assert [each.digest for each in image.digests] == [index.digest]
        assert str(_pulled(store(registry), "example.org/a:1", platform=_OTHER).id) == other.id
        assert str(store(registry).get("example.org/a:1").id) == other.id
        assert str(_pulled(store(registry), "example.org/a:1").id) == mine.id
        with pytest.raises(NotFound, match="no matching manifest for linux/riscv64"):
            _pulled(store(registry), "example.org/a:1", platform=Platform("linux", "riscv64"))

    def test_one_image_of_another_platform(self, store: Open, registry: ImageRegistry) -> None:
        """Is stored, and then told to be another than was asked for."""
        made = _image(_A, architecture=_OTHER.architecture)
        send(registry, "example.org/a:1", made)
        assert str(_pulled(store(registry), "example.org/a:1").id) == made.id
        with pytest.raises(NotFound, match=f"wanted {_HOST}, actual: {_OTHER}"):
            _pulled(store(registry), "example.org/a:1", platform=_HOST)

    def test_by_digest(self, store: Open, registry: ImageRegistry) -> None:
        """The image has no tag then, whatever has been said beside the digest."""
        manifest = send(registry, "example.org/a:1", _image())
        image = _pulled(store(registry), f"example.org/a:2@{manifest.digest}")
        assert (image.references, len(image.digests)) == ((), 1)
        assert store(registry).get(f"example.org/a@{manifest.digest}") == image

    def test_all_tags(self, store: Open, registry: ImageRegistry) -> None:
        """Where neither tag nor digest is said."""
        for tag, layer in (("1", _A), ("2", _B)):
            send(registry, f"example.org/a:{tag}", _image(layer))
        told = list(store(registry).pull(parse("example.org/a", default_tag=False)))
        names = [familiar(name) for each in store(registry).list() for name in each.references]
        assert names == ["example.org/a:1", "example.org/a:2"]
        assert _said(told)[-1] == "Status: Downloaded newer image for example.org/a"

    def test_a_tag_that_moved(self, store: Open, registry: ImageRegistry) -> None:
        """Moves here too; what had it stays, by its digest."""
        first = send(registry, "example.org/a:1", _image(_A))
        before = _pulled(store(registry), "example.org/a:1")
        send(registry, "example.org/a:1", _image(_B))
        after = _pulled(store(registry), "example.org/a:1")
        assert after.id != before.id
        assert store(registry).get("example.org/a:1") == after
        assert store(registry).get(f"example.org/a@{first.digest}").id == before.id
        assert store(registry).get(str(before.id)).references == ()

    def test_a_tag_that_moves_meanwhile(self, store: Open, registry: ImageRegistry) -> None:
        """Is what it was when it was asked for."""
        recorder, first = Recorder(registry), _image(_A)
        manifest = send(registry, "example.org/a:1", first)
        recorder.after_manifest = lambda: send(registry, "example.org/a:1", _image(_B))
        image = _pulled(store(recorder), "example.org/a:1")
        assert (str(image.id), image.digest) == (first.id, manifest.digest)
        assert [each.digest for each in image.digests] == [manifest.digest]

    def test_what_breaks_off(self, store: Open, registry: ImageRegistry) -> None:
        """Leaves no image, and is gone on with from where it broke."""
        made, recorder = _image(_A), Recorder(registry)
        send(registry, "example.org/a:1", made)
        layer = sha256(made.packed[0])
        recorder.change = lambda digest, chunks: _cut(chunks) if digest == layer else chunks
        with pytest.raises(Unavailable):
            _pulled(store(recorder), "example.org/a:1")
        assert store(recorder).list(all=True) == ()
        recorder.change = lambda digest, chunks: chunks
        recorder.blobs.clear()
        assert _files(store(recorder), _pulled(store(recorder), "example.org/a:1")) == ["a"]
        assert [offset for digest, offset in recorder.blobs if digest == layer] == [min(1000, len(made.packed[0]))]

    def test_wrong_bytes(self, store: Open, registry: ImageRegistry) -> None:
        """Are told with their digest, and nothing of them stays: the next pull has them all anew."""
        made, recorder = _image(_A), Recorder(registry)
        send(registry, "example.org/a:1", made)
        layer = sha256(made.packed[0])
        recorder.change = lambda digest, chunks: _wrong(chunks) if digest == layer else chunks
        with pytest.raises(Corrupt, match=layer.hex):
            _pulled(store(recorder), "example.org/a:1")
        assert store(recorder).list(all=True) == ()
        recorder.change = lambda digest, chunks: chunks
        recorder.blobs.clear()
        assert _files(store(recorder), _pulled(store(recorder), "example.org/a:1")) == ["a"]
        assert (layer, 0) in recorder.blobs

    def test_wrong_bytes_that_broke_off(self, store: Open, registry: ImageRegistry) -> None:
        """Are found once the rest has come, and fetched anew by the same call."""
        made, recorder = _image(_A), Recorder(registry)
        send(registry, "example.org/a:1", made)
        layer = sha256(made.packed[0])
        recorder.change = lambda digest, chunks: _cut(_wrong(chunks)) if digest == layer else chunks
        with pytest.raises(Unavailable):
            _pulled(store(recorder), "example.org/a:1")
        recorder.change = lambda digest, chunks: chunks
        assert _files(store(recorder), _pulled(store(recorder), "example.org/a:1")) == ["a"]

    @pytest.mark.parametrize(
        ("made", "text"),
        [
            (Archived([b"no tar" * 200]), "layer sha256"),
            (Archived([layer_of({"x": b"1"}).replace(b"x\0", b"..", 1)]), "layer sha256"),
            (Archived([_A, _B], packed=[_A]), "layers"),
        ],
        ids=["no-tar", "escape", "layers"],
    )
    def test_hostile_images(self, store: Open, registry: ImageRegistry, made: Archived, text: str) -> None:
        """Are refused by name, and nothing of them stays."""
        send(registry, "example.org/a:1", made)
        with pytest.raises(Invalid, match=text):
            _pulled(store(registry), "example.org/a:1")
        assert store(registry).list(all=True) == ()

    def test_what_is_no_image(self, store: Open, registry: ImageRegistry) -> None:
        """A chart, say, isn't fetched; nor is what isn't there, which is told before anything else."""
        made = _image()
        made.manifest = made.manifest.replace(b"image.config.v1", b"chart.config.v1")
        send(registry, "example.org/a:1", made)
        with pytest.raises(Invalid, match="is no image"):
            _pulled(store(registry), "example.org/a:1")
        for name in ("example.org/a:2", "example.org/b:1"):
            with pytest.raises(NotFound, match=name):
                next(iter(store(registry).pull(parse(name))))

    def test_leaving_early(self, store: Open, registry: ImageRegistry) -> None:
        """Gives up: no image comes of it, until it is pulled again."""
        send(registry, "example.org/a:1", _image())
        told = iter(store(registry).pull(parse("example.org/a:1")))
        next(told)
        told.close()  # type: ignore[attr-defined]
        assert store(registry).list(all=True) == ()
        assert _files(store(registry), _pulled(store(registry), "example.org/a:1")) == ["a", "b"]

    def test_two_at_once_share_the_work(self, store: Open, registry: ImageRegistry) -> None:
        """Each blob is fetched by one of them."""
        recorder, failures = Recorder(registry), []
        send(registry, "example.org/a:1", _image())
        begun = threading.Barrier(3)
        recorder.after_manifest = begun.wait

        def pull() -> None:
            try:
                _pulled(store(recorder), "example.org/a:1")
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=pull) for _ in range(3)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        assert failures == []
        assert len(recorder.blobs) == 3
        assert len(store(recorder).list()) == 1

    def test_who_asks(self, store: Open, registry: ImageRegistry) -> None:
        """Is told to the image registry with every call."""
        recorder = Recorder(registry)
        send(registry, "example.org/a:1", _image())
        _pulled(store(recorder), "example.org/a:1", credentials=_WHO)
        list(store(recorder).push(parse("example.org/a:1"), _WHO))
        assert recorder.credentials == {_WHO}

    # Describing

    @pytest.mark.parametrize("kind", [_INDEX, _LIST])
    def test_what_is_described(self, store: Open, registry: ImageRegistry, kind: str) -> None:
        """Is what a pull would store, with no layer fetched and nothing stored; the platform's, of an index."""
        recorder, mine, other = Recorder(registry), _image(_A), _image(_B, architecture=_OTHER.architecture)
        index = _index(registry, "example.org/a:1", kind, other, mine)
        images, name = store(recorder), parse("example.org/a:1")
        found = [images.describe(name, _WHO), images.describe(name, _WHO, platform=_OTHER)]
        assert {digest for digest, _ in recorder.blobs} == {sha256(mine.config), sha256(other.config)}
        assert recorder.credentials == {_WHO}
        assert images.list(all=True) == ()
        for each, made, platform in zip(found, (mine, other), (_HOST, _OTHER), strict=True):
            pulled = _pulled(images, str(name), platform=platform)
            assert (each.digests, each.references) == (pulled.digests, ()) == ((_pinned(name, index.digest),), ())
            same = evolve(pulled, references=(), size_bytes=sum(map(len, made.packed)), tagged_ns=0)
            assert each == same
            images.remove(str(pulled.id), force=True)

    def test_what_can_t_be_described(self, store: Open, registry: ImageRegistry) -> None:
        """What isn't there, isn't for a platform, is no image, or doesn't fit together."""
        send(registry, "example.org/a:1", _image(architecture=_OTHER.architecture))
        _index(registry, "example.org/b:1", _INDEX, _image(_B))
        chart, cut = _image(), Archived([_A, _B], packed=[_A])
        chart.manifest = chart.manifest.replace(b"image.config.v1", b"chart.config.v1")
        big = _image()
        manifest = json.loads(big.manifest)
        big.manifest = json.dumps({**manifest, "config": {**manifest["config"], "size": 9_999_999}}).encode()
        for tag, made in (("chart", chart), ("cut", cut), ("big", big)):
            send(registry, f"example.org/c:{tag}", made)
        images = store(registry)
        assert images.describe(parse("example.org/a:1")).platform == _OTHER
        for name, kind, text in (
            ("example.org/none:1", NotFound, "example.org/none"),
            ("example.org/a:1", NotFound, f"wanted {_HOST}, actual: {_OTHER}"),
            ("example.org/c:chart", Invalid, "is no image"),
            ("example.org/c:cut", Invalid, "layers"),
            ("example.org/c:big", Invalid, "are allowed for a config"),
        ):
            with pytest.raises(kind, match=text):
                images.describe(parse(name), platform=_HOST)
        with pytest.raises(NotFound, match="no matching manifest"):
            images.describe(parse("example.org/b:1"), platform=_OTHER)

    # Pushing

    def test_what_is_pushed(self, store: Open, elsewhere: Open, registry: ImageRegistry) -> None:
        """Is, where it was pulled, just what was pulled; its digest is told, and kept as one of its names."""
        made = _image()
        manifest = send(registry, "example.org/a:1", made)
        _pulled(store(registry), "example.org/a:1")
        store(registry).tag("example.org/a:1", parse("other.org/b:2"))
        told = list(store(registry).push(parse("other.org/b:2")))
        assert registry.manifest(parse("other.org/b:2")) == manifest
        [sent] = [each.sent for each in told if each.sent]
        assert (sent.tag, sent.digest, sent.size_bytes) == ("2", manifest.digest, len(manifest.data))
        said = _said(told)
        assert said[0] == "The push refers to repository [other.org/b]"
        assert f"2: digest: {manifest.digest} size: {len(manifest.data)}" in said
        for each in made.layers:
            steps = [line.partition(": ")[2] for line in said if line.startswith(sha256(each).hex[:12])]
            assert steps == ["Preparing", "Pushed"]
        names = [familiar(each) for each in store(registry).get("other.org/b:2").digests]
        assert names == [f"example.org/a@{manifest.digest}", f"other.org/b@{manifest.digest}"]
        assert _files(elsewhere(registry), _pulled(elsewhere(registry), "other.org/b:2")) == ["a", "b"]

    def test_what_was_here_before_it_was_pulled(self, store: Open, registry: ImageRegistry) -> None:
        """From an archive, say, with other bytes for the same image, is pushed as what was pulled."""
        made = _image()
        load(store(registry), docker(Archived(made.layers, architecture=_HOST.architecture), "b:1"))
        manifest = send(registry, "example.org/a:1", made)
        assert _pulled(store(registry), "example.org/a:1").id == store(registry).get("b:1").id
        store(registry).tag("b:1", parse("example.org/b:1"))
        list(store(registry).push(parse("example.org/b:1")))
        assert registry.manifest(parse("example.org/b:1")) == manifest

    def test_one_image_under_two_manifests(self, store: Open, elsewhere: Open, registry: ImageRegistry) -> None:
        """Has by each name the manifest that it came under: shown, pushed, saved, and given on with another tag."""
        made = _image()
        packed = Archived(made.layers, packed=[_zstd(each) for each in made.layers], architecture=_HOST.architecture)
        names, images = ("example.org/a:1", "example.org/b:1"), store(registry)
        sent = [send(registry, name, each) for name, each in zip(names, (made, packed), strict=True)]
        first, second = (_pulled(images, name) for name in names)
        assert (first.id, first.digest != second.digest) == (second.id, True)
        images.tag(names[0], parse("example.org/c:1"))
        images.tag(f"example.org/b@{sent[1].digest}", parse("example.org/d:1"))
        images.collect()
        for name, manifest in zip((*names, "example.org/c:1", "example.org/d:1"), sent * 2, strict=True):
            by_digest = str(evolve(parse(name), tag="", digest=manifest.digest))
            list(images.push(parse(name)))
            assert registry.manifest(parse(name)) == manifest
            assert [images.get(each).digest for each in (name, by_digest)] == [manifest.digest] * 2
        archive = b"".join(images.save(names))
        load(elsewhere(registry), archive)
        assert [elsewhere(registry).get(name).digest for name in names] == [each.digest for each in sent]
        assert b"".join(elsewhere(registry).save(names)) == archive
        images.remove(names[1])
        images.remove("example.org/d:1")
        images.collect()
        assert images.get(names[0]).digest == sent[0].digest
        assert all(each in b"".join(images.save([names[0]])) for each in made.packed)

    def test_a_manifest_that_no_name_means(self, store: Open, registry: ImageRegistry) -> None:
        """Goes, with its layers as they came; a tag that moves back to it fetches it again."""
        made = _image()
        packed = Archived(made.layers, packed=[_zstd(each) for each in made.layers], architecture=_HOST.architecture)
        recorder, images = Recorder(registry), store(registry)
        send(registry, "example.org/a:1", made)
        _pulled(images, "example.org/a:1")
        images.remove("example.org/a:1", force=True)
        for each in (packed, made, packed, made):  # both are known by their digests after the second
            send(registry, "example.org/a:1", each)
            assert _pulled(store(recorder), "example.org/a:1").digest == sha256(each.manifest)
        assert len(recorder.blobs) == 5
        images.tag(f"example.org/a@{sha256(packed.manifest)}", parse("example.org/a:1"))
        images.remove(f"example.org/a@{sha256(made.manifest)}")
        images.remove("example.org/a:1")
        assert images.list(all=True) == ()

    def test_what_is_there_is_not_sent(self, store: Open, registry: ImageRegistry) -> None:
        """A blob that the repository has is left alone, one of another repository is taken over from there."""
        recorder = Recorder(registry)
        add(store(recorder), "example.org/a:1", _A)
        list(store(recorder).push(parse("example.org/a:1")))
        assert set(recorder.pushed) == {Pushed.SENT}
        recorder.pushed.clear()
        said = _said(list(store(recorder).push(parse("example.org/a:1"))))
        assert set(recorder.pushed) == {Pushed.EXISTED}
        assert f"{sha256(_A).hex[:12]}: Layer already exists" in said
        store(recorder).tag("example.org/a:1", parse("example.org/b:1"))
        recorder.pushed.clear()
        said = _said(list(store(recorder).push(parse("example.org/b:1"))))
        assert Pushed.MOUNTED in recorder.pushed
        assert f"{sha256(_A).hex[:12]}: Mounted from a" in said

    def test_layers_that_came_uncompressed(self, store: Open, elsewhere: Open, registry: ImageRegistry) -> None:
        """Go compressed, from every store to the same bytes; the image that comes back is the same."""
        image = add(store(registry), "example.org/a:1", _A, _B)
        add(elsewhere(registry), "example.org/b:1", _A, _B)
        list(store(registry).push(parse("example.org/a:1")))
        list(elsewhere(registry).push(parse("example.org/b:1")))
        manifest = registry.manifest(parse("example.org/a:1"))
        assert registry.manifest(parse("example.org/b:1")) == manifest
        layers = json.loads(manifest.data)["layers"]
        assert all(each["mediaType"].endswith("tar+gzip") for each in layers)
        assert sum(each["size"] for each in layers) < len(_A)
        store(registry).remove("example.org/a:1", force=True)
        assert store(registry).list() == ()
        again = _pulled(store(registry), "example.org/a:1")
        assert (again.id, again.layers) == (image.id, image.layers)
        assert _files(store(registry), again) == ["a", "b"]

    def test_all_tags_are_pushed(self, store: Open, registry: ImageRegistry) -> None:
        """Where none is said; else that one alone."""
        for tag, layer in (("1", _A), ("2", _B)):
            add(store(registry), f"example.org/a:{tag}", layer)
        list(store(registry).push(parse("example.org/a:2")))
        assert list(registry.tags(parse("example.org/a"))) == ["2"]
        list(store(registry).push(parse("example.org/a", default_tag=False)))
        assert sorted(registry.tags(parse("example.org/a"))) == ["1", "2"]

    def test_what_can_t_be_pushed(self, store: Open, registry: ImageRegistry) -> None:
        """A name that isn't here, and a digest."""
        add(store(registry), "example.org/a:1", _A)
        for name, text in (
            ("example.org/b:1", "An image does not exist locally with the tag: example.org/b"),
            ("example.org/a:2", "tag does not exist: example.org/a:2"),
        ):
            with pytest.raises(NotFound, match=text):
                list(store(registry).push(parse(name)))
        with pytest.raises(Invalid, match="cannot push a digest reference"):
            list(store(registry).push(parse(f"example.org/a@{sha256(b'')}")))

    def test_what_somebody_else_published(self, store: Open, registry: ImageRegistry) -> None:
        """Isn't sent again while its tag there means it; else it is."""
        image, name = add(store(registry), "example.org/a:1", _A), parse("example.org/a:1")
        list(store(registry).push(name))
        manifest = registry.manifest(name)
        index = json.dumps({
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": [described(manifest.data, manifest.media_type)],
        }).encode()  # fmt: skip
        known = Manifest(sha256(index), "application/vnd.oci.image.index.v1+json", index)
        registry.push_manifest(name, known)
        store(registry).published(image, name, known.digest)
        assert [each.digest for each in store(registry).get(str(name)).digests] == sorted(
            [manifest.digest, known.digest]
        )
        told = list(store(registry).push(name))
        assert [each.sent.digest for each in told if each.sent] == [known.digest]
        assert f"{sha256(_A).hex[:12]}: Layer already exists" in _said(told)
        assert registry.manifest(name).digest == known.digest
        registry.push_manifest(name, manifest)
        store(registry).published(image, parse("example.org/b:1"), known.digest)
        store(registry).tag(str(name), parse("example.org/b:1"))
        for each in ("example.org/a:1", "example.org/b:1"):
            list(store(registry).push(parse(each)))
            assert registry.manifest(parse(each)).digest == manifest.digest
        other = add(store(registry), "example.org/a:1", _B)
        registry.push_manifest(name, known)
        list(store(registry).push(name))
        assert registry.manifest(name).digest not in (known.digest, manifest.digest)
        assert store(registry).get(str(other.id)).references == (name,)
        store(registry).remove(str(image.id), force=True)
        with pytest.raises(NotFound):
            store(registry).published(image, name, known.digest)

    def test_a_push_that_fails(self, store: Open, registry: ImageRegistry) -> None:
        """Leaves no tag there, and no digest here."""

        class Refusing(Recorder):
            def push_manifest(self, *_: Any, **__: Any) -> Digest:
                raise Unavailable("not now")

        add(store(registry), "example.org/a:1", _A)
        with pytest.raises(Unavailable):
            list(store(Refusing(registry)).push(parse("example.org/a:1")))
        assert store(registry).get("example.org/a:1").digests == ()
