"""What rules of nftables are made of, as frozen values that know their encoding (linux/netfilter/nf_tables.h).

A register is counted in units of four bytes, from 0; what is loaded fills as many as it needs.
"""

from __future__ import annotations

import struct
from typing import Protocol

from moby.host.netlink import attribute, nested, text
from moby.host.nft_values import number
from moby.values import frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from moby.host.nft_values import Set

__all__ = [
    "ACCEPT", "DROP", "IIFNAME", "L4PROTO", "NETWORK", "NFPROTO", "OIFNAME", "RETURN", "TRANSPORT", "Compare",
    "Counter", "Expression", "Immediate", "Local", "Lookup", "Mask", "Masquerade", "Meta", "Nat", "Payload",
    "RoundRobin", "State", "Status", "Verdict", "goto", "jump",
]  # fmt: skip

IIFNAME, OIFNAME, NFPROTO, L4PROTO = 6, 7, 15, 16
"""Keys of `Meta`."""
NETWORK, TRANSPORT = 1, 2
"""Headers of `Payload`."""

_FIRST_REGISTER = 8
_VERDICT_REGISTER = 0
_CT_STATE, _CT_STATUS = 0, 2
_FIB_TYPE, _FIB_DESTINATION = 3, 2


class Expression(Protocol):
    """A step of a rule."""

    def encode(self) -> bytes:
        """Return its name and its attributes."""
        ...


def _expression(name: str, *parts: bytes) -> bytes:
    return text(1, name) + nested(2, *parts)


def _register(kind: int, index: int) -> bytes:
    return number(kind, _FIRST_REGISTER + index)


@frozen
class Meta:
    """Load what is known of a packet besides its bytes, such as its interfaces."""

    key: int
    register: int = 0

    def encode(self) -> bytes:
        """Return its name and its attributes."""
        return _expression("meta", _register(1, self.register), number(2, self.key))


@frozen
class Payload:
    """Load bytes of a packet's network or transport header."""

    header: int
    offset: int
    length: int
    register: int = 0

    def encode(self) -> bytes:
        """Return its name and its attributes."""
        place = (number(2, self.header), number(3, self.offset), number(4, self.length))
        return _expression("payload", _register(1, self.register), *place)


@frozen
class State:
    """Load the state of a packet's connection, as bits: 2 established, 4 related, 8 new."""

    register: int = 0

    def encode(self) -> bytes:
        """Return its name and its attributes."""
        return _expression("ct", _register(1, self.register), number(2, _CT_STATE))


@frozen
class Status:
    """Load the status of a packet's connection, as bits: 0x20 its destination was translated."""

    register: int = 0

    def encode(self) -> bytes:
        """Return its name and its attributes."""
        return _expression("ct", _register(1, self.register), number(2, _CT_STATUS))


@frozen
class Local:
    """Load the type of a packet's destination address in the routing tables, 2 for one of this host's."""

    register: int = 0

    def encode(self) -> bytes:
        """Return its name and its attributes."""
        where = (number(2, _FIB_TYPE), number(3, _FIB_DESTINATION))
        return _expression("fib", _register(1, self.register), *where)


@frozen
class Mask:
    """Keep some bits of a register."""

    mask: bytes
    register: int = 0

    def encode(self) -> bytes:
        """Return its name and its attributes."""
        size = len(self.mask)
        where = (_register(1, self.register), _register(2, self.register), number(3, size))
        bits = (nested(4, attribute(1, self.mask)), nested(5, attribute(1, bytes(size))))
        return _expression("bitwise", *where, *bits)


@frozen
class Compare:
    """Go on only where a register has this value, or has another."""

    value: bytes
    unequal: bool = False
    register: int = 0

    def encode(self) -> bytes:
        """Return its name and its attributes."""
        test = (number(2, self.unequal), nested(3, attribute(1, self.value)))
        return _expression("cmp", _register(1, self.register), *test)


@frozen
class RoundRobin:
    """Load the next of so many numbers, from 0, in the host's order of bytes."""

    many: int
    register: int = 0

    def encode(self) -> bytes:
        """Return its name and its attributes."""
        return _expression("numgen", _register(1, self.register), number(2, self.many), number(3, 0), number(4, 0))


@frozen
class Lookup:
    """Go on only where a set has the key in a register, or hasn't; a map's data is loaded, or is the verdict."""

    set: Set
    register: int = 0
    absent: bool = False

    def encode(self) -> bytes:
        """Return its name and its attributes."""
        parts = [text(1, self.set.name), _register(2, self.register)]
        if self.set.verdicts:
            parts.append(number(3, _VERDICT_REGISTER))
        elif self.set.data:
            parts.append(_register(3, self.register))
        if self.absent:
            parts.append(number(5, 1))
        return _expression("lookup", *parts)


@frozen
class Immediate:
    """Load a value."""

    value: bytes
    register: int = 0

    def encode(self) -> bytes:
        """Return its name and its attributes."""
        return _expression("immediate", _register(1, self.register), nested(2, attribute(1, self.value)))


@frozen
class Verdict:
    """Decide about a packet, or go on in another chain."""

    code: int
    chain: str = ""

    def encode_data(self) -> bytes:
        """Return it as data, as in a map."""
        return nested(2, number(1, self.code), *([text(2, self.chain)] if self.chain else ()))

    def encode(self) -> bytes:
        """Return its name and its attributes."""
        return _expression("immediate", number(1, _VERDICT_REGISTER), nested(2, self.encode_data()))


DROP, ACCEPT, RETURN = Verdict(0), Verdict(1), Verdict(-5)


def jump(chain: str) -> Verdict:
    """Return the verdict that goes on in another chain, and then here."""
    return Verdict(-3, chain)


def goto(chain: str) -> Verdict:
    """Return the verdict that goes on in another chain, and not here."""
    return Verdict(-4, chain)


@frozen
class Nat:
    """Translate a connection's destination, or its source, to the address and the port in registers; None stays."""

    family: int
    address: int
    port: int | None = None
    source: bool = False

    def encode(self) -> bytes:
        """Return its name and its attributes."""
        registers = (_register(3, self.address), *(() if self.port is None else (_register(5, self.port),)))
        return _expression("nat", number(1, not self.source), number(2, self.family), *registers)


@frozen
class Masquerade:
    """Translate a connection's source to the address of the interface that it leaves by."""

    def encode(self) -> bytes:
        """Return its name and its attributes."""
        return _expression("masq")


@frozen
class Counter:
    """Count packets and bytes."""

    def encode(self) -> bytes:
        """Return its name and its attributes."""
        return _expression("counter", attribute(1, struct.pack(">Q", 0)), attribute(2, struct.pack(">Q", 0)))
