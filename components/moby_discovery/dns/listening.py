"""The sockets by which names are served in a namespace."""

import socket

from moby.contracts.ambient import Log
from moby.contracts.discovery import ADDRESS
from moby.contracts.types import Fd
from moby.errors import HostUnfit
from moby.host.elsewhere import in_namespace
from moby.host.nft_redirect import redirect_dns
from moby.host.nftables import Nftables

__all__ = ["listen"]

_BACKLOG = 64
_PORT = 53
_USUAL_PORT = 34053


def listen(namespace: Fd, log: Log) -> tuple[socket.socket, socket.socket]:
    """Return sockets for datagrams and connections to ADDRESS, port 53, whose own port 53 stays free where it can."""
    return in_namespace(namespace, lambda: _listen(log))


def _listen(log: Log) -> tuple[socket.socket, socket.socket]:
    try:
        # The same in each namespace, so that what makes them be reached is encoded once.
        udp, tcp = _bound(_USUAL_PORT)
    except HostUnfit:
        udp, tcp = _bound(0)
    try:
        with Nftables() as nftables:
            redirect_dns(nftables, ADDRESS, udp.getsockname()[1], tcp.getsockname()[1])
    except OSError as error:
        udp.close()
        tcp.close()
        log.warning("names are served at the container's own port 53, which it can't have then", error=str(error))
        return _bound(_PORT)
    return udp, tcp


def _bound(port: int) -> tuple[socket.socket, socket.socket]:
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        udp.bind((ADDRESS, port))
        tcp.bind((ADDRESS, port))
        tcp.listen(_BACKLOG)
    except OSError as error:
        udp.close()
        tcp.close()
        raise HostUnfit("names can't be served in a container's network", hint=str(error)) from error
    return udp, tcp
