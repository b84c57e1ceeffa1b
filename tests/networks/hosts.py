"""A host with bridges, containers on them and other hosts beside it, each a network namespace; traffic between them."""

import ipaddress
import os
import select
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from moby.host.elsewhere import in_namespace
from moby.host.netlink import Channel
from moby.host.rtnetlink import addresses, links, routes
from moby.testing.net_namespaces import new_network

PRESENT_S, ABSENT_S = 60, 0.25
"""How long a test waits for what should come, and for what shouldn't: on a machine that is slower than that, a test
that should fail may not."""


class Machine:
    """A network namespace, of a container or of another host."""

    def __init__(self) -> None:
        self.namespace = new_network()
        self(_usable_at_once)
        self.addresses: dict[int, str] = {}
        """Of each family, 4 and 6."""

    def __call__(self, call):
        """Return what a call returns there."""
        return in_namespace(self.namespace, call)

    def close(self) -> None:
        os.close(self.namespace)


class Log:
    """Keeps what is said."""

    def __init__(self):
        self.said = []

    def _say(self, message, **fields):
        self.said.append(message)

    debug = info = warning = error = _say


def _usable_at_once():
    """Have addresses of IPv6 links be used without being looked for on them first, which takes a second."""
    Path("/proc/sys/net/ipv6/conf/default/accept_dad").write_text("0")


def bare(text):
    """An address without its prefix."""
    return text.partition("/")[0]


class Hosts:
    """The calling thread's network namespace as the host, and what hangs on it."""

    def __init__(self, *, bridges_call: bool = False) -> None:
        """`bridges_call` says whether what stays on a bridge passes the firewall too, as it does by default."""
        self._channel = Channel()
        self._bridges_call = bridges_call
        self._machines: list[Machine] = []
        _usable_at_once()
        for each in ("ipv4/ip_forward", "ipv6/conf/all/forwarding"):
            Path("/proc/sys/net", each).write_text("1")
        for each in ("iptables", "ip6tables"):
            Path("/proc/sys/net/bridge", f"bridge-nf-call-{each}").write_text("1" if bridges_call else "0")

    def close(self) -> None:
        self._channel.close()
        for each in self._machines:
            each.close()

    def bridge(self, name: str, *gateways: str) -> None:
        """Make a bridge with these addresses."""
        self._channel.run(links.bridge(name, up=True))
        index = links.index_of(self._channel, name)
        self._channel.run(*(addresses.add(index, each) for each in gateways))

    def hardware_address(self, name: str) -> str:
        """Return that of one of the host's interfaces."""
        found = links.look_up(self._channel, name)
        assert found
        return found.mac

    def machine(self, where: str, *texts: str, master: str = "") -> Machine:
        """Return a machine with these addresses, joined by a veth to the host, or to one of its bridges.

        `where` names the host's end; its default routes lead to the first addresses of the subnets.
        """
        found = Machine()
        self._machines.append(found)
        bridge = links.index_of(self._channel, master) if master else 0
        self._channel.run(links.veth(where, links.Peer("eth0", found.namespace), master=bridge, up=True))
        if master and self._bridges_call:
            self._channel.run(links.port(links.index_of(self._channel, where), hairpin=True))
        if not master:
            index = links.index_of(self._channel, where)
            self._channel.run(*(addresses.add(index, _first(each)) for each in texts))

        def settle():
            with Channel() as channel:
                eth0 = links.index_of(channel, "eth0")
                channel.run(links.change(eth0, up=True), *(addresses.add(eth0, each) for each in texts))
                for each in texts:
                    everywhere = "::/0" if ":" in each else "0.0.0.0/0"
                    channel.run(routes.add(routes.Route(everywhere, eth0, bare(_first(each)))))

        found(settle)
        found.addresses = {ipaddress.ip_interface(each).version: bare(each) for each in texts}
        return found


def _first(text):
    subnet = ipaddress.ip_interface(text).network
    return f"{subnet[1]}/{subnet.prefixlen}"


def here(call):
    """Call something on the host, as a machine does."""
    return call()


@contextmanager
def server(machine, protocol: str, port: int, address: str = "::") -> Iterator[socket.socket]:
    """A socket of a machine that waits at a port, by default of all addresses of both families."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET

    def listen():
        if protocol == "tcp":
            dual = address == "::"
            return socket.create_server((address, port), family=family, dualstack_ipv6=dual)
        found = socket.socket(family, socket.SOCK_DGRAM)
        if address == "::":
            found.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        found.bind((address, port))
        return found

    found = machine(listen)
    found.settimeout(PRESENT_S)
    with found:
        yield found


def client(machine, protocol: str, address: str, port: int, source: str = "", source_port: int = 0) -> socket.socket:
    """A connected socket of a machine's; of TCP, one that is still connecting."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET

    def connect():
        kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
        found = socket.socket(family, kind)
        if source or source_port:
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            found.bind((source or ("::" if ":" in address else "0.0.0.0"), source_port))
        found.setblocking(False)
        found.connect_ex((address, port))
        return found

    return machine(connect)


def talk(machine, protocol: str, address: str, port: int, listener: socket.socket) -> str:
    """Send something to a port and have it answered by the one who listens; return whose address that one saw."""
    with client(machine, protocol, address, port) as asks:
        if protocol == "tcp":
            answers, seen = listener.accept()
            asks.settimeout(PRESENT_S)
            with answers:
                asks.sendall(b"ask")
                assert answers.recv(100) == b"ask"
                answers.sendall(b"answer")
                assert asks.recv(100) == b"answer"
        else:
            asks.settimeout(PRESENT_S)
            asks.send(b"ask")
            data, seen = listener.recvfrom(100)
            assert data == b"ask"
            listener.sendto(b"answer", seen)
            assert asks.recv(100) == b"answer"
    return seen[0].removeprefix("::ffff:")


def arrives(
    machine, protocol: str, address: str, port: int, listener: socket.socket, within_s: float = ABSENT_S, **how
) -> bool:
    """Whether what a machine sends to a port comes to the one who listens."""
    with client(machine, protocol, address, port, **how) as asks:
        if protocol == "udp":
            try:
                asks.send(b"ask")
            except OSError:
                return False
        if protocol == "udp":
            return comes(listener, within_s)
        if not select.select([listener], [], [], within_s)[0]:
            return False
        listener.accept()[0].close()
        return True


def send_to_loopback(machine, hardware_address: str, port: int, *, source: str, destination: str = "127.0.0.1") -> None:
    """Send a datagram to 127.0.0.1 of the host whose interface has this MAC address, as an attacker would."""
    udp = struct.pack(">HHHH", 40000, port, 8 + 3, 0) + b"ask"
    addresses_ = socket.inet_aton(source) + socket.inet_aton(destination)
    header = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(udp), 1, 0, 64, socket.IPPROTO_UDP, 0) + addresses_
    total = sum(struct.unpack(">10H", header))
    header = header[:10] + struct.pack(">H", ~(total + (total >> 16)) & 0xFFFF) + header[12:]
    frame = bytes.fromhex(hardware_address.replace(":", "")) + b"\2\0\0\0\0\1" + b"\x08\0" + header + udp

    def send():
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as wire:
            wire.bind(("eth0", 0))
            wire.send(frame)

    machine(send)


def comes(listener: socket.socket, within_s: float = ABSENT_S) -> bool:
    """Whether a datagram comes."""
    if not select.select([listener], [], [], within_s)[0]:
        return False
    listener.recvfrom(100)
    return True
