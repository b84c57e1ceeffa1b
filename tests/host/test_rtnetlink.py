"""What is made with raw messages, as another implementation sees it."""

import errno
import ipaddress
import os
import socket
import struct
import threading

import pytest
from pyroute2 import IPRoute

from moby.host import netlink
from moby.host.elsewhere import in_namespace
from moby.host.netlink import ACK, Channel, Message
from moby.host.rtnetlink import addresses, links, neighbours, routes
from moby.host.rtnetlink.addresses import Address
from moby.host.rtnetlink.links import Device, Peer
from moby.host.rtnetlink.neighbours import Entry, Neighbour
from moby.host.rtnetlink.routes import Route
from moby.testing.net_namespaces import new_network, own_network

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="making network namespaces takes root")
MAC = "02:42:ac:12:00:02"


@pytest.fixture(autouse=True)
def namespace():
    with own_network():
        yield


@pytest.fixture
def channel():
    with Channel() as found:
        yield found


@pytest.fixture
def other():
    found = new_network()
    yield found
    os.close(found)


@pytest.fixture
def there(other):
    found = in_namespace(other, Channel)
    yield found
    found.close()


@pytest.fixture
def oracle():
    with IPRoute() as found:
        yield found


def seen(oracle, name):
    return oracle.get_links(ifname=name)[0]


def info(message, *path):
    found = message.get_attr("IFLA_LINKINFO")
    for each in path:
        found = found.get_attr(each)
    return found


def device(channel, name):
    return links.get(channel, name)


# Devices


def test_bridge(channel, oracle):
    channel.run(links.bridge("br-a", mac=MAC, mtu=1400, up=True))
    found = seen(oracle, "br-a")
    assert (found.get_attr("IFLA_ADDRESS"), found.get_attr("IFLA_MTU"), found["flags"] & 1) == (MAC, 1400, 1)
    assert info(found, "IFLA_INFO_KIND") == "bridge"
    data = info(found, "IFLA_INFO_DATA")
    assert (data.get_attr("IFLA_BR_STP_STATE"), data.get_attr("IFLA_BR_FORWARD_DELAY")) == (0, 0)
    index = found["index"]
    assert device(channel, "br-a") == Device(index, "br-a", "bridge", up=True, mtu=1400, mac=MAC)


def test_pair_with_its_other_end_elsewhere(channel, there, other, oracle):
    channel.run(links.bridge("br-a", up=True))
    master = links.index_of(channel, "br-a")
    channel.run(links.veth("v1", Peer("eth0", other, MAC), mtu=1300, master=master, up=True))
    here, far = device(channel, "v1"), device(there, "eth0")
    assert (here.kind, here.up, here.mtu, here.master, here.parent) == ("veth", True, 1300, master, far.index)
    assert (far.mac, far.mtu, far.up, far.parent, far.master) == (MAC, 1300, False, here.index, 0)
    assert seen(oracle, "v1").get_attr("IFLA_MASTER") == master


def test_pair_in_one_namespace(channel):
    channel.run(links.veth("v1", Peer("v2"), mac=MAC))
    assert (device(channel, "v1").mac, device(channel, "v2").parent) == (MAC, device(channel, "v1").index)


def test_port_of_a_bridge(channel, oracle):
    channel.run(links.bridge("br-a"), links.veth("v1", Peer("v2")))
    index = links.index_of(channel, "v1")
    channel.run(
        links.change(index, master=links.index_of(channel, "br-a")), links.port(index, isolated=True, hairpin=True)
    )
    data = info(seen(oracle, "v1"), "IFLA_INFO_SLAVE_DATA")
    assert (data.get_attr("IFLA_BRPORT_ISOLATED"), data.get_attr("IFLA_BRPORT_MODE")) == (1, 1)
    found = device(channel, "v1")
    assert (found.isolated, found.hairpin) == (True, True)
    channel.run(links.port(index))
    found = device(channel, "v1")
    assert (found.isolated, found.hairpin) == (False, False)
    channel.run(links.change(index, master=0))
    assert device(channel, "v1").master == 0


