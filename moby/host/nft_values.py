"""What nftables keeps, as frozen values: tables, chains, sets and maps, elements and rules, and their encodings.

Words and numbers are those of linux/netfilter/nf_tables.h and of nft(8).
"""

from __future__ import annotations

import struct

from moby.host.netlink import attribute, nested, text
from moby.values import field, frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from moby.host.nft_expressions import Expression, Verdict

__all__ = [
    "BRIDGE", "INET", "INTERFACE", "IPV4", "IPV6", "OWNER", "PERSIST", "PORT", "PROTOCOL", "V4", "V6", "Chain",
    "Element", "Elements", "Hook", "Rule", "Set", "Table", "Type", "Value", "key", "number",
]  # fmt: skip

INET, V4, BRIDGE, V6 = 1, 2, 7, 10
"""Families of tables: `inet`, `ip`, `bridge` and `ip6`."""
OWNER, PERSIST = 2, 4
"""Flags of tables: nobody but the socket that made it changes it, and it outlives that socket."""

_VERDICTS = 0xFFFFFF00
_TYPE_BITS = 6
_MAP, _INTERVAL, _CONCATENATED = 0x8, 0x4, 0x80
_INTERVAL_END = 1
_NAMES_ARE_TEXT = struct.pack("=BBI", 0, 4, 1)
"""What nft(8) notes of a set whose keys aren't numbers in network order, to show them right."""
_ELEMENTS_BYTES = 60_000
"""Less than an attribute can hold."""


def number(kind: int, value: int) -> bytes:
    """Return an attribute with 32 bits in network order."""
    return attribute(kind, struct.pack(">I", value & 0xFFFFFFFF))


@frozen
class Type:
    """What a field of a set's key is, so that nft(8) shows it right."""

    number: int
    length: int


IPV4, IPV6, PROTOCOL, PORT, INTERFACE = Type(7, 4), Type(8, 16), Type(12, 1), Type(13, 2), Type(41, 16)


def key(*fields: bytes) -> bytes:
    """Return the key that several fields make together: each fills whole registers."""
    return b"".join(each + b"\0" * (-len(each) % 4) for each in fields) if len(fields) > 1 else fields[0]


