"""What an archive holds: Docker's manifest.json, an OCI layout, or the repositories of its first releases."""

import json
import posixpath
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from moby.contracts.content import Blob
from moby.contracts.types import Digest, ImageReference, Platform
from moby.errors import Invalid
from moby.oci import compression
from moby.oci import image as formats
from moby.oci import reference as references
from moby.oci.image import Descriptor, Manifest, StoredConfig
from moby.values import evolve, frozen
from moby_images.store.archive import Archive
from moby_images.store.choice import choose, is_attestation
from moby_images.store.layers import Layer

__all__ = ["Found", "checked", "found_in"]

_DEEPEST_INDEX = 4
_MOST_IMAGES = 1000
_NAME = "io.containerd.image.name"
_TAG = "org.opencontainers.image.ref.name"
_KINDS = {"": formats.LAYER, "gzip": formats.LAYER_GZIP, "zstd": formats.LAYER_ZSTD}


@frozen
class Found:
    """An image in an archive."""

    manifest: Descriptor
    config: Descriptor
    config_text: str
    stored: StoredConfig
    layers: tuple[Layer, ...]
    names: tuple[ImageReference, ...] = ()
    whole: bool = False
    """Whether its manifest came with it, rather than was made here of what came."""


def found_in(archive: Archive, platform: Platform) -> Iterator[Found]:
    """Yield the images of an archive that was read, for a platform where there is a choice."""
    if archive.has("manifest.json"):
        yield from _Docker(archive).images()
    elif archive.has("index.json"):
        yield from _Layout(archive, platform).images()
    elif archive.has("repositories"):
        yield from _Repositories(archive).images()
    else:
        raise Invalid(
            "the archive holds no image: neither manifest.json nor index.json nor repositories is in it",
            hint="docker load reads what docker save wrote; docker import makes an image of a file system",
        )


def _json(data: bytes, what: str) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise Invalid(f"{what} in the archive is no JSON: {str(error)[:200]}") from None


def _texts(value: Any, what: str) -> list[str]:
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise Invalid(f"{what} in the archive must be a list of texts")
    return value


def _named(texts: Iterable[str]) -> tuple[ImageReference, ...]:
    return tuple(dict.fromkeys(references.as_name(references.parse(each)) for each in texts))


def _stored(
    archive: Archive, layers: Iterable[Blob], config: Blob, data: bytes, names: tuple[ImageReference, ...]
) -> Found:
    """Put an image together that has no manifest of its own."""
    described = tuple(Descriptor(_media_type(archive, each), each.digest, each.size_bytes) for each in layers)
    manifest = Manifest(Descriptor(formats.CONFIG, config.digest, config.size_bytes), described)
    text = formats.dump_manifest(manifest)
    with archive.content.writer(archive.ref, archive.lease) as writer:
        writer.write(text)
        blob = writer.commit()
    found = checked(Descriptor(formats.MANIFEST, blob.digest, blob.size_bytes), manifest, data, names)
    return evolve(found, whole=False)


def _media_type(archive: Archive, blob: Blob) -> str:
    kind = compression.detect(archive.head(blob))
    if kind not in _KINDS:
        raise Invalid(
            f"layer {blob.digest} is compressed by {kind}, which no manifest can say", hint="use gzip or zstd"
        )
    return _KINDS[kind]


def checked(descriptor: Descriptor, manifest: Manifest, data: bytes, names: tuple[ImageReference, ...]) -> Found:
    """Return an image whose config, as it stands, says as many layers as its manifest; Invalid for another one."""
    stored = formats.parse_config(data)
    if len(manifest.layers) != len(stored.diff_ids):
        raise Invalid(
            f"image {manifest.config.digest} has {len(manifest.layers)} layers, but its config names"
            f" {len(stored.diff_ids)}"
        )
    layers = tuple(Layer(*pair) for pair in zip(manifest.layers, stored.diff_ids, strict=True))
    return Found(descriptor, manifest.config, data.decode(), stored, layers, names, whole=True)