def test_changing(channel, there, other, oracle):
    channel.run(links.veth("v1", Peer("v2")))
    index = links.index_of(channel, "v1")
    channel.run(links.change(index, mtu=1200, mac=MAC, name="w1", alias="a word", up=True))
    found = seen(oracle, "w1")
    assert (found["index"], found.get_attr("IFLA_MTU"), found.get_attr("IFLA_ADDRESS")) == (index, 1200, MAC)
    assert (found.get_attr("IFLA_IFALIAS"), found["flags"] & 1) == ("a word", 1)
    assert device(channel, "w1").alias == "a word"
    channel.run(links.change(index, alias="", up=False))
    assert (device(channel, "w1").alias, device(channel, "w1").up) == ("", False)
    channel.run(links.change(index, namespace=other))
    assert links.look_up(channel, "w1") is None
    assert device(there, "w1").kind == "veth"


def test_deleting(channel):
    channel.run(links.veth("v1", Peer("v2")))
    index = links.index_of(channel, "v1")
    channel.run(links.delete(index))
    assert [each.name for each in links.dump(channel) if each.name in ("v1", "v2")] == []
    with pytest.raises(OSError, match="v1") as caught:
        channel.run(links.delete(index, "v1"))
    assert caught.value.errno == errno.ENODEV
    for ask in (links.index_of, links.get):
        with pytest.raises(OSError, match="v1") as caught:
            ask(channel, "v1")
        assert caught.value.errno == errno.ENODEV


def test_groups(channel, oracle):
    channel.run(links.bridge("br-a", group=7), links.veth("v1", Peer("v2"), group=1 << 30), links.bridge("br-b"))
    assert [seen(oracle, each).get_attr("IFLA_GROUP") for each in ("br-a", "v1", "v2")] == [7, 1 << 30, 0]
    assert (device(channel, "br-a").group, device(channel, "br-b").group) == (7, 0)
    channel.run(links.change(links.index_of(channel, "v1"), group=7), links.delete_group(7))
    assert {each.name for each in links.dump(channel)} == {"lo", "br-b"}
    with pytest.raises(OSError, match="group 7"):
        channel.run(links.delete_group(7))


def test_no_ipv6_address_of_its_own(channel, oracle):
    channel.run(links.bridge("br-a"), links.bridge("br-b"))
    channel.run(links.without_link_local(links.index_of(channel, "br-a")))

    def generates(name):
        return seen(oracle, name).get_attr("IFLA_AF_SPEC").get_attr("AF_INET6").get_attr("IFLA_INET6_ADDR_GEN_MODE")

    assert (generates("br-a"), generates("br-b")) == (1, 0)


@pytest.mark.parametrize("mode", links.MACVLAN_MODES)
def test_macvlan(channel, there, other, mode):
    channel.run(links.bridge("card"))
    parent = links.index_of(channel, "card")
    channel.run(links.macvlan("eth0", parent, mode, mac="" if mode == "passthru" else MAC, namespace=other))
    found = device(there, "eth0")
    assert (found.kind, found.mode, found.parent) == ("macvlan", links.MACVLAN_MODES[mode], parent)
    assert found.mac == (device(channel, "card").mac if mode == "passthru" else MAC)


def absent(channel, message):
    """Skip where this kernel has no such sort of device, as some tests' hosts; ipvlan's driver is tried in a guest."""
    try:
        channel.run(message)
    except OSError as error:
        if error.errno != errno.EOPNOTSUPP:
            raise
        assert "Unknown device type" in str(error)
        return True
    return False


