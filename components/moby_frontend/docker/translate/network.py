"""A container's networks and ports: PortBindings, EndpointSettings, NetworkSettings."""

from collections.abc import Iterable
from typing import Any

from moby.contracts.containers import Container, PortBinding
from moby.contracts.networks import Endpoint, EndpointConfig
from moby.errors import Invalid
from moby_frontend.docker.call import Version
from moby_frontend.docker.translate.forms import NUMBER, TEXT, TEXT_MAP, TEXTS, Field, items, object_of, read, show

__all__ = [
    "read_bindings", "read_endpoint", "read_endpoints", "show_bindings", "show_endpoint", "show_endpoint_config",
    "show_links", "show_networks", "show_ports", "show_settings",
]  # fmt: skip

_ADDRESSES = (
    Field("IPv4Address", "ipv4_address", TEXT, omit=True),
    Field("IPv6Address", "ipv6_address", TEXT, omit=True),
    Field("LinkLocalIPs", "link_local_ips", TEXTS, omit=True),
)
_ENDPOINT = (
    Field("Links", "links", TEXTS),
    Field("Aliases", "aliases", TEXTS),
    Field("MacAddress", "mac_address", TEXT),
    Field("DriverOpts", "driver_options", TEXT_MAP),
    Field("GwPriority", "gateway_priority", NUMBER),
)


def read_bindings(value: Any) -> tuple[PortBinding, ...]:
    """Return the ports that PortBindings publish."""
    found = []
    for port, bindings in object_of(value, "HostConfig.PortBindings").items():
        name = _port(port)
        for each in items(bindings, "HostConfig.PortBindings"):
            lower = {key.lower(): text for key, text in object_of(each, "HostConfig.PortBindings").items()}
            ip = TEXT.read(lower.get("hostip") or "", "PortBinding.HostIp")
            found.append(PortBinding(name, ip, TEXT.read(lower.get("hostport") or "", "PortBinding.HostPort")))
    return tuple(found)


def _port(text: str) -> str:
    number, slash, protocol = text.partition("/")
    first = number.partition("-")[0]
    if not (first.isascii() and first.isdigit() and int(first) < 65536) or (slash and not protocol):
        raise Invalid(f'invalid port specification: "{text}"')
    return f"{number}/{protocol or 'tcp'}"


def show_bindings(ports: Iterable[PortBinding]) -> dict[str, Any]:
    """Return PortBindings."""
    found: dict[str, list[dict[str, str]]] = {}
    for each in ports:
        found.setdefault(each.container_port, []).append({"HostIp": each.host_ip, "HostPort": each.host_port})
    return found


def read_endpoints(value: Any) -> dict[str, EndpointConfig]:
    """Return how a container wants to be on networks, of a NetworkingConfig."""
    lower = {key.lower(): each for key, each in object_of(value, "NetworkingConfig").items()}
    endpoints = object_of(lower.get("endpointsconfig"), "NetworkingConfig.EndpointsConfig")
    return {name: read_endpoint(each) for name, each in endpoints.items()}


def read_endpoint(value: Any) -> EndpointConfig:
    """Return how a container wants to be on a network, of EndpointSettings."""
    where = "EndpointSettings"
    given = object_of(value, where)
    lower = {key.lower(): each for key, each in given.items()}
    addresses = read(_ADDRESSES, object_of(lower.get("ipamconfig"), f"{where}.IPAMConfig"), f"{where}.IPAMConfig")
    return EndpointConfig(**read(_ENDPOINT, given, where), **addresses)


def show_endpoint_config(config: EndpointConfig) -> dict[str, Any]:
    """Return the part of EndpointSettings that was asked for."""
    addresses = show(_ADDRESSES, config)
    shown = show(_ENDPOINT, config)
    shown["DriverOpts"] = shown["DriverOpts"] or None
    return {"IPAMConfig": addresses or None} | shown


