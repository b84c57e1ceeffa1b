"""The driver of overlay networks: several hosts that share a store, joined by a cable that only they are on."""

import itertools
import os
import select
import socket
import time
from contextlib import ExitStack

import pytest
from guests.cover import needs
from metadata.few import Few
from moby_metadata.sqlite.store import Store
from moby_network_driver.overlay import directory
from moby_network_driver.overlay.directory import Directory
from moby_network_driver.overlay.options import device_of, tunnel_of
from moby_network_driver.overlay.plugin import Config, make
from network_driver.engines import Quiet, place_in, starting

from moby.contracts.ipam import Pool
from moby.contracts.network_driver import Port
from moby.errors import Conflict, HostUnfit, Invalid
from moby.host import liveness, xfrm
from moby.host.elsewhere import in_namespace
from moby.host.liveness import Liveness
from moby.host.netlink import Channel
from moby.host.rtnetlink import addresses, links, neighbours, routes
from moby.host.rtnetlink.routes import Route
from moby.surroundings import SystemClock
from moby.testing.net_namespaces import new_network, own_network
from moby.testing.network_driver import NetworkDriverSuite
from moby.testing.network_driver_given import (
    Given,
    answers,
    attachment,
    bare,
    devices,
    hears,
    inside,
    member,
    segment,
)
from moby.values import evolve

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="making network namespaces takes root")
NUMBER = "com.docker.network.driver.overlay.vxlanid_list"
PATIENCE_S = 60
_CLOCK = SystemClock()


class TestOverlay(NetworkDriverSuite):
    """One host, with a store of its own."""

    @pytest.fixture
    def given(self, host, tmp_path):
        config = Config(address="192.0.2.1")
        with (
            Store(tmp_path / "store.db") as store,
            starting(
                lambda: make(config, stores={"own": store}, place=place_in(tmp_path), clock=SystemClock(), log=Quiet())
            ) as start,
        ):
            yield Given(start)


class Far:
    """A host: a network namespace with a card, and a driver in it that is started as an engine does."""

    def __init__(self, number, store, folder, stack, config, clock):
        self.address = f"192.0.2.{number}"
        self.namespace = member(stack)
        self.log = Quiet()
        self._make = lambda: make(
            config(self.address), stores={"own": store}, place=place_in(folder / str(number)), clock=clock, log=self.log
        )
        self._stack = stack
        self._end = stack.enter_context(ExitStack())

    def cable(self, name):
        with Channel() as channel:
            channel.run(links.change(links.index_of(channel, name), namespace=self.namespace))
        self.run(lambda: self._plug(name))

    def _plug(self, name):
        with Channel() as channel:
            index = links.index_of(channel, name)
            channel.run(
                links.change(index, name="card"),
                links.change(index, up=True),
                addresses.add(index, f"{self.address}/24"),
            )

    def start(self):
        self._end.close()
        self.driver = self.run(self._make)
        self.run(lambda: self._end.enter_context(self.driver))
        return self

    def run(self, call):
        return in_namespace(self.namespace, call)

    def attach(self, network, host):
        there = member(self._stack)
        wanted = attachment(self.driver, network, host)
        self.run(lambda: self.driver.attach(network, wanted, there))
        return there, wanted

    def knows(self, network):
        """What its tunnel knows: MAC addresses with hosts, and addresses."""

        def look():
            with Channel() as channel:
                index = links.index_of(channel, tunnel_of(network.id))
                entries = {(each.mac, each.host) for each in neighbours.dump_entries(channel) if each.index == index}
                return entries, {each.address for each in neighbours.dump(channel) if each.index == index}

        return self.run(look)

    def hears_of(self, network, *hosts):
        """Wait until its tunnel knows just these containers."""
        wanted = {each.partition("/")[0] for host in hosts for each in attachment(self.driver, network, host).addresses}

        self.until(lambda: self.knows(network)[1] == wanted)

    def until(self, true):
        """Wait until something is true that neighbours make so."""

        def told():
            with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as events:
                events.bind((0, 1 << 2))  # RTNLGRP_NEIGH
                while not true():
                    assert select.select([events], [], [], PATIENCE_S)[0]
                    events.recv(1 << 16)

        self.run(told)


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "store.db") as found:
        yield found


