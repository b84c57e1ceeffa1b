"""Network devices: messages that make and change them, and what there are (rtnetlink(7), ip-link(8))."""

import errno
import os
import socket
import struct
import sys
from collections.abc import Mapping

from moby.host.netlink import (
    ACK,
    CREATE,
    DUMP,
    EXCLUSIVE,
    Channel,
    Message,
    attribute,
    attributes,
    find,
    nested,
    text,
    u16,
    u32,
)  # fmt: skip
from moby.values import frozen

__all__ = [
    "ANY", "Device", "Peer", "bridge", "change", "delete", "delete_group", "dump", "get", "index_of", "ipvlan", "lone",
    "look_up", "macvlan", "port", "veth", "vlan", "vxlan", "without_link_local",
]  # fmt: skip

_NEWLINK, _DELLINK, _GETLINK, _SETLINK = 16, 17, 18, 19
_LINK = struct.Struct("=BxHiII")
_IFF_UP = 0x1
_IFF_LOOPBACK = 0x8

_ADDRESS, _IFNAME, _MTU, _PARENT, _MASTER, _LINKINFO, _ALIAS, _NS_FD = 1, 3, 4, 5, 10, 18, 20, 28
_AF_SPEC, _GROUP, _EXT_MASK = 26, 27, 29
_INFO_KIND, _INFO_DATA, _INFO_SLAVE_KIND, _INFO_SLAVE_DATA = 1, 2, 4, 5
_SKIP_STATISTICS = 0x8
_IPV6_GENERATE, _NO_ADDRESS = 8, b"\1"
_VETH_PEER = 1
_BRIDGE_FORWARD_DELAY, _BRIDGE_STP, _BRIDGE_SNOOPING = 1, 5, 23
_PORT_HAIRPIN, _PORT_ISOLATED = 4, 33
_MACVLAN_MODE, _IPVLAN_MODE, _IPVLAN_FLAGS = 1, 1, 2
_VLAN_ID = 1
_VXLAN_ID, _VXLAN_LOCAL, _VXLAN_LEARNING, _VXLAN_PROXY, _VXLAN_PORT = 1, 4, 7, 11, 15
_VXLAN_L2MISS, _VXLAN_L3MISS, _VXLAN_LOCAL6 = 13, 14, 17

MACVLAN_MODES = {"private": 1, "vepa": 2, "bridge": 4, "passthru": 8}
IPVLAN_MODES = {"l2": 0, "l3": 1, "l3s": 2}
IPVLAN_FLAGS = {"bridge": 0, "private": 1, "vepa": 2}
ANY = -1
"""No namespace: the channel's own."""


@frozen
class Device:
    """A network device, as it is seen from its own namespace."""

    index: int
    name: str
    kind: str = ""
    """`bridge`, `veth`, ...; empty for hardware and loopback."""
    up: bool = False
    loopback: bool = False
    mtu: int = 0
    mac: str = ""
    alias: str = ""
    group: int = 0
    """A number for devices that belong together; it is there as soon as the device is."""
    master: int = 0
    """Index of the bridge that it is a port of; 0 for none."""
    parent: int = 0
    """Index of the other end, or of what it is on top of, in the namespace of that one."""
    isolated: bool = False
    hairpin: bool = False
    mode: int = 0
    """Of macvlan and ipvlan."""
    vxlan_id: int = 0
    vxlan_local: bytes = b""
    """The address that it sends from, packed."""
    vxlan_port: int = 0


@frozen
class Peer:
    """The other end of a pair of veths, which is made in a namespace of its own."""

    name: str
    namespace: int = ANY
    mac: str = ""


def _mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))


def _common(
    *, mtu: int = 0, mac: str = "", parent: int = 0, master: int = 0, namespace: int = ANY, group: int = 0
) -> bytes:
    """Return what any device may be given as it is made."""
    found = u32(_MTU, mtu) if mtu else b""
    found += u32(_GROUP, group) if group else b""
    found += attribute(_ADDRESS, _mac(mac)) if mac else b""
    found += u32(_PARENT, parent) if parent else b""
    found += u32(_MASTER, master) if master else b""
    return found + (u32(_NS_FD, namespace) if namespace != ANY else b"")


def _made(name: str, kind: str, data: bytes, common: bytes, *, up: bool) -> Message:
    """Return the message that makes a device; EEXIST where its name is taken."""
    flags = _IFF_UP if up else 0
    info = nested(_LINKINFO, text(_INFO_KIND, kind), nested(_INFO_DATA, data))
    payload = _LINK.pack(0, 0, 0, flags, flags) + text(_IFNAME, name) + common + info
    return Message(_NEWLINK, CREATE | EXCLUSIVE, payload, name)


