"""Parts in another language, for tests: one that is well, and some that aren't."""

import sys
from collections.abc import Iterable
from typing import Any, cast

from served_toys import Reader, Shelf

from moby.component import PROGRAM, Component, program
from moby.contracts.ambient import Place
from moby.hookspecs import hookimpl

SCRIPT = f"""#!{sys.executable} -IS
import json, os, signal, socket, struct, sys
assert os.environ["LISTEN_FDS"] == "1" and os.environ["LISTEN_PID"] == str(os.getpid())
listener = socket.socket(fileno=3)
assert listener.getblocking()

def say(connection, **message):
    body = json.dumps(message).encode()
    connection.sendall(struct.pack("!IH", len(body), 0) + body)

def hear(connection):
    head = connection.recv(6, socket.MSG_WAITALL)
    return json.loads(connection.recv(struct.unpack("!IH", head)[0], socket.MSG_WAITALL)) if head else None

def reader_of(connection):
    said = hear(connection)
    say(connection, moby=1, contract="served-reader", version=1)
    while message := hear(connection):
        match message:
            case {{"call": "pids"}}:
                say(connection, value=[os.getpid(), os.getppid()])
            case {{"call": "read", "with": {{"name": "arguments"}}}}:
                say(connection, value=sys.argv[1:])
            case {{"call": "read", "with": {{"name": "signals"}}}}:
                found = {{each: signal.getsignal(getattr(signal, each)) for each in ("SIGHUP", "SIGINT", "SIGTERM")}}
                say(connection, value=[name for name, each in found.items() if each is signal.SIG_IGN])
            case {{"call": "read", "with": {{"name": "bug"}}}}:
                say(connection, error={{"class": "", "message": "segmentation in thought"}})
            case {{"call": "read"}}:
                say(connection, error={{"class": "NotFound", "message": "no such", "hint": "another"}})
            case _:
                say(connection, value="well")

while True:
    connection, _ = listener.accept()
    if os.fork() == 0:
        reader_of(connection)
        os._exit(0)
    connection.close()
"""


def make_script(*, place: Place) -> Reader:
    """A script."""
    return cast(Reader, program(SCRIPT.encode(), str(place.state), "two words"))


def make_alien() -> Reader:
    """For another processor."""
    return cast(Reader, program(b"\x7fELF" + bytes(60)))


def make_short() -> Reader:
    """Ends at once."""
    return cast(Reader, program(b"#!/bin/sh\necho no paper left >&2\nexit 1\n"))


def make_absent() -> Reader:
    """Its package has lost it."""
    return cast(Reader, program(None))


def make_needing(*, shelf: Shelf) -> Reader:
    """Asks for what it can't call."""
    return cast(Reader, program(b"#!/bin/sh\n"))


COMPONENTS: dict[str, Any] = {
    "script": Component(name="script", factory=make_script, served=PROGRAM),
    "alien": Component(name="alien", factory=make_alien, served=PROGRAM),
    "short": Component(name="short", factory=make_short, served=PROGRAM),
    "absent": Component(name="absent", factory=make_absent, served=PROGRAM),
    "needing": Component(name="needing", factory=make_needing, served=PROGRAM),
}


@hookimpl
def moby_components() -> Iterable[Component]:
    return COMPONENTS.values()
