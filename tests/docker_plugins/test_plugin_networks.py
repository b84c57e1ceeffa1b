"""The part `network-driver/plugin`, with a plugin that speaks docker's protocol and nothing else."""

import json
import os
import threading
from contextlib import ExitStack, contextmanager

import pytest
from docker_plugins.plugin_server import Refused, Server
from moby_network_driver.plugin import driver as driver_module
from moby_network_driver.plugin import plugin as part
from moby_network_driver.plugin.driver import PluginNetworks
from network_driver.engines import Quiet, place_in
from network_driver.test_network_drivers import caught

from moby.contracts.network_driver import Port
from moby.errors import Conflict, HostUnfit, Invalid, NotFound
from moby.host.docker_plugins import Plugin
from moby.host.elsewhere import in_namespace
from moby.host.netlink import Channel
from moby.host.rtnetlink import routes
from moby.testing.net_namespaces import own_network
from moby.testing.network_driver import NetworkDriverSuite
from moby.testing.network_driver_given import Given, answers, attachment, devices, hears, inside, member, segment
from moby.testing.network_driver_mutants import MAKING_MUTANTS, MUTANTS, PUBLISHING_MUTANTS
from moby.values import evolve

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="making network namespaces takes root")


@contextmanager
def serving(folder):
    """A plugin that lives in the caller's network namespace."""
    (folder / "plugins").mkdir()
    with Server(folder / "plugins" / "wired.sock", folder) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            for each in list(server.parts["NetworkDriver"].forwarders):
                server.parts["NetworkDriver"].RevokeExternalConnectivity({"EndpointID": each})
            server.shutdown()
            thread.join()


def made(folder, log=None, **more):
    plugin = Plugin("wired", "NetworkDriver", [folder / "plugins"], patience_s=0.2)
    return PluginNetworks(plugin, place_in(folder), log or Quiet(), **more)


@pytest.mark.slow
class TestPluginNetworks(NetworkDriverSuite):
    @pytest.fixture
    def given(self, host, tmp_path):
        with serving(tmp_path):
            yield Given(lambda: made(tmp_path, publishes=True), knows_options=False)


SAYING = [each for each in MUTANTS if each.test != "test_options" and each.name != "OptionsOfOthers"]
"""All but those that only who knows options tells apart: this driver says nothing of one before its plugin is asked."""


@pytest.mark.long
@pytest.mark.parametrize(
    "mutant", (*SAYING, *MAKING_MUTANTS, *PUBLISHING_MUTANTS), ids=lambda mutant: f"{mutant.name}-{mutant.test}"
)
def test_mutant_by_a_docker_plugin_is_caught(mutant, host, tmp_path):
    with serving(tmp_path):
        assert caught(mutant, Given(lambda: made(tmp_path, publishes=True), knows_options=False))


@pytest.fixture
def host():
    with own_network():
        yield


@pytest.fixture
def server(host, tmp_path):
    with serving(tmp_path) as server:
        yield server


@pytest.fixture
def log():
    return Quiet()


@pytest.fixture
def driver(server, tmp_path, log):
    return made(tmp_path, log, publishes=True)


@pytest.fixture
def stack(host):
    with ExitStack() as found:
        yield found


def plain(driver, number=1):
    return segment(Given(lambda: driver), driver, number)


def told(server):
    found = [json.loads(line) for line in server.calls.read_text().splitlines()]
    return [(path.removeprefix("NetworkDriver."), given) for path, given in found if path != "Plugin.Activate"]


def test_what_a_plugin_is_told(driver, server, stack):
    assert driver.scope == "local"
    network = evolve(plain(driver), options={"kept": "yes"})
    there = member(stack)
    ports = (Port("tcp", 80, "127.0.0.1", 8080), Port("tcp", 81, "127.0.0.1", 0))  # 0 is none; of plugins, any
    wanted = attachment(driver, network, 2, ports=ports)
    driver.make(network)
    driver.attach(network, wanted, there)
    driver.detach(network, wanted, there)
    driver.unmake(network)
    names = {"NetworkID": network.id, "EndpointID": wanted.id}
    mapped = {"Proto": 6, "IP": "", "Port": 80, "HostIP": "127.0.0.1", "HostPort": 8080, "HostPortEnd": 8080}
    told_of_ports = {
        "com.docker.network.endpoint.exposedports": [{"Proto": 6, "Port": 80}, {"Proto": 6, "Port": 81}],
        "com.docker.network.portmap": [mapped],
    }
    found = told(server)
    assert found[3][1].pop("SandboxKey").startswith("/proc/")
    assert found == [
        ("GetCapabilities", {}),
        ("CreateNetwork", {
            "NetworkID": network.id,
            "Options": {"com.docker.network.enable_ipv6": True, "com.docker.network.generic": {"kept": "yes"}},
            "IPv4Data": [{"AddressSpace": "LocalDefault", "Pool": "10.77.1.0/24", "Gateway": "10.77.1.1/24"}],
            "IPv6Data": [{"AddressSpace": "LocalDefault", "Pool": "fd77:1::/64", "Gateway": "fd77:1::1/64"}],
        }),
        ("CreateEndpoint", {
            **names, "Options": told_of_ports,
            "Interface": {"Address": "10.77.1.2/24", "AddressIPv6": "fd77:1::2/64", "MacAddress": ""},
        }),
        ("Join", {**names, "Options": told_of_ports}),
        ("ProgramExternalConnectivity", {**names, "Options": told_of_ports}),
        ("RevokeExternalConnectivity", names),
        ("Leave", names),
        ("DeleteEndpoint", names),
        ("DeleteNetwork", {"NetworkID": network.id}),
    ]  # fmt: skip


