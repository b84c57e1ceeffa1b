"""How containers are found: by which names, and what serves those."""

import ipaddress

from moby.contracts.discovery import ADDRESS, Resolver
from moby.contracts.networks import EndpointConfig, Network, Sandbox, SandboxConfig
from moby_networks.registry.context import Context
from moby_networks.registry.records import Joined, presence_of
from moby_networks.registry.ways import ways_of

__all__ = ["Presences", "dns_names", "is_address"]

_RESOLV_CONF = "/etc/resolv.conf"
_MOST_BYTES = 1 << 20
_SHORT = 12


def dns_names(container_id: str, endpoint: EndpointConfig, config: SandboxConfig) -> tuple[str, ...]:
    """Return what a container is called on a network that serves names: its name first, as docker has it."""
    found = (config.name, *endpoint.aliases, container_id[:_SHORT], config.hostname)
    return tuple(dict.fromkeys(each for each in found if each))


class Presences:
    """Tells the discovery where containers are."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def serves(self, network: Network) -> bool:
        """Whether containers on a network find each other by name: docker's default bridge serves none."""
        return not network.predefined and self._context.discovery.serves_names

    def names(
        self, container_id: str, network: Network, endpoint: EndpointConfig, config: SandboxConfig
    ) -> tuple[str, ...]:
        """Return what a container is called on a network; nothing where none are served."""
        return dns_names(container_id, endpoint, config) if self.serves(network) else ()

    def enter(self, joined: Joined) -> None:
        """Have a container be found where it is now, and served with names where one of its networks does so."""
        presences = [presence_of(each.endpoint) for each in joined.memberships if each.endpoint.dns_names]
        if not self._is_served(joined):
            self._context.discovery.enter(joined.container_id, None, presences)
            return
        with self._context.namespaces.opened(joined.namespace) as namespace:
            self._context.discovery.enter(joined.container_id, namespace, presences, self._resolver(joined))

    def enter_who_knows(self, container_id: str) -> None:
        """Tell those anew who know a container by names of their own."""
        for each in self._context.records.who_knows(container_id):
            if each == container_id:
                continue
            with self._context.container(each):
                other = self._context.records.joined(each)
                if other is not None and self._is_served(other):
                    self.enter(other)

    def sandbox(self, joined: Joined) -> Sandbox:
        """Return what a container gets of its networks."""
        return Sandbox(
            namespace=joined.namespace,
            endpoints=tuple(each.endpoint for each in joined.memberships),
            hosts=self._hosts(joined),
            nameservers=(ADDRESS,) if self._is_served(joined) else (),
            ports=joined.ports,
            host_gateway=self._host_gateway(joined),
        )

    def _is_served(self, joined: Joined) -> bool:
        return bool(joined.namespace) and any(each.endpoint.dns_names for each in joined.memberships)

    def _resolver(self, joined: Joined) -> Resolver:
        own: dict[str, tuple[str, ...]] = {}
        for other, name in joined.config.links:
            addresses = self._shared(joined, other, served=True)
            if addresses:
                own[name] = tuple(dict.fromkeys((*own.get(name, ()), *addresses)))
        if joined.config.dns:
            return Resolver(joined.config.dns, own_names=own)
        # Who can't get out asks nobody outside either (docker's internal networks).
        return Resolver(_host_servers() if ways_of(joined) else (), from_host=True, own_names=own)

    def _shared(self, joined: Joined, other_id: str, *, served: bool) -> tuple[str, ...]:
        """Return another container's addresses on networks that both are on: those that serve names, or the others."""
        other = self._context.records.joined(other_id)
        found: list[str] = []
        for each in other.memberships if other else ():
            if joined.membership(each.endpoint.network_id) and bool(each.endpoint.dns_names) == served:
                found += [address for address in (each.endpoint.ipv4_address, each.endpoint.ipv6_address) if address]
        return tuple(found)

    def _hosts(self, joined: Joined) -> tuple[tuple[str, str], ...]:
        """Return who is known by name on networks that serve none (docker's legacy links)."""
        found = []
        for other_id, name in joined.config.links:
            other = self._context.records.joined(other_id)
            config = other.config if other else SandboxConfig()
            names = dict.fromkeys(each for each in (name, config.hostname, config.name) if each)
            found += [(each, " ".join(names)) for each in self._shared(joined, other_id, served=False)]
        return tuple(found)

    def _host_gateway(self, joined: Joined) -> str:
        """Return where the host is found: as configured, else at the default bridge, as with docker, or the way out."""
        if self._context.host_gateway:
            return self._context.host_gateway
        for known in self._context.records.networks():
            if known.network.predefined and known.pools and self._context.has_driver(known.network.driver):
                return known.pools[0].gateway
        way = ways_of(joined).get(4) or ways_of(joined).get(6)
        return way.gateway if way else ""


def _host_servers() -> tuple[str, ...]:
    """Return the host's name servers (resolv.conf(5))."""
    try:
        with open(_RESOLV_CONF, encoding="utf-8", errors="replace") as file:  # noqa: PTH123
            lines = file.read(_MOST_BYTES).splitlines()
    except OSError:
        return ()
    words = [each.split() for each in lines]
    return tuple(each[1] for each in words if len(each) > 1 and each[0] == "nameserver" and is_address(each[1]))


def is_address(text: str) -> bool:
    """Whether a text is an address of IPv4 or IPv6, perhaps with a zone."""
    try:
        ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    return True