class _Docker:
    """Docker's manifest.json, since 1.10; beside it there may be a layout with the same images."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive

    def images(self) -> Iterator[Found]:
        items = _json(self._archive.document("manifest.json"), "manifest.json")
        if not isinstance(items, list) or len(items) > _MOST_IMAGES:
            raise Invalid(f"manifest.json in the archive must be a list of at most {_MOST_IMAGES} images")
        manifests = self._manifests()
        for item in items:
            if not isinstance(item, dict) or not isinstance(item.get("Config"), str):
                raise Invalid("manifest.json in the archive has an image without Config")
            config = self._archive.blob(item["Config"])
            names = _named(_texts(item.get("RepoTags"), "RepoTags"))
            layers = [self._archive.blob(each) for each in _texts(item.get("Layers"), "Layers")]
            data = self._archive.data(config, "the image's config")
            found = manifests.get((config.digest, *(each.digest for each in layers)))
            if found:
                yield checked(*found, data, names)
            else:
                yield _stored(self._archive, layers, config, data, names)

    def _manifests(self) -> dict[tuple[Digest, ...], tuple[Descriptor, Manifest]]:
        """Return the manifests of the layout beside it, by config and layers, so that they keep their digests."""
        if not self._archive.has("index.json"):
            return {}
        index = formats.parse_index(self._archive.document("index.json"))
        found = {}
        for each in index.manifests[:_MOST_IMAGES]:
            blob = self._archive.find(each.digest)
            if blob is not None and not formats.is_index(each.media_type):
                manifest = formats.parse_manifest(self._archive.data(blob, f"manifest {each.digest}"))
                found[(manifest.config.digest, *(layer.digest for layer in manifest.layers))] = (each, manifest)
        return found


class _Layout:
    """An OCI layout (image-spec, image-layout.md)."""

    def __init__(self, archive: Archive, platform: Platform) -> None:
        self._archive = archive
        self._platform = platform

    def images(self) -> Iterator[Found]:
        index = formats.parse_index(self._archive.document("index.json"))
        if len(index.manifests) > _MOST_IMAGES:
            raise Invalid(
                f"index.json in the archive lists {len(index.manifests)} images; at most {_MOST_IMAGES} are allowed"
            )
        groups: dict[str, list[Descriptor]] = {}
        for number, each in enumerate(index.manifests):
            groups.setdefault(_name(each) or f"\0{number}", []).append(each)
        for name, descriptors in groups.items():
            chosen = self._choose(descriptors) if len(descriptors) > 1 else descriptors[0]
            if chosen is None:
                raise Invalid(f"{name} in the archive has no image for {self._platform}", hint="name another platform")
            if not is_attestation(chosen):
                yield self._image(chosen, _named([] if name.startswith("\0") else [name]), 0)

    def _image(self, descriptor: Descriptor, names: tuple[ImageReference, ...], depth: int) -> Found:
        blob = self._archive.find(descriptor.digest)
        if blob is None:
            raise Invalid(f"the archive has no blob {descriptor.digest}, which its index names", hint="save it again")
        data = self._archive.data(blob, f"manifest {descriptor.digest}")
        if not formats.is_index(descriptor.media_type):
            manifest = formats.parse_manifest(data)
            config = self._archive.find(manifest.config.digest)
            missing = [each.digest for each in manifest.layers if self._archive.find(each.digest) is None]
            if config is None or missing:
                raise Invalid(
                    f"the archive has no blob {(missing or [manifest.config.digest])[0]}", hint="save it again"
                )
            return checked(descriptor, manifest, self._archive.data(config, "the image's config"), names)
        if depth >= _DEEPEST_INDEX:
            raise Invalid(f"index {descriptor.digest} is nested deeper than {_DEEPEST_INDEX}")
        inner = self._choose(formats.parse_index(data).manifests)
        if inner is None:
            raise Invalid(f"index {descriptor.digest} has no image for {self._platform}", hint="name another platform")
        return self._image(inner, names, depth + 1)

    def _choose(self, descriptors: Iterable[Descriptor]) -> Descriptor | None:
        """Return the best for the platform that is in the archive."""
        return choose(descriptors, self._platform, lambda each: self._archive.find(each.digest) is not None)


def _name(descriptor: Descriptor) -> str:
    """Return the name that a descriptor carries; a bare tag is none."""
    for text in (descriptor.annotations.get(_NAME, ""), descriptor.annotations.get(_TAG, "")):
        if ":" in text or "/" in text:
            return text
    return ""


class _Repositories:
    """Docker's repositories before 1.10: a folder for each layer, with its tar and a JSON that names its parent."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive

    def images(self) -> Iterator[Found]:
        repositories = _json(self._archive.document("repositories"), "repositories")
        names: dict[str, list[str]] = {}
        if not isinstance(repositories, dict):
            raise Invalid("repositories in the archive must be an object")
        for name, tags in repositories.items():
            if not isinstance(tags, dict) or not all(isinstance(each, str) for each in tags.values()):
                raise Invalid(f"repositories in the archive: {name[:200]!r} must name tags")
            for tag, layer_id in tags.items():
                names.setdefault(layer_id, []).append(f"{name}:{tag}")
        for layer_id, texts in names.items():
            yield self._image(layer_id, _named(texts))

    def _image(self, layer_id: str, names: tuple[ImageReference, ...]) -> Found:
        steps: list[tuple[Mapping[str, Any], Blob]] = []
        seen: set[str] = set()
        while layer_id:
            if layer_id in seen or len(seen) >= 512 or posixpath.basename(layer_id) != layer_id:
                raise Invalid(f"layer {layer_id[:80]!r} in the archive has no sound parents")
            seen.add(layer_id)
            step = _json(self._archive.document(f"{layer_id}/json"), f"{layer_id}/json")
            if not isinstance(step, dict):
                raise Invalid(f"{layer_id}/json in the archive must be an object")
            steps.insert(0, (step, self._archive.blob(f"{layer_id}/layer.tar")))
            layer_id = step.get("parent") or ""
            if not isinstance(layer_id, str):
                raise Invalid("a layer's parent in the archive must be text")
        data = _converted([step for step, _ in steps], [str(blob.digest) for _, blob in steps])
        with self._archive.content.writer(self._archive.ref, self._archive.lease) as writer:
            writer.write(data)
            config = writer.commit()
        return _stored(self._archive, [blob for _, blob in steps], config, data, names)


def _converted(steps: list[Mapping[str, Any]], diff_ids: list[str]) -> bytes:
    """Make a config of the top layer's JSON and what each step says (moby, image/v1/imagev1.go)."""
    top = {
        key: value for key, value in steps[-1].items() if key not in ("id", "parent", "Size", "parent_id", "layer_id")
    }
    history = [{"created": str(each.get("created") or ""), "created_by": _command(each)} for each in steps]
    top |= {"rootfs": {"type": "layers", "diff_ids": diff_ids}, "history": history}
    top.setdefault("os", "linux")
    top.setdefault("architecture", "amd64")
    return json.dumps(top, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _command(step: Mapping[str, Any]) -> str:
    config = step.get("container_config")
    return " ".join(_texts(config.get("Cmd"), "Cmd")) if isinstance(config, dict) else ""
