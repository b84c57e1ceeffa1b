"""The driver of CNI networks: with Debian's plugins, and with one of the tests' own that notes what it is asked."""

import json
import os
import shutil
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
from moby_network_driver.cni.lists import read
from moby_network_driver.cni.plugin import Config, make
from network_driver.engines import Quiet, place_in, starting
from peers import binaries

from moby.contracts.network_driver import Port
from moby.errors import Conflict, HostUnfit, Invalid, NotFound
from moby.host import network_settings
from moby.host.elsewhere import in_namespace
from moby.host.netlink import Channel
from moby.host.rtnetlink import routes
from moby.testing.net_namespaces import own_network
from moby.testing.network_driver import NetworkDriverSuite
from moby.testing.network_driver_given import Given, attachment, bare, devices, hears, inside, member, segment
from moby.values import evolve

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="making network namespaces takes root")
BRIDGE = {
    "type": "bridge",
    "bridge": "cni0",
    "isDefaultGateway": True,
    "capabilities": {"ips": True, "mac": True},
    "ipam": {"type": "static"},
}
NOTING = {"type": "noting", "capabilities": {"portMappings": True}}


def written(folder, name, plugins, version="1.0.0", **more):
    """Write a list down."""
    (folder / "lists").mkdir(exist_ok=True)
    document = {"cniVersion": version, "name": name, "plugins": plugins, **more}
    (folder / "lists" / f"{name}.conflist").write_text(json.dumps(document))


def configured(folder, **more):
    """Return options with Debian's plugins, and the tests' own."""
    debian = binaries.file("usr/lib/cni", "cni")
    own = folder / "programs"
    own.mkdir(exist_ok=True)
    plugin = own / "plugin_of_tests.py"
    shutil.copy(Path(__file__).with_name("plugin_of_tests.py"), plugin)
    (own / "noting").write_text(f"#!/bin/sh\nexec {sys.executable} -IS {plugin}\n")
    (own / "noting").chmod(0o755)
    return Config(lists=str(folder / "lists"), programs=(str(own), str(debian)), **more)


class TestCni(NetworkDriverSuite):
    @pytest.fixture
    def given(self, host, tmp_path):
        config = configured(tmp_path, ports=False)
        for number in (1, 2):
            written(tmp_path, f"network{number}", [{**BRIDGE, "bridge": f"cni{number}"}])
        with starting(lambda: make(config, place=place_in(tmp_path), log=Quiet())) as start:
            yield Given(start, internal=False)


@pytest.fixture(autouse=True)
def host():
    with own_network():
        yield


@pytest.fixture
def stack():
    with ExitStack() as found:
        yield found


@pytest.fixture
def log():
    return Quiet()


@pytest.fixture
def start(tmp_path, log):
    config = configured(tmp_path)
    return lambda: make(config, place=place_in(tmp_path), log=log)


@pytest.fixture
def driver(start):
    return start()


def noted(folder):
    """What the tests' own plugin was asked, in order."""
    there = folder / "programs/notes"
    return [json.loads(each.read_text()) for each in sorted(there.iterdir())] if there.is_dir() else []


def plain(driver, number=1):
    return segment(Given(lambda: driver), driver, number)


def without_pools(network):
    return evolve(network, pools=())


