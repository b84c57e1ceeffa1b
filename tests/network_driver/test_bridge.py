"""The driver of bridges: what it makes of a host, what it refuses, and what a fault at any step leaves."""

import errno
import ipaddress
import os
import signal
import socket
import threading
from contextlib import ExitStack
from pathlib import Path

import pytest
from attrs import evolve
from guests.cover import needs
from moby_network_driver.bridge.plugin import Config, make
from moby_network_driver.bridged.ports import port_name
from moby_network_driver.interfaces.marks import Marks
from network_driver.engines import Quiet, place_in, starting

from moby.contracts.ipam import Pool
from moby.contracts.network_driver import Port
from moby.errors import Conflict, HostUnfit, Invalid, MobyError
from moby.host import network_settings
from moby.host.elsewhere import in_namespace
from moby.host.netlink import Channel
from moby.host.nftables import Nftables
from moby.host.rtnetlink import addresses, links, routes
from moby.host.rtnetlink.links import Peer
from moby.host.rtnetlink.routes import Route
from moby.host.syscalls import fork_quietly
from moby.testing.as_user import as_nobody
from moby.testing.net_namespaces import own_network
from moby.testing.network_driver_given import (
    Given,
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

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="making network namespaces takes root")
OPTION = "com.docker.network.bridge."


@pytest.fixture(autouse=True)
def host():
    with own_network():
        network_settings.set_to("0", "ipv4", "ip_forward")  # which it has of the machine's
        yield


@pytest.fixture
def channel(host):
    with Channel() as found:
        yield found


@pytest.fixture
def start(host, tmp_path):
    with starting(lambda: make(Config(), place=place_in(tmp_path), log=Quiet())) as found:
        yield found


@pytest.fixture
def driver(start):
    return start()


@pytest.fixture
def stack():
    with ExitStack() as found:
        yield found


@pytest.fixture
def network(driver):
    return segment(Given(lambda: driver), driver)


def v4(network):
    """A network without its IPv6 pool."""
    return evolve(network, pools=network.pools[:1])


def configured(tmp_path, **options):
    return make(Config(**options), place=place_in(tmp_path), log=Quiet())


def device(channel, name):
    return links.get(channel, name)


def texts(channel, name):
    index = device(channel, name).index
    return {each.text for each in addresses.dump(channel) if each.index == index and not each.of_link}


def setting(*parts):
    return network_settings.read(*parts)


# What it makes


def test_a_bridge(driver, network, channel):
    driver.make(network)
    found = device(channel, f"br-{network.id[:12]}")
    assert (found.kind, found.up, found.mtu) == ("bridge", True, 1500)
    assert texts(channel, found.name) == {"10.77.1.1/24", "fd77:1::1/64"}
    assert found.alias.split()[2:] == ["network", network.id]
    assert (setting("ipv4", "ip_forward"), setting("ipv6", "conf", "all", "forwarding")) == ("1", "1")
    assert setting("ipv6", "conf", found.name, "accept_ra") == "0"


def test_a_bridge_without_ipv6(driver, network, channel, stack):
    driver.make(v4(network))
    name = f"br-{network.id[:12]}"
    assert setting("ipv6", "conf", name, "disable_ipv6") == "1"
    assert setting("ipv6", "conf", "all", "forwarding") == "0"
    there = member(stack)
    driver.attach(v4(network), attachment(driver, v4(network), 2), there)
    assert inside(there)["eth0"].addresses == {"10.77.1.2/24"}
    assert in_namespace(there, lambda: setting("ipv6", "conf", "eth0", "disable_ipv6")) == "1"


def test_listening_to_routers_goes_on_where_ipv6_is_forwarded(driver, network, channel):
    for name, value in (("card", "1"), ("deaf", "0")):
        channel.run(links.bridge(name))
        network_settings.set_to(value, "ipv6", "conf", name, "accept_ra")
    driver.make(network)
    assert [setting("ipv6", "conf", each, "accept_ra") for each in ("card", "deaf")] == ["2", "0"]


def test_an_internal_network_makes_no_router_of_the_host(driver, network):
    driver.make(evolve(network, internal=True))
    assert (setting("ipv4", "ip_forward"), setting("ipv6", "conf", "all", "forwarding")) == ("0", "0")


def test_a_host_that_is_not_to_forward(tmp_path, network):
    with configured(tmp_path, ip_forward=False) as driver:
        driver.make(network)
        assert setting("ipv4", "ip_forward") == "0"


