"""Addresses of network devices (rtnetlink(7), ip-address(8))."""

import ipaddress
import socket
import struct

from moby.host.netlink import CREATE, DUMP, EXCLUSIVE, REPLACE, Channel, Message, attribute, attributes, u32
from moby.values import frozen

__all__ = ["Address", "add", "dump", "remove"]

_NEWADDR, _DELADDR, _GETADDR = 20, 21, 22
_ADDRESS = struct.Struct("=BBBBI")
_IFA_ADDRESS, _IFA_LOCAL, _IFA_BROADCAST, _IFA_FLAGS = 1, 2, 4, 8
_NODAD = 0x02
_PERMANENT = 0x80
_UNIVERSE, _LINK_SCOPE = 0, 253


@frozen
class Address:
    """An address of a device."""

    index: int
    """The device's."""
    text: str
    """With its prefix: `172.18.0.2/16`."""
    of_link: bool = False
    """Whether it holds on that link alone."""
    lasting: bool = True
    """Whether somebody gave it, rather than the network."""


def _packed(index: int, text: str) -> tuple[ipaddress.IPv4Interface | ipaddress.IPv6Interface, bytes]:
    """Return an address, and the beginning of messages about it."""
    found = ipaddress.ip_interface(text)
    family = socket.AF_INET if found.version == 4 else socket.AF_INET6
    scope = _LINK_SCOPE if found.is_link_local else _UNIVERSE
    payload = _ADDRESS.pack(family, found.network.prefixlen, 0, scope, index)
    return found, payload + attribute(_IFA_LOCAL, found.packed) + attribute(_IFA_ADDRESS, found.packed)


def add(index: int, text: str, *, again: bool = False) -> Message:
    """Give a device an address, usable at once (an IPv6 one isn't looked for on the link before).

    EEXIST where it has it, unless it may be said again.
    """
    found, payload = _packed(index, text)
    if isinstance(found, ipaddress.IPv4Interface):
        if found.network.prefixlen < 31:
            payload += attribute(_IFA_BROADCAST, found.network.broadcast_address.packed)
    else:
        payload += u32(_IFA_FLAGS, _NODAD)
    return Message(_NEWADDR, CREATE | (REPLACE if again else EXCLUSIVE), payload, text)


def remove(index: int, text: str) -> Message:
    """Take an address from a device; EADDRNOTAVAIL where it hasn't got it."""
    return Message(_DELADDR, 0, _packed(index, text)[1], text)


def dump(channel: Channel) -> tuple[Address, ...]:
    """Return the addresses of all devices of the channel's namespace."""
    found = []
    for payload in channel.ask(Message(_GETADDR, DUMP, _ADDRESS.pack(0, 0, 0, 0, 0))):
        family, bits, flags, scope, index = _ADDRESS.unpack_from(payload)
        parts = dict(attributes(payload[_ADDRESS.size :]))
        # An IPv4 address of a point-to-point device has the other end's as IFA_ADDRESS.
        packed = parts.get(_IFA_LOCAL) or parts.get(_IFA_ADDRESS)
        if family not in (socket.AF_INET, socket.AF_INET6) or packed is None:
            continue
        text = f"{ipaddress.ip_address(packed)}/{bits}"
        found.append(Address(index, text, scope == _LINK_SCOPE, bool(flags & _PERMANENT)))
    return tuple(found)
