"""The firewall's table: whose it is, how long it stands, and what it says of the tables of others."""

import os
import re
import shlex
import signal
import subprocess
import time
from pathlib import Path

import pytest
from moby_network_driver.bridged.firewall import Bridge, Firewall, Opening, Publication
from networks.hosts import ABSENT_S, PRESENT_S, Hosts, Log, arrives, server, talk
from peers import binaries

from moby.errors import Conflict, HostUnfit, Unavailable
from moby.host import processes
from moby.host.nft_values import INET, OWNER, PERSIST, Table
from moby.host.nftables import Delete, Nftables
from moby.testing.net_namespaces import own_network

pytestmark = pytest.mark.slow

BRIDGE = Bridge("one", ("172.18.0.0/16", "fd00:18::/64"))
OTHER = Bridge("two", ("172.19.0.0/16",), internal=True, isolated=True)
UNKNOWN_FLAGS = OWNER | PERSIST | 1 << 20
"""As a kernel sees those that it doesn't know."""
HOST = "192.0.2.1"


def port(number, protocol="tcp", host="0.0.0.0", address="172.18.0.2"):
    return Publication(protocol, host, number, address, 80)


PORTS = (port(80), port(81, "udp", "127.0.0.1"), port(82, "sctp"), port(80, "tcp", "::", "fd00:18::2"))


@pytest.fixture
def log():
    return Log()


@pytest.fixture
def host():
    if os.geteuid():
        pytest.skip("making network namespaces takes root")
    with own_network():
        found = Hosts()
        found.bridge("one", "172.18.0.1/16", "fd00:18::1/64")
        yield found
        found.close()


@pytest.fixture
def firewall(host, log):
    found = Firewall("mine", log)
    found.open()
    yield found
    found.close()


def run(*args, stdin="", peers="nftables"):
    """What a program of Debian's prints."""
    program = binaries.need(args[0], peers)
    found = binaries.environment()
    if program.is_relative_to(binaries.ROOT):
        found["XTABLES_LIBDIR"] = ":".join(str(each) for each in binaries.ROOT.glob("usr/lib/*/xtables"))
    done = subprocess.run([program, *args[1:]], input=stdin, capture_output=True, text=True, env=found, check=False)
    assert not done.returncode, done.stderr
    return done.stdout


def listed(name="moby-mine"):
    """A table as nft lists it."""
    text = run("nft", "list", "table", "inet", name)
    return re.sub("#.*", "", text).replace(name, "NAME")


def fresh(bridges, published):
    """A table that was never anything else, as nft lists it."""
    other = Firewall("fresh", Log())
    other.open()
    try:
        other.keep(bridges, published)
        return listed("moby-fresh")
    finally:
        other.clear()
        other.close()


def test_what_came_and_went_leaves_nothing(firewall):
    firewall.add(BRIDGE)
    firewall.add(OTHER)
    firewall.publish(PORTS)
    assert listed() == fresh([BRIDGE, OTHER], PORTS)
    firewall.unpublish(PORTS)
    firewall.unpublish(PORTS)
    firewall.remove("one")
    firewall.remove("two")
    firewall.remove("two")
    assert listed() == fresh([], [])


def test_sctp_has_its_port(firewall):
    """This kernel may have no SCTP; a rule for it is the same as for the others."""
    firewall.publish(PORTS)
    assert "sctp . 82 : 172.18.0.2 . 80" in listed()


def test_what_is_routed_comes_and_goes(firewall):
    """As nft lists it."""
    routed = Bridge("one", ("172.18.0.0/16", "fd00:18::/64"), routed=(4, 6))
    openings = [Opening("tcp", "172.18.0.2", 80), Opening("sctp", "fd00:18::2", 81)]
    firewall.add(routed)
    firewall.publish(openings)
    assert listed() == fresh([routed], openings)
    assert "elements = { tcp . 172.18.0.2 . 80 }" in listed()
    assert "elements = { sctp . fd00:18::2 . 81 }" in listed()
    firewall.add(BRIDGE)
    firewall.unpublish(openings)
    assert listed() == fresh([BRIDGE], [])


def test_network_is_changed_in_place(firewall):
    firewall.add(BRIDGE)
    changed = Bridge("one", ("172.18.0.0/16", "10.0.0.0/8"), isolated=True, masquerade=False)
    firewall.add(changed)
    firewall.add(changed)
    assert listed() == fresh([changed], [])


