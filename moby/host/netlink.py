"""Messages to the kernel's network configuration (netlink(7), rtnetlink(7)): requests, their answers and attributes."""

import os
import socket
import struct
from collections.abc import Iterator

__all__ = ["ACK", "CREATE", "DUMP", "EXCLUSIVE", "attribute", "attributes", "request"]

ACK = 0x004
DUMP = 0x300
CREATE = 0x400
EXCLUSIVE = 0x200
"""NLM_F_* of netlink(7)."""

_REQUEST = 0x001
_ERROR = 2
_DONE = 3
_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_NESTED_BITS = 0x3FFF


def attribute(kind: int, value: bytes) -> bytes:
    """Return one attribute, padded."""
    return _ATTRIBUTE.pack(_ATTRIBUTE.size + len(value), kind) + value + b"\0" * (-len(value) % 4)


def attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the attributes in the rest of a message."""
    while len(data) >= _ATTRIBUTE.size:
        length, kind = _ATTRIBUTE.unpack_from(data)
        if length < _ATTRIBUTE.size:
            return
        yield kind & _NESTED_BITS, data[_ATTRIBUTE.size : length]
        data = data[length + -length % 4 :]


def request(kind: int, flags: int, payload: bytes, what: str = "") -> list[bytes]:
    """Send one request in this process's network namespace, and return the payloads of its answers.

    OSError as the kernel has it, with `what` as its file name. With neither ACK nor DUMP in `flags` there is none.
    """
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE) as channel:
        channel.bind((0, 0))
        channel.send(_HEADER.pack(_HEADER.size + len(payload), kind, flags | _REQUEST, 1, 0) + payload)
        found: list[bytes] = []
        while flags & (ACK | DUMP):
            if not _take(channel.recv(1 << 17), found, what):
                break
        return found


def _take(data: bytes, found: list[bytes], what: str) -> bool:
    """Add the payloads of some messages; False once the answer is complete."""
    while len(data) >= _HEADER.size:
        length, kind, _, _, _ = _HEADER.unpack_from(data)
        payload = data[_HEADER.size : length]
        if kind == _ERROR:
            number = -struct.unpack_from("=i", payload)[0]
            if number:
                raise OSError(number, os.strerror(number), what)
            return False
        if kind == _DONE:
            return False
        found.append(payload)
        data = data[length + -length % 4 :]
    return True