@pytest.fixture
def stack(store):
    with ExitStack() as found:
        yield found


@pytest.fixture
def hosts(stack, store, tmp_path):
    """A function that makes hosts on one cable."""

    def made(count, clock=_CLOCK, **options):
        stack.enter_context(own_network())
        with Channel() as channel:
            channel.run(links.bridge("cable", up=True))
            found = [
                Far(number, store, tmp_path, stack, lambda address: Config(address=address, **options), clock)
                for number in range(1, count + 1)
            ]
            for number, each in enumerate(found):
                bridge = links.index_of(channel, "cable")
                channel.run(links.veth(f"end{number}", links.Peer(f"far{number}"), master=bridge, up=True))
                each.cable(f"far{number}")
        return [each.start() for each in found]

    return made


def of(far, number=1, **options):
    return segment(Given(lambda: far.driver, options), far.driver, number)


def test_containers_of_three_hosts(hosts):
    one, two, three = hosts(3)
    network = of(one)
    first, _ = one.attach(network, 2)
    second, _ = two.attach(network, 3)
    third, _ = three.attach(network, 4)
    one.hears_of(network, 3, 4)
    two.hears_of(network, 2, 4)
    for asking, asked, host in ((first, second, 3), (second, third, 4), (third, first, 2), (second, first, 2)):
        for each in attachment(one.driver, network, host).addresses:
            assert hears(asking, asked, bare(each)), each


def test_a_container_that_goes_is_known_no_more(hosts):
    one, two = hosts(2)
    network = of(one)
    one.attach(network, 2)
    _, wanted = two.attach(network, 3)
    one.hears_of(network, 3)
    two.run(lambda: two.driver.detach(network, wanted))
    one.until(lambda: one.knows(network) == (set(), set()))


def test_a_container_that_goes_while_the_store_is_away(hosts, monkeypatch):
    """It is gone here at once; others are told once they can be. One that came back meanwhile stays."""
    one, two = hosts(2)
    network = of(one)
    one.attach(network, 2)
    two.run(lambda: two.driver.make(network))
    before = two.run(devices)
    places = [two.attach(network, host) for host in (3, 4)]
    one.hears_of(network, 3, 4)
    with monkeypatch.context() as away:
        away.setattr(Directory, "remove", _fails)
        for there, wanted in places:
            two.run(lambda there=there, wanted=wanted: two.driver.detach(network, wanted, there))
        two.run(lambda: two.driver.attach(network, places[1][1], places[1][0]))
    one.hears_of(network, 4)
    two.run(lambda: two.driver.detach(network, places[1][1], places[1][0]))
    one.hears_of(network)
    assert two.run(devices) == before
    assert ("warning", "other hosts can't be told yet who has left an overlay network") in two.log.said


def test_one_that_was_there_first_is_known_at_once(hosts):
    one, two = hosts(2)
    network = of(one)
    one.attach(network, 2)
    two.attach(network, 3)
    assert two.knows(network)[1] == {"10.77.1.2", "fd77:1::2"}


