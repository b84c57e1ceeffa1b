"""How a network on a bridge is to be."""

from moby.values import frozen

__all__ = ["Settings"]


@frozen
class Settings:
    """How one network is to be."""

    device: str
    """The bridge's name."""
    icc: bool = True
    """Whether its containers reach each other."""
    masquerade: bool = True
    inhibit_ipv4: bool = False
    """Whether the bridge has no IPv4 address, since somebody else is the gateway."""
    mtu: int = 0
    """0 is that of the host's way out."""
    apart: tuple[int, ...] = ()
    """Families, 4 and 6, of which the bridge has no address, so that not even the host is reached."""
    unprotected: tuple[int, ...] = ()
    """Families in which all ports of its containers are reached from elsewhere, not just published ones."""
    routed: tuple[int, ...] = ()
    """Families without NAT: its containers have their own addresses everywhere, and publish ports of those."""
