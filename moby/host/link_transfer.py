"""Network devices that go from one network namespace to another, with what their owner has given them (ip-link(8))."""

import errno
import os
import socket
import struct

from moby.host import netlink
from moby.values import frozen

__all__ = ["Address", "Link", "hand_over", "look_up", "settle"]

_SETLINK = 19
_GETLINK = 18
_NEWADDR = 20
_GETADDR = 22
_IFLA_IFNAME = 3
_IFLA_NET_NS_FD = 28
_IFA_ADDRESS, _IFA_LOCAL, _IFA_BROADCAST, _IFA_FLAGS, _IFA_RT_PRIORITY = 1, 2, 4, 8, 9
_IFA_F_PERMANENT = 0x80
_KEPT_FLAGS = 0x200 | 0x100 | 0x02
"""IFA_F_NOPREFIXROUTE, IFA_F_MANAGETEMPADDR and IFA_F_NODAD; the others are the kernel's to say."""
_SCOPE_UNIVERSE = 0
_IFF_UP = 0x1
_LINK = struct.Struct("=BxHiII")
_ADDRESS = struct.Struct("=BBBBI")


@frozen
class Address:
    """One address of a device: its family, how many bits name the network, and attributes as rtnetlink(7) has them."""

    family: int
    bits: int
    attributes: tuple[tuple[int, bytes], ...]


@frozen
class Link:
    """A device, and what of it a move takes away: its addresses that are meant to last, and whether it is up."""

    name: str
    index: int
    up: bool
    addresses: tuple[Address, ...]


def look_up(name: str) -> Link:
    """Return a device of this network namespace; OSError ENODEV where there is none."""
    try:
        index = socket.if_nametoindex(name)
    except OSError as error:
        raise OSError(errno.ENODEV, os.strerror(errno.ENODEV), name) from error
    found = netlink.request(_GETLINK, netlink.ACK, _LINK.pack(0, 0, index, 0, 0), name)
    flags = _LINK.unpack_from(found[0])[3]
    return Link(name, index, bool(flags & _IFF_UP), _addresses(index))


def _addresses(index: int) -> tuple[Address, ...]:
    """Return the lasting addresses of global scope."""
    found = []
    for payload in netlink.request(_GETADDR, netlink.DUMP, _ADDRESS.pack(0, 0, 0, 0, 0)):
        family, bits, flags, scope, of = _ADDRESS.unpack_from(payload)
        parts = dict(netlink.attributes(payload[_ADDRESS.size :]))
        if _IFA_FLAGS in parts:
            flags = struct.unpack("=I", parts[_IFA_FLAGS])[0]
        if of != index or scope != _SCOPE_UNIVERSE or not flags & _IFA_F_PERMANENT:
            continue
        kept = {kind: parts[kind] for kind in _CARRIED if kind in parts}
        kept[_IFA_FLAGS] = struct.pack("=I", flags & _KEPT_FLAGS)
        found.append(Address(family, bits, tuple(kept.items())))
    return tuple(found)


_CARRIED = (_IFA_ADDRESS, _IFA_LOCAL, _IFA_BROADCAST, _IFA_RT_PRIORITY)


def hand_over(link: Link, namespace_fd: int, name: str = "") -> None:
    """Move a device of this network namespace into another one, by another name perhaps, `%d` in which is a number.

    OSError EEXIST where the name is taken there, EINVAL for a device that belongs to its namespace.
    """
    parts = netlink.attribute(_IFLA_NET_NS_FD, struct.pack("=I", namespace_fd))
    parts += netlink.attribute(_IFLA_IFNAME, os.fsencode(name or link.name) + b"\0")
    netlink.request(_SETLINK, netlink.ACK, _LINK.pack(0, 0, link.index, 0, 0) + parts, link.name)


def settle(link: Link, index: int, *, up: bool) -> None:
    """Give a device of this network namespace the addresses that a link had elsewhere, and set it up."""
    for each in link.addresses:
        payload = _ADDRESS.pack(each.family, each.bits, 0, _SCOPE_UNIVERSE, index)
        payload += b"".join(netlink.attribute(kind, value) for kind, value in each.attributes)
        netlink.request(_NEWADDR, netlink.ACK | netlink.CREATE | netlink.EXCLUSIVE, payload, link.name)
    flags = _IFF_UP if up else 0
    netlink.request(_SETLINK, netlink.ACK, _LINK.pack(0, 0, index, flags, _IFF_UP), link.name)
