"""Connections to the kernel's netfilter (nfnetlink): dumps, batches that happen whole or not, and what it tells."""

from __future__ import annotations

import errno
import os
import socket
import struct

from moby.host.netlink import ACK, DUMP, Channel, Message, attributes, explanation
from moby.values import frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["Failure", "Heard", "Netfilter", "Order"]

_NETLINK_NETFILTER = 12
_BEGIN, _END = 0x10, 0x11
_ERROR = 2
_SOL_NETLINK, _ADD_MEMBERSHIP = 270, 1
_SNDBUFFORCE, _RCVBUFFORCE = 32, 33
_BUFFER_BYTES = 1 << 21
_DATAGRAM_BYTES = 1 << 17
_HEADER = struct.Struct("=IHHII")
_GENERAL = struct.Struct(">BBH")


@frozen
class Order:
    """A request: its type, the family that it is of, its attributes, and NLM_F_*."""

    type: int
    family: int
    payload: bytes = b""
    flags: int = 0


@frozen
class Heard:
    """What the kernel tells: its type, the family that it is of, its attributes, and the port of whose doing it is."""

    type: int
    family: int
    parts: Mapping[int, bytes]
    by: int = 0


@frozen
class Failure:
    """Why an order of a batch was refused."""

    index: int
    """Which one; past the last where it was the whole."""
    number: int
    explanation: str = ""
    """The kernel's, where it gave one."""


class Netfilter(Channel):
    """A socket of one subsystem, and perhaps of a group that the kernel tells what happens; see `Channel`."""

    def __init__(self, subsystem: int, *, group: int = 0) -> None:
        super().__init__(_NETLINK_NETFILTER)
        self._subsystem = subsystem
        try:
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

    def fileno(self) -> int:
        """Return the socket's descriptor."""
        return self._socket.fileno()

    @property
    def port(self) -> int:
        """The port by which the kernel knows this socket."""
        return int(self._socket.getsockname()[0])

    def _message(self, order: Order, flags: int, what: str = "") -> Message:
        payload = _GENERAL.pack(order.family, 0, 0) + order.payload
        return Message(self._subsystem << 8 | order.type, order.flags | flags, payload, what)

    def have_done(self, order: Order, what: str = "") -> None:
        """Have one request done; OSError as the kernel has it, with `what` as its file name."""
        self.run(self._message(order, 0, what))

    def dump(self, order: Order, what: str = "") -> list[Heard]:
        """Return all that a request finds; OSError as the kernel has it, with `what` as its file name."""
        found = self.ask(self._message(order, DUMP, what))
        return [Heard(0, each[0], dict(attributes(each[_GENERAL.size :]))) for each in found]

    def batch(self, orders: Sequence[Order]) -> list[Failure]:
        """Have all of these done as one transaction; return why not, and then none of them is done."""
        begin, end = (Message(kind, 0, _GENERAL.pack(0, 0, self._subsystem)) for kind in (_BEGIN, _END))
        last = len(orders) - 1
        messages = [self._message(each, ACK if at == last else 0) for at, each in enumerate(orders)]
        with self._lock:
            size = sum(_HEADER.size + len(each.payload) + 4 for each in messages)
            if 2 * size > _BUFFER_BYTES:
                self._grow(_SNDBUFFORCE, 2 * size)
            first = self._send([begin, *messages, end], 0) + 1
            answers = list(self._lying_there(first - 1))
        if not answers and orders:
            return [Failure(len(orders), errno.EIO, "the kernel didn't answer")]
        return [
            Failure(index if 0 <= index <= last else last + 1, number, why) for index, number, why in answers if number
        ]

    def _lying_there(self, first: int) -> Iterator[tuple[int, int, str]]:
        """Yield indexes, errors and explanations; all of them lie there by the time that send(2) has returned."""
        while True:
            try:
                data = self._socket.recv(_DATAGRAM_BYTES, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            except OSError as error:  # ENOBUFS: there were more of them than fit
                yield -1, error.errno or errno.EIO, os.strerror(error.errno or errno.EIO)
                continue
            for kind, flags, sequence, _, body in _messages(data):
                if kind == _ERROR and sequence >= first:
                    yield sequence - first - 1, -struct.unpack_from("=i", body)[0], explanation(flags, body)

    def heard(self) -> list[Heard]:
        """Wait for what the kernel tells the group, and return it; OSError (ENOBUFS) where some of it was lost."""
        found = _messages(self._socket.recv(_DATAGRAM_BYTES))
        return [
            Heard(kind & 0xFF, body[0], dict(attributes(body[_GENERAL.size :])), port)
            for kind, _, _, port, body in found
            if len(body) >= _GENERAL.size
        ]


def _messages(data: bytes) -> Iterator[tuple[int, int, int, int, bytes]]:
    """Yield types, flags, numbers, ports and bodies of the messages in a datagram."""
    while len(data) >= _HEADER.size:
        length, kind, flags, sequence, port = _HEADER.unpack_from(data)
        yield kind, flags, sequence, port, data[_HEADER.size : length]
        data = data[max(length + -length % 4, _HEADER.size) :]
