"""Addresses that stand for several: what is sent to one goes to each of those in turn, by connection."""

from __future__ import annotations

import socket
import struct

from moby.host.nft_expressions import NETWORK, Compare, Lookup, Masquerade, Nat, Payload, RoundRobin
from moby.host.nft_values import IPV4, V4, Chain, Element, Elements, Hook, Rule, Set, Table, Type
from moby.host.nftables import Add, Delete

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from moby.host.nftables import Nftables

__all__ = ["balance"]

_TABLE = Table(V4, "moby-services")
_DESTINATION = 16
"""Offset of the address in an IPv4 header."""
_PREROUTING, _OUTPUT, _POSTROUTING = 0, 3, 4
_INTEGER = Type(4, 4)


def balance(nftables: Nftables, targets: Mapping[str, Sequence[str]], *, passing: bool) -> None:
    """Lead what is sent to each address to those that stand behind it, in place of what was so before.

    What is on its way already stays where it goes. `passing` is for what others send by this namespace, whose answers
    then come back by it; else it is for what this namespace itself sends. One that stands for none isn't led anywhere.
    Done in the namespace of the socket, in one transaction; Refused names what its kernel lacks.
    """
    changes: list[Add | Delete] = [Add(_TABLE), Delete(_TABLE), Add(_TABLE)]
    chain = Chain(_TABLE, "to", Hook("nat", _PREROUTING if passing else _OUTPUT, -100))
    changes.append(Add(chain))
    for number, (address, behind) in enumerate(sorted(targets.items())):
        if behind:
            members = Set(_TABLE, f"behind{number}", (_INTEGER,), (IPV4,))
            elements = (Element(struct.pack("=I", at), socket.inet_aton(each)) for at, each in enumerate(behind))
            changes += [Add(members), Add(Elements(members, tuple(elements)))]
            match = (Payload(NETWORK, _DESTINATION, 4), Compare(socket.inet_aton(address)))
            changes.append(Add(Rule(chain, (*match, RoundRobin(len(behind)), Lookup(members), Nat(V4, address=0)))))
    if passing:
        back = Chain(_TABLE, "back", Hook("nat", _POSTROUTING, 100))
        changes += [Add(back), Add(Rule(back, (Masquerade(),)))]
    nftables.commit(changes)
