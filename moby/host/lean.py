"""Signals, sockets and packed values as the interpreter has them in C, without the Python around them.

Importing `signal` and `socket` takes as long as half of a container's start, for the enumerations that they make of
plain numbers; `struct` is one more file to be found. Where an interpreter has no such modules, it is those.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as signals
    import socket as sockets
    import struct as structs
else:
    try:
        import _signal as signals
        import _socket as sockets
        import _struct as structs
    except ImportError:
        import signal as signals
        import socket as sockets
        import struct as structs

__all__ = ["accept", "send_descriptor", "signals", "sockets", "structs"]


def accept(listener: sockets.socket) -> int:
    """Return the descriptor of the next connection."""
    number, _ = listener._accept()  # type: ignore[attr-defined]
    return int(number)


def send_descriptor(connection: sockets.socket, data: bytes, fd: int) -> int:
    """Send bytes with a descriptor (unix(7), SCM_RIGHTS); return how many bytes went."""
    ancillary = [(sockets.SOL_SOCKET, sockets.SCM_RIGHTS, fd.to_bytes(4, sys.byteorder, signed=True))]
    return connection.sendmsg([data], ancillary)
