"""What a plugin is told and answers, in libnetwork's words (libnetwork, docs/remote.md)."""

import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from moby.contracts.ipam import Pool
from moby.contracts.network_driver import Attachment, Port, Segment
from moby.errors import HostUnfit
from moby.values import evolve, frozen

__all__ = ["Joined", "Way", "endpoint_of", "joined_of", "network_of", "own_of", "ports_of"]

_PREFIX = "com.docker.network"
_PROTOCOLS = {"tcp": 6, "udp": 17, "sctp": 132}
_BY_GATEWAY = 0
_ANY = ("0.0.0.0", "::")  # noqa: S104  # what is said of ports, where nothing listens


@frozen
class Way:
    """A route that the plugin wants in the container."""

    destination: str
    gateway: str = ""
    """Empty where the interface itself is the way."""


@frozen
class Joined:
    """What the plugin made for a container."""

    made_as: str
    gateways: tuple[str, ...] = ()
    ways: tuple[Way, ...] = ()


def network_of(segment: Segment) -> dict[str, Any]:
    """Return what a plugin is told of a network."""
    options: dict[str, Any] = {
        f"{_PREFIX}.enable_ipv6": any(":" in each.subnet for each in segment.pools),
        f"{_PREFIX}.generic": dict(segment.options),
    }
    if segment.internal:
        options[f"{_PREFIX}.internal"] = True
    fours, sixes = ([each for each in segment.pools if (":" in each.subnet) == six] for six in (False, True))
    return {
        "NetworkID": segment.id, "Options": options, "IPv4Data": _pools(fours), "IPv6Data": _pools(sixes),
    }  # fmt: skip


def _pools(pools: Sequence[Pool]) -> list[dict[str, Any]]:
    found = []
    for each in pools:
        prefix = each.subnet.rpartition("/")[2]
        one: dict[str, Any] = {"AddressSpace": "LocalDefault", "Pool": each.subnet}
        if each.gateway:
            one["Gateway"] = f"{each.gateway}/{prefix}"
        if each.reserved:
            one["AuxAddresses"] = {name: f"{address}/{prefix}" for name, address in each.reserved.items()}
        found.append(one)
    return found


def endpoint_of(segment: Segment, attachment: Attachment) -> dict[str, Any]:
    """Return what a plugin is told of a container's endpoint."""
    options: dict[str, Any] = ports_of(attachment.ports)
    if attachment.options:
        options[f"{_PREFIX}.generic"] = dict(attachment.options)
    own = {"Address": "", "AddressIPv6": "", "MacAddress": attachment.mac_address}
    own |= {"AddressIPv6" if ":" in each else "Address": each for each in attachment.addresses}
    return {
        "NetworkID": segment.id, "EndpointID": attachment.id, "Options": options, "Interface": own,
    }  # fmt: skip


def ports_of(ports: Sequence[Port]) -> dict[str, Any]:
    """Return what a plugin is told of the ports that a container publishes."""
    mapped = [
        {
            "Proto": _PROTOCOLS[each.protocol], "IP": "", "Port": each.container_port, "HostIP": each.host_address,
            "HostPort": each.host_port, "HostPortEnd": each.host_port,
        }
        for each in _merged([port for port in ports if port.host_port])  # a plugin chooses any port for 0
    ]  # fmt: skip
    exposed = sorted({(_PROTOCOLS[each.protocol], each.container_port) for each in ports})
    return {
        f"{_PREFIX}.endpoint.exposedports": [{"Proto": proto, "Port": port} for proto, port in exposed],
        f"{_PREFIX}.portmap": mapped,
    }


def _merged(ports: Sequence[Port]) -> Iterator[Port]:
    """Yield ports, those that are published by all addresses of both families as one that names none, as docker's."""
    everywhere = {evolve(each, host_address="") for each in ports if each.host_address == "::"}
    everywhere &= {evolve(each, host_address="") for each in ports if each.host_address == "0.0.0.0"}  # noqa: S104
    for each in ports:
        whole = evolve(each, host_address="")
        if each.host_address not in _ANY or whole not in everywhere:
            yield each
        elif each.host_address != "::":
            yield whole


def own_of(answer: Mapping[str, Any], plugin: str) -> tuple[str, tuple[str, ...]]:
    """Return the MAC address and the addresses that a plugin chose for an endpoint; HostUnfit for nonsense."""
    own = _map(answer.get("Interface"), plugin)
    try:
        found = [str(own[key]) for key in ("Address", "AddressIPv6") if own.get(key)]
        mac = str(own.get("MacAddress") or "")
        if mac and len(bytes.fromhex(mac.replace(":", ""))) != 6:
            raise ValueError(f"{mac!r} is no MAC address")
        return mac, tuple(str(ipaddress.ip_interface(each)) for each in found)
    except ValueError as error:
        raise _nonsense(plugin, str(error)) from error


def joined_of(answer: Mapping[str, Any], plugin: str) -> Joined:
    """Read what a plugin made for a container; HostUnfit where that is no interface and no routes."""
    name = _map(answer.get("InterfaceName"), plugin).get("SrcName") or ""
    if not isinstance(name, str) or not 0 < len(name) < 16 or not name.isascii() or "/" in name:
        raise _nonsense(plugin, f"{name!r} is no interface")
    try:
        given = [str(answer[key]) for key in ("Gateway", "GatewayIPv6") if answer.get(key)]
        gateways = tuple(str(ipaddress.ip_address(each)) for each in given)
        routes = answer.get("StaticRoutes") or []
        if not isinstance(routes, list):
            raise TypeError("StaticRoutes are no list")
        ways = tuple(_way(each) for each in routes)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise _nonsense(plugin, str(error)) from error
    return Joined(name, gateways, ways)


def _way(route: Mapping[str, Any]) -> Way:
    destination = str(ipaddress.ip_network(str(route["Destination"]), strict=False))
    if route.get("RouteType", _BY_GATEWAY) != _BY_GATEWAY:
        return Way(destination)
    return Way(destination, str(ipaddress.ip_address(str(route["NextHop"]))))


def _map(value: Any, plugin: str) -> Mapping[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise _nonsense(plugin, f"{str(value)[:100]!r} is no map")
    return value


def _nonsense(plugin: str, what: str) -> HostUnfit:
    return HostUnfit(f"the plugin {plugin} answers what can't be: {what}")
