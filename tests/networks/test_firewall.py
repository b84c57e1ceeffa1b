"""What passes a host with bridges and published ports, and what doesn't, by real traffic."""

import itertools
import os
import select
import socket
import struct

import pytest
from attrs import evolve
from moby_network_driver.bridged.firewall import Bridge, Firewall, Opening, Publication
from networks.hosts import (
    ABSENT_S,
    PRESENT_S,
    Hosts,
    Log,
    arrives,
    bare,
    client,
    comes,
    here,
    send_to_loopback,
    server,
    talk,
)

from moby.host.netlink import Channel
from moby.host.rtnetlink import links, routes
from moby.testing.net_namespaces import own_network

pytestmark = pytest.mark.slow

PORT = 8080
ONE, TWO = ("172.18.0.1/16", "fd00:18::1/64"), ("172.19.0.1/16", "fd00:19::1/64")
ALONE, INSIDE = ("172.20.0.1/16", "fd00:20::1/64"), ("172.21.0.1/16", "fd00:21::1/64")
BRIDGES = (
    Bridge("one", ("172.18.0.0/16", "fd00:18::/64")),
    Bridge("two", ("172.19.0.0/16", "fd00:19::/64")),
    Bridge("alone", ("172.20.0.0/16", "fd00:20::/64"), isolated=True),
    Bridge("inside", ("172.21.0.0/16", "fd00:21::/64"), internal=True),
)
HOST = {4: "192.0.2.1", 6: "2001:db8::1"}
ANY = {4: "0.0.0.0", 6: "::"}
NUMBERS = itertools.count(1)
LOOPBACK = {4: "127.0.0.1", 6: "::1"}


class World:
    """The host, and those around it."""

    def __init__(self, hosts):
        for name, gateways in (("one", ONE), ("two", TWO), ("alone", ALONE), ("inside", INSIDE)):
            hosts.bridge(name, *gateways)
        self.hosts = hosts
        self.web = hosts.machine("web", "172.18.0.2/16", "fd00:18::2/64", master="one")
        self.neighbour = hosts.machine("neighbour", "172.18.0.3/16", "fd00:18::3/64", master="one")
        self.foreign = hosts.machine("foreign", "172.19.0.2/16", "fd00:19::2/64", master="two")
        self.lonely = hosts.machine("lonely", "172.20.0.2/16", "fd00:20::2/64", master="alone")
        self.other = hosts.machine("other", "172.20.0.3/16", "fd00:20::3/64", master="alone")
        self.inner = hosts.machine("inner", "172.21.0.2/16", "fd00:21::2/64", master="inside")
        self.inner_too = hosts.machine("inner_too", "172.21.0.3/16", "fd00:21::3/64", master="inside")
        self.outside = hosts.machine("outside", "192.0.2.2/24", "2001:db8::2/64")
        self.log = Log()
        self.firewall = Firewall("0123456789ab", self.log)


@pytest.fixture(
    scope="module", params=[pytest.param(False, id="bridges_keep"), pytest.param(True, id="bridges_call_iptables")]
)
def world(request):
    if os.geteuid():
        pytest.skip("making network namespaces takes root")
    with own_network():
        hosts = Hosts(bridges_call=request.param)
        try:
            found = World(hosts)
            found.firewall.open()
            yield found
            found.firewall.close()
        finally:
            hosts.close()


@pytest.fixture
def firewall(world):
    """The firewall with the four networks and no port."""
    world.firewall.keep(BRIDGES, ())
    return world.firewall


def to(machine, family=4, *, protocol="tcp", host=None, host_port=PORT, port=80):
    """A port of the host's that leads to a container."""
    return Publication(protocol, host or ANY[family], host_port, machine.addresses[family], port)


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_published_port_is_reached_from_everywhere(world, firewall, protocol, family):
    firewall.publish([to(world.web, family, protocol=protocol)])
    gateway = bare(ONE[0] if family == 4 else ONE[1])
    with server(world.web, protocol, 80) as listener:
        # Another host is seen as it is; who asks from a network, or from 127.0.0.1, by the host's address there.
        assert talk(world.outside, protocol, HOST[family], PORT, listener) == world.outside.addresses[family]
        assert talk(here, protocol, HOST[family], PORT, listener) == HOST[family]
        assert talk(world.foreign, protocol, HOST[family], PORT, listener) == gateway
        assert talk(world.neighbour, protocol, HOST[family], PORT, listener) == gateway
        assert talk(world.web, protocol, HOST[family], PORT, listener) == gateway
        assert talk(world.web, protocol, gateway, PORT, listener) == gateway
        if family == 4:
            assert talk(here, protocol, "127.0.0.1", PORT, listener) == gateway
            assert talk(here, protocol, "127.0.0.2", PORT, listener) == gateway


