"""Tells all on a link where an address is now, so that none of them goes on with what it knew (RFC 5227, RFC 4861)."""

import socket
import struct
import threading
from ipaddress import IPv4Address, IPv6Address, ip_address

__all__ = ["Announcer", "frame"]

_ARP, _IPV6 = 0x0806, 0x86DD
_REQUEST = struct.Struct(">HHBBH")
_NEIGHBOUR_ADVERTISEMENT, _OVERRIDE, _TARGET_LINK = 136, 0x20000000, 2
_EVERYBODY = IPv6Address("ff02::1")
_EVERYBODY_MAC = bytes.fromhex("333300000001")


def frame(mac: str, address: str) -> bytes:
    """Return what says, by Ethernet, that an address is at this MAC address."""
    own, where = bytes.fromhex(mac.replace(":", "")), ip_address(address)
    return _request(own, where) if isinstance(where, IPv4Address) else _advertisement(own, where)


def _request(mac: bytes, address: IPv4Address) -> bytes:
    broadcast = b"\xff" * 6
    body = _REQUEST.pack(1, 0x0800, 6, 4, 1) + mac + address.packed + bytes(6) + address.packed
    return broadcast + mac + _ARP.to_bytes(2, "big") + body


def _advertisement(mac: bytes, address: IPv6Address) -> bytes:
    rest = _OVERRIDE.to_bytes(4, "big") + address.packed + bytes([_TARGET_LINK, 1]) + mac
    length = 4 + len(rest)
    pseudo = address.packed + _EVERYBODY.packed + struct.pack(">II", length, socket.IPPROTO_ICMPV6)
    checksum = _checksum(pseudo + bytes([_NEIGHBOUR_ADVERTISEMENT, 0, 0, 0]) + rest)
    message = struct.pack(">BBH", _NEIGHBOUR_ADVERTISEMENT, 0, checksum) + rest
    # Whose hop limit isn't 255 came by a router, and is heard by nobody.
    header = struct.pack(">IHBB", 6 << 28, length, socket.IPPROTO_ICMPV6, 255) + address.packed + _EVERYBODY.packed
    return _EVERYBODY_MAC + mac + _IPV6.to_bytes(2, "big") + header + message


def _checksum(data: bytes) -> int:
    total: int = sum(struct.unpack(f">{len(data) // 2}H", data))
    total = (total & 0xFFFF) + (total >> 16)
    return ~(total + (total >> 16)) & 0xFFFF


class Announcer:
    """Sends by interfaces of the network namespace in which it does so first. Thread-safe.

    Its socket is kept, since the kernel takes milliseconds to close one.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None

    def close(self) -> None:
        """End it."""
        if self._socket:
            self._socket.close()

    def announce(self, interface: str, mac: str, address: str) -> None:
        """Tell all on an interface's link; OSError where it isn't up, or this process may not."""
        with self._lock:
            if self._socket is None:
                self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)
        self._socket.sendto(frame(mac, address), (interface, 0))
