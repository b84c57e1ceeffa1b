"""Networks that engines of several hosts know together, in a store that they share."""

import os
import threading
import time
from contextlib import ExitStack

import pytest
from moby_ipam.default.plugin import Config as IpamConfig
from moby_ipam.default.plugin import make as make_ipam
from moby_metadata.sqlite.store import Store
from moby_networks.registry.plugin import Config, make
from moby_networks.registry.shared import Shared
from networks.wired import Ledger, Veths, World

from moby.contracts.ipam import Pool
from moby.contracts.networks import EndpointConfig, Network, SandboxConfig
from moby.errors import Conflict, Denied, HostUnfit, Invalid, NotFound
from moby.testing.net_namespaces import own_network

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="making network namespaces takes root")
PLAIN = EndpointConfig()
PATIENCE_S = 60


class Reaching(Veths):
    """A sort that reaches over hosts."""

    name = "reaching"
    scope = "swarm"
    predefined = ""
    predefined_options = {}  # noqa: RUF012


@pytest.fixture
def stack():
    with ExitStack() as found:
        found.enter_context(own_network())
        yield found


@pytest.fixture
def shared(stack, tmp_path):
    return stack.enter_context(Store(tmp_path / "shared.db"))


class Host:
    """An engine's networks, started as often as one likes."""

    def __init__(self, folder, shared, stack, **more):
        folder.mkdir()
        self.driver, self.ledger = Reaching(), Ledger()
        store = stack.enter_context(Store(folder / "own.db"))
        self.world = World(folder, store, discovery=self.ledger, shared=shared, **more)
        self.world.drivers["reaching"] = self.driver
        self._last = stack.enter_context(ExitStack())
        self.start()

    def stop(self):
        self._last.close()

    def start(self, running=()):
        self.stop()
        self.networks = self.world.open()
        self._last.callback(self.networks.__exit__, None, None, None)
        self.networks.recover(running)

    def until(self, true):
        limit = time.monotonic() + PATIENCE_S
        while not true():
            assert time.monotonic() < limit
            time.sleep(0.01)  # it follows the other by reading, of which nobody is told


@pytest.fixture
def hosts(stack, shared, tmp_path):
    found = [Host(tmp_path / each, shared, stack) for each in ("one", "two")]
    yield found
    for each in found:
        each.networks.recover(())


def wide(name="wide", **more):
    return Network("", name, "reaching", "", **more)


def address(sandbox):
    return sandbox.endpoints[0].ipv4_address


def test_a_network_is_known_to_all(hosts):
    one, two = hosts
    made, _ = one.networks.create(wide())
    assert (made.scope, made.ipam_driver) == ("swarm", "cluster")
    assert two.networks.get("wide") == made
    with pytest.raises(Conflict, match="wide already exists"):
        two.networks.create(wide())
    own, _ = one.networks.create(Network("", "own", "bridge", "")) if "bridge" in one.networks.drivers() else (None, ())
    assert own is None
    one.networks.remove("wide")
    with pytest.raises(NotFound, match="wide not found"):
        two.networks.get("wide")


def test_no_address_is_two_containers_(hosts):
    one, two = hosts
    one.networks.create(wide())
    found = [address(hosts[number % 2].networks.join(f"c{number}", {"wide": PLAIN})) for number in range(6)]
    assert len(set(found)) == 6
    one.start(["c0", "c2"])  # c4 has gone meanwhile
    assert {*one.networks.get("wide").containers} == {"c0", "c2"}
    assert {*two.networks.get("wide").containers} == {"c1", "c3", "c5"}
    for number in range(6, 260):
        try:
            found.append(address(two.networks.join(f"c{number}", {"wide": PLAIN})))
        except Conflict:
            break
        two.networks.leave(f"c{number}")
    assert not {found[0], found[2]} & set(found[6:])


def test_networks_of_other_hosts_keep_their_addresses(hosts):
    one, two = hosts
    one.networks.create(wide())
    two.networks.join("c1", {"wide": PLAIN})
    for each in hosts:
        each.start(["c1"] if each is two else [])
    assert address(two.networks.sandbox("c1")) == "172.17.0.2"
    assert address(one.networks.join("c2", {"wide": PLAIN})) == "172.17.0.3"


def test_containers_of_other_hosts_are_found_by_name(hosts):
    one, two = hosts
    one.networks.create(wide())
    one.networks.join("c1", {"wide": EndpointConfig(aliases=("web",))}, SandboxConfig(name="front"))
    two.until(lambda: two.ledger.present)
    ((known, (presence,)),) = two.ledger.present.items()
    assert known.endswith(".c1")
    assert presence.names == ("front.wide", "front", "web", "c1", "web.wide", "c1.wide")
    assert presence.addresses == ("172.17.0.2",)
    one.networks.rename("c1", "back")
    two.until(lambda: two.ledger.present[known][0].names[1] == "back")
    two.start()
    assert list(two.ledger.present) == [known]
    one.networks.leave("c1")
    two.until(lambda: not two.ledger.present)


def test_what_a_host_that_was_killed_left_goes_when_it_comes_back(hosts):
    one, two = hosts
    one.networks.create(wide())
    one.networks.join("c1", {"wide": PLAIN}, SandboxConfig(name="front"))
    two.until(lambda: two.ledger.present)
    one.start()
    two.until(lambda: not two.ledger.present)