def test_a_chain_is_told_what_those_before_made(driver, tmp_path, stack):
    written(tmp_path, "network1", [BRIDGE, NOTING])
    network, there = plain(driver), member(stack)
    ports = (Port("tcp", 80, "0.0.0.0", 8080), Port("udp", 53, "127.0.0.1", 5353))
    wanted = evolve(attachment(driver, network, 2), ports=ports, options={"cni.args": "IgnoreUnknown=1;COLOUR=red"})
    driver.attach(network, wanted, there)
    added, checked = noted(tmp_path)
    assert (added["command"], checked["command"]) == ("ADD", "CHECK")
    assert added["environment"]["CNI_ARGS"] == "IgnoreUnknown=1;COLOUR=red"
    assert added["environment"]["CNI_CONTAINERID"] == wanted.container_id
    assert added["environment"]["CNI_NETNS"] == f"/proc/{os.getpid()}/fd/{there}"
    assert added["asked"]["runtimeConfig"] == {
        "portMappings": [
            {"hostPort": 8080, "containerPort": 80, "protocol": "tcp", "hostIP": "0.0.0.0"},
            {"hostPort": 5353, "containerPort": 53, "protocol": "udp", "hostIP": "127.0.0.1"},
        ]
    }
    assert {each["address"] for each in added["asked"]["prevResult"]["ips"]} == set(wanted.addresses)
    assert checked["asked"]["prevResult"] == added["asked"]["prevResult"]
    driver.detach(network, wanted, there)
    deleted = noted(tmp_path)[-1]
    assert (deleted["command"], deleted["asked"]["prevResult"]) == ("DEL", added["asked"]["prevResult"])
    assert deleted["asked"]["runtimeConfig"] == added["asked"]["runtimeConfig"]


def test_ports_are_published_anew(driver, tmp_path, stack):
    written(tmp_path, "network1", [BRIDGE, NOTING])
    network, there = plain(driver), member(stack)
    first, second = Port("tcp", 80, "0.0.0.0", 8080), Port("tcp", 80, "0.0.0.0", 8081)
    wanted = evolve(attachment(driver, network, 2), ports=(first,))
    driver.attach(network, wanted, there)
    before = len(noted(tmp_path))
    driver.publish(network, wanted)
    assert len(noted(tmp_path)) == before
    driver.publish(network, evolve(wanted, ports=(second,)))
    driver.publish(network, evolve(wanted, ports=()))
    asked = [
        (each["command"], each["asked"]["runtimeConfig"]["portMappings"][0]["hostPort"])
        for each in noted(tmp_path)[before:]
    ]
    assert asked == [("DEL", 8080), ("ADD", 8081), ("DEL", 8081)]
    with pytest.raises(NotFound):
        driver.publish(network, attachment(driver, network, 3))