def bridge(name: str, *, mac: str = "", mtu: int = 0, group: int = 0, up: bool = False) -> Message:
    """Make a bridge that forwards at once: without a spanning tree, as docker's."""
    data = u32(_BRIDGE_FORWARD_DELAY, 0) + u32(_BRIDGE_STP, 0)
    return _made(name, "bridge", data, _common(mac=mac, mtu=mtu, group=group), up=up)


def veth(
    name: str, peer: Peer, *, mac: str = "", mtu: int = 0, master: int = 0, group: int = 0, up: bool = False
) -> Message:
    """Make a pair; only the end of this namespace can be up at once, and gets the group."""
    other = _LINK.pack(0, 0, 0, 0, 0) + text(_IFNAME, peer.name)
    other += _common(mac=peer.mac, mtu=mtu, namespace=peer.namespace)
    common = _common(mac=mac, mtu=mtu, master=master, group=group)
    return _made(name, "veth", nested(_VETH_PEER, other), common, up=up)


def macvlan(name: str, parent: int, mode: str, *, mac: str = "", mtu: int = 0, namespace: int = ANY) -> Message:
    """Make a device with a MAC address of its own on another one, in a namespace."""
    common = _common(mac=mac, mtu=mtu, parent=parent, namespace=namespace)
    return _made(name, "macvlan", u32(_MACVLAN_MODE, MACVLAN_MODES[mode]), common, up=False)


def ipvlan(name: str, parent: int, mode: str, flag: str = "bridge", *, mtu: int = 0, namespace: int = ANY) -> Message:
    """Make a device that shares the MAC address of another one, in a namespace."""
    data = u16(_IPVLAN_MODE, IPVLAN_MODES[mode]) + u16(_IPVLAN_FLAGS, IPVLAN_FLAGS[flag])
    return _made(name, "ipvlan", data, _common(mtu=mtu, parent=parent, namespace=namespace), up=False)


def vlan(name: str, parent: int, number: int, *, group: int = 0, up: bool = False) -> Message:
    """Make a device for one 802.1Q VLAN of another one."""
    return _made(name, "vlan", u16(_VLAN_ID, number), _common(parent=parent, group=group), up=up)


def lone(name: str, kind: str, *, mac: str = "", group: int = 0, up: bool = False) -> Message:
    """Make a device that leads nowhere: a `dummy`, or an `ifb`, which drops what isn't sent to it by a filter."""
    return _made(name, kind, b"", _common(mac=mac, group=group), up=up)


def vxlan(
    name: str, number: int, *, local: bytes = b"", port: int = 4789, mtu: int = 0, master: int = 0, group: int = 0
) -> Message:
    """Make a device that carries Ethernet over UDP, and knows by entries alone where to (it neither learns nor floods).

    `local` is a packed address.
    """
    data = u32(_VXLAN_ID, number) + attribute(_VXLAN_LEARNING, b"\0") + attribute(_VXLAN_PROXY, b"\1")
    data += attribute(_VXLAN_PORT, struct.pack(">H", port))
    if local:
        data += attribute(_VXLAN_LOCAL if len(local) == 4 else _VXLAN_LOCAL6, local)
    return _made(name, "vxlan", data, _common(mtu=mtu, master=master, group=group), up=False)


def change(
    index: int,
    *,
    up: bool | None = None,
    mtu: int = 0,
    mac: str = "",
    name: str = "",
    alias: str | None = None,
    master: int | None = None,
    namespace: int = ANY,
    group: int = 0,
    what: str = "",
) -> Message:
    """Change a device; what isn't given stays. Master 0 takes it off its bridge."""
    flags = _IFF_UP if up else 0
    payload = _LINK.pack(0, 0, index, flags, 0 if up is None else _IFF_UP)
    payload += _common(mtu=mtu, mac=mac, namespace=namespace, group=group)
    payload += text(_IFNAME, name) if name else b""
    payload += attribute(_ALIAS, os.fsencode(alias)) if alias is not None else b""
    payload += u32(_MASTER, master) if master is not None else b""
    return Message(_SETLINK, 0, payload, what or name)


def without_link_local(index: int, what: str = "") -> Message:
    """Have a device make no IPv6 address of its own, as an end that only a bridge uses needs none."""
    given = nested(_AF_SPEC, nested(socket.AF_INET6, attribute(_IPV6_GENERATE, _NO_ADDRESS)))
    return Message(_SETLINK, 0, _LINK.pack(0, 0, index, 0, 0) + given, what)