def test_subnets_side_by_side_are_two(firewall):
    beside = [Bridge("one", ("172.18.0.0/16",)), Bridge("two", ("172.19.0.0/16",)), Bridge("all", ("128.0.0.0/1",))]
    for each in beside[:2]:
        firewall.add(each)
    firewall.remove("one")
    assert listed() == fresh(beside[1:2], [])


def test_keep_makes_it_exactly_that(firewall):
    firewall.keep([OTHER], [port(99)])
    firewall.keep([BRIDGE], PORTS)
    assert listed() == fresh([BRIDGE], PORTS)
    firewall.unpublish([port(99)])
    firewall.remove("two")
    assert listed() == fresh([BRIDGE], PORTS)


def test_port_leads_to_one_container(firewall):
    firewall.publish([port(80)])
    firewall.publish([port(80)])
    with pytest.raises(Conflict, match=r"port 80/tcp of 0\.0\.0\.0 is published already, for 172\.18\.0\.2"):
        firewall.publish([port(90), port(80, address="172.18.0.3")])
    firewall.unpublish([port(80, address="172.18.0.3")])
    assert listed() == fresh([], [port(80)])


def test_table_outlives_its_process_and_is_taken_over(firewall, host, log):
    web = host.machine("web", "172.18.0.2/16", master="one")
    outside = host.machine("outside", "192.0.2.2/24")
    firewall.keep([BRIDGE], PORTS)
    firewall.close()
    with server(web, "tcp", 80) as listener:
        talk(outside, "tcp", HOST, 80, listener)
        successor = Firewall("mine", log)
        successor.open()
        talk(outside, "tcp", HOST, 80, listener)
        successor.keep([BRIDGE], [port(88)])
        assert listed() == fresh([BRIDGE], [port(88)])
        successor.close()


def test_table_of_a_process_that_was_killed_is_taken_over_at_once(host, log):
    def live():
        killed = Firewall("mine", log)
        killed.open()
        killed.keep([BRIDGE], PORTS)
        os.write(write, b".")
        while True:
            signal.pause()

    read, write = os.pipe()
    _, pidfd = processes.fork(live)
    os.close(write)
    assert os.read(read, 1) == b"."
    successor = Firewall("mine", log)
    with pytest.raises(Conflict, match="belongs to a process that runs"):
        successor.open()
    processes.send_signal(pidfd, signal.SIGKILL)
    processes.reap(pidfd)
    successor.open()
    assert listed() == fresh([BRIDGE], PORTS)
    successor.close()
    for each in (pidfd, read):
        os.close(each)


def test_nobody_flushes_it_but_while_no_process_has_it(firewall, log):
    """CVE-2025-54388, CVE-2025-54410: what a reload of another firewall removed didn't all come back."""
    firewall.keep([BRIDGE], PORTS)
    run("nft", "flush", "ruleset")
    assert listed() == fresh([BRIDGE], PORTS)
    firewall.close()
    run("nft", "flush", "ruleset")
    successor = Firewall("mine", log)
    successor.open()
    assert listed() == fresh([], [])
    successor.close()


def test_table_has_one_owner(firewall, log):
    second = Firewall("mine", log)
    with pytest.raises(Conflict, match="the table moby-mine of nftables belongs to a process that runs"):
        second.open()
    firewall.publish(PORTS)
    with pytest.raises(Unavailable, match="the firewall isn't open"):
        second.publish(PORTS)


def test_engines_have_tables_of_their_own(firewall, log):
    other = Firewall("other", log)
    other.open()
    other.publish([port(80)])
    firewall.publish([port(80)])
    other.clear()
    other.close()
    assert listed() == fresh([], [port(80)])


def test_tables_of_others_stay_as_they_are(firewall):
    theirs = "table ip filter { chain FORWARD { type filter hook forward priority 0; policy drop; }; }"
    run("nft", "-f", "-", stdin=theirs)
    before = run("nft", "list", "table", "ip", "filter")
    firewall.keep([BRIDGE], PORTS)
    firewall.clear()
    assert run("nft", "list", "tables") == "table ip filter\n"
    assert run("nft", "list", "table", "ip", "filter") == before


def test_without_the_power_it_is_said(unprivileged, log):
    def open_it(_folder):
        with pytest.raises(
            HostUnfit, match="the kernel refuses a change of the firewall: Operation not permitted"
        ) as caught:
            Firewall("mine", log).open()
        assert caught.value.hint == "run as root, or with an enclosure, as the assembly `rootless` has one"

    unprivileged(open_it)


