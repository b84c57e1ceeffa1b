"""A kept connection to the kernel's netfilter (nfnetlink): requests, dumps, and batches that happen whole or not."""

from __future__ import annotations

import errno
import os
import socket
import struct

from moby.host.netlink import ACK, DUMP, attributes
from moby.values import frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import TracebackType

__all__ = ["Failure", "Message", "Netfilter"]

_NETLINK_NETFILTER = 12
_BEGIN, _END = 0x10, 0x11
_ERROR, _DONE = 2, 3
_REQUEST, _INTERRUPTED, _EXPLAINED = 0x001, 0x010, 0x200
_SOL_NETLINK, _ADD_MEMBERSHIP, _CAP_ACK, _EXT_ACK = 270, 1, 10, 11
_SNDBUFFORCE, _RCVBUFFORCE = 32, 33
_BUFFER_BYTES = 1 << 21
_DATAGRAM_BYTES = 1 << 17
_TEXT = 1
_HEADER = struct.Struct("=IHHII")
_GENERAL = struct.Struct(">BBH")


@frozen
class Message:
    """A request, or what the kernel says: its type, the family that it is of, and its attributes."""

    type: int
    family: int
    payload: bytes = b""
    flags: int = 0
    sender: int = 0
    """The port of the socket that it goes back to, in what the kernel says."""


@frozen
class Failure:
    """Why a message of a batch was refused."""

    index: int
    """Which one; past the last where it was the whole."""
    number: int
    explanation: str = ""
    """The kernel's, where it gave one."""


class Netfilter:
    """A socket of one subsystem, in the network namespace where it was made, for good. Not thread-safe."""

    def __init__(self, subsystem: int, *, group: int = 0) -> None:
        self._subsystem = subsystem
        self._sequence = 0
        kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC
        self._socket = socket.socket(socket.AF_NETLINK, kind, _NETLINK_NETFILTER)
        try:
            self._socket.bind((0, 0))
            for option in (_CAP_ACK, _EXT_ACK):
                self._socket.setsockopt(_SOL_NETLINK, option, 1)
            for option in (_SNDBUFFORCE, _RCVBUFFORCE):
                self._grow(option, _BUFFER_BYTES)
            if group:
                self._socket.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, group)
        except BaseException:
            self._socket.close()
            raise

    def _grow(self, option: int, size: int) -> None:
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, option, size)
        except PermissionError:  # the kernel says so again, and of what, once something is asked of it
            return

    def __enter__(self) -> Netfilter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def fileno(self) -> int:
        """Return the socket's descriptor."""
        return self._socket.fileno()

    @property
    def port(self) -> int:
        """The port by which the kernel knows this socket."""
        return int(self._socket.getsockname()[0])

    def _encoded(self, message: Message, flags: int) -> bytes:
        self._sequence = self._sequence + 1 & 0xFFFFFFFF
        if message.type in (_BEGIN, _END):
            kind, resource = message.type, self._subsystem
        else:
            kind, resource = self._subsystem << 8 | message.type, 0
        body = _GENERAL.pack(message.family, 0, resource) + message.payload
        return _HEADER.pack(_HEADER.size + len(body), kind, flags | _REQUEST, self._sequence, 0) + body

    def ask(self, message: Message, what: str = "") -> None:
        """Have one request done; OSError as the kernel has it, with `what` as its file name."""
        self._socket.send(self._encoded(message, message.flags | ACK))
        for each in self._received():
            each.check(what)

    def dump(self, message: Message, what: str = "") -> list[Message]:
        """Return all that a request finds; OSError as the kernel has it, with `what` as its file name."""
        found = None
        while found is None:  # it is where something changed meanwhile
            self._socket.send(self._encoded(message, DUMP))
            found = self._dumped(what)
        return found

    def _dumped(self, what: str) -> list[Message] | None:
        found: list[Message] = []
        whole = True
        while True:
            for each in _answers(self._socket.recv(_DATAGRAM_BYTES)):
                each.check(what)
                whole = whole and not each.flags & _INTERRUPTED
                if each.type == _DONE:
                    return found if whole else None
                found.append(each.message())

    def batch(self, messages: Sequence[Message]) -> list[Failure]:
        """Have all of these done as one transaction; return why not, and then none of them is done."""
        last = len(messages) - 1
        parts = [self._encoded(Message(_BEGIN, 0), 0)]
        first = self._sequence + 1
        parts += [self._encoded(each, each.flags | (ACK if at == last else 0)) for at, each in enumerate(messages)]
        parts.append(self._encoded(Message(_END, 0), 0))
        data = b"".join(parts)
        if len(data) > _BUFFER_BYTES // 2:
            self._grow(_SNDBUFFORCE, 2 * len(data))
        self._socket.send(data)
        # All of it is answered before send(2) returns.
        answers = [each for each in self._received() if each.type == _ERROR]
        whole = len(messages)
        if not answers:
            return [Failure(whole, errno.EIO, "the kernel didn't answer")] if messages else []
        return [
            Failure(min(each.sequence - first & 0xFFFFFFFF, whole), each.error, each.explanation)
            for each in answers
            if each.error
        ]

    def heard(self) -> list[Message]:
        """Wait for what the kernel tells the group, and return it; OSError (ENOBUFS) where some of it was lost."""
        return [each.message() for each in _answers(self._socket.recv(_DATAGRAM_BYTES))]

    def _received(self) -> Iterator[_Answer]:
        """Yield all that lies there."""
        while True:
            try:
                data = self._socket.recv(_DATAGRAM_BYTES, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            yield from _answers(data)


@frozen
class _Answer:
    type: int
    flags: int
    sequence: int
    sender: int
    body: bytes

    @property
    def error(self) -> int:
        """Its error number, 0 where it is none."""
        return -struct.unpack_from("=i", self.body)[0] if self.type == _ERROR else 0

    @property
    def explanation(self) -> str:
        """What the kernel says about the error."""
        if not self.flags & _EXPLAINED:
            return ""
        # The error comes with the header of what it is about, without its payload.
        for kind, value in attributes(self.body[4 + _HEADER.size :]):
            if kind == _TEXT:
                return value.rstrip(b"\0").decode(errors="replace")
        return ""

    def check(self, what: str) -> None:
        """Raise it where it is an error."""
        if self.error:
            explanation = f": {self.explanation}" if self.explanation else ""
            raise OSError(self.error, f"{os.strerror(self.error)}{explanation}", what)

    def message(self) -> Message:
        """Return it as what the kernel says."""
        family = self.body[0] if self.body else 0
        return Message(self.type & 0xFF, family, self.body[_GENERAL.size :], self.flags, self.sender)


def _answers(data: bytes) -> Iterator[_Answer]:
    while len(data) >= _HEADER.size:
        length, kind, flags, sequence, sender = _HEADER.unpack_from(data)
        if length < _HEADER.size:
            return
        yield _Answer(kind, flags, sequence, sender, data[_HEADER.size : length])
        data = data[length + -length % 4 :]
