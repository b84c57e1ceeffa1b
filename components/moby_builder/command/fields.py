"""What options hold: fields with commas, pairs, hosts, limits, platforms."""

import csv
from collections.abc import Iterable, Mapping, Sequence

from moby.contracts.builder import CacheExport, CacheSource
from moby.contracts.types import Platform
from moby.errors import Invalid

__all__ = [
    "attestations", "cache_exports", "cache_sources", "hosts", "pairs", "platforms", "row", "ulimits", "variables",
]  # fmt: skip

_FALSE = ("false", "0", "f")
_TRUE = ("true", "1", "t")


def row(text: str) -> list[str]:
    """Return the fields of a line of CSV."""
    return next(csv.reader([text]), [])


def pairs(text: str) -> dict[str, str]:
    """Return `NAME=VALUE,...` as a map; Invalid for a field without a value."""
    found = {}
    for each in row(text):
        name, equals, value = each.partition("=")
        if not equals:
            raise Invalid(f"invalid value {each}: it must be NAME=VALUE")
        found[name.strip().lower()] = value
    return found


def variables(given: Sequence[str], environment: Mapping[str, str]) -> dict[str, str]:
    """Return arguments; a bare name is filled in from the environment, or left out where that hasn't got it."""
    found = {}
    for each in given:
        name, equals, value = each.partition("=")
        if equals or name in environment:
            found[name] = value if equals else environment[name]
    return found


def platforms(given: Iterable[str]) -> tuple[Platform, ...]:
    """Return platforms, as `OS/ARCHITECTURE[/VARIANT]` or an architecture alone; Invalid for what is none."""
    found = []
    for text in (each.strip() for one in given for each in one.split(",")):
        words = text.split("/")
        words = ["linux", *words] if len(words) == 1 else words
        if not all(words) or len(words) > 3:
            raise Invalid(f"invalid platform {text!r}", hint="write it as linux/arm64")
        found.append(Platform(*words))
    return tuple(found)


def hosts(given: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """Return names and addresses, given `NAME:ADDRESS` or `NAME=ADDRESS`."""
    found = []
    for each in given:
        at = min((place for place in (each.find(":"), each.find("=")) if place > 0), default=0)
        if not at or not each[at + 1 :]:
            raise Invalid(f"bad format for add-host: {each!r}", hint="write it as NAME:ADDRESS")
        found.append((each[:at], each[at + 1 :].removeprefix("[").removesuffix("]")))
    return tuple(found)


def ulimits(given: Iterable[str]) -> tuple[tuple[str, int, int], ...]:
    """Return names, soft and hard limits, given `NAME=SOFT[:HARD]`."""
    found = []
    for each in given:
        name, _, numbers = each.partition("=")
        soft, _, hard = numbers.partition(":")
        try:
            found.append((name, int(soft), int(hard or soft)))
        except ValueError:
            raise Invalid(f"invalid ulimit argument: {each}", hint="write it as NAME=SOFT:HARD") from None
    return tuple(found)


def attestations(sbom: str, provenance: str, others: Iterable[str]) -> dict[str, Mapping[str, str]]:
    """Return what is to be attested, with its attributes."""
    found: dict[str, Mapping[str, str]] = {}
    for text in others:
        attributes = pairs(text)
        kind = attributes.pop("type", "")
        if kind not in ("sbom", "provenance"):
            raise Invalid(f"unknown attestation type {kind!r}", hint="sbom and provenance are known")
        if attributes.pop("disabled", "") not in _TRUE:
            found[kind] = attributes
    for kind, text in (("sbom", sbom), ("provenance", provenance)):
        if text.lower() in _FALSE:
            found.pop(kind, None)
        elif text:
            found[kind] = {} if text.lower() in _TRUE else pairs(text)
    return found


def cache_sources(given: Iterable[str]) -> tuple[CacheSource, ...]:
    """Return caches to look into; a name alone is an image's in an image registry."""
    return tuple(CacheSource(*_typed(each)) for each in given)


def cache_exports(given: Iterable[str]) -> tuple[CacheExport, ...]:
    """Return where caches are to go."""
    found = []
    for each in given:
        kind, attributes = _typed(each)
        found.append(CacheExport(kind, attributes.pop("mode", "min"), attributes))
    return tuple(found)


def _typed(text: str) -> tuple[str, dict[str, str]]:
    fields = row(text)
    if all("=" not in each for each in fields):
        return "registry", {"ref": text}
    attributes = pairs(text)
    kind = attributes.pop("type", "")
    if not kind:
        raise Invalid(f"type required for a cache: {text}", hint="as type=registry,ref=NAME")
    return kind, attributes
