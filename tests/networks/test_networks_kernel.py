"""The registry over namespaces and devices of the real kernel, in a network namespace of the test's own."""

import itertools
import os
from pathlib import Path

import pytest
from moby_metadata.sqlite.store import Store
from moby_network_driver.nothing.driver import NothingMade
from networks.wired import Ledger, Veths, World, inside

from moby.contracts.discovery import PortRequest
from moby.contracts.network_driver import Link
from moby.contracts.networks import EndpointConfig, Network, SandboxConfig
from moby.errors import Conflict, Denied, HostUnfit, Invalid, NotFound
from moby.host.netlink import Channel
from moby.host.rtnetlink import addresses, links
from moby.testing.net_namespaces import own_network

pytestmark = pytest.mark.slow

PLAIN = EndpointConfig()
WEB = SandboxConfig("web", "host1", (PortRequest("tcp", 80),))


@pytest.fixture
def world(tmp_path):
    if os.geteuid():
        pytest.skip("making network namespaces takes root")
    with Store(tmp_path / "metadata.db") as store, own_network():
        found = World(tmp_path, store, discovery=Ledger())
        found.drivers["own"] = Veths()
        yield found
        assert list(found.open().recover(())) == []
        assert left(found) == ([], [], ())


@pytest.fixture
def networks(world):
    found = world.open()
    for name, subnet in (("one", "10.1.0.0/24"), ("two", "10.2.0.0/24")):
        found.create(Network("", name, "veths", "", ipam=({"Subnet": subnet},)))
    return found


def left(world):
    """Return what containers have of the host: namespaces, devices and addresses."""
    spaces = (
        sorted(each.name for each in (world.folder / "run/netns").iterdir())
        if (world.folder / "run/netns").exists()
        else []
    )
    return spaces, sorted(world.drivers["own"].there()), world.store.bucket("ipam-endpoints").keys()


def test_a_place_on_a_network(world, networks):
    sandbox = networks.join("c" * 64, {"one": PLAIN}, SandboxConfig("web", "host1"))
    [endpoint] = sandbox.endpoints
    assert (endpoint.ipv4_address, endpoint.ipv4_prefix, endpoint.ipv4_gateway) == ("10.1.0.2", 24, "10.1.0.1")
    assert endpoint.mac_address.startswith("02:42:")
    assert endpoint.dns_names == ("web", "c" * 12, "host1")
    assert sandbox.namespace == str(world.folder / "run/netns" / ("c" * 12))
    found, ways = inside(sandbox.namespace)
    assert found["eth0"] == ["10.1.0.2/24"]
    assert "127.0.0.1/8" in found["lo"]
    assert ways == {("eth0", "10.1.0.1")}
    assert (sandbox.nameservers, sandbox.host_gateway) == (("127.0.0.11",), "172.17.0.1")
    assert networks.get("one").containers == {"c" * 64: endpoint}
    networks.leave("c" * 64)
    assert left(world) == ([], [], ())


def test_several_networks_and_the_way_out(networks):
    sandbox = networks.join("c1", {"two": PLAIN, "one": PLAIN})
    found, ways = inside(sandbox.namespace)
    assert (found["eth0"], found["eth1"]) == (["10.1.0.2/24"], ["10.2.0.2/24"])
    assert ways == {("eth0", "10.1.0.1")}
    networks.leave("c1")
    sandbox = networks.join("c1", {"two": EndpointConfig(gateway_priority=1), "one": PLAIN})
    assert inside(sandbox.namespace)[1] == {("eth0", "10.2.0.1")}


