"""The conformance suite of the kind `image-registry`; `moby.testing.image_registry_mutants` holds what it must fail."""

import io
import json
from collections.abc import Callable
from contextlib import suppress

import pytest

from moby.contracts.image_registry import ImageRegistry, Manifest, Pushed
from moby.contracts.types import Digest, ImageReference
from moby.errors import Corrupt, Invalid, NotFound, Unavailable, Unsupported
from moby.oci.digest import sha256
from moby.values import evolve

__all__ = ["ImageRegistrySuite", "Name", "manifest_of", "push"]

Name = Callable[[str], ImageReference]
_LAYER = bytes(range(256)) * 4000
_CONFIG = b'{"architecture":"amd64","os":"linux"}'
_KIND = "application/vnd.oci.image.manifest.v1+json"


def manifest_of(*layers: bytes, config: bytes = _CONFIG) -> Manifest:
    """Return the manifest of an image."""

    def described(kind: str, data: bytes) -> dict[str, object]:
        media = f"application/vnd.oci.image.{kind}"
        return {"mediaType": media, "digest": str(sha256(data)), "size": len(data)}

    data = json.dumps({
        "schemaVersion": 2, "mediaType": _KIND, "config": described("config.v1+json", config),
        "layers": [described("layer.v1.tar", each) for each in layers],
    }).encode()  # fmt: skip
    return Manifest(sha256(data), _KIND, data)


def push(registry: ImageRegistry, reference: ImageReference, *layers: bytes) -> Manifest:
    """Send an image with its blobs, and return its manifest."""
    for each in (_CONFIG, *layers):
        registry.push_blob(reference, sha256(each), len(each), lambda data=each: io.BytesIO(data))  # type: ignore[misc]
    manifest = manifest_of(*layers)
    assert registry.push_manifest(reference, manifest) == manifest.digest
    return manifest


