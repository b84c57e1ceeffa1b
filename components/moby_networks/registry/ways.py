"""Ways out: which of a container's networks its packets leave by, and the host's own routes."""

import ipaddress
from collections.abc import Iterable, Mapping, Sequence

from moby.contracts.networks import EndpointConfig
from moby.errors import Conflict, HostUnfit
from moby.host.elsewhere import in_namespace
from moby.host.netlink import Channel
from moby.host.rtnetlink import links, routes
from moby.values import frozen
from moby_networks.registry.records import Joined, Known, Membership

__all__ = ["Way", "host_subnets", "lead", "order", "publisher_of", "refuse_host_subnets", "ways_of"]

_ANY = {4: "0.0.0.0/0", 6: "::/0"}


@frozen
class Way:
    """A default route: by an interface, and a gateway where there is one."""

    interface: str
    gateway: str


def _rank(membership: Membership) -> tuple[int, str]:
    """Return what sorts memberships, the one that is led through first: docker's gateway priority, then the name."""
    return -membership.endpoint.config.gateway_priority, membership.endpoint.network


def order(known: Known, config: EndpointConfig) -> tuple[int, bool, bool, str]:
    """Return what sorts the networks of a container that starts as their interfaces are numbered, dockerd's way."""
    families = {ipaddress.ip_network(each.subnet).version for each in known.pools}
    return -config.gateway_priority, known.network.internal, len(families) < len(_ANY), known.network.name


def ways_of(joined: Joined) -> Mapping[int, Way]:
    """Return the way out by family."""
    found: dict[int, Way] = {}
    for each in sorted(joined.memberships, key=_rank):
        interface = each.attachment.interface
        if each.direct:
            for address in each.attachment.addresses:
                found.setdefault(ipaddress.ip_interface(address).version, Way(interface, ""))
        for gateway in each.gateways:
            found.setdefault(ipaddress.ip_address(gateway).version, Way(interface, gateway))
    return found


def publisher_of(candidates: Iterable[tuple[Known, Membership]]) -> tuple[Known, Membership] | None:
    """Return where the default route leads through, as far as it can be told before that is made."""
    out = [(known, membership) for known, membership in candidates if known.pools and not known.network.internal]
    return min(out, key=lambda pair: _rank(pair[1]), default=None)


def lead(namespace: int, ways: Mapping[int, Way]) -> None:
    """Have a namespace's default routes be these, one of a family at most."""
    try:
        in_namespace(namespace, lambda: _lead(ways))
    except OSError as error:
        way = ", ".join(each.gateway or each.interface for each in ways.values())
        raise Conflict(f"failed to set gateway {way}: {error.strerror}", hint="choose another gateway") from error


def _lead(ways: Mapping[int, Way]) -> None:
    with Channel() as channel:
        before = [each for each in routes.dump(channel) if each.destination in _ANY.values()]
        for version, destination in _ANY.items():
            way = ways.get(version)
            wanted = routes.Route(destination, links.index_of(channel, way.interface), way.gateway) if way else None
            for each in before:
                same = wanted and (each.index, each.gateway) == (wanted.index, wanted.gateway)
                if each.destination == destination and not same:
                    channel.run(routes.remove(each))
            if wanted:
                channel.run(routes.add(wanted, again=True))


def host_subnets() -> tuple[routes.Route, ...]:
    """Return the host's routes, but for the default ones."""
    try:
        with Channel() as channel:
            return tuple(each for each in routes.dump(channel) if each.destination not in _ANY.values())
    except OSError as error:
        raise HostUnfit(f"the host's routes can't be read: {error.strerror}") from error


def refuse_host_subnets(subnets: Sequence[str], there: Sequence[routes.Route]) -> None:
    """Refuse subnets that the host's own interfaces are in: it would find one of both no more."""
    for subnet in map(ipaddress.ip_network, subnets):
        for each in there:
            other = ipaddress.ip_network(each.destination)
            if each.from_kernel and other.version == subnet.version and other.overlaps(subnet):
                text = f"Pool overlaps with other one on this address space: an interface of the host is in {other}"
                raise Conflict(text, hint=f"choose another subnet than {subnet}")