def test_nothing_is_flooded(hosts):
    """What nobody knows of goes nowhere: no address of the cable's is for everybody."""
    one, two = hosts(2)
    network = of(one)
    first, _ = one.attach(network, 2)
    two.attach(network, 3)
    one.hears_of(network, 3)
    with two.run(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))) as cable:
        cable.bind(("card", 0))
        with in_namespace(first, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as asks:
            asks.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            asks.sendto(b"for everybody", ("10.77.1.255", 7000))
            asks.sendto(b"for one that isn't there", ("10.77.1.99", 7000))
            seen, limit = b"", time.monotonic() + PATIENCE_S
            while b"for one that is there" not in seen:
                assert time.monotonic() < limit
                asks.sendto(b"for one that is there", ("10.77.1.3", 7000))  # again: what comes too early is lost
                if select.select([cable], [], [], 0.1)[0]:
                    seen += cable.recv(1 << 16)
    assert b"for everybody" not in seen
    assert b"for one that isn't" not in seen
    assert {mac for mac, _ in one.knows(network)[0]} == {"02:42:0a:4d:01:03"}


def test_networks_are_apart(hosts):
    one, two = hosts(2)
    networks = [of(one, each) for each in (1, 2)]
    one.attach(networks[0], 2)
    two.attach(networks[1], 2)
    for each in networks:
        one.run(lambda each=each: one.driver.make(each))
        two.run(lambda each=each: two.driver.make(each))
    two.hears_of(networks[0], 2)
    assert two.knows(networks[1])[1] == set()
    assert one.knows(networks[1])[1] == {"10.77.2.2", "fd77:2::2"}
    numbers = {one.run(lambda each=each: _device(tunnel_of(each.id)).vxlan_id) for each in networks}
    assert numbers == {4096, 4097}


def _device(name):
    with Channel() as channel:
        return links.get(channel, name)


def test_what_fits(hosts):
    one, _ = hosts(2)
    sizes = {}
    for number, options in ((1, {}), (2, {"com.docker.network.driver.mtu": "1300"})):
        network = of(one, number, **options)
        there, _ = one.attach(network, 2)
        sizes[number] = (
            inside(there)["eth0"].device.mtu,
            one.run(lambda network=network: _device(device_of(network.id)).mtu),
            one.run(lambda network=network: _device(tunnel_of(network.id)).mtu),
        )
    assert sizes == {1: (1450,) * 3, 2: (1300,) * 3}


def test_a_number_that_is_wanted(hosts):
    one, two = hosts(2)
    network = of(one, **{NUMBER: "77"})
    one.run(lambda: one.driver.make(network))
    assert one.run(lambda: _device(tunnel_of(network.id)).vxlan_id) == 77
    other = of(one, 2, **{NUMBER: "77"})
    before = two.run(devices)
    with pytest.raises(Conflict, match="VXLAN number 77 of network network2 is another's"):
        two.run(lambda: two.driver.make(other))
    assert two.run(devices) == before
    one.run(lambda: one.driver.unmake(network))
    two.run(lambda: two.driver.make(other))


def test_all_numbers_are_taken(store, monkeypatch):
    monkeypatch.setattr("moby_network_driver.overlay.directory.MOST_NUMBER", 4097)
    found = Directory(store, "one")
    assert [found.join(each, each) for each in ("a", "b", "a")] == [4096, 4097, 4096]
    with pytest.raises(Conflict, match="all VXLAN numbers are taken"):
        found.join("c", "c")
    found.leave("a")
    assert found.join("c", "c") == 4096


def test_the_next_process_goes_on_with_its_own(hosts):
    one, two = hosts(2)
    network = of(one)
    first, wanted = one.attach(network, 2)
    second, _ = two.attach(network, 3)
    _, gone = two.attach(network, 4)
    one.start()
    one.run(lambda: one.driver.keep([(network, [wanted])]))
    one.hears_of(network, 3, 4)
    assert hears(first, second, "10.77.1.3")
    two.hears_of(network, 2)
    two.start()
    two.run(lambda: two.driver.keep([(network, [attachment(two.driver, network, 3)])]))
    one.hears_of(network, 3)
    assert hears(second, first, "fd77:1::2")
    two.run(lambda: two.driver.keep([]))
    one.hears_of(network)
    assert gone.id not in str(two.run(devices))


def test_a_network_that_nobody_here_is_on_is_not_made_at_start(hosts):
    one, two = hosts(2)
    network = of(one)
    one.attach(network, 2)
    before = two.run(devices)
    two.run(lambda: two.driver.keep([(network, [])]))
    assert two.run(devices) == before


def test_a_host_whose_address_changes(hosts):
    one, two = hosts(2)
    network = of(one)
    first, _ = one.attach(network, 2)
    second, wanted = two.attach(network, 3)
    one.hears_of(network, 3)

    def move():
        with Channel() as channel:
            index = links.index_of(channel, "card")
            channel.run(addresses.remove(index, "192.0.2.2/24"), addresses.add(index, "192.0.2.200/24"))

    two.run(move)
    two.address = "192.0.2.200"
    two.start()
    two.run(lambda: two.driver.keep([(network, [wanted])]))
    one.until(lambda: {host for _, host in one.knows(network)[0]} == {"192.0.2.200"})
    assert hears(second, first, "10.77.1.2")


def test_what_others_delete_is_made_again(hosts):
    one, two = hosts(2)
    network = of(one)
    first, _ = one.attach(network, 2)
    second, _ = two.attach(network, 3)
    one.hears_of(network, 3)
    for name in (tunnel_of(network.id), device_of(network.id)):

        def lose(name=name):
            with Channel() as channel:
                channel.run(links.delete(links.index_of(channel, name)))

        one.run(lose)
        one.run(lambda: one.driver.make(network))
        assert hears(first, second, "10.77.1.3")


def test_a_failing_step_leaves_nothing(hosts, monkeypatch):
    one, _ = hosts(2)
    network = of(one)
    before = one.run(devices)
    for name in ("Tunnels.make", "Tunnels.feed"):
        with monkeypatch.context() as broken:
            broken.setattr(f"moby_network_driver.overlay.tunnels.{name}", _fails)
            with pytest.raises(HostUnfit, match="no room"):
                one.run(lambda: one.driver.make(network))
        assert one.run(devices) == before
    one.run(lambda: one.driver.make(network))
    made = one.run(devices)
    monkeypatch.setattr(Directory, "put", _fails)
    with pytest.raises(HostUnfit, match="no room"):
        one.attach(network, 2)
    assert one.run(devices) == made


def _fails(*_):
    raise HostUnfit("no room")


def test_ports_are_published_where_the_container_is(hosts):
    one, two = hosts(2)
    network = of(one)
    there = new_network()
    wanted = evolve(attachment(one.driver, network, 2), ports=(Port("tcp", 80, "0.0.0.0", 8080),))
    link = one.run(lambda: one.driver.attach(network, wanted, there))

    def lead():
        with Channel() as channel:
            channel.run(routes.add(Route("0.0.0.0/0", links.index_of(channel, "eth0"), link.gateways[0])))

    in_namespace(there, lead)
    assert two.run(lambda: answers(there, 80, "192.0.2.1", 8080))
    os.close(there)


def test_what_cannot_be_followed_is_told_once(hosts, monkeypatch):
    one, _ = hosts(2)
    network = of(one)
    failed = []

    def fails(directory):
        failed.append(directory)
        raise HostUnfit("the disk is away")

    one.run(lambda: one.driver.make(network))
    with monkeypatch.context() as broken:
        broken.setattr(Directory, "revision", fails)
        while len(failed) < 3:
            select.select([], [], [], 0.01)
    assert [each for each in one.log.said if "followed" in each[1]] == [
        ("warning", "what other hosts say of overlay networks can't be followed")
    ]


# Hosts that have gone for good

_MINUTE_NS = 60 * 10**9


class Hand(SystemClock):
    """A clock that goes on by hand alone."""

    minutes = 1

    def monotonic_ns(self):
        return self.minutes * _MINUTE_NS


def eventually(true):
    """Wait for what a driver's own thread does."""
    for _ in range(PATIENCE_S * 100):
        if true():
            return
        select.select([], [], [], 0.01)
    pytest.fail("it doesn't happen")


def test_who_counts_on_lives(store):
    clock = Hand()
    one, other = Directory(store, "one"), Directory(store, "other")
    looks = Liveness(one.count_on, clock.monotonic_ns, 10 * _MINUTE_NS)
    other.count_on()
    for minute in range(2, 11):
        assert looks.look() == {}
        clock.minutes = minute
    other.count_on()
    for minute in range(11, 20):
        assert looks.look() == {}
        clock.minutes = minute
    assert looks.look() == {}
    clock.minutes = 20
    assert looks.look() == {"other": 2}
    assert other.count_on()["other"] == 3
    assert one.bury("other", 2) == ""
    assert one.bury("other", 3) == "other"  # which said nothing else


def test_what_a_host_leaves_goes_in_parts(store, monkeypatch):
    """Until it is there again: some stores take no more than some hundred changes at once."""
    monkeypatch.setattr(directory, "_AT_ONCE", 2)
    one, other = Directory(store, "one"), Directory(store, "other")
    other.enter("192.0.2.2", "boot")
    count = other.count_on()["other"]
    for network in ("n1", "n2", "n3"):
        other.join(network, network)
        other.put(network, "endpoint", "02:00:00:00:00:01", ["10.0.0.1"])
    one.join("n3", "n3")
    transaction, begun = Store.transaction, []

    def comes_back(metadata):
        begun.append(metadata)
        if len(begun) == 3:
            other.enter("192.0.2.2", "boot")
        return transaction(metadata)

    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(Store, "transaction", comes_back)
        assert one.bury("other", count) == "192.0.2.2"
    assert [len(one.far(each)) for each in ("n1", "n2", "n3")] == [0, 0, 1]
    assert one.bury("other", count) == "192.0.2.2"
    assert one.far("n3") == ()
    assert store.bucket("overlay-networks").keys() == ("n3",)
    assert one.bury("other", count) == ""


def test_what_a_host_has_no_more_goes_in_parts(store):
    one, other = Directory(Few(store), "one"), Directory(store, "other")
    for number in range(300):
        (one if number else other).put("n1", f"e{number}", "02:00:00:00:00:01", [])
    one.join("n1", "n1")
    one.keep({"n1": ["e299"]})
    assert [store.bucket("overlay-endpoints").keys(), one.revision()] == [("n1/e0", "n1/e299"), 300 + 298]
    one.keep({})
    assert store.bucket("overlay-endpoints").keys() == ("n1/e0",)
    assert store.bucket("overlay-networks").keys() == ()


def test_while_nobody_could_count_nobody_goes(store):
    """The store was away; or one isn't to look at all."""
    clock = Hand()
    one, other = Directory(store, "one"), Directory(store, "other")
    looks = Liveness(one.count_on, clock.monotonic_ns, 10 * _MINUTE_NS)
    never = Liveness(one.count_on, clock.monotonic_ns, 0)
    other.count_on()
    for minute in (1, 2, 3, 60, 61, 62):
        clock.minutes = minute
        assert looks.look() == never.look() == {}


def test_a_host_that_has_gone_for_good(hosts, store, monkeypatch):
    monkeypatch.setattr(liveness, "_EVERY_NS", 20 * _MINUTE_NS)
    clock = Hand()
    one, two = hosts(2, clock=clock, gone_hours=1)
    network = of(one)
    one.attach(network, 2)
    _, wanted = two.attach(network, 3)
    one.hears_of(network, 3)
    counts = store.bucket("overlay-counts")
    eventually(lambda: counts.count() == 2)
    two.driver.__exit__(None, None, None)
    own = next(each for each, _ in counts.items() if each != two.driver._directory.host_id)
    while one.knows(network)[1]:
        before = counts.get(own)
        clock.minutes += 20
        eventually(lambda before=before: counts.get(own) != before)
        assert clock.minutes < 200
    one.until(lambda: one.knows(network) == (set(), set()))
    said = "host 192.0.2.2 has shown no sign of life for 1 hours: nobody on overlay networks is there any more"
    eventually(lambda: said in [each[1] for each in one.log.said])
    two.start()
    two.run(lambda: two.driver.keep([(network, [wanted])]))
    one.hears_of(network, 3)


def _number(network):
    """A network's number on the wire; none while its tunnel is made anew."""
    with Channel() as channel:
        found = links.look_up(channel, tunnel_of(network.id))
        return found and found.vxlan_id


def test_a_host_that_was_given_up_and_lives(hosts, store, monkeypatch):
    """It tells the others all anew, once more where that fails half-way; its network has another number by then."""
    one, two = hosts(2)
    network = of(two)
    second, _ = two.attach(network, 3)
    lead, failed = two.driver._lead, []

    def leads(segment):
        if failed:
            return lead(segment)
        failed.append(segment)
        raise HostUnfit("the store is away")

    monkeypatch.setattr(two.driver, "_lead", leads)
    host_id, counts = two.driver._directory.host_id, store.bucket("overlay-counts")
    eventually(lambda: counts.get(host_id) is not None)
    other = Directory(store, "other")
    with store.transaction():
        assert other.bury(host_id, counts.get(host_id)) == "192.0.2.2"
        assert other.join("more", "more") == 4096
    eventually(lambda: two.run(lambda: _number(network)) == 4097)
    first, _ = one.attach(network, 2)
    two.hears_of(network, 2)
    one.hears_of(network, 3)
    assert hears(first, second, "10.77.1.3")
    said = "other hosts had given this one up: they are told who is on its overlay networks"
    eventually(lambda: said in [each[1] for each in two.log.said])


# What cannot be


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"nonesuch": "1"}, "not an option of overlay networks"),
        ({NUMBER: "0"}, "one number from 1"),
        ({NUMBER: "1,2"}, "one number from 1"),
        ({NUMBER: "16777216"}, "one number from 1"),
        ({"encrypted": "perhaps"}, "failed to parse encrypted value: perhaps"),
        ({"com.docker.network.driver.mtu": "1"}, "a number from 68"),
    ],
)
def test_options_that_cannot_be(hosts, options, message):
    (one,) = hosts(1)
    with pytest.raises(Invalid, match=message):
        one.driver.check(options)


