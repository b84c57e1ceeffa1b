"""The driver of networks that netavark makes, Podman's network stack."""

import json
import os
import subprocess
from contextlib import ExitStack
from pathlib import Path

import pytest
from moby_network_driver.netavark.calls import call_of
from moby_network_driver.netavark.plugin import Config, make
from moby_network_driver.netavark.running import Program
from network_driver.engines import Quiet, place_in, starting
from peers import binaries

from moby.contracts.network_driver import Port
from moby.errors import Conflict, HostUnfit, Invalid, NotFound
from moby.host.elsewhere import in_namespace
from moby.host.netlink import Channel
from moby.host.rtnetlink import links
from moby.testing.net_namespaces import own_network
from moby.testing.network_driver import NetworkDriverSuite
from moby.testing.network_driver_given import Given, answers, attachment, devices, hears, inside, member, segment
from moby.values import evolve

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="making network namespaces takes root")


@pytest.fixture
def program(monkeypatch):
    """The path of netavark, which finds nft."""
    found = binaries.file("usr/lib/podman/netavark", "netavark")
    binaries.need("nft", "nftables")
    for key in ("PATH", "LD_LIBRARY_PATH"):
        monkeypatch.setenv(key, binaries.environment()[key])
    return str(found)


@pytest.mark.slow
class TestNetavark(NetworkDriverSuite):
    @pytest.fixture
    def given(self, host, tmp_path, program):
        with starting(lambda: make(Config(binary=program), place=place_in(tmp_path), log=Quiet())) as start:
            yield Given(start)


@pytest.fixture
def host():
    with own_network():
        yield


@pytest.fixture
def stack(host):
    with ExitStack() as found:
        yield found


@pytest.fixture
def log():
    return Quiet()


@pytest.fixture
def driver(host, tmp_path, program, log):
    return make(Config(binary=program), place=place_in(tmp_path), log=log)


def plain(driver, number=1):
    return segment(Given(lambda: driver), driver, number)


def published(port):
    return (Port("tcp", 80, "0.0.0.0", port),)


def test_the_bridge_comes_with_the_first_container_and_goes_with_the_last(driver, stack):
    network, one, other, before = plain(driver), member(stack), member(stack), devices()
    driver.make(network)
    assert devices() == before
    driver.attach(network, attachment(driver, network, 2), one)
    driver.attach(network, attachment(driver, network, 3), other)
    bridge = f"br-{network.id[:12]}"
    assert sorted(set(devices()) - set(before)) == sorted(
        [bridge, *(f"veth{attachment(driver, network, each).id[:11]}" for each in (2, 3))]
    )
    driver.detach(network, attachment(driver, network, 2), one)
    assert bridge in devices()
    driver.detach(network, attachment(driver, network, 3), other)
    assert devices() == before


def test_a_bridge_that_somebody_deletes_is_there_again_with_the_next_container(driver, stack):
    network, one, other = plain(driver), member(stack), member(stack)
    driver.make(network)
    driver.attach(network, attachment(driver, network, 2), one)
    with Channel() as channel:
        bridge = links.get(channel, f"br-{network.id[:12]}")
        channel.run(links.delete(bridge.index, bridge.name))
    driver.attach(network, attachment(driver, network, 3), other)
    assert hears(one, other, "10.77.1.3")
    assert hears(one, other, "fd77:1::3")


def test_options(driver, stack):
    options = {
        "com.docker.network.bridge.name": "mine0",
        "com.docker.network.driver.mtu": "1400",
        "isolate": "strict",
    }
    network, there = evolve(plain(driver), options=options), member(stack)
    driver.check(options)
    driver.make(network)
    driver.attach(network, attachment(driver, network, 2), there)
    with Channel() as channel:
        assert links.get(channel, "mine0").mtu == 1400
    assert inside(there)["eth0"].device.mtu == 1400
    driver.make(network)
    driver.unmake(network)
    assert "mine0" not in devices()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"nonesuch": "1"}, "'nonesuch' is not an option of netavark networks"),
        ({"com.docker.network.bridge.name": "a/b"}, "can't be an interface's name"),
        ({"com.docker.network.driver.mtu": "x"}, "failed to parse com.docker.network.driver.mtu value: x "),
        ({"isolate": "perhaps"}, "isolate is 'perhaps'"),
    ],
)
def test_options_that_cannot_be(driver, options, message):
    with pytest.raises(Invalid, match=message):
        driver.check(options)