def test_table_that_nobody_owned_is_replaced_by_one_that_is_owned(host, log):
    run("nft", "-f", "-", stdin="table inet moby-mine { set other { type ipv4_addr; }; }")
    firewall = Firewall("mine", log)
    firewall.open()
    assert listed() == fresh([], [])
    firewall.keep([BRIDGE], PORTS)
    run("nft", "flush", "ruleset")
    assert listed() == fresh([BRIDGE], PORTS)
    firewall.close()


@pytest.fixture
def older(host, log):
    """A firewall on a kernel that doesn't know owners of tables."""
    found = Firewall("mine", log, flags=UNKNOWN_FLAGS)
    found.open()
    yield found
    found.close()


def stands_again(bridges, published):
    """Wait until the table is whole."""
    deadline = time.monotonic() + 60
    wanted = fresh(bridges, published).replace("\tflags owner,persist\n", "")
    while True:
        try:
            found = listed()
        except AssertionError:
            found = ""
        if re.sub(r"\s+", " ", found) == re.sub(r"\s+", " ", wanted):
            return
        assert time.monotonic() < deadline, found


@pytest.mark.parametrize(
    "taking",
    [
        pytest.param("flush ruleset", id="everything"),
        pytest.param("delete table inet moby-mine", id="the_table"),
        pytest.param("flush table inet moby-mine", id="its_rules"),
        pytest.param("flush map inet moby-mine any4", id="its_elements"),
    ],
)
def test_what_others_take_away_is_put_back(older, log, taking):
    """CVE-2025-54388, CVE-2025-54410, on a kernel where anybody may remove it."""
    older.keep([BRIDGE], PORTS)
    run("nft", taking)
    stands_again([BRIDGE], PORTS)
    assert log.said[0] == "somebody changed the table moby-mine of nftables; it is put back"
    older.publish([port(99)])
    stands_again([BRIDGE], [*PORTS, port(99)])


def test_own_changes_are_not_put_back(older, log):
    older.keep([BRIDGE], PORTS)
    older.unpublish(PORTS)
    with Nftables() as other:
        other.commit([])
    older.close()  # which waits for the one who watches
    assert not log.said


def test_older_kernel_has_no_owner_but_the_same_table(older, log):
    older.keep([BRIDGE], PORTS)
    assert "flags" not in listed().split("set")[0]
    older.clear()
    with pytest.raises(OSError, match="No such file"), Nftables() as other:
        other.commit([Delete(Table(INET, "moby-mine"))])


@pytest.fixture
def traffic(host):
    web = host.machine("web", "172.18.0.2/16", master="one")
    outside = host.machine("outside", "192.0.2.2/24")
    with server(web, "tcp", 80) as listener:
        yield lambda within_s: arrives(outside, "tcp", HOST, 8080, listener, within_s)


DOCUMENTED = re.findall(r"```nft\n(.*?)```", (binaries.CHECKOUT / "docs" / "firewall.md").read_text(), re.DOTALL)


@pytest.mark.parametrize("rules", [pytest.param(each, id=f"example_{at}") for at, each in enumerate(DOCUMENTED, 1)])
def test_administrators_chain_is_obeyed(firewall, traffic, rules):
    firewall.keep([BRIDGE], [port(8080)])
    assert traffic(PRESENT_S)
    run("nft", "-f", "-", stdin=rules)
    assert not traffic(ABSENT_S)
    run("nft", "delete", "table", "inet", "admin")
    assert traffic(PRESENT_S)


def test_drop_of_iptables_is_told_with_the_rules_that_help(firewall, traffic, log):
    run("iptables-nft", "-P", "FORWARD", "DROP", peers="iptables")
    firewall.keep([BRIDGE], [port(8080)])
    assert not traffic(ABSENT_S)
    (said,) = log.said
    assert said.startswith(
        "the policy DROP of iptables's chain FORWARD drops what containers send and get, unless a rule accepts it, as: "
    )
    assert "also to each other" not in said
    add(said)
    assert traffic(PRESENT_S)
    log.said.clear()
    firewall.keep([BRIDGE], [port(8080)])
    assert not log.said


def add(said):
    """Add the rules that a warning names."""
    for each in said.partition(" as: ")[2].split("; "):
        command, *args = shlex.split(each)
        run({"iptables": "iptables-nft", "ip6tables": "ip6tables-nft"}.get(command, command), *args, peers="iptables")


