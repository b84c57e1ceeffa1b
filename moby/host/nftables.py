"""A kept connection to nftables: changes in transactions, what stands, and what others take away."""

from __future__ import annotations

import os
import struct

from moby.host.netfilter import Netfilter, Order
from moby.host.netlink import APPEND, CREATE, attributes, text
from moby.host.nft_values import Chain, Element, Hook, Rule, Set, Table
from moby.values import frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from moby.host.nft_values import Value

__all__ = ["Add", "Delete", "Loss", "Losses", "Nftables", "Refused", "StandingChain", "StandingTable"]

_SUBSYSTEM = 10
_EVENTS = 7
_GET_TABLE, _GET_CHAIN, _GET_RULE, _GET_SET, _GET_ELEMENTS = 1, 4, 7, 10, 13
_TAKEN_AWAY = {2: "table", 5: "chain", 8: "rule", 11: "set", 14: "element"}


@frozen
class Add:
    """Have something stand; nothing where it does already, but a rule, which is added once more."""

    value: Value

    def orders(self) -> list[Order]:
        """Return what says it."""
        kind, _ = self.value.kind
        flags = CREATE | (APPEND if isinstance(self.value, Rule) else 0)
        return [Order(kind, _family(self.value), each, flags) for each in self.value.encode(whole=True)]

    def __str__(self) -> str:
        return f"add {self.value}"


@frozen
class Delete:
    """Remove something that stands: a table with all in it, or all rules of a rule's chain."""

    value: Value

    def orders(self) -> list[Order]:
        """Return what says it."""
        _, kind = self.value.kind
        return [Order(kind, _family(self.value), each) for each in self.value.encode(whole=False)]

    def __str__(self) -> str:
        return f"delete {self.value}"


class Refused(OSError):
    """A transaction that the kernel refused: none of it was done. `failures` are changes with their error numbers."""

    def __init__(self, failures: Sequence[tuple[Add | Delete | None, int, str]]) -> None:
        change, number, explanation = failures[0]
        more = f", and {len(failures) - 1} more" if len(failures) > 1 else ""
        said = f" ({explanation})" if explanation else ""
        what = str(change) if change else "the transaction"
        super().__init__(number, f"{os.strerror(number)}{said}{more}", f"nftables: {what}")
        self.failures = tuple(failures)


@frozen
class StandingTable:
    """A table that stands."""

    table: Table
    owner: int = 0
    """The port of the socket whose it is, 0 for none."""


@frozen
class StandingChain:
    """A chain that stands, and what its rules compare with, a tuple for each."""

    chain: Chain
    compared: tuple[tuple[bytes, ...], ...] = ()


