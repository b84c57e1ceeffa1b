"""The parameters of `POST /build`, to what a builder is asked for."""

import json
from collections.abc import Iterator
from typing import Any

from moby.contracts.builder import CacheSource, Export, ExportType, Request
from moby.contracts.types import Limits
from moby.errors import Invalid, Unsupported
from moby.oci.reference import parse
from moby_frontend.docker.buildkit import requests
from moby_frontend.docker.buildkit.protocol.control import Exporter, SolveRequest
from moby_frontend.docker.buildkit.requests import platforms
from moby_frontend.docker.call import Query

__all__ = ["CLIENT", "CONTEXT", "export", "exports", "is_traced", "request"]

CONTEXT = "context"
"""The stream that the call's own archive is."""
CLIENT = "client-session"
"""The context that the client's session lends."""
_NETWORKS = {"": "", "default": "", "bridge": "", "none": "none", "host": "host"}


def request(query: Query) -> Request:
    """Return what is asked for; Invalid or Unsupported name what can't be."""
    if query.texts("securityopt"):
        raise Invalid("security options are not supported on linux")
    traced = is_traced(query)
    if query.flag("squash"):
        raise Invalid("squash is only supported with experimental mode")
    return Request(
        context=_context(query, traced),
        dockerfile=query.text("dockerfile") or "Dockerfile",
        target=query.text("target"),
        arguments=dict(_texts(query, "buildargs")),
        labels=dict(_texts(query, "labels")),
        platforms=platforms(query.text("platform")),
        no_cache=query.flag("nocache"),
        pull=query.flag("pull"),
        network=_network(query.text("networkmode")),
        hosts=tuple(_hosts(query)),
        shm_bytes=query.number("shmsize"),
        ulimits=tuple(_ulimits(query)),
        cgroup_parent=query.text("cgroupparent"),
        limits=_limits(query),
        cache_from=tuple(CacheSource("registry", {"ref": each}) for each in _json(query, "cachefrom", list)),
        sequential=not traced,
        layers=True,
    )


def is_traced(query: Query) -> bool:
    """Return whether a build is to be told as BuildKit tells it; Invalid for a version that there isn't."""
    version = query.text("version")
    if version not in {"", "1", "2"}:
        raise Invalid(f'invalid version "{version[:100]}"')
    return version == "2"


def _context(query: Query, traced: bool) -> str:
    remote = query.text("remote")
    if remote == "upload-request":
        raise Unsupported("a context that is sent by a call of its own is not taken: send it with POST /build")
    if remote != CLIENT:
        return remote or f"stream:{CONTEXT}"
    if not (traced and query.text("session")):
        raise Invalid(f"the context {CLIENT} needs version=2, and a session")
    return ""


def exports(query: Query) -> tuple[Export, ...]:
    """Return where a build goes: an image with names, unless something else is asked for (`outputs`)."""
    outputs = _json(query, "outputs", list)
    if not outputs:
        return (export(query),)
    if not (is_traced(query) and query.text("session")):
        raise Invalid("outputs need version=2, and a session")
    if len(outputs) > 1:
        raise Invalid("multiple outputs not supported")
    found = outputs[0] if isinstance(outputs[0], dict) else {}
    attributes = found.get("Attrs") or {}
    if not (isinstance(found.get("Type"), str) and isinstance(attributes, dict)):
        raise Invalid("outputs: each has a Type, and Attrs")
    if found["Type"] == "cacheonly":
        return ()
    named = {key: str(value) for key, value in attributes.items()}
    return requests.exports(SolveRequest(exporters=[Exporter(found["Type"], named)]))


def export(query: Query) -> Export:
    """Return which names the image is to get; Invalid in docker's words for what is none."""
    names = []
    for each in query.texts("t"):
        if each:
            try:
                parse(each)
            except Invalid as error:
                raise Invalid(f"invalid reference format: {error.message}", hint=error.hint) from error
            names.append(each)
    return Export(ExportType.IMAGE, names=tuple(names))


def _json(query: Query, name: str, kind: type) -> Any:
    """Return a parameter that is JSON, empty where it isn't there."""
    text = query.text(name)
    if not text:
        return kind()
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = text
    if found is None:
        return kind()
    if not isinstance(found, kind):
        raise Invalid(f"{name}: {text[:100]!r} is no JSON of the kind that is wanted")
    return found


def _texts(query: Query, name: str) -> Iterator[tuple[str, str]]:
    """Yield the texts of an object; null stands for what the client hasn't got itself, and is left out."""
    for key, value in _json(query, name, dict).items():
        if value is not None:
            yield key, str(value)


def _network(text: str) -> str:
    if text.startswith("container:"):
        raise Unsupported("builds in another container's network are not supported")
    return _NETWORKS.get(text, text)


def _hosts(query: Query) -> Iterator[tuple[str, str]]:
    for text in query.texts("extrahosts"):
        for each in filter(None, text.split(",")):
            name, colon, address = each.partition(":")
            if not (name and colon and address):
                raise Invalid(f'bad format for add-host: "{each}"')
            yield name, address


def _ulimits(query: Query) -> Iterator[tuple[str, int, int]]:
    for each in _json(query, "ulimits", list):
        try:
            yield str(each["Name"]), int(each["Soft"]), int(each["Hard"])
        except (KeyError, TypeError, ValueError):
            raise Invalid("ulimits: each has a Name, Soft and Hard") from None


def _limits(query: Query) -> Limits:
    """Return the limits of each step."""
    memory, swap = query.number("memory"), query.number("memswap")
    period, quota = query.number("cpuperiod") or 100_000, query.number("cpuquota")
    shares = query.number("cpushares")
    if memory < 0 or period < 0 or quota < 0 or shares < 0 or swap < -1:
        raise Invalid("limits can't be negative")
    if swap > 0 and not memory:
        raise Invalid("You should always set the Memory limit when using Memoryswap limit, see usage")
    if 0 < swap < memory:
        raise Invalid("Minimum memoryswap limit should be larger than memory limit, see usage")
    return Limits(
        memory_bytes=memory, cpus=quota / period, memory_swap_bytes=swap, cpu_shares=shares,
        cpuset_cpus=query.text("cpusetcpus"), cpuset_mems=query.text("cpusetmems"),
    )  # fmt: skip