def test_interfaces_are_in_dockerd_s_order_however_networks_are_named(networks):
    for name, internal, subnets in (
        ("a-inner", True, ["10.3.0.0/24"]), ("n-both", False, ["10.4.0.0/24", "fd00:4::/64"]),
        ("z-first", False, ["10.5.0.0/24"]),
    ):  # fmt: skip
        ipam = tuple({"Subnet": each} for each in subnets)
        networks.create(Network("", name, "veths", "", internal=internal, enable_ipv6=len(subnets) > 1, ipam=ipam))
    wanted = dict.fromkeys(("two", "a-inner", "one", "n-both"), PLAIN) | {"z-first": EndpointConfig(gateway_priority=1)}
    sandbox = networks.join("c1", wanted)
    order = ["z-first", "n-both", "one", "two", "a-inner"]
    assert [each.network for each in sandbox.endpoints] == order
    found = inside(sandbox.namespace)[0]
    assert [found[f"eth{number}"][0].split(".")[1] for number in range(5)] == ["5", "4", "1", "2", "3"]


def test_who_finds_no_address_left_is_told_of_the_network_by_its_name(networks):
    made, _ = networks.create(Network("", "small", "veths", "", ipam=({"Subnet": "10.9.0.0/30"},)))
    networks.join("c1", {"small": PLAIN})
    with pytest.raises(Conflict) as caught:
        networks.join("c2", {"small": PLAIN})
    words = f"no available IPv4 addresses on this network's address pools: small ({made.id})"
    assert caught.value.message == words


def test_one_that_does_not_run_is_shown_what_it_will_be_called(networks):
    there = SandboxConfig("web", "host1")
    for network, asked, names in (("one", ("w",), ("web", "w", "c" * 12, "host1")), ("bridge", (), ())):
        found = networks.connect(network, "c" * 64, EndpointConfig(aliases=asked), running=False, wants=there)
        assert (found.dns_names, found.endpoint_id) == (names, "")


def test_connecting_and_disconnecting(world, networks):
    sandbox = networks.join("c1", {"two": PLAIN}, SandboxConfig("web"))
    added = networks.connect("one", "c1", EndpointConfig(aliases=("w",), ipv4_address="10.1.0.77"), running=True)
    assert (added.ipv4_address, added.dns_names) == ("10.1.0.77", ("web", "w", "c1"))
    found, ways = inside(sandbox.namespace)
    assert (found["eth1"], ways) == (["10.1.0.77/24"], {("eth1", "10.1.0.1")})
    assert {each.network_id for each in world.discovery.present["c1"]} == {
        networks.get(each).id for each in ("one", "two")
    }
    networks.disconnect("one", "c1")
    found, ways = inside(sandbox.namespace)
    assert (sorted(found), ways) == (["eth0", "lo"], {("eth0", "10.2.0.1")})
    networks.connect("one", "c1", PLAIN, running=True)
    assert "eth2" in inside(sandbox.namespace)[0]
    networks.disconnect("one", "c1")
    networks.disconnect("two", "c1")
    assert inside(sandbox.namespace)[1] == set()
    assert world.discovery.present["c1"] == ()
    assert networks.sandbox("c1").endpoints == ()
    networks.connect("two", "c1", PLAIN, running=True)


def test_a_container_on_no_network_is_connected_later(networks):
    sandbox = networks.join("c1", {})
    networks.connect("one", "c1", PLAIN, running=True)
    assert inside(sandbox.namespace)[0]["eth0"] == ["10.1.0.2/24"]


def test_wishes(world, networks):
    config = EndpointConfig(ipv4_address="10.1.0.9", mac_address="02:11:22:33:44:55", link_local_ips=("169.254.3.4",))
    [endpoint] = networks.join("c1", {"one": config}).endpoints
    assert (endpoint.ipv4_address, endpoint.mac_address) == ("10.1.0.9", "02:11:22:33:44:55")
    [attachment] = world.drivers["own"].attached.values()
    assert attachment.link_local == ("169.254.3.4",)
    with pytest.raises(Conflict, match="Address already in use"):
        networks.join("c2", {"one": EndpointConfig(ipv4_address="10.1.0.9")})
    assert list(networks.get("one").containers) == ["c1"]


