"""Provenance: how an image was built, as BuildKit writes it (buildkit, slsa-definitions.md; SLSA provenance v0.2)."""

import base64
import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from attrs import asdict, evolve

from moby.contracts.types import Platform
from moby.errors import Invalid, Unsupported
from moby.oci.times import nano
from moby_builder.dockerfile.exports.attestations.statements import image_name
from moby_builder.dockerfile.exports.solution import Origin, Solution, Solved
from moby_builder.dockerfile.operations import (
    Copy,
    EmptySource,
    GitSource,
    HttpSource,
    ImageSource,
    LayoutSource,
    LocalSource,
    Node,
    Run,
    StreamSource,
    ancestors,
)

__all__ = ["PREDICATE", "check", "predicate"]

PREDICATE = "https://slsa.dev/provenance/v0.2"
_BUILD_TYPE = "https://mobyproject.org/buildkit@v1"
_METADATA = f"{_BUILD_TYPE}#metadata"
_KNOWN = frozenset({"mode", "inline-only", "builder-id", "reproducible", "filename", "disabled", "type"})
_PRIVATE = ("build-arg:", "label:")
"""Before names of parameters that only the mode `max` tells."""


def check(attributes: Mapping[str, str]) -> None:
    """Raise Unsupported or Invalid where provenance is asked for as it isn't written here."""
    for name in attributes:
        if name not in _KNOWN:
            raise Unsupported(
                f"provenance has no attribute {name[:100]!r}", hint=f"known are {', '.join(sorted(_KNOWN))}"
            )
    if attributes.get("mode", "min") not in ("min", "max"):
        raise Invalid(f"provenance has no mode {attributes['mode'][:40]!r}", hint="it has min and max")


def predicate(solution: Solution, solved: Solved, attributes: Mapping[str, str]) -> dict[str, Any]:
    """Return the predicate about what was built for one platform."""
    origin, whole = _dated(solution), attributes.get("mode") == "max"
    nodes = list(ancestors(solved.root)) if solved.root is not None else []
    parameters = _parameters(origin)
    shown = {key: value for key, value in parameters.items() if whole or not key.startswith(_PRIVATE)}
    locals_ = sorted({each.operation.name for each in nodes if isinstance(each.operation, LocalSource)})
    found = {
        "builder": {"id": attributes.get("builder-id", "")},
        "buildType": _BUILD_TYPE,
        "materials": list(_materials(nodes, solved)),
        "invocation": {
            "configSource": _config_source(origin, nodes, solved),
            "parameters": {
                "frontend": "dockerfile.v0", "args": shown, "locals": [{"name": each} for each in locals_],
            },
            "environment": {"platform": str(Platform.host())},
        },
        "metadata": {
            "buildInvocationID": _invocation(origin, solved),
            "buildStartedOn": nano(origin.started_ns), "buildFinishedOn": nano(origin.completed_ns),
            "completeness": {
                "parameters": shown == parameters, "environment": True,
                "materials": not locals_ and not any(isinstance(each.operation, StreamSource) for each in nodes),
            },
            "reproducible": attributes.get("reproducible", "").lower() in ("true", "1"),
            _METADATA: _source(origin, nodes) if whole else {},
        },
    }  # fmt: skip
    if whole:
        found["buildConfig"] = _build_config(nodes)
    return found


def _dated(solution: Solution) -> Origin:
    """Return how a build was asked for; where times are to be SOURCE_DATE_EPOCH, so that two builds state the same."""
    if solution.epoch_s is None:
        return solution.origin
    time_ns = solution.epoch_s * 1_000_000_000
    return evolve(solution.origin, started_ns=time_ns, completed_ns=time_ns)


def _invocation(origin: Origin, solved: Solved) -> str:
    text = f"{solved.root.digest if solved.root else ''} {origin.started_ns} {origin.completed_ns}"
    return hashlib.sha256(text.encode()).hexdigest()[:25]


def _parameters(origin: Origin) -> dict[str, str]:
    """Return what was asked for, by the names of BuildKit's front end."""
    request = origin.request
    found = {f"build-arg:{key}": value for key, value in request.arguments.items()}
    found |= {f"label:{key}": value for key, value in request.labels.items()}
    found |= {f"context:{key}": value for key, value in request.contexts.items()}
    if request.no_cache:
        found["no-cache"] = ""
    elif request.no_cache_stages:
        found["no-cache"] = ",".join(request.no_cache_stages)
    for key, value in (("target", request.target), ("force-network-mode", request.network)):
        found |= {key: value} if value else {}
    return dict(sorted(found.items()))


