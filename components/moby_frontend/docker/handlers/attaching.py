"""Attaching to a container's streams."""

import os
import select
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing, suppress
from functools import partial
from typing import Any

from moby.contracts.containers import Condition, Container, Status
from moby.contracts.events import Event
from moby.contracts.log_driver import STDERR, LogQuery, frame
from moby.contracts.supervisor import Streams
from moby.errors import Conflict, MobyError, NotFound
from moby_frontend.docker import failures
from moby_frontend.docker.call import Call
from moby_frontend.docker.carried import LOOK_MS, Carried
from moby_frontend.docker.hijack import Pump, head, keys
from moby_frontend.docker.parts import Parts

__all__ = ["Run", "attach", "described", "prepare", "release", "send_past", "tell_detached"]

_CHUNK = 256 << 10
_NOTHING: Mapping[str, bool] = {}
_NO_STREAMS = Streams(-1, -1, -1)
_LOOK_MS = 20
_START_S = 1.0
"""How long a start that goes well may take, from when its program runs, to be shown."""


def attach(parts: Parts, call: Call) -> None:
    """Attach to it; with `logs` what it wrote before comes first, with `stream` what it writes from now on."""
    with ExitStack() as held:
        run = held.enter_context(closing(Run(parts, call))) if call.query.flag("stream") else None
        _attach(parts, call, run)


class Run:
    """A container's run, the next one where it doesn't run; made before it can end, or its streams can be cut."""

    def __init__(self, parts: Parts, call: Call) -> None:
        self._containers = parts.containers
        self._ending_fd = call.link.ending_fd()
        self.carried = Carried(parts.containers)
        self._waiter = parts.containers.wait(call.names["name"], Condition.NEXT_EXIT)

    def close(self) -> None:
        """Wait for its end no more."""
        self._waiter.close()

    @property
    def given_up(self) -> bool:
        """Whether the front end ends, so that nobody waits for the run's end."""
        poll = select.poll()
        poll.register(self._ending_fd, select.POLLIN)
        return bool(poll.poll(0))

    def await_end(self, before: Container, sock: socket.socket) -> Streams | None:
        """Wait until it is shown as ended, as who reads to the end of a stream takes it to be, or for more to come.

        One that closes its streams and goes on is waited for, too, as with dockerd; one whose start fails never ends.
        """
        poll = select.poll()
        for each in (self._waiter.fileno(), self._ending_fd):
            poll.register(each, select.POLLIN)
        poll.register(sock, 0)  # it has gone
        limit, look_ms = time.monotonic() + _START_S, _LOOK_MS
        with suppress(NotFound):
            while True:
                over = poll.poll(look_ms)
                fresh = self.carried.again(before.id)
                if over or fresh is not None:
                    return fresh
                state = self._containers.get(before.id).state
                if state.status in (Status.RUNNING, Status.PAUSED):
                    look_ms = LOOK_MS
                elif state != before.state or time.monotonic() > limit:
                    break
        return None


def _attach(parts: Parts, call: Call, run: Run | None) -> None:
    query = call.query
    detach = keys(query.text("detachKeys"))
    early, terminal = b"", False
    taken: list[socket.socket] = []

    def take(container: Container) -> None:
        """Make the connection a stream."""
        nonlocal early, terminal
        early, terminal = call.link.early(), container.config.terminal
        taken.append(call.link.hijack(head(call, terminal=terminal)))

    try:
        container, streams, past = prepare(parts, call, take=take)
    except (MobyError, OSError) as error:
        if not taken:
            raise
        _tell_failed(taken[0], error, terminal=terminal)
        return
    if not taken:
        try:
            take(container)
        except BaseException:
            release(streams, past)
            raise
    sock = taken[0]
    pump = Pump(sock, streams, call.link.ending_fd(), terminal=terminal, carried=run.carried if run else None)
    send_past(sock, past)
    stdin = query.flag("stdin") and container.config.open_stdin
    pump.run(
        early,
        stdin=stdin,
        until_eof=not container.config.stdin_once or terminal,
        stdout=query.flag("stdout"),
        stderr=query.flag("stderr"),
        detach=detach if terminal else b"",
        last=partial(run.await_end, container) if run else None,
    )
    if pump.detached:
        tell_detached(parts, container, "detach")


def _tell_failed(sock: socket.socket, error: Exception, *, terminal: bool) -> None:
    """Say in a stream that there won't be more of it, and end it."""
    text = f"Error attaching: {failures.message(error)}\r\n".encode()
    with sock, suppress(OSError):
        sock.sendall(text if terminal else frame(STDERR, len(text)) + text)


def prepare(
    parts: Parts, call: Call, forced: Mapping[str, bool] = _NOTHING, take: Callable[[Container], object] | None = None
) -> tuple[Container, Streams, int]:
    """Return a container, its streams from now on, and its log so far (-1: none); what fails is told by HTTP still.

    Where a task has to be made first, `take` is called before that, so that the client goes on meanwhile: it sends two
    more requests before its container runs.
    """
    query, name = call.query, call.names["name"]
    container = parts.containers.get(name)
    if container.state.status is Status.PAUSED:
        raise Conflict(f"container {name} is paused, unpause the container before attach")
    if container.state.status is Status.RESTARTING:
        raise Conflict(f"container {name} is restarting, wait until the container is running")
    streams, past = _NO_STREAMS, -1
    try:
        if query.flag("stream") or forced.get("stream"):
            early = take is not None and not query.flag("logs")
            streams = parts.containers.attach(container.id, partial(take, container) if early and take else None)
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
