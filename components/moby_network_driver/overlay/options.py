"""Options of overlay networks, in Docker's words."""

from collections.abc import Mapping

from moby.contracts.network_driver import Segment
from moby.errors import Invalid
from moby.values import frozen
from moby_network_driver.bridged.settings import Settings
from moby_network_driver.interfaces import words

__all__ = ["ENCRYPTED_OVERHEAD", "MOST_NUMBER", "Wishes", "device_of", "settings_of", "tunnel_of", "wishes_of"]

_ENCRYPTED, _MTU = "encrypted", "com.docker.network.driver.mtu"
_NUMBER = "com.docker.network.driver.overlay.vxlanid_list"
_PREFIXES = ("com.docker.network.container_iface_prefix", "com.docker.network.container_interface_prefix")
_KNOWN = frozenset({_ENCRYPTED, _MTU, _NUMBER, *_PREFIXES})
MOST_NUMBER = (1 << 24) - 1
ENCRYPTED_OVERHEAD = 40
"""Bytes that ESP adds at most: header, IV, padding and proof of AES-GCM (RFC 4303, 4106)."""


@frozen
class Wishes:
    """What the options of a network ask for."""

    encrypted: bool = False
    mtu: int = 0
    """0 is whatever fits."""
    number: int = 0
    """The network's on the wire (VNI); 0 is any that is free."""


def wishes_of(options: Mapping[str, str]) -> Wishes:
    """Read options of a network; Invalid for what isn't known or can't be."""
    words.known(options, _KNOWN, "overlay")
    for each in _PREFIXES:
        words.interface_name(options, each, "")
    encrypted = _ENCRYPTED in options and words.truth(options, _ENCRYPTED, True)
    return Wishes(encrypted, words.mtu(options, _MTU, 0), _number(options.get(_NUMBER, "")))


def _number(text: str) -> int:
    if text and not (text.isascii() and text.isdigit() and 0 < int(text) <= MOST_NUMBER):
        raise Invalid(f"{_NUMBER} is {text!r}", hint=f"one number from 1 to {MOST_NUMBER}")
    return int(text or 0)


def device_of(network_id: str) -> str:
    """Return the name of a network's bridge."""
    return f"ov-{network_id[:12]}"


def tunnel_of(network_id: str) -> str:
    """Return the name of the device that leads to a network's other hosts."""
    return f"vx-{network_id[:12]}"


def settings_of(segment: Segment, mtu: int) -> Settings:
    """Return how a network's bridge is to be, with the largest packet that fits."""
    wishes = wishes_of(segment.options)
    versions = [":" in each.subnet for each in segment.pools]
    if len(versions) > len(set(versions)):
        raise Invalid("overlay driver doesn't support multiple subnets", hint="name one of each family")
    if any(versions):
        words.enough_for_ipv6(_MTU, wishes.mtu or mtu)
    return Settings(device_of(segment.id), mtu=wishes.mtu or mtu)