def test_pools_that_cannot_be(hosts):
    (one,) = hosts(1)
    network = evolve(of(one), pools=(Pool("10.1.0.0/24"), Pool("10.2.0.0/24")))
    with pytest.raises(Invalid, match="multiple subnets"):
        one.run(lambda: one.driver.make(network))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (Config(store="other"), "no part metadata named 'other'"),
        (Config(port=4799), "4799 is for networks of both sorts"),
        (Config(key_hours=0), "key_hours is 0"),
        (Config(gone_hours=-1), "gone_hours is -1"),
        (Config(address="here"), "no address of this host"),
    ],
)
def test_options_of_the_part_that_cannot_be(store, tmp_path, config, message):
    with pytest.raises(Invalid, match=message):
        make(config, stores={"own": store}, place=place_in(tmp_path), clock=SystemClock(), log=Quiet())


def test_a_host_without_a_way_out(stack, store, tmp_path):
    stack.enter_context(own_network())
    part = make(Config(), stores={"own": store}, place=place_in(tmp_path), clock=SystemClock(), log=Quiet())
    driver = stack.enter_context(part)
    network = segment(Given(lambda: driver), driver)
    with pytest.raises(HostUnfit, match="no default route"):
        driver.make(network)
    with Channel() as channel:
        channel.run(links.bridge("card", mtu=1400, up=True))
        index = links.index_of(channel, "card")
        channel.run(addresses.add(index, "192.0.2.9/24"), routes.add(Route("0.0.0.0/0", index, "192.0.2.1")))
    driver.make(network)
    found = _device(tunnel_of(network.id))
    assert (found.vxlan_local, found.mtu) == (bytes([192, 0, 2, 9]), 1350)