def test_addresses_of_the_plugins_own(driver, tmp_path, stack):
    ipam = {
        "type": "host-local",
        "dataDir": str(tmp_path / "leases"),
        "subnet": "10.99.0.0/24",
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    written(tmp_path, "town", [{"type": "bridge", "bridge": "cni7", "isGateway": True, "ipam": ipam}])
    network = evolve(without_pools(plain(driver)), options={"conflist": "town"})
    driver.make(network)
    one, other = member(stack), member(stack)
    wanted = [evolve(attachment(driver, network, each), addresses=()) for each in (2, 3)]
    found = [driver.attach(network, each, there) for each, there in zip(wanted, (one, other), strict=True)]
    assert [each.addresses for each in found] == [("10.99.0.2/24",), ("10.99.0.3/24",)]
    assert found[0].gateways == ("10.99.0.1",)
    assert found[0].mac_address == inside(one)["eth0"].device.mac
    assert hears(one, other, "10.99.0.3")
    driver.detach(network, wanted[0], one)
    driver.detach(network, wanted[1])
    assert "cni7" not in devices()
    assert [each.name for each in (tmp_path / "leases/town").iterdir() if each.name[0].isdigit()] == []


def test_what_plugins_lead_and_what_they_are_not_asked(driver, tmp_path, stack):
    """Default routes are the caller's to change; interfaces get what plugins know nothing of."""
    written(tmp_path, "network1", [BRIDGE])
    network, there = plain(driver), member(stack)
    options = {"com.docker.network.endpoint.sysctls": "net.ipv4.conf.IFNAME.log_martians=1"}
    wanted = evolve(attachment(driver, network, 2), options=options, mac_address="02:00:5e:00:53:01")
    link = driver.attach(network, wanted, there)
    assert (link.mac_address, link.gateways) == ("02:00:5e:00:53:01", ("10.77.1.1", "fd77:1::1"))
    assert in_namespace(there, lambda: network_settings.read("ipv4", "conf", "eth0", "log_martians")) == "1"
    with in_namespace(there, Channel) as channel:
        assert "0.0.0.0/0" in {each.destination for each in routes.dump(channel)}


def test_a_bridge_goes_with_the_last_that_uses_it(driver, tmp_path, stack):
    written(tmp_path, "network1", [BRIDGE])
    written(tmp_path, "network2", [{**BRIDGE, "isDefaultGateway": False}])
    one, two = plain(driver), plain(driver, 2)
    wanted, more = attachment(driver, one, 2), attachment(driver, two, 2)
    there, other = member(stack), member(stack)
    driver.attach(one, wanted, there)
    driver.attach(two, more, other)
    driver.detach(one, wanted, there)
    assert "cni0" in devices()
    driver.detach(two, more, other)
    assert "cni0" not in devices()


def test_a_failing_plugin_leaves_nothing(driver, tmp_path, stack, log):
    written(tmp_path, "network1", [BRIDGE, {**NOTING, "wish": {"ADD": "fail"}}])
    network, there = plain(driver), member(stack)
    before = devices()
    with pytest.raises(HostUnfit, match="CNI plugin noting failed at ADD: no luck: today"):
        driver.attach(network, attachment(driver, network, 2), there)
    assert (devices(), set(inside(there))) == (before, {"lo"})
    assert [each["command"] for each in noted(tmp_path)] == ["ADD", "DEL"]
    assert log.said == []


def test_what_cannot_be_undone_after_a_failure_is_told(driver, tmp_path, stack, log):
    written(tmp_path, "network1", [BRIDGE, {**NOTING, "wish": {"ADD": "fail", "DEL": "crash"}}])
    network, there = plain(driver), member(stack)
    with pytest.raises(HostUnfit, match="no luck"):
        driver.attach(network, attachment(driver, network, 2), there)
    assert log.said == [("warning", "what CNI plugins made can't be undone")]
    assert set(inside(there)) == {"lo"}


def test_what_fails_to_be_undone_is_told_once_all_else_is(driver, tmp_path, stack):
    written(tmp_path, "network1", [BRIDGE, {**NOTING, "wish": {"DEL": "crash"}}])
    network, there = plain(driver), member(stack)
    wanted = attachment(driver, network, 2)
    before = devices()
    driver.attach(network, wanted, there)
    with pytest.raises(HostUnfit, match="noting failed at DEL: boom"):
        driver.detach(network, wanted, there)
    assert (devices(), set(inside(there))) == (before, {"lo"})
    driver.detach(network, wanted, there)


def test_a_plugin_that_finds_something_wrong(driver, tmp_path, stack):
    written(tmp_path, "network1", [BRIDGE, {**NOTING, "wish": {"CHECK": "fail"}}])
    network, there = plain(driver), member(stack)
    with pytest.raises(HostUnfit, match="noting failed at CHECK"):
        driver.attach(network, attachment(driver, network, 2), there)
    assert set(inside(there)) == {"lo"}
    written(tmp_path, "network1", [BRIDGE, {**NOTING, "wish": {"CHECK": "fail"}}], disableCheck=True)
    driver.attach(network, attachment(driver, network, 2), there)


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("nonsense", "no JSON"),
        ("[" * 100000, "no JSON"),
        ("[]", "no map"),
        ('{"ips": 7}', "lists of maps"),
        ('{"interfaces": ["eth0"]}', "lists of maps"),
        ('{"ips": [{"address": "here"}]}', "ValueError"),
        ('{"ips": [{}]}', "KeyError"),
        ('{"routes": [{"dst": 7.5}]}', "Error"),
        ('{"interfaces": [{"mac": "x"}]}', "KeyError"),
    ],
)
def test_answers_that_are_none(driver, tmp_path, stack, said, message):
    written(tmp_path, "network1", [BRIDGE, {**NOTING, "wish": {"ADD": f"say {said}"}}])
    network, there = plain(driver), member(stack)
    with pytest.raises(HostUnfit, match=f"plugin noting answered what is no result of CNI: .*{message}"):
        driver.attach(network, attachment(driver, network, 2), there)
    assert set(inside(there)) == {"lo"}