class ImageRegistrySuite:
    """What every way to image registries must do. A subclass brings the fixtures `registry` and `name`."""

    @pytest.fixture
    def registry(self) -> ImageRegistry:
        """Return the part under test."""
        raise NotImplementedError

    @pytest.fixture
    def name(self) -> Name:
        """Return a function that gives a repository of the test's own, by a word, with the tag `1`."""
        raise NotImplementedError

    def test_what_is_sent_comes_back(self, registry: ImageRegistry, name: Name) -> None:
        """By tag and by digest, byte for byte."""
        one = name("one")
        manifest = push(registry, one, _LAYER)
        assert registry.manifest(one) == manifest
        assert registry.manifest(evolve(one, tag="", digest=manifest.digest)) == manifest
        assert registry.resolve(one) == (manifest.digest, manifest.media_type, len(manifest.data))
        assert b"".join(registry.blob(one, sha256(_LAYER), len(_LAYER))) == _LAYER

    def test_a_digest_wins_over_a_tag(self, registry: ImageRegistry, name: Name) -> None:
        """Where a reference has both."""
        one = name("one")
        first, second = push(registry, one, _LAYER), push(registry, evolve(one, tag="2"), b"other")
        assert registry.manifest(evolve(one, tag="2", digest=first.digest)) == first
        assert registry.manifest(evolve(one, tag="2")) == second

    def test_a_tag_moves(self, registry: ImageRegistry, name: Name) -> None:
        """To what was sent last; the manifest before is there by its digest."""
        one = name("one")
        first, second = push(registry, one, _LAYER), push(registry, one, b"other")
        assert registry.manifest(one) == second
        assert registry.manifest(evolve(one, digest=first.digest)) == first

    def test_a_manifest_without_a_tag(self, registry: ImageRegistry, name: Name) -> None:
        """Is sent under its digest, and adds no tag."""
        one = name("one")
        push(registry, one, _LAYER)
        registry.push_blob(one, sha256(b"other"), 5, lambda: io.BytesIO(b"other"))
        other = manifest_of(b"other")
        assert registry.push_manifest(evolve(one, tag=""), other) == other.digest
        assert registry.manifest(evolve(one, tag="", digest=other.digest)) == other
        assert list(registry.tags(one)) == ["1"]

    def test_tags(self, registry: ImageRegistry, name: Name) -> None:
        """Are those that were sent, each once."""
        one = name("one")
        for tag in ("1", "2", "three", "2"):
            push(registry, evolve(one, tag=tag), _LAYER)
        assert sorted(registry.tags(one)) == ["1", "2", "three"]

    def test_search(self, registry: ImageRegistry, name: Name) -> None:
        """Finds what words mean, and no more than is asked for; or the service has none."""
        for word in ("found", "found-too", "other"):
            push(registry, name(word), _LAYER)
        domain, path = name("found").domain, name("found").path
        with suppress(Unsupported):
            found = registry.search(domain, "found")
            assert {each.name for each in found} == {path, f"{path}-too"}
            assert len(registry.search(domain, "found", limit=1)) == 1
            assert registry.search(domain, "absent") == ()

    def test_a_blob_from_an_offset(self, registry: ImageRegistry, name: Name) -> None:
        """Is the rest of it."""
        one = name("one")
        push(registry, one, _LAYER)
        rest = b"".join(registry.blob(one, sha256(_LAYER), len(_LAYER), offset=1_000_000))
        assert rest == _LAYER[1_000_000:]

    def test_a_blob_of_another_size(self, registry: ImageRegistry, name: Name) -> None:
        """Corrupt where it is longer than was said, Unavailable where it is shorter."""
        one = name("one")
        push(registry, one, _LAYER)
        with pytest.raises(Corrupt):
            list(registry.blob(one, sha256(_LAYER), 1000))
        with pytest.raises(Unavailable):
            list(registry.blob(one, sha256(_LAYER), len(_LAYER) + 1))

    def test_what_is_there_is_not_sent_again(self, registry: ImageRegistry, name: Name) -> None:
        """`content` isn't even opened."""
        one, opened = name("one"), []

        def content() -> io.BytesIO:
            opened.append(1)
            return io.BytesIO(_LAYER)

        push(registry, one, _LAYER)
        assert registry.push_blob(one, sha256(_LAYER), len(_LAYER), content) == Pushed.EXISTED
        assert opened == []

    def test_a_blob_of_another_repository(self, registry: ImageRegistry, name: Name) -> None:
        """Is taken over where it is there, sent where it isn't."""
        one, two, three = name("one"), name("two"), name("three")
        push(registry, one, _LAYER)
        digest, opened = sha256(_LAYER), []

        def content() -> io.BytesIO:
            opened.append(1)
            return io.BytesIO(_LAYER)

        assert registry.push_blob(two, digest, len(_LAYER), content, mount_from=[one]) == Pushed.MOUNTED
        assert opened == []
        assert b"".join(registry.blob(two, digest, len(_LAYER))) == _LAYER
        assert registry.push_blob(three, digest, len(_LAYER), content, mount_from=[name("none")]) == Pushed.SENT
        assert b"".join(registry.blob(three, digest, len(_LAYER))) == _LAYER

    def test_progress(self, registry: ImageRegistry, name: Name) -> None:
        """Grows to the blob's size."""
        told: list[int] = []
        result = registry.push_blob(
            name("one"), sha256(_LAYER), len(_LAYER), lambda: io.BytesIO(_LAYER), progress=told.append
        )
        assert result == Pushed.SENT
        assert told == sorted(told)
        assert told[-1] == len(_LAYER)

    def test_wrong_bytes_are_not_taken(self, registry: ImageRegistry, name: Name) -> None:
        """Corrupt, and nothing of them is there."""
        one, wrong = name("one"), sha256(b"something else")
        with pytest.raises(Corrupt):
            registry.push_blob(one, wrong, len(_LAYER), lambda: io.BytesIO(_LAYER))
        with pytest.raises(NotFound):
            list(registry.blob(one, wrong, len(_LAYER)))

    def test_a_manifest_needs_its_blobs(self, registry: ImageRegistry, name: Name) -> None:
        """Invalid or NotFound where one isn't there."""
        with pytest.raises((Invalid, NotFound)):
            registry.push_manifest(name("one"), manifest_of(b"nowhere"))
        with pytest.raises(NotFound):
            registry.manifest(name("one"))

    def test_absent_ones(self, registry: ImageRegistry, name: Name) -> None:
        """NotFound names the reference; a repository without any image has no tags."""
        one = name("one")
        push(registry, one, _LAYER)
        for absent in (evolve(one, tag="absent"), evolve(one, tag="", digest=sha256(b"absent")), name("none")):
            for call in (registry.manifest, registry.resolve):
                with pytest.raises(NotFound, match=absent.path):
                    call(absent)
        with pytest.raises(NotFound):
            list(registry.blob(one, Digest("sha256", "0" * 64), 10))
        with pytest.raises(NotFound):
            list(registry.tags(name("none")))

    def test_repositories_are_apart(self, registry: ImageRegistry, name: Name) -> None:
        """What one has, another hasn't."""
        push(registry, name("one"), _LAYER)
        push(registry, name("two"), b"other")
        with pytest.raises(NotFound):
            list(registry.blob(name("two"), sha256(_LAYER), len(_LAYER)))
        assert registry.manifest(name("one")) != registry.manifest(name("two"))
