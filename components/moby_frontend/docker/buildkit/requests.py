"""Options of a front end, in BuildKit's words, to what a builder is asked for."""

import csv
import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from moby.contracts.builder import CacheExport, CacheSource, Export, ExportType, Request
from moby.contracts.types import Platform
from moby.errors import Invalid, Unsupported
from moby.values import evolve
from moby_frontend.docker.buildkit.protocol.common import PbPlatform
from moby_frontend.docker.buildkit.protocol.control import CacheOption, Exporter, SolveRequest

__all__ = [
    "cache_exports", "entitlements", "exports", "is_multi_platform", "platform_of", "platforms", "pulls", "request",
]  # fmt: skip

_UPLOAD = "http://buildkit-session/"
_SUBREQUEST = "frontend."
_ENTITLEMENTS = frozenset({"network.host", "security.insecure"})
_NETWORKS = {"": "", "sandbox": "", "host": "host", "none": "none"}
_PULLS = {"": False, "default": False, "local": False, "pull": True}
_TRUE = frozenset({"1", "t", "true"})
_FALSE = frozenset({"", "0", "f", "false"})
_PREFIXES = {"build-arg:": "arguments", "label:": "labels"}
_PASSED_OVER = frozenset({
    "cmdline", "contextkey", "dockerfilekey", "frontend.caps", "multi-platform", "source", "override-copy-image",
})  # fmt: skip
"""What is read elsewhere, or only told the front end what the client can."""
_PASSED_OVER_PREFIXES = ("input-metadata:", "local-sessionid:", "vcs:")
_EXPORTS = {
    "moby": ExportType.IMAGE, "image": ExportType.IMAGE, "oci": ExportType.OCI, "docker": ExportType.DOCKER,
    "tar": ExportType.TAR, "local": ExportType.LOCAL,
}  # fmt: skip
_FILES = (ExportType.TAR, ExportType.LOCAL)
_SOURCE = re.compile(r"(docker\.io/)?docker/dockerfile(-upstream)?([:@].*)?")


def request(
    frontend: str,
    options: Mapping[str, str],
    inputs: Mapping[str, str],
    allow: Iterable[str],
    exports: Iterable[Export] = (),
) -> Request:
    """Return what is asked for; Invalid or Unsupported name what makes no sense, or is unknown.

    `inputs` are references of results, by the names that options have for them.
    """
    _known_frontend(frontend, options)
    values: dict[str, Any] = {"arguments": {}, "labels": {}, "contexts": {}, "attestations": {}}
    for key, value in options.items():
        _option(values, key, value, inputs)
    arguments = values["arguments"]
    if arguments.get("BUILDKIT_SANDBOX_HOSTNAME"):
        values["hostname"] = arguments["BUILDKIT_SANDBOX_HOSTNAME"]
    layers = any(each.type not in _FILES for each in exports)
    return evolve(Request(**values), allow=frozenset(allow), layers=layers)


def _known_frontend(frontend: str, options: Mapping[str, str]) -> None:
    """Refuse what this engine's own front end isn't; an image of Dockerfile's front end stands for it."""
    if frontend == "dockerfile.v0":
        return
    source = options.get("source", "")
    if frontend != "gateway.v0":
        raise Unsupported(f"the front end {frontend!r} is unknown here; there is dockerfile.v0")
    if not _SOURCE.fullmatch(source):
        raise Unsupported(f"front ends that are images are not run here, so there is no {source!r}")


def _option(values: dict[str, Any], key: str, value: str, inputs: Mapping[str, str]) -> None:
    """Take one option."""
    read = _OPTIONS.get(key)
    if read is not None:
        name, convert = read
        found = convert(value)
        values[name] = (*values.get(name, ()), *found) if isinstance(found, tuple) else found
        return
    prefix = next((each for each in _PREFIXES if key.startswith(each)), None)
    if prefix is not None:
        values[_PREFIXES[prefix]][key.removeprefix(prefix)] = value
    elif key.startswith("context:"):
        values["contexts"][key.removeprefix("context:")] = _context(value, inputs)
    elif key.startswith("attest:"):
        attributes = _pairs(value)
        if attributes.pop("disabled", "") not in _TRUE:
            values["attestations"][_attestation(key.removeprefix("attest:"))] = attributes
    elif key == "no-cache":
        values.update({"no_cache_stages": tuple(value.split(","))} if value else {"no_cache": True})
    elif key not in _PASSED_OVER and not key.startswith(_PASSED_OVER_PREFIXES):
        raise Unsupported(f"the build option {key!r} is unknown here")


