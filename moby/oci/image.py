"""Images as data: config, manifest and index, out of bytes that anybody may have written (image-spec).

Every parser here returns a value or raises Invalid, whatever it is given.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from moby.contracts.images import ImageConfig
from moby.contracts.types import Digest, Platform
from moby.errors import Invalid
from moby.oci import digest as digests
from moby.values import field, frozen

__all__ = [
    "CONFIG", "INDEX", "LAYER", "LAYER_GZIP", "LAYER_ZSTD", "MANIFEST", "Descriptor", "Index", "Manifest", "Step",
    "StoredConfig", "dump_config", "dump_index", "dump_manifest", "dump_run_config", "is_gzip", "is_index",
    "parse_config", "parse_index", "parse_manifest",
]  # fmt: skip

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
LAYER_GZIP = LAYER + "+gzip"
LAYER_ZSTD = LAYER + "+zstd"
_DOCKER = "application/vnd.docker."
_INDEXES = frozenset({INDEX, _DOCKER + "distribution.manifest.list.v2+json"})
_MANIFESTS = frozenset({MANIFEST, _DOCKER + "distribution.manifest.v2+json"})
_GZIP_LAYERS = frozenset({LAYER_GZIP, _DOCKER + "image.rootfs.diff.tar.gzip"})
_LONGEST_BYTES = 4 << 20
"""What registries must accept of a manifest (distribution-spec), and no config comes near."""
_MOST_LAYERS = 512
_MAX_SIZE = (1 << 63) - 1


@frozen
class Descriptor:
    """A typed pointer to content (image-spec, descriptor.md)."""

    media_type: str
    digest: Digest
    size_bytes: int
    platform: Platform | None = None
    annotations: Mapping[str, str] = field(factory=dict)


@frozen
class Manifest:
    """One image: its config and its layers, lowest first (image-spec, manifest.md)."""

    config: Descriptor
    layers: tuple[Descriptor, ...]
    media_type: str = MANIFEST
    annotations: Mapping[str, str] = field(factory=dict)


@frozen
class Index:
    """A list of manifests (image-spec, image-index.md)."""

    manifests: tuple[Descriptor, ...] = ()
    media_type: str = INDEX
    annotations: Mapping[str, str] = field(factory=dict)


@frozen
class Step:
    """One step that an image was made by (image-spec, config.md, history)."""

    created: str = ""
    created_by: str = ""
    author: str = ""
    comment: str = ""
    empty_layer: bool = False


@frozen
class StoredConfig:
    """What an image's config says (image-spec, config.md)."""

    config: ImageConfig
    platform: Platform
    diff_ids: tuple[Digest, ...]
    created: str = ""
    raw: Mapping[str, Any] = field(factory=dict)
    """All of it, as it stands."""
    author: str = ""
    comment: str = ""
    docker_version: str = ""
    history: tuple[Step, ...] = ()


def is_index(media_type: str) -> bool:
    """Say whether a media type is an index's, Docker's manifest lists included."""
    return media_type in _INDEXES


def is_gzip(media_type: str) -> bool:
    """Say whether a media type is a gzip layer's."""
    return media_type in _GZIP_LAYERS


def parse_manifest(data: bytes) -> Manifest:
    """Read a manifest, OCI's or Docker's schema 2; Invalid names the field that is wrong."""
    at = _document(data, "manifest", other="manifests")
    media_type = at.text("mediaType", MANIFEST)
    if media_type not in _MANIFESTS:
        at.wrong("mediaType", f"is {media_type[:80]!r}, which is no image manifest")
    layers = tuple(_descriptor(each) for each in at.items("layers"))
    if len(layers) > _MOST_LAYERS:
        at.wrong("layers", f"are {len(layers)}; at most {_MOST_LAYERS} are allowed")
    return Manifest(_descriptor(at.inside("config")), layers, media_type, at.texts("annotations"))


def parse_index(data: bytes) -> Index:
    """Read an index, OCI's or Docker's manifest list; Invalid names the field that is wrong."""
    at = _document(data, "index", other="layers")
    media_type = at.text("mediaType", INDEX)
    if not is_index(media_type):
        at.wrong("mediaType", f"is {media_type[:80]!r}, which is no image index")
    return Index(tuple(_descriptor(each) for each in at.items("manifests")), media_type, at.texts("annotations"))


