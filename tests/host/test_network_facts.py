"""What a host does to packets of containers, as `doctor` tells it."""

import os

import pytest

from moby.host import facts, network_facts, network_settings, nftables
from moby.host.facts import Probe
from moby.host.nft_values import INET, Chain, Hook, Table
from moby.host.nftables import Add, Nftables
from moby.testing.net_namespaces import own_network

_FORWARD = 2
SETTINGS = {
    "ipv4-forwarding": (("ipv4", "ip_forward"), "net.ipv4.ip_forward"),
    "ipv6-forwarding": (("ipv6", "conf", "all", "forwarding"), "net.ipv6.conf.all.forwarding"),
}


@pytest.fixture
def network():
    if os.geteuid():
        pytest.skip("making network namespaces takes root")
    with own_network():
        yield


@pytest.mark.parametrize("name", SETTINGS)
def test_forwarding(network, name):
    parts, said = SETTINGS[name]
    network_settings.set_to("0", *parts)
    assert facts.probe("kernel", name) == Probe(False, f"{said} is 0", f"sysctl -w {said}=1")
    network_settings.set_to("1", *parts)
    assert facts.probe("kernel", name) == Probe(True, f"{said} is 1")


def test_a_kernel_without_ipv6(network, monkeypatch):
    monkeypatch.setattr(network_settings, "read", lambda *parts: "")
    assert facts.probe("kernel", "ipv6-forwarding") == Probe(True, "this kernel has no net.ipv6.conf.all.forwarding")


@pytest.mark.parametrize("name", [*SETTINGS, "forward-accepted"])
def test_an_ordinary_user_is_told_nothing_of_the_host(monkeypatch, name):
    monkeypatch.setattr(network_facts.os, "geteuid", lambda: 1000)
    assert facts.probe("kernel", name) == Probe(True, "an ordinary user's engine has a network of its own")


@pytest.mark.parametrize("drop", [False, True])
def test_a_chain_that_drops(network, tables, drop):
    table = Table(INET, "wall")
    with Nftables() as socket:
        socket.commit([Add(table), Add(Chain(table, "way", Hook("filter", _FORWARD, 0, drop=drop)))])
    found = facts.probe("kernel", "forward-accepted")
    if not drop:
        assert found == Probe(True, "no chain drops what is forwarded")
        return
    assert not found.ok
    assert found.detail.startswith(
        "the policy drop of the chain way of nftables' table inet wall drops what containers"
    )
    assert 'nft insert rule inet wall way iifname "br-ID" accept' in found.fix


def test_chains_that_can_not_be_read(network, monkeypatch):
    def refused():
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(nftables, "Nftables", refused)
    said = "the chains that see what is forwarded can't be read: Operation not permitted"
    assert facts.probe("kernel", "forward-accepted") == Probe(True, said)
