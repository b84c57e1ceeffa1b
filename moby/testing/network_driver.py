"""The conformance suite of the kind `network-driver`; `moby.testing.network_driver_mutants` holds what it must fail."""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from moby.contracts.network_driver import Port
from moby.errors import Conflict, Invalid, NotFound
from moby.host.netlink import Channel
from moby.host.rtnetlink import links
from moby.testing.net_namespaces import own_network
from moby.testing.network_driver_given import (
    Given,
    answers,
    attachment,
    bare,
    devices,
    hears,
    inside,
    lead,
    member,
    neighbour,
    segment,
    vanishes,
)  # fmt: skip
from moby.values import evolve

__all__ = ["Given", "NetworkDriverSuite"]

_LINK_LOCAL = "169.254.7.7"
_MAC = "02:00:5e:00:53:07"
Namespaces = Callable[[], int]


def _delete(name: str) -> None:
    """Delete a device as anybody may."""
    with Channel() as channel:
        found = links.look_up(channel, name)
        if found:  # it may have gone with another one
            channel.run(links.delete(found.index, name))


class NetworkDriverSuite:
    """What every network driver must do. A subclass brings the fixture `given`.

    Each test is in a network namespace of its own, which is the host's; containers are further ones.
    """

    @pytest.fixture(autouse=True)
    def host(self) -> Iterator[None]:
        """Have the test in a network namespace of its own."""
        if os.geteuid():
            pytest.skip("making network namespaces takes root")
        with own_network():
            yield

    @pytest.fixture
    def given(self, host: None) -> Given:
        """Return what is under test."""
        raise NotImplementedError

    @pytest.fixture
    def namespace(self, host: None) -> Iterator[Namespaces]:
        """Return a function that makes network namespaces; nobody is in them."""
        with ExitStack() as stack:
            yield lambda: member(stack)

    def test_what_people_see(self, given: Given) -> None:
        """A name and one of docker's scopes."""
        driver = given.started()
        assert re.fullmatch("[a-z][a-z0-9._-]*", driver.name)
        assert driver.scope in ("local", "swarm")

    def test_there_is_a_network_of_it(self, given: Given) -> None:
        """From the start, or because users make one."""
        driver = given.started()
        assert driver.predefined or driver.creatable

    def test_who_shares_the_host_is_made_once(self, given: Given) -> None:
        """Since there is one host."""
        driver = given.started()
        assert not (driver.shares_host and driver.creatable)

    def test_who_publishes_has_addresses(self, given: Given) -> None:
        """To which ports lead."""
        driver = given.started()
        assert driver.addressed or not driver.publishes

    def test_options(self, given: Given) -> None:
        """None are fine, and those that a network needs; one that isn't known is Invalid and named."""
        driver = given.started()
        driver.check(given.options)
        wrong = {**given.options, "nonesuch": "1"}
        with pytest.raises(Invalid, match="nonesuch"):
            if given.knows_options:
                driver.check(wrong)
            else:
                driver.make(evolve(segment(given, driver), options=wrong))

    def test_options_of_the_network_that_is_there(self, given: Given) -> None:
        """Are such as users may choose, and the same for the next process."""
        driver = given.started()
        driver.check(driver.predefined_options)
        assert dict(given.open().predefined_options) == dict(driver.predefined_options)

    def test_attaching(self, given: Given, namespace: Namespaces) -> None:
        """The interface is there as the answer says, up, with its addresses; nothing else is touched."""
        driver = given.started()
        network = segment(given, driver)
        driver.make(network)
        wanted, there = attachment(driver, network, 2, "net7"), namespace()
        before = inside(there)
        link = driver.attach(network, wanted, there)
        after = inside(there)
        found = after.pop(link.interface) if link.interface else None
        assert after == before
        assert (found is not None) == driver.addressed
        if found:
            assert (link.interface, found.device.up, found.device.mac) == ("net7", True, link.mac_address)
            assert set(link.addresses) == set(wanted.addresses)
            assert set(link.addresses) <= found.addresses

    def test_hardware_addresses(self, given: Given, namespace: Namespaces) -> None:
        """The one that was asked for, else always the same for the same endpoint."""
        driver = given.started()
        network = segment(given, driver)
        driver.make(network)
        if not (driver.addressed and given.macs):
            return
        wanted, there = attachment(driver, network, 2), namespace()
        first = driver.attach(network, wanted, there).mac_address
        driver.detach(network, wanted, there)
        assert driver.attach(network, wanted, there).mac_address == first
        asked = driver.attach(network, evolve(attachment(driver, network, 3), mac_address=_MAC), namespace())
        assert (asked.mac_address == _MAC, first == _MAC) == (True, False)

    def test_further_addresses(self, given: Given, namespace: Namespaces) -> None:
        """Are on the interface too, and not in the answer."""
        driver = given.started()
        network = segment(given, driver)
        driver.make(network)
        wanted, there = evolve(attachment(driver, network, 2), link_local=(_LINK_LOCAL, "fe80::77")), namespace()
        link = driver.attach(network, wanted, there)
        if not driver.addressed:
            return
        assert link.addresses == wanted.addresses
        found = {bare(each) for each in inside(there)[link.interface].addresses}
        assert {_LINK_LOCAL, "fe80::77"} <= found

    def test_the_way_out(self, given: Given, namespace: Namespaces) -> None:
        """Is by the pools' gateways, or by the interface itself; an internal network has none."""
        driver = given.started()
        network = segment(given, driver)
        driver.make(network)
        link = driver.attach(network, attachment(driver, network, 2), namespace())
        if not driver.addressed:
            assert link.gateways == ()
            return
        assert (link.gateways == tuple(each.gateway for each in network.pools)) != link.routed_directly
        if not given.internal:
            return
        closed = segment(given, driver, 2, internal=True)
        driver.make(closed)
        link = driver.attach(closed, attachment(driver, closed, 2), namespace())
        assert (link.gateways, link.routed_directly) == ((), False)

    @pytest.mark.parametrize("internal", [False, True])
    def test_containers_reach_each_other(self, given: Given, namespace: Namespaces, internal: bool) -> None:
        """By all of their addresses."""
        driver = given.started()
        network = segment(given, driver, internal=internal and driver.creatable and given.internal)
        driver.make(network)
        one, other = namespace(), namespace()
        asking = driver.attach(network, attachment(driver, network, 2), one)
        asked = driver.attach(network, attachment(driver, network, 3), other)
        assert len(asked.addresses) == len(asking.addresses) == (2 if driver.addressed else 0)
        for each in asked.addresses:
            assert hears(one, other, bare(each))

    def test_an_interface_that_is_there(self, given: Given, namespace: Namespaces) -> None:
        """Conflict, and it stays as it is; nothing is left on the host."""
        driver = given.started()
        network = segment(given, driver)
        driver.make(network)
        there = namespace()
        link = driver.attach(network, attachment(driver, network, 2), there)
        if not link.interface:
            return
        before, own = inside(there), devices()
        with pytest.raises(Conflict, match="eth0"):
            driver.attach(network, attachment(driver, network, 3), there)
        assert inside(there) == before
        assert devices() == own

    def test_detaching(self, given: Given, namespace: Namespaces) -> None:
        """Takes the interface away, here and there, at once; again is fine, and so is what was never attached."""
        driver = given.started()
        network = segment(given, driver)
        driver.make(network)
        there, own = namespace(), devices()
        before, wanted = inside(there), attachment(driver, network, 2)
        driver.detach(network, wanted, there)
        driver.attach(network, wanted, there)
        driver.attach(network, attachment(driver, network, 3, "eth1"), there)
        for _ in range(2):
            driver.detach(network, wanted, there)
        assert set(inside(there)) == set(before) | ({"eth1"} if driver.addressed else set())
        driver.detach(network, attachment(driver, network, 3, "eth1"), there)
        assert (inside(there), devices()) == (before, own)

    def test_a_namespace_that_goes(self, given: Given) -> None:
        """Is not needed to detach; with it goes all that was made for it."""
        driver = given.started()
        network = segment(given, driver)
        driver.make(network)
        own, wanted = devices(), attachment(driver, network, 2)
        with ExitStack() as stack:
            driver.attach(network, wanted, member(stack))
            driver.detach(network, wanted)
        driver.detach(network, wanted)
        vanishes(own)
        with ExitStack() as stack:
            driver.attach(network, wanted, member(stack))

    def test_unmaking(self, given: Given, namespace: Namespaces) -> None:
        """Leaves nothing of it on the host; again is fine, and it can be made anew."""
        driver = given.started()
        own, network = devices(), segment(given, driver)
        driver.make(network)
        driver.attach(network, attachment(driver, network, 2), namespace())
        for _ in range(2):
            driver.unmake(network)
            assert devices() == own
        driver.make(network)
        driver.attach(network, attachment(driver, network, 3), namespace())

    def test_making_again(self, given: Given, namespace: Namespaces) -> None:
        """Changes nothing, and repairs what others have deleted, also for who is on it."""
        driver = given.started()
        own, network = devices(), segment(given, driver)
        driver.make(network)
        made, one, other = devices(), namespace(), namespace()
        driver.attach(network, attachment(driver, network, 2), one)
        driver.make(network)
        for each in sorted(set(made) - set(own)):
            _delete(each)
        driver.make(network)
        link = driver.attach(network, attachment(driver, network, 3), other)
        assert set(made) <= set(devices())
        if inside(one).get(link.interface):  # not where it went with what it was on
            assert all(hears(one, other, bare(each)) for each in link.addresses)

    def test_the_next_process(self, given: Given, namespace: Namespaces) -> None:
        """Goes on with what stands, and can end it."""
        driver = given.started()
        own, network = devices(), segment(given, driver)
        driver.make(network)
        one, other, wanted = namespace(), namespace(), attachment(driver, network, 2)
        link = driver.attach(network, wanted, one)
        before = devices()
        driver = given.open()
        driver.keep([(network, [wanted])])
        assert devices() == before
        driver.attach(network, attachment(driver, network, 3), other)
        assert all(hears(other, one, bare(each)) for each in link.addresses)
        driver.detach(network, wanted, one)
        assert link.interface not in inside(one)
        driver.unmake(network)
        assert devices() == own

    def test_keeping(self, given: Given, namespace: Namespaces) -> None:
        """Removes what is not to be kept: places on networks, and networks with all that is on them."""
        driver = given.started()
        if not driver.creatable:
            return
        own, kept, gone = devices(), segment(given, driver), segment(given, driver, 2)
        driver.make(kept)
        empty = devices()
        driver.attach(kept, attachment(driver, kept, 2), namespace())
        with_one = devices()
        driver.attach(kept, attachment(driver, kept, 3), namespace())
        driver.make(gone)
        driver.attach(gone, attachment(driver, gone, 2), namespace())
        driver = given.open()
        driver.keep([(kept, [attachment(driver, kept, 2)])])
        assert devices() == with_one
        driver.keep([(kept, [])])
        assert devices() == empty
        driver.keep([])
        assert devices() == own

    def test_keeping_repairs(self, given: Given, namespace: Namespaces) -> None:
        """Makes networks whose devices are gone; of a place that is gone nothing is made."""
        driver = given.started()
        network = segment(given, driver)
        there, wanted = namespace(), attachment(driver, network, 2)
        before = inside(there)
        driver.keep([(network, [wanted])])
        assert inside(there) == before
        driver.attach(network, attachment(driver, network, 3), there)

    def test_publishing(self, given: Given, namespace: Namespaces) -> None:
        """Leads a port of the host's to the container's, while it is attached."""
        driver = given.started()
        if not driver.publishes:
            return
        network = segment(given, driver)
        driver.make(network)
        there, other = namespace(), namespace()
        ports = (Port("tcp", 80, "0.0.0.0", 8080), Port("tcp", 80, "::", 8080))
        wanted = attachment(driver, network, 2, ports=ports)
        driver.attach(network, wanted, there)
        for address in (*(each.gateway for each in network.pools), "127.0.0.1"):
            assert answers(there, 80, address, 8080)
        driver.attach(network, attachment(driver, network, 3, ports=(evolve(ports[0], host_port=8081),)), other)
        assert answers(other, 80, network.pools[0].gateway, 8081)
        driver.detach(network, wanted, there)
        driver.attach(network, evolve(wanted, id="a" * 64, ports=()), there)
        assert not answers(there, 80, network.pools[0].gateway, 8080)
        assert answers(other, 80, network.pools[0].gateway, 8081)

    def test_a_port_that_is_none_of_the_host_s(self, given: Given, namespace: Namespaces) -> None:
        """Is open at the container's own address, to machines beside the host too, and takes nothing of the host."""
        driver = given.started()
        if not driver.publishes:
            return
        network = segment(given, driver)
        driver.make(network)
        there, gateway = namespace(), network.pools[0].gateway
        own, published = Port("tcp", 80, "0.0.0.0", 0), Port("tcp", 81, "0.0.0.0", 8081)
        wanted = attachment(driver, network, 2, ports=(own, published))
        lead(there, driver.attach(network, wanted, there))
        with ExitStack() as stack:
            far, address = neighbour(stack), bare(wanted.addresses[0])
            assert answers(there, 80, address, 80, asking=far)
            for ports in ((own, published), (published, own)):
                driver.publish(network, evolve(wanted, ports=ports))
                assert answers(there, 81, gateway, 8081)
                assert not answers(there, 80, gateway, 80)
            driver.publish(network, evolve(wanted, ports=(own,)))
            assert not answers(there, 81, gateway, 8081)
            assert answers(there, 80, address, 80, asking=far)

    def test_publishing_anew(self, given: Given, namespace: Namespaces) -> None:
        """Takes the place of what was published, also by an earlier process; NotFound for who isn't attached."""
        driver = given.started()
        if not driver.publishes:
            return
        network = segment(given, driver)
        driver.make(network)
        there, gateway = namespace(), network.pools[0].gateway
        first, second = (Port("tcp", 80, gateway, each) for each in (8080, 8081))
        wanted = attachment(driver, network, 2, ports=(first,))
        driver.attach(network, wanted, there)
        driver.publish(network, evolve(wanted, ports=(second,)))
        assert (answers(there, 80, gateway, 8081), answers(there, 80, gateway, 8080)) == (True, False)
        driver = given.open()
        driver.keep([(network, [evolve(wanted, ports=(second,))])])
        assert answers(there, 80, gateway, 8081)
        driver.publish(network, wanted)
        assert (answers(there, 80, gateway, 8080), answers(there, 80, gateway, 8081)) == (True, False)
        with pytest.raises(NotFound):
            driver.publish(network, attachment(driver, network, 3, ports=(second,)))
