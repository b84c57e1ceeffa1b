"""Messages of the service moby.buildkit.v1.frontend.LLBBridge."""

from typing import Annotated

from attrs import Factory, define

from moby_frontend.docker.buildkit.protocol.common import Capability, Definition, PbPlatform, Status, WorkerRecord
from moby_frontend.docker.buildkit.protocol.control import CacheOption, Policy
from moby_frontend.docker.buildkit.protocol.lending import Stat

__all__ = [
    "EvaluateRequest", "FileData", "FileRange", "GatewaySolve", "GatewaySolved", "ImageConfigRequest",
    "ImageConfigResponse", "InputsResponse", "Pong", "ReadDirRequest", "ReadDirResponse", "ReadFileRequest", "Ref",
    "RefMap", "RefNames", "ResultOf", "ReturnRequest", "StatFileRequest", "StatFileResponse",
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
class FileRange:
    """A part of a file."""

    offset: Annotated[int, 1] = 0
    length: Annotated[int, 2] = 0


@define
class ReadFileRequest:
    """Which file of which file system is wanted."""

    ref: Annotated[str, 1] = ""
    path: Annotated[str, 2] = ""
    range: Annotated[FileRange | None, 3] = None


@define
class FileData:
    """What is in it."""

    data: Annotated[bytes, 1] = b""


@define
class ReadDirRequest:
    """Which folder's entries are wanted, and which of them."""

    ref: Annotated[str, 1] = ""
    path: Annotated[str, 2] = ""
    pattern: Annotated[str, 3] = ""


@define
class ReadDirResponse:
    """They."""

    entries: Annotated[list[Stat], 1] = Factory(list)


@define
class StatFileRequest:
    """What is asked about."""

    ref: Annotated[str, 1] = ""
    path: Annotated[str, 2] = ""


@define
class StatFileResponse:
    """What it is."""

    stat: Annotated[Stat | None, 1] = None


@define
class ImageConfigRequest:
    """Whose config is wanted."""

    reference: Annotated[str, 1] = ""
    platform: Annotated[PbPlatform | None, 2] = None
    mode: Annotated[str, 3] = ""
    resolver: Annotated[int, 5] = 0
    """1 is an OCI layout of the client's."""
    policies: Annotated[list[Policy], 8] = Factory(list)


@define
class ImageConfigResponse:
    """It, with the digest by which an image registry knows its image, where one does."""

    digest: Annotated[str, 1] = ""
    config: Annotated[bytes, 2] = b""
    reference: Annotated[str, 3] = ""


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
