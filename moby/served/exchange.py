"""Answering calls of a part, or of an object that was given away, in the thread of their connection."""

import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from moby.errors import MobyError, Unavailable
from moby.served import answering, wire
from moby.served.methods import Interface
from moby.served.outgoing import Crew, Outgoing

__all__ = ["Side", "at_home", "converse"]

at_home: dict[str, "Side"] = {}
"""Objects of this process that others have, by their names."""


class Side:
    """Who is called: a part or an object, and who does the work behind what it gives away."""

    def __init__(self, interface: Interface, part: object, crew: Crew, rest: Callable[[], None] = lambda: None) -> None:
        self.part = part
        self.interface = interface
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
            try:
                self._crew.start(jobs, fds)
            except Unavailable as error:  # whoever has the answer finds what it gave gone
                self._crew.note(error)
        else:
            wire.close_all(fds)

    def _outcome(self, message: Any, fds: list[int], out: Outgoing) -> bytes:
        try:
            side = self._meant(message)
            call = answering.read_call(side.interface, side.part, message, fds, side._rest)
            if isinstance(call, answering.Packed):
                out += call.fds
                return call.data
            out.lends = getattr(side.part, "lends", False)
            value = getattr(side.part, call.method.name)(**call.arguments)
            if call.method.name == answering.RECLAIM:
                side._rest()
        except Exception as error:
            self._crew.note(error)
            return answering.failure(error).data
        return answering.success(call.method, value, out).data

    def _meant(self, message: Any) -> "Side":
        """Return who a message is for: what is called in a thread that is in a context goes by that one's socket."""
        name = message.get("on") if isinstance(message, Mapping) else None
        if name is None:
            return self
        found = at_home.get(str(name)) if name else self._crew.home
        if not isinstance(found, Side):
            raise Unavailable("what is called isn't there any more", hint="begin again")
        return found


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
