"""Sockets that have a port of this process's network."""

from __future__ import annotations

import socket

__all__ = ["KINDS", "bound"]

KINDS = {
    "tcp": (socket.SOCK_STREAM, socket.IPPROTO_TCP),
    "udp": (socket.SOCK_DGRAM, socket.IPPROTO_UDP),
    "sctp": (socket.SOCK_STREAM, socket.IPPROTO_SCTP),
}
"""Of a protocol, the sockets' type and number."""
_BACKLOG = 4096


def bound(protocol: str, address: str, port: int) -> socket.socket:
    """Return a socket at a port, of the address's family alone; it listens, unless it is UDP's. OSError."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    kind, number = KINDS[protocol]
    sock = socket.socket(family, kind | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK, number)
    try:
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if protocol != "udp":
            # Else a port whose connections have just ended is taken for a minute; listening still keeps others out.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((address, port))
        if protocol != "udp":
            sock.listen(_BACKLOG)
    except BaseException:
        sock.close()
        raise
    return sock