def parse_config(data: bytes) -> StoredConfig:
    """Read an image's config; Invalid names the field that is wrong."""
    at = _Fields("image config", _json(data, "image config"))
    rootfs = at.inside("rootfs")
    if rootfs.text("type") != "layers":
        rootfs.wrong("type", "must be layers")
    return StoredConfig(
        _run_config(at.inside("config", optional=True)),
        Platform(at.text("os"), at.text("architecture"), at.text("variant", "")),
        tuple(rootfs.digest_of(text, "diff_ids") for text in rootfs.strings("diff_ids")),
        at.text("created", ""),
        at.values,
        author=at.text("author", ""),
        comment=at.text("comment", ""),
        docker_version=at.text("docker_version", ""),
        history=tuple(_step(each) for each in at.items("history")),
    )


def _run_config(run: "_Fields") -> ImageConfig:
    return ImageConfig(
        entrypoint=run.strings("Entrypoint"),
        command=run.strings("Cmd"),
        environment=run.strings("Env"),
        user=run.text("User", ""),
        working_directory=run.text("WorkingDir", ""),
        stop_signal=run.text("StopSignal", ""),
        labels=run.texts("Labels"),
        exposed_ports=tuple(sorted(run.inside("ExposedPorts", optional=True).values)),
        volumes=tuple(sorted(run.inside("Volumes", optional=True).values)),
        healthcheck=_healthcheck(run.inside("Healthcheck", optional=True)),
        shell=run.strings("Shell"),
        on_build=run.strings("OnBuild"),
        args_escaped=run.flag("ArgsEscaped"),
    )


def _healthcheck(at: "_Fields") -> dict[str, Any]:
    found: dict[str, Any] = {"Test": list(at.strings("Test"))} if at.values.get("Test") is not None else {}
    for key in ("Interval", "Timeout", "StartPeriod", "StartInterval", "Retries"):
        if at.values.get(key) is not None:
            found[key] = at.size(key)
    return found


def _step(at: "_Fields") -> Step:
    return Step(
        at.text("created", ""), at.text("created_by", ""), at.text("author", ""), at.text("comment", ""),
        at.flag("empty_layer"),
    )  # fmt: skip


def dump_config(
    config: ImageConfig, platform: Platform, diff_ids: Sequence[Digest], *, created: str = "", comment: str = ""
) -> bytes:
    """Write an image's config; the same values give the same bytes."""
    run = dump_run_config(config)
    step = {"created": created, "created_by": comment}
    return _bytes({
        "architecture": platform.architecture,
        "config": _filled(run),
        "created": created or None,
        "history": [_filled(step) for _ in diff_ids],
        "os": platform.os,
        "rootfs": {"diff_ids": [str(each) for each in diff_ids], "type": "layers"},
        "variant": platform.variant or None,
    })  # fmt: skip


def dump_run_config(config: ImageConfig) -> dict[str, Any]:
    """Return how an image wants to be run as its config has it; what is empty is left out where it is thus written."""
    return {
        "ArgsEscaped": config.args_escaped, "Cmd": list(config.command), "Entrypoint": list(config.entrypoint),
        "Env": list(config.environment), "ExposedPorts": {each: {} for each in config.exposed_ports},
        "Healthcheck": dict(config.healthcheck), "Labels": dict(config.labels), "OnBuild": list(config.on_build),
        "Shell": list(config.shell), "StopSignal": config.stop_signal, "User": config.user,
        "Volumes": {each: {} for each in config.volumes}, "WorkingDir": config.working_directory,
    }  # fmt: skip


def dump_manifest(manifest: Manifest) -> bytes:
    """Write a manifest; the same values give the same bytes."""
    return _bytes({
        "annotations": dict(manifest.annotations) or None,
        "config": _dumped(manifest.config),
        "layers": [_dumped(each) for each in manifest.layers],
        "mediaType": manifest.media_type,
        "schemaVersion": 2,
    })  # fmt: skip


def dump_index(index: Index) -> bytes:
    """Write an index; the same values give the same bytes."""
    return _bytes({
        "annotations": dict(index.annotations) or None,
        "manifests": [_dumped(each) for each in index.manifests],
        "mediaType": index.media_type,
        "schemaVersion": 2,
    })  # fmt: skip


def _dumped(descriptor: Descriptor) -> dict[str, Any]:
    platform = descriptor.platform
    return _filled({
        "annotations": dict(descriptor.annotations),
        "digest": str(descriptor.digest),
        "mediaType": descriptor.media_type,
        "platform": _filled({"architecture": platform.architecture, "os": platform.os, "variant": platform.variant})
        if platform
        else None,
    }) | {"size": descriptor.size_bytes}  # fmt: skip


