"""Where a result goes: `-o`, `--push` and `--load`."""

import sys
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path

from attrs import frozen

from moby.contracts.builder import Export, ExportType
from moby.errors import Invalid
from moby_builder.command.fields import pairs, row
from moby_builder.command.lending import STDOUT

__all__ = ["Outputs", "outputs"]

_STORE = "output:"
_TYPES = {
    "image": ExportType.IMAGE, "registry": ExportType.IMAGE, "oci": ExportType.OCI, "docker": ExportType.DOCKER,
    "tar": ExportType.TAR, "local": ExportType.LOCAL,
}  # fmt: skip
_FALSE = ("false", "0", "f")
_TRUE = ("true", "1", "t")


@frozen
class Outputs:
    """All that is to come of a build."""

    exports: tuple[Export, ...]
    places: Mapping[int, Path]
    """Files and folders by an export's number."""
    stores: Mapping[str, Path]
    """Layouts by their names."""


def outputs(asked: Namespace) -> Outputs:
    """Return what is to come of a build; Invalid for what makes no sense."""
    names = tuple(asked.tag)
    annotations = {f"annotation.{key}": value for key, _, value in (each.partition("=") for each in asked.annotation)}
    exports, places, stores = [], {}, {}
    for number, text in enumerate(asked.output):
        attributes = _attributes(text)
        kind = attributes.pop("type")
        if kind == "cacheonly":
            continue
        if kind not in _TYPES:
            raise Invalid(f"unknown output type {kind!r}", hint=f"one of {', '.join([*_TYPES, 'cacheonly'])}")
        place = attributes.pop("dest", "")
        if kind == "docker" and not place:
            kind = "image"  # of the engine
        push = _flag(attributes.pop("push", ""), "push") or kind == "registry"
        named = tuple(filter(None, attributes.pop("name", "").split(","))) or names
        store = _STORE + place if kind in ("oci", "docker") and attributes.get("tar", "").lower() in _FALSE else ""
        if store:
            stores[store] = Path(place)
        elif kind not in ("image", "registry"):
            places[number] = _place(kind, place)
        of_image = annotations if kind not in ("local", "tar") else {}
        exports.append(Export(_TYPES[kind], number, named, push, store, {**attributes, **of_image}))
    if asked.push or asked.load or not asked.output:
        exports.append(Export(ExportType.IMAGE, len(asked.output), names, asked.push, attributes=annotations))
    if sum(place == STDOUT for place in places.values()) > 1:
        raise Invalid("only one output can go to standard output")
    return Outputs(tuple(exports), places, stores)


def _attributes(text: str) -> dict[str, str]:
    if text == "-":
        return {"type": "tar", "dest": "-"}
    if len(row(text)) == 1 and "=" not in text:
        return {"type": "local", "dest": text}
    attributes = pairs(text)
    if not attributes.get("type"):
        raise Invalid(f"type is required for output: {text}", hint="as type=local,dest=FOLDER")
    return attributes


def _place(kind: str, text: str) -> Path:
    if kind == "local":
        if not text or text == "-":
            raise Invalid("dest is required for local output", hint="as type=local,dest=FOLDER")
        return Path(text)
    if text in ("", "-"):
        if sys.stdout.isatty():
            raise Invalid("dest file is required for an archive", hint="or send standard output elsewhere")
        return STDOUT
    return Path(text)


def _flag(text: str, what: str) -> bool:
    if text.lower() not in (*_TRUE, *_FALSE, ""):
        raise Invalid(f"invalid value for {what}: {text}")
    return text.lower() in _TRUE
