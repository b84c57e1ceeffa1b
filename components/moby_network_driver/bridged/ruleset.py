"""The engine's table of nftables: one fixed set of rules, and networks and ports as elements of its sets and maps.

So a port costs the same beside a thousand others, and what comes or goes changes no rule.
"""

import ipaddress
import socket
import struct
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache

from moby.host import nft_expressions as nft
from moby.host.nft_values import (
    INET,
    INTERFACE,
    IPV4,
    IPV6,
    PORT,
    PROTOCOL,
    V4,
    V6,
    Chain,
    Element,
    Elements,
    Hook,
    Rule,
    Set,
    Table,
    Value,
    key,
)
from moby.values import frozen

__all__ = ["PROTOCOLS", "Bridge", "Opening", "Publication", "Published", "Ruleset"]

PROTOCOLS = {"tcp": socket.IPPROTO_TCP, "udp": socket.IPPROTO_UDP, "sctp": socket.IPPROTO_SCTP}
_PREROUTING, _FORWARD, _OUTPUT, _POSTROUTING = 0, 2, 3, 4
_RAW, _DESTINATION_NAT, _FILTER, _SOURCE_NAT = -300, -100, 0, 100
_ESTABLISHED_OR_RELATED = struct.pack("=I", 2 | 4)
_DESTINATION_TRANSLATED = struct.pack("=I", 0x20)
_LOCAL = struct.pack("=I", 2)
_ICMP = {V4: socket.IPPROTO_ICMP, V6: socket.IPPROTO_ICMPV6}
_NONE = bytes(4)


@frozen
class Bridge:
    """A network, as far as the firewall knows one."""

    interface: str
    subnets: tuple[str, ...] = ()
    internal: bool = False
    """Whether nothing but what is on it can be reached from it, and it from nowhere else."""
    isolated: bool = False
    """Whether its containers can't reach each other, but by ports that are published."""
    masquerade: bool = True
    """Whether what leaves it for elsewhere has the host's address."""
    unprotected: tuple[int, ...] = ()
    """Families, 4 and 6, in which whoever has a route reaches all of its containers' ports, published or not."""
    routed: tuple[int, ...] = ()
    """Families in which its containers keep their addresses, and are reached by ping and at ports that are open."""


@frozen
class Publication:
    """A port of the host's, and where it leads."""

    protocol: str
    host_address: str
    """`0.0.0.0` and `::` are all of the family."""
    host_port: int
    address: str
    """The container's, of the same family."""
    port: int

    @property
    def place(self) -> tuple[str, str, int]:
        """What it is of the host's: protocol, address and port."""
        return self.protocol, self.host_address, self.host_port


@frozen
class Opening:
    """A port of a container's own, which whoever has a route to it reaches."""

    protocol: str
    address: str
    port: int

    @property
    def place(self) -> tuple[str, str, int]:
        """What is reached: protocol, address and port."""
        return self.protocol, self.address, self.port


Published = Publication | Opening


@frozen
class _Family:
    """What differs between IPv4 and IPv6."""

    number: int
    source: nft.Payload
    destination: nft.Payload
    exact: Set
    """Ports of one of the host's addresses."""
    anywhere: Set
    """Ports of all of the host's addresses."""
    home: Set
    """Subnets, each with its bridge."""
    masqueraded: Set
    """Subnets whose packets leave with the host's address."""
    unprotected: Set
    """Bridges whose containers are reached by whoever has a route."""
    routed: Set
    """Bridges of which nothing is translated."""
    open: Set
    """Ports of containers there that are reached by whoever has a route."""


def _family(table: Table, number: int) -> _Family:
    address, suffix, first, length = (IPV4, "4", 12, 4) if number == V4 else (IPV6, "6", 8, 16)
    to = (address, PORT)
    return _Family(
        number,
        nft.Payload(nft.NETWORK, first, length),
        nft.Payload(nft.NETWORK, first + length, length),
        Set(table, f"ports{suffix}", (PROTOCOL, address, PORT), to),
        Set(table, f"any{suffix}", (PROTOCOL, PORT), to),
        Set(table, f"home{suffix}", (address, INTERFACE), interval=True),
        Set(table, f"masqueraded{suffix}", (address,), interval=True),
        Set(table, f"unprotected{suffix}", (INTERFACE,)),
        Set(table, f"routed{suffix}", (INTERFACE,)),
        Set(table, f"open{suffix}", (PROTOCOL, address, PORT)),
    )