@pytest.mark.parametrize(
    ("network", "config", "words"),
    [
        ("bridge", EndpointConfig(ipv4_address="172.17.0.9"), "supported on user defined networks only\n* user spec"),
        ("chosen", EndpointConfig(ipv4_address="172.18.0.9"), "networks with user configured subnets"),
        ("one", EndpointConfig(ipv4_address="10.9.0.9"), "no configured subnet or ip-range contain the IP address"),
        ("one", EndpointConfig(ipv6_address="fd00::1"), "networks with user configured subnets"),
        ("one", EndpointConfig(ipv4_address="fd00::1"), "invalid IPv4 address: fd00::1"),
        ("one", EndpointConfig(mac_address="zz"), "invalid MAC address: zz"),
        ("one", EndpointConfig(link_local_ips=("zz",)), "invalid link-local IP address: zz"),
    ],
)
def test_wishes_that_can_t_be(networks, network, config, words):
    networks.create(Network("", "chosen", "veths", ""))
    before = f"invalid config for network {network}: invalid endpoint settings:\n"
    for call in (lambda: networks.join("c1", {network: config}), lambda: networks.check({network: config})):
        with pytest.raises(Invalid) as caught:
            call()
        assert caught.value.message.startswith(before)
        assert words in caught.value.message
    networks.join("c1", {"two": PLAIN})
    with pytest.raises(Invalid) as caught:
        networks.connect(network, "c1", config, running=True)
    assert caught.value.message.startswith("invalid endpoint settings:\n")


@pytest.mark.parametrize("address", ["1.1.1.1", "10.1.0.8", "fd00::8"])
def test_addresses_that_are_not_of_the_link(networks, address):
    """As with docker they are taken until somebody is to have them."""
    config = EndpointConfig(link_local_ips=("169.254.3.4", address))
    networks.check({"one": config})
    with pytest.raises(Invalid, match=f"^invalid link local IP address: {address}"):
        networks.join("c1", {"one": config})
    networks.join("c1", {"two": PLAIN})
    with pytest.raises(Invalid, match=f"^invalid link local IP address: {address}"):
        networks.connect("one", "c1", config, running=True)


def test_names_of_interfaces(networks):
    networks.create(Network("", "named", "veths", "", options={"com.docker.network.container_iface_prefix": "net"}))
    wish = EndpointConfig(driver_options={"com.docker.network.endpoint.ifname": "mine"})
    sandbox = networks.join("c1", {"named": PLAIN, "one": wish})
    assert sorted(inside(sandbox.namespace)[0]) == ["lo", "mine", "net0"]


# Making networks


def test_pools_as_they_are_shown(networks):
    pool = {"Subnet": "10.5.0.0/24", "IPRange": "10.5.0.128/25", "AuxiliaryAddresses": {"a": "10.5.0.129"}}
    made, _ = networks.create(Network("", "mine", "veths", "", ipam=(pool,)))
    assert made.ipam == (pool,)
    assert networks.join("c1", {"mine": PLAIN}).endpoints[0].ipv4_address == "10.5.0.130"
    made, _ = networks.create(Network("", "other", "veths", "", enable_ipv6=True))
    assert [sorted(each) for each in made.ipam] == [["Gateway", "Subnet"]] * 2
    assert made.ipam[0] == {"Subnet": "172.18.0.0/16", "Gateway": "172.18.0.1"}
    endpoint = networks.join("c2", {"other": PLAIN}).endpoints[0]
    assert endpoint.ipv6_gateway == made.ipam[1]["Gateway"]
    assert networks.get("other").containers["c2"] == endpoint


def test_the_predefined_network(networks):
    found = networks.get("bridge")
    assert (found.options, found.predefined, networks.default()) == ({"kind": "veth"}, True, "bridge")
    assert found.ipam == ({"Subnet": "172.17.0.0/16", "Gateway": "172.17.0.1"},)
    sandbox = networks.join("c1", {"": PLAIN}, SandboxConfig("web"))
    assert (sandbox.nameservers, sandbox.endpoints[0].dns_names) == ((), ())


