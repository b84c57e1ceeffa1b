"""The kind `discovery`: how containers are found, by name from each other, and by port on the host.

What it holds must last while an engine is away, so its real parts have a process of their own.
Source: Docker's embedded DNS server (docs: networking, DNS services); RFC 1034, 1035.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from moby.contracts.kind import contract, repeatable
from moby.contracts.network_driver import Port
from moby.contracts.types import Fd
from moby.values import field, frozen

__all__ = ["ADDRESS", "Discovery", "PortRequest", "Presence", "Resolver"]

ADDRESS = "127.0.0.11"
"""Where the names are served in a namespace."""


@frozen
class Presence:
    """Who a container is on one network: what others there call it, and where they then find it."""

    network_id: str
    names: tuple[str, ...]
    """The first one is what its address is called (reverse look-ups)."""
    addresses: tuple[str, ...]
    """Without prefixes."""


@frozen
class Resolver:
    """How a container's other names are resolved."""

    servers: tuple[str, ...] = ()
    """To forward to, in this order; empty means to nobody."""
    from_host: bool = False
    """Whether they are asked from the host's namespace, not from the container's."""
    own_names: Mapping[str, tuple[str, ...]] = field(factory=dict)
    """Names that only this container knows, and their addresses (links)."""


@frozen
class PortRequest:
    """A port of a container's that the host is to have."""

    protocol: str
    container_port: int
    host_address: str = ""
    """Empty is all addresses, of both families."""
    first: int = 0
    last: int = 0
    """The host's ports to choose from; 0 is any free one of the ephemeral range."""
    targets: tuple[str, ...] = ()
    """The container's addresses, without prefixes, for what no rule of the firewall can lead there (`::1`)."""


@contract("discovery", version=1)
class Discovery(Protocol):
    """Serves names and holds ports, for sandboxes, each known by an id of the caller's. Thread-safe.

    A sandbox sees the presences of all others that are on one of its networks, its own among them. What was answered
    for holds until it is taken back, whatever becomes of the caller, or of the part's own process.
    """

    serves_names: bool
    """Whether names are served at all; a caller then makes ADDRESS the sandbox's name server."""

    @repeatable
    def enter(
        self, sandbox: str, namespace: Fd | None, presences: Sequence[Presence], resolver: Resolver | None = None
    ) -> None:
        """Say where a sandbox is to be found, in place of what was said before; others see it at once.

        With a namespace and a resolver, names are served in it at ADDRESS, port 53, over UDP and TCP, without its own
        port 53 being taken. Without, it is only found by others. The descriptor is borrowed. HostUnfit where the kernel
        lacks what that takes.
        """
        ...

    @repeatable
    def claim(self, sandbox: str, requests: Sequence[PortRequest]) -> tuple[Port, ...]:
        """Hold ports of the host for a sandbox, in place of what it held; none of the host's processes gets them.

        One request gives one port, or two, with the same number, where it is for both families. Conflict, in docker's
        words, names the one that is taken; then nothing has changed. What a firewall rule can't lead to the targets is
        forwarded.
        """
        ...

    @repeatable
    def leave(self, sandbox: str) -> None:
        """Forget a sandbox, its names and its ports; nothing where it isn't known."""
        ...

    @repeatable
    def keep(self, sandboxes: Collection[str]) -> None:
        """Forget all other sandboxes; as after a crash of the caller."""
        ...
