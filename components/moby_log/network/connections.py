"""Connections to sinks: datagrams and streams, with TLS where that is asked for."""

import contextlib
import socket
from typing import TYPE_CHECKING

from moby_log.network.addresses import Address

if TYPE_CHECKING:
    import ssl

__all__ = ["connect", "send_all"]

_CONNECT_S = 30.0
_DATAGRAMS = frozenset({"udp", "unixgram"})


def connect(address: Address, tls: "ssl.SSLContext | None" = None, *, timeout_s: float = _CONNECT_S) -> socket.socket:
    """Return a connected socket whose calls wait; OSError where there is nobody."""
    if address.path:
        kind = socket.SOCK_DGRAM if address.scheme in _DATAGRAMS else socket.SOCK_STREAM
        made = socket.socket(socket.AF_UNIX, kind)
        try:
            made.settimeout(timeout_s)
            made.connect(address.path)
        except BaseException:
            made.close()
            raise
    elif address.scheme in _DATAGRAMS:
        family, _, _, _, where = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_DGRAM)[0]
        made = socket.socket(family, socket.SOCK_DGRAM)
        try:
            made.connect(where)
        except BaseException:
            made.close()
            raise
    else:
        made = socket.create_connection((address.host, address.port), timeout_s)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if tls is not None:
            try:
                made = tls.wrap_socket(made, server_hostname=address.host)
            except BaseException:
                made.close()
                raise
    made.settimeout(None)
    return made


def send_all(made: socket.socket, messages: list[bytes]) -> int:
    """Send messages one after the other on a stream; return how many the kernel has taken whole, fewer on an error."""
    data = b"".join(messages)
    sent = 0
    with contextlib.suppress(OSError):
        view = memoryview(data)
        while sent < len(data):
            sent += made.send(view[sent : sent + 65536])
    if sent == len(data):
        return len(messages)
    whole = 0
    for message in messages:
        sent -= len(message)
        if sent < 0:
            break
        whole += 1
    return whole
