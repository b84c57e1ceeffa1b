"""The drivers of macvlan and ipvlan: what they are on top of, and what they refuse."""

import os

import pytest
from guests.cover import needs
from moby_network_driver.interfaces import inside as inside_of
from moby_network_driver.ipvlan.plugin import Config as IpvlanConfig
from moby_network_driver.ipvlan.plugin import make as make_ipvlan
from moby_network_driver.macvlan.plugin import Config as MacvlanConfig
from moby_network_driver.macvlan.plugin import make as make_macvlan
from network_driver.engines import card, has_ipvlan, has_vlans, place_in, starting

from moby.errors import Conflict, HostUnfit, Invalid
from moby.host import network_settings
from moby.host.elsewhere import in_namespace
from moby.host.netlink import Channel
from moby.host.rtnetlink import addresses, links
from moby.testing.net_namespaces import new_network, own_network
from moby.testing.network_driver_given import Given, attachment, devices, hears, inside, segment
from moby.values import evolve

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="making network namespaces takes root")


@pytest.fixture(autouse=True)
def host():
    with own_network():
        card()
        yield


@pytest.fixture
def channel(host):
    with Channel() as found:
        yield found


@pytest.fixture
def start(host, tmp_path):
    with starting(lambda: make_macvlan(MacvlanConfig(), place=place_in(tmp_path))) as found:
        yield found


@pytest.fixture
def driver(start):
    return start()


@pytest.fixture
def ipvlans(host, tmp_path):
    needs(has_ipvlan(), "ipvlan", "uml", "qemu")
    with make_ipvlan(IpvlanConfig(), place=place_in(tmp_path / "ipvlan")) as found:
        yield found


@pytest.fixture
def there():
    found = new_network()
    yield found
    os.close(found)


@pytest.fixture
def other():
    found = new_network()
    yield found
    os.close(found)


def on(driver, number=1, **options):
    """A network with these options."""
    return segment(Given(lambda: driver, options), driver, number)


def outside(address):
    """A host on the other end of the card's cable, with this address."""
    found = new_network()
    with Channel() as channel:
        channel.run(links.change(links.index_of(channel, "cable"), namespace=found))

    def settle():
        with Channel() as channel:
            index = links.index_of(channel, "cable")
            channel.run(addresses.add(index, address), links.change(index, up=True))

    in_namespace(found, settle)
    return found


def test_a_container_on_the_host_s_own_network(driver, there):
    far = outside("10.77.1.200/24")
    network = on(driver, parent="card")
    driver.make(network)
    driver.attach(network, attachment(driver, network, 2), there)
    assert hears(there, far, "10.77.1.200")
    assert hears(far, there, "10.77.1.2")
    os.close(far)


@pytest.mark.parametrize("mode", ["bridge", "private", "vepa"])
def test_modes_of_macvlan(driver, there, mode):
    network = on(driver, parent="card", macvlan_mode=mode)
    driver.make(network)
    link = driver.attach(network, attachment(driver, network, 2), there)
    found = inside(there)["eth0"].device
    assert (found.mode, found.mac) == (links.MACVLAN_MODES[mode], link.mac_address)


def test_passing_the_parent_through(driver, there, channel):
    network = on(driver, parent="card", macvlan_mode="passthru")
    driver.make(network)
    link = driver.attach(network, attachment(driver, network, 2), there)
    assert link.mac_address == links.look_up(channel, "card").mac == inside(there)["eth0"].device.mac
    asked = evolve(attachment(driver, network, 3), mac_address="02:00:00:00:00:09")
    with pytest.raises(Invalid, match="its parent's MAC address"):
        driver.attach(network, asked, there)


@pytest.mark.parametrize("flag", links.IPVLAN_FLAGS)
@pytest.mark.parametrize("mode", links.IPVLAN_MODES)
def test_modes_of_ipvlan(ipvlans, there, channel, mode, flag):
    network = on(ipvlans, parent="card", ipvlan_mode=mode, ipvlan_flag=flag)
    ipvlans.make(network)
    link = ipvlans.attach(network, attachment(ipvlans, network, 2), there)
    assert inside(there)["eth0"].device.mode == links.IPVLAN_MODES[mode]
    assert link.mac_address == links.look_up(channel, "card").mac
    assert link.routed_directly == (mode != "l2")


def test_a_hardware_address_that_ipvlan_can_t_have(ipvlans, there):
    network = on(ipvlans, parent="card")
    ipvlans.make(network)
    with pytest.raises(Invalid, match="its parent's MAC address"):
        asked = evolve(attachment(ipvlans, network, 2), mac_address="02:00:00:00:00:09")
        ipvlans.attach(network, asked, there)
    assert set(inside(there)) == {"lo"}


def test_a_parent_that_has_the_other_sort(ipvlans, driver, there, other):
    ipvlans.make(on(ipvlans, parent="card"))
    ipvlans.attach(on(ipvlans, parent="card"), attachment(ipvlans, on(ipvlans), 2), there)
    with pytest.raises(HostUnfit, match="busy"):
        driver.attach(on(driver, parent="card"), attachment(driver, on(driver), 3), other)
    assert set(inside(other)) == {"lo"}


def test_mtu(driver, there):
    network = on(driver, **{"parent": "card", "com.docker.network.driver.mtu": "1300"})
    driver.make(network)
    driver.attach(network, attachment(driver, network, 2), there)
    assert inside(there)["eth0"].device.mtu == 1300