@pytest.mark.parametrize("flag", links.IPVLAN_FLAGS)
@pytest.mark.parametrize("mode", links.IPVLAN_MODES)
def test_ipvlan(channel, oracle, mode, flag):
    channel.run(links.bridge("card"))
    parent = links.index_of(channel, "card")
    if absent(channel, links.ipvlan("ipv", parent, mode, flag, mtu=1300)):
        return
    found = info(seen(oracle, "ipv"), "IFLA_INFO_DATA")
    assert found.get_attr("IFLA_IPVLAN_MODE") == links.IPVLAN_MODES[mode]
    flags = struct.pack("=H", links.IPVLAN_FLAGS[flag])
    said = channel.ask(Message(18, ACK, struct.pack("=BxHiII", 0, 0, links.index_of(channel, "ipv"), 0, 0)))[0]
    assert netlink.find(said[16:], 18, 2)[2] == flags  # which the other implementation doesn't know
    assert (device(channel, "ipv").mode, device(channel, "ipv").mtu) == (links.IPVLAN_MODES[mode], 1300)


def test_vlan(channel, oracle):
    channel.run(links.bridge("card", up=True))
    parent = links.index_of(channel, "card")
    if absent(channel, links.vlan("card.7", parent, 7, up=True)):
        return
    assert info(seen(oracle, "card.7"), "IFLA_INFO_DATA").get_attr("IFLA_VLAN_ID") == 7


@pytest.mark.parametrize("kind", ["dummy", "ifb"])
def test_a_device_that_leads_nowhere(channel, oracle, kind):
    if absent(channel, links.lone("alone", kind, mac=MAC, group=7, up=True)):
        return
    found = device(channel, "alone")
    assert (found.kind, found.mac, found.group, found.up) == (kind, MAC, 7, True)
    assert seen(oracle, "alone").get_attr("IFLA_CARRIER") == 1


@pytest.mark.parametrize("local", ["192.0.2.1", "2001:db8::1"])
def test_vxlan(channel, oracle, local):
    packed = ipaddress.ip_address(local).packed
    channel.run(links.vxlan("vx", 4097, local=packed, port=4790, mtu=1450))
    data = info(seen(oracle, "vx"), "IFLA_INFO_DATA")
    shown = [data.get_attr(f"IFLA_VXLAN_{each}") for each in ("ID", "LEARNING", "PROXY", "PORT")]
    assert shown == [4097, 0, 1, 4790]
    assert data.get_attr("IFLA_VXLAN_LOCAL" if "." in local else "IFLA_VXLAN_LOCAL6") == local
    assert (device(channel, "vx").vxlan_id, device(channel, "vx").mtu) == (4097, 1450)


def test_all_devices(channel, oracle):
    for each in range(60):  # more than one datagram of answers
        channel.run(links.bridge(f"b{each}"))
    found = links.dump(channel)
    assert {each.index: each.name for each in found} == {
        each["index"]: each.get_attr("IFLA_IFNAME") for each in oracle.get_links()
    }
    assert [each.name for each in found if each.loopback] == ["lo"]


# Addresses


@pytest.mark.parametrize(
    ("text", "broadcast", "of_link"),
    [
        ("172.18.0.2/16", "172.18.255.255", False),
        ("172.18.0.2/31", None, False),
        ("169.254.7.7/16", "169.254.255.255", True),
        ("fd00:1::2/64", None, False),
        ("fe80::7/64", None, True),
    ],
)
def test_addresses(channel, oracle, text, broadcast, of_link):
    channel.run(links.bridge("card", up=True))
    index = links.index_of(channel, "card")
    channel.run(addresses.add(index, text))
    found = next(each for each in oracle.get_addr(index=index) if each.get_attr("IFA_ADDRESS") == text.split("/")[0])
    assert (found["prefixlen"], found.get_attr("IFA_BROADCAST")) == (int(text.split("/")[1]), broadcast)
    assert found["scope"] == (253 if of_link else 0)
    if ":" in text:
        assert found.get_attr("IFA_FLAGS") & 0x02  # NODAD
        assert not found.get_attr("IFA_FLAGS") & 0x40  # tentative
    assert Address(index, text, of_link) in addresses.dump(channel)
    with pytest.raises(OSError, match="exists") as caught:
        channel.run(addresses.add(index, text))
    assert (caught.value.errno, caught.value.filename) == (errno.EEXIST, text)
    channel.run(addresses.add(index, text, again=True))
    channel.run(addresses.remove(index, text))
    assert Address(index, text, of_link) not in addresses.dump(channel)


