"""Hosts that have gone for good, and such as come back: names and addresses of what they have on shared networks."""

import os
from contextlib import ExitStack

import pytest
from metadata.few import Few
from moby_metadata.sqlite.store import Store
from moby_networks.registry import returning, shared
from moby_networks.registry.records import Records
from moby_networks.registry.shared import Shared
from networks.test_networks_shared import PLAIN, Host, Reaching, address, wide
from networks.wired import Ledger, World

from moby.contracts.networks import EndpointConfig, SandboxConfig
from moby.errors import Conflict, Denied, HostUnfit, NotFound, Unavailable
from moby.host import liveness
from moby.surroundings import SystemClock
from moby.testing.net_namespaces import own_network

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="making network namespaces takes root")
HOURS = 5
SUBNET = ({"Subnet": "10.1.0.0/24"},)
FIRST = EndpointConfig(ipv4_address="10.1.0.2")


class Hand(SystemClock):
    """A clock that goes on by hand alone."""

    hours = 1

    def monotonic_ns(self):
        return self.hours * liveness.HOUR_NS


@pytest.fixture
def stack(monkeypatch):
    monkeypatch.setattr(liveness, "_EVERY_NS", liveness.HOUR_NS)
    with ExitStack() as found:
        found.enter_context(own_network())
        yield found


@pytest.fixture
def store(stack, tmp_path):
    return stack.enter_context(Store(tmp_path / "shared.db"))


@pytest.fixture
def clock():
    return Hand()


@pytest.fixture
def hosts(stack, store, clock, tmp_path):
    found = [Host(tmp_path / each, store, stack, clock=clock, gone_hours=HOURS) for each in ("one", "two")]
    yield found
    for each in found:
        each.networks.recover(())


def own(host):
    """Return what a host is known by to the others."""
    return host.networks._records.shared._host


def count(host):
    return host.world.shared.bucket("network-counts").get(own(host))


def said(host, words):
    return [each for each, _ in host.world.log.said if words in each]


def pass_hours(clock, looks, until):
    """Have hours pass, in each of which a host looks, until something is so."""
    while not until():
        before = count(looks)
        clock.hours += 1
        looks.until(lambda before=before: count(looks) != before)
        assert clock.hours < 10 * HOURS


def go_for_good(clock, gone, looks):
    gone.stop()
    pass_hours(clock, looks, lambda: count(gone) == 0)
    looks.until(lambda: not looks.world.shared.bucket("network-left").count())


def test_names_and_addresses_are_free(hosts, clock, store):
    one, two = hosts
    one.networks.create(wide(ipam=SUBNET))
    one.networks.join("c1", {"wide": PLAIN}, SandboxConfig(name="front"))
    two.until(lambda: two.ledger.present)
    with pytest.raises(Conflict, match="in use"):
        two.networks.join("c2", {"wide": FIRST})
    go_for_good(clock, one, two)
    two.until(lambda: not two.ledger.present)
    words = f"host {own(one)[:12]} has shown no sign of life for {HOURS} hours: names and addresses of its containers"
    assert said(two, "no sign of life") == [f"{words} are nobody's any more"]
    assert address(two.networks.join("c2", {"wide": FIRST})) == "10.1.0.2"
    two.networks.leave("c2")
    assert [each for each, _ in store.bucket("ipam-takers").items() if each.count("/") > 1] == []
    two.networks.remove("wide")


class Dying(Reaching):
    """One whose process ends once there are addresses, and nobody is told whose they are."""

    def attach(self, segment, attachment, namespace):
        os._exit(7)


class Unmade(Reaching):
    """One whose process ends once a network has its subnets, and nobody is told of it."""

    def make(self, segment):
        os._exit(7)


def die(host, driver, act):
    """Have a process of a host's end in the middle of something; no thread of this process looks on."""
    folder = host.world.folder
    pid = os.fork()
    if not pid:
        try:
            with Store(folder / "own.db") as own, Store(folder.parent / "shared.db") as common:
                world = World(folder, own, discovery=Ledger(), shared=common)
                world.drivers["reaching"] = driver
                act(world.open())
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7


ACTS = {
    "join": lambda networks: networks.join("c2", {"wide": FIRST}),
    "connect": lambda networks: networks.connect("wide", "c1", FIRST, running=True),
}


def dies(hosts, act):
    """Have a process of the first host's end in the middle of something; the other one goes on."""
    one, two = hosts
    one.networks.create(wide(ipam=SUBNET))
    one.networks.join("c1", {})
    for each in hosts:
        each.stop()  # whose threads a copy of this process lacks
    die(one, Dying(), ACTS[act])
    two.start()
    with pytest.raises(Conflict, match="in use"):
        two.networks.join("c3", {"wide": FIRST})


@pytest.mark.parametrize("act", ACTS)
def test_an_address_of_which_it_told_nobody_is_free(hosts, clock, act):
    one, two = hosts
    dies(hosts, act)
    go_for_good(clock, one, two)
    assert address(two.networks.join("c3", {"wide": FIRST})) == "10.1.0.2"