def _context(value: str, inputs: Mapping[str, str]) -> str:
    kind, _, rest = value.partition(":")
    if kind == "input":
        if rest not in inputs:
            raise Invalid(f"invalid input {rest}")
        return f"result:{inputs[rest]}"
    if kind == "oci-layout":
        name, at, digest = rest.partition("@")
        return f"oci-layout:{name.partition(':')[0]}{at}{digest}"  # without a tag, of which a store knows nothing
    return value


def _attestation(kind: str) -> str:
    if kind not in {"sbom", "provenance"}:
        raise Invalid(f'unknown attestation type "{kind}"')
    return kind


def _row(text: str) -> list[str]:
    """Return the fields of a line of CSV."""
    return next(csv.reader([text], strict=False), []) if text else []


def _pairs(text: str) -> dict[str, str]:
    return {key: value for key, _, value in (each.partition("=") for each in _row(text))}


def platforms(text: str) -> tuple[Platform, ...]:
    """Return platforms of a list with commas; Invalid for what is none."""
    return tuple(_platform(each) for each in text.split(",")) if text else ()


_ARCHITECTURES = {
    "x86_64": ("amd64", ""), "x86-64": ("amd64", ""), "aarch64": ("arm64", ""), "armhf": ("arm", "v7"),
    "armel": ("arm", "v6"), "i386": ("386", ""),
}  # fmt: skip
_VARIANTS = {("amd64", "v1"): "", ("arm64", "v8"): "", ("arm64", "8"): "", ("arm", ""): "v7"}


def _platform(text: str) -> Platform:
    """Return a platform as containerd spells it: without what is its only variant."""
    words = text.strip().lower().split("/")
    if len(words) == 1:
        words = [words[0], Platform.host().architecture] if words[0] in {"linux", "windows"} else ["linux", words[0]]
    if not 2 <= len(words) <= 3 or not all(re.fullmatch(r"[a-z0-9_.()-]+", each) for each in words):
        raise Invalid(f"failed to parse target platform {text[:200]}")
    architecture, variant = _ARCHITECTURES.get(words[1], (words[1], ""))
    variant = words[2] if len(words) == 3 else variant
    return Platform(words[0], architecture, _VARIANTS.get((architecture, variant), variant))


def platform_of(message: PbPlatform | None) -> Platform:
    """Return the platform that a message names, the host's for none; Invalid for one that can't be."""
    if message is None or not message.architecture:
        return Platform.host()
    words = (message.os or "linux", message.architecture, message.variant)
    return _platform("/".join(each for each in words if each))


def pulls(mode: str) -> bool:
    """Return whether a way to resolve images has an image registry asked for newer ones; Invalid for no way."""
    if mode not in _PULLS:
        raise Invalid(f"invalid resolvemode: {mode[:100]}")
    return _PULLS[mode]


def is_multi_platform(options: Mapping[str, str]) -> bool:
    """Return whether a result is to name its platforms, however many it has; Invalid where it can't."""
    several = "," in options.get("platform", "")
    text = options.get("build-arg:BUILDKIT_MULTI_PLATFORM") or options.get("multi-platform", "")
    if not text:
        return several
    wanted = _flag(text, "multi-platform")
    if several and not wanted:
        raise Invalid("conflicting config: returning multiple target platforms is not allowed")
    return wanted


def _flag(text: str, what: str) -> bool:
    if text.lower() not in _TRUE | _FALSE:
        raise Invalid(f"invalid boolean value for {what}: {text}")
    return text.lower() in _TRUE


def _number(text: str) -> int:
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) < 19):
        raise Invalid(f"{text[:100]!r} is no number")
    return int(text)