def test_a_list_that_makes_no_interface(driver, tmp_path, stack):
    written(tmp_path, "network1", [{**NOTING, "capabilities": {"ips": True}}])
    network, there = plain(driver), member(stack)
    with pytest.raises(HostUnfit, match="made no interface eth0"):
        driver.attach(network, attachment(driver, network, 2), there)


def test_a_plugin_that_hangs(tmp_path, stack, log):
    driver = make(configured(tmp_path, timeout_s=5), place=place_in(tmp_path), log=log)
    written(tmp_path, "network1", [BRIDGE, {**NOTING, "wish": {"ADD": "hang"}}])
    network, there = plain(driver), member(stack)
    with pytest.raises(HostUnfit, match="CNI plugin noting took more than 5 s"):
        driver.attach(network, attachment(driver, network, 2), there)


def test_a_program_that_cannot_be_run(driver, tmp_path, stack):
    written(tmp_path, "network1", [BRIDGE, {"type": "broken"}])
    broken = tmp_path / "programs/broken"
    broken.write_text("no program")
    broken.chmod(0o755)
    network, there = plain(driver), member(stack)
    with pytest.raises(HostUnfit, match="broken can't be run: Exec format error"):
        driver.attach(network, attachment(driver, network, 2), there)


def test_what_a_killed_engine_left_is_undone(driver, start, tmp_path, stack, monkeypatch):
    written(tmp_path, "network1", [BRIDGE, NOTING])
    network, there = plain(driver), member(stack)
    before = devices()
    monkeypatch.setattr(type(driver), "_clear", lambda *_: None)  # as if it had no time for that
    monkeypatch.setattr("moby_network_driver.cni.driver._settle", _killed)
    with pytest.raises(KeyboardInterrupt):
        driver.attach(network, attachment(driver, network, 2), there)
    monkeypatch.undo()
    start().keep([(network, [])])
    assert noted(tmp_path)[-1]["command"] == "DEL"
    assert devices() == before


def _killed(*_):
    raise KeyboardInterrupt


def test_an_attachment_that_was_interrupted_is_made_again(driver, tmp_path, stack, monkeypatch):
    written(tmp_path, "network1", [BRIDGE, NOTING])
    network, there, again = plain(driver), member(stack), member(stack)
    wanted = attachment(driver, network, 2)
    driver.attach(network, wanted, there)
    link = driver.attach(network, wanted, again)
    assert set(inside(again)) == {"lo", "eth0"}
    assert link.addresses == wanted.addresses


def test_plugins_are_asked_and_told_from_1_1_on(driver, start, tmp_path, stack):
    own = {"type": "noting", "capabilities": {"ips": True}, "wish": {"ADD": "say {}"}}
    written(tmp_path, "network1", [own], version="1.1.0", disableCheck=True)
    network = plain(driver)
    driver.make(network)
    with pytest.raises(HostUnfit, match="made no interface"):
        driver.attach(network, attachment(driver, network, 2), member(stack))
    start().keep([(network, [attachment(driver, network, 2)])])
    asked = noted(tmp_path)
    assert [each["command"] for each in asked] == ["STATUS", "ADD", "DEL", "GC"]
    assert asked[-1]["asked"]["cni.dev/valid-attachments"] == []
    assert "CNI_CONTAINERID" not in asked[0]["environment"]
    written(tmp_path, "network1", [{**own, "wish": {"STATUS": "fail"}}], version="1.1.0")
    with pytest.raises(HostUnfit, match="noting failed at STATUS"):
        driver.make(network)
    written(tmp_path, "network1", [{**own, "wish": {"GC": "fail"}}], version="1.1.0")
    with pytest.raises(HostUnfit, match="noting failed at GC"):
        driver.keep([(network, [])])


