"""Messages of the service moby.buildkit.v1.frontend.LLBBridge."""

from typing import Annotated

from attrs import Factory, define

from moby_frontend.docker.buildkit.protocol.common import Capability, Definition, Status, WorkerRecord
from moby_frontend.docker.buildkit.protocol.control import CacheOption, Policy

__all__ = [
    "EvaluateRequest", "GatewaySolve", "GatewaySolved", "InputsResponse", "Pong", "Ref", "RefMap", "RefNames",
    "ResultOf", "ReturnRequest",
]  # fmt: skip


@define
class Ref:
    """A file system that was built, or is yet to be."""

    id: Annotated[str, 1] = ""
    definition: Annotated[Definition | None, 2] = None


@define
class RefMap:
    """One for each platform."""

    refs: Annotated[dict[str, Ref], 1] = Factory(dict)


@define
class RefNames:
    """The same, as old clients have it."""

    refs: Annotated[dict[str, str], 1] = Factory(dict)


@define
class ResultOf:
    """What was solved."""

    old_ref: Annotated[str, 1] = ""
    old_refs: Annotated[RefNames | None, 2] = None
    ref: Annotated[Ref | None, 3] = None
    refs: Annotated[RefMap | None, 4] = None
    metadata: Annotated[dict[str, bytes], 10] = Factory(dict)


@define
class GatewaySolve:
    """What a front end is to solve."""

    definition: Annotated[Definition | None, 1] = None
    frontend: Annotated[str, 2] = ""
    options: Annotated[dict[str, str], 3] = Factory(dict)
    cache_imports: Annotated[list[CacheOption], 12] = Factory(list)
    inputs: Annotated[dict[str, Definition], 13] = Factory(dict)
    policies: Annotated[list[Policy], 15] = Factory(list)


@define
class GatewaySolved:
    """What it was solved to."""

    result: Annotated[ResultOf | None, 3] = None


@define
class ReturnRequest:
    """How the client's part of a build ended."""

    result: Annotated[ResultOf | None, 1] = None
    error: Annotated[Status | None, 2] = None


@define
class EvaluateRequest:
    """Which file system is to be there in fact."""

    ref: Annotated[str, 1] = ""


@define
class InputsResponse:
    """The graphs that came with the build."""

    definitions: Annotated[dict[str, Definition], 1] = Factory(dict)


@define
class Pong:
    """What this end of the bridge can."""

    capabilities: Annotated[list[Capability], 1] = Factory(list)
    graph_capabilities: Annotated[list[Capability], 2] = Factory(list)
    workers: Annotated[list[WorkerRecord], 3] = Factory(list)
