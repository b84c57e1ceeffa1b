"""Sockets that hold ports of the host's, so that nobody else gets them."""

import errno
import os
import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from ipaddress import ip_address

from moby.contracts.discovery import PortRequest
from moby.contracts.network_driver import Port
from moby.errors import Conflict, HostUnfit, Invalid
from moby.host import ports

__all__ = ["Chooser", "Claim", "Claims", "claim_of", "close_new", "normal"]

_NAMES = {number: name for name, (_, number) in ports.KINDS.items()}
_RANGE = "/proc/sys/net/ipv4/ip_local_port_range"
_BOTH = ("0.0.0.0", "::")  # noqa: S104 - as docker, unless the user names an address
_NO_FAMILY = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL)
_NO_PROTOCOL = (errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT, errno.ESOCKTNOSUPPORT, errno.EINVAL)

Claim = tuple[str, str, int]
"""Protocol, address, port of the host's."""
Claims = dict[Claim, socket.socket]
Bind = Callable[[str, str, int], socket.socket]
"""Returns a socket that has a port, by protocol, address and number; OSError."""


def claim_of(sock: socket.socket) -> Claim:
    """Return what a socket holds, as the kernel tells it."""
    address, port, *_ = sock.getsockname()
    return _NAMES[sock.proto], address, port


class Chooser:
    """Binds sockets to what is asked for; remembers which free port it gave last, so that one isn't soon reused."""

    def __init__(self, bind: Bind = ports.bound) -> None:
        self._bind = bind
        self._last = 0

    def claim(
        self, requests: Sequence[PortRequest], held: Mapping[Claim, socket.socket]
    ) -> tuple[list[tuple[Port, PortRequest]], Claims]:
        """Return ports, for which request each is, and their sockets; those of `held` where they fit.

        An error has closed all that are new.
        """
        found: list[tuple[Port, PortRequest]] = []
        taken: Claims = {}
        try:
            for each in requests:
                addresses = _addresses(each)
                number, socks = self._find(each, addresses, held, taken)
                taken.update({(each.protocol, address, number): sock for address, sock in socks.items()})
                found += [(Port(each.protocol, each.container_port, address, number), each) for address in socks]
        except BaseException:
            close_new(taken, held)
            raise
        return found, taken

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
                    sock = held.get((request.protocol, each, number)) or _bound(
                        self._bind, request.protocol, each, number
                    )
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
    if request.protocol not in ports.KINDS:
        raise Invalid(f"invalid protocol: {request.protocol}", hint=f"one of {', '.join(ports.KINDS)}")
    last = request.last or request.first
    if not 0 <= request.first <= last <= 65535 or not 0 < request.container_port <= 65535:
        raise Invalid(f"invalid port specification: {request.first}-{request.last}:{request.container_port}")
    return (request.host_address,) if request.host_address else _BOTH


def _bound(bind: Bind, protocol: str, address: str, number: int) -> socket.socket | None:
    """Return a socket that has a port; None where one of all IPv6 addresses can't be, since this host has none."""
    try:
        return bind(protocol, address, number)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise _allocated(address, number) from error
        if address == "::" and error.errno in _NO_FAMILY:
            return None
        if error.errno == errno.EADDRNOTAVAIL:
            raise Invalid(f"cannot assign requested address {address}", hint="name one of the host's own") from error
        if error.errno == errno.EACCES:
            raise HostUnfit(
                f"port {number} can't be published", hint="lower the sysctl net.ipv4.ip_unprivileged_port_start"
            ) from error
        if error.errno in _NO_PROTOCOL:
            raise HostUnfit(
                f"ports of {protocol} can't be published", hint=f"this kernel: {os.strerror(error.errno or 0)}"
            ) from error
        raise


def _allocated(address: str, number: int) -> Conflict:
    shown = f"[{address}]" if ":" in address else address
    return Conflict(
        f"Bind for {shown}:{number} failed: port is already allocated", hint="stop what has it, or take another port"
    )