def test_a_single_plugin_is_a_list_of_one(driver, tmp_path, stack):
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists/10-x.conf").write_text(json.dumps({"cniVersion": "0.4.0", "name": "network1", **BRIDGE}))
    (tmp_path / "lists/11-y.conf").write_text("no JSON")
    network, there = plain(driver), member(stack)
    link = driver.attach(network, attachment(driver, network, 2), there)
    assert {bare(each) for each in link.addresses} == {"10.77.1.2", "fd77:1::2"}


# What cannot be


def test_a_list_that_is_not_there(driver, tmp_path):
    with pytest.raises(NotFound, match="no network configuration list named 'network1'") as caught:
        driver.make(plain(driver))
    assert caught.value.hint == "write one, or name its folder by the option `lists`"
    written(tmp_path, "town", [BRIDGE])
    with pytest.raises(NotFound) as caught:
        driver.make(plain(driver))
    assert caught.value.hint == "there are town"


def test_a_list_that_cannot_be_read(driver, tmp_path):
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists/x.conflist").symlink_to(tmp_path / "gone")
    with pytest.raises(HostUnfit, match="can't be read: No such file"):
        driver.make(plain(driver))


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ([], "a network has a name"),
        ({"name": "a/b"}, "a network has a name"),
        ({"name": "a", "cniVersion": "0.2.0"}, "its cniVersion is '0.2.0'"),
        ({"name": "a", "cniVersion": "1.0.0", "plugins": {}}, "its plugins are no list"),
        ({"name": "a", "cniVersion": "1.0.0", "plugins": []}, "its plugins are no list"),
        ({"name": "a", "cniVersion": "1.0.0", "plugins": ["x"]}, "a plugin has a type"),
        ({"name": "a", "cniVersion": "1.0.0", "plugins": [{"type": "../x"}]}, "a plugin has a type"),
        ({"name": "a", "cniVersion": "1.0.0", "type": "x", "capabilities": []}, "no map of truth values"),
        ({"name": "a", "cniVersion": "1.0.0", "type": "x", "capabilities": {"ips": 1}}, "no map of truth values"),
    ],
)
def test_lists_that_cannot_be(document, message):
    with pytest.raises(Invalid, match=message):
        read(document, "here")


def test_a_program_that_is_not_there(driver, tmp_path):
    written(tmp_path, "network1", [{**BRIDGE, "type": "nonesuch"}])
    with pytest.raises(HostUnfit, match="this host has no CNI plugin nonesuch"):
        driver.make(plain(driver))


def test_networks_that_cannot_be(driver, tmp_path):
    written(tmp_path, "network1", [{**BRIDGE, "capabilities": {}}])
    with pytest.raises(Invalid, match="hand out addresses of their own"):
        driver.make(plain(driver))
    with pytest.raises(Invalid, match="can't be internal"):
        driver.make(evolve(without_pools(plain(driver)), internal=True))
    with pytest.raises(Invalid, match="not an option of cni networks"):
        driver.check({"nonesuch": "1"})


def test_places_that_cannot_be(driver, tmp_path, stack):
    written(tmp_path, "network1", [{**BRIDGE, "capabilities": {"ips": True}}])
    network, there = plain(driver), member(stack)
    wanted = attachment(driver, network, 2)
    for more, message in (
        ({"ports": (Port("tcp", 80, "0.0.0.0", 8080),)}, "none of the plugins of network1 publishes ports"),
        ({"mac_address": "02:00:00:00:00:01"}, "takes a MAC address"),
        ({"options": {"nonesuch": "1"}}, "not an option of endpoints on cni networks"),
    ):
        with pytest.raises(Invalid, match=message):
            driver.attach(network, evolve(wanted, **more), there)
    driver.attach(network, wanted, there)
    with pytest.raises(Conflict, match="eth0"):
        driver.attach(network, attachment(driver, network, 3), there)