@pytest.mark.parametrize("family", [4, 6])
def test_port_of_one_address_is_none_of_the_others(world, firewall, family):
    firewall.publish([to(world.web, family, protocol="udp", host=HOST[family])])
    gateway = bare(TWO[0] if family == 4 else TWO[1])
    with server(world.web, "udp", 80) as listener:
        talk(world.outside, "udp", HOST[family], PORT, listener)
        talk(here, "udp", HOST[family], PORT, listener)
        assert not arrives(world.outside, "udp", gateway, PORT, listener)
        assert not arrives(here, "udp", LOOPBACK[family], PORT, listener)


def test_the_v6_loopback_is_left_to_a_forwarder(world, firewall):
    """What is translated from ::1 never arrives, so somebody has to listen there."""
    firewall.publish([to(world.web, 6, protocol="udp")])
    with server(here, "udp", PORT, "::1") as listener:
        assert talk(here, "udp", "::1", PORT, listener) == "::1"


def test_port_of_loopback_is_the_hosts_own(world, firewall):
    firewall.publish([to(world.web, protocol="udp", host="127.0.0.1")])
    with server(world.web, "udp", 80) as listener:
        talk(here, "udp", "127.0.0.1", PORT, listener)
        for machine in (world.outside, world.neighbour, world.foreign):
            assert not arrives(machine, "udp", HOST[4], PORT, listener)


@pytest.mark.slow
@pytest.mark.parametrize("family", [4, 6])
def test_networks_are_apart(world, firewall, family):
    with server(world.web, "udp", 80) as listener:
        address = world.web.addresses[family]
        assert talk(world.neighbour, "udp", address, 80, listener) == world.neighbour.addresses[family]
        for machine in (world.foreign, world.inner, world.lonely, world.outside):
            assert not arrives(machine, "udp", address, 80, listener)
        assert talk(here, "udp", address, 80, listener) == bare(ONE[0] if family == 4 else ONE[1])


@pytest.mark.parametrize("family", [4, 6])
def test_a_network_that_is_not_protected(world, firewall, family):
    """Of one family: who has a route to it reaches its containers, but for those that reach nobody."""
    (one,) = [each for each in BRIDGES if each.interface == "one"]
    rest = [each for each in BRIDGES if each is not one]
    firewall.keep([evolve(one, unprotected=(family,)), *rest], ())
    with server(world.web, "udp", 80) as listener:
        address = world.web.addresses[family]
        assert talk(world.outside, "udp", address, 80, listener) == world.outside.addresses[family]
        gateway = bare(ONE[0] if family == 4 else ONE[1])  # whose address the other network's containers have
        assert talk(world.foreign, "udp", address, 80, listener) == gateway
        assert not arrives(world.inner, "udp", address, 80, listener)
    with server(world.web, "udp", 80) as listener:
        other = 10 - family
        assert not arrives(world.outside, "udp", world.web.addresses[other], 80, listener)
    firewall.add(one)
    with server(world.web, "udp", 80) as listener:
        assert not arrives(world.outside, "udp", world.web.addresses[family], 80, listener)


@pytest.fixture(params=[4, 6])
def routed(request, firewall):
    """The firewall, where the first network is routed in one family, and that family."""
    (one,) = [each for each in BRIDGES if each.interface == "one"]
    firewall.keep([evolve(one, routed=(request.param,)), *(each for each in BRIDGES if each is not one)], ())
    return firewall, request.param


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_a_network_that_is_routed(world, routed, protocol):
    """Whoever has a route reaches what is open, and sees the container's own address, as the container does theirs."""
    firewall, family = routed
    address = world.web.addresses[family]
    with server(world.web, protocol, 80) as listener:
        assert not arrives(world.outside, protocol, address, 80, listener)
        firewall.publish([Opening(protocol, address, 80)])
        assert talk(world.outside, protocol, address, 80, listener) == world.outside.addresses[family]
        gateway = bare(ONE[0] if family == 4 else ONE[1])  # whose address the other network's containers have
        assert talk(world.foreign, protocol, address, 80, listener) == gateway
        assert not arrives(world.inner, protocol, address, 80, listener)
        assert not arrives(world.outside, protocol, HOST[family], 80, listener)
    with server(world.web, protocol, 81) as listener:
        assert not arrives(world.outside, protocol, address, 81, listener)
    with server(world.outside, protocol, 80) as listener:
        assert talk(world.web, protocol, world.outside.addresses[family], 80, listener) == address