def test_settings_of_an_interface(driver, there):
    network = on(driver, parent="card")
    driver.make(network)
    options = {"com.docker.network.endpoint.sysctls": "net.ipv4.conf.IFNAME.log_martians=1"}
    driver.attach(network, evolve(attachment(driver, network, 2), options=options), there)
    assert in_namespace(there, lambda: network_settings.read("ipv4", "conf", "eth0", "log_martians")) == "1"


def test_a_name_that_the_host_has_too(driver, there, channel):
    channel.run(links.bridge("eth0"))
    network = on(driver, parent="card")
    driver.make(network)
    driver.attach(network, attachment(driver, network, 2), there)
    assert (devices()["eth0"], inside(there)["eth0"].device.kind) == ("bridge", "macvlan")


def test_a_hardware_address_that_another_has(driver, there, other, monkeypatch):
    monkeypatch.setattr(inside_of, "_TRIES", 2)
    network = on(driver, parent="card")
    driver.make(network)
    wanted = attachment(driver, network, 2)
    driver.attach(network, wanted, there)
    with pytest.raises(Conflict, match="another interface's on the same parent"):
        driver.attach(network, evolve(wanted, id="c" * 64), other)
    assert set(inside(other)) == {"lo"}


# Parents


@pytest.mark.parametrize(
    ("parent", "message"),
    [
        ("nonesuch", "this host has no interface nonesuch"),
        ("nonesuch.7", "this host has no interface nonesuch.7"),
        ("card.0", "'0' in card.0 is no VLAN"),
        ("card.4095", "'4095' in card.4095 is no VLAN"),
        ("card.x", "'x' in card.x is no VLAN"),
        ("lo", "lo is a loopback"),
        ("off", "parent off is down"),
    ],
)
def test_parents_that_cannot_be(driver, channel, parent, message):
    channel.run(links.bridge("off"))
    before = devices()
    with pytest.raises(HostUnfit, match=message):
        driver.make(on(driver, parent=parent))
    assert devices() == before


def test_a_parent_that_goes(driver, there, channel):
    network = on(driver, parent="card")
    driver.make(network)
    driver.attach(network, attachment(driver, network, 2), there)
    channel.run(links.delete(links.index_of(channel, "card")))
    assert set(inside(there)) == {"lo"}
    with pytest.raises(HostUnfit, match="no interface card"):
        driver.attach(network, attachment(driver, network, 3), there)
    driver.detach(network, attachment(driver, network, 2), there)
    driver.unmake(network)


def test_a_name_that_somebody_has(driver, channel):
    network = on(driver)
    channel.run(links.bridge(f"dm-{network.id[:12]}"))
    with pytest.raises(Conflict, match="isn't this engine's"):
        driver.make(network)
    driver.unmake(network)
    assert devices()[f"dm-{network.id[:12]}"] == "bridge"


def test_a_vlan_is_made_and_goes_with_its_last_network(driver, start, channel):
    needs(has_vlans(), "802.1Q", "uml", "qemu")
    before = devices()
    networks = [on(driver, each, parent="card.7") for each in (1, 2, 3)]
    for each in networks:
        driver.make(each)
        driver.make(each)
    assert devices() == {**before, "card.7": "vlan"}
    driver.unmake(networks[0])
    driver.unmake(networks[0])
    assert devices()["card.7"] == "vlan"
    driver = start()
    driver.keep([(networks[1], [])])
    driver.unmake(networks[1])
    assert devices() == before


def test_a_vlan_that_is_the_host_s_own_stays(driver, start, channel):
    needs(has_vlans(), "802.1Q", "uml", "qemu")
    channel.run(links.vlan("card.8", links.index_of(channel, "card"), 8, up=True))
    network = on(driver, parent="card.8")
    driver.make(network)
    driver.unmake(network)
    start().reclaim()
    assert devices()["card.8"] == "vlan"


def test_networks_that_can_t_be_repaired(driver, start):
    lone = on(driver, 3)
    driver = start()
    gone = [on(driver, each, parent=f"gone{each}") for each in (1, 2)]
    with pytest.raises(HostUnfit, match=r"(?s)gone1.*gone2"):
        driver.keep([(gone[0], []), (lone, []), (gone[1], [])])
    assert f"dm-{lone.id[:12]}" in devices()
    with pytest.raises(HostUnfit, match="gone1"):
        driver.keep([(gone[0], [])])
    assert f"dm-{lone.id[:12]}" not in devices()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"macvlan_mode": "router"}, "one of bridge, private, vepa, passthru"),
        ({"parent": "a b"}, "can't be an interface's name"),
        ({"ipvlan_mode": "l2"}, "not an option of macvlan networks"),
        ({"com.docker.network.driver.mtu": "1"}, "a number from 68"),
    ],
)
def test_options_that_cannot_be(driver, options, message):
    with pytest.raises(Invalid, match=message):
        driver.check(options)
    with pytest.raises(Invalid, match=message):
        driver.make(on(driver, **options))


def test_options_of_a_place_that_cannot_be(driver, there):
    network = on(driver)
    driver.make(network)
    with pytest.raises(Invalid, match="not an option of endpoints on macvlan networks"):
        driver.attach(network, evolve(attachment(driver, network, 2), options={"nonesuch": "1"}), there)