@pytest.mark.parametrize("act", ACTS)
def test_an_address_of_which_it_told_nobody_is_free_once_it_is_back(hosts, act):
    one, two = hosts
    dies(hosts, act)
    one.start(["c1"])
    assert address(two.networks.join("c3", {"wide": FIRST})) == "10.1.0.2"
    two.networks.leave("c3")
    one.networks.remove("wide")
    assert one.networks.sandbox("c1").endpoints == ()


def unmade(hosts):
    """Have a process of the first host's end while it makes a network, whose subnet is nobody else's then."""
    one, two = hosts
    one.networks.create(wide())
    one.networks.remove("wide")
    for each in hosts:
        each.stop()
    die(one, Unmade(), lambda networks: networks.create(wide(ipam=SUBNET)))
    two.start()
    with pytest.raises(Conflict, match="Pool overlaps"):
        two.networks.create(wide(ipam=SUBNET))


def test_a_subnet_of_a_network_of_which_it_told_nobody_is_free(hosts, clock, store):
    one, two = hosts
    unmade(hosts)
    go_for_good(clock, one, two)
    made, _ = two.networks.create(wide(ipam=SUBNET))
    assert [key.partition("/")[2] for key, _ in store.bucket("ipam-takers").items()] == [made.id]
    assert not store.bucket("network-begun").count()


def test_a_subnet_of_a_network_of_which_it_told_nobody_is_free_once_it_is_back(hosts, clock, store):
    one, two = hosts
    unmade(hosts)
    one.start()
    two.networks.create(wide(ipam=SUBNET))
    assert not store.bucket("network-begun").count()
    go_for_good(clock, one, two)
    assert address(two.networks.join("c1", {"wide": FIRST})) == "10.1.0.2"


def test_one_that_was_given_up_makes_no_network_of_subnets_that_others_may_have(hosts, monkeypatch, store):
    one, two = hosts
    make = one.driver.make

    def makes(segment):
        give_up(one)
        two.until(lambda: not store.bucket("network-left").count() and not store.bucket("ipam-networks").count())
        make(segment)

    monkeypatch.setattr(one.driver, "make", makes)
    with pytest.raises(Unavailable, match="have meanwhile declared this one dead"):
        one.networks.create(wide(ipam=SUBNET))
    assert not store.bucket("networks").count()
    monkeypatch.undo()
    two.networks.create(wide(ipam=SUBNET))


def test_its_networks_can_not_be_removed_before(hosts, clock):
    one, two = hosts
    one.networks.create(wide())
    one.networks.join("c1", {"wide": PLAIN})
    one.stop()
    for _ in range(HOURS - 1):
        before = count(two)
        clock.hours += 1
        two.until(lambda before=before: count(two) != before)
        with pytest.raises(Denied, match="active endpoints"):
            two.networks.remove("wide")


def test_one_that_comes_back_has_all_again(hosts, clock):
    one, two = hosts
    one.networks.create(wide(ipam=SUBNET))
    endpoint = one.networks.join("c1", {"wide": PLAIN}, SandboxConfig(name="front")).endpoints[0]
    go_for_good(clock, one, two)
    one.start(["c1"])
    assert one.networks.sandbox("c1").endpoints == (endpoint,)
    two.until(lambda: two.ledger.present)
    assert said(one, "other hosts had given this one up")
    # Another host that is slow gives back what was the host's before, and nothing else.
    two.world.open()._context.ipam("cluster").unassign(endpoint.network_id, endpoint.endpoint_id)
    with pytest.raises(Conflict, match="in use"):
        two.networks.join("c2", {"wide": FIRST})
    one.start(["c1"])
    assert one.networks.sandbox("c1").endpoints == (endpoint,)
    one.networks.leave("c1")
    assert address(two.networks.join("c2", {"wide": FIRST})) == "10.1.0.2"


def test_an_address_that_another_has_by_then_stays_that_one_s(hosts, clock):
    one, two = hosts
    one.networks.create(wide(ipam=SUBNET))
    one.networks.create(wide("other"))
    one.networks.join("c1", {"wide": PLAIN, "other": PLAIN}, SandboxConfig(name="front"))
    go_for_good(clock, one, two)
    two.networks.join("c2", {"wide": FIRST})
    one.start(["c1"])
    assert [each.network for each in one.networks.sandbox("c1").endpoints] == ["other"]
    assert [*one.networks.get("wide").containers] == []
    words = "container front is no longer on network wide: others had given this host up, and its address 10.1.0.2 is"
    assert said(one, "no longer on") == [f"{words} another's, or the network has gone"]
    with pytest.raises(Conflict, match="in use"):
        one.networks.join("c3", {"wide": FIRST})
    assert address(two.networks.sandbox("c2")) == "10.1.0.2"
    one.networks.connect("wide", "c1", PLAIN, running=True)
    assert [each.ipv4_address for each in one.networks.sandbox("c1").endpoints][1] == "10.1.0.3"


