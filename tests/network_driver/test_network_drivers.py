"""The suite of network drivers, for each that this kernel has what it takes for."""

import inspect
from contextlib import ExitStack

import pytest
from attrs import evolve
from guests.cover import needs
from moby_metadata.sqlite.store import Store
from moby_network_driver.bridge.plugin import Config as BridgeConfig
from moby_network_driver.bridge.plugin import make as make_bridge
from moby_network_driver.cni.plugin import make as make_cni
from moby_network_driver.host.plugin import Config as HostConfig
from moby_network_driver.host.plugin import make as make_host
from moby_network_driver.ipvlan.plugin import Config as IpvlanConfig
from moby_network_driver.ipvlan.plugin import make as make_ipvlan
from moby_network_driver.macvlan.plugin import Config as MacvlanConfig
from moby_network_driver.macvlan.plugin import make as make_macvlan
from moby_network_driver.none.plugin import Config as NoneConfig
from moby_network_driver.none.plugin import make as make_none
from moby_network_driver.nothing.driver import NothingMade
from moby_network_driver.overlay.plugin import Config as OverlayConfig
from moby_network_driver.overlay.plugin import make as make_overlay
from network_driver.engines import Quiet, card, has_ipvlan, place_in, starting
from network_driver.test_cni import BRIDGE, configured, written

from moby.surroundings import SystemClock
from moby.testing.net_namespaces import own_network
from moby.testing.network_driver import Given, NetworkDriverSuite
from moby.testing.network_driver_given import member
from moby.testing.network_driver_mutants import MAKING_MUTANTS, MUTANTS, OPENING_MUTANTS, PUBLISHING_MUTANTS


class Lonely(NothingMade):
    """A sort of which users make networks, each of a container's own."""

    name = "lonely"
    scope = "swarm"
    creatable = True


class TestNone(NetworkDriverSuite):
    @pytest.fixture
    def given(self, host):
        return Given(lambda: make_none(NoneConfig()))


class TestHost(NetworkDriverSuite):
    @pytest.fixture
    def given(self, host):
        return Given(lambda: make_host(HostConfig()))


class TestCreatable(NetworkDriverSuite):
    @pytest.fixture
    def given(self, host):
        return Given(Lonely)


class TestBridge(NetworkDriverSuite):
    @pytest.fixture
    def given(self, host, tmp_path):
        with starting(lambda: make_bridge(BridgeConfig(), place=place_in(tmp_path), log=Quiet())) as start:
            yield Given(start)


class TestMacvlan(NetworkDriverSuite):
    @pytest.fixture(params=["card", ""], ids=["on-a-card", "alone"])
    def given(self, host, tmp_path, request):
        card()
        options = {"parent": request.param} if request.param else {}
        with starting(lambda: make_macvlan(MacvlanConfig(), place=place_in(tmp_path))) as start:
            yield Given(start, options)


class TestIpvlan(NetworkDriverSuite):
    @pytest.fixture(params=["l2", "l3", "l3s", "alone"])
    def given(self, host, tmp_path, request):
        card()
        needs(has_ipvlan(), "ipvlan", "uml", "qemu")
        options = {} if request.param == "alone" else {"parent": "card", "ipvlan_mode": request.param}
        with starting(lambda: make_ipvlan(IpvlanConfig(), place=place_in(tmp_path))) as start:
            yield Given(start, options, macs=False)


def caught(mutant, given):
    """Whether the suite's test fails for a mutant, and not by a fault of the mutant's own."""
    broken = evolve(given, open=lambda: mutant.wrap(given.open()))
    arguments = {"given": broken}
    with ExitStack() as stack, pytest.raises(BaseException) as found:
        test = getattr(NetworkDriverSuite(), mutant.test)
        if "namespace" in inspect.signature(test).parameters:
            arguments["namespace"] = lambda: member(stack)
        test(*arguments.values(), *mutant.given)
    return not isinstance(found.value, KeyboardInterrupt | AttributeError | TypeError)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: f"{mutant.name}-{mutant.test}")
def test_mutant_is_caught(mutant):
    assert caught(mutant, Given(lambda: make_none(NoneConfig())))


@pytest.mark.slow
@pytest.mark.parametrize(
    "mutant",
    (*MAKING_MUTANTS, *PUBLISHING_MUTANTS, *OPENING_MUTANTS),
    ids=lambda mutant: f"{mutant.name}-{mutant.test}",
)
def test_mutant_of_what_is_made_is_caught(mutant, tmp_path, monkeypatch):
    if mutant.name == "OpensNothing":  # whose fault is that nothing ever comes
        monkeypatch.setattr("moby.testing.network_driver_given.PATIENCE_S", 2.0)
    with own_network(), starting(lambda: make_bridge(BridgeConfig(), place=place_in(tmp_path), log=Quiet())) as start:
        assert caught(mutant, Given(start))


@pytest.mark.long
@pytest.mark.parametrize(
    "mutant",
    (*MAKING_MUTANTS, *PUBLISHING_MUTANTS, *OPENING_MUTANTS),
    ids=lambda mutant: f"{mutant.name}-{mutant.test}",
)
def test_mutant_over_hosts_is_caught(mutant, tmp_path):
    """The same promises, broken by the driver `overlay`."""
    config, place, clock = OverlayConfig(address="192.0.2.1"), place_in(tmp_path), SystemClock()
    with (
        own_network(),
        Store(tmp_path / "store.db") as store,
        starting(lambda: make_overlay(config, stores={"own": store}, place=place, clock=clock, log=Quiet())) as start,
    ):
        assert caught(mutant, Given(start))


OF_LISTS = [each for each in MAKING_MUTANTS if each.name != "AlwaysAWayOut"]
"""Lists of plugins know no internal networks, which alone show that one."""


@pytest.mark.long
@pytest.mark.parametrize("mutant", OF_LISTS, ids=lambda mutant: f"{mutant.name}-{mutant.test}")
def test_mutant_by_plugins_is_caught(mutant, tmp_path):
    """And by `cni`, which here publishes nothing."""
    config = configured(tmp_path, ports=False)
    for number in (1, 2):
        written(tmp_path, f"network{number}", [{**BRIDGE, "bridge": f"cni{number}"}])
    with own_network(), starting(lambda: make_cni(config, place=place_in(tmp_path), log=Quiet())) as start:
        assert caught(mutant, Given(start, internal=False))
