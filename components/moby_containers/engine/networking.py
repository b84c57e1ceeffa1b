"""A container's networks: which it is to be on, what it wants of them, and how they change while it runs."""

import re
import socket
from collections.abc import Mapping
from contextlib import suppress

from moby.contracts.containers import Container, ContainerConfig, PortBinding, Status
from moby.contracts.discovery import PortRequest
from moby.contracts.networks import Endpoint, EndpointConfig, Networks, Sandbox, SandboxConfig
from moby.errors import Conflict, Invalid, MobyError, NotFound
from moby.values import evolve
from moby_containers.engine import etc
from moby_containers.engine.entries import Entry
from moby_containers.engine.linked import Linked, variables
from moby_containers.engine.parts import Parts

__all__ = [
    "DEFAULTS", "Networking", "at_rest", "called_as", "first_endpoints", "joins", "link_of", "linked_of",
    "port_requests", "wanted_of",
]  # fmt: skip

DEFAULTS = ("", "default")
"""How the default network is asked for."""
_PORTS = range(1, 65536)
_ID = re.compile("[0-9a-f]{1,64}")


def joins(config: ContainerConfig) -> bool:
    """Whether a container has places on networks of its own."""
    return not config.network_disabled and not config.network.startswith("container:")


def first_endpoints(config: ContainerConfig, networks: Networks) -> tuple[Endpoint, ...]:
    """Return where a container is to be, as it is created; its first network comes first."""
    if not joins(config):
        return ()
    first = networks.default() if config.network in DEFAULTS else config.network
    wanted = {first: config.endpoints.get(first) or config.endpoints.get("default") or EndpointConfig()}
    if config.mac_address and not wanted[first].mac_address:
        wanted[first] = evolve(wanted[first], mac_address=config.mac_address)
    wanted |= {name: each for name, each in config.endpoints.items() if name not in {first, *DEFAULTS}}
    return tuple(Endpoint("", _name_of(name, networks), config=each) for name, each in wanted.items())


def called_as(config: ContainerConfig, other: Container) -> tuple[str, str]:
    """Return the names of host and domain of a container that is on another's network."""
    if config.uts_mode == "host":
        return config.hostname or socket.gethostname(), config.domainname
    return other.config.hostname or other.id[:12], config.domainname or other.config.domainname


def _name_of(name: str, networks: Networks) -> str:
    """Return the name of a network that is known by its id, perhaps; one that isn't there is missed at the start."""
    if not _ID.fullmatch(name):
        return name
    try:
        return networks.get(name).name
    except (Conflict, NotFound):
        return name


def wanted_of(entry: Entry, networks: Networks) -> Mapping[str, EndpointConfig]:
    """Return the networks that a container is to be on, by name."""
    container = entry.container
    found = container.endpoints if entry.keeping.placed else first_endpoints(container.config, networks)
    return {each.network: each.config for each in found}


def at_rest(endpoints: tuple[Endpoint, ...]) -> tuple[Endpoint, ...]:
    """Return places as they are shown of a container that doesn't run; the next start wishes for the same addresses."""
    return tuple(
        Endpoint(each.network_id, each.network, dns_names=each.dns_names, config=_remembering(each))
        for each in endpoints
    )


def _remembering(endpoint: Endpoint) -> EndpointConfig:
    had = tuple(each for each in (endpoint.ipv4_address, endpoint.ipv6_address) if each)
    return evolve(endpoint.config, earlier_addresses=had) if had else endpoint.config


def port_requests(config: ContainerConfig) -> tuple[PortRequest, ...]:
    """Return the ports that are to be published; Invalid in docker's words."""
    bindings = list(config.ports)
    if config.publish_all_ports:
        bound = {each.container_port for each in bindings}
        bindings += [PortBinding(each) for each in config.exposed_ports if each not in bound]
    return tuple(sorted((_request(each) for each in bindings), key=lambda each: (each.protocol, each.container_port)))


