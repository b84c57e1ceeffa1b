"""Names in an index: which descriptor carries which image's name, as containerd and `docker save` write it."""

from collections.abc import Iterable

from moby.contracts.types import ImageReference
from moby.errors import Invalid
from moby.oci import reference as references
from moby.oci.image import Descriptor, Index
from moby.values import evolve

__all__ = ["name_of", "named", "of_digest", "with_name", "without_name"]

_NAME = "io.containerd.image.name"
_TAG = "org.opencontainers.image.ref.name"


def name_of(descriptor: Descriptor) -> ImageReference | None:
    """Return the name that a descriptor carries; None where it has none that can be read."""
    text = descriptor.annotations.get(_NAME) or descriptor.annotations.get(_TAG)
    try:
        return references.parse(text) if text else None
    except Invalid:
        return None


def named(index: Index, reference: ImageReference) -> Descriptor | None:
    """Return the descriptor that a reference names; one with a digest names that manifest of its repository."""
    for each in index.manifests:
        name = name_of(each)
        if name is None or (name.domain, name.path) != (reference.domain, reference.path):
            continue
        if each.digest == reference.digest if reference.digest else name.tag == reference.tag:
            return each
    return None


def of_digest(index: Index, descriptor: Descriptor) -> tuple[ImageReference, ...]:
    """Return all names of a manifest, sorted."""
    same = (name_of(each) for each in index.manifests if each.digest == descriptor.digest)
    return tuple(sorted((name for name in same if name), key=str))


def with_name(index: Index, reference: ImageReference, descriptor: Descriptor) -> Index:
    """Return the index with a name given to a manifest; the image that had it before stays, unnamed if need be."""
    before = named(index, reference)
    bare = evolve(descriptor, annotations={})
    new = evolve(bare, annotations={_NAME: str(reference), _TAG: reference.tag})
    kept = [each for each in index.manifests if each is not before and (name_of(each) or each.digest != bare.digest)]
    moved = before is not None and all(each.digest != before.digest for each in [*kept, new])
    orphan = [evolve(before, annotations={})] if before is not None and moved else []
    return _with(index, [*kept, *orphan, new])


def without_name(index: Index, descriptor: Descriptor) -> Index:
    """Return the index without one named descriptor."""
    return _with(index, (each for each in index.manifests if each is not descriptor))


def _with(index: Index, manifests: Iterable[Descriptor]) -> Index:
    ordered = sorted(manifests, key=lambda each: (str(name_of(each) or "~"), str(each.digest)))
    return evolve(index, manifests=tuple(ordered))