def test_an_interface_that_is_the_host_s(driver):
    with Channel() as channel:
        channel.run(links.bridge("theirs0"))
    with pytest.raises(Conflict, match="an interface theirs0 is there already"):
        driver.make(evolve(plain(driver), options={"com.docker.network.bridge.name": "theirs0"}))
    assert "theirs0" in devices()


def test_places_that_cannot_be(driver, stack):
    network, there = plain(driver), member(stack)
    wanted = attachment(driver, network, 2)
    with pytest.raises(Invalid, match="not an option of endpoints on netavark networks"):
        driver.attach(network, evolve(wanted, options={"nonesuch": "1"}), there)
    with pytest.raises(Invalid, match="network network1 has no subnet"):
        driver.attach(evolve(network, pools=()), evolve(wanted, addresses=()), there)
    with pytest.raises(NotFound, match="is not on network network1"):
        driver.publish(network, wanted)


def test_settings_of_an_interface(driver, stack):
    network, there = plain(driver), member(stack)
    key = "com.docker.network.endpoint.sysctls"
    wanted = evolve(
        attachment(driver, network, 2), options={key: "net.ipv4.conf.IFNAME.log_martians=1"}
    )  # fmt: skip
    driver.make(network)
    driver.attach(network, wanted, there)
    assert in_namespace(there, lambda: Path("/proc/sys/net/ipv4/conf/eth0/log_martians").read_text()) == "1\n"


def test_publishing_anew_disturbs_nobody(driver, stack, monkeypatch):
    network, there, other = plain(driver), member(stack), member(stack)
    driver.make(network)
    wanted = attachment(driver, network, 2, ports=published(8080))
    driver.attach(network, wanted, there)
    driver.attach(network, attachment(driver, network, 3, ports=published(8090)), other)
    before, own = inside(there), devices()
    driver.publish(network, evolve(wanted, ports=published(8081)))
    driver.publish(network, evolve(wanted, ports=published(8081)))
    assert (inside(there), devices()) == (before, own)
    gateway = network.pools[0].gateway
    assert (answers(there, 80, gateway, 8081), answers(there, 80, gateway, 8080)) == (True, False)
    assert answers(other, 80, gateway, 8090)

    def refuse(*_):
        raise HostUnfit("no room for rules")

    with monkeypatch.context() as failing:
        failing.setattr(Program, "set_up", refuse)
        with pytest.raises(HostUnfit, match="no room for rules"):
            driver.publish(network, wanted)
    driver.publish(network, evolve(wanted, ports=published(8081)))  # those before, as who undoes does
    assert answers(there, 80, gateway, 8081)
    driver.publish(network, evolve(wanted, ports=()))
    assert not answers(there, 80, gateway, 8081)