def test_a_name_that_somebody_has(hosts):
    (one,) = hosts(1)
    network = of(one)

    def take():
        with Channel() as channel:
            channel.run(links.bridge(tunnel_of(network.id)))

    one.run(take)
    with pytest.raises(Conflict, match="isn't this engine's"):
        one.run(lambda: one.driver.make(network))
    assert device_of(network.id) not in one.run(devices)


def test_reclaiming(hosts):
    one, two = hosts(2)
    network = of(one)
    before = one.run(devices)
    one.attach(network, 2)
    two.attach(network, 3)
    two.hears_of(network, 2)
    one.run(one.driver.reclaim)
    two.hears_of(network)
    assert one.run(devices) == before


def test_an_ordinary_user_has_nothing_to_take_back(unprivileged):
    def attempt(folder):
        clock = SystemClock()
        with Store(folder / "store.db") as store:
            made = make(Config(), stores={"own": store}, place=place_in(folder), clock=clock, log=Quiet())
            with made as driver:
                network = segment(Given(lambda: driver), driver)
                with pytest.raises(HostUnfit):
                    driver.make(network)
                driver.keep([(network, [])])
                driver.unmake(network)
                driver.reclaim()

    with own_network():
        unprivileged(attempt)


# Encryption


class Wound(SystemClock):
    """A clock that can be put forward."""

    ahead_ns = 0

    def now_ns(self):
        return super().now_ns() + self.ahead_ns


