"""Networks."""

from typing import Any

from moby.contracts.networks import Endpoint, Network
from moby.errors import Conflict, Denied, Invalid, MobyError, NotFound, Unsupported
from moby_frontend.docker import failures
from moby_frontend.docker.call import Call, Reply, Version, empty, reply_json
from moby_frontend.docker.filters import Filters
from moby_frontend.docker.handlers.pruned import tell_pruned
from moby_frontend.docker.parts import Parts
from moby_frontend.docker.swarm.membership import membership
from moby_frontend.docker.swarm.networks import SWARM
from moby_frontend.docker.swarm.networks import remove as remove_of_swarm
from moby_frontend.docker.times import parsed_ns
from moby_frontend.docker.translate.forms import FLAG, TEXT, TEXT_MAP, Field, items, object_of, read
from moby_frontend.docker.translate.network import read_endpoint

__all__ = ["connect", "create", "disconnect", "inspect", "listed", "prune", "remove", "show_network"]

_KNOWN = frozenset({"dangling", "driver", "id", "label", "name", "scope", "type"})
_FIELDS = (
    Field("Name", "name", TEXT),
    Field("Driver", "driver", TEXT),
    Field("Scope", "scope", TEXT),
    Field("Internal", "internal", FLAG),
    Field("Attachable", "attachable", FLAG),
    Field("Ingress", "ingress", FLAG),
    Field("EnableIPv6", "enable_ipv6", FLAG),
    Field("ConfigOnly", "config_only", FLAG),
    Field("Options", "options", TEXT_MAP),
    Field("Labels", "labels", TEXT_MAP),
)
_OVER_HOSTS = "overlay"
"""The driver whose networks reach over hosts, without a swarm too."""
_POOL = (
    Field("Subnet", "Subnet", TEXT),
    Field("IPRange", "IPRange", TEXT),
    Field("Gateway", "Gateway", TEXT),
    Field("AuxiliaryAddresses", "AuxiliaryAddresses", TEXT_MAP),
)


def show_network(network: Network, version: Version, names: dict[str, str] | None = None) -> dict[str, Any]:
    """Return a network as docker shows it; without names of containers, as in a list, none of these are."""
    shown = {
        "Name": network.name,
        "Id": network.id,
        "Created": network.created,
        "Scope": network.scope,
        "Driver": network.driver,
        **({"EnableIPv4": True} if version >= (1, 48) else {}),
        "EnableIPv6": network.enable_ipv6,
        "IPAM": {
            "Driver": network.ipam_driver,
            "Options": dict(network.ipam_options) or (None if network.predefined else {}),
            "Config": [dict(each) for each in network.ipam] or None,
        },
        "Internal": network.internal,
        "Attachable": network.attachable,
        "Ingress": network.ingress,
        "ConfigFrom": {"Network": network.config_from},
        "ConfigOnly": network.config_only,
        "Containers": {},
        "Options": dict(network.options),
        "Labels": dict(network.labels),
    }
    if names is not None or version < (1, 28):
        shown["Containers"] = {
            key: _endpoint(each, (names or {}).get(key, "")) for key, each in network.containers.items()
        }
    return shown


def _endpoint(endpoint: Endpoint, name: str) -> dict[str, str]:
    four = f"{endpoint.ipv4_address}/{endpoint.ipv4_prefix}" if endpoint.ipv4_address else ""
    six = f"{endpoint.ipv6_address}/{endpoint.ipv6_prefix}" if endpoint.ipv6_address else ""
    return {
        "Name": name, "EndpointID": endpoint.endpoint_id, "MacAddress": endpoint.mac_address, "IPv4Address": four,
        "IPv6Address": six,
    }  # fmt: skip


def listed(parts: Parts, call: Call) -> Reply:
    """List networks."""
    filters = Filters(call.query.text("filters"), _KNOWN)
    for each in filters.get("type"):
        if each not in {"builtin", "custom"}:
            raise Invalid(f"invalid filter: 'type'='{each}'")
    dangling = _dangling(filters)
    used = (
        {place.network for each in parts.containers.list() for place in each.endpoints}
        if dangling is not None
        else set()
    )
    found = [
        show_network(each, call.version)
        for each in parts.networks.list()
        if _fits(filters, each) and dangling in {None, not each.predefined and each.name not in used}
    ]
    return reply_json(found)


def _dangling(filters: Filters) -> bool | None:
    """Return what that filter wants; None where there is none."""
    if "dangling" not in filters:
        return None
    try:
        return filters.flag("dangling", default=False)
    except Invalid as error:
        text = 'invalid value for filter \'dangling\', must be "true" (or "1"), or "false" (or "0")'
        raise Invalid(text) from error


def _fits(filters: Filters, network: Network) -> bool:
    return (
        filters.matches("name", network.name)
        and filters.matches("id", network.id)
        and filters.exact("driver", network.driver)
        and filters.exact("scope", network.scope)
        and filters.exact("type", "builtin" if network.predefined else "custom")
        and filters.labels(network.labels)
    )


