"""A driver whose containers have interfaces on top of one of the host's."""

import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack
from types import MappingProxyType

from moby.contracts.ambient import Place
from moby.contracts.network_driver import Attachment, Link, Segment
from moby.contracts.types import Fd
from moby.errors import Invalid
from moby.host.netlink import Channel, Message
from moby.values import frozen
from moby_network_driver.interfaces import inside, words
from moby_network_driver.interfaces.addressing import gateways_of, mac_of, with_link_local
from moby_network_driver.interfaces.inside import SYSCTLS, Interface
from moby_network_driver.interfaces.marks import Marks
from moby_network_driver.interfaces.unfit import Failures, explained
from moby_network_driver.parented.parents import Parents

__all__ = ["OnParent", "Sort"]

_PARENT, _MTU = "parent", "com.docker.network.driver.mtu"
_PREFIXES = ("com.docker.network.container_iface_prefix", "com.docker.network.container_interface_prefix")
_OF_ENDPOINTS = frozenset({SYSCTLS, "com.docker.network.endpoint.ifname"})
_ENDPOINT = "endpoint"


@frozen
class Sort:
    """What tells one sort of such interfaces from another."""

    name: str
    prefix: str
    """Of the names of parents that are made, 3 characters."""
    choices: Mapping[str, Collection[str]]
    """Options, and the words that each may be, the default first."""
    interface: Callable[[str, int, Mapping[str, str], str, int, Fd], Message]
    """Makes one: by name, its parent's index, the choices, its MAC address, its MTU and its namespace."""
    own_mac: Callable[[Mapping[str, str]], bool]
    """Whether it has a MAC address of its own, by the choices."""
    routed: Callable[[Mapping[str, str]], bool]
    """Whether the way out is the interface itself, by the choices."""


class OnParent:
    """A network driver; see the contract."""

    scope = "local"
    predefined = ""
    predefined_options: Mapping[str, str] = MappingProxyType({})
    creatable = True
    shares_host = False
    addressed = True
    publishes = False

    def __init__(self, sort: Sort, place: Place) -> None:
        self.name = sort.name
        self._sort = sort
        self._marks = Marks.of(place)
        self._lock = threading.Lock()

    def __enter__(self) -> "OnParent":
        with explained(f"{self.name} networks"):
            self._channel = Channel()
        self._parents = Parents(self._channel, self._marks, self._sort.prefix)
        return self

    def __exit__(self, *error: object) -> None:
        self._channel.close()

    def check(self, options: Mapping[str, str]) -> None:
        """Refuse options of a network; see the contract."""
        self._choices(options)

    def _choices(self, options: Mapping[str, str]) -> dict[str, str]:
        words.known(options, {_PARENT, _MTU, *_PREFIXES, *self._sort.choices}, self.name)
        for each in (_PARENT, *_PREFIXES):
            words.interface_name(options, each, "")
        words.mtu(options, _MTU, 0)
        return {key: words.choice(options, key, choices) for key, choices in self._sort.choices.items()}

    def make(self, segment: Segment) -> None:
        """Make a network, or what is missing of it; see the contract."""
        self.check(segment.options)
        with explained(f"network {segment.name}"), self._lock:
            self._parents.make(segment, segment.options.get(_PARENT, ""))

    def unmake(self, segment: Segment) -> None:
        """Remove a network; see the contract."""
        with explained(f"network {segment.name}"), self._lock:
            self._parents.remove(segment, segment.options.get(_PARENT, ""))

    def attach(self, segment: Segment, attachment: Attachment, namespace: Fd) -> Link:
        """Put a container on a network; see the contract."""
        choices = self._choices(segment.options)
        wanted = self._interface(segment, attachment)
        own = self._sort.own_mac(choices)
        if attachment.mac_address and not own:
            raise Invalid(f"a {self.name} interface has its parent's MAC address", hint="ask for none")
        what = f"interface {attachment.interface} on network {segment.name}"
        with explained(what), ExitStack() as undo:
            with self._lock:
                parent = self._parents.make(segment, segment.options.get(_PARENT, ""))
            mac = mac_of(segment, attachment) if own else parent.mac
            mtu = words.mtu(segment.options, _MTU, 0)
            undo.callback(inside.remove, namespace, wanted.made_as, wanted.alias)
            # By a name of its own, since older kernels look for the final one on the host.
            self._channel.run(
                self._sort.interface(wanted.made_as, parent.index, choices, mac if own else "", mtu, namespace)
            )
            inside.configure(namespace, wanted)
            undo.pop_all()
        routed = self._sort.routed(choices)
        ways = () if routed else gateways_of(segment, attachment)
        return Link(attachment.interface, mac, attachment.addresses, ways, routed and not segment.internal)

    def _interface(self, segment: Segment, attachment: Attachment) -> Interface:
        words.known(attachment.options, _OF_ENDPOINTS, f"endpoints on {self.name}")
        settings = inside.settings_of(attachment.options, attachment.interface)
        names = f"{self._sort.prefix}{attachment.id[:12]}", self._alias(segment, attachment)
        return Interface(attachment.interface, names[0], with_link_local(attachment), names[1], settings)

    def _alias(self, segment: Segment, attachment: Attachment) -> str:
        return self._marks.alias(_ENDPOINT, segment.id, attachment.id)

    def publish(self, segment: Segment, attachment: Attachment) -> None:
        """Publish nothing: a container has the addresses of its network, and all of their ports."""

    def detach(self, segment: Segment, attachment: Attachment, namespace: Fd | None = None) -> None:
        """Undo `attach`; see the contract."""
        if namespace is None:
            return
        made_as = f"{self._sort.prefix}{attachment.id[:12]}"
        with explained(f"interface {attachment.interface} on network {segment.name}"):
            inside.remove(namespace, made_as, self._alias(segment, attachment))

    def keep(self, held: Sequence[tuple[Segment, Sequence[Attachment]]]) -> None:
        """Have all that it makes stand for these, and nothing else; see the contract."""
        wanted = [(segment, segment.options.get(_PARENT, "")) for segment, _ in held]
        failures = Failures()
        with self._lock, explained(f"{self.name} networks"):
            self._parents.sweep(wanted)
            for segment, parent in wanted:
                with failures.collected(f"network {segment.name}"):
                    self._parents.make(segment, parent)
        failures.tell()

    def reclaim(self) -> None:
        """Remove all that an engine left on the host."""
        with self._lock, explained(f"{self.name} networks"):
            self._parents.sweep(())
