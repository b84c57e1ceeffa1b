"""Attributes of exports, as BuildKit names them (buildkit, README, output; docs/annotations.md)."""

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from attrs import frozen

from moby.contracts.builder import Export, ExportType
from moby.contracts.types import Platform
from moby.errors import Invalid, Unsupported
from moby.values import evolve

__all__ = ["Annotation", "Compression", "Options", "Place", "options_of"]

_ANNOTATION = re.compile(r"annotation(?:-([a-z-]+))?(?:\[([A-Za-z0-9_/-]+)\])?\.(.+)", re.DOTALL)
_IMAGES = frozenset({
    "compression", "compression-level", "force-compression", "oci-mediatypes", "rewrite-timestamp",
    "source-date-epoch", "name-canonical", "dangling-name-prefix", "unpack", "store", "push-by-digest",
    "attestation-prefix", "platform-split", "tar",
})  # fmt: skip
_FOLDERS = frozenset({"attestation-prefix", "platform-split", "source-date-epoch"})
_REFUSED = {
    "registry.insecure": "which image registries may be asked without TLS is an option of image-registry/distribution",
    "prefer-nondist-layers": "layers that may not be distributed aren't told from others",
}
_LEVELS = {"gzip": (-1, 9), "zstd": (0, 22)}


class Compression(StrEnum):
    """How layers are compressed."""

    UNCOMPRESSED = "uncompressed"
    GZIP = "gzip"
    ZSTD = "zstd"


class Place(StrEnum):
    """Where an annotation goes."""

    MANIFEST = "manifest"
    INDEX = "index"
    MANIFEST_DESCRIPTOR = "manifest-descriptor"
    INDEX_DESCRIPTOR = "index-descriptor"


@frozen
class Annotation:
    """An annotation of an image, of one platform or of all."""

    place: Place
    key: str
    value: str
    platform: str = ""

    def fits(self, place: Place, platform: Platform | None = None) -> bool:
        """Whether it goes to such a place."""
        return self.place is place and (not self.platform or platform is None or self.platform == str(platform))


@frozen
class Options:
    """What an export's attributes ask for."""

    compression: Compression = Compression.GZIP
    level: int | None = None
    force: bool = False
    """Whether layers that came otherwise compressed are compressed anew."""
    oci: bool = False
    """Whether media types are OCI's where that may be chosen, else Docker's."""
    rewrite: bool = False
    epoch_s: int | None = None
    annotations: tuple[Annotation, ...] = ()
    canonical: bool = False
    """Whether the image also gets a name with its digest."""
    dangling_prefix: str = ""
    """What names an image that has no name, with its digest."""
    store: bool = True
    by_digest: bool = False
    split: bool | None = None
    """Whether each platform gets a folder; None is so where there are several."""
    attestation_prefix: str = ""

    @property
    def is_plain(self) -> bool:
        """Whether an image goes to image registries as the engine itself would send it."""
        return self == Options(epoch_s=self.epoch_s, rewrite=self.rewrite)

    def annotated(self, place: Place, platform: Platform | None = None) -> dict[str, str]:
        """Return the annotations that go to a place."""
        return {each.key: each.value for each in self.annotations if each.fits(place, platform)}


def options_of(export: Export, epoch_s: int | None = None) -> Options:
    """Read an export's attributes; Unsupported for one that isn't supported, Invalid for a wrong value."""
    given = dict(export.attributes)
    folders = export.type in (ExportType.TAR, ExportType.LOCAL)
    annotations = () if folders else tuple(_annotations(given))
    _check(export.type, given, _FOLDERS if folders else _IMAGES)
    kind = _compression(given)
    found = Options(
        compression=kind,
        level=_level(given, kind),
        force=_flag(given, "force-compression"),
        oci=_flag(given, "oci-mediatypes", export.type is ExportType.OCI) or bool(annotations),
        rewrite=_flag(given, "rewrite-timestamp"),
        epoch_s=_epoch(given, epoch_s),
        annotations=annotations,
        canonical=_flag(given, "name-canonical"),
        dangling_prefix=given.get("dangling-name-prefix", ""),
        store=_flag(given, "store", True),
        by_digest=_flag(given, "push-by-digest"),
        split=_flag(given, "platform-split") if "platform-split" in given else None,
        attestation_prefix=given.get("attestation-prefix", ""),
    )
    if kind is Compression.ZSTD and not found.oci:
        found = evolve(found, oci=True)  # Docker's own types have no zstd
    if found.rewrite and found.epoch_s is None:
        raise Invalid("rewrite-timestamp needs a time", hint="set the build argument SOURCE_DATE_EPOCH")
    return found


def _annotations(given: dict[str, str]) -> Any:
    """Take the annotations out of attributes, and yield them."""
    for name in [each for each in given if each.startswith("annotation")]:
        found = _ANNOTATION.fullmatch(name)
        if found is None:
            raise Invalid(f"{name[:100]!r} names no annotation", hint="write annotation[-PLACE][[PLATFORM]].KEY")
        try:
            place = Place(found[1] or "manifest")
        except ValueError:
            raise Invalid(f"annotations have no place {found[1]!r}", hint=f"known are {', '.join(Place)}") from None
        yield Annotation(place, found[3], given.pop(name), found[2] or "")


def _check(kind: ExportType, given: Mapping[str, str], known: frozenset[str]) -> None:
    for name, value in given.items():
        if name in _REFUSED and value.lower() not in ("", "false", "0"):
            raise Unsupported(f"{name} isn't supported: {_REFUSED[name]}")
        if name not in known and name not in _REFUSED:
            raise Unsupported(f"an export of type {kind} has no attribute {name[:100]!r}", hint=_listed(known))


def _listed(known: frozenset[str]) -> str:
    return f"known are {', '.join(sorted(known))}"


def _compression(given: Mapping[str, str]) -> Compression:
    value = given.get("compression", "gzip")
    try:
        return Compression(value)
    except ValueError:
        raise Unsupported(
            f"compression {value[:40]!r} isn't supported", hint=f"known are {', '.join(Compression)}"
        ) from None


def _level(given: Mapping[str, str], kind: Compression) -> int | None:
    text = given.get("compression-level")
    if text is None or kind is Compression.UNCOMPRESSED:
        return None
    least, most = _LEVELS[kind]
    try:
        level = int(text)
    except ValueError:
        level = most + 1
    if not least <= level <= most:
        raise Invalid(f"compression-level {text[:20]!r} is not a level of {kind}", hint=f"use {least} to {most}")
    return level


def _epoch(given: Mapping[str, str], epoch_s: int | None) -> int | None:
    text = given.get("source-date-epoch")
    if not text:
        return epoch_s
    if not text.isdigit():
        raise Invalid(f"source-date-epoch {text[:40]!r} is no number of seconds")
    return int(text)


def _flag(given: Mapping[str, str], name: str, default: bool = False) -> bool:
    value = given.get(name)
    if value is None:
        return default
    if value.lower() in ("", "true", "1", "t"):
        return True
    if value.lower() in ("false", "0", "f"):
        return False
    raise Invalid(f"{name} is {value[:40]!r}, which is neither true nor false")