def test_an_address_that_somebody_else_has(driver, network, channel):
    driver.make(evolve(network, options={f"{OPTION}inhibit_ipv4": "true"}))
    assert texts(channel, f"br-{network.id[:12]}") == {"fd77:1::1/64"}


@pytest.mark.parametrize(("versions", "left"), [((4,), {"fd77:1::1/64"}), ((6,), {"10.77.1.1/24"}), ((4, 6), set())])
def test_a_network_that_not_even_the_host_is_on(driver, network, channel, stack, versions, left):
    options = {f"{OPTION}gateway_mode_ipv{each}": "isolated" for each in versions}
    with pytest.raises(Invalid, match=r"gateway_mode_ipv. is isolated, and network network1 isn't internal"):
        driver.make(evolve(network, options=options))
    apart = evolve(network, options=options, internal=True)
    driver.make(apart)
    assert texts(channel, f"br-{network.id[:12]}") == left
    one, other = member(stack), member(stack)
    driver.attach(apart, attachment(driver, apart, 2), one)
    driver.attach(apart, attachment(driver, apart, 3), other)
    assert hears(one, other, "10.77.1.3")
    assert hears(one, other, "fd77:1::3")


def test_addresses_of_an_earlier_subnet_go(driver, network, channel):
    driver.make(network)
    driver.make(evolve(network, pools=(Pool("10.78.0.0/16", gateway="10.78.0.9"),)))
    assert texts(channel, f"br-{network.id[:12]}") == {"10.78.0.9/16"}


@pytest.mark.parametrize(("cards", "mtu"), [((), 1500), ((1400,), 1400), ((9000,), 1500), ((1450, 1300), 1300)])
def test_mtu_of_the_way_out(driver, network, channel, stack, cards, mtu):
    for number, each in enumerate(cards):
        channel.run(links.bridge(f"card{number}", mtu=each, up=True))
        index = links.index_of(channel, f"card{number}")
        channel.run(addresses.add(index, f"192.0.2.{number}/24"))
        channel.run(routes.add(Route("0.0.0.0/0", index, f"192.0.2.{100 + number}", metric=number + 1)))
    driver.make(network)
    there = member(stack)
    driver.attach(network, attachment(driver, network, 2), there)
    assert inside(there)["eth0"].device.mtu == device(channel, f"br-{network.id[:12]}").mtu == mtu


def test_mtu_that_was_chosen(tmp_path, network, channel, stack):
    with configured(tmp_path, mtu=1400) as driver:
        driver.make(network)
        assert device(channel, f"br-{network.id[:12]}").mtu == 1400
        other = segment(Given(lambda: driver, {"com.docker.network.driver.mtu": "1280"}), driver, 2)
        driver.make(other)
        there = member(stack)
        driver.attach(other, attachment(driver, other, 2), there)
        assert inside(there)["eth0"].device.mtu == 1280


def test_what_is_shown_of_the_network_that_is_there(tmp_path):
    options = {"default_bridge": "true", "enable_icc": "true", "enable_ip_masquerade": "true"}
    plain = {f"{OPTION}{key}": value for key, value in options.items()} | {f"{OPTION}host_binding_ipv4": "0.0.0.0"}
    assert dict(configured(tmp_path).predefined_options) == plain
    chosen = configured(tmp_path, device="own0", host_binding_ipv4="127.0.0.1", mtu=1400).predefined_options
    more = {f"{OPTION}name": "own0", f"{OPTION}host_binding_ipv4": "127.0.0.1"}
    assert dict(chosen) == plain | more | {"com.docker.network.driver.mtu": "1400"}


def test_a_name_that_was_chosen(tmp_path, network, channel):
    with configured(tmp_path, device="own0") as driver:
        predefined = evolve(network, name="bridge", options=driver.predefined_options)
        driver.make(predefined)
        assert device(channel, "own0").kind == "bridge"
        driver.unmake(predefined)
        assert "own0" not in devices()


def test_a_port_of_a_bridge(driver, network, channel, stack):
    driver.make(network)
    wanted = attachment(driver, network, 2)
    link = driver.attach(network, wanted, member(stack))
    found = device(channel, port_name(wanted.id))
    assert (found.kind, found.up, found.isolated) == ("veth", True, False)
    assert found.master == device(channel, f"br-{network.id[:12]}").index
    assert found.alias.split()[2:] == ["endpoint", network.id, wanted.id]
    assert link.mac_address == "02:42:" + ipaddress.ip_address("10.77.1.2").packed.hex(":")
    assert {each.text for each in addresses.dump(channel) if each.index == found.index} == set()


