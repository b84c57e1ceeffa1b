"""Ports of containers on networks that are routed: they are none of the host's, but open where the containers are."""

import ipaddress
from collections.abc import Collection, Sequence
from contextlib import suppress

from moby.contracts.discovery import PortRequest
from moby.contracts.network_driver import Port
from moby.contracts.networks import Network
from moby.values import evolve

__all__ = ["divided", "routed_families"]

_MODES = {4: "com.docker.network.bridge.gateway_mode_ipv4", 6: "com.docker.network.bridge.gateway_mode_ipv6"}
_ROUTED = "routed"
_ALL = {4: "0.0.0.0", 6: "::"}  # noqa: S104 - what docker writes for all


def routed_families(network: Network) -> frozenset[int]:
    """Return the families, 4 and 6, in which nothing of a network is translated."""
    return frozenset(version for version, key in _MODES.items() if network.options.get(key) == _ROUTED)


def divided(asked: Sequence[PortRequest], routed: Collection[int]) -> tuple[tuple[PortRequest, ...], tuple[Port, ...]]:
    """Return what the host has to hold, and what is open instead; docker passes over the number that is asked for."""
    held: list[PortRequest] = []
    opened: list[Port] = []
    for each in asked:
        there = _versions(*each.targets)
        named = _versions(each.host_address) if each.host_address else set(_ALL)
        for version in sorted(named & there & set(routed)):
            opened.append(Port(each.protocol, each.container_port, each.host_address or _ALL[version], 0))
        rest = named - set(routed)
        if rest == named:
            held.append(each)
        elif rest & there:
            held += [evolve(each, host_address=_ALL[version]) for version in rest]
    return tuple(held), tuple(opened)


def _versions(*addresses: str) -> set[int]:
    """Return the families of addresses; of what is none, which who holds ports refuses, there is none."""
    found: set[int] = set()
    for each in addresses:
        with suppress(ValueError):
            found.add(ipaddress.ip_address(each).version)
    return found
