"""An ssh agent of the client's, at the end of a socket."""

import os
import socket
import threading
from contextlib import suppress

from moby.errors import MobyError
from moby_frontend.docker.buildkit.grpc import Exchange
from moby_frontend.docker.buildkit.protocol.lending import Bytes

__all__ = ["bridge"]

_CHUNK = 32 << 10


def bridge(exchange: Exchange) -> int:
    """Carry bytes between a call and a socket, until one of them ends; return the socket's other end."""
    ours, theirs = socket.socketpair()
    threading.Thread(target=_outwards, args=(exchange, ours), name="ssh out", daemon=True).start()
    threading.Thread(target=_inwards, args=(exchange, ours), name="ssh in", daemon=True).start()
    return theirs.detach()


def _outwards(exchange: Exchange, sock: socket.socket) -> None:
    """Carry what is written to the socket; its end ends the call."""
    with suppress(MobyError, OSError):
        while data := os.read(sock.fileno(), _CHUNK):
            exchange.send(Bytes(data))
        exchange.send(end=True)


def _inwards(exchange: Exchange, sock: socket.socket) -> None:
    """Carry what the agent answers, and let go of both once that ends."""
    with sock, exchange, suppress(MobyError, OSError):
        try:
            for batch in exchange.batches(Bytes):
                sock.sendall(b"".join(each.data for each in batch))
        finally:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)  # which ends the other thread too