def has_esp():
    """Whether this kernel encrypts."""
    probe = xfrm.Association("192.0.2.1", "192.0.2.2", 300, 1)
    with own_network(), Channel(xfrm.PROTOCOL) as channel:
        try:
            channel.run(xfrm.add(probe, bytes(xfrm.KEY_BYTES)))
        except OSError:
            return False
        return xfrm.associations(channel, 1) == (probe,)


@pytest.fixture
def encrypting(hosts):
    needs(has_esp(), "ESP", "qemu")
    return hosts


def of_secrets(far, number=1):
    return of(far, number, encrypted="")


def outgoing(far):
    """The numbers of what a host sends by."""

    def look():
        with Channel(xfrm.PROTOCOL) as channel:
            found = xfrm.associations(channel, far.driver._marks.group)
            return {each.spi for each in found if each.source == far.address}, len(found), xfrm.policies(channel)

    return far.run(look)


def sniffed(far, act, wanted):
    """What of the cable's packets a host sees until a protocol of IP's has come, while something is done."""
    with far.run(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))) as cable:
        cable.bind(("card", 0))
        act()
        seen = []
        while wanted not in {each[23] for each in seen}:
            assert select.select([cable], [], [], PATIENCE_S)[0]
            seen.append(cable.recv(1 << 16))
    return seen