def _filled(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value}


def _bytes(values: Mapping[str, Any]) -> bytes:
    kept = {key: value for key, value in values.items() if value is not None}
    return json.dumps(kept, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _document(data: bytes, what: str, *, other: str) -> "_Fields":
    """Read a manifest or an index, but nothing that could be taken for both."""
    at = _Fields(what, _json(data, what))
    if at.values.get("schemaVersion") != 2 or isinstance(at.values.get("schemaVersion"), float):
        at.wrong("schemaVersion", "must be 2", hint="older formats are converted by fetching the image anew")
    if other in at.values:
        # Read as the one it would be another image than as the other (CVE-2021-41190).
        at.wrong(other, "makes it ambiguous")
    return at


def _descriptor(at: "_Fields") -> Descriptor:
    platform = at.inside("platform", optional=True)
    return Descriptor(
        media_type=at.text("mediaType"),
        digest=at.digest_of(at.text("digest"), "digest"),
        size_bytes=at.size("size"),
        platform=Platform(platform.text("os"), platform.text("architecture"), platform.text("variant", ""))
        if platform.values
        else None,
        annotations=at.texts("annotations"),
    )


def _json(data: bytes, what: str) -> dict[str, Any]:
    if len(data) > _LONGEST_BYTES:
        raise Invalid(f"{what} has {len(data)} bytes; at most {_LONGEST_BYTES} are allowed")
    try:
        value = json.loads(data.decode(), parse_constant=_refuse, object_pairs_hook=_unique)
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()  # nor lone surrogates, which no file can hold
    except RecursionError:
        raise Invalid(f"{what} is nested too deeply") from None
    except ValueError as error:
        raise Invalid(f"{what} is no JSON: {str(error)[:200]}") from None
    if not isinstance(value, dict):
        raise Invalid(f"{what} is no JSON object")
    return value


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse a key that stands twice: other readers would take the other value."""
    values = dict(pairs)
    if len(values) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return values


@frozen
class _Fields:
    """The fields of one JSON object, with its path for messages; null is the same as absent, as Go writes it."""

    path: str
    values: dict[str, Any]

    def wrong(self, key: str, how: str, *, hint: str = "") -> NoReturn:
        raise Invalid(f"{self.path}: {key} {how}", hint=hint)

    def text(self, key: str, default: str | None = None) -> str:
        value = self.values.get(key)
        if value is None and default is not None:
            return default
        if not isinstance(value, str):
            self.wrong(key, "is missing" if value is None else "must be text")
        if "\0" in value:
            self.wrong(key, "holds a NUL character")
        return value

    def size(self, key: str) -> int:
        value = self.values.get(key)
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _MAX_SIZE:
            self.wrong(key, "must be a count of bytes")
        return value

    def flag(self, key: str) -> bool:
        value = self.values.get(key)
        if value is not None and not isinstance(value, bool):
            self.wrong(key, "must be true or false")
        return bool(value)

    def strings(self, key: str) -> tuple[str, ...]:
        return tuple(_Fields(f"{self.path}: {key}", {"item": each}).text("item") for each in self._list(key))

    def texts(self, key: str) -> dict[str, str]:
        inner = self.inside(key, optional=True)
        return {_Fields(inner.path, {"key": each}).text("key"): inner.text(each) for each in inner.values}

    def inside(self, key: str, *, optional: bool = False) -> "_Fields":
        value = self.values.get(key)
        if value is None and optional:
            value = {}
        if not isinstance(value, dict):
            self.wrong(key, "is missing" if value is None else "must be an object")
        return _Fields(f"{self.path}: {key}", value)

    def items(self, key: str) -> "tuple[_Fields, ...]":
        wrapped = (_Fields(f"{self.path}: {key}", {str(i): each}) for i, each in enumerate(self._list(key)))
        return tuple(each.inside(next(iter(each.values))) for each in wrapped)

    def digest_of(self, text: str, key: str) -> Digest:
        try:
            return digests.parse(text)
        except Invalid as error:
            self.wrong(key, f"is wrong: {error.message}")

    def _list(self, key: str) -> list[Any]:
        value = self.values.get(key)
        if value is None:
            return []
        if not isinstance(value, list):
            self.wrong(key, "must be a list")
        return value