def test_a_hardware_address_where_there_is_no_ipv4(driver, network, stack):
    only = evolve(network, pools=network.pools[1:])
    driver.make(only)
    found = [driver.attach(only, attachment(driver, only, each), member(stack)).mac_address for each in (2, 3)]
    assert found[0] != found[1]
    assert {each[:5] for each in found} == {"02:42"}


@pytest.mark.parametrize(("called", "hairpin"), [("0", False), ("1", True)])
def test_what_bridges_send_back(driver, network, channel, stack, called, hairpin):
    network_settings.set_to(called, "bridge", "bridge-nf-call-iptables")
    driver.make(network)
    wanted = attachment(driver, network, 2)
    driver.attach(network, wanted, member(stack))
    assert device(channel, port_name(wanted.id)).hairpin == hairpin


def unreachable(asking, address):
    """The error of sending to an address on the link that nobody answers for, which the kernel soon says."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET

    def send():
        for name, value in (("mcast_solicit", "1"), ("retrans_time_ms", "20")):
            network_settings.set_to(value, "ipv6" if ":" in address else "ipv4", "neigh", "eth0", name)
        with socket.socket(family, socket.SOCK_STREAM) as asks:
            asks.settimeout(60)
            return asks.connect_ex((address, 7))

    return in_namespace(asking, send)


def refused(asking, address):
    """Whether somebody answers for an address, where nothing listens: a moment after an interface is up nobody does."""
    for _ in range(500):
        error = unreachable(asking, address)
        if error != errno.EHOSTUNREACH:
            return error == errno.ECONNREFUSED
    return False


@pytest.mark.parametrize("icc", ["true", "false"])
def test_containers_that_are_kept_apart(driver, channel, stack, icc):
    network = segment(Given(lambda: driver, {f"{OPTION}enable_icc": icc}), driver)
    driver.make(network)
    one, other = member(stack), member(stack)
    driver.attach(network, attachment(driver, network, 2), one)
    wanted = attachment(driver, network, 3)
    link = driver.attach(network, wanted, other)
    assert device(channel, port_name(wanted.id)).isolated == (icc == "false")
    assert refused(one, "10.77.1.1")
    assert refused(other, "10.77.1.1")
    for each in link.addresses:
        if icc == "false":
            assert unreachable(one, bare(each)) == errno.EHOSTUNREACH
        else:
            assert refused(one, bare(each))


def test_settings_of_an_interface(driver, network, stack):
    driver.make(network)
    there, key = member(stack), "com.docker.network.endpoint.sysctls"
    options = {key: "net.ipv4.conf.IFNAME.log_martians=1,net.ipv6.conf.IFNAME.hop_limit=7"}
    driver.attach(network, evolve(attachment(driver, network, 2, "net1"), options=options), there)
    found = in_namespace(there, lambda: [setting(f"ipv{each}", "conf", "net1", name) for each, name in
                                         ((4, "log_martians"), (6, "hop_limit"))])  # fmt: skip
    assert found == ["1", "7"]


@pytest.mark.parametrize("version", [4, 6])
def test_an_address_that_another_has_now(driver, network, stack, version):
    only = evolve(network, pools=network.pools[:1] if version == 4 else network.pools[1:])
    driver.make(only)
    one, other = member(stack), member(stack)
    driver.attach(only, attachment(driver, only, 2), one)
    first, second = (evolve(attachment(driver, only, 3), id=each * 64) for each in "cd")
    link = driver.attach(only, first, other)
    assert hears(one, other, bare(link.addresses[0]))
    driver.detach(only, first, other)
    driver.attach(only, second, other)
    assert hears(one, other, bare(link.addresses[0]))


def trusting(interface, version):
    """Have the kernel not look again at what it knows of others."""
    network_settings.set_to("3600000", f"ipv{version}", "neigh", interface, "base_reachable_time_ms")


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("asked", ["", "02:11:22:33:44:55"])
def test_a_hardware_address_that_is_another_one_now(driver, network, stack, asked, version):
    """The host, and who is on the network, don't go on sending to who had the address before."""
    driver.make(network)
    one, other = member(stack), member(stack)
    driver.attach(network, attachment(driver, network, 2), one)
    first = evolve(attachment(driver, network, 3), id="c" * 64, mac_address="02:66:77:88:99:aa")
    link = driver.attach(network, first, other)
    host, address = os.open("/proc/self/ns/net", os.O_RDONLY), bare(link.addresses[version == 6])
    stack.callback(os.close, host)
    for where, name in ((one, "eth0"), (host, f"br-{network.id[:12]}")):
        in_namespace(where, lambda name=name: trusting(name, version))
    assert hears(one, other, address)
    assert hears(host, other, address)
    driver.detach(network, first, other)
    now = driver.attach(network, evolve(attachment(driver, network, 3), id="d" * 64, mac_address=asked), other)
    assert now.mac_address != link.mac_address
    assert hears(one, other, address)
    assert hears(host, other, address)


