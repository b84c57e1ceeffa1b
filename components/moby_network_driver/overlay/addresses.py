"""By which address other hosts reach this one, and how large a packet its network takes."""

import ipaddress

from moby.errors import HostUnfit, Invalid
from moby.host.netlink import Channel
from moby.host.rtnetlink import addresses, links, routes
from moby.values import frozen

__all__ = ["USUAL_MTU", "Own", "checked", "own_address"]

_EVERYWHERE = ("0.0.0.0/0", "::/0")
_OUTER_MTU = 1500
_OVERHEAD = {4: 50, 6: 70}
"""Bytes of the outer headers: Ethernet inside, VXLAN, UDP and IP (RFC 7348)."""
USUAL_MTU = _OUTER_MTU - _OVERHEAD[4]


@frozen
class Own:
    """This host, as others reach it."""

    address: str
    mtu: int
    """Largest packet that fits when it is wrapped."""


def checked(text: str) -> str:
    """Return an option that is an address, as `ipaddress` writes it; Invalid."""
    try:
        return str(ipaddress.ip_address(text)) if text else ""
    except ValueError:
        raise Invalid(f"address is {text!r}, which is no address of this host", hint="as 192.0.2.7") from None


def own_address(channel: Channel, configured: str) -> Own:
    """Return the configured address, else that of the default route; HostUnfit where there is none."""
    devices = {each.index: each for each in links.dump(channel)}
    there = [each for each in addresses.dump(channel) if not each.of_link]
    text = configured or _by_default_route(channel, there)
    index = next((each.index for each in there if each.text.partition("/")[0] == text), 0)
    mtu = min(devices[index].mtu if index in devices else _OUTER_MTU, _OUTER_MTU)
    return Own(text, mtu - _OVERHEAD[ipaddress.ip_address(text).version])


def _by_default_route(channel: Channel, there: "list[addresses.Address]") -> str:
    ways = sorted(
        (each for each in routes.dump(channel) if each.destination in _EVERYWHERE), key=lambda way: way.metric
    )
    for way in ways:
        version = ipaddress.ip_network(way.destination).version
        own = [each.text.partition("/")[0] for each in there if each.index == way.index]
        found = [way.source, *(each for each in own if ipaddress.ip_address(each).version == version)]
        if any(found):
            return next(filter(None, found))
    raise HostUnfit(
        "this host has no default route, so the address at which other hosts reach it is unknown",
        hint="set it by the option `address` of network-driver/overlay",
    )