def show_endpoint(endpoint: Endpoint, version: Version) -> dict[str, Any]:
    """Return EndpointSettings."""
    asked = show_endpoint_config(endpoint.config)
    asked["MacAddress"] = endpoint.mac_address or asked["MacAddress"]
    if version < (1, 48):
        del asked["GwPriority"]
    last: dict[str, Any] = {key: asked.pop(key) for key in ("DriverOpts", "GwPriority") if key in asked}
    return asked | {
        "NetworkID": endpoint.network_id,
        "EndpointID": endpoint.endpoint_id,
        "Gateway": endpoint.ipv4_gateway,
        "IPAddress": endpoint.ipv4_address,
        "IPPrefixLen": endpoint.ipv4_prefix,
        "IPv6Gateway": endpoint.ipv6_gateway,
        "GlobalIPv6Address": endpoint.ipv6_address,
        "GlobalIPv6PrefixLen": endpoint.ipv6_prefix,
        **last,
        "DNSNames": list(endpoint.dns_names) or None,
    }


def show_networks(container: Container, version: Version) -> dict[str, Any]:
    """Return a container's networks by name."""
    return {each.network: show_endpoint(each, version) for each in container.endpoints}


def show_settings(container: Container, version: Version) -> dict[str, Any]:
    """Return NetworkSettings as inspect shows them; the fields of the first network's own are of before 1.52."""
    bridge = next((each for each in container.endpoints if each.network == "bridge"), Endpoint("", ""))
    sandbox = container.sandbox if container.state.pid and _is_own(container) else ""
    return {
        "Bridge": "",
        "SandboxID": container.id if sandbox else "",
        "SandboxKey": sandbox,
        "Ports": _published(container) if sandbox else {},
        "HairpinMode": False,
        "LinkLocalIPv6Address": "",
        "LinkLocalIPv6PrefixLen": 0,
        "SecondaryIPAddresses": None,
        "SecondaryIPv6Addresses": None,
        "EndpointID": bridge.endpoint_id,
        "Gateway": bridge.ipv4_gateway,
        "GlobalIPv6Address": bridge.ipv6_address,
        "GlobalIPv6PrefixLen": bridge.ipv6_prefix,
        "IPAddress": bridge.ipv4_address,
        "IPPrefixLen": bridge.ipv4_prefix,
        "IPv6Gateway": bridge.ipv6_gateway,
        "MacAddress": bridge.mac_address,
        "Networks": show_networks(container, version),
    }


_WITHOUT_PORTS = frozenset({"none", "host"})


def _is_own(container: Container) -> bool:
    """Whether its network is its own, not another container's."""
    return not container.config.network.startswith("container:")


def _reachable(container: Container) -> bool:
    """Whether a running container is on a network that publishes ports."""
    return any(each.network not in _WITHOUT_PORTS and each.endpoint_id for each in container.endpoints)


def _published(container: Container) -> dict[str, Any]:
    """Return what is published, by port, and null for what is exposed alone."""
    if not _reachable(container):
        return {}
    found: dict[str, Any] = dict.fromkeys(container.config.exposed_ports)
    for each in container.ports:
        name = f"{each.container_port}/{each.protocol}"
        binding = {"HostIp": each.host_address, "HostPort": str(each.host_port or "")}
        found[name] = [*(found.get(name) or ()), binding]
    return dict(sorted(found.items()))


def show_ports(container: Container) -> list[dict[str, Any]]:
    """Return a running container's ports as a list shows them."""
    found = []
    for port, bindings in _published(container).items():
        number, _, protocol = port.partition("/")
        if not number.isdigit():
            continue
        bare = {"PrivatePort": int(number), "Type": protocol}
        mapped = [each for each in bindings or () if each["HostPort"]]
        found += [{"IP": each["HostIp"], **bare, "PublicPort": int(each["HostPort"])} for each in mapped] or [bare]
    return found


def show_links(container: Container) -> list[str] | None:
    """Return whom a container knows by names of its own, as docker spells it."""
    found = []
    for each in container.config.links:
        name, _, alias = each.partition(":")
        bare = name.removeprefix("/")
        found.append(f"/{bare}:/{container.name}/{alias.rpartition('/')[2] or bare}")
    return found or None