def test_a_network_that_has_gone_meanwhile(hosts, clock):
    one, two = hosts
    one.networks.create(wide())
    one.networks.create(wide("other"))
    one.networks.join("c1", {"wide": PLAIN, "other": PLAIN})
    go_for_good(clock, one, two)
    two.networks.remove("wide")
    one.start(["c1"])
    assert [each.network for each in one.networks.sandbox("c1").endpoints] == ["other"]
    assert said(one, "c1 is no longer on network wide")
    one.networks.rename("c1", "front")
    two.until(lambda: two.ledger.present)
    one.networks.leave("c1")


def give_up(host):
    """Have others give up a host that lives, which notices at once."""
    others = Shared(host.world.shared, "others", "cluster")
    host.until(lambda: count(host))
    while not others.bury(own(host), count(host)):
        pass
    return others


def test_one_that_was_given_up_and_lives(hosts):
    one, two = hosts
    one.networks.create(wide())
    one.networks.join("c1", {"wide": PLAIN}, SandboxConfig(name="front"))
    give_up(one)
    one.until(lambda: count(one) == 1)
    two.until(lambda: two.ledger.present)
    assert said(one, "other hosts had given this one up")


def test_what_fails_of_that_is_done_again(hosts, monkeypatch):
    """By the process that has begun, and by the next one."""
    one, two = hosts
    one.networks.create(wide())
    for each in ("c1", "c2"):
        one.networks.join(each, {"wide": PLAIN}, SandboxConfig(name=each))
    regained, failed = returning._regained, []

    def fails(context, shared, joined, place):
        if joined.container_id == "c2":
            failed.append(joined)
            raise HostUnfit("the store is away")
        return regained(context, shared, joined, place)

    for again in (lambda: None, lambda: one.start(["c1", "c2"])):
        with monkeypatch.context() as broken:
            broken.setattr(returning, "_regained", fails)
            give_up(one)
            one.until(lambda: len(failed) > 3)
            assert count(one) == -1
        again()
        one.until(lambda: count(one) == 1)
        two.until(lambda: len(two.ledger.present) == 2)
        failed.clear()


def test_an_address_is_its_own_again_whatever_failed_then(hosts, clock, monkeypatch):
    one, two = hosts
    one.networks.create(wide(ipam=SUBNET))
    endpoint = one.networks.join("c1", {"wide": PLAIN}, SandboxConfig(name="front")).endpoints[0]
    go_for_good(clock, one, two)
    put, failed = Records.put_joined, []

    def fails(records, joined):
        if len(failed) < 3:
            failed.append(joined)
            raise HostUnfit("the disk is full")
        put(records, joined)

    monkeypatch.setattr(Records, "put_joined", fails)
    one.start(["c1"])
    one.until(lambda: count(one) > 0)
    assert len(failed) == 3
    assert one.networks.sandbox("c1").endpoints == (endpoint,)
    assert said(one, "no longer on") == []


def test_a_host_is_given_up_as_it_was_seen(store, monkeypatch):
    """Not one that counts on, nor twice; what it has there goes in parts, unless it comes back meanwhile."""
    monkeypatch.setattr(shared, "_AT_ONCE", 2)
    one, other = (Shared(store, each, "cluster") for each in ("one", "other"))
    places = store.bucket("network-places")
    for number in range(5):
        places.put(f"n1/one/c{number}", {"names": [], "addresses": [], "taker": f"e{number}"})
    places.put("n1/one/old", {"names": [], "addresses": []})  # of an engine that didn't know of this
    places.put("n1/other/c1", {"names": [], "addresses": [], "taker": "e9"})
    assert one.count_on() == {"one": 1}
    assert one.count_on() == {"one": 2}
    assert not other.bury("one", 1)
    changes, transaction = [], Store.transaction

    def comes_back(metadata):
        changes.append(metadata)
        if len(changes) == 3:
            one.count_on()
        return transaction(metadata)

    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(Store, "transaction", comes_back)
        assert other.bury("one", 2)
    assert one.given_up
    assert places.count("n1/one/") == 4
    assert other.bury("one", -1)
    assert not other.bury("one", 0)
    assert places.keys() == ("n1/other/c1",)
    assert sorted(other.left()) == [("n1", f"e{number}") for number in range(5)]
    other.given_back("n1", "e0")
    assert len(other.left()) == 4
    with pytest.raises(NotFound, match="network n1 not found"):
        one.put("c1", [(shared.Presence("n1", ("a",), ()), "e1")])


def test_what_a_host_has_no_more_goes_in_parts(store):
    """Some stores make no more than some hundred changes at once."""
    places = store.bucket("network-places")
    for number in range(300):
        places.put(f"n1/{'one' if number else 'other'}/c{number}", {"names": [], "addresses": []})
    Shared(Few(store), "one", "cluster").keep([("n1", "c299")])
    assert places.keys() == ("n1/one/c299", "n1/other/c0")