class Ruleset:
    """A table's values: what always stands in it, and the elements of each network and port."""

    def __init__(self, name: str, flags: int = 0) -> None:
        self.table = Table(INET, name, flags)
        self._bridges = Set(self.table, "bridges", (INTERFACE,))
        self._internal = Set(self.table, "internal", (INTERFACE,))
        self._within = Set(self.table, "within", (INTERFACE, INTERFACE), verdicts=True)
        self._families = {number: _family(self.table, number) for number in (V4, V6)}

    def skeleton(self) -> Iterator[Value]:
        """Yield all that doesn't depend on what there is, in the order in which it can be made."""
        yield from (self._bridges, self._internal)
        for family in self._families.values():
            yield from (family.exact, family.anywhere, family.home, family.masqueraded)
            yield from (family.unprotected, family.routed, family.open)
        # Verdicts name a chain, and rules name sets, which must be there before.
        published, ports = Chain(self.table, "published_only"), Chain(self.table, "ports")
        yield from (published, ports, self._within)
        yield from (Rule(published, (*_translated(), nft.ACCEPT)), Rule(published, (nft.DROP,)))
        yield from (Rule(ports, each) for each in self._to_containers())
        for name, hook, rules in self._base_chains():
            chain = Chain(self.table, name, hook)
            yield chain
            yield from (Rule(chain, each) for each in rules)

    def _base_chains(self) -> Iterator[tuple[str, Hook, Iterator[tuple[nft.Expression, ...]]]]:
        yield "raw", Hook("filter", _PREROUTING, _RAW), self._not_from_a_loopback()
        yield "prerouting", Hook("nat", _PREROUTING, _DESTINATION_NAT), self._from_elsewhere()
        yield "output", Hook("nat", _OUTPUT, _DESTINATION_NAT), self._from_the_host()
        yield "forward", Hook("filter", _FORWARD, _FILTER), self._apart()
        yield "postrouting", Hook("nat", _POSTROUTING, _SOURCE_NAT), self._leaving()

    def _not_from_a_loopback(self) -> Iterator[tuple[nft.Expression, ...]]:
        """Since bridges route 127.0.0.0/8 (route_localnet), containers would reach what listens there alone."""
        yield nft.Meta(nft.IIFNAME), nft.Lookup(self._bridges), *_is(V4), *_loopback(16), nft.DROP

    def _from_elsewhere(self) -> Iterator[tuple[nft.Expression, ...]]:
        """A port of 127.0.0.1 is the host's own: to translate it would hide it from the kernel, which refuses it."""
        yield *_is(V4), *_loopback(16), nft.RETURN
        yield nft.Local(), nft.Compare(_LOCAL), nft.jump("ports")

    def _from_the_host(self) -> Iterator[tuple[nft.Expression, ...]]:
        """What is translated from ::1 never arrives, so a forwarder has to listen there."""
        yield *_is(V6), nft.Payload(nft.NETWORK, 24, 16), nft.Compare(bytes(15) + b"\1"), nft.RETURN
        yield nft.Local(), nft.Compare(_LOCAL), nft.jump("ports")

    def _to_containers(self) -> Iterator[tuple[nft.Expression, ...]]:
        for family in self._families.values():
            length = family.destination.length // 4
            protocol, port = nft.Meta(nft.L4PROTO), nft.Payload(nft.TRANSPORT, 2, 2, 1 + length)
            destination = nft.Payload(nft.NETWORK, family.destination.offset, family.destination.length, 1)
            translate = nft.Nat(family.number, 0, length)
            yield *_is(family.number), protocol, destination, port, nft.Lookup(family.exact), translate
            yield (
                *_is(family.number),
                protocol,
                nft.Payload(nft.TRANSPORT, 2, 2, 1),
                nft.Lookup(family.anywhere),
                translate,
            )

    def _apart(self) -> Iterator[tuple[nft.Expression, ...]]:
        yield nft.State(), nft.Mask(_ESTABLISHED_OR_RELATED), nft.Compare(_NONE, unequal=True), nft.ACCEPT
        yield nft.Meta(nft.IIFNAME), nft.Meta(nft.OIFNAME, 4), nft.Lookup(self._within)
        yield nft.Meta(nft.IIFNAME), nft.Lookup(self._internal), nft.DROP
        yield nft.Meta(nft.OIFNAME), nft.Lookup(self._internal), nft.DROP
        for family in self._families.values():
            yield *_is(family.number), nft.Meta(nft.OIFNAME), nft.Lookup(family.unprotected), nft.ACCEPT
            yield from self._routed(family)
        yield nft.Meta(nft.OIFNAME), nft.Lookup(self._bridges), nft.goto("published_only")

    def _routed(self, family: _Family) -> Iterator[tuple[nft.Expression, ...]]:
        """What is routed is told by ICMP what went wrong on the way, so that all of it passes, as with docker."""
        protocol, out = nft.Meta(nft.L4PROTO), nft.Meta(nft.OIFNAME)
        yield (
            *_is(family.number), protocol, nft.Compare(bytes([_ICMP[family.number]])), out, nft.Lookup(family.routed),
            nft.ACCEPT,
        )  # fmt: skip
        address = nft.Payload(nft.NETWORK, family.destination.offset, family.destination.length, 1)
        port = nft.Payload(nft.TRANSPORT, 2, 2, 1 + family.destination.length // 4)
        yield *_is(family.number), protocol, address, port, nft.Lookup(family.open), nft.ACCEPT

    def _leaving(self) -> Iterator[tuple[nft.Expression, ...]]:
        yield *_is(V4), *_loopback(12), nft.Meta(nft.OIFNAME), nft.Lookup(self._bridges), nft.Masquerade()
        for family in self._families.values():
            after = family.source.length // 4
            at_home = (*_is(family.number), family.source, nft.Meta(nft.OIFNAME, after), nft.Lookup(family.home))
            # Without it the answer would go straight to who asked, who knows nothing of the one that answers.
            yield *at_home, *_translated(), nft.Masquerade()
            yield *at_home, nft.RETURN
            yield *_is(family.number), family.source, nft.Lookup(family.masqueraded), nft.Masquerade()

    def of_bridge(self, bridge: Bridge) -> Iterator[Elements]:
        """Yield the elements of a network."""
        name = _padded(bridge.interface)
        verdict: nft.Verdict = nft.goto("published_only") if bridge.isolated else nft.ACCEPT
        yield Elements(self._bridges, (Element(name),))
        yield Elements(self._within, (Element(key(name, name), verdict),))
        if bridge.internal:
            yield Elements(self._internal, (Element(name),))
        for each in bridge.unprotected:
            yield Elements(self._families[V4 if each == 4 else V6].unprotected, (Element(name),))
        for each in bridge.routed:
            yield Elements(self._families[V4 if each == 4 else V6].routed, (Element(name),))
        for subnet in (ipaddress.ip_network(each) for each in bridge.subnets):
            family = self._families[V4 if subnet.version == 4 else V6]
            first, last = subnet.network_address.packed, subnet.broadcast_address.packed
            yield Elements(family.home, (Element(key(first, name), last=key(last, name)),))
            if bridge.masquerade and not bridge.internal and subnet.version not in bridge.routed:
                yield Elements(family.masqueraded, (Element(first, last=last),))

    def of_ports(self, published: Sequence[Published]) -> Iterator[Elements]:
        """Yield the elements of ports, those of each map together."""
        found: dict[tuple[int, bool], list[Element]] = {}
        opened: dict[int, list[Element]] = {}
        for port in published:
            if isinstance(port, Opening):
                address = _packed(port.address)
                place = key(bytes([PROTOCOLS[port.protocol]]), address, struct.pack(">H", port.port))
                opened.setdefault(V4 if len(address) == IPV4.length else V6, []).append(Element(place))
                continue
            host = _packed(port.host_address)
            family, exact = V4 if len(host) == IPV4.length else V6, any(host)
            protocol, number = bytes([PROTOCOLS[port.protocol]]), struct.pack(">H", port.host_port)
            place = key(protocol, host, number) if exact else key(protocol, number)
            target = key(_packed(port.address), struct.pack(">H", port.port))
            found.setdefault((family, exact), []).append(Element(place, target))
        for (family, exact), elements in found.items():
            sets = self._families[family]
            yield Elements(sets.exact if exact else sets.anywhere, tuple(elements))
        for family, elements in opened.items():
            yield Elements(self._families[family].open, tuple(elements))

    def standing_ports(self, elements: Callable[[Set], Sequence[Element]]) -> Iterator[Published]:
        """Yield the ports that stand, given what returns the elements of a map."""
        names = {number: name for name, number in PROTOCOLS.items()}
        for family in self._families.values():
            length = family.destination.length
            for found, host in ((family.exact, length), (family.anywhere, 0)):
                for each in elements(found):
                    address, place = each.key[4 : 4 + host] or bytes(length), each.key[4 + host :]
                    target = each.data if isinstance(each.data, bytes) else b""
                    if each.key[0] in names:
                        yield Publication(
                            names[each.key[0]],
                            _text(address),
                            _port(place),
                            _text(target[:length]),
                            _port(target[length:]),
                        )
            for each in elements(family.open):
                if each.key[0] in names:
                    address, place = each.key[4 : 4 + length], each.key[4 + length :]
                    yield Opening(names[each.key[0]], _text(address), _port(place))


def _text(address: bytes) -> str:
    return str(ipaddress.ip_address(address))


def _port(data: bytes) -> int:
    return int.from_bytes(data[:2], "big")


@lru_cache(maxsize=1024)
def _packed(address: str) -> bytes:
    return ipaddress.ip_address(address).packed


def _padded(interface: str) -> bytes:
    return interface.encode().ljust(INTERFACE.length, b"\0")


def _is(family: int) -> tuple[nft.Expression, ...]:
    return nft.Meta(nft.NFPROTO), nft.Compare(bytes([family]))


def _loopback(offset: int) -> tuple[nft.Expression, ...]:
    """Match 127.0.0.0/8."""
    return nft.Payload(nft.NETWORK, offset, 1), nft.Compare(b"\x7f")


def _translated() -> tuple[nft.Expression, ...]:
    """Match what came by a published port."""
    return nft.Status(), nft.Mask(_DESTINATION_TRANSLATED), nft.Compare(_NONE, unequal=True)