def test_subnets_of_the_host_are_left_alone(world):
    with Channel() as channel:
        channel.run(links.bridge("host0", up=True))
        index = links.index_of(channel, "host0")
        channel.run(addresses.add(index, "172.18.0.1/16"), addresses.add(index, "10.7.0.1/24"))
        networks = world.open()
        made = [networks.create(Network("", name, "veths", ""))[0].ipam[0]["Subnet"] for name in ("mine", "other")]
        assert made == ["172.19.0.0/16", "172.20.0.0/16"]
        for subnet in ("10.7.0.0/24", "10.7.0.128/25", "10.0.0.0/8"):
            with pytest.raises(Conflict, match="Pool overlaps with other one on this address space: an interface of"):
                networks.create(Network("", "third", "veths", "", ipam=({"Subnet": subnet},)))
        networks.create(Network("", "third", "veths", "", ipam=({"Subnet": "10.8.0.0/24"},)))
        channel.run(links.delete(index))


def test_what_can_t_be_made_leaves_nothing(world, networks):
    before = networks.list()
    world.drivers["own"].failing = "make"
    with pytest.raises(Conflict, match="make fails"):
        networks.create(Network("", "mine", "veths", "", ipam=({"Subnet": "10.5.0.0/24"},)))
    with pytest.raises(NotFound, match='plugin "nonesuch" not found'):
        networks.create(Network("", "mine", "veths", "", ipam_driver="nonesuch"))
    with pytest.raises(Invalid, match="a pool has no 'Colour'"):
        networks.create(Network("", "mine", "veths", "", ipam=({"Colour": "red"},)))
    assert networks.list() == before
    networks.create(Network("", "mine", "veths", "", ipam=({"Subnet": "10.5.0.0/24"},)))


def test_a_removal_that_fails_goes_on(world, networks):
    networks.join("c1", {"one": PLAIN})
    with pytest.raises(Denied, match=r"network one id .* has active endpoints"):
        networks.remove("one")
    networks.leave("c1")
    world.drivers["own"].failing = "unmake"
    with pytest.raises(Conflict, match="unmake fails"):
        networks.remove("one")
    with pytest.raises(NotFound):
        networks.get("one")
    networks.create(Network("", "again", "veths", "", ipam=({"Subnet": "10.1.0.0/24"},)))


def test_addresses_of_nobody(networks, world):
    networks.create(Network("", "bare", "veths", "", ipam_driver="null"))
    sandbox = networks.join("c1", {"bare": PLAIN})
    assert (sandbox.endpoints[0].ipv4_address, inside(sandbox.namespace)[0]["eth0"]) == ("", [])


# Ports


@pytest.mark.parametrize(
    ("binding", "asked", "found"),
    [
        ("192.0.2.9", "", ["192.0.2.9"]),
        ("192.0.2.9", "192.0.2.8", ["192.0.2.8"]),
        ("0.0.0.0", "", ["0.0.0.0", "::"]),
    ],
)
def test_an_address_by_which_a_network_publishes(networks, binding, asked, found):
    options = {"com.docker.network.bridge.host_binding_ipv4": binding}
    networks.create(Network("", "bound", "veths", "", options=options, ipam=({"Subnet": "10.3.0.0/24"},)))
    config = SandboxConfig("web", "host1", (PortRequest("tcp", 80, asked),))
    assert [each.host_address for each in networks.join("c1", {"bound": PLAIN}, config).ports] == found


def test_ports_are_published_by_the_way_out(world, networks):
    driver = world.drivers["own"]
    sandbox = networks.join("c1", {"two": PLAIN}, WEB)
    assert [(each.host_address, each.host_port) for each in sandbox.ports] == [("0.0.0.0", 32768), ("::", 32768)]
    assert [each.ports for each in driver.attached.values()] == [sandbox.ports]
    networks.connect("one", "c1", PLAIN, running=True)  # which is before it by name
    assert networks.sandbox("c1").ports == sandbox.ports
    assert {each.addresses: bool(each.ports) for each in driver.attached.values()} == {
        ("10.2.0.2/24",): False, ("10.1.0.2/24",): True
    }  # fmt: skip
    networks.disconnect("one", "c1")
    assert [each.ports for each in driver.attached.values()] == [sandbox.ports]
    networks.disconnect("two", "c1")
    assert networks.sandbox("c1").ports == world.discovery.claimed["c1"] == ()
    networks.connect("two", "c1", PLAIN, running=True)
    assert len(networks.sandbox("c1").ports) == 2


