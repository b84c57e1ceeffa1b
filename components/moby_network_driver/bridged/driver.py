"""A driver whose networks are bridges of the host's."""

import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack
from types import MappingProxyType

from moby.contracts.ambient import Log, Place
from moby.contracts.network_driver import Attachment, Link, Segment
from moby.contracts.types import Fd
from moby.errors import HostUnfit, NotFound
from moby.host.netlink import Channel
from moby.host.rtnetlink import links
from moby.host.rtnetlink.links import Device
from moby.values import frozen
from moby_network_driver.bridged import forwarding
from moby_network_driver.bridged.devices import Bridges
from moby_network_driver.bridged.firewall import Firewall, Published
from moby_network_driver.bridged.introductions import Introductions
from moby_network_driver.bridged.ports import Ports, port_name
from moby_network_driver.bridged.publications import firewalled, publications
from moby_network_driver.bridged.settings import Settings
from moby_network_driver.interfaces import inside, words
from moby_network_driver.interfaces.addressing import gateways_of, mac_of, with_link_local
from moby_network_driver.interfaces.inside import SYSCTLS, Interface
from moby_network_driver.interfaces.marks import Marks
from moby_network_driver.interfaces.removal import delete_named
from moby_network_driver.interfaces.unfit import Failures, explained

__all__ = ["Bridged", "Sort"]

_NO_OPTIONS: Mapping[str, str] = MappingProxyType({})
_OF_ENDPOINTS = frozenset({SYSCTLS, "com.docker.network.endpoint.ifname"})


@frozen
class Sort:
    """What tells one sort of such networks from another."""

    name: str
    check: Callable[[Mapping[str, str]], None]
    """Refuses a network's options; Invalid."""
    settings: Callable[[Segment], Settings]
    """How a network is to be; Invalid for options that can't be."""
    scope: str = "local"
    predefined: str = ""
    predefined_options: Mapping[str, str] = _NO_OPTIONS
    ip_forward: bool = True
    """Whether the host is made to forward packets."""