def test_who_goes_before_others_without_ports_is_taken_off_without_netavark(driver, stack, monkeypatch, tmp_path):
    """It has no rules of its own; and no device is deleted whose namespace goes, which takes the kernel a while."""
    network, one, two, stays = plain(driver), member(stack), member(stack), member(stack)
    driver.make(network)
    for number, there in enumerate((one, two, stays), 2):
        driver.attach(network, attachment(driver, network, number), there)
    going, gone = (f"veth{attachment(driver, network, each).id[:11]}" for each in (2, 3))
    kept, rules = tmp_path / "run/netavark/firewall/ports", _rules()

    def refuse(*_):
        raise HostUnfit("netavark isn't needed")

    with monkeypatch.context() as failing:
        failing.setattr(Program, "tear_down", refuse)
        assert len(list(kept.iterdir())) == 3
        driver.detach(network, attachment(driver, network, 2))
        with Channel() as channel:
            assert links.get(channel, going).master == 0
        driver.detach(network, attachment(driver, network, 3), two)
        assert gone not in devices()
        assert set(inside(two)) == {"lo"}
        assert len(list(kept.iterdir())) == 1
    assert _rules() == rules
    again = member(stack)
    driver.attach(network, attachment(driver, network, 2), again)  # though what it was in hasn't gone yet
    assert hears(again, stays, "10.77.1.4")
    driver.detach(network, attachment(driver, network, 2), again)
    driver.detach(network, attachment(driver, network, 4), stays)
    assert network.id[:8] not in _rules()


def test_who_goes_with_ports_takes_their_rules_along(driver, stack):
    network, there, stays, before = plain(driver), member(stack), member(stack), devices()
    driver.make(network)
    driver.attach(network, attachment(driver, network, 2, ports=published(8080)), there)
    driver.attach(network, attachment(driver, network, 3), stays)
    driver.detach(network, attachment(driver, network, 2, ports=published(8080)))
    assert "8080" not in _rules()
    driver.detach(network, attachment(driver, network, 3))
    assert devices() == before


def test_what_is_deleted_in_place_of_an_interface_is_no_more_than_that(driver, stack, monkeypatch):
    """Each device that goes takes the kernel a while; so netavark deletes the pair itself where that is there."""
    network, before = plain(driver), devices()
    driver.make(network)
    with monkeypatch.context() as failing:
        failing.setattr("moby_network_driver.netavark.driver.beside", None)
        driver.attach(network, attachment(driver, network, 2), member(stack))
        driver.detach(network, attachment(driver, network, 2))
    assert devices() == before
    driver.attach(network, attachment(driver, network, 2), member(stack))
    with Channel() as channel:
        name = f"veth{attachment(driver, network, 2).id[:11]}"
        channel.run(links.delete(links.index_of(channel, name), name))
    driver.detach(network, attachment(driver, network, 2))
    assert devices() == before
    assert network.id[:8] not in _rules()


@pytest.mark.parametrize(
    ("firewall", "ports", "nothing"),
    [
        ("nftables", (), True), ("nftables", published(8080), False), ("none", (), True), ("iptables", (), False),
        ("firewalld", (), False),
    ],
)  # fmt: skip
def test_which_places_have_no_rules_of_their_own(driver, tmp_path, firewall, ports, nothing):
    network = plain(driver)
    call = call_of(network, attachment(driver, network, 2, ports=ports))
    assert Program("netavark", tmp_path, firewall, 1).makes_nothing_of(call) is nothing


def test_without_a_firewall(tmp_path, program, stack):
    driver = make(Config(binary=program, firewall="none"), place=place_in(tmp_path), log=Quiet())
    assert not driver.publishes
    network, there, before = plain(driver), member(stack), devices()
    driver.make(network)
    driver.attach(network, attachment(driver, network, 2), there)
    driver.reclaim()
    assert devices() == before


