"""Hardware addresses, further addresses and ways out of an attachment."""

import ipaddress

from moby.contracts.network_driver import Attachment, Segment
from moby_network_driver.interfaces.marks import stable_mac

__all__ = ["gateways_of", "mac_of", "with_link_local"]


def mac_of(segment: Segment, attachment: Attachment) -> str:
    """Return its MAC address: that of an address is always the same, so that no neighbour's table is wrong."""
    if attachment.mac_address:
        return attachment.mac_address
    own = [ipaddress.ip_interface(each) for each in attachment.addresses]
    for each in own:
        if each.version == 4:
            return "02:42:" + each.packed.hex(":")
    return stable_mac(f"{segment.id} {own[0].ip}" if own else attachment.id)


def with_link_local(attachment: Attachment) -> tuple[str, ...]:
    """Return all addresses that its interface gets, with prefixes."""
    return (*attachment.addresses, *(f"{each}/{64 if ':' in each else 16}" for each in attachment.link_local))


def gateways_of(segment: Segment, attachment: Attachment) -> tuple[str, ...]:
    """Return the gateways of the families in which it has an address; none on an internal network."""
    if segment.internal:
        return ()
    versions = {ipaddress.ip_interface(each).version for each in attachment.addresses}
    ways = [ipaddress.ip_address(each.gateway) for each in segment.pools if each.gateway]
    return tuple(str(each) for each in ways if each.version in versions)