def test_a_kernel_that_does_not_encrypt(hosts, monkeypatch):
    (one,) = hosts(1)
    if has_esp():
        monkeypatch.setattr(xfrm, "add", lambda *_: xfrm.Message(0x10, 0, b"", "nothing"))
    network = of_secrets(one)
    before = one.run(devices)
    with pytest.raises(HostUnfit, match="this kernel doesn't encrypt"):
        one.run(lambda: one.driver.make(network))
    assert (one.run(devices), outgoing(one)) == (before, (set(), 0, ()))


def test_what_hosts_send_is_encrypted(encrypting):
    one, two, three = encrypting(3)
    network = of_secrets(one)
    first, _ = one.attach(network, 2)
    second, _ = two.attach(network, 3)
    third, _ = three.attach(network, 4)
    one.hears_of(network, 3, 4)
    two.hears_of(network, 2, 4)
    seen = sniffed(two, lambda: hears(first, second, "10.77.1.3"), 50)
    assert hears(third, first, "fd77:1::2")
    assert not [each for each in seen if b"ask" in each or each[23] == 17]
    assert inside(first)["eth0"].device.mtu == 1410
    assert [outgoing(each)[1] for each in (one, two, three)] == [4, 4, 4]


def test_plain_networks_beside_encrypted_ones(encrypting):
    one, two = encrypting(2)
    plain, secret = of(one, 1), of_secrets(one, 2)
    for network in (plain, secret):
        first, _ = one.attach(network, 2)
        second, _ = two.attach(network, 3)
        one.hears_of(network, 3)
        assert hears(second, first, network.pools[0].gateway[:-1] + "2")
        assert hears(first, second, network.pools[0].gateway[:-1] + "3")


