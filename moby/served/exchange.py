"""Answering calls of a part, or of an object that was given away, in the thread of their connection."""

import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from moby.errors import MobyError
from moby.served import answering, wire
from moby.served.methods import Interface
from moby.served.outgoing import Crew, Outgoing

__all__ = ["Side", "converse"]


class Side:
    """Who is called: a part or an object, and who does the work behind what it gives away."""

    def __init__(self, interface: Interface, part: object, crew: Crew, rest: Callable[[], None] = lambda: None) -> None:
        self._interface = interface
        self._part = part
        self._crew = crew
        self._rest = rest

    def answer(self, connection: socket.socket, message: Any, fds: list[int]) -> None:
        """Make the call of a message, and send what it comes to; its descriptors are closed when it is over."""
        out = Outgoing(self._crew, results=True)
        try:
            data = self._outcome(message, fds, out)
            wire.send(connection, data, out)
        except BaseException:
            out.close()
            wire.close_all(fds)
            raise
        jobs, out.jobs = out.jobs, []
        out.close()
        if jobs:
            self._crew.start(jobs, fds)
        else:
            wire.close_all(fds)

    def _outcome(self, message: Any, fds: list[int], out: Outgoing) -> bytes:
        try:
            call = answering.read_call(self._interface, self._part, message, fds, self._rest)
            if isinstance(call, answering.Packed):
                out += call.fds
                return call.data
            value = getattr(self._part, call.method.name)(**call.arguments)
            if call.method.name == answering.RECLAIM:
                self._rest()
        except Exception as error:
            self._crew.note(error)
            return answering.failure(error).data
        return answering.success(call.method, value, out).data


def converse(connection: socket.socket, side: Side) -> None:
    """Answer calls until the caller hangs up, or breaks the framing."""
    reader = wire.Reader()
    try:
        while True:
            side.answer(connection, *wire.receive(connection, reader))
    except (wire.Closed, OSError):
        pass  # the caller has gone
    except MobyError as error:
        with suppress(OSError):
            wire.send(connection, answering.failure(error).data)
    finally:
        reader.close()