def inspect(parts: Parts, call: Call) -> Reply:
    """Show a network."""
    network = parts.networks.get(call.names["name"])
    scope = call.query.text("scope")
    if scope and scope != network.scope and not _everywhere(parts, network, scope):
        raise failures.Status(404, f"network {call.names['name']} not found")
    names = {each.id: each.name for each in parts.containers.list()}
    return reply_json(show_network(network, call.version, names))


def _everywhere(parts: Parts, network: Network, scope: str) -> bool:
    """Whether a network is on each node of a swarm, as those are that each engine has: services may name them."""
    return scope == SWARM and network.predefined and membership(parts) is not None


def create(parts: Parts, call: Call) -> Reply:
    """Make a network."""
    body = call.json(required=True)
    found = read(_FIELDS, body, "NetworkCreateRequest")
    if not found.get("name", "").strip():
        raise Invalid("invalid name: ")
    if found.get("ingress") and membership(parts) is None:
        raise Denied("Ingress network can only be global scope network")
    if found.get("scope") == SWARM and found.get("driver") != _OVER_HOSTS and membership(parts) is None:
        raise Denied("cannot create a swarm scoped network when swarm is not active")
    ipam = object_of(body.get("IPAM"), "IPAM")
    source = object_of(body.get("ConfigFrom"), "ConfigFrom")
    pools = [read(_POOL, object_of(each, "IPAM.Config"), "IPAM.Config") for each in items(ipam.get("Config"), "IPAM")]
    network = Network(
        id="",
        created="",
        **{"driver": "bridge", **found},
        config_from=TEXT.read(source.get("Network") or "", "ConfigFrom.Network"),
        services_only=membership(parts) is not None and not found.get("attachable"),
        ipam_driver=TEXT.read(ipam.get("Driver") or "default", "IPAM.Driver"),
        ipam_options=TEXT_MAP.read(ipam.get("Options") or {}, "IPAM.Options"),
        ipam=tuple({word: value for word, value in each.items() if value} for each in pools),
    )
    try:
        made, warnings = parts.networks.create(network)
    except Conflict as error:
        if any(each.name == network.name for each in parts.networks.list()):
            raise
        raise Denied(failures.message(error)) from error  # what it wants is another's, which docker calls forbidden
    return reply_json({"Id": made.id, "Warning": "\n".join(warnings)}, 201)


def remove(parts: Parts, call: Call) -> Reply:
    """Delete a network."""
    network = parts.networks.get(call.names["name"])
    if network.scope == SWARM:
        remove_of_swarm(parts, call, network)
    else:
        parts.networks.remove(call.names["name"])
    return empty()


def connect(parts: Parts, call: Call) -> Reply:
    """Put a container on a network."""
    body = call.json(required=True)
    container = parts.containers.get(_container(body))
    config = read_endpoint(body.get("EndpointConfig"))
    try:
        parts.containers.connect(container.id, call.names["name"], config)
    except Unsupported as error:
        raise Invalid(failures.message(error)) from error
    except Conflict as error:
        raise Denied(failures.message(error)) from error  # as docker calls an address, or a place, that is taken
    return empty(200)


def _container(body: dict[str, Any]) -> str:
    name: str = TEXT.read(body.get("Container") or "", "Container")
    if not name:
        raise Invalid("no container is named", hint="set Container")
    return name


def disconnect(parts: Parts, call: Call) -> Reply:
    """Take a container off a network."""
    body = call.json(required=True)
    name, force = _container(body), FLAG.read(body.get("Force") or False, "Force")
    try:
        container = parts.containers.get(name)
    except NotFound as error:
        if not force:
            raise
        parts.networks.get(call.names["name"])
        raise NotFound(f"endpoint {name} not found") from error
    try:
        parts.containers.disconnect(container.id, call.names["name"], force=force)
    except Unsupported as error:
        raise Invalid(failures.message(error)) from error
    return empty(200)


def prune(parts: Parts, call: Call) -> Reply:
    """Delete networks that no running container is on."""
    filters = Filters(call.query.text("filters"), {"label", "label!", "until"})
    until = filters.time_ns("until", parts.clock.now_ns())
    gone = []
    for each in parts.networks.list():
        young = until is not None and parsed_ns(each.created) > until
        fits = filters.labels(each.labels) and filters.no_label(each.labels)
        if each.predefined or each.config_only or each.containers or young or not fits:
            continue
        try:
            parts.networks.remove(each.name)
        except (Conflict, Denied):
            continue  # in use by now
        except MobyError as error:
            parts.log.warning("a network was not pruned", network=each.name, error=str(error))
            continue
        gone.append(each.name)
    tell_pruned(parts, "network")
    return reply_json({"NetworksDeleted": gone or None})
