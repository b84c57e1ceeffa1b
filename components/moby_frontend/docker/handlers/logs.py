"""A container's log, as its driver frames it."""

import os
from collections.abc import Iterator

from moby.contracts.log_driver import LogQuery
from moby.values import evolve
from moby_frontend.docker.call import Call, Reply, stream
from moby_frontend.docker.failures import Status
from moby_frontend.docker.parts import Parts
from moby_frontend.docker.times import unix_ns

__all__ = ["log_query", "logs", "passed_on"]

_CHUNK = 256 << 10
_ALL = -1


def logs(parts: Parts, call: Call) -> Reply:
    """Show a container's log."""
    wanted = log_query(call)
    container = parts.containers.get(call.names["name"])
    framed = not container.config.terminal
    fd = parts.containers.logs(container.id, evolve(wanted, framed=framed))
    multiplexed = framed and call.version >= (1, 42)
    kind = "multiplexed-stream" if multiplexed else "raw-stream"
    return stream(passed_on(call, fd, follows=wanted.follow), f"application/vnd.docker.{kind}")


def log_query(call: Call, status: int = 400) -> LogQuery:
    """Return which part of a log is asked for, framed; `status` is what docker answers where that is none."""
    query = call.query
    if not (query.flag("stdout") or query.flag("stderr")):
        raise Status(status, "Bad parameters: you must choose at least one stream")
    return LogQuery(
        stdout=query.flag("stdout"),
        stderr=query.flag("stderr"),
        since_ns=max(0, unix_ns(query.text("since"))),
        until_ns=_until(query.text("until")),
        tail=_tail(query.text("tail")),
        follow=query.flag("follow"),
        timestamps=query.flag("timestamps"),
        details=query.flag("details"),
        framed=True,
    )


def _until(text: str) -> int:
    return max(0, unix_ns(text)) if text and text != "0" else 0


def _tail(text: str) -> int:
    """Return how many records; what is no number is all of them, as with docker."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else _ALL


def passed_on(call: Call, fd: int, *, follows: bool) -> Iterator[bytes]:
    """Yield what is in a descriptor as it comes, to its end, and close it."""
    try:
        yield b""
        while True:
            call.link.watch(fd, follows=follows)
            data = os.read(fd, _CHUNK)
            if not data:
                return
            yield data
    finally:
        os.close(fd)
