"""The catalog: which images there are, by which names they go, and which containers hold them; all in metadata.

A record has all that a listing needs, with the config as the text that its blob is, so that a listing reads no blob.
"""

import hashlib
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from moby.contracts.images import Image
from moby.contracts.metadata import Metadata
from moby.contracts.types import Digest, ImageReference
from moby.errors import Conflict, Corrupt, Invalid, NotFound
from moby.oci import digest as digests
from moby.oci import image as formats
from moby.oci import reference as references
from moby.oci.image import Descriptor, StoredConfig
from moby.values import evolve, field, frozen

__all__ = ["Catalog", "Form", "Hold", "Record", "chain_ids"]

_AGAIN = "remove the image and make or fetch it again"
_CACHED = 512


def chain_ids(diff_ids: Iterable[Digest]) -> tuple[Digest, ...]:
    """Return the chain id of each layer with those below it (image-spec, config.md, layer chain id)."""
    chains: list[Digest] = []
    for each in diff_ids:
        text = f"{chains[-1]} {each}" if chains else ""
        chains.append(digests.sha256(text.encode()) if text else each)
    return tuple(chains)


@frozen
class Form:
    """A manifest that an image came under, and its layers as they came with it."""

    manifest: Descriptor
    layers: tuple[Descriptor, ...]

    def document(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {"manifest": _dumped(self.manifest), "layers": [_dumped(each) for each in self.layers]}

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> "Form":
        """Read it from JSON."""
        return cls(_parsed(document["manifest"]), tuple(_parsed(each) for each in document["layers"]))


@frozen
class Record:
    """An image as it is written down."""

    id: Digest
    manifest: Descriptor
    layers: tuple[Descriptor, ...]
    config_text: str
    size_bytes: int
    """Of all that it unpacks to."""
    parent: Digest | None = None
    stored_ns: int = 0
    others: tuple[Form, ...] = ()
    """Under which names of it mean it; `manifest` and `layers` are what all else means."""

    @property
    def form(self) -> Form:
        """Its manifest and layers."""
        return Form(self.manifest, self.layers)

    def known_by(self, form: Form, others: Iterable[Form]) -> "Record":
        """Return it with another form as its own."""
        return evolve(self, manifest=form.manifest, layers=form.layers, others=tuple(others))

    def under(self, manifest: str) -> "Record":
        """Return it as one of its manifests has it; as it is for another text, the empty one say."""
        for each in self.others:
            if str(each.manifest.digest) == manifest:
                return self.known_by(each, (self.form, *(other for other in self.others if other != each)))
        return self

    def document(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {
            **self.form.document(), "config": self.config_text, "size_bytes": self.size_bytes,
            "parent": str(self.parent) if self.parent else "", "stored_ns": self.stored_ns,
            **({"others": [each.document() for each in self.others]} if self.others else {}),
        }  # fmt: skip

    @classmethod
    def of(cls, key: str, document: Mapping[str, Any]) -> "Record":
        """Read it from JSON."""
        parent, form = document["parent"], Form.of(document)
        return cls(
            digests.parse(key), form.manifest, form.layers, document["config"], document["size_bytes"],
            digests.parse(parent) if parent else None, document["stored_ns"],
            tuple(Form.of(each) for each in document.get("others", ())),
        )  # fmt: skip

    def blobs(self) -> Iterator[Digest]:
        """Yield the digests of all blobs that it consists of."""
        yield self.id
        yield self.manifest.digest
        yield from (each.digest for each in self.layers)


@frozen
class Hold:
    """What a container has of an image."""

    image: Digest
    snapshot: str
    """Key of its own layer."""


@frozen
class _Names:
    tags: dict[Digest, list[ImageReference]] = field(factory=dict)
    digests: dict[Digest, list[ImageReference]] = field(factory=dict)
    tagged_ns: dict[Digest, int] = field(factory=dict)


class Catalog:
    """Records, names and holds. Changes of several are one transaction, which the caller begins."""

    def __init__(self, metadata: Metadata) -> None:
        self.metadata = metadata
        self._images = metadata.bucket("images")
        self._names = metadata.bucket("image-names")
        self._holds = metadata.bucket("image-holds")
        self._configs: dict[Digest, StoredConfig] = {}

    # Records

    def put(self, record: Record, *, anew: bool = False, add: bool = False) -> None:
        """Store a record; one that is there stays, or, `anew`, is known by this one's manifest and layers from now.

        The former ones stay for the names that mean them. `add` keeps the new ones for names that are yet to come.
        """
        if not self.has(record.id):
            self._images.put(str(record.id), evolve(record, stored_ns=time.time_ns()).document())
            return
        known = self.record(record.id)
        others = [each for each in (known.form, *known.others) if each.manifest.digest != record.manifest.digest]
        if anew:
            named = self._manifests(record.id)
            others = [each for each in others if str(each.manifest.digest) in named]
            self._images.put(str(record.id), known.known_by(record.form, others).document())
        elif add and len(others) > len(known.others):
            self._images.put(str(record.id), evolve(known, others=(*known.others, record.form)).document())

    def record(self, image: Digest) -> Record:
        """Return the record of an image that was there a moment ago."""
        document = self._images.get(str(image))
        if document is None:
            raise NotFound(f"No such image: {image}", hint="make or fetch it again")
        return Record.of(str(image), document)

    def has(self, image: Digest) -> bool:
        """Whether an image is here."""
        return self._images.text(str(image)) is not None

    def records(self) -> dict[Digest, Record]:
        """Return all records by id."""
        return {record.id: record for record in (Record.of(*each) for each in self._images.items())}

    def drop(self, image: Digest) -> None:
        """Remove a record."""
        self._images.delete(str(image))

    def children(self, image: Digest) -> list[Digest]:
        """Return the images that were made on one."""
        return [each.id for each in self.records().values() if each.parent == image]

    # Names

    def name(self, reference: ImageReference, image: Digest, manifest: str = "") -> Digest | None:
        """Give a name, which moves if it is taken; return the image that had it.

        It means one of the manifests that the image came under, where that is said.
        """
        former = self._names.get(str(reference))
        self._names.put(str(reference), {"image": str(image), "manifest": manifest, "tagged_ns": time.time_ns()})
        if former is None:
            return None
        owner = digests.parse(former["image"])
        self._forget_forms(owner)
        return owner

    def unname(self, reference: ImageReference) -> None:
        """Take a name away."""
        former = self._names.get(str(reference))
        self._names.delete(str(reference))
        if former is not None:
            self._forget_forms(digests.parse(former["image"]))

    def _forget_forms(self, image: Digest) -> None:
        """Forget the manifests of an image that no name means any more."""
        if not self.has(image) or not (record := self.record(image)).others:
            return
        named = self._manifests(image)
        kept = tuple(each for each in record.others if str(each.manifest.digest) in named)
        if kept != record.others:
            self._images.put(str(image), evolve(record, others=kept).document())

    def _manifests(self, image: Digest) -> set[str]:
        """Return the manifests that names of an image mean."""
        return {each.get("manifest", "") for _, each in self._names.items() if each["image"] == str(image)}

    def names(self, image: Digest | None = None) -> list[ImageReference]:
        """Return all names, sorted; of one image where it is given."""
        return [
            references.parse(key, default_tag=False)
            for key, document in self._names.items()
            if image is None or document["image"] == str(image)
        ]

    # Finding

    def find(self, name: str) -> tuple[Digest, ImageReference | None]:
        """Return the image that a name or id means, and the name where it was one."""
        return self._find(name)[:2]

    def meant(self, name: str) -> Record:
        """Return the record of what a name or id means, with the manifest and layers that it has by that name."""
        image, _, manifest = self._find(name)
        return self.record(image).under(manifest)

    def manifest_of(self, name: str) -> str:
        """Return the manifest that a name means, where it came with one; empty for an id."""
        return self._find(name)[2]

    def _find(self, name: str) -> tuple[Digest, ImageReference | None, str]:
        try:
            reference = references.parse(name)
        except Invalid:
            reference = None
        if reference is not None:
            found = self._named(reference)
            if found is not None:
                return found[0], reference, found[1]
        prefix = name.removeprefix("sha256:")
        ids = self._images.keys(f"sha256:{prefix}") if prefix and _is_hex(prefix) else ()
        if len(ids) > 1:
            raise Invalid(f"{name!r} is the beginning of several image ids", hint="write more of it")
        if ids:
            return digests.parse(ids[0]), None, ""
        raise self._unknown(name, reference)

    def _named(self, reference: ImageReference) -> tuple[Digest, str] | None:
        document = self._names.get(str(evolve(reference, tag="") if reference.digest else reference))
        if document is not None:
            return digests.parse(document["image"]), document.get("manifest", "")
        if reference.digest is None:
            return None
        # A manifest of this repository, though no image registry has told its digest.
        for each, document in self._names.items(f"{reference.domain}/{reference.path}:"):
            image, manifest = digests.parse(document["image"]), document.get("manifest", "")
            if each and self.record(image).under(manifest).manifest.digest == reference.digest:
                return image, manifest
        return None

    def _unknown(self, name: str, reference: ImageReference | None) -> NotFound:
        known = [references.familiar(each) for each in self.names()[:20] if not each.digest]
        shown = references.familiar(reference) if reference else name
        return NotFound(
            f"No such image: {shown[:300]}", hint=f"here are {', '.join(known)}" if known else "none is here"
        )

    # Images as values

    def image(self, image: Digest) -> Image:
        """Return an image with all that is known of it."""
        with self.metadata.snapshot():
            return self._image(self.record(image), self._gathered(image))

    def image_meant(self, name: str) -> Image:
        """Return the image that a name or id means, with the manifest that it has by that name."""
        with self.metadata.snapshot():
            record = self.meant(name)
            return self._image(record, self._gathered(record.id))

    def images(self) -> list[Image]:
        """Return all images, sorted by their first reference, then id."""
        with self.metadata.snapshot():
            names = self._gathered()
            found = [self._image(each, names) for each in self.records().values()]
        return sorted(found, key=lambda each: ([str(r) for r in each.references[:1]] or ["~"], each.id))

    def _gathered(self, image: Digest | None = None) -> _Names:
        names = _Names()
        for key, document in self._names.items():
            if image is not None and document["image"] != str(image):
                continue
            owner, reference = digests.parse(document["image"]), references.parse(key, default_tag=False)
            (names.digests if reference.digest else names.tags).setdefault(owner, []).append(reference)
            names.tagged_ns[owner] = max(names.tagged_ns.get(owner, 0), document["tagged_ns"])
        return names

    def _image(self, record: Record, names: _Names) -> Image:
        stored = self.config(record)
        return Image(
            id=record.id,
            digest=record.manifest.digest,
            references=tuple(names.tags.get(record.id, ())),
            config=stored.config,
            platform=stored.platform,
            layers=stored.diff_ids,
            size_bytes=record.size_bytes,
            created=stored.created,
            raw_config=stored.raw,
            digests=tuple(names.digests.get(record.id, ())),
            author=stored.author,
            comment=stored.comment,
            docker_version=stored.docker_version,
            parent=record.parent,
            tagged_ns=names.tagged_ns.get(record.id, 0),
        )

    def config(self, record: Record) -> StoredConfig:
        """Return an image's config; Corrupt where the text isn't what its id says."""
        found = self._configs.get(record.id)
        if found is None:
            data = record.config_text.encode()
            if hashlib.new(record.id.algorithm, data).hexdigest() != record.id.hex:
                raise Corrupt(f"image {record.id} is damaged: its config is another", hint=_AGAIN)
            found = formats.parse_config(data)
            if len(self._configs) >= _CACHED:
                self._configs.clear()
            self._configs[record.id] = found
        return found

    # Holds

    def hold(self, container_id: str, hold: Hold) -> None:
        """Write down what a container has; Conflict where it has something."""
        try:
            self._holds.insert(container_id, {"image": str(hold.image), "snapshot": hold.snapshot})
        except Conflict:
            raise Conflict(f"container {container_id[:12]} has a layer already", hint="release it first") from None

    def held(self, container_id: str) -> Hold:
        """Return what a container has; NotFound where nothing was prepared."""
        document = self._holds.get(container_id)
        if document is None:
            raise NotFound(f"No such container: {container_id[:80]}: it has no layer", hint="prepare one first")
        return Hold(digests.parse(document["image"]), document["snapshot"])

    def holds(self) -> dict[str, Hold]:
        """Return what all containers have."""
        return {
            key: Hold(digests.parse(document["image"]), document["snapshot"]) for key, document in self._holds.items()
        }

    def let_go(self, container_id: str) -> None:
        """Forget what a container had."""
        self._holds.delete(container_id)


def _is_hex(text: str) -> bool:
    return len(text) <= 64 and not set(text) - set("0123456789abcdef")


def _dumped(descriptor: Descriptor) -> dict[str, Any]:
    return {
        "mediaType": descriptor.media_type, "digest": str(descriptor.digest), "size": descriptor.size_bytes,
    }  # fmt: skip


def _parsed(document: Mapping[str, Any]) -> Descriptor:
    return Descriptor(document["mediaType"], digests.parse(document["digest"]), document["size"])
