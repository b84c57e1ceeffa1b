"""Routes (rtnetlink(7), ip-route(8))."""

import ipaddress
import socket
import struct

from moby.host.netlink import CREATE, DUMP, EXCLUSIVE, REPLACE, Channel, Message, attribute, attributes, u32
from moby.values import frozen

__all__ = ["MAIN", "Route", "add", "dump", "remove"]

_NEWROUTE, _DELROUTE, _GETROUTE = 24, 25, 26
_ROUTE = struct.Struct("=BBBBBBBBI")
_DST, _OIF, _GATEWAY, _PRIORITY, _PREFSRC, _MULTIPATH, _TABLE = 1, 4, 5, 6, 7, 9, 15
_STATIC, _KERNEL = 4, 2
_UNICAST = 1
_UNIVERSE, _LINK_SCOPE, _NOWHERE = 0, 253, 255
_CLONED = 0x200
_NEXT_HOP = struct.Struct("=HBBi")
MAIN = 254
"""The table that most routes are in; 255 is that of the host's own addresses."""
_ANY = {socket.AF_INET: "0.0.0.0/0", socket.AF_INET6: "::/0"}


@frozen
class Route:
    """A way to somewhere; `0.0.0.0/0` or `::/0` is everywhere."""

    destination: str
    index: int = 0
    """Of the device that it leads through; of several ways, the first."""
    gateway: str = ""
    metric: int = 0
    table: int = MAIN
    source: str = ""
    """The address that packets by it have where nobody chose one."""
    from_kernel: bool = False
    """Whether it came by itself, with an address."""


def _payload(route: Route) -> bytes:
    """Return a route as the kernel has it."""
    network = ipaddress.ip_network(route.destination)
    family = socket.AF_INET if network.version == 4 else socket.AF_INET6
    scope = _UNIVERSE if route.gateway or network.version == 6 else _LINK_SCOPE
    header = _ROUTE.pack(family, network.prefixlen, 0, 0, 0, _STATIC, scope, _UNICAST, 0)
    parts = [u32(_TABLE, route.table)]
    if network.prefixlen:
        parts.append(attribute(_DST, network.network_address.packed))
    if route.index:
        parts.append(u32(_OIF, route.index))
    if route.gateway:
        parts.append(attribute(_GATEWAY, ipaddress.ip_address(route.gateway).packed))
    if route.metric:
        parts.append(u32(_PRIORITY, route.metric))
    if route.source:
        parts.append(attribute(_PREFSRC, ipaddress.ip_address(route.source).packed))
    return header + b"".join(parts)


def add(route: Route, *, again: bool = False) -> Message:
    """Make a route, or have it take the place of the one to the same destination and metric; else EEXIST."""
    return Message(_NEWROUTE, CREATE | (REPLACE if again else EXCLUSIVE), _payload(route), route.destination)


def remove(route: Route) -> Message:
    """Remove a route; ESRCH where there is none like it."""
    payload = bytearray(_payload(route))
    payload[6] = _NOWHERE  # any scope
    payload[5] = 0  # whoever made it
    return Message(_DELROUTE, 0, bytes(payload), route.destination)


def dump(channel: Channel, *, table: int = MAIN) -> tuple[Route, ...]:
    """Return the unicast routes of a table of the channel's namespace, of both families."""
    found = []
    for payload in channel.ask(Message(_GETROUTE, DUMP, _ROUTE.pack(0, 0, 0, 0, 0, 0, 0, 0, 0))):
        family, bits, _, _, short, protocol, _, kind, flags = _ROUTE.unpack_from(payload)
        if family not in _ANY or kind != _UNICAST or flags & _CLONED:
            continue
        parts = dict(attributes(payload[_ROUTE.size :]))
        if (_number(parts, _TABLE) or short) != table:
            continue
        destination = f"{_address(parts, _DST)}/{bits}" if _DST in parts else _ANY[family]
        index, gateway = _way(parts)
        metric, source = _number(parts, _PRIORITY), _address(parts, _PREFSRC)
        found.append(Route(destination, index, gateway, metric, table, source, protocol == _KERNEL))
    return tuple(found)


def _way(parts: dict[int, bytes]) -> tuple[int, str]:
    """Return the device and gateway of a route; of one with several, those of the first."""
    if _MULTIPATH in parts and len(parts[_MULTIPATH]) >= _NEXT_HOP.size:
        length, _, _, index = _NEXT_HOP.unpack_from(parts[_MULTIPATH])
        return index, _address(dict(attributes(parts[_MULTIPATH][_NEXT_HOP.size : length])), _GATEWAY)
    return _number(parts, _OIF), _address(parts, _GATEWAY)


def _address(parts: dict[int, bytes], kind: int) -> str:
    return str(ipaddress.ip_address(parts[kind])) if kind in parts else ""


def _number(parts: dict[int, bytes], kind: int) -> int:
    return struct.unpack("=I", parts[kind])[0] if kind in parts else 0