def test_a_network_that_another_host_uses_stays(hosts):
    one, two = hosts
    one.networks.create(wide())
    two.networks.join("c1", {"wide": PLAIN})
    with pytest.raises(Denied, match=r"network wide id .* has active endpoints") as caught:
        one.networks.remove("wide")
    assert "c1 of host " in caught.value.hint
    two.networks.leave("c1")
    one.networks.remove("wide")


def test_one_that_another_host_removes_is_taken_down_here(hosts):
    one, two = hosts
    made, _ = one.networks.create(wide())
    two.networks.join("c1", {"wide": PLAIN})
    two.networks.leave("c1")
    assert made.id in two.driver.made
    two.until(lambda: two.networks._following._networks)
    one.networks.remove("wide")
    two.until(lambda: made.id not in two.driver.made)


def test_one_that_a_container_of_another_host_is_joining_is_not_removed(hosts, monkeypatch):
    one, two = hosts
    one.networks.create(wide())
    attach = Reaching.attach

    def late(driver, *args):
        with pytest.raises(Denied, match="has active endpoints"):
            one.networks.remove("wide")
        return attach(driver, *args)

    monkeypatch.setattr(Reaching, "attach", late)
    two.networks.join("c1", {"wide": PLAIN})
    two.networks.leave("c1")
    one.networks.remove("wide")


def test_one_that_another_host_removes_meanwhile_is_not_joined(hosts, monkeypatch):
    one, two = hosts
    one.networks.create(wide())
    promise = Shared.promise

    def late(shared, *args):
        one.networks.remove("wide")
        promise(shared, *args)

    monkeypatch.setattr(Shared, "promise", late)
    with pytest.raises(NotFound, match="has no addresses"):
        two.networks.join("c1", {"wide": PLAIN})
    assert two.driver.attached == {}
    assert two.driver.there() == []
    assert two.world.shared.bucket("network-places").count() == 0


def test_what_cannot_be_followed_is_told_once(hosts, monkeypatch):
    one, _ = hosts
    failed = []

    def fails(shared):
        failed.append(shared)
        raise HostUnfit("the disk is away")

    with monkeypatch.context() as broken:
        broken.setattr(Shared, "revision", fails)
        one.until(lambda: len(failed) > 6)
    assert [each for each, _ in one.world.log.said if "followed" in each] == [
        "what other hosts do to networks can't be followed"
    ]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"store": "far", "ipam": "default"}, "its store is 'far', and there is no such part"),
        ({"store": "own"}, "its ipam is '', and there is no such part"),
        ({"host_gateway": "here"}, "'here' is no address"),
        ({"gone_hours": -1}, "gone_hours is -1"),
    ],
)
def test_options_that_cannot_be(hosts, shared, config, message):
    ipams = {"default": make_ipam(IpamConfig(), metadata=shared)}
    nothing = dict.fromkeys(("discovery", "events", "place", "clock", "log"))
    with pytest.raises(Invalid, match=message):
        make(Config(**config), drivers={}, ipams=ipams, metadata=shared, stores={"own": shared}, **nothing)


def test_an_ipam_s_store_that_is_not_there(shared):
    with pytest.raises(Invalid, match="its store is 'far'"):
        make_ipam(IpamConfig(store="far"), metadata=shared, stores={"own": shared})


def test_what_an_ipam_keeps_is_its_host_s(stack, shared, tmp_path):
    ipams = []
    for each in ("one", "two"):
        own = stack.enter_context(Store(tmp_path / f"{each}.db"))
        stores = {"own": own, "cluster": shared}
        ipams.append(make_ipam(IpamConfig(store="cluster", name="cluster"), metadata=own, stores=stores))
    one, two = ipams
    assert one.name == "cluster"
    one.take("n1", [Pool("10.1.0.0/24")])
    with pytest.raises(Conflict, match="overlaps"):
        two.take("n2", [Pool("10.1.0.0/16")])
    assert [each.assign("n1", name) for each, name in ((one, "e1"), (two, "e2"))] == [
        ("10.1.0.2/24",),
        ("10.1.0.3/24",),
    ]
    two.keep({"n1": ["e2"]})
    one.keep({"n1": []})
    assert one.assign("n1", "e3", ["10.1.0.2"]) == ("10.1.0.2/24",)
    with pytest.raises(Conflict, match="in use"):
        one.assign("n1", "e4", ["10.1.0.3"])
    two.keep({})
    assert two.take("n1", [Pool("10.1.0.0/24")])[0].gateway == "10.1.0.1"
    one.keep({})
    assert two.take("n2", [Pool("10.1.0.0/16")])[0].subnet == "10.1.0.0/16"
    one.give_back("n2")
    assert shared.bucket("ipam-takers").keys() == ()


def test_who_is_on_no_shared_network_waits_for_no_other_host(hosts, shared):
    one, _ = hosts
    ended, done = threading.Event(), threading.Event()

    def holds():
        with shared.transaction():
            done.set()
            ended.wait(PATIENCE_S)

    holder = threading.Thread(target=holds)
    holder.start()
    try:
        assert done.wait(PATIENCE_S)
        one.networks.join("c1", {"none": PLAIN})
        one.networks.leave("c1")
    finally:
        ended.set()
        holder.join()
