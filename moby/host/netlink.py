"""Messages to the kernel's network configuration (netlink(7), rtnetlink(7)): requests, their answers and attributes."""

import os
import socket
import struct
import threading
from collections.abc import Iterator, Mapping, Sequence

from moby.values import frozen

__all__ = [
    "ACK", "APPEND", "CREATE", "DUMP", "EXCLUSIVE", "REPLACE", "Channel", "Message", "attribute", "attributes",
    "explanation", "find", "nested", "request", "text", "u16", "u32",
]  # fmt: skip

ACK = 0x004
DUMP = 0x300
REPLACE = 0x100
EXCLUSIVE = 0x200
CREATE = 0x400
APPEND = 0x800
"""NLM_F_* of netlink(7)."""

_REQUEST = 0x001
_DUMP_INTERRUPTED = 0x010
_CAPPED = 0x100
_WITH_ATTRIBUTES = 0x200
_ERROR = 2
_DONE = 3
_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_NESTED = 0x8000
_NESTED_BITS = 0x3FFF
_SOL_NETLINK = 270
_CAP_ACK = 10
_EXT_ACK = 11
_EXPLANATION = 1
_BUFFER = 1 << 17


def attribute(kind: int, value: bytes) -> bytes:
    """Return one attribute, padded."""
    return _ATTRIBUTE.pack(_ATTRIBUTE.size + len(value), kind) + value + b"\0" * (-len(value) % 4)


def nested(kind: int, *values: bytes) -> bytes:
    """Return an attribute that is made of others."""
    return attribute(kind | _NESTED, b"".join(values))


def text(kind: int, value: str) -> bytes:
    """Return an attribute of text, as the kernel ends it."""
    return attribute(kind, os.fsencode(value) + b"\0")


def u16(kind: int, value: int) -> bytes:
    """Return an attribute of 16 bits."""
    return attribute(kind, struct.pack("=H", value))


def u32(kind: int, value: int) -> bytes:
    """Return an attribute of 32 bits."""
    return attribute(kind, struct.pack("=I", value))


def attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the attributes in the rest of a message."""
    while len(data) >= _ATTRIBUTE.size:
        length, kind = _ATTRIBUTE.unpack_from(data)
        if length < _ATTRIBUTE.size:
            return
        yield kind & _NESTED_BITS, data[_ATTRIBUTE.size : length]
        data = data[length + -length % 4 :]


def find(data: bytes, *path: int) -> Mapping[int, bytes]:
    """Return the attributes in the rest of a message, or those inside of one of them, and so on; the last of each."""
    found = dict(attributes(data))
    for kind in path:
        found = dict(attributes(found.get(kind, b"")))
    return found


@frozen
class Message:
    """One request: its type, NLM_F_* besides REQUEST, and all that follows the header."""

    kind: int
    flags: int
    payload: bytes
    what: str = ""
    """Whom it is about, for an error's file name."""


class Channel:
    """A socket of the network namespace in which it was opened, wherever it is used then. Thread-safe.

    OSError as the kernel has it, with its explanation, and the message's `what` as its file name.
    """

    def __init__(self, protocol: int = socket.NETLINK_ROUTE) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
        self._lock = threading.Lock()
        self._sequence = 0
        try:
            for option in (_CAP_ACK, _EXT_ACK):
                self._socket.setsockopt(_SOL_NETLINK, option, 1)
            self._socket.bind((0, 0))
        except BaseException:
            self._socket.close()
            raise

    def __enter__(self) -> "Channel":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the socket; closing again is fine."""
        self._socket.close()

    def run(self, *messages: Message) -> None:
        """Carry out requests in this order, sent as one; the error of the first that fails is raised.

        The kernel goes on with those behind one that failed, so they must be harmless then.
        """
        if not messages:
            return
        with self._lock:
            first = self._send(messages, ACK)
            # An error is always told; only the last one's success is.
            errors = list(self._errors(first, first + len(messages) - 1))
        for sequence, number, explanation in errors:
            raise _error(number, explanation, messages[sequence - first].what)

    def ask(self, message: Message) -> list[bytes]:
        """Carry out one request with ACK or DUMP, and return the payloads of its answers."""
        while True:
            with self._lock:
                found, whole = self._answers(self._send([message], 0), message.what)
            if whole:
                return found

    def _send(self, messages: Sequence[Message], last: int) -> int:
        """Send requests as one datagram, the last with these flags too; return the number of the first."""
        first, data = self._sequence + 1, []
        for each in messages:
            self._sequence += 1
            flags = each.flags | _REQUEST | (last if each is messages[-1] else 0)
            data.append(_HEADER.pack(_HEADER.size + len(each.payload), each.kind, flags, self._sequence, 0))
            data.append(each.payload + b"\0" * (-len(each.payload) % 4))
        self._socket.send(b"".join(data))
        return first

    def _received(self, first: int) -> Iterator[tuple[int, int, int, bytes]]:
        """Yield types, flags, numbers and payloads of messages that answer requests from this number on."""
        while True:
            data = self._socket.recv(_BUFFER)
            while len(data) >= _HEADER.size:
                length, kind, flags, sequence, _ = _HEADER.unpack_from(data)
                if sequence >= first:  # others answer a call that was interrupted
                    yield kind, flags, sequence, data[_HEADER.size : length]
                data = data[max(length + -length % 4, _HEADER.size) :]

    def _errors(self, first: int, last: int) -> Iterator[tuple[int, int, str]]:
        """Yield numbers of requests that failed, their errors and explanations, until the last is answered."""
        for kind, flags, sequence, payload in self._received(first):
            if kind != _ERROR:
                continue
            number = -struct.unpack_from("=i", payload)[0]
            if number:
                yield sequence, number, explanation(flags, payload)
            if sequence == last:
                return

    def _answers(self, sequence: int, what: str) -> tuple[list[bytes], bool]:
        """Return the payloads that answer a request, and whether nothing changed meanwhile."""
        found: list[bytes] = []
        whole = True
        for kind, flags, _, payload in self._received(sequence):
            whole = whole and not flags & _DUMP_INTERRUPTED
            if kind in (_ERROR, _DONE):
                number = -struct.unpack_from("=i", payload)[0] if len(payload) >= 4 else 0
                if number:
                    raise _error(number, explanation(flags, payload), what)
                break
            found.append(payload)
        return found, whole


def explanation(flags: int, payload: bytes) -> str:
    """Return what the kernel says of an error in words (NLMSGERR_ATTR_MSG)."""
    if not flags & _WITH_ATTRIBUTES:
        return ""
    request = 0 if flags & _CAPPED else struct.unpack_from("=I", payload, 4)[0] - _HEADER.size
    found = dict(attributes(payload[4 + _HEADER.size + request + -request % 4 :]))
    return found.get(_EXPLANATION, b"").rstrip(b"\0").decode(errors="replace")


def _error(number: int, explanation: str, what: str) -> OSError:
    """Return an error as the kernel has it."""
    meaning = os.strerror(number)
    return OSError(number, f"{meaning} ({explanation})" if explanation else meaning, what)


def request(kind: int, flags: int, payload: bytes, what: str = "") -> list[bytes]:
    """Send one request in this thread's network namespace, and return the payloads of its answers.

    OSError as the kernel has it, with `what` as its file name.
    """
    with Channel() as channel:
        return channel.ask(Message(kind, flags, payload, what))