DUAL = ({"Subnet": "10.3.0.0/24"}, {"Subnet": "fd00:3::/64"})


@pytest.mark.parametrize(
    ("modes", "pools", "asked", "found"),
    [
        pytest.param((4, 6), DUAL, "", [("0.0.0.0", 0), ("::", 0)], id="both"),
        pytest.param((6,), DUAL, "", [("0.0.0.0", 8080), ("::", 0)], id="one"),
        pytest.param((4,), DUAL, "", [("::", 8080), ("0.0.0.0", 0)], id="the other"),
        pytest.param((4,), DUAL[:1], "", [("0.0.0.0", 0)], id="the only"),
        pytest.param((4,), DUAL[:1], "192.0.2.8", [("192.0.2.8", 0)], id="its address"),
        pytest.param((4, 6), DUAL, "::", [("::", 0)], id="of one family"),
        pytest.param((4, 6), DUAL[:1], "::", [], id="without an address"),
        pytest.param((6,), DUAL, "192.0.2.8", [("192.0.2.8", 8080)], id="nothing of it"),
    ],
)
def test_ports_of_what_is_routed(world, networks, modes, pools, asked, found):
    """They are none of the host's, whatever number is asked for."""
    options = {f"com.docker.network.bridge.gateway_mode_ipv{each}": "routed" for each in modes}
    networks.create(Network("", "routed", "veths", "", enable_ipv6=len(pools) > 1, options=options, ipam=pools))
    config = SandboxConfig("web", "host1", (PortRequest("tcp", 80, asked, 8080, 8080),))
    sandbox = networks.join("c1", {"routed": PLAIN}, config)
    assert [(each.host_address, each.host_port) for each in sandbox.ports] == found
    assert [each.ports for each in world.drivers["own"].attached.values()] == [sandbox.ports]
    assert world.discovery.claimed["c1"] == tuple(each for each in sandbox.ports if each.host_port)


def test_an_address_of_what_is_routed_that_is_none(networks):
    options = {"com.docker.network.bridge.gateway_mode_ipv4": "routed"}
    networks.create(Network("", "routed", "veths", "", options=options, ipam=DUAL[:1]))
    config = SandboxConfig("web", "host1", (PortRequest("tcp", 80, "nonesuch"),))
    assert [each.host_address for each in networks.join("c1", {"routed": PLAIN}, config).ports] == ["nonesuch"]


def test_ports_between_what_is_routed_and_what_is_not(world, networks):
    options = {"com.docker.network.bridge.gateway_mode_ipv4": "routed"}
    networks.create(Network("", "first", "veths", "", options=options, ipam=DUAL[:1]))
    config = SandboxConfig("web", "host1", (PortRequest("tcp", 80, "", 8080, 8080),))
    networks.join("c1", {"one": PLAIN}, config)

    def shown():
        return [(each.host_address, each.host_port) for each in networks.sandbox("c1").ports]

    networks.connect("first", "c1", PLAIN, running=True)  # which is before it by name
    assert (shown(), world.discovery.claimed["c1"]) == ([("0.0.0.0", 0)], ())
    again = world.open()
    assert list(again.recover(["c1"])) == []
    assert (shown(), world.discovery.claimed["c1"]) == ([("0.0.0.0", 0)], ())
    networks.disconnect("first", "c1")
    assert shown() == [("0.0.0.0", 8080), ("::", 8080)]


