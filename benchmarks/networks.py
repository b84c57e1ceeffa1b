"""Whether the 200th endpoint on a bridge, and the 1,000th port, cost what the first did: rows, and a drawing of each.

The drawings are in docs/. In processor time of this process, the kernel's part for it included, in a network namespace
of its own. Needs root.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from moby_discovery.dns.ports import Chooser, close_new
from moby_network_driver.bridge.plugin import Config, make
from moby_network_driver.bridged.firewall import Bridge, Firewall, Publication

from benchmarks.measure import Row
from benchmarks.plots import plot, smoothed
from moby.contracts.ambient import Log, Place
from moby.contracts.discovery import PortRequest
from moby.testing.net_namespaces import own_network

__all__ = ["rows"]

ROOT = Path(__file__).resolve().parents[1]
ENDPOINTS, PORTS, FIRST_PORT = 200, 1_000, 20_000
ROUNDS = 5
FLAT = 1.25
_PART = 10
"""The last tenth is compared with the first one."""

Curves = dict[str, list[float]]


def _ms(call: Callable[[], object]) -> float:
    began = time.process_time()
    call()
    return (time.process_time() - began) * 1000


def _medians(rounds: Sequence[Mapping[str, Sequence[float]]]) -> Curves:
    """Return the median of each step over rounds."""
    return {name: [statistics.median(each) for each in zip(*(one[name] for one in rounds), strict=True)]
            for name in rounds[0]}  # fmt: skip


def _endpoints(tools: Any, folder: Path) -> Curves:
    """Have containers come onto one bridge, one after another, and go again."""
    with own_network(), tools.Store(folder / "metadata.db") as store:
        for each in ("state", "run", "cache"):
            (folder / each).mkdir()
        log: Log = tools.Quiet()
        place = Place(folder / "state", folder / "run", folder / "cache", "bench")
        with make(Config(), place=place, log=log) as bridge:  # type: ignore[attr-defined]  # it is one, as wiring sees
            world = tools.World(folder, store)
            world.drivers["bridge"] = bridge
            networks = world.open()
            networks.create(tools.Network("", "bench", "bridge", ""))
            names = [f"{at:064x}" for at in range(1, ENDPOINTS + 1)]
            where = {"bench": tools.EndpointConfig()}
            found = {
                "create and connect": [_ms(lambda each=each: networks.join(each, where)) for each in names],  # type: ignore[misc]
                "remove": [_ms(lambda each=each: networks.leave(each)) for each in names],  # type: ignore[misc]
            }
            networks.remove("bench")
    return found


def _ports(log: Log) -> Curves:
    """Publish ports one after another, each held by its sockets, and take them back."""
    found: Curves = {}
    with own_network():
        firewall, chooser = Firewall("bench", log), Chooser()
        firewall.open()
        try:
            for words, containers in (("of one container", 1), ("of as many containers", PORTS)):
                firewall.keep([Bridge("bench", ("172.18.0.0/16",))], [])
                found |= _one_by_one(firewall, chooser, words, containers)
        finally:
            firewall.clear()
            firewall.close()
    return found


def _one_by_one(firewall: Firewall, chooser: Chooser, words: str, containers: int) -> Curves:
    held: list[tuple[Publication, Any]] = []
    there = [
        _ms(lambda at=at: held.append(_published(firewall, chooser, at, at % containers)))  # type: ignore[misc]
        for at in range(PORTS)
    ]
    gone = [_ms(lambda each=each: _taken_back(firewall, *each)) for each in held]  # type: ignore[misc]
    return {f"publish, {words}": there, f"take back, {words}": gone}


def _published(firewall: Firewall, chooser: Chooser, at: int, container: int) -> tuple[Publication, Any]:
    number = FIRST_PORT + at
    _, claims = chooser.claim([PortRequest("tcp", 1 + at, first=number, last=number)], {})
    address = f"172.18.{2 + container // 250}.{1 + container % 250}"
    publication = Publication("tcp", "0.0.0.0", number, address, 1 + at)  # noqa: S104 - the firewall's
    firewall.publish([publication])
    return publication, claims


def _taken_back(firewall: Firewall, publication: Publication, claims: Any) -> None:
    firewall.unpublish([publication])
    close_new(claims, {})


def _rows(curves: Curves, what: str) -> Iterator[Row]:
    for name, values in curves.items():
        part = len(values) // _PART
        first, last = statistics.median(values[:part]), statistics.median(values[-part:])
        whole = f"all {len(values)}: {sum(values):.0f} ms of processor time"
        yield Row(f"{what}: {name}, each of the last {part}", last, f"the first {part}", first, FLAT, whole)


class _Tools:
    """What the tests have for such things."""

    def __init__(self) -> None:
        sys.path.insert(0, str(ROOT / "tests"))
        from moby_metadata.sqlite.store import Store
        from networks.wired import Quiet, World  # type: ignore[import-not-found]

        from moby.contracts.networks import EndpointConfig, Network

        self.Store, self.Quiet, self.World = Store, Quiet, World
        self.EndpointConfig, self.Network = EndpointConfig, Network


def rows() -> Iterator[Row]:
    """Measure, and draw."""
    tools = _Tools()
    taken = []
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory() as folder:
            taken.append(_endpoints(tools, Path(folder)))
    endpoints, ports = _medians(taken), _medians([_ports(tools.Quiet()) for _ in range(ROUNDS)])
    for name, title, steps, curves in (
        ("endpoints", f"{ENDPOINTS} endpoints on one bridge", "number of the endpoint", endpoints),
        ("ports", f"{PORTS:,} published ports", "number of the port", ports),
    ):
        smooth = {each: smoothed(values, 5) for each, values in curves.items()}
        (ROOT / "docs" / f"{name}.svg").write_text(plot(title, steps, smooth), encoding="utf-8")
    yield from _rows(endpoints, f"{ENDPOINTS} endpoints on one bridge")
    yield from _rows(ports, f"{PORTS:,} ports")