def _config_source(origin: Origin, nodes: Sequence[Node], solved: Solved) -> dict[str, Any]:
    found: dict[str, Any] = {"entryPoint": origin.file}
    for each in nodes:
        if isinstance(each.operation, GitSource) and each.operation.url == origin.request.context.partition("#")[0]:
            found |= {"uri": origin.request.context, "digest": _digest(solved.identities.get(each.digest, ""))}
    return found


def _materials(nodes: Sequence[Node], solved: Solved) -> Iterator[dict[str, Any]]:
    """Yield what came from elsewhere, each once."""
    seen = []
    for node in nodes:
        uri = _uri(node)
        if not uri:
            continue
        found = {"uri": uri, "digest": _digest(solved.identities.get(node.digest, ""))}
        if found not in seen:
            seen.append(found)
            yield found


def _uri(node: Node) -> str:
    operation = node.operation
    if isinstance(operation, ImageSource):
        return image_name(operation.reference, operation.platform)
    if isinstance(operation, HttpSource):
        return operation.url
    if isinstance(operation, GitSource):
        return f"{operation.url}#{operation.reference}" if operation.reference else operation.url
    if isinstance(operation, LayoutSource):
        return f"pkg:oci/{operation.store}?digest={operation.digest}"
    return ""


def _digest(identity: str) -> dict[str, str]:
    """Return the digest that what a source stood for says of it."""
    if found := re.search(r"sha256:([0-9a-f]{64})", identity):
        return {"sha256": found[1]}
    if found := re.search(r"\b([0-9a-f]{40})\b", identity):
        return {"sha1": found[1]}
    return {}


def _build_config(nodes: Sequence[Node]) -> dict[str, Any]:
    """Return all steps, with what each is told to do."""
    numbers = {each.digest: f"step{number}" for number, each in enumerate(nodes)}
    steps = [
        {
            "id": numbers[each.digest],
            "op": {"Op": _operation(each), "platform": _platform(each.platform)},
            "inputs": [f"{numbers[below.digest]}:0" for below in each.inputs],
        }
        for each in nodes
    ]  # fmt: skip
    return {"llbDefinition": steps, "digestMapping": {str(digest): name for digest, name in numbers.items()}}


def _platform(platform: Platform) -> dict[str, str]:
    return {"OS": platform.os, "Architecture": platform.architecture}


def _operation(node: Node) -> dict[str, Any]:
    operation = node.operation
    if isinstance(operation, Run):
        meta = {"args": list(operation.arguments), "env": list(operation.environment), "cwd": operation.folder}
        return {"exec": {"meta": meta, "mounts": [{"dest": each.target} for each in operation.mounts]}}
    if isinstance(operation, Copy):
        sources = [{"src": each.path, "input": each.input} for each in operation.sources]
        return {"file": {"actions": [{"Action": {"copy": {"sources": sources, "dest": operation.target}}}]}}
    if isinstance(operation, LocalSource | StreamSource):
        return {"source": {"identifier": f"local://{operation.name}"}}
    if isinstance(operation, EmptySource):
        return {"source": {"identifier": "scratch"}}
    if uri := _uri(node):
        return {"source": {"identifier": uri}}
    return {type(operation).__name__.lower(): {"paths": list(_paths(operation))}}


def _paths(operation: Any) -> Iterator[str]:
    values = asdict(operation, recurse=False)
    yield from (str(values[key]) for key in ("path", "target") if key in values)


def _source(origin: Origin, nodes: Sequence[Node]) -> dict[str, Any]:
    """Return the Dockerfile, and which of its lines each step is from."""
    locations = {}
    for number, each in enumerate(nodes):
        ranges = [{"start": {"line": found.first}, "end": {"line": found.last}} for found in each.ranges]
        if ranges:
            locations[f"step{number}"] = {"locations": [{"ranges": ranges}]}
    info = {
        "filename": origin.file, "language": "Dockerfile", "data": base64.b64encode(origin.source.encode()).decode(),
    }  # fmt: skip
    return {"source": {"locations": locations, "infos": [info]}}