def test_a_program_that_is_not_there(tmp_path, host):
    driver = make(Config(binary=str(tmp_path / "nowhere")), place=place_in(tmp_path), log=Quiet())
    with pytest.raises(HostUnfit, match=r"this host has no netavark at .*nowhere") as caught:
        driver.make(plain(driver))
    assert "Debian: netavark" in caught.value.hint


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ('#!/bin/sh\necho \'{"error": "no luck"}\'; exit 1', "netavark failed at setup: no luck"),
        ("#!/bin/sh\necho broken >&2; exit 1", "netavark failed at setup: broken"),
        ("#!/bin/sh\nexit 3", "netavark failed at setup: it ended with 3"),
        ("#!/bin/sh\necho '[[['; exit 3", r"netavark failed at setup: \[\[\["),
        ("#!/bin/sh\nsleep 100", "netavark took more than 0.5 s for setup"),
        ("#!/bin/sh\nexit 0", "interface eth0 on network network1: No such device"),
        ("no program", "can't be run: Exec format error"),
    ],
)
def test_a_program_that_fails(tmp_path, stack, script, message, log):
    program = tmp_path / "program"
    program.write_text(script)
    program.chmod(0o755)
    timeout_s = 0.5 if "sleep" in script else 60
    driver = make(Config(binary=str(program), timeout_s=timeout_s), place=place_in(tmp_path), log=log)
    network, there, before = plain(driver), member(stack), devices()
    driver.make(network)
    with pytest.raises(HostUnfit, match=message):
        driver.attach(network, attachment(driver, network, 2), there)
    assert (devices(), set(inside(there))) == (before, {"lo"})
    failed = "exit 0" not in script
    assert log.said == [("warning", "what netavark made can't be undone")] * failed


def test_what_a_killed_engine_left_is_undone(driver, tmp_path, stack, monkeypatch, program):
    network, there, before = plain(driver), member(stack), devices()
    driver.make(network)

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(type(driver), "_clear", lambda *_: None)  # as if it had no time for that
    monkeypatch.setattr("moby_network_driver.netavark.driver._settle", killed)
    with pytest.raises(KeyboardInterrupt):
        driver.attach(network, attachment(driver, network, 2, ports=published(8080)), there)
    monkeypatch.undo()
    for key in ("PATH", "LD_LIBRARY_PATH"):
        monkeypatch.setenv(key, binaries.environment()[key])
    assert devices() != before
    again = make(Config(binary=program), place=place_in(tmp_path), log=Quiet())
    again.keep([(network, [])])
    assert devices() == before
    driver.attach(network, attachment(driver, network, 2), there)


def test_rules_that_netavark_left_are_taken_away_later(driver, stack, monkeypatch):
    def refuse(*_):
        raise HostUnfit("no luck")

    network, there, before = plain(driver), member(stack), devices()
    driver.make(network)
    wanted = attachment(driver, network, 2, ports=published(8080))
    driver.attach(network, wanted, there)
    with monkeypatch.context() as failing:
        failing.setattr(Program, "tear_down", refuse)
        with pytest.raises(HostUnfit, match="no luck"):
            driver.detach(network, wanted, there)
    assert "8080" in _rules()
    driver.keep([(network, [])])
    assert "8080" not in _rules()
    assert devices() == before


def _rules():
    return subprocess.run(["nft", "list", "ruleset"], capture_output=True, text=True, check=True).stdout


def test_what_netavark_is_told(tmp_path, stack, log):
    """Names that aren't those of Podman's networks, addresses of the engine's, and no default route."""
    program = tmp_path / "program"
    program.write_text(f'#!/bin/sh\nfor each; do :; done\ncat >{tmp_path}/told; echo "$@" >{tmp_path}/words; exit 1')
    program.chmod(0o755)
    driver = make(Config(binary=str(program), firewall="iptables"), place=place_in(tmp_path), log=log)
    network, there = plain(driver), member(stack)
    wanted = attachment(driver, network, 2, ports=published(8080))
    told = call_of(network, wanted).document()
    assert json.loads(json.dumps(told)) == told
    (name,) = told["network_info"]
    assert name == network.id
    assert told["network_info"][name]["options"] == {"no_default_route": "true"}
    assert told["networks"][name]["static_ips"] == ["10.77.1.2", "fd77:1::2"]
    with pytest.raises(HostUnfit):
        driver.attach(network, wanted, there)
    words = (tmp_path / "words").read_text().split()
    assert words[:4] == ["--config", str(tmp_path / "run/netavark"), "--firewall-driver", "iptables"]