def test_a_port_that_cannot_be(world, networks, monkeypatch):
    def claim(sandbox, requests):
        raise Invalid("cannot assign requested address 192.0.2.9")

    monkeypatch.setattr(world.discovery, "claim", claim)
    words = r"^driver failed programming external connectivity on endpoint web \([0-9a-f]{64}\): cannot assign"
    with pytest.raises(Invalid, match=words):
        networks.join("c1", {"one": PLAIN}, SandboxConfig("web", ports=(PortRequest("tcp", 80, "192.0.2.9"),)))


def test_a_port_that_is_taken(world, networks):
    config = SandboxConfig("first", ports=(PortRequest("tcp", 80, first=8080, last=8080),))
    networks.join("c1", {"one": PLAIN}, config)
    words = r"driver failed programming external connectivity on endpoint web \([0-9a-f]{64}\): Bind for 0.0"
    with pytest.raises(Conflict, match=words):
        networks.join("c2", {"one": PLAIN}, SandboxConfig("web", ports=config.ports))
    assert list(networks.get("one").containers) == ["c1"]


def test_ports_where_nobody_publishes(networks):
    networks.create(Network("", "inner", "veths", "", internal=True))
    assert networks.join("c1", {"inner": PLAIN}, WEB).ports == ()
    assert networks.join("c2", {"none": PLAIN}, WEB).ports == ()


# Names


def test_names_and_servers(world, networks):
    networks.join("c1", {"one": EndpointConfig(aliases=("w",))}, SandboxConfig("web", dns=("192.0.2.53",)))
    [presence] = world.discovery.present["c1"]
    assert presence.names == ("web.one", "web", "w", "c1", "w.one", "c1.one")
    assert (presence.addresses, world.discovery.resolvers["c1"].servers) == (("10.1.0.2",), ("192.0.2.53",))
    networks.rename("c1", "shop")
    assert world.discovery.present["c1"][0].names[:2] == ("shop.one", "shop")
    assert networks.sandbox("c1").endpoints[0].dns_names == ("shop", "w", "c1")
    networks.leave("c1")
    assert world.discovery.present == {}


def test_nobody_asks_outside_from_an_internal_network(world, networks, monkeypatch, tmp_path):
    (tmp_path / "resolv.conf").write_text("search x\nnameserver 192.0.2.1\nnameserver nonesuch\nnameserver\n")
    monkeypatch.setattr("moby_networks.registry.presences._RESOLV_CONF", str(tmp_path / "resolv.conf"))
    networks.create(Network("", "inner", "veths", "", internal=True))
    networks.join("c1", {"inner": PLAIN})
    assert world.discovery.resolvers["c1"].servers == ()
    networks.connect("one", "c1", PLAIN, running=True)
    found = world.discovery.resolvers["c1"]
    assert (found.servers, found.from_host) == (("192.0.2.1",), True)


def test_links(world, networks):
    linked = SandboxConfig("client", links=(("c2", "db"), ("c9", "gone")))
    networks.join("c1", {"one": PLAIN}, linked)
    assert world.discovery.resolvers["c1"].own_names == {}
    networks.join("c2", {"one": PLAIN}, SandboxConfig("postgres", "host2"))
    assert world.discovery.resolvers["c1"].own_names == {"db": ("10.1.0.3",)}
    networks.leave("c1")
    networks.leave("c2")
    networks.join("c2", {"": PLAIN}, SandboxConfig("postgres", "host2"))
    assert networks.join("c1", {"": PLAIN}, linked).hosts == (("172.17.0.2", "db host2 postgres"),)


# Errors and kills


@pytest.mark.parametrize("step", ["make", "attach", "claim", "enter"])
def test_what_fails_as_a_container_joins_is_undone(world, networks, step):
    before = networks.list()
    networks = world.open()  # another process, which has made none of them
    part = world.discovery if step in ("claim", "enter") else world.drivers["own"]
    part.failing = step
    with pytest.raises(Conflict, match=f"{step} fails"):
        networks.join("c1", {"two": PLAIN, "one": PLAIN}, WEB)
    assert (left(world), networks.list(), world.discovery.present) == (([], [], ()), before, {})
    assert world.discovery.claimed == {}
    networks.join("c1", {"two": PLAIN, "one": PLAIN}, WEB)


