"""The kernel's table of connections (ctnetlink), as far as translated ports need it."""

from __future__ import annotations

import errno
import ipaddress
import struct

from moby.host.netfilter import Netfilter, Order
from moby.host.netlink import attribute, find, nested
from moby.host.nft_values import V4, V6
from moby.values import frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from moby.host.netfilter import Heard

__all__ = ["Flow", "forget"]

_SUBSYSTEM = 1
_GET, _DELETE = 1, 2
_ORIGINAL, _ID, _ZONE, _FILTER = 1, 12, 18, 25
_ADDRESSES, _PROTOCOL = 1, 2
_NUMBER, _DESTINATION_PORT = 1, 3
_BY_NUMBER, _BY_DESTINATION_PORT = 1 << 3, 1 << 5
_NESTED = 0x8000


@frozen
class Flow:
    """All that somebody sent to a port of an address, before it was translated; `0.0.0.0` and `::` are any."""

    protocol: int
    address: str
    port: int


def forget(flows: Sequence[Flow]) -> int:
    """Have the kernel forget connections, so that their next packet is looked at anew; return how many there were."""
    wanted: dict[int, set[tuple[int, int, bytes]]] = {}
    for each in flows:
        address = ipaddress.ip_address(each.address)
        host = b"" if address.is_unspecified else address.packed
        wanted.setdefault(V4 if address.version == 4 else V6, set()).add((each.protocol, each.port, host))
    count = 0
    for family, places in wanted.items():
        with Netfilter(_SUBSYSTEM) as netfilter:
            for found in netfilter.dump(Order(_GET, family, _filter(places)), "connections"):
                if not places.isdisjoint(_places(found)):
                    count += _delete(netfilter, family, found.parts)
    return count


def _filter(places: set[tuple[int, int, bytes]]) -> bytes:
    """Say what the kernel needn't tell; one before 5.8 tells it all the same."""
    protocols, ports = {protocol for protocol, _, _ in places}, {port for _, port, _ in places}
    if len(protocols) > 1:
        return b""
    parts, flags = [attribute(_NUMBER, bytes(protocols))], _BY_NUMBER
    if len(ports) == 1:
        parts.append(attribute(_DESTINATION_PORT, struct.pack(">H", *ports)))
        flags |= _BY_DESTINATION_PORT
    return nested(_ORIGINAL, nested(_PROTOCOL, *parts)) + nested(_FILTER, attribute(1, struct.pack("=I", flags)))


def _places(found: Heard) -> Iterator[tuple[int, int, bytes]]:
    """Yield what a connection's first packet was sent to, also as sent to any address."""
    protocol = find(found.parts.get(_ORIGINAL, b""), _PROTOCOL)
    addresses = find(found.parts.get(_ORIGINAL, b""), _ADDRESSES)
    if _NUMBER in protocol and _DESTINATION_PORT in protocol:
        number, port = protocol[_NUMBER][0], int.from_bytes(protocol[_DESTINATION_PORT], "big")
        yield number, port, b""
        yield number, port, addresses.get(2 if found.family == V4 else 4, b"")


def _delete(netfilter: Netfilter, family: int, parts: Mapping[int, bytes]) -> bool:
    payload = attribute(_ORIGINAL | _NESTED, parts[_ORIGINAL])
    payload += b"".join(attribute(each, parts[each]) for each in (_ID, _ZONE) if each in parts)
    try:
        netfilter.have_done(Order(_DELETE, family, payload), "a connection")
    except OSError as error:
        if error.errno == errno.ENOENT:  # it ended meanwhile
            return False
        raise
    return True