@pytest.mark.parametrize("command", ["iptables-legacy", "ip6tables-legacy"])
def test_what_nftables_does_not_show_is_told_too(firewall, log, command):
    legacy(command, "-P", "FORWARD", "DROP")
    legacy(command, "-A", "FORWARD", "-i", "other", "-j", "ACCEPT")
    firewall.add(BRIDGE)
    assert log.said[0].startswith(f"the policy DROP of {command}'s chain FORWARD drops what containers send and get")
    assert log.said[0].endswith(f"{command} -I FORWARD -i one -j ACCEPT; {command} -I FORWARD -o one -j ACCEPT")
    legacy(command, "-N", "DOCKER-USER")
    legacy(command, "-A", "DOCKER-USER", "-j", "RETURN")
    firewall.add(Bridge("two"))
    assert f"{command} -I DOCKER-USER -i two -j ACCEPT" in log.said[1]
    for each in ("three", "thr+"):
        legacy(command, "-A", "DOCKER-USER", "-o", each, "-j", "ACCEPT")
        firewall.add(Bridge("three"))
        legacy(command, "-F", "DOCKER-USER")
        firewall.remove("three")
    legacy(command, "-P", "FORWARD", "ACCEPT")
    firewall.add(Bridge("four"))
    assert len(log.said) == 2


def legacy(command, *args):
    """Have iptables-legacy do something; skip the test where this kernel hasn't got it."""
    try:
        run(command, *args, peers="iptables")
    except AssertionError as error:
        if "does not exist" in str(error) or "Protocol not available" in str(error):
            pytest.skip(f"this kernel has no {command}")
        raise


def test_tables_of_iptables_legacy_are_not_made_by_asking(firewall):
    firewall.add(BRIDGE)
    names = Path("/proc/thread-self/net/ip_tables_names")
    assert not names.exists() or not names.read_text()


def test_rules_go_where_docker_leaves_room_for_them(firewall, traffic, log):
    for each in ("-P FORWARD DROP", "-N DOCKER-USER", "-A FORWARD -j DOCKER-USER", "-A DOCKER-USER -j RETURN"):
        run("iptables-nft", *each.split(), peers="iptables")
    firewall.add(BRIDGE)
    firewall.publish([port(8080)])
    (said,) = log.said
    assert said.endswith("iptables -I DOCKER-USER -i one -j ACCEPT; iptables -I DOCKER-USER -o one -j ACCEPT")
    assert not traffic(ABSENT_S)
    add(said)
    assert traffic(PRESENT_S)


@pytest.mark.parametrize(
    "rules",
    [
        pytest.param(["-A", "FORWARD", "-i", "one", "-j", "ACCEPT"], id="by_its_name"),
        pytest.param(["-A", "FORWARD", "-i", "on+", "-j", "ACCEPT"], id="by_its_beginning"),
    ],
)
def test_bridge_that_a_rule_names_needs_none(firewall, log, rules):
    run("ip6tables-nft", "-P", "FORWARD", "DROP", peers="iptables")
    run("ip6tables-nft", *rules, peers="iptables")
    firewall.add(BRIDGE)
    assert not log.said
    firewall.add(Bridge("two"))
    assert len(log.said) == 1
    assert "ip6tables -I FORWARD -i two -j ACCEPT" in log.said[0]
    firewall.add(Bridge("three", internal=True))
    assert len(log.said) == 1


def test_drop_of_a_table_is_told_with_the_rules_that_help(firewall, traffic, log):
    run("nft", "-f", "-", stdin="table inet wall { chain way { type filter hook forward priority 0; policy drop; }; }")
    firewall.keep([BRIDGE], [port(8080)])
    (said,) = log.said
    assert said.startswith("the policy drop of the chain way of nftables' table inet wall drops what containers send")
    add(said)
    assert traffic(PRESENT_S)


def test_firewalld_is_told_of_the_bridge(firewall, log):
    """Its chain accepts by its policy, and has a last rule that rejects."""
    chain = "chain filter_FORWARD { type filter hook forward priority 10; policy accept; reject; }"
    run("nft", "-f", "-", stdin=f"table inet firewalld {{ {chain}; }}")
    firewall.add(BRIDGE)
    (said,) = log.said
    assert said.startswith("firewalld drops what containers send and get, unless a rule accepts it, as: ")
    assert said.endswith(" as: firewall-cmd --zone=trusted --add-interface=one")


def test_what_stays_on_a_bridge_is_told_of_too(log, host):
    host.close()
    calling = Hosts(bridges_call=True)
    firewall = Firewall("mine", log)
    firewall.open()
    try:
        run("iptables-nft", "-P", "FORWARD", "DROP", peers="iptables")
        firewall.add(BRIDGE)
        assert (
            "also to each other, since net.bridge.bridge-nf-call-iptables is 1, unless a rule accepts it, as: "
            in log.said[0]
        )
    finally:
        firewall.close()
        calling.close()
