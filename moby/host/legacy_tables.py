"""The tables of iptables-legacy, which nftables doesn't show (linux/netfilter_ipv4/ip_tables.h, x_tables.h)."""

from __future__ import annotations

import ctypes
import errno
import socket
import struct

from moby.host.nft_values import V4, V6, Chain, Hook, Table
from moby.host.nftables import StandingChain
from moby.host.syscalls import call, libc
from moby.values import frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["LEGACY", "legacy_forward_chains"]

LEGACY = "filter of iptables-legacy"
"""What the table is called here, since nftables may have one of the same name."""

_FILTER = b"filter"
_GET_INFO, _GET_ENTRIES = 64, 65
_FORWARD = 2
_INFO = struct.Struct("=32sI5I5III")
_REQUEST = struct.Struct("=32sI4x")
_OFFSETS = struct.Struct("=HH")
_DROP = -1
_NAME = 29
_JUMP_DATA = 32
"""Of the target's header; what comes after it is a verdict, or the name of the chain that begins there."""


@frozen
class _Layout:
    """What differs between IPv4 and IPv6."""

    family: int
    level: int
    domain: int
    names: str
    """The file that says which tables there are; asking for one that isn't would make it."""
    interfaces: int
    """Offset of the names of the interfaces in a rule, the one that a packet comes by first."""
    offsets: int
    """Offset of the target's and the next rule's offsets."""


_LAYOUTS = (
    _Layout(V4, socket.IPPROTO_IP, socket.AF_INET, "/proc/thread-self/net/ip_tables_names", 16, 88),
    _Layout(V6, socket.IPPROTO_IPV6, socket.AF_INET6, "/proc/thread-self/net/ip6_tables_names", 64, 140),
)


def legacy_forward_chains() -> list[StandingChain]:
    """Return the FORWARD chains of this thread's network namespace, and the chains that users made beside them."""
    return [each for layout in _LAYOUTS for each in _chains(layout)]


def _chains(layout: _Layout) -> Iterator[StandingChain]:
    if not _there(layout):
        return
    try:
        with socket.socket(layout.domain, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.IPPROTO_RAW) as asking:
            info = _INFO.unpack(_option(asking, layout, _GET_INFO, _REQUEST.pack(_FILTER, 0), _INFO.size))
            size, policy = info[-1], info[7 + _FORWARD]
            entries = _option(asking, layout, _GET_ENTRIES, _REQUEST.pack(_FILTER, size), _REQUEST.size + size)
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.ENOENT):  # it was changed or removed meanwhile
            return
        raise
    yield from _decoded(layout, entries[_REQUEST.size :], policy)


def _there(layout: _Layout) -> bool:
    try:
        with open(layout.names, "rb") as file:
            return _FILTER in file.read().split()
    except OSError:  # not compiled in, or not for this user
        return False


def _option(asking: socket.socket, layout: _Layout, name: int, request: bytes, size: int) -> bytes:
    """Return what a socket option holds; Python's own getsockopt(2) can't hand the request in."""
    buffer, length = ctypes.create_string_buffer(request, size), ctypes.c_uint32(size)
    call(libc.getsockopt, asking.fileno(), layout.level, name, buffer, ctypes.byref(length), what="iptables-legacy")
    return buffer.raw[: length.value]


def _decoded(layout: _Layout, entries: bytes, policy: int) -> Iterator[StandingChain]:
    table = Table(layout.family, LEGACY)
    compared: list[tuple[bytes, ...]] = []
    drops, at = False, 0
    while at + layout.offsets + _OFFSETS.size <= len(entries):
        target, following = _OFFSETS.unpack_from(entries, at + layout.offsets)
        data = entries[at + target + _JUMP_DATA :]
        if at == policy:
            drops = struct.unpack_from("=i", data)[0] == _DROP
        if entries[at + target + 2 : at + target + 2 + _NAME].rstrip(b"\0") == b"ERROR":
            name = data[:_NAME].split(b"\0")[0].decode(errors="replace")
            if name != "ERROR":  # which ends the table
                yield StandingChain(Chain(table, name))
        compared.append(_interfaces(layout, entries[at:]))
        if not following:
            break
        at += following
    yield StandingChain(Chain(table, "FORWARD", Hook("filter", _FORWARD, 0, drop=drops)), tuple(compared))


def _interfaces(layout: _Layout, rule: bytes) -> tuple[bytes, ...]:
    """Return the names that a rule compares with, whole ones with an end, others as far as they matter."""
    found = []
    for which in (0, 16):
        name = rule[layout.interfaces + which :][:16]
        mask = rule[layout.interfaces + 32 + which :][:16]
        compared = name[: len(mask.rstrip(b"\0"))]
        if compared:
            found.append(compared)
    return tuple(found)
