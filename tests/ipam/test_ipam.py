import ipaddress
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule
from metadata.few import Few
from moby_ipam.default.allocator import Allocator
from moby_ipam.default.plugin import Config, PoolOfSubnets, make
from moby_ipam.null.plugin import Config as NullConfig
from moby_ipam.null.plugin import make as make_null
from moby_ipam.pools.subnets import Block, choose
from moby_metadata.sqlite.store import Store

from moby.contracts.ipam import Pool
from moby.errors import Conflict, Invalid
from moby.testing.ipam import IpamSuite
from moby.testing.ipam_mutants import MUTANTS


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "metadata.db") as found:
        yield found


class TestDefault(IpamSuite):
    @pytest.fixture
    def open_ipam(self, store):
        return lambda: make(Config(), metadata=store)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: f"{mutant.name}-{mutant.test}")
def test_ipam_mutant_is_caught(mutant, store):
    part = mutant.wrap(make(Config(), metadata=store))
    with pytest.raises(BaseException) as caught:  # an assertion, pytest.fail, or what the fault raises
        getattr(IpamSuite(), mutant.test)(lambda: part)
    assert not isinstance(caught.value, KeyboardInterrupt | AttributeError | TypeError)


def test_docker_s_pools(store):
    ipam = make(Config(), metadata=store)
    found = [ipam.take(f"n{number}", [])[0].subnet for number in range(31)]
    assert found == [
        *(f"172.{number}.0.0/16" for number in range(17, 32)),
        *(f"192.168.{number}.0/20" for number in range(0, 256, 16)),
    ]
    with pytest.raises(Conflict, match="could not find an available, non-overlapping IPv4 address pool"):
        ipam.take("one too many", [])
    ipam.give_back("n4")
    assert ipam.take("n99", [])[0].subnet == found[4]


def test_pools_of_one_s_own(store):
    pools = (PoolOfSubnets("10.200.0.0/23", 24), PoolOfSubnets("fd12:3456:789a::/48", 64))
    ipam = make(Config(pools=pools), metadata=store)
    assert [each.subnet for each in ipam.take("n1", [], ipv6=True)] == ["10.200.0.0/24", "fd12:3456:789a::/64"]
    assert [each.subnet for each in ipam.take("n2", [], ipv6=True)] == ["10.200.1.0/24", "fd12:3456:789a:1::/64"]
    with pytest.raises(Conflict, match="could not find"):
        ipam.take("n3", [])


@pytest.mark.parametrize(
    "pool", [PoolOfSubnets("10.0.0.1/8", 16), PoolOfSubnets("x", 16), PoolOfSubnets("10.0.0.0/8", 4)]
)
def test_pools_that_can_t_be(store, pool):
    with pytest.raises(Invalid, match=f"invalid address pool {pool.base}"):
        make(Config(pools=(pool,)), metadata=store)


def test_local_ipv6_addresses_are_the_engine_s_own(store, tmp_path):
    six = [make(Config(), metadata=store).take(f"n{number}", [], ipv6=True)[1].subnet for number in range(2)]
    blocks = {ipaddress.ip_network(each).supernet(new_prefix=48) for each in six}
    assert len(blocks) == 1
    assert blocks.pop().subnet_of(ipaddress.ip_network("fd00::/8"))
    with Store(tmp_path / "other.db") as other:
        assert make(Config(), metadata=other).take("n0", [], ipv6=True)[1].subnet != six[0]


def test_a_subnet_of_two_addresses_and_of_one(store):
    ipam = make(Config(), metadata=store)
    ipam.take("n1", [Pool("10.1.0.0/31")])
    assert ipam.assign("n1", "e1") == ("10.1.0.1/31",)
    ipam.take("n2", [Pool("10.2.0.0/32")])
    with pytest.raises(Conflict, match="no available IPv4 addresses"):
        ipam.assign("n2", "e1")


def test_a_full_range_of_many_pages(store):
    ipam = make(Config(), metadata=store)
    ipam.take("n1", [Pool("10.1.0.0/22")])
    with store.transaction():
        found = {ipam.assign("n1", f"e{number}")[0] for number in range(1021)}
    assert len(found) == 1021
    with pytest.raises(Conflict):
        ipam.assign("n1", "more")
    ipam.unassign("n1", "e700")
    assert ipam.assign("n1", "more")[0] in found


@pytest.mark.parametrize("of", ["one", "many"], ids=["own", "shared"])
def test_much_is_taken_back_in_parts(store, of):
    """Some stores make no more than some hundred changes at once."""
    few = Few(store)
    ipam = Allocator(few, [], host="" if of == "one" else "host")
    for network, subnet in (("n1", "10.1.0.0/24"), ("n2", "10.2.0.0/24")):
        ipam.take(network, [Pool(subnet), Pool(subnet.replace("10.", "fd00:").replace(".0.0/24", "::/64"))], ipv6=True)
        for number in range(70):
            ipam.assign(network, f"e{number}")
    ipam.keep({"n1": ["e69"]})
    assert {each: store.bucket(each).count() for each in store.buckets()} == {
        "ipam-networks": 1,
        "ipam-addresses": 4,
        "ipam-endpoints": 1,
        "ipam-turns": 2,
        **({} if of == "one" else {"ipam-takers": 2}),
    }
    for number in range(60):
        ipam.assign("n1", f"e{number}")
    ipam.give_back("n1")
    assert set(store.buckets()) <= {"ipam-takers"}
    ipam.keep({})
    assert store.buckets() == ()


