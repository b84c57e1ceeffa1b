"""Addresses that stand for several: what is sent to one goes to each of those in turn, by connection."""

from __future__ import annotations

import socket
import struct

from moby.host.nft_expressions import NETWORK, Compare, Lookup, Masquerade, Nat, Payload, RoundRobin
from moby.host.nft_values import IPV4, IPV6, V4, V6, Chain, Element, Elements, Hook, Rule, Set, Table, Type
from moby.host.nftables import Add, Delete
from moby.values import frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from moby.host.nftables import Nftables

__all__ = ["balance"]

_NAME = "moby-services"
_FAMILIES = ((V4, socket.AF_INET, IPV4, 16), (V6, socket.AF_INET6, IPV6, 24))
"""Those of tables and of sockets, the type of an address, and its offset as a destination in a header."""
_PREROUTING, _OUTPUT, _POSTROUTING = 0, 3, 4
_INTEGER = Type(4, 4)


def balance(nftables: Nftables, targets: Mapping[str, Sequence[str]], *, passing: bool, ipv6: bool = False) -> None:
    """Lead what is sent to each address to those that stand behind it, in place of what was so before.

    What is on its way already stays where it goes. `passing` is for what others send by this namespace, whose answers
    then come back by it; else it is for what this namespace itself sends. One that stands for none isn't led anywhere.
    With `ipv6` there are, or were, such addresses among them. Done in the namespace of the socket, in one transaction;
    Refused names what its kernel lacks.
    """
    changes: list[Add | Delete] = []
    for table, family, kind, offset in _FAMILIES if ipv6 else _FAMILIES[:1]:
        ours = {each: behind for each, behind in targets.items() if (":" in each) == (family == socket.AF_INET6)}
        changes += _table(Table(table, _NAME), ours, _Form(family, kind, offset), passing=passing)
    nftables.commit(changes)


@frozen
class _Form:
    """What addresses of a family are like."""

    family: int
    kind: Type
    offset: int

    def packed(self, address: str) -> bytes:
        return socket.inet_pton(self.family, address)


def _table(table: Table, targets: Mapping[str, Sequence[str]], form: _Form, *, passing: bool) -> list[Add | Delete]:
    changes: list[Add | Delete] = [Add(table), Delete(table), Add(table)]
    chain = Chain(table, "to", Hook("nat", _PREROUTING if passing else _OUTPUT, -100))
    changes.append(Add(chain))
    for number, (address, behind) in enumerate(sorted(targets.items())):
        if behind:
            members = Set(table, f"behind{number}", (_INTEGER,), (form.kind,))
            elements = (Element(struct.pack("=I", at), form.packed(each)) for at, each in enumerate(behind))
            changes += [Add(members), Add(Elements(members, tuple(elements)))]
            wanted = form.packed(address)
            match = (Payload(NETWORK, form.offset, len(wanted)), Compare(wanted))
            lead = (RoundRobin(len(behind)), Lookup(members), Nat(table.family, address=0))
            changes.append(Add(Rule(chain, (*match, *lead))))
    if passing:
        back = Chain(table, "back", Hook("nat", _POSTROUTING, 100))
        changes += [Add(back), Add(Rule(back, (Masquerade(),)))]
    return changes