def test_datagrams_find_an_open_port_closed(world, routed):
    """Also after an engine was away."""
    firewall, family = routed
    address, how = world.web.addresses[family], {"source_port": 33335}
    opening = Opening("udp", address, 80)
    with server(world.web, "udp", 80) as listener:
        for close in (lambda: firewall.unpublish([opening]), lambda: firewall.keep(BRIDGES, [])):
            firewall.publish([opening])
            assert arrives(world.outside, "udp", address, 80, listener, **how, within_s=PRESENT_S)
            close()
            assert not arrives(world.outside, "udp", address, 80, listener, **how)


def test_who_is_routed_answers_a_ping(world, routed):
    _, family = routed
    assert pings(world.outside, world.web.addresses[family], PRESENT_S)
    assert not pings(world.outside, world.web.addresses[10 - family])
    assert not pings(world.outside, world.lonely.addresses[family])


def pings(machine, address, within_s=ABSENT_S):
    """Whether an echo request of a machine's is answered (RFC 792, 4443); each is another one to the kernel."""
    v6, number = ":" in address, next(NUMBERS)
    family, protocol = (socket.AF_INET6, socket.IPPROTO_ICMPV6) if v6 else (socket.AF_INET, socket.IPPROTO_ICMP)
    asks, answers = (128, 129) if v6 else (8, 0)
    checksum = 0 if v6 else ~((asks << 8) + number) & 0xFFFF  # the kernel adds up what goes by IPv6

    def ask():
        with socket.socket(family, socket.SOCK_RAW, protocol) as sock:
            sock.sendto(struct.pack(">BBHHH", asks, 0, checksum, number, 0), (address, 0))
            while select.select([sock], [], [], within_s)[0]:
                data, (sender, *_) = sock.recvfrom(100)
                if sender == address and data[0 if v6 else 20] == answers:
                    return True
        return False

    return machine(ask)


@pytest.mark.slow
@pytest.mark.parametrize("family", [4, 6])
def test_internal_network_is_alone(world, firewall, family):
    firewall.publish([to(world.web, family, protocol="udp")])
    with server(world.inner, "udp", 80) as listener:
        address = world.inner.addresses[family]
        talk(world.inner_too, "udp", address, 80, listener)
        for machine in (world.foreign, world.outside):
            assert not arrives(machine, "udp", address, 80, listener)
    firewall.publish([to(world.inner, family, protocol="udp", host_port=81)])
    with server(world.inner, "udp", 80) as listener:
        assert not arrives(world.outside, "udp", HOST[family], 81, listener)
    with server(world.outside, "udp", 80) as listener:
        assert not arrives(world.inner, "udp", world.outside.addresses[family], 80, listener)
    with server(world.web, "udp", 80) as listener:
        assert not arrives(world.inner, "udp", HOST[family], PORT, listener)


@pytest.mark.parametrize("family", [4, 6])
def test_isolated_containers_reach_each_other_by_published_ports_alone(world, firewall, family):
    """What they send straight to each other the bridge keeps from them; here they send it through the host."""
    address, gateway = world.other.addresses[family], bare(ALONE[0] if family == 4 else ALONE[1])
    world.lonely(lambda: route_through(address, gateway))
    firewall.publish([to(world.other, family, protocol="udp")])
    with server(world.other, "udp", 80) as listener:
        assert not arrives(world.lonely, "udp", address, 80, listener)
        assert talk(world.lonely, "udp", HOST[family], PORT, listener) == gateway


def route_through(address, gateway):
    with Channel() as channel:
        index = links.index_of(channel, "eth0")
        channel.run(routes.add(routes.Route(f"{address}/{128 if ':' in address else 32}", index, gateway), again=True))


@pytest.mark.parametrize("family", [4, 6])
def test_world_sees_the_hosts_address(world, firewall, family):
    with server(world.outside, "udp", 80) as listener:
        outside = world.outside.addresses[family]
        assert talk(world.web, "udp", outside, 80, listener) == HOST[family]
        firewall.add(Bridge("one", BRIDGES[0].subnets, masquerade=False))
        assert talk(world.web, "udp", outside, 80, listener) == world.web.addresses[family]


@pytest.fixture
def private(world):
    """A service of the host's that listens at 127.0.0.1 alone."""
    with server(here, "udp", 7777, "127.0.0.1") as listener:
        yield listener


@pytest.mark.parametrize("spoofed", [False, True])
def test_containers_do_not_reach_the_hosts_loopback(world, firewall, private, spoofed):
    """CVE-2020-8558: 127.0.0.1 is routed by bridges, for published ports."""
    source = "127.0.0.1" if spoofed else world.neighbour.addresses[4]
    bridge = world.hosts.hardware_address("one")
    send_to_loopback(world.neighbour, bridge, 7777, source=source)
    assert not comes(private)
    talk(here, "udp", "127.0.0.1", 7777, private)


