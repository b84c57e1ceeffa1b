"""Sockets that hold ports of the host's, so that nobody else gets them."""

import errno
import os
import socket
from collections.abc import Iterable, Mapping, Sequence
from ipaddress import ip_address

from moby.contracts.discovery import PortRequest
from moby.contracts.network_driver import Port
from moby.errors import Conflict, HostUnfit, Invalid

__all__ = ["Chooser", "Claim", "Claims", "claim_of", "close_new", "normal"]

_KINDS = {
    "tcp": (socket.SOCK_STREAM, socket.IPPROTO_TCP),
    "udp": (socket.SOCK_DGRAM, socket.IPPROTO_UDP),
    "sctp": (socket.SOCK_STREAM, socket.IPPROTO_SCTP),
}
_NAMES = {number: name for name, (_, number) in _KINDS.items()}
_RANGE = "/proc/sys/net/ipv4/ip_local_port_range"
_BOTH = ("0.0.0.0", "::")  # noqa: S104 - as docker, unless the user names an address
_BACKLOG = 4096
_NO_FAMILY = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL)

Claim = tuple[str, str, int]
"""Protocol, address, port of the host's."""
Claims = dict[Claim, socket.socket]


def claim_of(sock: socket.socket) -> Claim:
    """Return what a socket holds, as the kernel tells it."""
    address, port, *_ = sock.getsockname()
    return _NAMES[sock.proto], address, port


class Chooser:
    """Binds sockets to what is asked for; remembers which free port it gave last, so that one isn't soon reused."""

    def __init__(self) -> None:
        self._last = 0

    def claim(
        self, requests: Sequence[PortRequest], held: Mapping[Claim, socket.socket]
    ) -> tuple[list[tuple[Port, PortRequest]], Claims]:
        """Return ports, for which request each is, and their sockets; those of `held` where they fit.

        An error has closed all that are new.
        """
        ports: list[tuple[Port, PortRequest]] = []
        taken: Claims = {}
        try:
            for each in requests:
                addresses = _addresses(each)
                number, socks = self._find(each, addresses, held, taken)
                taken.update({(each.protocol, address, number): sock for address, sock in socks.items()})
                ports += [(Port(each.protocol, each.container_port, address, number), each) for address in socks]
        except BaseException:
            close_new(taken, held)
            raise
        return ports, taken

    def _find(
        self, request: PortRequest, addresses: Sequence[str], held: Mapping[Claim, socket.socket], taken: Claims
    ) -> tuple[int, dict[str, socket.socket]]:
        """Return a port that is free at all addresses, and a socket at each."""
        problem: Exception = Conflict("no port is free")
        for number in self._numbers(request):
            if any((request.protocol, each, number) in taken for each in addresses):
                problem = _allocated(addresses[0], number)
                continue
            socks: dict[str, socket.socket] = {}
            try:
                for each in addresses:
                    sock = held.get((request.protocol, each, number)) or _bound(request.protocol, each, number)
                    if sock is not None:
                        socks[each] = sock
                if socks:
                    return number, socks
                problem = Invalid(f"cannot assign requested address {addresses[0]}", hint="name one of the host's own")
            except Conflict as error:
                problem = error
            close_new({(request.protocol, each, number): sock for each, sock in socks.items()}, held)
        raise problem

    def _numbers(self, request: PortRequest) -> Iterable[int]:
        if request.first:
            yield from range(request.first, (request.last or request.first) + 1)
            return
        with open(_RANGE, encoding="ascii") as file:  # noqa: PTH123
            first, last = map(int, file.read().split())
        count = last - first + 1
        start = self._last + 1 - first if first <= self._last < last else 0
        for at in range(count):
            self._last = first + (start + at) % count
            yield self._last


def close_new(claims: Mapping[Claim, socket.socket], held: Mapping[Claim, socket.socket]) -> None:
    """Close those that weren't held before."""
    for claim, sock in claims.items():
        if held.get(claim) is not sock:
            sock.close()


def normal(address: str) -> str:
    """Return an address of the host's as the kernel writes it; empty stays. Invalid for what is none."""
    try:
        return str(ip_address(address)) if address else ""
    except ValueError as error:
        raise Invalid(f"invalid IP address: {address}") from error


def _addresses(request: PortRequest) -> Sequence[str]:
    if request.protocol not in _KINDS:
        raise Invalid(f"invalid protocol: {request.protocol}", hint=f"one of {', '.join(_KINDS)}")
    last = request.last or request.first
    if not 0 <= request.first <= last <= 65535 or not 0 < request.container_port <= 65535:
        raise Invalid(f"invalid port specification: {request.first}-{request.last}:{request.container_port}")
    return (request.host_address,) if request.host_address else _BOTH


def _bound(protocol: str, address: str, number: int) -> socket.socket | None:
    """Return a socket that has a port; None where one of all IPv6 addresses can't be, since this host has none."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    kind, number_of_protocol = _KINDS[protocol]
    try:
        sock = socket.socket(family, kind | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK, number_of_protocol)
    except OSError as error:
        if address == "::" and error.errno in _NO_FAMILY:
            return None
        raise HostUnfit(
            f"ports of {protocol} can't be published", hint=f"this kernel: {os.strerror(error.errno or 0)}"
        ) from error
    try:
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if protocol != "udp":
            # Else a port whose connections have just ended is taken for a minute; listening still keeps others out.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((address, number))
        if protocol != "udp":
            sock.listen(_BACKLOG)
    except OSError as error:
        sock.close()
        if error.errno == errno.EADDRINUSE:
            raise _allocated(address, number) from error
        if error.errno in _NO_FAMILY:
            if address == "::":
                return None
            raise Invalid(f"cannot assign requested address {address}", hint="name one of the host's own") from error
        if error.errno == errno.EACCES:
            raise HostUnfit(
                f"port {number} can't be published", hint="lower the sysctl net.ipv4.ip_unprivileged_port_start"
            ) from error
        raise
    return sock


def _allocated(address: str, number: int) -> Conflict:
    shown = f"[{address}]" if ":" in address else address
    return Conflict(
        f"Bind for {shown}:{number} failed: port is already allocated", hint="stop what has it, or take another port"
    )