def _request(binding: PortBinding) -> PortRequest:
    number, _, protocol = binding.container_port.partition("/")
    first, dash, last = binding.host_port.partition("-")
    host = (_number(first, binding), _number(last if dash else first, binding)) if first else (0, 0)
    if host[1] < host[0]:
        raise Invalid(f"invalid port specification: {binding.host_port!r}", hint="write the lower one first")
    return PortRequest(protocol or "tcp", _number(number, binding), binding.host_ip, *host)


def _number(text: str, binding: PortBinding) -> int:
    if text == "0":
        return 0
    if not (text.isascii() and text.isdigit() and int(text) in _PORTS):
        raise Invalid(f'invalid port specification: "{binding.host_port or text}"', hint="ports are 1 to 65535")
    return int(text)


def link_of(text: str) -> tuple[str, str]:
    """Return the container and the name of a link, as `db`, `db:database` or docker's own `/db:/web/database`."""
    name, _, alias = text.partition(":")
    bare = name.removeprefix("/")
    return bare, alias.rpartition("/")[2] or bare


def linked_of(entry: Entry, parts: Parts, sandbox: Sandbox | None = None) -> tuple[str, ...]:
    """Return the variables that tell a container of those that it is linked to on the default network."""
    links, default = entry.container.config.links, parts.networks.default()
    endpoints = sandbox.endpoints if sandbox else entry.container.endpoints
    if not links or default not in [each.network for each in endpoints]:
        return ()
    found = []
    for name, alias in map(link_of, links):
        with suppress(NotFound, Invalid):  # one that has been removed since
            other = parts.shelf.get(name).container
            addresses = [each.ipv4_address for each in other.endpoints if each.network == default]
            if any(addresses):
                found.append(Linked(alias, addresses[0], other.config.exposed_ports, other.config.environment))
    return tuple(variables(entry.container.name, found))


def _called(entry: Entry) -> SandboxConfig:
    """Return what a container is called."""
    return SandboxConfig(name=entry.container.name, hostname=entry.container.config.hostname)


