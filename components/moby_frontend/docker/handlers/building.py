"""Building by BuildKit's protocol: connections that turn into HTTP/2, in one direction or the other."""

import socket
from contextlib import closing

from moby.contracts.builder import Builder
from moby.errors import Conflict, Invalid
from moby_frontend.docker.call import Call, Reply
from moby_frontend.docker.failures import Status
from moby_frontend.docker.parts import Parts

__all__ = ["grpc", "session"]

_HEADERS = "x-docker-expose-session-"
_ENDING_S = 30.0
"""How long builds whose client has gone may take to end, before the front end goes on without them."""


def grpc(parts: Parts, call: Call) -> Reply | None:
    """Answer gRPC on this connection."""
    builder = _upgraded(parts, call)
    from moby_frontend.docker.buildkit.faults import fault
    from moby_frontend.docker.buildkit.grpc import Answering
    from moby_frontend.docker.buildkit.http2.link import Link
    from moby_frontend.docker.buildkit.services import methods

    answering = Answering(methods(parts, builder), fault, lambda path, error: _tell_bug(parts, path, error))
    early, sock = call.link.early(), _hijacked(call)
    with closing(sock):
        link = Link(sock, client=False, accept=answering.accept)
        link.begin()
        link.run(early, call.link.draining_fd(), answering.busy)
        answering.wait(_ENDING_S)
    return None


def session(parts: Parts, call: Call) -> Reply | None:
    """Take what a client lends its builds: gRPC on this connection, with the engine as who calls."""
    _upgraded(parts, call)
    from moby_frontend.docker.buildkit.http2.link import Link
    from moby_frontend.docker.buildkit.session.client import ClientSession

    identity = call.headers.get(f"{_HEADERS}uuid", "")
    if not identity:
        raise Invalid("a session without an id")
    offered = [each.strip() for each in call.headers.get(f"{_HEADERS}grpc-method", "").split(",")]
    sessions = parts.building.sessions
    if not sessions.claim(identity):  # before it is answered, so that a second one after that is refused
        raise Conflict(f"session {identity} is there already")
    try:
        early, sock = call.link.early(), _hijacked(call)
        with closing(sock):
            link = Link(sock, client=True)
            link.begin()
            lent = ClientSession(link, identity, call.headers.get(f"{_HEADERS}sharedkey", ""), offered)
            sessions.add(identity, lent)
            link.run(early, call.link.draining_fd(), lambda: parts.building.lends(lent))
    finally:
        sessions.remove(identity)
    return None


def _upgraded(parts: Parts, call: Call) -> Builder:
    """Return the builder, where there is one and the client wants HTTP/2."""
    if "upgrade" not in call.headers:
        raise Invalid("no upgrade proto in request")
    if parts.builder is None:
        raise Status(404, "page not found")
    if call.headers["upgrade"] != "h2c":
        raise Invalid(f"protocol {call.headers['upgrade'][:100]} not supported")
    return parts.builder


def _hijacked(call: Call) -> socket.socket:
    return call.link.hijack(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")


def _tell_bug(parts: Parts, path: str, error: Exception) -> None:
    import traceback

    parts.log.error("call met a bug", target=path, error="".join(traceback.format_exception(error)))
