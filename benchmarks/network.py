"""The bridge networks' firewall: ports published beside few and many, beside nft, and what passes them with iperf3.

Everything is in network namespaces of its own. Needs root, and what `tools/peers nftables iptables iperf3` unpacks.
"""

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from moby_network_driver.bridge.firewall import Bridge, Firewall, Publication

from benchmarks.measure import Row
from moby.testing.net_namespaces import own_network

ROOT = Path(__file__).resolve().parents[1]
RUNS = 15
ROUNDS = 5
GIBIBYTE = 1 << 30
BRIDGE = Bridge("bench", ("172.18.0.0/16",))
HOST, PORT = "192.0.2.1", 5201
# What dockerd 26.1 with its proxy off makes of a bridge and one port, in this order.
DOCKERS = """
-t nat -N DOCKER
-t nat -A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-t nat -A OUTPUT -m addrtype --dst-type LOCAL -j DOCKER
-t nat -A POSTROUTING -o bench -m addrtype --src-type LOCAL -j MASQUERADE
-t nat -A POSTROUTING -s 172.18.0.0/16 ! -o bench -j MASQUERADE
-t nat -A POSTROUTING -s 172.18.0.2/32 -d 172.18.0.2/32 -p tcp -m tcp --dport 5201 -j MASQUERADE
-t nat -A DOCKER -p tcp -m tcp --dport 5201 -j DNAT --to-destination 172.18.0.2:5201
-N DOCKER
-N DOCKER-ISOLATION-STAGE-1
-N DOCKER-ISOLATION-STAGE-2
-N DOCKER-USER
-A FORWARD -j DOCKER-USER
-A FORWARD -j DOCKER-ISOLATION-STAGE-1
-A FORWARD -o bench -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -o bench -j DOCKER
-A FORWARD -i bench ! -o bench -j ACCEPT
-A FORWARD -i bench -o bench -j ACCEPT
-A DOCKER -d 172.18.0.2/32 ! -i bench -o bench -p tcp -m tcp --dport 5201 -j ACCEPT
-A DOCKER-ISOLATION-STAGE-1 -i bench ! -o bench -j DOCKER-ISOLATION-STAGE-2
-A DOCKER-ISOLATION-STAGE-1 -j RETURN
-A DOCKER-ISOLATION-STAGE-2 -o bench -j DROP
-A DOCKER-ISOLATION-STAGE-2 -j RETURN
-A DOCKER-USER -j RETURN
"""


class _Silent:
    """A log that nobody reads."""

    def debug(self, message: str, **fields: object) -> None:
        """Nothing."""

    info = warning = error = debug


def _ports(count: int, first: int, endpoints: int) -> list[Publication]:
    """Return ports of as many containers."""
    addresses = [f"172.18.{2 + at // 250}.{1 + at % 250}" for at in range(endpoints)]
    return [Publication("tcp", "0.0.0.0", first + at, addresses[at % endpoints], 80 + at) for at in range(count)]  # noqa: S104 - the firewall's


