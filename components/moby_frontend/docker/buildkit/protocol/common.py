"""Messages that several services share (google.protobuf, google.rpc, moby.buildkit.v1.types, pb, apicaps)."""

from typing import Annotated

from attrs import Factory, define

__all__ = [
    "Any", "BuildkitVersion", "Capability", "Definition", "Empty", "Input", "Op", "OpMetadata", "Other", "PbPlatform",
    "Position", "RangeOf", "SourceInfo", "SourceOp", "Status", "Timestamp", "WorkerRecord", "timestamp",
]  # fmt: skip

_SECOND_NS = 1_000_000_000


@define
class Empty:
    """Nothing, or nothing that matters."""


@define
class Timestamp:
    """google.protobuf.Timestamp."""

    seconds: Annotated[int, 1] = 0
    nanos: Annotated[int, 2] = 0


def timestamp(time_ns: int) -> Timestamp | None:
    """Return a time; None for 0, which is no time."""
    return Timestamp(*divmod(time_ns, _SECOND_NS)) if time_ns else None


@define
class Any:
    """google.protobuf.Any: a message of some type."""

    type_url: Annotated[str, 1] = ""
    value: Annotated[bytes, 2] = b""


@define
class Status:
    """google.rpc.Status: how a call ended."""

    code: Annotated[int, 1] = 0
    message: Annotated[str, 2] = ""
    details: Annotated[list[Any], 3] = Factory(list)


@define
class PbPlatform:
    """pb.Platform."""

    architecture: Annotated[str, 1] = ""
    os: Annotated[str, 2] = ""
    variant: Annotated[str, 3] = ""


@define
class BuildkitVersion:
    """Who answers."""

    package: Annotated[str, 1] = ""
    version: Annotated[str, 2] = ""
    revision: Annotated[str, 3] = ""


@define
class WorkerRecord:
    """What builds, and what it can."""

    id: Annotated[str, 1] = ""
    labels: Annotated[dict[str, str], 2] = Factory(dict)
    platforms: Annotated[list[PbPlatform], 3] = Factory(list)
    version: Annotated[BuildkitVersion | None, 5] = None


@define
class Capability:
    """apicaps.APICap."""

    id: Annotated[str, 1] = ""
    enabled: Annotated[bool, 2] = False


# A graph of operations (LLB), as far as it is read here: only what this engine itself has handed out


@define
class Input:
    """An operation's input."""

    digest: Annotated[str, 1] = ""
    index: Annotated[int, 2] = 0


@define
class SourceOp:
    """A source by its URL."""

    identifier: Annotated[str, 1] = ""
    attributes: Annotated[dict[str, str], 2] = Factory(dict)


@define
class Other:
    """An operation that nobody here reads."""


@define
class Op:
    """An operation."""

    inputs: Annotated[list[Input], 1] = Factory(list)
    exec: Annotated[Other | None, 2] = None
    source: Annotated[SourceOp | None, 3] = None
    file: Annotated[Other | None, 4] = None
    build: Annotated[Other | None, 5] = None
    merge: Annotated[Other | None, 6] = None
    diff: Annotated[Other | None, 7] = None
    platform: Annotated[PbPlatform | None, 10] = None


@define
class OpMetadata:
    """What else is said of an operation."""

    description: Annotated[dict[str, str], 2] = Factory(dict)
    capabilities: Annotated[dict[str, bool], 5] = Factory(dict)


@define
class Definition:
    """A graph: operations as they were written, the last of which names the result."""

    operations: Annotated[list[bytes], 1] = Factory(list)
    metadata: Annotated[dict[str, OpMetadata], 2] = Factory(dict)


@define
class SourceInfo:
    """A file that something was written in."""

    filename: Annotated[str, 1] = ""
    data: Annotated[bytes, 2] = b""
    language: Annotated[str, 4] = ""


@define
class Position:
    """A place in a file, from 1."""

    line: Annotated[int, 1] = 0
    character: Annotated[int, 2] = 0


@define
class RangeOf:
    """Lines of a file, both ends included."""

    start: Annotated[Position | None, 1] = None
    end: Annotated[Position | None, 2] = None