class Bridged:
    """A network driver; see the contract."""

    creatable = True
    shares_host = False
    addressed = True
    publishes = True

    def __init__(self, sort: Sort, place: Place, log: Log) -> None:
        self.name, self.scope, self.predefined = sort.name, sort.scope, sort.predefined
        self.predefined_options = sort.predefined_options
        self._sort = sort
        self._marks = Marks.of(place)
        self._firewall = Firewall(self._marks.key, log)
        self._lock = threading.RLock()
        self._published: dict[str, tuple[str, tuple[Published, ...]]] = {}
        """Of each attachment, its network and ports, as the firewall has them."""

    def __enter__(self) -> "Bridged":
        with explained(f"{self.name} networks"):
            self._channel = Channel()
            self._introductions = Introductions(self._channel)
        self._bridges = Bridges(self._channel, self._marks)
        self._ports = Ports(self._channel, self._marks)
        self._opened = False
        return self

    def __exit__(self, *error: object) -> None:
        self._firewall.close()
        self._introductions.close()
        self._channel.close()

    def _rules(self) -> Firewall:
        """Return the firewall, which is opened by the first who needs it: it has one owner."""
        with self._lock:
            if not self._opened:
                self._firewall.open()
                self._opened = True
            return self._firewall

    def check(self, options: Mapping[str, str]) -> None:
        """Refuse options of a network; see the contract."""
        self._sort.check(options)

    def make(self, segment: Segment) -> None:
        """Make a network, or what is missing of it; see the contract."""
        settings = self._sort.settings(segment)
        with explained(f"network {segment.name}"), self._lock:
            self._make(segment, settings)

    def _make(self, segment: Segment, settings: Settings) -> Device:
        with ExitStack() as undo:
            made = self._bridges.make(segment, settings, undo)
            self._rules().add(firewalled(segment, settings))
            if made.new:
                undo.callback(self._firewall.remove, settings.device)
            self._forward(segment)
            undo.pop_all()
        return made.device

    def _forward(self, segment: Segment) -> None:
        if self._sort.ip_forward and not segment.internal:
            forwarding.enable(ipv6=any(":" in each.subnet for each in segment.pools))

    def unmake(self, segment: Segment) -> None:
        """Remove a network and all that is on it; see the contract."""
        settings = self._sort.settings(segment)
        with explained(f"network {segment.name}"), self._lock:
            gone = [each for each, (network, _) in self._published.items() if network == segment.id]
            for each in gone:
                self._unpublish(each)
            self._bridges.remove(segment, settings)
            if self._opened:  # else it knows no network, and whoever made none may not be let to open it
                self._firewall.remove(settings.device)

    def attach(self, segment: Segment, attachment: Attachment, namespace: Fd) -> Link:
        """Put a container on a network; see the contract."""
        settings = self._sort.settings(segment)
        words.known(attachment.options, _OF_ENDPOINTS, f"endpoints on {self.name}")
        wanted = _interface(attachment)
        with explained(f"interface {attachment.interface} on network {segment.name}"), ExitStack() as undo:
            with self._lock:
                bridge = self._bridges.find(segment, settings) or self._make(segment, settings)
            port = self._ports.make(segment, settings, bridge, attachment, namespace)
            undo.callback(delete_named, self._channel, port.name)
            self._introductions.introduce(bridge, segment, attachment)
            inside.configure(namespace, wanted)
            self._publish(segment, attachment)
            undo.pop_all()
        mac = mac_of(segment, attachment)
        return Link(attachment.interface, mac, attachment.addresses, gateways_of(segment, attachment))

    def publish(self, segment: Segment, attachment: Attachment) -> None:
        """Publish what an attachment says, in place of what it did; see the contract."""
        with explained(f"ports on network {segment.name}"):
            if not self._ports.find(segment, attachment):
                raise NotFound(f"container {attachment.container_id} is not on network {segment.name}")
            self._publish(segment, attachment)

    def detach(self, segment: Segment, attachment: Attachment, namespace: Fd | None = None) -> None:
        """Undo `attach`; see the contract."""
        with explained(f"interface {attachment.interface} on network {segment.name}"):
            with self._lock:
                self._unpublish(attachment.id)
            port = self._ports.find(segment, attachment) if namespace is not None else None
            if port:
                delete_named(self._channel, port.name)

    def keep(self, held: Sequence[tuple[Segment, Sequence[Attachment]]], also: Collection[str] = ()) -> None:
        """Have all that it makes stand for these, and nothing else but devices of these names; see the contract."""
        settings = {segment.id: self._sort.settings(segment) for segment, _ in held}
        failures = Failures()
        with self._lock, explained(f"{self.name} networks"):
            names = {port_name(each.id) for _, attachments in held for each in attachments}
            self._bridges.sweep(names | {each.device for each in settings.values()} | set(also))
            standing = [each for each in held if self._stands(each[0], settings[each[0].id], failures)]
            self._published = {
                each.id: (segment.id, publications(each)) for segment, attachments in standing for each in attachments
            }
            self._rules().keep(
                [firewalled(segment, settings[segment.id]) for segment, _ in standing],
                [each for _, ports in self._published.values() for each in ports],
            )
            for segment, _ in standing:
                self._forward(segment)
        failures.tell()

    def left(self) -> bool:
        """Whether there is any device of this engine's, of this process or one before it."""
        with explained(f"{self.name} networks"):
            return any(self._marks.own(each) for each in links.dump(self._channel))

    def _stands(self, segment: Segment, settings: Settings, failures: Failures) -> bool:
        """Repair a network; where it can't be, say so in `failures`, and go on with the others."""
        with failures.collected(f"network {segment.name}"), ExitStack() as undo:
            self._bridges.make(segment, settings, undo)
            undo.pop_all()
            return True
        return False

    def _publish(self, segment: Segment, attachment: Attachment) -> None:
        """Have the firewall lead exactly these ports to a container; as before, where one can't be."""
        wanted = publications(attachment)
        with self._lock:
            _, before = self._published.get(attachment.id, ("", ()))
            added = [each for each in wanted if each not in before]
            if added:
                self._rules().publish(added)
            gone = [each for each in before if each not in wanted]
            if gone:
                self._rules().unpublish(gone)
            self._published[attachment.id] = (segment.id, wanted)

    def _unpublish(self, attachment_id: str) -> None:
        _, ports = self._published.get(attachment_id, ("", ()))
        if ports:
            self._rules().unpublish(ports)
        self._published.pop(attachment_id, None)

    def reclaim(self) -> None:
        """Remove all that an engine left on the host."""
        with self._lock, explained(f"{self.name} networks"):
            there = self._bridges.sweep(())
            try:
                self._rules().clear()
            except HostUnfit:
                if there:
                    raise


def _interface(attachment: Attachment) -> Interface:
    """Return what is to be inside."""
    settings = inside.settings_of(attachment.options, attachment.interface)
    return Interface(attachment.interface, addresses=with_link_local(attachment), settings=settings)
