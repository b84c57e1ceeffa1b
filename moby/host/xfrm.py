"""IPsec as the kernel has it: what is encrypted how, and what may come and go only so (ip-xfrm(8), RFC 4303)."""

import ipaddress
import socket
import struct

from moby.host.netlink import ACK, CREATE, DUMP, EXCLUSIVE, Channel, Message, attribute
from moby.values import frozen

__all__ = [
    "KEY_BYTES", "PROTOCOL", "Association", "add", "associations", "policies", "remove", "require", "unrequire",
]  # fmt: skip

PROTOCOL = 6
"""NETLINK_XFRM, of the channel that all of this takes."""
KEY_BYTES = 36
"""Of AES-256, and four of salt (RFC 4106)."""

_NEWSA, _DELSA, _GETSA, _DELPOLICY, _GETPOLICY, _UPDPOLICY = 0x10, 0x11, 0x12, 0x14, 0x15, 0x19
_TEMPLATE, _AEAD, _REPLAY_ESN = 5, 18, 23
_SELECTOR = struct.Struct("=16s16s2s2s2s2sHBBBxxxiI")
_ID = struct.Struct("=16s4sBxxx")
_LIFETIME = struct.Struct("=8Q")
_COUNTERS = bytes(32 + 12)
"""What was used so far, and what failed."""
_STATE = struct.Struct("=IIHBBB7x")
_STATE_ID = struct.Struct("=16s4sHBx")
_POLICY = struct.Struct("=IIBBBB4x")
_POLICY_ID = struct.Struct("=IBxxx")
_FAMILY_THERE = struct.Struct("=H2x16sIBBBxIII")
_AES = struct.Struct("=64sII")
_SEQUENCES = struct.Struct("=IIIIII")
_ESP, _UDP = 50, 17
_TRANSPORT = 0
_LONG_SEQUENCES = 128
_PROOF_BITS = 128
_WINDOW = 128
_FOR_EVER = _LIFETIME.pack(*([(1 << 64) - 1] * 4), 0, 0, 0, 0)
_IN, _OUT = 0, 1
_SADDR_AT, _REQID_AT = _SELECTOR.size + _ID.size, _SELECTOR.size + _ID.size + 16 + _LIFETIME.size + len(_COUNTERS) + 4
_FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}


@frozen
class Association:
    """What goes from one address to another, encrypted with a key that both know (ESP, transport mode)."""

    source: str
    destination: str
    spi: int
    """By which the receiver knows it; from 256 on."""
    owner: int
    """A number that whoever made it knows it by again (`reqid`)."""


def _packed(address: str) -> bytes:
    return ipaddress.ip_address(address).packed.ljust(16, b"\0")


def _family(address: str) -> int:
    return _FAMILIES[ipaddress.ip_address(address).version]


def add(association: Association, key: bytes) -> Message:
    """Have packets be encrypted, or understood, so; EEXIST where that is known already.

    It counts them in 64 bits and takes none twice. EPROTONOSUPPORT or ENOSYS where the kernel has no ESP or AES-GCM.
    """
    family = _family(association.source)
    payload = bytes(_SELECTOR.size) + _ID.pack(_packed(association.destination), _spi(association), _ESP)
    payload += _packed(association.source) + _FOR_EVER + _COUNTERS
    payload += _STATE.pack(0, association.owner, family, _TRANSPORT, 0, _LONG_SEQUENCES)
    payload += attribute(_AEAD, _AES.pack(b"rfc4106(gcm(aes))", len(key) * 8, _PROOF_BITS) + key)
    payload += attribute(_REPLAY_ESN, _SEQUENCES.pack(_WINDOW // 32, 0, 0, 0, 0, _WINDOW) + bytes(_WINDOW // 8))
    return Message(_NEWSA, CREATE | EXCLUSIVE, payload, association.destination)


def _spi(association: Association) -> bytes:
    return association.spi.to_bytes(4, "big")


def remove(association: Association) -> Message:
    """Forget an association; ESRCH where there is none."""
    destination = association.destination
    payload = _STATE_ID.pack(_packed(destination), _spi(association), _family(destination), _ESP)
    return Message(_DELSA, 0, payload, destination)


def associations(channel: Channel, owner: int) -> tuple[Association, ...]:
    """Return those of an owner."""
    found = []
    for payload in channel.ask(Message(_GETSA, DUMP, bytes(_STATE_ID.size))):
        destination, spi, protocol = _ID.unpack_from(payload, _SELECTOR.size)
        reqid, family = struct.unpack_from("=IH", payload, _REQID_AT)
        if (protocol, reqid) == (_ESP, owner):
            source = payload[_SADDR_AT : _SADDR_AT + 16]
            number = int.from_bytes(spi, "big")
            found.append(Association(_text(source, family), _text(destination, family), number, reqid))
    return tuple(found)


def _text(packed: bytes, family: int) -> str:
    return str(ipaddress.ip_address(packed[: 4 if family == socket.AF_INET else 16]))


def _selector(family: int, port: int) -> bytes:
    """Return what chooses datagrams of UDP to a port, from anybody to anybody."""
    nobody, whole, none = bytes(16), b"\xff\xff", b"\0\0"
    return _SELECTOR.pack(nobody, nobody, port.to_bytes(2, "big"), whole, none, none, family, 0, 0, _UDP, 0, 0)


def require(port: int, owner: int) -> tuple[Message, ...]:
    """Have nothing come in or go out to a UDP port but by associations of an owner; repeating is fine."""
    messages = []
    for family in _FAMILIES.values():
        template = _ID.pack(bytes(16), bytes(4), _ESP)
        anything = (1 << 32) - 1
        template += _FAMILY_THERE.pack(family, bytes(16), owner, _TRANSPORT, 0, 0, anything, anything, anything)
        for direction in (_IN, _OUT):
            payload = _selector(family, port) + _FOR_EVER + bytes(32) + _POLICY.pack(0, 0, direction, 0, 0, 0)
            messages.append(Message(_UPDPOLICY, ACK, payload + attribute(_TEMPLATE, template), f"port {port}"))
    return tuple(messages)


def unrequire(port: int) -> tuple[Message, ...]:
    """Take that back; ENOENT for what isn't there."""
    return tuple(
        Message(_DELPOLICY, 0, _selector(family, port) + _POLICY_ID.pack(0, direction), f"port {port}")
        for family in _FAMILIES.values()
        for direction in (_IN, _OUT)
    )


def policies(channel: Channel) -> tuple[int, ...]:
    """Return the UDP ports of which something is required, once for each family and direction."""
    found = []
    for payload in channel.ask(Message(_GETPOLICY, DUMP, bytes(_SELECTOR.size + _POLICY_ID.size))):
        _, _, port, mask, _, _, _, _, _, protocol, _, _ = _SELECTOR.unpack_from(payload)
        if (protocol, mask) == (_UDP, b"\xff\xff"):
            found.append(int.from_bytes(port, "big"))
    return tuple(found)