# What it refuses


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({f"{OPTION}enable_icc": "maybe"}, "failed to parse .*enable_icc value: maybe"),
        ({"com.docker.network.driver.mtu": "big"}, 'mtu value: big .strconv.Atoi: parsing "big": invalid syntax.'),
        ({"com.docker.network.driver.mtu": "-5"}, "invalid MTU number: -5"),
        ({f"{OPTION}name": "much-too-long-a-name"}, "can't be an interface's name"),
        ({f"{OPTION}name": "a/b"}, "can't be an interface's name"),
        ({f"{OPTION}name": ".."}, "can't be an interface's name"),
        ({"com.docker.network.container_iface_prefix": "a b"}, "can't be an interface's name"),
        ({"com.docker.network.driver.mtu": "67"}, "invalid MTU number: 67"),
        ({f"{OPTION}host_binding_ipv4": "::1"}, r"host_binding_ipv4 value: ::1 \(nil ip\)"),
        ({f"{OPTION}gateway_mode_ipv4": "bridged"}, "one of nat, nat-unprotected, routed, isolated"),
        ({"com.docker.network.host_ipv4": "192.0.2.1"}, "not an option of bridge networks"),
        ({"com.docker.network.enable_ipv6": "maybe"}, "failed to parse .*enable_ipv6 value: maybe"),
        ({"mtu": "1400"}, "not an option of bridge networks"),
        ({".mtu": "1400"}, "not an option of bridge networks"),
    ],
)
def test_options_that_cannot_be(driver, options, message):
    with pytest.raises(Invalid, match=message) as caught:
        driver.check(options)
    assert next(iter(options)) in str(caught.value)


def test_options_that_can_be(driver):
    driver.check(
        {
            f"{OPTION}name": "br0",
            f"{OPTION}enable_icc": "1",
            f"{OPTION}enable_ip_masquerade": "F",
            f"{OPTION}inhibit_ipv4": "",
            f"{OPTION}default_bridge": "true",
            "org.example.owner": "somebody",
            "com.docker.network.bridge.icc": "true",
            "com.docker.network.enable_ipv6": "true",
            "com.docker.network.windowsshim.networkname": "nat",
            f"{OPTION}host_binding_ipv4": "127.0.0.1",
            f"{OPTION}gateway_mode_ipv4": "nat-unprotected",
            f"{OPTION}gateway_mode_ipv6": "routed",
            "com.docker.network.driver.mtu": "9000",
            "com.docker.network.container_iface_prefix": "net",
        }
    )


def test_an_mtu_that_is_too_small_for_ipv6(driver, network):
    with pytest.raises(Invalid, match="at least 1280"):
        driver.make(evolve(network, options={"com.docker.network.driver.mtu": "1000"}))
    driver.make(v4(evolve(network, options={"com.docker.network.driver.mtu": "1000"})))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"nonesuch": "1"}, "'nonesuch' is not an option of endpoints on bridge networks"),
        ({"com.docker.network.endpoint.sysctls": "net.ipv4.ip_forward=1"}, "no setting of an interface"),
        ({"com.docker.network.endpoint.sysctls": "net.ipv4.conf.eth0.rp_filter=1"}, "no setting of an interface"),
        ({"com.docker.network.endpoint.sysctls": "net.ipv4.conf.IFNAME.rp_filter"}, "no setting of an interface"),
    ],
)
def test_options_of_a_place_that_cannot_be(driver, network, stack, options, message):
    driver.make(network)
    before = devices()
    with pytest.raises(Invalid, match=message):
        driver.attach(network, evolve(attachment(driver, network, 2), options=options), member(stack))
    assert devices() == before


def test_a_setting_that_this_kernel_has_not(driver, network, stack):
    driver.make(network)
    before, there = devices(), member(stack)
    options = {"com.docker.network.endpoint.sysctls": "net.ipv4.conf.IFNAME.nonesuch=1"}
    with pytest.raises(HostUnfit, match="nonesuch"):
        driver.attach(network, evolve(attachment(driver, network, 2), options=options), there)
    assert (devices(), set(inside(there))) == (before, {"lo"})


