"""The kind `networks`: knows networks by name, and connects containers to them."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Protocol

from moby.contracts.discovery import PortRequest
from moby.contracts.kind import contract
from moby.contracts.network_driver import Port
from moby.values import field, frozen

__all__ = ["OTHERS", "PLAIN", "Endpoint", "EndpointConfig", "Network", "Networks", "Sandbox", "SandboxConfig"]

OTHERS = "lb-"
"""What ids begin with of sandboxes that aren't containers': those who made them end them."""


@frozen
class EndpointConfig:
    """How a container wants to be on a network."""

    aliases: tuple[str, ...] = ()
    ipv4_address: str = ""
    ipv6_address: str = ""
    link_local_ips: tuple[str, ...] = ()
    mac_address: str = ""
    links: tuple[str, ...] = ()
    driver_options: Mapping[str, str] = field(factory=dict)
    gateway_priority: int = 0
    service: bool = False
    """Whether it is an orchestrator's service that is there, which may be on what is for services only."""
    earlier_addresses: tuple[str, ...] = ()
    """That it had there when it ran last: it gets them again where nobody has them, else others."""


@frozen
class Endpoint:
    """A container's endpoint on a network, whether the container runs or not."""

    network_id: str
    network: str
    endpoint_id: str = ""
    """Empty where the container isn't running."""
    ipv4_address: str = ""
    ipv4_prefix: int = 0
    ipv4_gateway: str = ""
    ipv6_address: str = ""
    ipv6_prefix: int = 0
    ipv6_gateway: str = ""
    mac_address: str = ""
    dns_names: tuple[str, ...] = ()
    config: EndpointConfig = field(factory=EndpointConfig)


@frozen
class Network:
    """A network (Docker Engine API, Network)."""

    id: str
    name: str
    driver: str
    created: str
    """RFC 3339."""
    scope: str = "local"
    internal: bool = False
    attachable: bool = False
    services_only: bool = False
    """Whether it is Denied to all but an orchestrator's services; only of a network that several hosts share."""
    ingress: bool = False
    enable_ipv6: bool = False
    options: Mapping[str, str] = field(factory=dict)
    labels: Mapping[str, str] = field(factory=dict)
    ipam_driver: str = "default"
    ipam_options: Mapping[str, str] = field(factory=dict)
    ipam: tuple[Mapping[str, Any], ...] = ()
    """Pools, in Docker's words: Subnet, IPRange, Gateway, AuxiliaryAddresses."""
    containers: Mapping[str, Endpoint] = field(factory=dict)
    """Those that run, by id."""
    predefined: bool = False
    config_only: bool = False
    """Whether it is but what others are made from: options, labels and pools; nobody can be on it."""
    config_from: str = ""
    """Name of the network that it was made from."""


@frozen
class SandboxConfig:
    """What a container wants of all its networks together."""

    name: str = ""
    """The container's, by which others on a network that serves names find it."""
    hostname: str = ""
    ports: tuple[PortRequest, ...] = ()
    """To be published by the network that its default route leads through; their targets are filled in there."""
    dns: tuple[str, ...] = ()
    """Name servers in place of the host's."""
    links: tuple[tuple[str, str], ...] = ()
    """Ids of containers, and the names by which this one knows them (`docker run --link`)."""


PLAIN = SandboxConfig()
"""Nothing but endpoints on the networks."""


@frozen
class Sandbox:
    """What a container that is about to start gets of its networks."""

    namespace: str
    """Path of its network namespace; empty for one of its own, which the runtime makes; `host` for the host's."""
    endpoints: tuple[Endpoint, ...] = ()
    """In their interfaces' order."""
    hosts: tuple[tuple[str, str], ...] = ()
    """Addresses and names, with spaces between, of others for its /etc/hosts."""
    nameservers: tuple[str, ...] = ()
    """That serve names in it; empty where only those serve it that are its own, or the host's."""
    ports: tuple[Port, ...] = ()
    """That are published."""
    host_gateway: str = ""
    """Where the host is found (`--add-host NAME:host-gateway`); empty where it can't be."""


