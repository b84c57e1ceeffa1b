"""Graphs of operations that stand for results of builds, so that one build can be another's context."""

import hashlib

from moby.contracts.types import Platform
from moby.errors import Unsupported
from moby_frontend.docker.buildkit.messages import decode, encode
from moby_frontend.docker.buildkit.protocol.common import Definition, Input, Op, OpMetadata, PbPlatform, SourceOp

__all__ = ["graph", "reference_in"]

_SCHEME = "moby-result://"
_KINDS = ("exec", "file", "build", "merge", "diff")


def graph(reference: str, platform: Platform) -> Definition:
    """Return a graph that says no more than which result it is."""
    shown = PbPlatform(platform.architecture, platform.os, platform.variant)
    source = encode(Op(source=SourceOp(_SCHEME + reference), platform=shown))
    last = encode(Op(inputs=[Input(_digest(source))]))
    return Definition([source, last], {_digest(each): OpMetadata() for each in (source, last)})


def reference_in(definition: Definition) -> tuple[Platform, str]:
    """Return which result a graph is, and of what platform; Unsupported for one that is none of ours."""
    found = []
    for data in definition.operations:
        operation = decode(Op, data)
        other = next((each for each in _KINDS if getattr(operation, each) is not None), None)
        if other is not None:
            raise Unsupported(f"graphs of operations are not run here, as this one with {other!r}")
        if operation.source is not None:
            if not operation.source.identifier.startswith(_SCHEME):
                raise Unsupported(f"graphs of operations are not run here, as that of {operation.source.identifier!r}")
            platform = operation.platform or PbPlatform()
            reference = operation.source.identifier.removeprefix(_SCHEME)
            found.append((Platform(platform.os, platform.architecture, platform.variant), reference))
    if len(found) != 1:
        raise Unsupported(f"a graph of {len(found)} results, where one is expected")
    return found[0]


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"