@pytest.mark.parametrize("kind", ["bridge", "veth"])
def test_a_name_that_somebody_has(driver, network, channel, kind):
    name = f"br-{network.id[:12]}"
    channel.run(links.bridge(name) if kind == "bridge" else links.veth(name, Peer("other")))
    with pytest.raises(Conflict, match=f"interface {name} is there already"):
        driver.make(network)
    driver.unmake(network)
    assert device(channel, name).kind == kind


def test_a_name_of_another_network(driver, network):
    other = evolve(network, id="a" * 64, options={f"{OPTION}name": "shared"}, pools=())
    driver.make(evolve(network, options={f"{OPTION}name": "shared"}))
    with pytest.raises(
        Conflict,
        match=r"^cannot create network \w+ \(shared\): conflicts with network \w+ \(shared\): networks have same",
    ):
        driver.make(other)
    driver.unmake(other)
    assert "shared" in devices()


def test_a_port_s_name_that_somebody_has(driver, network, channel, stack):
    driver.make(network)
    wanted = attachment(driver, network, 2)
    channel.run(links.bridge(port_name(wanted.id)))
    there = member(stack)
    with pytest.raises(Conflict, match=f"interface {port_name(wanted.id)} is there already"):
        driver.attach(network, wanted, there)
    driver.detach(network, wanted, there)
    assert device(channel, port_name(wanted.id)).kind == "bridge"
    assert set(inside(there)) == {"lo"}


@pytest.mark.parametrize(
    ("mine", "gateway", "subnet", "refused"),
    [
        ("192.0.2.5/24", "", "192.0.2.0/24", True),
        ("192.0.2.5/24", "", "192.0.2.128/25", True),
        ("192.0.2.5/25", "", "192.0.2.0/24", True),
        ("192.0.2.5/25", "", "192.0.2.128/25", False),
        ("192.0.2.5/24", "10.0.0.0/8", "10.1.0.0/16", False),
        ("192.0.2.5/24", "10.0.0.0/8", "10.0.0.0/8", True),
        ("192.0.2.5/24", "10.1.2.0/24", "10.1.0.0/16", True),
        ("192.0.2.5/24", "0.0.0.0/0", "10.1.0.0/16", False),
        ("2001:db8::5/64", "", "2001:db8::/48", True),
        ("2001:db8::5/64", "", "2001:db8:1::/64", False),
    ],
)
def test_subnets_that_others_have(driver, network, channel, mine, gateway, subnet, refused):
    channel.run(links.bridge("card", up=True))
    index = links.index_of(channel, "card")
    channel.run(addresses.add(index, mine))
    if gateway:
        channel.run(routes.add(Route(gateway, index, "192.0.2.1")))
    first = str(ipaddress.ip_network(subnet)[1])
    wanted = evolve(network, pools=(Pool(subnet, gateway=first),))
    before = devices()
    if refused:
        with pytest.raises(Conflict, match=f"subnet {subnet} overlaps with .* through card"):
            driver.make(wanted)
        assert devices() == before
    else:
        driver.make(wanted)
        driver.make(wanted)


def test_a_namespace_that_is_none(driver, network):
    driver.make(network)
    before = devices()
    with Path("/proc/self/ns/uts").open() as other, pytest.raises(HostUnfit, match="eth0 on network network1"):
        driver.attach(network, attachment(driver, network, 2), other.fileno())
    assert devices() == before


def test_a_hardware_address_of_a_group(driver, network, stack):
    driver.make(network)
    before, wanted = devices(), evolve(attachment(driver, network, 2), mac_address="01:00:5e:00:00:01")
    with pytest.raises(MobyError, match="eth0 on network network1"):
        driver.attach(network, wanted, member(stack))
    assert devices() == before


def test_a_kernel_without_ipv6(driver, network, monkeypatch):
    monkeypatch.setattr(network_settings, "_ROOT", "/nonesuch")
    with pytest.raises(HostUnfit, match="IPv6 switched off"):
        driver.make(network)
    assert set(devices()) == {"lo"}


def refusing(monkeypatch, number, words=""):
    """Have the kernel refuse to make devices, as one does that lacks them, or forbids it."""

    def refuse(self, *messages):
        raise OSError(number, f"{os.strerror(number)}{words}", "br")

    monkeypatch.setattr(Channel, "run", refuse)


@pytest.mark.parametrize(
    ("number", "words", "hint"),
    [
        (errno.EOPNOTSUPP, " (Unknown device type)", "kernel module"),
        (errno.EPERM, "", "CAP_NET_ADMIN"),
        (errno.EXFULL, "", "one more network"),
        (errno.EROFS, "", "/proc/sys be writable"),
    ],
)
def test_what_the_host_lacks(driver, network, monkeypatch, number, words, hint):
    refusing(monkeypatch, number, words)
    with pytest.raises(HostUnfit, match=hint) as caught:
        driver.make(network)
    assert f"network network1: {os.strerror(number)}{words}" in str(caught.value)


