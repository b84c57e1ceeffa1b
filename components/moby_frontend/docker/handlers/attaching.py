"""Attaching to a container's streams."""

import os
from typing import Any

from moby.contracts.containers import Container, Status
from moby.contracts.events import Event
from moby.contracts.log_driver import LogQuery
from moby.contracts.supervisor import Streams
from moby.errors import Conflict
from moby_frontend.docker.call import Call
from moby_frontend.docker.hijack import Pump, head, keys
from moby_frontend.docker.parts import Parts

__all__ = ["attach", "described", "prepare", "tell_detached"]

_CHUNK = 256 << 10
_NO_STREAMS = Streams(-1, -1, -1)


def attach(parts: Parts, call: Call) -> None:
    """Attach to it; with `logs` what it wrote before comes first, with `stream` what it writes from now on."""
    query = call.query
    detach = keys(query.text("detachKeys"))
    container, streams, past = prepare(parts, call)
    terminal = container.config.terminal
    try:
        early = call.link.early()
        sock = call.link.hijack(head(call, terminal=terminal))
    except BaseException:
        release(streams, past)
        raise
    pump = Pump(sock, streams, call.link.ending_fd(), terminal=terminal)
    send_past(sock, past)
    stdin = query.flag("stdin") and container.config.open_stdin
    pump.run(
        early,
        stdin=stdin,
        stdout=query.flag("stdout"),
        stderr=query.flag("stderr"),
        detach=detach if terminal else b"",
    )
    if pump.detached:
        tell_detached(parts, container, "detach")


def prepare(parts: Parts, call: Call, **forced: bool) -> tuple[Container, Streams, int]:
    """Return a container, its streams from now on, and its log so far (-1: none); what fails is told by HTTP still."""
    query, name = call.query, call.names["name"]
    container = parts.containers.get(name)
    if container.state.status is Status.PAUSED:
        raise Conflict(f"container {name} is paused, unpause the container before attach")
    if container.state.status is Status.RESTARTING:
        raise Conflict(f"container {name} is restarting, wait until the container is running")
    streams, past = _NO_STREAMS, -1
    try:
        if query.flag("stream") or forced.get("stream"):
            streams = parts.containers.attach(container.id)
        if query.flag("logs"):
            shown = {each: forced.get(each, query.flag(each)) for each in ("stdout", "stderr")}
            past = parts.containers.logs(container.id, LogQuery(**shown, framed=not container.config.terminal))
    except BaseException:
        release(streams, past)
        raise
    return container, streams, past


def release(streams: Streams, past: int) -> None:
    """Close what `prepare` returned."""
    for fd in {streams.stdin, streams.stdout, streams.stderr, past} - {-1}:
        os.close(fd)


def send_past(sock: Any, past: int) -> None:
    """Send a log to its end, and close it."""
    if past < 0:
        return
    try:
        while data := os.read(past, _CHUNK):
            sock.sendall(data)
    except OSError:
        pass  # the client has gone, which the pump sees too
    finally:
        os.close(past)


def tell_detached(parts: Parts, container: Container, action: str, **more: str) -> None:
    """Publish that a client has left by its keys."""
    parts.events.publish(Event("container", action, container.id, described(container) | more))


def described(container: Container) -> dict[str, str]:
    """Return the attributes of a container's events."""
    return {**container.config.labels, "image": container.config.image, "name": container.name}