def _hosts(text: str) -> tuple[tuple[str, str], ...]:
    found = []
    for each in _row(text):
        name, equals, address = each.partition("=")
        if not (name and equals and address):
            raise Invalid(f"failed to parse additional hosts: invalid key-value pair {each}")
        found.append((name.lower(), address))
    return tuple(found)


def _ulimits(text: str) -> tuple[tuple[str, int, int], ...]:
    found = []
    for each in _row(text):
        name, equals, numbers = each.partition("=")
        soft, _, hard = numbers.partition(":")
        if not (name and equals and soft):
            raise Invalid(f"failed to parse ulimit: invalid ulimit argument: {each}")
        found.append((name, _number(soft), _number(hard or soft)))
    return tuple(found)


def _network(text: str) -> str:
    if text not in _NETWORKS:
        raise Invalid(f"invalid netmode {text}")
    return _NETWORKS[text]


def _pull(text: str) -> bool:
    if text not in _PULLS:
        raise Invalid(f"invalid image-resolve-mode: {text}")
    return _PULLS[text]


def _caches(text: str) -> tuple[CacheSource, ...]:
    """Return caches to look into, written as JSON."""
    try:
        return tuple(
            CacheSource(str(each["Type"]), {str(key): str(value) for key, value in (each.get("Attrs") or {}).items()})
            for each in json.loads(text or "[]")
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise Invalid(f"failed to unmarshal cache-imports ({text[:200]!r})") from error


def _main_context(text: str) -> str:
    return f"stream:{text.removeprefix(_UPLOAD)}" if text.startswith(_UPLOAD) else text


_OPTIONS: Mapping[str, tuple[str, Callable[[str], Any]]] = {
    "context": ("context", _main_context),
    "filename": ("dockerfile", lambda text: text or "Dockerfile"),
    "requestid": ("request", lambda text: text.removeprefix(_SUBREQUEST)),
    "target": ("target", str),
    "platform": ("platforms", platforms),
    "image-resolve-mode": ("pull", _pull),
    "add-hosts": ("hosts", _hosts),
    "force-network-mode": ("network", _network),
    "hostname": ("hostname", str),
    "shm-size": ("shm_bytes", lambda text: _number(text or "0")),
    "ulimit": ("ulimits", _ulimits),
    "cgroup-parent": ("cgroup_parent", str),
    "cache-imports": ("cache_from", _caches),
    "cache-from": (
        "cache_from", lambda text: tuple(CacheSource("registry", {"ref": each}) for each in text.split(",") if each)
    ),
}  # fmt: skip


# What is to become of it --------------------------------------------------------------------------------------------


def entitlements(names: Iterable[str]) -> frozenset[str]:
    """Return what a build may do besides; Invalid for an unknown one."""
    for each in names:
        if each not in _ENTITLEMENTS:
            raise Invalid(f"unknown entitlement {each}")
    return frozenset(names)


def exports(asked: SolveRequest) -> tuple[Export, ...]:
    """Return where a result is to go."""
    given = asked.exporters or ([Exporter(asked.exporter, asked.exporter_attributes)] if asked.exporter else [])
    return tuple(_export(number, each) for number, each in enumerate(given))


def _export(number: int, exporter: Exporter) -> Export:
    if exporter.type not in _EXPORTS:
        raise Invalid(f'exporter "{exporter.type}" could not be found')
    attributes = dict(exporter.attributes)
    names = tuple(each.strip() for each in attributes.pop("name", "").split(",") if each.strip())
    push = _flag(attributes.pop("push", ""), "push")
    attributes.pop("load", "")  # an image is loaded anyhow
    is_folder = attributes.get("tar", "").lower() in _FALSE - {""}
    store = "export" if is_folder and exporter.type in {"oci", "docker"} else ""
    return Export(_EXPORTS[exporter.type], number, names, push, store, attributes)


def cache_exports(options: Iterable[CacheOption]) -> tuple[CacheExport, ...]:
    """Return where a cache is to go."""
    return tuple(
        CacheExport(each.type, each.attributes.get("mode") or "min", {
            key: value for key, value in each.attributes.items() if key != "mode"
        })
        for each in options
    )  # fmt: skip