def test_an_ordinary_user(tmp_path, network):
    place = place_in(tmp_path)

    def attempt():
        with make(Config(), place=place, log=Quiet()) as driver, pytest.raises(HostUnfit, match="CAP_NET_ADMIN"):
            driver.make(network)
        with make(Config(), place=place, log=Quiet()) as driver:
            driver.unmake(network)
            driver.reclaim()

    as_nobody(attempt)


def test_an_ordinary_user_can_t_remove_what_there_is(driver, network, tmp_path):
    place = place_in(tmp_path)
    driver.make(network)

    def attempt():
        with make(Config(), place=place, log=Quiet()) as other:
            for remove in (lambda: other.unmake(network), other.reclaim):
                with pytest.raises(HostUnfit, match="CAP_NET_ADMIN"):
                    remove()

    as_nobody(attempt)
    driver.unmake(network)


# Faults


class Failing:
    """Has the n-th request of a call fail; afterwards the kernel answers again."""

    def __init__(self, monkeypatch, at):
        self.count, self.at = 0, at
        real = Channel._send

        def send(channel, messages, last):
            self.count += 1
            if self.count == self.at:
                raise OSError(errno.ENOMEM, "no memory at all")
            return real(channel, messages, last)

        monkeypatch.setattr(Channel, "_send", send)


def each_fault(monkeypatch, call, check):
    """Call something with its first request failing, then its second, until it gets through; check after each."""
    for at in range(1, 100):
        with monkeypatch.context() as patch:
            failing = Failing(patch, at)
            try:
                call()
            except MobyError as error:
                assert "no memory at all" in str(error)
            else:
                assert failing.count < at
                return at - 1
        check()
    raise AssertionError("it never gets through")


def test_a_fault_while_a_network_is_made(driver, network, monkeypatch, channel):
    driver.keep([])

    def nothing_is_left():
        assert set(devices()) == {"lo"}

    assert each_fault(monkeypatch, lambda: driver.make(network), nothing_is_left) > 4
    assert texts(channel, f"br-{network.id[:12]}") == {"10.77.1.1/24", "fd77:1::1/64"}


def test_a_fault_while_a_container_is_attached(driver, network, monkeypatch, stack):
    driver.make(network)
    there, before = member(stack), devices()
    wanted = attachment(driver, network, 2, ports=(Port("tcp", 80, "0.0.0.0", 8080),))

    def nothing_is_left():
        assert (devices(), set(inside(there))) == (before, {"lo"})
        driver.attach(network, evolve(wanted, id="b" * 64), there)  # its port is free
        driver.detach(network, evolve(wanted, id="b" * 64), there)

    assert each_fault(monkeypatch, lambda: driver.attach(network, wanted, there), nothing_is_left) > 4
    assert inside(there)["eth0"].device.up


def test_a_firewall_that_fails(driver, network, monkeypatch, stack):
    def fail(*given):
        raise HostUnfit("no rule at all")

    with monkeypatch.context() as patch, pytest.raises(HostUnfit, match="no rule at all"):
        patch.setattr(driver._firewall, "add", fail)
        driver.make(network)
    assert set(devices()) == {"lo"}
    driver.make(network)
    before, there = devices(), member(stack)
    wanted = attachment(driver, network, 2, ports=(Port("tcp", 80, "0.0.0.0", 8080),))
    with monkeypatch.context() as patch, pytest.raises(HostUnfit, match="no rule at all"):
        patch.setattr(driver._firewall, "publish", fail)
        driver.attach(network, wanted, there)
    assert (devices(), set(inside(there))) == (before, {"lo"})


def test_a_port_that_is_published_already(driver, network, stack):
    driver.make(network)
    port = Port("tcp", 80, "0.0.0.0", 8080)
    driver.attach(network, attachment(driver, network, 2, ports=(port,)), member(stack))
    before, there = devices(), member(stack)
    with pytest.raises(Conflict, match="8080"):
        driver.attach(network, attachment(driver, network, 3, ports=(port,)), there)
    assert (devices(), set(inside(there))) == (before, {"lo"})


def test_a_fault_while_a_network_is_removed(driver, network, monkeypatch, stack):
    driver.make(network)
    driver.attach(network, attachment(driver, network, 2), member(stack))
    each_fault(monkeypatch, lambda: driver.unmake(network), lambda: None)
    assert set(devices()) == {"lo"}


