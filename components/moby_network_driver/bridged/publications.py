"""What the firewall is told of networks and attachments."""

import ipaddress

from moby.contracts.network_driver import Attachment, Segment
from moby_network_driver.bridged.firewall import Bridge, Opening, Publication, Published
from moby_network_driver.bridged.settings import Settings

__all__ = ["firewalled", "publications"]


def firewalled(segment: Segment, settings: Settings) -> Bridge:
    """Return a network as the firewall knows one."""
    subnets = tuple(each.subnet for each in segment.pools)
    return Bridge(
        settings.device,
        subnets,
        segment.internal,
        not settings.icc,
        settings.masquerade,
        settings.unprotected,
        settings.routed,
    )


def publications(attachment: Attachment) -> tuple[Published, ...]:
    """Return where its ports lead; one in whose family the container has no address is led by no rule.

    One that is none of the host's is open at the container's own address, once, however often it is asked for.
    """
    by_version = {each.version: str(each.ip) for each in map(ipaddress.ip_interface, attachment.addresses)}
    found: list[Published] = []
    for port in attachment.ports:
        to = by_version.get(ipaddress.ip_address(port.host_address).version)
        if to and not port.host_port:
            found.append(Opening(port.protocol, to, port.container_port))
        elif to:
            found.append(Publication(port.protocol, port.host_address, port.host_port, to, port.container_port))
    return tuple(dict.fromkeys(found))