# Routes


@pytest.fixture
def card(channel):
    channel.run(links.bridge("card", up=True))
    index = links.index_of(channel, "card")
    channel.run(addresses.add(index, "192.0.2.2/24"), addresses.add(index, "2001:db8::2/64"))
    return index


@pytest.mark.parametrize(
    ("destination", "gateway"),
    [
        ("0.0.0.0/0", "192.0.2.1"),
        ("::/0", "2001:db8::1"),
        ("198.51.100.0/24", "192.0.2.1"),
        ("198.51.100.0/24", ""),
        ("2001:db8:1::/48", "2001:db8::1"),
        ("2001:db8:1::/48", ""),
        ("0.0.0.0/0", ""),
    ],
)
@pytest.mark.parametrize("table", [routes.MAIN, 1000])
def test_routes(channel, oracle, card, destination, gateway, table):
    family = socket.AF_INET6 if ":" in destination else socket.AF_INET
    wanted = Route(destination, card, gateway, 77, table)
    channel.run(routes.add(wanted))
    found = [each for each in oracle.get_routes(family=family, table=table) if each.get_attr("RTA_PRIORITY") == 77]
    assert [(each.get_attr("RTA_OIF"), each.get_attr("RTA_GATEWAY") or "", each["dst_len"]) for each in found] == [
        (card, gateway, ipaddress.ip_network(destination).prefixlen)
    ]
    assert wanted in routes.dump(channel, table=table)
    with pytest.raises(OSError, match="exists") as caught:
        channel.run(routes.add(wanted))
    assert caught.value.filename == destination
    channel.run(routes.add(wanted, again=True), routes.remove(wanted))
    assert wanted not in routes.dump(channel, table=table)
    with pytest.raises(ProcessLookupError):
        channel.run(routes.remove(wanted))


def test_routes_that_came_by_themselves(channel, card):
    found = {each.destination: each for each in routes.dump(channel)}
    assert found["192.0.2.0/24"] == Route("192.0.2.0/24", card, source="192.0.2.2", from_kernel=True)
    assert found["2001:db8::/64"].from_kernel


def test_route_with_several_ways(channel, oracle, card):
    ways = [{"gateway": "192.0.2.9", "oif": card}, {"gateway": "192.0.2.8", "oif": card}]
    oracle.route("add", dst="203.0.113.0/24", multipath=ways)
    assert Route("203.0.113.0/24", card, "192.0.2.9") in routes.dump(channel)


def test_source_of_a_route(channel, oracle, card):
    channel.run(routes.add(Route("198.51.100.0/24", card, source="192.0.2.2")))
    assert oracle.get_routes(dst="198.51.100.0/24")[0].get_attr("RTA_PREFSRC") == "192.0.2.2"


def test_what_the_kernel_says_of_a_gateway(channel, card):
    with pytest.raises(OSError, match="Nexthop has invalid gateway") as caught:
        channel.run(routes.add(Route("0.0.0.0/0", card, "198.51.100.1")))
    assert (caught.value.errno, caught.value.filename) == (errno.ENETUNREACH, "0.0.0.0/0")


# Neighbours


