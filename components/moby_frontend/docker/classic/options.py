"""The parameters of `POST /build`, to what a builder is asked for."""

import json
from collections.abc import Iterator
from typing import Any

from moby.contracts.builder import CacheSource, Export, ExportType, Request
from moby.contracts.types import Limits
from moby.errors import Invalid, Unsupported
from moby.oci.reference import parse
from moby_frontend.docker.buildkit.requests import platforms
from moby_frontend.docker.call import Query

__all__ = ["CONTEXT", "export", "request"]

CONTEXT = "context"
"""The stream that the call's own archive is."""
_NETWORKS = {"": "", "default": "", "bridge": "", "none": "none", "host": "host"}
_UNSUPPORTED = ("squash", "cpushares", "cpusetcpus", "cpusetmems", "securityopt")
"""What no builder here does; asking for it is an error, unless it is asked for nothing."""


def request(query: Query) -> Request:
    """Return what is asked for; Invalid or Unsupported name what can't be."""
    for each in _UNSUPPORTED:
        if query.text(each) not in {"", "0", "false", "[]", "null"}:
            raise Unsupported(f"builds with {each} are not done here")
    if query.text("version") == "2":
        raise Unsupported("builds with BuildKit come over /grpc and /session here: use docker buildx, or version 1")
    return Request(
        context=query.text("remote") or f"stream:{CONTEXT}",
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
        sequential=True,
        layers=True,
    )


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
        raise Unsupported("builds in another container's network are not done here")
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
    """Return the limits of each step. Swap is as much as memory, where that is limited, or unlimited."""
    memory, swap = query.number("memory"), query.number("memswap")
    if swap not in {0, -1, memory}:
        raise Unsupported("builds with a limit of swap of its own are not done here")
    period, quota = query.number("cpuperiod") or 100_000, query.number("cpuquota")
    if memory < 0 or period < 0 or quota < 0:
        raise Invalid("limits can't be negative")
    return Limits(memory_bytes=memory, cpus=quota / period)
