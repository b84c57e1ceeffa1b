"""Names served at a container's own port 53, by sockets on other ports of its network namespace."""

from __future__ import annotations

import socket
import struct
from functools import lru_cache

from moby.host.nft_expressions import L4PROTO, NETWORK, TRANSPORT, Compare, Immediate, Meta, Nat, Payload
from moby.host.nft_values import V4, Chain, Hook, Rule, Table
from moby.host.nftables import Add, Delete, Nftables

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from moby.host.netfilter import Order

__all__ = ["redirect_dns"]

_TABLE = Table(V4, "moby-dns")
_DNS = 53
_SOURCE, _DESTINATION = 12, 16
"""Offsets of addresses in an IPv4 header."""
_SOURCE_PORT, _DESTINATION_PORT = 0, 2
_OUTPUT, _POSTROUTING = 3, 4


def redirect_dns(nftables: Nftables, address: str, udp_port: int, tcp_port: int) -> None:
    """Lead an address's port 53 to these ports of it, in place of where the namespace's table led it before.

    What it answers comes from port 53, also late, when the connection is forgotten. Done in the namespace of the
    socket; Refused names what its kernel lacks.
    """
    # Deleting a table takes the kernel 8 ms when the socket is closed, so it is done only where there is one.
    stands = any((each.table.family, each.table.name) == (V4, _TABLE.name) for each in nftables.tables())
    before = [*Add(_TABLE).orders(), *Delete(_TABLE).orders()] if stands else []
    nftables.commit_encoded([*before, *_orders(address, udp_port, tcp_port)], "a redirection of port 53")


@lru_cache(maxsize=8)
def _orders(address: str, udp_port: int, tcp_port: int) -> tuple[Order, ...]:
    output = Chain(_TABLE, "output", Hook("nat", _OUTPUT, -100))
    postrouting = Chain(_TABLE, "postrouting", Hook("nat", _POSTROUTING, 100))
    changes = [Add(_TABLE), Add(output), Add(postrouting)]
    for protocol, port in ((socket.IPPROTO_UDP, udp_port), (socket.IPPROTO_TCP, tcp_port)):
        changes += [Add(each) for each in _rules(output, postrouting, socket.inet_aton(address), protocol, port)]
    return tuple(order for change in changes for order in change.orders())


def _rules(output: Chain, postrouting: Chain, address: bytes, protocol: int, port: int) -> Iterator[Rule]:
    number, dns = struct.pack(">H", port), struct.pack(">H", _DNS)
    is_protocol = (Meta(L4PROTO), Compare(bytes([protocol])))
    for chain, place, port_place, seen, becomes in (
        (output, _DESTINATION, _DESTINATION_PORT, dns, number),
        (postrouting, _SOURCE, _SOURCE_PORT, number, dns),
    ):
        matches = (Payload(NETWORK, place, 4), Compare(address), *is_protocol)
        at_port = (Payload(TRANSPORT, port_place, 2), Compare(seen))
        translate = Nat(V4, address=0, port=1, source=chain is postrouting)
        yield Rule(chain, (*matches, *at_port, Immediate(address, 0), Immediate(becomes, 1), translate))