def test_what_a_plugin_chooses(driver, server, stack):
    """Addresses of its own where the engine gives none, a MAC address, and routes."""
    network = evolve(plain(driver), pools=())
    inner = server.parts["NetworkDriver"]
    joining = inner.Join
    own = {"Address": "10.9.0.7/24", "AddressIPv6": "fd09::7/64", "MacAddress": "02:00:5e:00:53:09"}
    inner.CreateEndpoint = lambda given: (
        inner.endpoints.update({(given["NetworkID"], given["EndpointID"]): own}) or {"Interface": own}
    )
    inner.Join = lambda given: {
        **joining(given), "Gateway": "10.9.0.1", "StaticRoutes": [
            {"Destination": "10.10.0.0/16", "RouteType": 0, "NextHop": "10.9.0.254"},
            {"Destination": "10.11.0.0/16", "RouteType": 1},
        ],
    }  # fmt: skip
    there = member(stack)
    driver.make(network)
    link = driver.attach(network, attachment(driver, network, 2), there)
    assert (link.addresses, link.mac_address) == (("10.9.0.7/24", "fd09::7/64"), "02:00:5e:00:53:09")
    assert link.gateways == ("10.9.0.1",)
    assert inside(there)["eth0"].device.mac == "02:00:5e:00:53:09"
    with in_namespace(there, Channel) as channel:
        ways = {each.destination: each.gateway for each in routes.dump(channel)}
    assert (ways["10.10.0.0/16"], ways["10.11.0.0/16"]) == ("10.9.0.254", "")


def test_what_a_plugin_refuses_is_told_in_its_words(driver, server, stack, log):
    network, there, before = plain(driver), member(stack), devices()
    with pytest.raises(Invalid, match=r"can't make network network1: .*unknown option nonesuch"):
        driver.make(evolve(network, options={"nonesuch": "1"}))
    driver.make(network)
    ready, inner = devices(), server.parts["NetworkDriver"]
    for method in ("CreateEndpoint", "Join", "ProgramExternalConnectivity"):
        usual = getattr(inner, method)

        def refuse(given, method=method):
            raise Refused(f"no luck with {method}")

        setattr(inner, method, refuse)
        wanted = attachment(driver, network, 2, ports=(Port("tcp", 80, "127.0.0.1", 8080),))
        with pytest.raises(HostUnfit, match=f"the plugin wired says: .*no luck with {method}"):
            driver.attach(network, wanted, there)
        assert (devices(), set(inside(there))) == (ready, {"lo"}), method
        setattr(inner, method, usual)
    driver.unmake(network)
    assert devices() == before
    assert {text for _, text in log.said} == {"what a network plugin made can't be undone"}  # the endpoint wasn't there


@pytest.mark.parametrize(
    ("method", "answer", "message"),
    [
        ("CreateEndpoint", {"Interface": 7}, "'7' is no map"),
        ("CreateEndpoint", {"Interface": {"Address": "here"}}, "'here' does not appear"),
        ("CreateEndpoint", {"Interface": {"MacAddress": "02:00"}}, "'02:00' is no MAC address"),
        ("Join", {}, "'' is no interface"),
        ("Join", {"InterfaceName": {"SrcName": "../eth0"}}, "is no interface"),
        ("Join", {"InterfaceName": {"SrcName": 7}}, "7 is no interface"),
        ("Join", {"InterfaceName": {"SrcName": "x"}, "Gateway": "there"}, "'there' does not appear"),
        ("Join", {"InterfaceName": {"SrcName": "x"}, "StaticRoutes": "x"}, "StaticRoutes are no list"),
        ("Join", {"InterfaceName": {"SrcName": "x"}, "StaticRoutes": [7]}, "answers what can't be"),
        ("Join", {"InterfaceName": {"SrcName": "x"}, "StaticRoutes": [{"Destination": "10.0.0.0/8"}]}, "NextHop"),
        ("Join", {"InterfaceName": {"SrcName": "nowhere"}}, "says that it made nowhere, which isn't here"),
    ],
)
def test_answers_that_are_none(driver, server, stack, method, answer, message):
    network, there = plain(driver), member(stack)
    driver.make(network)
    ready = devices()
    setattr(server.parts["NetworkDriver"], method, lambda given: dict(answer))
    with pytest.raises(HostUnfit, match=message):
        driver.attach(network, attachment(driver, network, 2), there)
    assert (devices(), set(inside(there))) == (ready, {"lo"})
    assert [name for name, _ in told(server)].count("Leave") == (method == "Join"), "what it joined it also leaves"


