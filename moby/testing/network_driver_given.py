"""What the suite of network drivers looks at: networks, places on them, and what is on the host and in namespaces."""

import hashlib
import os
import select
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, closing
from ipaddress import ip_interface

from attrs import field, frozen

from moby.contracts.ipam import Pool
from moby.contracts.network_driver import Attachment, Link, NetworkDriver, Port, Segment
from moby.host import network_settings
from moby.host.elsewhere import in_namespace
from moby.host.netlink import Channel
from moby.host.rtnetlink import addresses, links, routes
from moby.host.rtnetlink.links import Device
from moby.host.rtnetlink.routes import Route
from moby.testing.net_namespaces import new_network

__all__ = [
    "Given", "Seen", "answers", "attachment", "bare", "devices", "hears", "inside", "lead", "member", "neighbour",
    "segment", "vanishes",
]  # fmt: skip

PATIENCE_S = 20.0
_TRIES = 100
_TRIES_WITHOUT_ROUTE = 15
_LINK_EVENTS = 1
"""RTNLGRP_LINK of rtnetlink(7), as a mask."""


@frozen
class Given:
    """What a suite is given of the driver under test."""

    open: Callable[[], NetworkDriver]
    """Starts the driver, as the next process of its engine does: the one before has ended."""
    options: Mapping[str, str] = field(factory=dict)
    """Of each network."""
    macs: bool = True
    """Whether each interface has a MAC address of its own."""
    internal: bool = True
    """Whether a network of it can be kept apart from everything else."""
    knows_options: bool = True
    """Whether it says of options what they are before a network is made."""

    def started(self) -> NetworkDriver:
        """Start the driver, of an engine that has nothing yet."""
        driver = self.open()
        driver.keep([])
        return driver


@frozen
class Seen:
    """An interface as it is."""

    device: Device
    addresses: frozenset[str]


def _digest(*words: object) -> str:
    return hashlib.sha256(repr(words).encode()).hexdigest()


def segment(given: Given, driver: NetworkDriver, number: int = 1, *, internal: bool = False) -> Segment:
    """Return a network that can be made: one of users', or the one that is there."""
    v4 = Pool(f"10.77.{number}.0/24", gateway=f"10.77.{number}.1")
    pools = (v4, Pool(f"fd77:{number}::/64", gateway=f"fd77:{number}::1")) if driver.addressed else ()
    if driver.creatable:
        return Segment(_digest("network", number), f"network{number}", pools, internal, given.options)
    return Segment(_digest("network", number), driver.predefined, pools, internal, driver.predefined_options)


def attachment(
    driver: NetworkDriver, network: Segment, host: int, interface: str = "eth0", ports: tuple[Port, ...] = ()
) -> Attachment:
    """Return an endpoint on a network, with a host's number as its addresses."""
    own = tuple(each.gateway[:-1] + f"{host}/{each.subnet.rpartition('/')[2]}" for each in network.pools)
    names = _digest("endpoint", network.id, host), _digest("container", host)
    return Attachment(*names, interface, own if driver.addressed else (), ports=ports)


def bare(text: str) -> str:
    """Return an address without its prefix."""
    return text.partition("/")[0]


def member(stack: ExitStack) -> int:
    """Return a new network namespace, which is there until a stack ends."""
    found = new_network()
    stack.callback(os.close, found)
    return found


def neighbour(stack: ExitStack) -> int:
    """Return the network namespace of a machine beside the host, which is its way to everywhere else, and forwards."""
    found = member(stack)
    network_settings.set_to("1", "ipv4", "ip_forward")

    def settle() -> None:
        network_settings.set_to("0", "ipv6", "conf", "far", "accept_dad")
        with Channel() as channel:
            index = links.index_of(channel, "far")
            channel.run(links.change(index, up=True))
            channel.run(*(addresses.add(index, each) for each in ("192.0.2.2/24", "2001:db8::2/64")))
            channel.run(routes.add(Route("0.0.0.0/0", index, "192.0.2.1")))
            channel.run(routes.add(Route("::/0", index, "2001:db8::1")))

    with Channel() as channel:
        channel.run(links.veth("near", links.Peer("far", found), up=True))
        index = links.index_of(channel, "near")
        channel.run(*(addresses.add(index, each) for each in ("192.0.2.1/24", "2001:db8::1/64")))
    in_namespace(found, settle)
    return found


def lead(namespace: int, link: Link) -> None:
    """Have what a container sends leave by the way out that came of its attachment."""
    with in_namespace(namespace, Channel) as channel:
        index = links.index_of(channel, link.interface)
        for each in link.gateways:
            channel.run(routes.add(Route("::/0" if ":" in each else "0.0.0.0/0", index, each)))


def inside(namespace: int) -> dict[str, Seen]:
    """Return the interfaces of a namespace by name."""
    with in_namespace(namespace, Channel) as channel:
        own = addresses.dump(channel)
        return {each.name: Seen(each, frozenset(_given(own, each.index))) for each in links.dump(channel)}


def _given(there: Iterable[addresses.Address], index: int) -> Iterator[str]:
    """Yield a device's addresses but those that the kernel makes of its MAC address, some time after it is up."""
    for each in there:
        if each.index == index and not (each.of_link and b"\xff\xfe" in ip_interface(each.text).packed[8:]):
            yield each.text


def devices() -> dict[str, str]:
    """Return the host's devices and their sorts."""
    with Channel() as channel:
        return {each.name: each.kind for each in links.dump(channel)}


def vanishes(wanted: dict[str, str]) -> None:
    """Wait until the host has just these devices: the kernel removes them some time after their namespace."""
    with closing(socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)) as events:
        events.bind((0, _LINK_EVENTS))
        events.settimeout(PATIENCE_S)
        while devices() != wanted:
            events.recv(1 << 16)


def hears(asking: int, asked: int, address: str) -> bool:
    """Whether what one namespace sends to an address of another's arrives there, and is answered."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET

    def unbound() -> socket.socket:
        return socket.socket(family, socket.SOCK_DGRAM)

    with in_namespace(asked, unbound) as listens, in_namespace(asking, unbound) as asks:
        asks.settimeout(0)
        listens.settimeout(0)
        listens.bind((address, 7000))
        # An interface that is up lets packets pass a moment later, and IPv6 looks at its addresses before; until then
        # there may be no route either, and what is sent, or answered, is lost.
        for number in range(_TRIES):
            try:
                asks.sendto(b"ask", (address, 7000))
                if select.select([listens], [], [], PATIENCE_S / _TRIES)[0]:
                    listens.sendto(*listens.recvfrom(100))
                if select.select([asks], [], [], PATIENCE_S / _TRIES)[0]:
                    return asks.recv(100) == b"ask"
            except OSError:
                if number > _TRIES_WITHOUT_ROUTE:
                    return False
                select.select([], [], [], PATIENCE_S / _TRIES)
        return False


def answers(namespace: int, port: int, address: str, host_port: int, asking: int | None = None) -> bool:
    """Whether a connection to a port of the host's arrives at a namespace's own; from the host, or as is said."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    anything = "::" if ":" in address else "0.0.0.0"
    server = in_namespace(namespace, lambda: socket.create_server((anything, port), family=family))

    def unconnected() -> socket.socket:
        return socket.socket(family, socket.SOCK_STREAM)

    with server, unconnected() if asking is None else in_namespace(asking, unconnected) as asks:
        asks.settimeout(PATIENCE_S)
        try:
            asks.connect((address, host_port))
        except OSError:
            return False
        server.settimeout(PATIENCE_S)
        accepted, _ = server.accept()
        accepted.close()
        return True