class Nftables:
    """A socket to nftables, in the network namespace where it was made. Thread-safe.

    Tables with OWNER are its own: the kernel lets nobody else change them, and drops them with it, unless they are
    PERSIST too.
    """

    def __init__(self) -> None:
        self._netfilter = Netfilter(_SUBSYSTEM)

    def __enter__(self) -> Nftables:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the socket."""
        self._netfilter.close()

    @property
    def port(self) -> int:
        """The port by which events and tables name this socket."""
        return self._netfilter.port

    def commit(self, changes: Sequence[Add | Delete]) -> None:
        """Make all changes at once, in this order; Refused where one can't be made, and then none is."""
        orders: list[Order] = []
        of: list[Add | Delete] = []
        for change in changes:
            said = change.orders()
            orders += said
            of += [change] * len(said)
        failures = self._netfilter.batch(orders)
        if failures:
            raise Refused(
                [(of[each.index] if each.index < len(of) else None, each.number, each.explanation) for each in failures]
            )

    def commit_encoded(self, orders: Sequence[Order], what: str) -> None:
        """Make changes that are encoded already, for who makes the same ones often; Refused as `commit`."""
        failures = self._netfilter.batch(orders)
        if failures:
            raise Refused([(None, each.number, f"{what}: {each.explanation}") for each in failures])

    def tables(self) -> list[StandingTable]:
        """Return all tables of all families."""
        found = []
        for each in self._netfilter.dump(Order(_GET_TABLE, 0), "nftables: tables"):
            parts = each.parts
            table = Table(each.family, _text(parts[1]), _number(parts[2]))
            found.append(StandingTable(table, _number(parts[7]) if 7 in parts else 0))
        return found

    def chains(self) -> list[StandingChain]:
        """Return all chains of all families, with what their rules compare with."""
        compared: dict[tuple[int, str, str], list[tuple[bytes, ...]]] = {}
        for each in self._netfilter.dump(Order(_GET_RULE, 0), "nftables: rules"):
            parts = each.parts
            place = each.family, _text(parts[1]), _text(parts[2])
            compared.setdefault(place, []).append(tuple(_comparisons(parts.get(4, b""))))
        found = []
        for each in self._netfilter.dump(Order(_GET_CHAIN, 0), "nftables: chains"):
            parts = each.parts
            table, name = _text(parts[1]), _text(parts[3])
            chain = Chain(Table(each.family, table), name, _hook(parts))
            found.append(StandingChain(chain, tuple(compared.get((each.family, table, name), ()))))
        return found

    def sets(self, table: Table) -> list[str]:
        """Return the names of a table's sets and maps."""
        ask = Order(_GET_SET, table.family, text(1, table.name))
        return [_text(each.parts[2]) for each in self._netfilter.dump(ask, f"nftables: sets of {table}")]

    def elements(self, found: Set) -> list[Element]:
        """Return the elements of a set, or of a map that has data, without the ends of ranges of one field."""
        ask = Order(_GET_ELEMENTS, found.table.family, text(1, found.table.name) + text(2, found.name))
        return [
            element
            for each in self._netfilter.dump(ask, f"nftables: {found}")
            for _, item in attributes(each.parts.get(3, b""))
            for element in _element(dict(attributes(item)))
        ]


def _family(value: Value) -> int:
    return value.family if isinstance(value, Table) else value.table.family


def _text(data: bytes) -> str:
    return data.rstrip(b"\0").decode(errors="replace")


def _number(data: bytes) -> int:
    return int.from_bytes(data, "big")


def _hook(parts: Mapping[int, bytes]) -> Hook | None:
    if 4 not in parts:
        return None
    hook = dict(attributes(parts[4]))
    (priority,) = struct.unpack(">i", hook[2])
    return Hook(_text(parts.get(7, b"")), _number(hook[1]), priority, drop=not _number(parts.get(5, b"\1")))


def _comparisons(expressions: bytes) -> Iterator[bytes]:
    for _, expression in attributes(expressions):
        parts = dict(attributes(expression))
        if _text(parts.get(1, b"")) == "cmp":
            yield dict(attributes(dict(attributes(parts[2])).get(3, b""))).get(1, b"")


def _element(parts: dict[int, bytes]) -> Iterator[Element]:
    if 1 in parts and not _number(parts.get(3, b"")):
        values = [dict(attributes(parts.get(at, b""))).get(1, b"") for at in (1, 2, 10)]
        yield Element(*values)


@frozen
class Loss:
    """Something that was taken away: `table`, `chain`, `rule`, `set` or `element`."""

    what: str
    family: int
    table: str
    by: int
    """The port of the socket that did it."""


class Losses:
    """What is taken away from nftables, by whomever, from now on."""

    def __init__(self) -> None:
        self._netfilter = Netfilter(_SUBSYSTEM, group=_EVENTS)

    def fileno(self) -> int:
        """Return the descriptor that is readable once there is some."""
        return self._netfilter.fileno()

    def close(self) -> None:
        """Close the socket."""
        self._netfilter.close()

    def read(self) -> list[Loss]:
        """Wait, and return some; OSError (ENOBUFS) where there were more than could be kept."""
        return [
            Loss(_TAKEN_AWAY[each.type], each.family, _text(each.parts.get(1, b"")), each.by)
            for each in self._netfilter.heard()
            if each.type in _TAKEN_AWAY
        ]