def test_what_fails_to_be_undone_is_told_once_all_else_is(driver, server, stack):
    network, there = plain(driver), member(stack)
    driver.make(network)
    ready, wanted = devices(), attachment(driver, network, 2)
    driver.attach(network, wanted, there)

    def refuse(given):
        raise Refused("not yet")

    server.parts["NetworkDriver"].Leave = refuse
    with pytest.raises(HostUnfit, match="not yet"):
        driver.detach(network, wanted, there)
    assert (devices(), set(inside(there))) == (ready, {"lo"})
    driver.detach(network, wanted, there)


def test_a_network_stays_known_until_the_plugin_removed_it(driver, server):
    network, before = plain(driver), devices()
    driver.make(network)
    usual = server.parts["NetworkDriver"].DeleteNetwork

    def refuse(given):
        raise Refused("in use")

    server.parts["NetworkDriver"].DeleteNetwork = refuse
    with pytest.raises(HostUnfit, match="in use"):
        driver.unmake(network)
    server.parts["NetworkDriver"].DeleteNetwork = usual
    driver.reclaim()
    assert devices() == before


@pytest.mark.parametrize(("kind", "stays"), [("veth", False), ("", True)], ids=["made", "hardware"])
def test_what_a_plugin_leaves_goes_unless_it_is_hardware(driver, server, stack, monkeypatch, kind, stays):
    network, there = plain(driver), member(stack)
    driver.make(network)
    wanted = attachment(driver, network, 2)
    driver.attach(network, wanted, there)
    server.parts["NetworkDriver"].DeleteEndpoint = lambda given: {}
    usual = driver_module.links.look_up
    monkeypatch.setattr(
        driver_module.links, "look_up", lambda *given: (found := usual(*given)) and evolve(found, kind=kind)
    )
    driver.detach(network, wanted, there)
    assert (f"pc{wanted.id[:8]}" in devices()) == stays


def test_a_plugin_that_comes_after_the_engine(tmp_path, host, stack):
    driver = made(tmp_path)
    driver.keep([])  # with nothing that it could know, it isn't asked
    assert driver.scope == "local"
    network = plain(driver)
    with pytest.raises(HostUnfit, match="there is no plugin wired"):
        driver.make(network)
    with serving(tmp_path):
        driver.make(network)
        one, other = member(stack), member(stack)
        driver.attach(network, attachment(driver, network, 2), one)
        driver.attach(network, attachment(driver, network, 3), other)
        assert hears(one, other, "10.77.1.3")


def test_an_attachment_that_was_interrupted_is_made_again(driver, server, stack, monkeypatch):
    network, there, wanted = plain(driver), member(stack), None
    driver.make(network)
    ready, wanted = devices(), attachment(driver, network, 2)
    monkeypatch.setattr(type(driver), "_clear", lambda *_: None)  # as if it were killed

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(type(driver), "_put", killed)
    with pytest.raises(KeyboardInterrupt):
        driver.attach(network, wanted, there)
    assert devices() != ready
    monkeypatch.undo()
    driver.attach(network, wanted, there)
    assert "eth0" in inside(there)
    driver.keep([(network, [])])
    assert devices() == ready


def test_ports(driver, server, stack, monkeypatch):
    network, there = plain(driver), member(stack)
    driver.make(network)
    wanted = attachment(driver, network, 2, ports=(Port("tcp", 80, "127.0.0.1", 8080),))
    driver.attach(network, wanted, there)
    assert answers(there, 80, "127.0.0.1", 8080)
    driver.publish(network, wanted)
    driver.publish(network, evolve(wanted, ports=()))
    assert not answers(there, 80, "127.0.0.1", 8080)

    def refuse(given):
        raise Refused("no port is free")

    with monkeypatch.context() as failing:
        failing.setattr(server.parts["NetworkDriver"], "ProgramExternalConnectivity", refuse)
        with pytest.raises(HostUnfit, match="no port is free"):
            driver.publish(network, wanted)
    driver.publish(network, wanted)
    assert answers(there, 80, "127.0.0.1", 8080)
    with pytest.raises(NotFound, match="is not on network network1"):
        driver.publish(plain(driver), attachment(driver, network, 9))
    with pytest.raises(Conflict, match="eth0"):
        driver.attach(network, attachment(driver, network, 3), there)


def test_the_part(tmp_path):
    found = part.make(part.Config("weave"), place=place_in(tmp_path), log=Quiet())
    assert (found.name, found.publishes) == ("weave", False)
