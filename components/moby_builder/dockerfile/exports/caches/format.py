"""A cache's config as BuildKit has it (buildkit, cache/remotecache/v1/spec.go), with what this builder adds.

Layers are listed each with the one below; a record says by which key a step is found, and the topmost layer of what it
made. `identity` is this builder's own: what keys of further steps are made of.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from attrs import frozen

from moby.errors import Invalid
from moby.oci import digest as digests
from moby.oci.times import nano
from moby_builder.dockerfile.exports.configs import nanoseconds
from moby_builder.dockerfile.exports.layers import LayerBlob
from moby_builder.dockerfile.exports.solution import Kept

__all__ = ["CONFIG", "INLINE", "CacheChain", "CacheRecord", "Listing", "chains", "parse", "parse_records"]

CONFIG = "application/vnd.buildkit.cacheconfig.v0"
"""Media type of a cache's config."""
INLINE = "moby.buildkit.cache.v0"
"""Key of an image's config that holds the records of a cache, whose layers are the image's."""
_MOST_RECORDS = 100_000


@frozen
class CacheRecord:
    """A step's result in a cache."""

    key: str
    identity: str
    layer: int
    """Number of its topmost layer."""
    created_ns: int = 0


CacheChain = tuple[LayerBlob, ...]
"""The layers of a result, lowest first."""


class Listing:
    """Layers and records on their way into a config; those that are alike are listed once."""

    def __init__(self) -> None:
        self._layers: dict[tuple[int, LayerBlob], int] = {}
        self._records: dict[str, dict[str, Any]] = {}
        self.mounts: list[dict[str, Any]] = []

    @property
    def layers(self) -> tuple[LayerBlob, ...]:
        """All layers in their order, a blob as often as it is on others."""
        return tuple(layer for _, layer in self._layers)

    def add(self, kept: Kept, chain: Sequence[LayerBlob]) -> None:
        """List what a step made."""
        below = -1
        for layer in chain:
            below = self._layers.setdefault((below, layer), len(self._layers))
        for key in kept.keys:
            made = {"layer": below, "createdAt": nano(kept.created_ns)}
            self._records[key] = {"digest": f"sha256:{key}", "layers": [made], "identity": kept.identity}

    def config(self) -> bytes:
        """Return the whole config; the same values give the same bytes."""
        layers = [
            {
                "blob": str(layer.digest), "parent": below,
                "annotations": {
                    "mediaType": layer.media_type, "diffID": str(layer.diff_id), "size": layer.size_bytes,
                    "createdAt": nano(layer.created_ns),
                },
            }
            for below, layer in self._layers
        ]  # fmt: skip
        mounts = {"mounts": self.mounts} if self.mounts else {}
        return _json({"layers": layers, "records": self.records(), **mounts})

    def records(self) -> list[dict[str, Any]]:
        """Return the records alone, sorted by key."""
        return [self._records[key] for key in sorted(self._records)]


def parse(data: bytes) -> tuple[tuple[tuple[int, LayerBlob], ...], tuple[CacheRecord, ...]]:
    """Read a config: layers, each with the number of the one below (-1 for none), and the records that can be used."""
    document = _loaded(data)
    if not isinstance(document, dict):
        raise Invalid("the cache's config isn't an object")
    layers = tuple(_layer(each, number) for number, each in enumerate(_list(document.get("layers"))))
    return layers, _records(document.get("records"), len(layers))


def parse_records(data: bytes, layers: int) -> tuple[CacheRecord, ...]:
    """Read the records of an image that has so many layers."""
    return _records(_loaded(data), layers)


def _loaded(data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise Invalid(f"the cache's config isn't JSON: {str(error)[:200]}") from None


def _list(value: Any) -> list[Any]:
    if not isinstance(value or [], list):
        raise Invalid("the cache's config is invalid: a list is missing")
    return value or []


def _layer(value: Any, number: int) -> tuple[int, LayerBlob]:
    try:
        about: Mapping[str, Any] = value["annotations"]
        below, size = value.get("parent", -1), about["size"]
        made_ns = nanoseconds(about.get("createdAt"))
        found = LayerBlob(
            digests.parse(about["diffID"]), digests.parse(value["blob"]), size, str(about["mediaType"]), made_ns
        )
    except (KeyError, TypeError, AttributeError):
        raise Invalid(f"the cache's layer {number} lacks its description") from None
    if not isinstance(below, int) or not -1 <= below < number:
        raise Invalid(f"the cache's layer {number} has a parent that isn't listed before it")
    if not isinstance(size, int) or size < 0:
        raise Invalid(f"the cache's layer {number} has no size")
    return below, found


def _records(value: Any, layers: int) -> tuple[CacheRecord, ...]:
    """Return the records that this builder's keys may find; those of others are passed over."""
    found = []
    for each in _list(value)[:_MOST_RECORDS]:
        if not isinstance(each, dict) or not isinstance(each.get("identity"), str):
            continue
        key = str(each.get("digest", "")).removeprefix("sha256:")
        for made in _list(each.get("layers")):
            number = made.get("layer") if isinstance(made, dict) else None
            if isinstance(number, int) and 0 <= number < layers:
                found.append(CacheRecord(key, each["identity"], number, nanoseconds(made.get("createdAt"))))
    return tuple(found)


def _json(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def chains(layers: Iterable[tuple[int, LayerBlob]]) -> list[CacheChain]:
    """Return for each layer all that it is on, itself last."""
    found: list[CacheChain] = []
    for below, layer in layers:
        found.append((*(found[below] if below >= 0 else ()), layer))
    return found
