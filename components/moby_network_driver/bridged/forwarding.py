"""The host as a router between containers and the world."""

from moby.host import network_settings

__all__ = ["enable"]


def enable(*, ipv6: bool) -> None:
    """Have the host forward packets; OSError where that can't be set.

    A host that forwards IPv6 doesn't listen to routers any more, unless it is told to: it would lose its own way out.
    """
    network_settings.set_to("1", "ipv4", "ip_forward")
    if not ipv6 or network_settings.read("ipv6", "conf", "all", "forwarding") == "1":
        return
    for name in network_settings.interfaces("ipv6"):
        if network_settings.read("ipv6", "conf", name, "accept_ra") == "1":
            network_settings.set_to("2", "ipv6", "conf", name, "accept_ra")
    network_settings.set_to("1", "ipv6", "conf", "all", "forwarding")
