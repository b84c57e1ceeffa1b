"""Names served at a container's own port 53, by sockets on other ports of its network namespace."""

from __future__ import annotations

import socket
import struct

from moby.host.elsewhere import in_namespace
from moby.host.nft_expressions import L4PROTO, NETWORK, TRANSPORT, Compare, Immediate, Meta, Nat, Payload
from moby.host.nft_values import V4, Chain, Hook, Rule, Table
from moby.host.nftables import Add, Delete, Nftables

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["dns_redirect", "redirect_dns"]

_DNS = 53
_SOURCE, _DESTINATION = 12, 16
"""Offsets of addresses in an IPv4 header."""
_SOURCE_PORT, _DESTINATION_PORT = 0, 2
_OUTPUT, _POSTROUTING = 3, 4


def dns_redirect(address: str, udp_port: int, tcp_port: int, table: str = "moby-dns") -> list[Add | Delete]:
    """Return the changes that lead an address's port 53 to these ports of it, in place of what the table did before.

    What it answers comes from port 53, also late, when the connection is forgotten. Done in the namespace itself.
    """
    made = Table(V4, table)
    output = Chain(made, "output", Hook("nat", _OUTPUT, -100))
    postrouting = Chain(made, "postrouting", Hook("nat", _POSTROUTING, 100))
    changes: list[Add | Delete] = [Add(made), Delete(made), Add(made), Add(output), Add(postrouting)]
    for protocol, port in ((socket.IPPROTO_UDP, udp_port), (socket.IPPROTO_TCP, tcp_port)):
        changes += [Add(each) for each in _rules(output, postrouting, socket.inet_aton(address), protocol, port)]
    return changes


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


def redirect_dns(namespace: int, address: str, udp_port: int, tcp_port: int) -> None:
    """Make `dns_redirect` of a network namespace, given by a descriptor; Refused names what its kernel lacks."""

    def make() -> None:
        with Nftables() as nftables:
            nftables.commit(dns_redirect(address, udp_port, tcp_port))

    in_namespace(namespace, make)
