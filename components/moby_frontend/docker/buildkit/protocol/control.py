"""Messages of the service moby.buildkit.v1.Control."""

from typing import Annotated

from attrs import Factory, define

from moby_frontend.docker.buildkit.protocol.common import (
    BuildkitVersion,
    Definition,
    RangeOf,
    SourceInfo,
    Timestamp,
    WorkerRecord,
)

__all__ = [
    "CacheOption", "CacheOptions", "DiskUsageRequest", "DiskUsageResponse", "Exporter", "InfoResponse",
    "ListWorkersResponse", "PruneRequest", "SolveRequest", "SolveResponse", "StatusRequest", "StatusResponse",
    "UsageRecord", "VertexLog", "VertexProgress", "VertexState", "VertexWarning",
]  # fmt: skip


@define
class CacheOption:
    """Where a cache is, or is to go."""

    type: Annotated[str, 1] = ""
    attributes: Annotated[dict[str, str], 2] = Factory(dict)


@define
class CacheOptions:
    """Caches to write."""

    exports: Annotated[list[CacheOption], 4] = Factory(list)


@define
class Exporter:
    """Where a result is to go."""

    type: Annotated[str, 1] = ""
    attributes: Annotated[dict[str, str], 2] = Factory(dict)


@define
class Rule:
    """A rule of a policy, of which nobody reads more than that it is there."""


@define
class Policy:
    """Which sources are to be others."""

    rules: Annotated[list[Rule], 2] = Factory(list)


@define
class SolveRequest:
    """A build from its beginning to its end."""

    ref: Annotated[str, 1] = ""
    definition: Annotated[Definition | None, 2] = None
    exporter: Annotated[str, 3] = ""
    """The first of `exporters`, for those that know of no more."""
    exporter_attributes: Annotated[dict[str, str], 4] = Factory(dict)
    session: Annotated[str, 5] = ""
    frontend: Annotated[str, 6] = ""
    frontend_attributes: Annotated[dict[str, str], 7] = Factory(dict)
    cache: Annotated[CacheOptions | None, 8] = None
    entitlements: Annotated[list[str], 9] = Factory(list)
    frontend_inputs: Annotated[dict[str, Definition], 10] = Factory(dict)
    internal: Annotated[bool, 11] = False
    policy: Annotated[Policy | None, 12] = None
    exporters: Annotated[list[Exporter], 13] = Factory(list)


@define
class SolveResponse:
    """What came of the exports."""

    answers: Annotated[dict[str, str], 1] = Factory(dict)


@define
class StatusRequest:
    """Which build is to be told of."""

    ref: Annotated[str, 1] = ""


@define
class VertexState:
    """Where a step is."""

    digest: Annotated[str, 1] = ""
    inputs: Annotated[list[str], 2] = Factory(list)
    name: Annotated[str, 3] = ""
    cached: Annotated[bool, 4] = False
    started: Annotated[Timestamp | None, 5] = None
    completed: Annotated[Timestamp | None, 6] = None
    error: Annotated[str, 7] = ""


@define
class VertexProgress:
    """How far a part of a step is."""

    id: Annotated[str, 1] = ""
    vertex: Annotated[str, 2] = ""
    name: Annotated[str, 3] = ""
    current: Annotated[int, 4] = 0
    total: Annotated[int, 5] = 0
    timestamp: Annotated[Timestamp | None, 6] = None
    started: Annotated[Timestamp | None, 7] = None
    completed: Annotated[Timestamp | None, 8] = None


@define
class VertexLog:
    """What a step wrote."""

    vertex: Annotated[str, 1] = ""
    timestamp: Annotated[Timestamp | None, 2] = None
    stream: Annotated[int, 3] = 0
    message: Annotated[bytes, 4] = b""


@define
class VertexWarning:
    """What a check found."""

    vertex: Annotated[str, 1] = ""
    level: Annotated[int, 2] = 0
    short: Annotated[bytes, 3] = b""
    detail: Annotated[list[bytes], 4] = Factory(list)
    url: Annotated[str, 5] = ""
    info: Annotated[SourceInfo | None, 6] = None
    ranges: Annotated[list[RangeOf], 7] = Factory(list)


@define
class StatusResponse:
    """What happened since the last one."""

    vertexes: Annotated[list[VertexState], 1] = Factory(list)
    statuses: Annotated[list[VertexProgress], 2] = Factory(list)
    logs: Annotated[list[VertexLog], 3] = Factory(list)
    warnings: Annotated[list[VertexWarning], 4] = Factory(list)


@define
class ListWorkersResponse:
    """All that build: one."""

    records: Annotated[list[WorkerRecord], 1] = Factory(list)


@define
class InfoResponse:
    """Who answers."""

    version: Annotated[BuildkitVersion | None, 1] = None


@define
class DiskUsageRequest:
    """Of which entries of the cache is asked."""

    filters: Annotated[list[str], 1] = Factory(list)


@define
class UsageRecord:
    """An entry of the cache."""

    id: Annotated[str, 1] = ""
    mutable: Annotated[bool, 2] = False
    in_use: Annotated[bool, 3] = False
    size: Annotated[int, 4] = 0
    created: Annotated[Timestamp | None, 6] = None
    used: Annotated[Timestamp | None, 7] = None
    uses: Annotated[int, 8] = 0
    description: Annotated[str, 9] = ""
    type: Annotated[str, 10] = ""
    shared: Annotated[bool, 11] = False
    parents: Annotated[list[str], 12] = Factory(list)


@define
class DiskUsageResponse:
    """What the cache takes."""

    records: Annotated[list[UsageRecord], 1] = Factory(list)


@define
class PruneRequest:
    """What of the cache is to go."""

    filters: Annotated[list[str], 1] = Factory(list)
    all: Annotated[bool, 2] = False
    keep_ns: Annotated[int, 3] = 0
    reserved_bytes: Annotated[int, 4] = 0
    max_bytes: Annotated[int, 5] = 0
    min_free_bytes: Annotated[int, 6] = 0