def _ms(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return (time.perf_counter() - began) * 1000


def _there_and_back(firewall: Firewall, ports: Sequence[Publication]) -> float:
    """Return the milliseconds that it takes to publish ports and take them back."""

    def whole() -> None:
        firewall.publish(ports)
        firewall.unpublish(ports)

    return _ms(whole)


def _flat(firewall: Firewall, endpoints: int) -> Row:
    """Time 100 ports beside 10,000 and beside none, in turn."""
    many, few = _ports(10_000, 10_000, endpoints), _ports(100, 1_000, endpoints)
    beside_none, beside_many = [], []
    for _ in range(RUNS):
        firewall.keep([BRIDGE], [])
        beside_none.append(_there_and_back(firewall, few))
        firewall.keep([BRIDGE], many)
        beside_many.append(_there_and_back(firewall, few))
    of = "one container" if endpoints == 1 else f"{endpoints} containers"
    what = f"publish 100 ports and take them back, beside 10,000 of {of}"
    return Row(what, statistics.median(beside_many), "beside none", statistics.median(beside_none), 1.5)


def _beside_nft(firewall: Firewall, nft: Callable[[str], None]) -> Row:
    """Time 1,000 ports through our socket, and through nft, which is what most tools call."""
    ports = _ports(1_000, 10_000, 1)
    elements = ", ".join(f"tcp . {each.host_port} : {each.address} . {each.port}" for each in ports)
    nft(
        "table inet peer { map any { type inet_proto . inet_service : ipv4_addr . inet_service; }; "
        "chain c { type nat hook prerouting priority -100; dnat ip to meta l4proto . th dport map @any; }; }"
    )

    def theirs() -> None:
        nft(f"add element inet peer any {{ {elements} }}")
        nft(f"delete element inet peer any {{ {elements} }}")

    firewall.keep([BRIDGE], [])
    times = [(_there_and_back(firewall, ports), _ms(theirs)) for _ in range(RUNS)]
    ours, peer = (statistics.median(each) for each in zip(*times, strict=True))
    return Row("publish 1,000 ports of one container and take them back", ours, "nft -f", peer, 1.0)


def _served(command: list[str], environment: dict[str, str]) -> subprocess.Popen[str]:
    """Return a server that listens."""
    found = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment)
    assert found.stdout
    while "listening" not in (line := found.stdout.readline()):
        if not line:
            raise SystemExit(f"{command[0]} doesn't listen")
    return found


def _passing(hosts: Any, firewall: Firewall, program: Callable[..., list[str]], environment: dict[str, str]) -> Row:
    """Time what goes from another host to a published port, with our table and with dockerd's rules, in turn."""
    web = hosts.machine("web", "172.18.0.2/16", master="bench")
    outside = hosts.machine("outside", "192.0.2.2/24")
    serve = web(lambda: _served(program("iperf3", "-s", "-p", str(PORT), "--forceflush"), environment))
    send = program("iperf3", "-c", HOST, "-p", str(PORT), "-n", str(GIBIBYTE), "--connect-timeout", "5000")

    def sent() -> float:
        return _ms(
            lambda: outside(lambda: subprocess.run(send, check=True, stdout=subprocess.DEVNULL, env=environment))
        )

    published = Publication("tcp", "0.0.0.0", PORT, "172.18.0.2", PORT)  # noqa: S104 - the firewall's
    rules = [program("iptables-nft", *each.split()) for each in DOCKERS.strip().splitlines()]
    times = []
    try:
        for _ in range(ROUNDS):
            firewall.keep([BRIDGE], [published])
            ours = sent()
            firewall.clear()
            for each in rules:
                subprocess.run(each, check=True, env=environment)
            times.append((ours, sent()))
            for table in ("nat", "filter"):
                for option in ("-F", "-X"):
                    subprocess.run(program("iptables-nft", "-t", table, option), check=True, env=environment)
    finally:
        serve.terminate()
        serve.communicate()
    ours, theirs = (statistics.median(each) for each in zip(*times, strict=True))
    rates = ", ".join(f"{8 * GIBIBYTE / each / 1e6:.1f}" for each in (ours, theirs))
    note = f"{rates} Gbit/s"
    return Row(
        "1 GiB from another host to a published port (iperf3)", ours, "dockerd's rules, no proxy", theirs, 1.1, note
    )


def rows() -> Iterator[Row]:
    """Measure."""
    sys.path.insert(0, str(ROOT / "tests"))
    from networks.hosts import Hosts  # type: ignore[import-not-found]
    from peers import binaries  # type: ignore[import-not-found]

    extensions = ":".join(str(each) for each in binaries.ROOT.glob("usr/lib/*/xtables"))
    environment = binaries.environment(XTABLES_LIBDIR=extensions)

    def program(name: str, *args: str) -> list[str]:
        return [os.fspath(binaries.find(name) or name), *args]

    def nft(text: str) -> None:
        subprocess.run(program("nft", "-f", "-"), input=text, text=True, check=True, env=environment)

    with own_network():
        hosts = Hosts()
        firewall = Firewall("bench", _Silent())
        try:
            hosts.bridge("bench", "172.18.0.1/16")
            firewall.open()
            yield _flat(firewall, 1)
            yield _flat(firewall, 1_000)
            yield _beside_nft(firewall, nft)
            yield _passing(hosts, firewall, program, environment)
        finally:
            firewall.close()
            hosts.close()
