"""What netavark is told of a container's endpoint on a network (netavark, src/network/types.rs)."""

import ipaddress
from collections.abc import Mapping, Sequence
from typing import Any

from moby.contracts.network_driver import Attachment, Port, Segment
from moby.errors import Invalid
from moby.values import evolve, field, frozen
from moby_network_driver.interfaces import words
from moby_network_driver.interfaces.addressing import mac_of

__all__ = ["BRIDGE", "KNOWN", "Call", "beside_names", "bridge_of", "call_of", "checked", "host_end"]

BRIDGE, MTU, PREFIX = (
    "com.docker.network.bridge.name",
    "com.docker.network.driver.mtu",
    "com.docker.network.container_iface_prefix",
)
ISOLATE = "isolate"
KNOWN = frozenset({BRIDGE, MTU, PREFIX, ISOLATE})


@frozen
class Call:
    """An endpoint on one network, as netavark is told of it each time."""

    container_id: str
    interface: str
    network: Mapping[str, Any]
    own: Mapping[str, Any]
    """Of the endpoint."""
    ports: Sequence[Mapping[str, Any]] = field(default=())

    def document(self) -> dict[str, Any]:
        """Return it as netavark reads it."""
        name = str(self.network["name"])
        return {
            "container_id": self.container_id, "container_name": self.container_id,
            "networks": {name: {"interface_name": self.interface, **self.own}},
            "network_info": {name: self.network}, "port_mappings": list(self.ports),
        }  # fmt: skip

    @property
    def bridge(self) -> str:
        """The bridge's name."""
        return str(self.network["network_interface"])

    def with_ports(self, ports: Sequence[Port]) -> "Call":
        """Return it with other ports."""
        return evolve(self, ports=_ports(ports))

    def beside(self, endpoint_id: str) -> "Call":
        """Return it on a bridge without addresses that serves nothing: netavark makes rules only with endpoints."""
        bridge, end = beside_names(endpoint_id)
        subnets = [{"subnet": each["subnet"]} for each in self.network["subnets"]]
        network = {**self.network, "network_interface": bridge, "subnets": subnets}
        return evolve(self, network=network, own={**self.own, "options": {"host_interface_name": end}})


def checked(options: Mapping[str, str]) -> None:
    """Refuse options of a network; Invalid."""
    words.known(options, KNOWN, "netavark")
    words.interface_name(options, BRIDGE, "")
    words.interface_name(options, PREFIX, "")
    words.mtu(options, MTU, 0)
    if options.get(ISOLATE, "false") not in ("true", "false", "strict"):
        raise Invalid(f"{ISOLATE} is {options[ISOLATE]!r}", hint="one of true, false, strict")


def bridge_of(segment: Segment) -> str:
    """Return the name of a network's bridge."""
    return segment.options.get(BRIDGE) or f"br-{segment.id[:12]}"


def host_end(endpoint_id: str) -> str:
    """Return the name of the host's end of a pair."""
    return f"veth{endpoint_id[:11]}"


def beside_names(endpoint_id: str) -> tuple[str, str]:
    """Return the names of a bridge and a host's end that are there while ports are published anew."""
    return f"nvb-{endpoint_id[:11]}", f"nvp-{endpoint_id[:11]}"


def call_of(segment: Segment, attachment: Attachment) -> Call:
    """Return what netavark is told; Invalid for a network without addresses."""
    if not segment.pools or not attachment.addresses:
        text = f"network {segment.name} has no subnet, and netavark hands out no addresses here"
        raise Invalid(text, hint="create it with an IPAM that does, as the default one")
    own = {
        "static_ips": [each.partition("/")[0] for each in attachment.addresses],
        "static_mac": mac_of(segment, attachment), "options": {"host_interface_name": host_end(attachment.id)},
    }  # fmt: skip
    return Call(attachment.container_id, attachment.interface, _network(segment), own, _ports(attachment.ports))


def _network(segment: Segment) -> dict[str, Any]:
    options = {"no_default_route": "true"}  # which of several networks is the way out isn't netavark's to say
    for key, theirs in ((MTU, "mtu"), (ISOLATE, ISOLATE)):
        if segment.options.get(key):
            options[theirs] = segment.options[key]
    return {
        "dns_enabled": False, "driver": "bridge", "id": segment.id, "internal": segment.internal,
        "ipv6_enabled": any(":" in each.subnet for each in segment.pools),
        # Chains are named by it: those of another network of Podman's with the same name aren't to be ours.
        "name": segment.id, "network_interface": bridge_of(segment), "options": options,
        "subnets": [_subnet(each.subnet, each.gateway) for each in segment.pools],
    }  # fmt: skip


def _subnet(subnet: str, gateway: str) -> dict[str, str]:
    return {"subnet": str(ipaddress.ip_network(subnet)), **({"gateway": gateway} if gateway else {})}


def _ports(ports: Sequence[Port]) -> list[dict[str, Any]]:
    return [
        {
            "container_port": each.container_port, "host_ip": each.host_address, "host_port": each.host_port,
            "protocol": each.protocol, "range": 1,
        }
        for each in ports
        if each.host_port  # else it is open at the container's own address, as all of them are
    ]  # fmt: skip
