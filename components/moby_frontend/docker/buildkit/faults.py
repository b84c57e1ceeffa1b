"""Errors as gRPC carries them, with what clients show of where in a file they are."""

import base64
import json
from typing import Any

from moby.contracts.builder import BuildFailed, Range
from moby.errors import MobyError, Unsupported
from moby_frontend.docker.buildkit.grpc import Code, Fault
from moby_frontend.docker.buildkit.http2.link import Given
from moby_frontend.docker.buildkit.protocol.common import Any as AnyMessage
from moby_frontend.docker.failures import message

__all__ = ["fault"]

_TYPES = "github.com/moby/buildkit/errdefs."


def fault(error: Exception) -> Fault:
    """Return an error as a client is told it. Codes that say more than the text would be printed before it."""
    if isinstance(error, Fault):
        return error
    if isinstance(error, Given):
        return Fault(Code.CANCELLED, error.message)
    if isinstance(error, BuildFailed):
        return Fault(Code.UNKNOWN, message(error), _details(error))
    if isinstance(error, MobyError | OSError):
        text = message(error)
        hint = error.hint if isinstance(error, Unsupported) else ""
        return Fault(Code.UNKNOWN, f"{text} ({hint})" if hint else text)
    return Fault(Code.INTERNAL, f"{type(error).__name__}: {error}")


def _details(error: BuildFailed) -> tuple[AnyMessage, ...]:
    found = []
    if error.vertex is not None:
        found.append(_typed("Vertex", {"digest": str(error.vertex)}))
    if error.source and error.ranges:
        info = {
            "filename": error.file, "data": base64.b64encode(error.source.encode()).decode(), "language": "Dockerfile",
        }  # fmt: skip
        found.append(_typed("Source", {"info": info, "ranges": [_range(each) for each in error.ranges]}))
    return tuple(found)


def _typed(name: str, value: dict[str, Any]) -> AnyMessage:
    return AnyMessage(f"{_TYPES}{name}+json", json.dumps(value).encode())


def _range(lines: Range) -> dict[str, Any]:
    return {"start": {"line": lines.first}, "end": {"line": lines.last}}
