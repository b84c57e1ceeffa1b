"""The bridge networks' firewall: ports published beside few and many, beside nft, and what passes them with iperf3.

Everything is in network namespaces of its own. Needs root, and what `tools/peers nftables iptables iperf3
docker` unpacks.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from moby_network_driver.bridged.firewall import Bridge, Firewall, Publication

from benchmarks.measure import Row
from moby.host.elsewhere import in_namespace
from moby.host.nft_values import INET, OWNER, PERSIST, Table
from moby.host.nftables import Delete, Nftables
from moby.testing.net_namespaces import own_network

ROOT = Path(__file__).resolve().parents[1]
RUNS = 15
ROUNDS = 11
GIBIBYTE = 1 << 30
BRIDGE = Bridge("bench", ("172.18.0.0/16",))
HOST, PORT = "192.0.2.1", 5201
_UNKNOWN_FLAG = 1 << 20
"""Has this kernel refuse flags as an older one does."""
SERVE = ("-s", "-p", str(PORT), "--forceflush")


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


def _put_back() -> Row:
    """Remove the table, which kernels that know no owners of tables let anybody do, and see how soon it is back."""
    firewall, times = Firewall("bench", _Silent(), flags=OWNER | PERSIST | _UNKNOWN_FLAG), []
    firewall.open()
    try:
        firewall.keep([BRIDGE], _ports(1_000, 10_000, 1_000))
        with Nftables() as other:
            for _ in range(RUNS):
                began = time.perf_counter()
                other.commit([Delete(Table(INET, "moby-bench"))])
                while not any(each.table.name == "moby-bench" for each in other.tables()):
                    time.sleep(0.0002)
                times.append((time.perf_counter() - began) * 1000)
                time.sleep(0.1)  # until it watches again
    finally:
        firewall.close()
    what = "the table, of 1,000 ports, is back after somebody removed it"
    return Row(what, statistics.median(times), "ten milliseconds", 10.0, 1.0, f"at most {max(times):.1f} ms")


def serving(command: list[str], environment: dict[str, str]) -> subprocess.Popen[str]:
    """Return a server that listens."""
    found = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment)
    assert found.stdout
    while "listening" not in (line := found.stdout.readline()):
        if not line:
            raise SystemExit(f"{command[0]} doesn't listen")
    return found


@contextmanager
def _ours(tools: Any) -> Iterator[Any]:
    """Serve iperf3 at a port of ours; yield another host."""
    with own_network():
        hosts, firewall = tools.hosts(), Firewall("bench", _Silent())
        hosts.bridge("bench", "172.18.0.1/16")
        web, outside = hosts.machine("web", "172.18.0.2/16", master="bench"), hosts.machine("outside", "192.0.2.2/24")
        firewall.open()
        firewall.keep([BRIDGE], [Publication("tcp", "0.0.0.0", PORT, "172.18.0.2", PORT)])  # noqa: S104 - the firewall's
        served = web(lambda: serving(tools.program("iperf3", *SERVE), tools.environment))
    try:
        yield outside
    finally:
        served.terminate()
        served.communicate()
        firewall.close()
        hosts.close()


@contextmanager
def _dockerds(tools: Any, folder: Path) -> Iterator[Any]:
    """The same by dockerd, without its proxy."""
    from peers import bridged  # type: ignore[import-not-found]
    from peers.box import NAME, archive  # type: ignore[import-not-found]
    from peers.engines import opened  # type: ignore[import-not-found]

    image = archive(folder / "image.tar", folder / "rootfs")
    (folder / "docker").mkdir()
    with opened("docker", "runc", folder / "docker", image, bridged.PREPARE, options=bridged.OPTIONS) as engine:
        engine("run", "-d", "--name", "web", "-p", f"{PORT}:{PORT}", NAME, "sleep", "100000")
        web, namespace = bridged.network_of(engine, "web"), bridged.network_of_host(engine)
        # Not by the container itself, whose cgroup would give it more of the processor than ours has.
        served = in_namespace(web, lambda: serving(tools.program("iperf3", *SERVE), tools.environment))
        hosts = in_namespace(namespace, tools.hosts)
        try:
            yield in_namespace(namespace, lambda: hosts.machine("outside", "192.0.2.2/24"))
        finally:
            hosts.close()
            served.terminate()
            served.communicate()
            for each in (namespace, web):
                os.close(each)


def _passing(tools: Any) -> Row:
    """Measure what goes from another host to a published port, through ours and through dockerd's, in turn."""
    send = tools.program("iperf3", "-c", HOST, "-p", str(PORT), "-t", "1", "-J")

    def sent(outside: Any) -> float:
        """Return the milliseconds that 1 GiB takes: iperf3 itself ends at whole seconds."""
        said = outside(lambda: subprocess.run(send, check=True, stdout=subprocess.PIPE, env=tools.environment)).stdout
        return 8000 * GIBIBYTE / float(json.loads(said)["end"]["sum_received"]["bits_per_second"])

    with tempfile.TemporaryDirectory() as folder, _ours(tools) as ours, _dockerds(tools, Path(folder)) as theirs:
        times = [(sent(ours), sent(theirs)) for _ in range(ROUNDS)]
    mine, peer = (statistics.median(each) for each in zip(*times, strict=True))
    note = ", ".join(f"{8 * GIBIBYTE / each / 1e6:.1f}" for each in (mine, peer)) + " Gbit/s"
    return Row("1 GiB from another host to a published port (iperf3)", mine, "dockerd, no proxy", peer, 1.1, note)


class Tools:
    """What the tests have for such things."""

    def __init__(self) -> None:
        sys.path.insert(0, str(ROOT / "tests"))
        from networks.hosts import Hosts  # type: ignore[import-not-found]
        from peers import binaries

        self.hosts = Hosts
        self.environment: dict[str, str] = binaries.environment()
        self._find = binaries.find

    def program(self, name: str, *args: str) -> list[str]:
        """Return the words of a command."""
        return [os.fspath(self._find(name) or name), *args]

    def nft(self, text: str) -> None:
        """Have nft do something."""
        subprocess.run(self.program("nft", "-f", "-"), input=text, text=True, check=True, env=self.environment)


def rows() -> Iterator[Row]:
    """Measure."""
    tools = Tools()
    with own_network():
        firewall = Firewall("bench", _Silent())
        firewall.open()
        try:
            yield _flat(firewall, 1)
            yield _flat(firewall, 1_000)
            yield _beside_nft(firewall, tools.nft)
        finally:
            firewall.close()
        yield _put_back()
    yield _passing(tools)