@pytest.mark.parametrize("step", ["make", "publish", "attach", "claim", "enter"])
def test_what_fails_as_a_container_is_connected_is_undone(world, networks, step):
    sandbox = networks.join("c1", {"two": PLAIN}, WEB)
    before = networks.list(), left(world), inside(sandbox.namespace), world.discovery.claimed
    before_published = [each.ports for each in world.drivers["own"].attached.values()]
    networks = world.open()
    part = world.discovery if step in ("claim", "enter") else world.drivers["own"]
    part.failing = step
    with pytest.raises(Conflict, match=f"{step} fails"):
        networks.connect("one", "c1", PLAIN, running=True)
    assert (networks.list(), left(world), inside(sandbox.namespace), world.discovery.claimed) == before
    assert [each.ports for each in world.drivers["own"].attached.values()] == before_published
    assert networks.sandbox("c1") == sandbox


def test_leaving_goes_on_and_tells_all(world, networks):
    networks.join("c1", {"two": PLAIN, "one": PLAIN}, WEB)
    world.drivers["own"].failing = "detach"
    world.discovery.failing = "leave"
    with pytest.raises(Conflict, match="leave fails; detach fails"):
        networks.leave("c1")
    assert left(world) == ([], [], ())
    networks.leave("c1")


def test_disconnecting_goes_on_and_tells_all(world, networks):
    sandbox = networks.join("c1", {"two": PLAIN, "one": PLAIN}, WEB)
    world.drivers["own"].failing = "publish"
    world.discovery.failing = "enter"
    with pytest.raises(Conflict, match="publish fails; enter fails"):
        networks.disconnect("one", "c1")
    assert sorted(inside(sandbox.namespace)[0]) == ["eth1", "lo"]
    assert list(networks.get("one").containers) == []


def test_no_namespace_can_be_made(world, networks, monkeypatch):
    def refuse(flags):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("moby_networks.registry.namespaces.unshare", refuse)
    with pytest.raises(HostUnfit, match=r"a network namespace can't be made at .*: Operation not permitted"):
        networks.join("c1", {"one": PLAIN})
    assert left(world) == ([], [], ())


def test_a_namespace_that_somebody_removed(world, networks):
    sandbox = networks.join("c1", {"one": PLAIN})
    world.open()._context.namespaces.remove("c1")
    with pytest.raises(NotFound, match=r"the network namespace .* can't be opened: No such file"):
        networks.connect("two", "c1", PLAIN, running=True)
    assert set(world.open().recover(["c1"])) == {
        f"the network namespace {sandbox.namespace} can't be opened: No such file or directory"
    }


def test_a_gateway_that_can_t_be(world, networks):
    class Elsewhere(NothingMade):
        name, creatable = "elsewhere", True

        def attach(self, segment, attachment, namespace):
            return Link("lo", gateways=("192.0.2.1",))

    world.drivers["elsewhere"] = Elsewhere()
    networks = world.open()
    networks.create(Network("", "third", "elsewhere", ""))
    with pytest.raises(Conflict, match=r"failed to set gateway 192\.0\.2\.1: "):
        networks.join("c1", {"third": PLAIN})
    assert left(world) == ([], [], ())


class Deadly:
    """A part around whose calls this process may be killed."""

    def __init__(self, part, step):
        self.part, self.step = part, step

    def __getattr__(self, name):
        found = getattr(self.part, name)
        if not callable(found):
            return found

        def call(*args, **options):
            self.step()
            result = found(*args, **options)
            self.step()
            return result

        return call