def port(index: int, *, isolated: bool = False, hairpin: bool = False, what: str = "") -> Message:
    """Say how a bridge treats a port: whether isolated ones reach it, and whether it gets back what it sent."""
    values = ((_PORT_ISOLATED, isolated), (_PORT_HAIRPIN, hairpin))
    data = b"".join(attribute(kind, bytes([value])) for kind, value in values)
    info = nested(_LINKINFO, text(_INFO_SLAVE_KIND, "bridge"), nested(_INFO_SLAVE_DATA, data))
    return Message(_NEWLINK, 0, _LINK.pack(0, 0, index, 0, 0) + info, what)


def delete_group(group: int) -> Message:
    """Delete all devices of a group, in the time that one takes; ENODEV where there are none."""
    return Message(_DELLINK, 0, _LINK.pack(0, 0, 0, 0, 0) + u32(_GROUP, group), f"group {group}")


def delete(index: int, what: str = "") -> Message:
    """Delete a device; ENODEV where there is none. It takes the kernel some 20 ms."""
    return Message(_DELLINK, 0, _LINK.pack(0, 0, index, 0, 0), what)


def dump(channel: Channel) -> tuple[Device, ...]:
    """Return all devices of the channel's namespace."""
    payload = _LINK.pack(0, 0, 0, 0, 0) + u32(_EXT_MASK, _SKIP_STATISTICS)
    return tuple(_device(each) for each in channel.ask(Message(_GETLINK, DUMP, payload)))


def _described(channel: Channel, name: str) -> bytes | None:
    """Return the kernel's description of a device, or None where there is none."""
    payload = _LINK.pack(0, 0, 0, 0, 0) + text(_IFNAME, name) + u32(_EXT_MASK, _SKIP_STATISTICS)
    try:
        return channel.ask(Message(_GETLINK, ACK, payload, name))[0]
    except OSError as error:
        if error.errno != errno.ENODEV:
            raise
        return None


def look_up(channel: Channel, name: str) -> Device | None:
    """Return a device by its name, or None where there is none."""
    found = _described(channel, name)
    return None if found is None else _device(found)


def get(channel: Channel, name: str) -> Device:
    """Return a device by its name; OSError (ENODEV) where there is none."""
    return _device(_there(channel, name))


def index_of(channel: Channel, name: str) -> int:
    """Return a device's index; OSError (ENODEV) where there is none of that name."""
    index: int = _LINK.unpack_from(_there(channel, name))[2]
    return index


def _there(channel: Channel, name: str) -> bytes:
    found = _described(channel, name)
    if found is None:
        raise OSError(errno.ENODEV, os.strerror(errno.ENODEV), name)
    return found


def _device(payload: bytes) -> Device:
    """Read a device's description."""
    _, _, index, flags, _ = _LINK.unpack_from(payload)
    parts = dict(attributes(payload[_LINK.size :]))
    info = dict(attributes(parts.get(_LINKINFO, b"")))
    kind, data = _text(info, _INFO_KIND), dict(attributes(info.get(_INFO_DATA, b"")))
    mine = find(parts.get(_LINKINFO, b""), _INFO_SLAVE_DATA) if _text(info, _INFO_SLAVE_KIND) == "bridge" else {}
    return Device(
        index=index,
        name=_text(parts, _IFNAME),
        kind=kind,
        up=bool(flags & _IFF_UP),
        loopback=bool(flags & _IFF_LOOPBACK),
        mtu=_number(parts, _MTU),
        mac=parts.get(_ADDRESS, b"").hex(":"),
        alias=_text(parts, _ALIAS),
        group=_number(parts, _GROUP),
        master=_number(parts, _MASTER),
        parent=_number(parts, _PARENT),
        isolated=bool(_number(mine, _PORT_ISOLATED)),
        hairpin=bool(_number(mine, _PORT_HAIRPIN)),
        mode=_number(data, _MACVLAN_MODE) if kind in ("macvlan", "ipvlan") else 0,
        vxlan_id=_number(data, _VXLAN_ID) if kind == "vxlan" else 0,
        vxlan_local=(data.get(_VXLAN_LOCAL) or data.get(_VXLAN_LOCAL6) or b"") if kind == "vxlan" else b"",
        vxlan_port=int.from_bytes(data.get(_VXLAN_PORT, b""), "big") if kind == "vxlan" else 0,
    )


def _text(parts: Mapping[int, bytes], kind: int) -> str:
    return os.fsdecode(parts.get(kind, b"").rstrip(b"\0"))


def _number(parts: Mapping[int, bytes], kind: int) -> int:
    return int.from_bytes(parts.get(kind, b""), sys.byteorder)