def killed_after(at, call):
    """Whether a process that makes calls is killed once its n-th request was carried out; it may end before."""
    pid = fork_quietly()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
    try:
        count, real = 0, Channel._send

        def send(channel, messages, last):
            nonlocal count
            first = real(channel, messages, last)
            count += 1
            if count == at:
                os.kill(os.getpid(), signal.SIGKILL)
            return first

        Channel._send = send
        call()
    finally:
        os._exit(0)


@pytest.mark.slow
def test_a_kill_at_any_step(tmp_path, stack):
    def serve():
        driver = configured(tmp_path).__enter__()
        network = segment(Given(lambda: driver), driver)
        driver.make(network)
        driver.attach(network, attachment(driver, network, 2), there)

    for at in range(1, 100):
        there = member(stack)
        if not killed_after(at, serve):
            break
        with configured(tmp_path) as driver:
            driver.keep([])
            assert (set(devices()), set(inside(there))) == ({"lo"}, {"lo"})
    assert at > 8


@pytest.mark.slow
def test_many_at_once(driver, network, stack):
    driver.make(network)
    before, failures = devices(), []
    places = [(attachment(driver, network, 10 + each, ports=(Port("tcp", 80, "0.0.0.0", 8000 + each),)), member(stack))
              for each in range(24)]  # fmt: skip

    def work(mine):
        try:
            for wanted, there in mine:
                driver.attach(network, wanted, there)
                driver.publish(network, evolve(wanted, ports=()))
                assert inside(there)["eth0"].addresses >= set(wanted.addresses)
                driver.make(network)
                if wanted.ports[0].host_port % 2:
                    driver.detach(network, wanted, there)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(places[each::6],)) for each in range(6)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert failures == []
    assert set(devices()) - set(before) == {port_name(wanted.id) for wanted, _ in places[::2]}


# Repairs and the next process


def test_the_engine_s_devices_are_its_own(driver, start, network, channel, tmp_path, stack):
    driver.make(network)
    driver.attach(network, attachment(driver, network, 2), member(stack))
    channel.run(links.bridge("br-0123456789ab"), links.veth("veth0123456789a", Peer("peer")))
    mine = devices()
    with make(Config(), place=place_in(tmp_path / "other"), log=Quiet()) as other:
        other.keep([])
        elsewhere = segment(Given(lambda: other), other, 2)
        other.make(elsewhere)
        start().keep([])
        assert set(devices()) == {"lo", "br-0123456789ab", "veth0123456789a", "peer", f"br-{elsewhere.id[:12]}"}
        other.unmake(elsewhere)
    assert set(mine) - set(devices()) == {f"br-{network.id[:12]}", port_name(attachment(driver, network, 2).id)}


def test_what_has_no_alias_yet_is_known(driver, start, network, channel, tmp_path, stack):
    driver.make(network)
    wanted = attachment(driver, network, 2)
    driver.attach(network, wanted, member(stack))
    for each in (f"br-{network.id[:12]}", port_name(wanted.id)):
        channel.run(links.change(links.index_of(channel, each), alias=""))
    driver = start()
    driver.keep([(network, [wanted])])
    assert device(channel, f"br-{network.id[:12]}").alias.split()[2:] == ["network", network.id]
    start().keep([])
    assert set(devices()) == {"lo"}


def test_what_has_lost_its_group_is_known(driver, start, network, channel):
    driver.make(network)
    channel.run(links.change(links.index_of(channel, f"br-{network.id[:12]}"), group=1))
    start().keep([])
    assert set(devices()) == {"lo"}


def test_an_attachment_that_was_interrupted(driver, network, channel, stack):
    driver.make(network)
    one, other, wanted = member(stack), member(stack), attachment(driver, network, 2)
    driver.attach(network, wanted, one)
    driver.attach(network, wanted, other)
    assert (set(inside(one)), set(inside(other))) == ({"lo"}, {"lo", "eth0"})


@pytest.mark.slow
def test_a_bridge_that_somebody_deleted(driver, network, channel, stack):
    driver.make(network)
    one, other = member(stack), member(stack)
    options = evolve(network, options={f"{OPTION}enable_icc": "true"})
    link = driver.attach(options, attachment(driver, network, 2), one)
    channel.run(links.delete(links.index_of(channel, f"br-{network.id[:12]}")))
    driver.attach(options, attachment(driver, network, 3), other)  # which makes it again
    assert all(hears(other, one, bare(each)) for each in link.addresses)