def _length(types: tuple[Type, ...]) -> int:
    return sum(-(-each.length // 4) * 4 for each in types) if len(types) > 1 else types[0].length


def _number(types: tuple[Type, ...]) -> int:
    found = 0
    for each in types:
        found = found << _TYPE_BITS | each.number
    return found


@frozen
class Table:
    """A table; one that has an owner only its socket changes."""

    family: int
    name: str
    flags: int = 0

    kind = (0, 2)
    """The messages that add one, and that delete it."""

    def encode(self, *, whole: bool) -> list[bytes]:
        """Return the payloads of the messages that say it: whole, to make it, or just enough to name it."""
        return [text(1, self.name) + (number(2, self.flags) if whole else b"")]

    def __str__(self) -> str:
        return f"table {self.name}"


@frozen
class Hook:
    """Where in a packet's way a base chain stands."""

    type: str
    """`filter` or `nat`."""
    hook: int
    """0 prerouting, 1 input, 2 forward, 3 output, 4 postrouting."""
    priority: int
    drop: bool = False
    """Whether what no rule decided about is dropped."""


@frozen
class Chain:
    """A chain of rules; with a hook, one that packets come to by themselves."""

    table: Table
    name: str
    hook: Hook | None = None

    kind = (3, 5)

    def encode(self, *, whole: bool) -> list[bytes]:
        """Return the payloads of its messages."""
        parts = [text(1, self.table.name), text(3, self.name)]
        if self.hook and whole:
            parts.append(nested(4, number(1, self.hook.hook), number(2, self.hook.priority)))
            parts += [number(5, not self.hook.drop), text(7, self.hook.type)]
        return [b"".join(parts)]

    def __str__(self) -> str:
        return f"chain {self.name} of {self.table}"


@frozen
class Set:
    """A set of keys, or, with a data type, a map; `verdicts` makes it a map to verdicts."""

    table: Table
    name: str
    key: tuple[Type, ...]
    data: tuple[Type, ...] = ()
    verdicts: bool = False
    interval: bool = False
    """Whether elements are ranges."""

    kind = (9, 11)

    def encode(self, *, whole: bool) -> list[bytes]:
        """Return the payloads of its messages."""
        parts = [text(1, self.table.name), text(2, self.name)]
        if whole:
            ranges = self.interval and len(self.key) > 1
            flags = _INTERVAL * self.interval | _CONCATENATED * ranges | _MAP * bool(self.data or self.verdicts)
            parts += [number(3, flags), number(4, _number(self.key)), number(5, _length(self.key))]
            if self.verdicts:
                parts += [number(6, _VERDICTS), number(7, 16)]
            elif self.data:
                parts += [number(6, _number(self.data)), number(7, _length(self.data))]
            parts += [number(10, 1), *([attribute(13, _NAMES_ARE_TEXT)] if self.key == (INTERFACE,) else ())]
            if ranges:
                fields = (nested(1, number(1, each.length)) for each in self.key)
                parts.append(nested(9, nested(2, *fields)))
        return [b"".join(parts)]

    def __str__(self) -> str:
        return f"{'map' if self.data or self.verdicts else 'set'} {self.name} of {self.table}"


@frozen
class Element:
    """One element: a key, or a range of them up to `last`, and what a map says to it."""

    key: bytes
    data: bytes | Verdict = b""
    last: bytes = b""

    def encode(self, fields: int) -> bytes:
        """Return it as attributes; a range of one field is two elements, its begin, and what comes after its end."""
        parts = [nested(1, attribute(1, self.key))]
        if self.last and fields > 1:
            parts.append(nested(10, attribute(1, self.last)))
        if isinstance(self.data, bytes):
            parts += [nested(2, attribute(1, self.data))] if self.data else []
        else:
            parts.append(nested(2, self.data.encode_data()))
        found = nested(1, *parts)
        if self.last and fields == 1:
            after = int.from_bytes(self.last, "big") + 1
            if after < 1 << 8 * len(self.last):
                end = nested(1, attribute(1, after.to_bytes(len(self.last), "big")))
                found += nested(1, end, number(3, _INTERVAL_END))
        return found


@frozen
class Elements:
    """Elements of one set."""

    set: Set
    elements: tuple[Element, ...]

    kind = (12, 14)

    @property
    def table(self) -> Table:
        """The set's table."""
        return self.set.table

    def encode(self, *, whole: bool) -> list[bytes]:
        """Return the payloads of its messages, as many as it takes."""
        del whole  # a map's element is named by its key, but its data does no harm
        head = text(1, self.table.name) + text(2, self.set.name)
        payloads: list[bytes] = []
        batch: list[bytes] = []
        size = 0
        for each in self.elements:
            encoded = each.encode(len(self.set.key))
            if size + len(encoded) > _ELEMENTS_BYTES:
                payloads.append(head + nested(3, *batch))
                batch, size = [], 0
            batch.append(encoded)
            size += len(encoded)
        if batch:
            payloads.append(head + nested(3, *batch))
        return payloads

    def __str__(self) -> str:
        if len(self.elements) == 1:
            return f"element {self.elements[0].key.hex()} of {self.set}"
        return f"{len(self.elements)} elements of {self.set}"


@frozen
class Rule:
    """A rule at the end of a chain: expressions that are evaluated while they match."""

    chain: Chain
    expressions: tuple[Expression, ...] = field(default=())

    kind = (6, 8)

    @property
    def table(self) -> Table:
        """The chain's table."""
        return self.chain.table

    def encode(self, *, whole: bool) -> list[bytes]:
        """Return the payload of its message; not whole, it names all rules of its chain."""
        head = text(1, self.table.name) + text(2, self.chain.name)
        return [head + (nested(4, *(nested(1, each.encode()) for each in self.expressions)) if whole else b"")]

    def __str__(self) -> str:
        words = ", ".join(str(each) for each in self.expressions)
        return f"rule {words or '(all)'} in {self.chain}"


Value = Table | Chain | Set | Elements | Rule