class DeadlyWorld(World):
    """One whose process dies at some step, counted from when it is told to."""

    def arm(self, monkeypatch, steps):
        self.steps = steps
        for place in ("namespaces.Namespaces.make", "namespaces.Namespaces.remove", "records.Records.put_joined",
                      "records.Records.delete_joined", "ways.lead"):  # fmt: skip
            monkeypatch.setattr(f"moby_networks.registry.{place}", self.around(place))

    def around(self, place):
        import importlib

        module, _, name = place.partition(".")
        found = importlib.import_module(f"moby_networks.registry.{module}")
        for each in name.split("."):
            found = getattr(found, each)

        def call(*args, **options):
            self.step()
            result = found(*args, **options)
            self.step()
            return result

        return call

    def step(self):
        self.steps -= 1
        if self.steps == 0:
            os.kill(os.getpid(), 9)

    def wrap(self, part):
        return Deadly(part, self.step)


def killed(folder, steps, act):
    """Have a copy of this process do something until some step; return whether it was killed there."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            monkeypatch = pytest.MonkeyPatch()
            with Store(folder / "metadata.db") as store:
                world = DeadlyWorld(folder, store, discovery=Ledger())
                world.drivers["own"] = Veths()
                world.steps = 0
                networks = world.open()
                world.arm(monkeypatch, steps)
                act(networks)
            code = 0
        finally:
            os._exit(code)
    status = os.waitpid(pid, 0)[1]
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)


ACTS = {
    "join": lambda networks: networks.join("c2", {"two": PLAIN, "one": PLAIN}, WEB),
    "leave": lambda networks: networks.leave("c1"),
    "connect": lambda networks: networks.connect("one", "c1", PLAIN, running=True),
    "disconnect": lambda networks: networks.disconnect("two", "c1"),
    "create": lambda networks: networks.create(Network("", "new", "veths", "")),
    "remove": lambda networks: networks.remove("one"),
}


@pytest.mark.slow
@pytest.mark.parametrize("act", ACTS)
def test_kills_at_any_step(world, networks, act):
    steps = 0
    while True:
        steps += 1
        networks.leave("c1")
        networks.join("c1", {"two": PLAIN}, SandboxConfig("web", ports=(PortRequest("tcp", 80),)))
        died = killed(world.folder, steps, ACTS[act])
        again = world.open()
        running = [] if act == "leave" else ["c1"]
        assert list(again.recover(running)) == []
        check_exactly(world, again, running)
        if act == "create" and "new" in [each.name for each in again.list()]:
            again.remove("new")
        if act == "remove" and "one" not in [each.name for each in again.list()]:
            again.create(Network("", "one", "veths", "", ipam=({"Subnet": "10.1.0.0/24"},)))
        if not died:
            break
    assert steps > 4


def check_exactly(world, networks, running):
    """Check that what stands is what running containers have joined, all of it and nothing else."""
    sandboxes = {each: networks.sandbox(each) for each in running}
    endpoints = [each for sandbox in sandboxes.values() for each in sandbox.endpoints]
    spaces, devices, assigned = left(world)
    assert spaces == sorted(Path(each.namespace).name for each in sandboxes.values())
    assert devices == sorted(f"t{each.endpoint_id[:10]}" for each in endpoints)
    assert list(assigned) == sorted(f"{each.network_id}/{each.endpoint_id}" for each in endpoints)
    assert sorted(world.store.bucket("ipam-networks").keys()) == sorted(
        each.id for each in networks.list() if each.driver == "veths"
    )
    for container, sandbox in sandboxes.items():
        found, ways = inside(sandbox.namespace)
        assert sorted(itertools.chain(*found.values())) == sorted(
            ["127.0.0.1/8", "::1/128", *(f"{each.ipv4_address}/24" for each in sandbox.endpoints)]
        )
        first = min(sandbox.endpoints, key=lambda each: each.network, default=None)
        assert {gateway for _, gateway in ways} == ({first.ipv4_gateway} if first else set())
        assert world.discovery.claimed.get(container, ()) == sandbox.ports
        assert len(world.discovery.present[container]) == len(sandbox.endpoints)