def test_networks_that_can_t_be_repaired(driver, start, network, channel, stack):
    given = Given(lambda: driver)
    others = [segment(given, driver, each) for each in (2, 3)]
    for each in others:
        channel.run(links.bridge(f"br-{each.id[:12]}"))
    driver = start()
    with pytest.raises(HostUnfit) as caught:
        driver.keep([(others[0], []), (network, []), (others[1], [])])
    assert all(f"br-{each.id[:12]} is there already" in str(caught.value) for each in others)
    driver.attach(network, attachment(driver, network, 2), member(stack))
    with pytest.raises(Conflict, match="is there already"):
        driver.keep([(others[0], []), (network, [])])


def test_all_is_given_back(driver, start, network, stack):
    driver.make(network)
    driver.attach(network, attachment(driver, network, 2), member(stack))
    start().reclaim()
    assert set(devices()) == {"lo"}
    with Nftables() as nftables:
        assert nftables.tables() == []
    start().reclaim()


def test_many_go_in_the_time_of_one(driver, network, channel, stack):
    driver.make(network)
    for each in range(2, 12):
        driver.attach(network, attachment(driver, network, each), member(stack))
    driver.unmake(network)
    assert set(devices()) == {"lo"}


def test_a_container_whose_namespace_goes_while_it_is_detached(driver, network):
    driver.make(network)
    before = devices()
    with ExitStack() as stack:
        there = member(stack)
        driver.attach(network, attachment(driver, network, 2), there)
        copy = os.dup(there)
    driver.detach(network, attachment(driver, network, 2), copy)
    os.close(copy)
    vanishes(before)


def test_marks_are_others_for_other_roots(tmp_path):
    one, other = (Marks.of(place_in(tmp_path / each)) for each in ("one", "other"))
    assert one != other
    assert one == Marks.of(place_in(tmp_path / "one"))
    assert len({one.group, other.group, one.doomed, other.doomed}) == 4


# A network that is routed


def test_a_port_of_what_is_routed(driver, network, stack):
    """Is reached at the container's own address, once it is published, by who is beside the host."""
    routed = evolve(network, options={f"{OPTION}gateway_mode_ipv{each}": "routed" for each in (4, 6)})
    driver.make(routed)
    there, far = member(stack), neighbour(stack)
    ports = tuple(Port("udp", 7000, each, 0) for each in ("0.0.0.0", "::"))
    ports += ports  # as of two numbers of the host's that were asked for
    wanted = attachment(driver, routed, 2, ports=ports)
    link = driver.attach(routed, wanted, there)
    lead(there, link)
    for each in link.addresses:
        assert hears(far, there, bare(each))
    driver.publish(routed, evolve(wanted, ports=ports[:1]))
    driver.publish(routed, wanted)
    driver.detach(routed, wanted, there)


# SCTP


def has_sctp():
    """Whether this kernel has it."""
    try:
        socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_SCTP).close()
    except OSError:
        return False
    return True


def test_a_port_of_sctp(driver, network, channel, stack):
    """From another host, and from the host itself; and not any more once it is published no more."""
    needs(has_sctp(), "SCTP", "qemu")
    driver.make(network)
    there, far = member(stack), member(stack)
    wanted = attachment(driver, network, 2, ports=(Port("sctp", 80, "0.0.0.0", 8080),))
    link = driver.attach(network, wanted, there)
    channel.run(links.veth("card", Peer("far", far), up=True))
    channel.run(addresses.add(links.index_of(channel, "card"), "192.0.2.1/24"))

    def settle():
        with Channel() as own:
            index = links.index_of(own, "far")
            own.run(links.change(index, up=True), addresses.add(index, "192.0.2.2/24"))

    def lead():
        with Channel() as own:
            own.run(routes.add(Route("0.0.0.0/0", links.index_of(own, "eth0"), link.gateways[0])))

    def unbound():
        return socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_SCTP)

    in_namespace(far, settle)
    in_namespace(there, lead)
    with in_namespace(there, unbound) as server:
        server.bind(("0.0.0.0", 80))
        server.listen()
        server.settimeout(60)
        for where in (far, None):
            with in_namespace(where, unbound) if where else unbound() as client:
                client.settimeout(60)
                client.connect(("192.0.2.1", 8080))
                accepted, _ = server.accept()
                with accepted:
                    client.sendall(b"by sctp")
                    assert accepted.recv(100) == b"by sctp"
    driver.publish(network, evolve(wanted, ports=()))
    with in_namespace(far, unbound) as client:
        client.settimeout(60)
        with pytest.raises(OSError):
            client.connect(("192.0.2.1", 8080))
