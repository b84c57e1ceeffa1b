"""Our firewall beside dockerd's on one host: each leads its ports, and none touches the other's rules."""

import os
import re
import shlex

import pytest
from moby_network_driver.bridged.firewall import Bridge, Firewall, Publication
from networks.hosts import Hosts, Log, Machine, arrives, server, talk
from peers.bridged import OPTIONS, PREPARE, network_of, network_of_host
from peers.engines import opened

from moby.host.namespaces import FLAGS, join

pytestmark = pytest.mark.slow

BRIDGE = Bridge("one", ("172.30.0.0/16",))
HOST = "192.0.2.1"


class Theirs(Machine):
    """The network namespace of a container of dockerd's."""

    def __init__(self, engine, name) -> None:
        self.namespace = network_of(engine, name)
        self.addresses = {4: engine.inspect(name, ".NetworkSettings.IPAddress")}


@pytest.fixture(scope="module")
def engine(tmp_path_factory, image):
    with opened("docker", "runc", tmp_path_factory.mktemp("docker"), image, PREPARE, options=OPTIONS) as found:
        yield found


@pytest.fixture(scope="module")
def hosts(engine):
    """The sandbox's network namespace as the host, with this thread in it, and a bridge of ours."""
    before, there = os.open("/proc/thread-self/ns/net", os.O_RDONLY), network_of_host(engine)
    join(there, FLAGS["network"])
    found = Hosts()
    found.bridge("one", "172.30.0.1/16")
    yield found
    found.close()
    join(before, FLAGS["network"])
    for each in (before, there):
        os.close(each)


@pytest.fixture(scope="module")
def outside(hosts):
    return hosts.machine("outside", "192.0.2.2/24")


@pytest.fixture(scope="module")
def ours(hosts):
    return hosts.machine("ours", "172.30.0.2/16", master="one")


@pytest.fixture(scope="module")
def theirs(engine, hosts):
    engine(
        "run", "-d", "--name", "theirs", "--stop-signal=KILL", "-p", "8081:80", "localhost/box:latest", "sleep", "1000"
    )
    found = Theirs(engine, "theirs")
    yield found
    found.close()


def rules(engine):
    """All rules of iptables, without what they counted."""
    text = engine.sandbox.run("iptables-nft-save").stdout
    return re.sub(r"(?m)^#.*$|\[\d+:\d+\]", "", text)


def test_both_lead_their_ports_once_the_administrator_did_what_is_said(engine, outside, ours, theirs):
    before = rules(engine)
    log = Log()
    firewall = Firewall("beside", log)
    firewall.open()
    with server(ours, "tcp", 80) as our_server, server(theirs, "tcp", 80) as their_server:
        firewall.keep([BRIDGE], [Publication("tcp", "0.0.0.0", 8080, ours.addresses[4], 80)])
        assert rules(engine) == before
        talk(outside, "tcp", HOST, 8081, their_server)
        assert not arrives(outside, "tcp", HOST, 8080, our_server)
        said = [shlex.split(each) for each in log.said[0].partition(" as: ")[2].split("; ")]
        for each in said:
            engine.sandbox.run(*each)
        talk(outside, "tcp", HOST, 8080, our_server)
        talk(outside, "tcp", HOST, 8081, their_server)
        assert not arrives(theirs, "tcp", ours.addresses[4], 80, our_server)
        engine.again()
        talk(outside, "tcp", HOST, 8080, our_server)
        firewall.clear()
    firewall.close()
    for each in said:
        engine.sandbox.run(*("-D" if word == "-I" else word for word in each))
    assert "one" not in rules(engine)