def test_what_is_not_encrypted_does_not_come_in(encrypting):
    """Nobody on the cable gets a packet in by writing one."""
    one, two = encrypting(2)
    network = of_secrets(one)
    one.attach(network, 2)
    second, _ = two.attach(network, 3)
    one.hears_of(network, 3)
    number = two.run(lambda: _device(tunnel_of(network.id)).vxlan_id)
    frame = bytes.fromhex("02420a4d0103 02420a4d0102 88b5") + bytes(50)
    with in_namespace(
        second, lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x88B5))
    ) as listens:
        listens.bind(("eth0", 0))
        forged = new_network()
        with Channel() as channel:
            bridge = links.index_of(channel, "cable")
            channel.run(links.veth("forger", links.Peer("forged", forged), master=bridge, up=True))

        def plug():
            with Channel() as channel:
                index = links.index_of(channel, "forged")
                channel.run(links.change(index, up=True), addresses.add(index, "192.0.2.66/24"))
            return socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

        with in_namespace(forged, plug) as asks:
            header = bytes([8, 0, 0, 0]) + number.to_bytes(3, "big") + b"\0"
            sniffed(two, lambda: asks.sendto(header + frame, ("192.0.2.2", 4799)), 17)
        os.close(forged)
        assert not select.select([listens], [], [], 1)[0]


def test_keys_are_renewed(encrypting):
    clock = Wound()
    one, two = encrypting(2, clock)
    network = of_secrets(one)
    first, _ = one.attach(network, 2)
    second, _ = two.attach(network, 3)
    one.hears_of(network, 3)
    assert hears(first, second, "10.77.1.3")
    used = [outgoing(one)[0]]
    for _ in range(3):
        for seconds in (13 * 3600, 70):  # before it is used all know a new key
            clock.ahead_ns += seconds * 10**9
            for each in (one, two, one, two):
                each.run(each.driver._look)
            assert hears(second, first, "10.77.1.2")
            assert hears(first, second, "10.77.1.3")
            used.append(outgoing(one)[0])
    assert [each == before for before, each in itertools.pairwise(used)] == [True, False] * 3
    assert outgoing(one)[1] == 3  # one to send by, two to understand


def test_the_next_process_sends_by_the_same_key(encrypting):
    one, two = encrypting(2)
    network = of_secrets(one)
    first, wanted = one.attach(network, 2)
    second, _ = two.attach(network, 3)
    one.hears_of(network, 3)
    before = outgoing(one)
    one.start()
    one.run(lambda: one.driver.keep([(network, [wanted])]))
    assert outgoing(one) == before
    assert hears(first, second, "10.77.1.3")


def test_what_others_flush_takes_new_keys(encrypting):
    one, two = encrypting(2)
    network = of_secrets(one)
    first, _ = one.attach(network, 2)
    second, _ = two.attach(network, 3)
    one.hears_of(network, 3)
    before = outgoing(one)

    def flush():
        with Channel(xfrm.PROTOCOL) as channel:
            found = xfrm.associations(channel, one.driver._marks.group)
            channel.run(*(xfrm.remove(each) for each in found))

    one.run(flush)
    one.run(lambda: one.driver.make(network))
    two.run(two.driver._look)
    after = outgoing(one)
    assert (after[0] & before[0], after[1]) == (set(), before[1])
    assert hears(second, first, "10.77.1.2")


def test_encryption_ends_with_its_last_network(encrypting):
    one, two = encrypting(2)
    networks = [of_secrets(one, each) for each in (1, 2)]
    for each in networks:
        one.run(lambda each=each: one.driver.make(each))
        two.run(lambda each=each: two.driver.make(each))
    one.run(one.driver._look)
    one.run(lambda: one.driver.unmake(networks[0]))
    assert outgoing(one)[1:] == (2, (4799,) * 4)
    one.run(lambda: one.driver.unmake(networks[1]))
    assert outgoing(one)[1:] == (0, ())
    two.start()
    two.run(lambda: two.driver.keep([]))
    assert outgoing(two)[1:] == (0, ())