class Networking:
    """Has containers join networks, and be put on others while they run."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def join(self, entry: Entry) -> Sandbox:
        """Make its places, as it starts."""
        config = entry.container.config
        wants = evolve(_called(entry), ports=port_requests(config), dns=config.dns, links=self._links(entry))
        return self._parts.networks.join(entry.id, wanted_of(entry, self._parts.networks), wants)

    def _links(self, entry: Entry) -> tuple[tuple[str, str], ...]:
        """Return whom it knows by names of its own: on the default network, those that it was created with must run."""
        found, wanted = [], wanted_of(entry, self._parts.networks)
        legacy = entry.container.config.links if self._parts.networks.default() in wanted else ()
        for text in legacy:
            name, alias = link_of(text)
            other = self._parts.shelf.get(name)
            if self._parts.networks.default() not in [each.network for each in other.container.endpoints]:
                why = f"Cannot link to /{other.container.name}, as it does not belong to the default network"
                raise Conflict(why, hint="put both on a network of your own, where they find each other by name")
            if not other.alive:
                own = entry.container.name
                raise Conflict(f"Cannot link to a non running container: /{other.container.name} AS /{own}/{alias}")
            found.append((other.id, alias))
        for config in wanted.values():
            for text in config.links:
                name, alias = link_of(text)
                with suppress(NotFound, Invalid):
                    found.append((self._parts.shelf.get(name).id, alias))
        return tuple(dict.fromkeys(found))

    def connect(self, entry: Entry, network: str, config: EndpointConfig) -> None:
        """Put it on one more network."""
        networks = self._parts.networks
        with entry.lock:
            self._refuse(entry, "connected to")
            wanted = dict(wanted_of(entry, networks))
            runs = entry.alive
            if runs and not joins(entry.container.config):
                raise Invalid("container sharing network namespace with another container or host cannot be connected "
                              "to any other network")  # fmt: skip
            before = networks.sandbox(entry.id) if runs else None
            own = f"/proc/{entry.container.state.pid}/ns/net" if before and not before.namespace else ""
            made = networks.connect(network, entry.id, config, running=runs, wants=_called(entry), namespace=own)
            if before is None:
                networks.check({**wanted, made.network: config})
                there = self._endpoints(entry)
                if made.network in [each.network for each in there]:  # which stays as it is, as docker has it
                    return
                entry.show(endpoints=(*there, evolve(made, network_id="")))
            else:
                self._show(entry, before)
            entry.keep(placed=True)
            self._parts.shelf.save(entry)

    def disconnect(self, entry: Entry, network: str, *, force: bool = False) -> None:
        """Take it off a network."""
        networks = self._parts.networks
        with entry.lock:
            self._refuse(entry, "disconnected from")
            name = _name_of(network, networks)
            there = self._endpoints(entry)
            if name not in [each.network for each in there]:
                known = True
                try:
                    networks.get(network)
                except NotFound:
                    known = False
                    if not force:
                        raise
                the = "" if entry.alive and known else "the "
                raise NotFound(f"container {entry.id} is not connected to {the}network {name}")
            if entry.alive:
                before = networks.sandbox(entry.id)
                try:
                    networks.disconnect(network, entry.id, force=force)
                finally:
                    self._show(entry, before)
            else:
                entry.show(endpoints=tuple(each for each in there if each.network != name))
            entry.keep(placed=True)
            self._parts.shelf.save(entry)

    def _endpoints(self, entry: Entry) -> tuple[Endpoint, ...]:
        if entry.keeping.placed:
            return entry.container.endpoints
        return first_endpoints(entry.container.config, self._parts.networks)

    def _refuse(self, entry: Entry, what: str) -> None:
        if entry.removing or entry.status in (Status.DEAD, Status.REMOVING):
            raise Conflict(f"container {entry.id} is marked for removal and cannot be {what} the network")

    def _show(self, entry: Entry, before: Sandbox) -> None:
        """Show how it is now, and tell its files."""
        after = self._parts.networks.sandbox(entry.id)
        entry.show(endpoints=after.endpoints, ports=after.ports)
        folder, config = self._parts.folder(entry.id), entry.container.config
        etc.change(folder, config, etc.host_name(config, entry.id, after), before, after)

    def renamed(self, entry: Entry) -> None:
        """Have others find it by its name."""
        networks = self._parts.networks
        networks.rename(entry.id, entry.container.name)
        if entry.alive and joins(entry.container.config):
            with suppress(NotFound):
                entry.show(endpoints=networks.sandbox(entry.id).endpoints)
                self._parts.shelf.save(entry)

    def refresh_linked(self, entry: Entry) -> None:
        """Write where a container is, that has started, into the files of those that know it by a name."""
        for other in self._parts.shelf.entries():
            names = [link_of(each) for each in other.container.config.links]
            if other is entry or not other.alive or not any(self._is(entry, name) for name, _ in names):
                continue
            with suppress(MobyError, OSError):
                sandbox = self._parts.networks.sandbox(other.id)
                etc.relink(self._parts.folder(other.id), sandbox, [alias for _, alias in names])

    def _is(self, entry: Entry, name: str) -> bool:
        try:
            return self._parts.shelf.get(name) is entry
        except (NotFound, Invalid):
            return False

    def recover(self, running: list[Entry]) -> None:
        """Have what stands be what these have, and show it."""
        parts = self._parts
        for each in parts.networks.recover([entry.id for entry in running]):
            parts.log.warning("what an earlier engine left of networks can't be repaired", error=each)
        for entry in parts.shelf.entries():
            if not entry.keeping.placed:
                there = entry.container.endpoints
                entry.show(endpoints=there or first_endpoints(entry.container.config, parts.networks))
                entry.keep(placed=True)
        for entry in running:
            if joins(entry.container.config):
                with suppress(NotFound):
                    found = parts.networks.sandbox(entry.id)
                    entry.show(endpoints=found.endpoints, ports=found.ports)