@pytest.mark.parametrize("address", ["192.0.2.7", "2001:db8::7"])
def test_neighbours(channel, oracle, card, address):
    wanted = Neighbour(card, address, MAC)
    channel.run(neighbours.add(wanted), neighbours.add(wanted))
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    found = oracle.get_neighbours(family=family, dst=address)[0]
    assert (found.get_attr("NDA_LLADDR"), found["state"]) == (MAC, 0x80)
    assert neighbours.dump(channel) == (wanted,)
    channel.run(neighbours.remove(wanted))
    assert neighbours.dump(channel) == ()


def test_entries_of_a_vxlan(channel, oracle):
    channel.run(links.vxlan("vx", 7))
    index = links.index_of(channel, "vx")
    one, moved = Entry(index, MAC, "192.0.2.7"), Entry(index, MAC, "192.0.2.8")
    unknown = [Entry(index, "00:00:00:00:00:00", each) for each in ("192.0.2.7", "192.0.2.9")]
    channel.run(*(neighbours.add_entry(each) for each in (one, moved, *unknown)))
    assert set(neighbours.dump_entries(channel)) == {moved, *unknown}
    found = {
        (each.get_attr("NDA_LLADDR"), each.get_attr("NDA_DST"))
        for each in oracle.fdb("dump")
        if each["ifindex"] == index
    }
    assert found >= {(MAC, "192.0.2.8"), ("00:00:00:00:00:00", "192.0.2.9")}
    channel.run(neighbours.remove_entry(moved), neighbours.remove_entry(unknown[0]))
    assert neighbours.dump_entries(channel) == (unknown[1],)


# Requests


def test_the_first_that_fails_is_told_and_the_others_are_carried_out(channel):
    with pytest.raises(OSError, match="exists") as caught:
        channel.run(links.bridge("one"), links.bridge("one"), links.bridge("lo"), links.bridge("two"))
    assert caught.value.filename == "one"
    assert (device(channel, "one").kind, device(channel, "two").kind) == ("bridge", "bridge")
    assert device(channel, "one").kind == "bridge"  # nothing of the errors is left to be read


def test_no_request(channel):
    channel.run()


def test_threads_share_a_channel(channel):
    def work(number):
        try:
            for each in range(20):
                name = f"b{number}-{each}"
                channel.run(links.bridge(name))
                assert device(channel, name).name == name
        except BaseException as error:
            failed.append(error)

    failed = []
    threads = [threading.Thread(target=work, args=(each,)) for each in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert failed == []
    assert len(links.dump(channel)) == 81


def test_answers_to_a_request_that_was_interrupted(channel):
    number = channel._send([links.bridge("one")], ACK)  # nobody reads its answer
    assert number == 1
    with pytest.raises(OSError, match="exists"):
        channel.run(links.bridge("one"))
    assert device(channel, "one").kind == "bridge"


def test_a_dump_during_which_something_changed(channel, monkeypatch):
    calls = []
    real = channel._answers

    def once(sequence, what):
        found, whole = real(sequence, what)
        calls.append(whole)
        return found, len(calls) > 1

    monkeypatch.setattr(channel, "_answers", once)
    assert [each.name for each in links.dump(channel)] == ["lo"]
    assert len(calls) == 2


def test_an_error_without_words(channel):
    with pytest.raises(OSError, match="not supported") as caught:
        channel.ask(Message(4095, ACK, b"\0" * 16, "nothing"))
    assert caught.value.filename == "nothing"


@pytest.mark.slow
def test_a_closed_channel():
    channel = Channel()
    channel.close()
    channel.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        links.dump(channel)


def test_a_socket_that_lacks_options_is_closed(monkeypatch):
    monkeypatch.setattr(netlink, "_EXT_ACK", 9999)
    with pytest.raises(OSError, match="Protocol not available"):
        Channel()


@pytest.mark.parametrize("data", [b"", b"\0", b"\x03\0\x01\0", struct.pack("=HH", 9, 1) + b"abcde", b"\xff" * 7])
def test_bytes_that_are_no_attributes(data):
    for _, value in netlink.attributes(data):
        assert len(value) <= len(data)