def test_several_subnets_of_a_family(store):
    ipam = make(Config(), metadata=store)
    ipam.take("n1", [Pool("10.1.0.0/30"), Pool("10.2.0.0/30")])
    assert [ipam.assign("n1", f"e{number}")[0] for number in range(2)] == ["10.1.0.2/30", "10.2.0.2/30"]


def test_nothing_is_handed_out_by_null():
    ipam = make_null(NullConfig())
    assert (ipam.name, ipam.take("n1", [Pool()]), ipam.assign("n1", "e1")) == ("null", (), ())
    for wanted, more in (([Pool("10.0.0.0/8")], {}), ([], {"ipv6": True})):
        with pytest.raises(Invalid, match="null ipam driver does not handle"):
            ipam.take("n1", wanted, **more)
    with pytest.raises(Invalid, match="null ipam driver does not handle"):
        ipam.assign("n1", "e1", ["10.0.0.1"])
    ipam.unassign("n1", "e1")
    ipam.give_back("n1")
    ipam.keep({})


@given(
    size=st.integers(20, 26),
    occupied=st.lists(st.tuples(st.integers(0, 2**12 - 1), st.integers(20, 32)), max_size=12),
)
def test_what_is_chosen_is_free_and_the_first(size, occupied):
    base = ipaddress.ip_network("10.0.0.0/20")
    there = [ipaddress.ip_network((int(base.network_address) + low, length), strict=False) for low, length in occupied]
    free = [each for each in base.subnets(new_prefix=size) if not any(each.overlaps(other) for other in there)]
    try:
        found = choose([Block(base, size)], 4, there).subnet
    except Conflict:
        found = ""
    assert found == (str(free[0]) if free else "")


class Handing(RuleBasedStateMachine):
    """Whatever is asked in whatever order, each address is one's alone, and each that is nobody's can be had."""

    endpoints = Bundle("endpoints")

    @initialize(length=st.integers(27, 30), reserved=st.sets(st.integers(2, 5), max_size=2))
    def begin(self, length, reserved):
        self.folder = tempfile.TemporaryDirectory()
        self.store = Store(Path(self.folder.name) / "metadata.db").__enter__()
        self.ipam = make(Config(), metadata=self.store)
        self.subnet = ipaddress.ip_network(f"10.1.0.0/{length}")
        hosts = [str(each) for each in self.subnet.hosts()]
        mine = {f"r{number}": hosts[number] for number in reserved if number < len(hosts)}
        self.ipam.take("n1", [Pool(str(self.subnet), reserved=mine)])
        self.free = set(hosts[1:]) - set(mine.values())
        self.held = {}
        self.count = 0

    @rule(target=endpoints)
    def assign(self):
        self.count += 1
        name = f"e{self.count}"
        if self.free:
            [text] = self.ipam.assign("n1", name)
            self.take(name, text)
        else:
            with pytest.raises(Conflict, match="no available"):
                self.ipam.assign("n1", name)
        return name

    @rule(target=endpoints, number=st.integers(0, 31))
    def ask(self, number):
        self.count += 1
        name = f"e{self.count}"
        wanted = str(self.subnet.network_address + number)
        if wanted in self.free:
            [text] = self.ipam.assign("n1", name, [wanted])
            assert text == f"{wanted}/{self.subnet.prefixlen}"
            self.take(name, text)
        else:
            with pytest.raises((Conflict, Invalid)):
                self.ipam.assign("n1", name, [wanted])
        return name

    def take(self, name, text):
        address = text.partition("/")[0]
        assert address in self.free
        self.free.discard(address)
        self.held[name] = text

    @rule(name=consumes(endpoints))
    def give_back(self, name):
        self.ipam.unassign("n1", name)
        if name in self.held:
            self.free.add(self.held.pop(name).partition("/")[0])

    @rule(survivors=st.randoms())
    def crash(self, survivors):
        kept = [name for name in sorted(self.held) if survivors.random() < 0.5]
        self.ipam = make(Config(), metadata=self.store)
        self.ipam.keep({"n1": kept})
        for name in set(self.held) - set(kept):
            self.free.add(self.held.pop(name).partition("/")[0])

    @invariant()
    def nobody_loses_what_is_held(self):
        for name, text in getattr(self, "held", {}).items():
            assert self.ipam.assign("n1", name) == (text,)

    def teardown(self):
        if hasattr(self, "store"):
            self.store.__exit__(None, None, None)
            self.folder.cleanup()


TestHanding = Handing.TestCase
TestHanding.settings = settings(
    max_examples=25, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
