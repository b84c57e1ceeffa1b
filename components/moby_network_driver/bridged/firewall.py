"""The engine's firewall: what networks and published ports need of nftables, in one table of its own."""

import errno
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path

from moby.contracts.ambient import Log
from moby.errors import Conflict, HostUnfit, Unavailable
from moby.host import conntrack
from moby.host.hindrances import forward_chains, hindrances
from moby.host.nft_values import OWNER, PERSIST, Value
from moby.host.nftables import Add, Delete, Nftables, Refused
from moby_network_driver.bridged.ruleset import PROTOCOLS, Bridge, Opening, Publication, Published, Ruleset
from moby_network_driver.bridged.watch import Watch

__all__ = ["Bridge", "Firewall", "Opening", "Publication", "Published"]

_UNKNOWN_FLAGS = (errno.EOPNOTSUPP, errno.EINVAL)
"""What kernels before 6.9 say, and before 5.12; also newer ones, of a table that was made without."""
_ROUTE_LOCALNET = "/proc/sys/net/ipv4/conf/{}/route_localnet"
_LASTING = ("udp", "sctp")
"""Whose connections the kernel takes for the same ones, whoever answers; a new one of TCP is seen as such."""


class Firewall:
    """One table, `moby-KEY`, whose content is what it was told. Thread-safe.

    While it is open nobody else can change it, where the kernel knows how to forbid that (6.9); elsewhere what others
    take away is put back at once. It outlives the process.
    """

    def __init__(self, key: str, log: Log, *, flags: int = OWNER | PERSIST) -> None:
        self._log = log
        self._name = f"moby-{key}"
        self._rules = Ruleset(self._name, flags)
        self._bridges: dict[str, Bridge] = {}
        self._ports: dict[tuple[str, str, int], Published] = {}
        self._lock = threading.RLock()
        self._nftables: Nftables | None = None
        self._watch: Watch | None = None

    def open(self) -> None:
        """Take over the table of an engine that has ended, as it is, or make an empty one.

        Conflict where a process that runs has it, HostUnfit where this process or this kernel can't.
        """
        try:
            with self._lock:
                self._nftables = _opened()
                self._take()
                if not self._nftables.sets(self._rules.table):
                    self._replace()
        except BaseException:
            self.close()  # without the lock, for which one who watches may wait
            raise

    def _take(self) -> None:
        assert self._nftables
        owned, plain = self._rules.table, Ruleset(self._name)
        # One that nobody ever owned can't be taken over, but one in its place can be owned.
        replace: list[Add | Delete] = [Add(plain.table), Delete(plain.table), Add(owned)]
        for attempt in (replace[2:], replace):
            try:
                self._nftables.commit(attempt)
            except Refused as error:
                if error.errno not in _UNKNOWN_FLAGS:
                    raise self._unfit(error) from error
            else:
                return
        self._rules = plain
        self._commit([Add(plain.table)])
        self._watch = Watch(plain.table, self._nftables.port, self._put_back, self._log)

    def close(self) -> None:
        """Let go of the table, which stays."""
        watch, self._watch = self._watch, None
        if watch:
            watch.close()
        with self._lock:
            if self._nftables:
                self._nftables.close()
                self._nftables = None

    def keep(self, bridges: Iterable[Bridge], published: Iterable[Published]) -> None:
        """Have the table be exactly these, in one step that no packet sees; say what of the host's hinders them."""
        with self._lock:
            before = self._standing()
            self._bridges = {each.interface: each for each in bridges}
            self._ports = {each.place: each for each in published}
            self._replace()
            for each in self._bridges.values():
                _route_loopback(each)
        self._forget([each for each in before if self._ports.get(each.place) != each])
        self._say_hindrances(tuple(self._bridges.values()))

    def _standing(self) -> list[Published]:
        """Return the ports that an engine before this one left, as far as they can be told."""
        if not self._nftables:
            raise Unavailable("the firewall isn't open")
        try:
            return list(self._rules.standing_ports(self._nftables.elements))
        except OSError:  # another version's table
            return []

    def add(self, bridge: Bridge) -> None:
        """Have a network, whose bridge is there, in place of what was known by its name; say what hinders it.

        Its bridge routes 127.0.0.0/8 from now on, so that its ports answer there.
        """
        with self._lock:
            before = self._bridges.get(bridge.interface)
            if before != bridge:
                self._commit([*self._without(before), *(Add(each) for each in self._rules.of_bridge(bridge))])
                self._bridges[bridge.interface] = bridge
            _route_loopback(bridge)
        if before != bridge:
            self._say_hindrances([bridge])

    def remove(self, interface: str) -> None:
        """Have a network no more; nothing where it isn't known."""
        with self._lock:
            self._commit(self._without(self._bridges.get(interface)))
            self._bridges.pop(interface, None)

    def _without(self, bridge: Bridge | None) -> list[Add | Delete]:
        return [Delete(each) for each in self._rules.of_bridge(bridge)] if bridge else []

    def publish(self, published: Sequence[Published]) -> None:
        """Have ports lead to containers, all of them or none; repeating is fine.

        What talks by UDP or SCTP to such a port already is led there too. Conflict where one leads elsewhere.
        """
        with self._lock:
            for each in published:
                other = self._ports.get(each.place, each)
                if other != each:
                    protocol, address, port = each.place
                    raise Conflict(f"port {port}/{protocol} of {address} is published already, for {other.address}")
            new = {each.place: each for each in published if each.place not in self._ports}
            self._commit([Add(each) for each in self._rules.of_ports(tuple(new.values()))])
            self._ports.update(new)
        self._forget(tuple(new.values()))

    def unpublish(self, published: Sequence[Published]) -> None:
        """Have ports lead nowhere; nothing for those that don't lead there."""
        with self._lock:
            gone = [each for each in published if self._ports.get(each.place) == each]
            self._commit([Delete(each) for each in self._rules.of_ports(gone)])
            for each in gone:
                del self._ports[each.place]
        self._forget(gone)

    def clear(self) -> None:
        """Remove the table."""
        with self._lock:
            self._bridges, self._ports = {}, {}
            self._commit([Add(self._rules.table), Delete(self._rules.table)])

    def _replace(self) -> None:
        table = self._rules.table
        values: list[Value] = [table, *self._rules.skeleton()]
        for bridge in self._bridges.values():
            values += self._rules.of_bridge(bridge)
        values += self._rules.of_ports(tuple(self._ports.values()))
        self._commit([Add(table), Delete(table), *(Add(each) for each in values)])

    def _put_back(self) -> None:
        with self._lock:
            if self._nftables:
                self._replace()

    def _commit(self, changes: Sequence[Add | Delete]) -> None:
        if not changes:
            return
        if not self._nftables:
            raise Unavailable("the firewall isn't open")
        try:
            self._nftables.commit(changes)
        except Refused as error:
            raise self._unfit(error) from error

    def _unfit(self, error: Refused) -> Conflict | HostUnfit:
        failed = {change for change, _, _ in error.failures}
        if error.errno == errno.EPERM and None not in failed:
            return Conflict(
                f"the table {self._name} of nftables belongs to a process that runs",
                hint="end the other engine of this root",
            )
        hint = (
            "run as root, or with an enclosure, as the assembly `rootless` has one"
            if error.errno == errno.EPERM
            else "have a kernel with nf_tables, NAT and conntrack, from 5.6"
        )
        return HostUnfit(f"the kernel refuses a change of the firewall: {error.strerror} ({error.filename})", hint=hint)

    def _forget(self, ports: Sequence[Published]) -> None:
        """Have what talks to ports be led anew; it takes some 15 ms, so not where there is no need."""
        lasting = [each.place for each in ports if each.protocol in _LASTING]
        try:
            conntrack.forget([conntrack.Flow(PROTOCOLS[protocol], host, port) for protocol, host, port in lasting])
        except OSError as error:
            self._log.warning("what talked to ports already is still led where it was", reason=str(error))

    def _say_hindrances(self, bridges: Sequence[Bridge]) -> None:
        with self._lock:
            chains = forward_chains(self._nftables) if self._nftables else ()
        names = [each.interface for each in bridges if not each.internal]
        for each in hindrances(chains, names):
            self._log.warning(each.text)


def _opened() -> Nftables:
    try:
        return Nftables()
    except OSError as error:
        raise HostUnfit(
            f"the kernel has no nftables: {error.strerror}", hint="load or build nf_tables (modprobe nf_tables)"
        ) from error


def _route_loopback(bridge: Bridge) -> None:
    """Let what the host sends from 127.0.0.1 to a published port be answered; the table keeps others out of there."""
    if bridge.internal:
        return
    try:
        Path(_ROUTE_LOCALNET.format(bridge.interface)).write_text("1", encoding="ascii")
    except FileNotFoundError:  # the bridge is about to be made, or somebody has just deleted it
        return