def test_without_the_firewall_they_would(world, firewall, private):
    """So the test above can fail."""
    firewall.clear()
    bridge = world.hosts.hardware_address("one")
    send_to_loopback(world.neighbour, bridge, 7777, source=world.neighbour.addresses[4])
    assert comes(private, PRESENT_S)


def test_other_hosts_do_not_reach_loopback_by_a_published_port(world, firewall):
    """CVE-2020-8558, from beyond: neither the container to which a port of 127.0.0.1 leads, nor the host's service."""
    firewall.publish([to(world.web, protocol="udp", host="127.0.0.1"), to(world.web, protocol="udp", host_port=81)])
    uplink = world.hosts.hardware_address("outside")
    with server(world.web, "udp", 80) as listener, server(here, "udp", PORT, "127.0.0.1") as private:
        for port in (PORT, 81):
            send_to_loopback(world.outside, uplink, port, source=world.outside.addresses[4])
        assert not comes(listener)
        assert not comes(private)
        send_to_loopback(world.outside, uplink, 81, source=world.outside.addresses[4], destination=HOST[4])
        assert comes(listener, PRESENT_S)


def test_who_spoofs_loopback_is_not_heard(world, firewall):
    with server(here, "udp", 7777, bare(ONE[0])) as listener:
        bridge = world.hosts.hardware_address("one")
        send_to_loopback(world.neighbour, bridge, 7777, source="127.0.0.1", destination=bare(ONE[0]))
        assert not comes(listener)
        send_to_loopback(world.neighbour, bridge, 7777, source=world.neighbour.addresses[4], destination=bare(ONE[0]))
        assert comes(listener, PRESENT_S)


@pytest.mark.parametrize("family", [4, 6])
def test_datagrams_follow_a_port_to_its_new_container(world, firewall, family):
    """Also those of a client that sent before there was a container, and that goes on from the same port."""
    how = {"source_port": 33333}
    first, second = to(world.web, family, protocol="udp"), to(world.foreign, family, protocol="udp")
    with server(world.web, "udp", 80) as one, server(world.foreign, "udp", 80) as two:
        assert not arrives(world.outside, "udp", HOST[family], PORT, one, **how)
        firewall.publish([first])
        assert arrives(world.outside, "udp", HOST[family], PORT, one, **how, within_s=PRESENT_S)
        firewall.unpublish([first])
        firewall.publish([second])
        assert arrives(world.outside, "udp", HOST[family], PORT, two, **how, within_s=PRESENT_S)
        firewall.unpublish([second])
        with server(here, "udp", PORT) as host:
            assert arrives(world.outside, "udp", HOST[family], PORT, host, **how, within_s=PRESENT_S)


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("exact", [False, True])
def test_datagrams_find_the_port_gone_after_an_engine_was_away(world, firewall, family, exact):
    where = {"host": HOST[family]} if exact else {}
    how = {"source_port": 33334, "within_s": PRESENT_S}
    firewall.publish([to(world.web, family, protocol="udp", **where), to(world.foreign, family, host_port=81, **where)])
    with server(world.web, "udp", 80) as listener, server(here, "udp", PORT) as host:
        assert arrives(world.outside, "udp", HOST[family], PORT, listener, **how)
        firewall.close()
        firewall.open()
        firewall.keep(BRIDGES, [])
        assert arrives(world.outside, "udp", HOST[family], PORT, host, **how)


def test_connections_go_on_while_the_table_is_replaced(world, firewall):
    firewall.publish([to(world.web)])
    with server(world.web, "tcp", 80) as listener, client(world.outside, "tcp", HOST[4], PORT) as asks:
        answers, _ = listener.accept()
        asks.settimeout(60)
        with answers:
            firewall.keep(BRIDGES, [to(world.web)])
            asks.sendall(b"still")
            assert answers.recv(100) == b"still"


def test_one_of_a_thousand_ports_leads_where_it_should(world, firewall):
    many = [to(world.web, host_port=10000 + at, port=at) for at in range(1, 1001)]
    firewall.publish(many)
    with server(world.web, "tcp", 77) as listener:
        talk(world.outside, "tcp", HOST[4], 10077, listener)
        firewall.unpublish(many[:76] + many[77:])
        talk(world.outside, "tcp", HOST[4], 10077, listener)
        firewall.unpublish(many)
        assert not arrives(world.outside, "tcp", HOST[4], 10077, listener)