@contract("networks", version=1)
class Networks(Protocol):
    """Knows networks by name, id or a unique prefix of the id. Thread-safe; what it answered for is on disk.

    Publishes docker's events `create`, `destroy`, `connect` and `disconnect`.
    """

    def drivers(self) -> tuple[str, ...]:
        """Return the names of all network drivers, the default one first."""
        ...

    def default(self) -> str:
        """Return the network of a container that names none: `bridge` where there is that, else `none`."""
        ...

    def create(self, network: Network) -> tuple[Network, tuple[str, ...]]:
        """Make a network as described (id and created are set here); return it, and warnings.

        Conflict where the name is taken; NotFound for a driver that isn't there, or what it is to be made from; Denied
        for names that are kept, for sorts of which users make none, and where both it and what it is made from say
        what it is like.
        """
        ...

    def get(self, name: str) -> Network:
        """Return a network; NotFound `network NAME not found`, Conflict where a prefix is of several."""
        ...

    def list(self) -> tuple[Network, ...]:
        """Return all networks, sorted by name."""
        ...

    def remove(self, name: str) -> None:
        """Delete a network; NotFound; Denied for one that is predefined, that others are made from, or in use."""
        ...

    def check(self, wanted: Mapping[str, EndpointConfig]) -> None:
        """Refuse what `join` would: Invalid, in docker's words. Networks that aren't there are passed over."""
        ...

    def join(self, container_id: str, wanted: Mapping[str, EndpointConfig], config: SandboxConfig = PLAIN) -> Sandbox:
        """Connect a container to its networks, by name or id, as it starts; with none it has only a loopback.

        Interfaces are eth0, eth1 and so on, in whichever order networks are named: those of a higher gateway priority
        first, then those that aren't internal, then those of both families, then by name. Empty and `default` are the
        default network. Earlier addresses are wished for, not asked for, and no part of what it has joined. Repeating
        returns the same; what it joined otherwise before it leaves first, and what was made
        under another boot is gone. NotFound; Invalid where networks don't go together or can't be as wanted; Conflict
        where an address or a port of the host's is taken; HostUnfit. An error leaves nothing.
        """
        ...

    def sandbox(self, container_id: str) -> Sandbox:
        """Return what a container has joined, as it is now; NotFound where it hasn't."""
        ...

    def leave(self, container_id: str) -> None:
        """Undo `join`, all of it also where some of it fails, which is then told; nothing where there is nothing."""
        ...

    def rename(self, container_id: str, name: str) -> None:
        """Have a container that has joined be found by another name; nothing where it hasn't."""
        ...

    def recover(self, running: Collection[str]) -> Sequence[str]:
        """Make all that stands be what these containers have joined; return what couldn't be repaired, in words.

        Called once, at start, when it is known who still runs: all others leave, but those that aren't containers'
        (OTHERS), and what an engine that was killed left half-way is gone.
        """
        ...

    def connect(
        self,
        network: str,
        container_id: str,
        config: EndpointConfig,
        *,
        running: bool,
        wants: SandboxConfig = PLAIN,
        namespace: str = "",
    ) -> Endpoint:
        """Put a container on one more network; Unsupported for sorts that take none later, as `host`.

        Conflict where it is on it. One that is running gets its interface at once; Invalid where it would be on `none`
        and another. Who began on `none` is put on another by the path of the namespace that the runtime made, which is
        that sandbox's from then on; Unsupported without. Of one that isn't running, `wants` says what it is called, and
        so by which names it will be found there.
        """
        ...

    def disconnect(self, network: str, container_id: str, *, force: bool = False) -> None:
        """Take a container off a network; NotFound where it isn't on it, unless `force`."""
        ...
