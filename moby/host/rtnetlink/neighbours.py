"""Who is where on a link: neighbours by address, and entries of VXLAN devices by MAC address (ip-neigh(8))."""

import ipaddress
import socket
import struct

from moby.host.netlink import APPEND, CREATE, DUMP, REPLACE, Channel, Message, attribute, attributes
from moby.values import frozen

__all__ = ["Entry", "Neighbour", "add", "add_entry", "dump", "dump_entries", "remove", "remove_entry"]

_NEWNEIGH, _DELNEIGH, _GETNEIGH = 28, 29, 30
_NEIGHBOUR = struct.Struct("=BxxxiHBB")
_DST, _LLADDR = 1, 2
_PERMANENT = 0x80
_OF_ITSELF = 0x02
_AF_BRIDGE = 7


@frozen
class Neighbour:
    """The MAC address of an address on a device's link."""

    index: int
    address: str
    mac: str


@frozen
class Entry:
    """Where a VXLAN device sends what is for a MAC address: the other host's address."""

    index: int
    mac: str
    host: str


def _packed_mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))


def _neighbour(kind: int, flags: int, neighbour: Neighbour) -> Message:
    address = ipaddress.ip_address(neighbour.address)
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    payload = _NEIGHBOUR.pack(family, neighbour.index, _PERMANENT, 0, 0) + attribute(_DST, address.packed)
    return Message(kind, flags, payload + attribute(_LLADDR, _packed_mac(neighbour.mac)), neighbour.address)


def add(neighbour: Neighbour) -> Message:
    """Say for good where an address is, in place of what was known."""
    return _neighbour(_NEWNEIGH, CREATE | REPLACE, neighbour)


def remove(neighbour: Neighbour) -> Message:
    """Forget where an address is; ENOENT where that isn't known."""
    return _neighbour(_DELNEIGH, 0, neighbour)


def _entry(kind: int, flags: int, entry: Entry) -> Message:
    payload = _NEIGHBOUR.pack(_AF_BRIDGE, entry.index, _PERMANENT, _OF_ITSELF, 0)
    payload += attribute(_LLADDR, _packed_mac(entry.mac))
    return Message(kind, flags, payload + attribute(_DST, ipaddress.ip_address(entry.host).packed), entry.mac)


def add_entry(entry: Entry) -> Message:
    """Have a VXLAN device send to a host what is for a MAC address; all zeros is whatever it doesn't know.

    For all zeros there may be several; another address has the last one.
    """
    flags = CREATE | (REPLACE if entry.mac.strip("0:") else APPEND)
    return _entry(_NEWNEIGH, flags, entry)


def remove_entry(entry: Entry) -> Message:
    """Undo `add_entry`; ENOENT where there is none."""
    return _entry(_DELNEIGH, 0, entry)


def _dumped(channel: Channel, family: int) -> "list[tuple[int, int, dict[int, bytes]]]":
    """Return devices, states and attributes of what is known."""
    found = []
    for payload in channel.ask(Message(_GETNEIGH, DUMP, _NEIGHBOUR.pack(family, 0, 0, 0, 0))):
        _, index, state, _, _ = _NEIGHBOUR.unpack_from(payload)
        found.append((index, state, dict(attributes(payload[_NEIGHBOUR.size :]))))
    return found


def dump(channel: Channel) -> tuple[Neighbour, ...]:
    """Return the neighbours that somebody gave, of all devices of the channel's namespace."""
    return tuple(
        Neighbour(index, str(ipaddress.ip_address(parts[_DST])), parts[_LLADDR].hex(":"))
        for index, state, parts in _dumped(channel, socket.AF_UNSPEC)
        if state & _PERMANENT and _DST in parts and _LLADDR in parts
    )


def dump_entries(channel: Channel) -> tuple[Entry, ...]:
    """Return the entries of all VXLAN devices of the channel's namespace."""
    return tuple(
        Entry(index, parts[_LLADDR].hex(":"), str(ipaddress.ip_address(parts[_DST])))
        for index, _, parts in _dumped(channel, _AF_BRIDGE)
        if _DST in parts and _LLADDR in parts
    )
