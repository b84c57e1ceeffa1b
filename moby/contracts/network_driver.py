"""The kind `network-driver`: makes networks of one sort, and puts containers on them.

Source: Docker's container network model (libnetwork, docs/design.md), whose sandbox is here a network namespace, whose
network a `Segment`, and whose endpoint an `Attachment`.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

from moby.contracts.ipam import Pool
from moby.contracts.kind import contract
from moby.contracts.types import Fd
from moby.values import field, frozen

__all__ = ["Attachment", "Link", "NetworkDriver", "Port", "Segment"]


@frozen
class Segment:
    """A network as its driver makes it; what isn't in here a driver can't know after a restart."""

    id: str
    """64 hexadecimal digits."""
    name: str
    pools: tuple[Pool, ...] = ()
    internal: bool = False
    """Whether its containers reach each other and nothing else."""
    options: Mapping[str, str] = field(factory=dict)


@frozen
class Port:
    """A port of the host's that leads to one of a container's."""

    protocol: str
    """`tcp`, `udp` or `sctp`."""
    container_port: int
    host_address: str
    """`0.0.0.0` and `::` are all of the family."""
    host_port: int
    """0 where the network isn't translated: the port is open at the container's own address, and none of the host's."""


@frozen
class Attachment:
    """A container's endpoint on a network, as its driver makes it."""

    id: str
    """Of the endpoint, 64 hexadecimal digits."""
    container_id: str
    interface: str
    """Its name in the container's namespace: `eth0`."""
    addresses: tuple[str, ...] = ()
    """With prefixes, at most one of a family; empty where the driver isn't `addressed`."""
    mac_address: str = ""
    """Empty where the driver may choose; it chooses the same for the same id."""
    link_local: tuple[str, ...] = ()
    """Further addresses, without prefixes (Docker's LinkLocalIPs)."""
    options: Mapping[str, str] = field(factory=dict)
    ports: tuple[Port, ...] = ()
    """What it publishes by this network; a driver that doesn't `publish` is given none."""


@frozen
class Link:
    """What came of an attachment."""

    interface: str = ""
    """Empty where this sort makes none."""
    mac_address: str = ""
    addresses: tuple[str, ...] = ()
    """With prefixes."""
    gateways: tuple[str, ...] = ()
    """The way out, at most one of a family; empty for a network that has none."""
    routed_directly: bool = False
    """Whether the way out is the interface itself, without a gateway."""


@contract("network-driver", version=1, many=True)
class NetworkDriver(Protocol):
    """Makes networks of one sort, and puts containers on them. Thread-safe; keeps no state but what the kernel has.

    All that it makes on the host is its engine's, can be told from that of other engines and programs, and outlives the
    process. A call that fails has undone what it did; HostUnfit names what the kernel or the host lacks.
    """

    name: str
    """Of the sort, as people see and ask for it; docker calls that of `none` `null`."""
    scope: str
    """`local` or `swarm`, for people to see."""
    predefined: str
    """Name of the network of this sort that is there from the start; empty for none."""
    predefined_options: Mapping[str, str]
    """The options of that one."""
    creatable: bool
    """Whether users may create networks of this sort."""
    shares_host: bool
    """Whether its containers are in the host's network namespace."""
    addressed: bool
    """Whether its networks have pools of an IPAM, and its attachments addresses of them."""
    publishes: bool
    """Whether ports of its containers can be published on the host."""

    def check(self, options: Mapping[str, str]) -> None:
        """Refuse options of a network: Invalid names one that it doesn't know or can't use.

        Where only somebody else knows them, who is asked when a network is made, `make` refuses them so.
        """
        ...

    def make(self, segment: Segment) -> None:
        """Make a network, or what is missing of it: repeating repairs what others have deleted.

        Conflict where something of the host's is in its way, such as an interface of the same name.
        """
        ...

    def unmake(self, segment: Segment) -> None:
        """Remove a network, as far as it is there, with the interfaces on it that are its host's too."""
        ...

    def attach(self, segment: Segment, attachment: Attachment, namespace: Fd) -> Link:
        """Put a container, by its network namespace, on a network that was made; repair what it needs of that.

        Its interface is up, with its addresses, and its ports are published; default routes are the caller's. Conflict
        where the namespace has the interface. The descriptor is borrowed. Nothing else of the namespace is touched.
        """
        ...

    def publish(self, segment: Segment, attachment: Attachment) -> None:
        """Publish what an attachment says, in place of the ports that it published before; it stays as it is otherwise.

        NotFound where it isn't attached.
        """
        ...

    def detach(self, segment: Segment, attachment: Attachment, namespace: Fd | None = None) -> None:
        """Undo `attach`, as far as it is there; without a namespace, the one it was in has gone or is about to.

        It then waits for no interface to vanish: the kernel removes them some time after their namespace.
        """
        ...

    def keep(self, held: Sequence[tuple[Segment, Sequence[Attachment]]]) -> None:
        """Have all that it makes stand for these, and remove what it or an earlier process made for others.

        Called at each start, before anything else. An attachment whose interface is gone is not made again.
        """
        ...
