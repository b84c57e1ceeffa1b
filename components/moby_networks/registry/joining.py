"""How containers come onto networks and leave them."""

import ipaddress
import secrets
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

from moby.contracts.discovery import PortRequest
from moby.contracts.ipam import Ipam
from moby.contracts.network_driver import Attachment, Link, Port
from moby.contracts.networks import Endpoint, EndpointConfig, Network, SandboxConfig
from moby.errors import Conflict, Denied, Invalid, MobyError
from moby.values import evolve
from moby_networks.registry import ways
from moby_networks.registry.checks import is_exclusive
from moby_networks.registry.context import Context, Failures
from moby_networks.registry.openings import divided, routed_families
from moby_networks.registry.presences import Presences, dns_names
from moby_networks.registry.records import SHARED_SCOPE, Joined, Known, Membership

__all__ = ["Joining"]

_HOST = "host"
_INTERFACE_NAME = "com.docker.network.endpoint.ifname"
"""The option of an endpoint that names its interface, as docker has it; of a network, what names begin with."""
_PREFIXES = ("com.docker.network.container_iface_prefix", "com.docker.network.container_interface_prefix")
_BINDING, _ALL = "com.docker.network.bridge.host_binding_ipv4", "0.0.0.0"  # noqa: S104 - what docker writes for all

_SERVICES_ONLY = (
    "Could not attach to network {0}: rpc error: code = PermissionDenied desc = network {0} not manually attachable"
)


class Joining:
    """Makes and removes endpoints. Every call wants the container's lock held."""

    def __init__(self, context: Context, presences: Presences) -> None:
        self._context = context
        self._presences = presences

    def join(
        self, container_id: str, wanted: Sequence[tuple[Known, EndpointConfig]], config: SandboxConfig
    ) -> tuple[Joined, bool]:
        """Make a container's endpoints; return them, and whether they are new. An error leaves nothing."""
        before = self._context.records.joined(container_id)
        if before is not None:
            asked = {known.network.id: _lasting(each) for known, each in wanted}
            there = {each.endpoint.network_id: each.endpoint.config for each in before.memberships}
            if (asked, config) == (there, before.config):
                return before, False
            self.leave(before)
        with self._using([known for known, _ in wanted]), ExitStack() as undo:
            joined = self._made(container_id, wanted, config, undo)
            undo.pop_all()
        for known, _ in wanted:
            self._context.tell("connect", known.network, container_id)
        return joined, True

    def _made(
        self,
        container_id: str,
        wanted: Sequence[tuple[Known, EndpointConfig]],
        config: SandboxConfig,
        undo: ExitStack,
    ) -> Joined:
        """Make all, in an order in which each step needs those before it; what is undone is put onto the stack."""
        joined = Joined(container_id, self._namespace(container_id, wanted, undo), config)
        for known, each in wanted:
            membership = self._membership(joined, known, each, undo)
            joined = evolve(joined, memberships=(*joined.memberships, membership), interfaces=joined.interfaces + 1)
        joined = self._claimed(joined, undo)
        for known, _ in wanted:
            joined = self._attached(joined, known, undo)
        named = any(each.endpoint.dns_names for each in joined.memberships)
        joined = evolve(joined, discovered=named or bool(config.ports))
        undo.callback(self._context.records.delete_joined, container_id)
        self._context.records.put_joined(joined)
        if ways.ways_of(joined):
            self._lead(joined)
        if named:
            undo.callback(self._quietly, self._context.discovery.leave, container_id)
            self._presences.enter(joined)
        return joined

    @contextmanager
    def _using(self, networks: Sequence[Known]) -> Iterator[None]:
        with ExitStack() as stack:
            for each in networks:
                stack.enter_context(self._context.using(each.network))
            yield

    def _quietly(self, call: object, *args: object) -> None:
        """Undo something, and go on where that fails: what is left goes when an engine starts."""
        failures = Failures()
        failures.run(call, *args)  # type: ignore[arg-type]  # a callable, by its callers
        for each in failures.errors:
            self._context.log.warning("what failed to be made on a network can't be undone", error=str(each))

    def _namespace(self, container_id: str, wanted: Sequence[tuple[Known, EndpointConfig]], undo: ExitStack) -> str:
        drivers = [self._context.driver(known.network.driver) for known, _ in wanted]
        if any(each.shares_host for each in drivers):
            return _HOST
        if any(is_exclusive(known.network, driver) for (known, _), driver in zip(wanted, drivers, strict=True)):
            return ""
        undo.callback(self._quietly, self._context.namespaces.remove, container_id)
        return self._context.namespaces.make(container_id)

    def _membership(self, joined: Joined, known: Known, config: EndpointConfig, undo: ExitStack) -> Membership:
        """Return an endpoint that isn't made yet, with its addresses."""
        context, network = self._context, known.network
        if network.services_only and not config.service:
            raise Denied(_SERVICES_ONLY.format(network.name), hint="make it with --attachable")
        _check_link_local(config)
        endpoint_id = secrets.token_hex(32)
        addresses: tuple[str, ...] = ()
        if context.driver(network.driver).addressed:
            ipam, shared = context.ipam(network.ipam_driver), context.records.shared
            if shared and network.scope == SHARED_SCOPE:
                undo.callback(self._quietly, shared.take_back, network.id, joined.container_id)
                shared.promise(network.id, joined.container_id, endpoint_id)
            undo.callback(self._quietly, ipam.unassign, network.id, endpoint_id)
            addresses = _assigned(ipam, network, endpoint_id, config)
        names = self._presences.names(joined.container_id, network, config, joined.config)
        attachment = Attachment(
            id=endpoint_id,
            container_id=joined.container_id,
            interface=config.driver_options.get(_INTERFACE_NAME) or f"{_prefix(network)}{joined.interfaces}",
            addresses=addresses,
            mac_address=config.mac_address,
            link_local=config.link_local_ips,
            options=config.driver_options,
        )
        endpoint = Endpoint(network.id, network.name, endpoint_id, dns_names=names, config=_lasting(config))
        return Membership(_addressed(endpoint, addresses, ()), attachment)

    def _claimed(self, joined: Joined, undo: ExitStack) -> Joined:
        """Return it with the ports that it publishes, which are the host's no more."""
        publisher = self._publisher(joined)
        if publisher is None or not joined.config.ports:
            return evolve(joined, publisher=publisher.endpoint.network_id if publisher else "")
        undo.callback(self._quietly, self._context.discovery.leave, joined.container_id)
        return self._claim(joined, publisher)

    def _claim(self, joined: Joined, publisher: Membership, held: Sequence[Port] = ()) -> Joined:
        """Return it with ports: those that it held, where all were the host's and are so now, else as it asked."""
        known = self._context.records.network(publisher.endpoint.network_id)
        assert known is not None, publisher.endpoint.network_id
        targets, binding, routed = _targets(publisher), _binding(known.network), routed_families(known.network)
        same = not routed and all(each.host_port for each in held)
        asked = (_requests(held, publisher) if same else []) or [
            evolve(each, targets=targets, host_address=each.host_address or binding) for each in joined.config.ports
        ]
        wanted, opened = divided(asked, routed)
        try:
            ports = (*self._context.discovery.claim(joined.container_id, wanted), *opened)
        except (Conflict, Invalid) as error:
            who = f"{joined.config.name} ({publisher.endpoint.endpoint_id})"
            text = f"driver failed programming external connectivity on endpoint {who}: {error.message}"
            raise type(error)(text, hint=error.hint) from error
        return _published(joined, publisher.endpoint.network_id, ports)

    def _publisher(self, joined: Joined) -> Membership | None:
        """Return the endpoint that publishes the ports: the one that the default route leads through, if it does so."""
        there = []
        for each in joined.memberships:
            known = self._context.records.network(each.endpoint.network_id)
            if known is not None and self._context.has_driver(known.network.driver):
                there.append((known, each))
        found = ways.publisher_of(there)
        return found[1] if found and self._context.driver(found[0].network.driver).publishes else None

    def _attached(self, joined: Joined, known: Known, undo: ExitStack) -> Joined:
        """Put a container on a network; return it with what came of that."""
        driver, membership = self._context.driver(known.network.driver), joined.membership(known.network.id)
        assert membership is not None, known.network.id
        link = Link()
        if joined.namespace not in ("", _HOST):
            if known.network.id not in self._context.made:
                driver.make(known.segment)
                self._context.made.add(known.network.id)
            with self._context.namespaces.opened(joined.namespace) as namespace:
                undo.callback(self._quietly, driver.detach, known.segment, membership.attachment)
                link = driver.attach(known.segment, membership.attachment, namespace)
        addresses = link.addresses or membership.attachment.addresses
        attachment = evolve(
            membership.attachment,
            interface=link.interface or membership.attachment.interface,
            addresses=addresses,
            mac_address=link.mac_address or membership.attachment.mac_address,
        )
        endpoint = evolve(_addressed(membership.endpoint, addresses, link.gateways), mac_address=link.mac_address)
        return _with(joined, Membership(endpoint, attachment, tuple(link.gateways), link.routed_directly))

    def _lead(self, joined: Joined) -> None:
        if joined.namespace not in ("", _HOST):
            with self._context.namespaces.opened(joined.namespace) as namespace:
                ways.lead(namespace, ways.ways_of(joined))

    def leave(self, joined: Joined) -> None:
        """Undo `join`, all of it; what failed is told once all else is done."""
        context, failures = self._context, Failures()
        if joined.discovered:
            failures.run(context.discovery.leave, joined.container_id)
        left = []
        for each in joined.memberships:
            known = context.records.network(each.endpoint.network_id)
            if known is not None and context.has_driver(known.network.driver):
                driver = context.driver(known.network.driver)
                failures.run(driver.detach, known.segment, each.attachment)
                failures.run(self._unassign, known, each)
                left.append(known.network)
        failures.run(context.namespaces.remove, joined.container_id)
        context.records.delete_joined(joined.container_id)
        for network in left:
            context.tell("disconnect", network, joined.container_id)
        failures.tell()

    def _unassign(self, known: Known, membership: Membership) -> None:
        if self._context.driver(known.network.driver).addressed:
            self._context.ipam(known.network.ipam_driver).unassign(known.network.id, membership.taker)

    def connect(self, joined: Joined, known: Known, config: EndpointConfig, namespace: str = "") -> Joined:
        """Put a running container on one more network; an error leaves it as it was.

        One whose namespace the runtime made has that held from then on, as those are that are made here.
        """
        if not joined.discovered:
            joined = evolve(joined, discovered=True)
            self._context.records.put_joined(joined)  # first, so that one who is killed leaves what is left by
        with self._using([known]), ExitStack() as undo:
            if namespace and not joined.namespace:
                undo.callback(self._quietly, self._context.namespaces.remove, joined.container_id)
                held = self._context.namespaces.adopt(joined.container_id, namespace)
                joined = evolve(joined, namespace=held, interfaces=0)
            membership = self._membership(joined, known, config, undo)
            new = evolve(joined, memberships=(*joined.memberships, membership), interfaces=joined.interfaces + 1)
            new = self._moved(joined, new, undo)
            new = self._attached(new, known, undo)
            undo.callback(self._quietly, self._presences.enter, joined)
            undo.callback(self._quietly, self._lead, joined)
            self._lead(new)
            self._presences.enter(new)
            self._context.records.put_joined(new)
            undo.pop_all()
        self._context.tell("connect", known.network, joined.container_id)
        return new

    def _moved(self, old: Joined, new: Joined, undo: ExitStack) -> Joined:
        """Have the ports be where the default route leads now; an endpoint that isn't made yet publishes them then."""
        publisher = self._publisher(new)
        if not new.config.ports or (publisher.endpoint.network_id if publisher else "") == old.publisher:
            return new
        discovery = self._context.discovery
        held = _requests(old.ports, old.membership(old.publisher))
        undo.callback(self._quietly, discovery.claim, old.container_id, held)
        before, known = new.membership(old.publisher), self._context.records.network(old.publisher)
        if before is not None and known is not None:
            driver = self._context.driver(known.network.driver)
            undo.callback(self._quietly, driver.publish, known.segment, before.attachment)
            driver.publish(known.segment, evolve(before.attachment, ports=()))
        if publisher is not None:
            return self._claim(new, publisher, old.ports)
        discovery.claim(old.container_id, ())
        return _published(new, "", ())

    def disconnect(self, joined: Joined, known: Known) -> None:
        """Take a running container off a network; what fails is told once all else is done."""
        self.drop(joined, [known.network.id])

    def drop(self, joined: Joined, network_ids: Collection[str]) -> None:
        """Take a running container off networks, of which some may have gone themselves; as `disconnect`."""
        context, failures = self._context, Failures()
        dropped = [each for each in joined.memberships if each.endpoint.network_id in network_ids]
        new = evolve(joined, memberships=tuple(each for each in joined.memberships if each not in dropped))
        if joined.publisher in network_ids:
            new = evolve(new, publisher="", ports=joined.ports if self._publisher(new) else ())
        context.records.put_joined(new)  # first, so that one who is killed leaves nothing that is on no record
        left = []
        for each in dropped:
            known = context.records.network(each.endpoint.network_id)
            if known is not None:
                failures.run(self._detach, joined, known, each)
                failures.run(self._unassign, known, each)
                left.append(known.network)
        if new.publisher != joined.publisher:
            failures.run(self._settled_ports, joined, new)
        failures.run(self._lead, new)
        if new.discovered:
            failures.run(self._presences.enter, new)
        for network in left:
            context.tell("disconnect", network, joined.container_id)
        failures.tell()

    def _detach(self, joined: Joined, known: Known, membership: Membership) -> None:
        driver = self._context.driver(known.network.driver)
        if joined.namespace in ("", _HOST):
            driver.detach(known.segment, membership.attachment)
            return
        with self._context.namespaces.opened(joined.namespace) as namespace:
            driver.detach(known.segment, membership.attachment, namespace)

    def _settled_ports(self, old: Joined, new: Joined) -> Joined:
        """Publish the ports where the default route leads now, on an endpoint that is made."""
        found = self._moved(old, new, ExitStack())
        self._context.records.put_joined(found)
        known, membership = self._context.records.network(found.publisher), found.membership(found.publisher)
        if known is not None and membership is not None:
            self._context.driver(known.network.driver).publish(known.segment, membership.attachment)
        return found

    def repair(self, joined: Joined, failures: Failures) -> None:
        """Make good what a running container has besides its interfaces: default routes, ports and names."""
        if joined.namespace in ("", _HOST):
            return
        failures.run(self._lead, joined)
        if joined.config.ports:
            failures.run(self._repair_ports, joined)
        if joined.discovered:
            failures.run(self._presences.enter, joined)

    def _repair_ports(self, joined: Joined) -> None:
        publisher = self._publisher(joined)
        if (publisher.endpoint.network_id if publisher else "") != joined.publisher:
            self._settled_ports(joined, joined)
        else:
            self._context.discovery.claim(joined.container_id, _requests(joined.ports, publisher))

    def rename(self, joined: Joined, name: str) -> Joined:
        """Have a container be found by another name."""
        config = evolve(joined.config, name=name)
        memberships = tuple(
            evolve(
                each,
                endpoint=evolve(each.endpoint, dns_names=dns_names(joined.container_id, each.endpoint.config, config)),
            )
            if each.endpoint.dns_names
            else each
            for each in joined.memberships
        )
        new = evolve(joined, config=config, memberships=memberships)
        self._context.records.put_joined(new)
        if any(each.endpoint.dns_names for each in memberships):
            self._presences.enter(new)
        return new


def _check_link_local(config: EndpointConfig) -> None:
    """Refuse addresses that other links have, too, as late as docker does."""
    for each in config.link_local_ips:
        if not ipaddress.ip_address(each).is_link_local:
            raise Invalid(f"invalid link local IP address: {each}", hint="as 169.254.8.8 or fe80::8")


def _binding(network: Network) -> str:
    """Return the address of the host's by which a network publishes what names none; empty is all of them."""
    found = network.options.get(_BINDING, "")
    return "" if found == _ALL else found


def _prefix(network: Network) -> str:
    return next((network.options[each] for each in _PREFIXES if network.options.get(each)), "eth")


def _requests(ports: Sequence[Port], membership: Membership | None) -> list[PortRequest]:
    """Return what asks for the very ports that are held, for an endpoint; one that is open there alone isn't."""
    targets = _targets(membership) if membership else ()
    return [
        PortRequest(each.protocol, each.container_port, each.host_address, each.host_port, each.host_port, targets)
        for each in ports
        if each.host_port
    ]


def _targets(membership: Membership) -> tuple[str, ...]:
    return tuple(each.partition("/")[0] for each in membership.attachment.addresses)


def _lasting(config: EndpointConfig) -> EndpointConfig:
    """Return what stays of a wish once it has been granted."""
    return evolve(config, earlier_addresses=()) if config.earlier_addresses else config


def _assigned(ipam: Ipam, network: Network, endpoint_id: str, config: EndpointConfig) -> tuple[str, ...]:
    """Return an endpoint's addresses; where there are none, the network is named as its users know it, too."""
    wanted = [each for each in (config.ipv4_address, config.ipv6_address) if each]
    asked = {ipaddress.ip_address(each).version for each in wanted}
    earlier = [each for each in config.earlier_addresses if ipaddress.ip_address(each).version not in asked]
    if earlier:
        with suppress(MobyError):  # somebody else has one, or the network is another now, of the same name
            return ipam.assign(network.id, endpoint_id, [*wanted, *earlier])
    try:
        return ipam.assign(network.id, endpoint_id, wanted)
    except Conflict as error:
        text = error.message.replace(network.id, f"{network.name} ({network.id})")
        raise Conflict(text, hint=error.hint) from error


def _addressed(endpoint: Endpoint, addresses: Sequence[str], gateways: Sequence[str]) -> Endpoint:
    """Return an endpoint with what is shown of its addresses."""
    shown: dict[str, Any] = {}
    for text in addresses:
        interface = ipaddress.ip_interface(text)
        version = interface.version
        shown |= {f"ipv{version}_address": str(interface.ip), f"ipv{version}_prefix": interface.network.prefixlen}
    for text in gateways:
        shown[f"ipv{ipaddress.ip_address(text).version}_gateway"] = text
    return evolve(endpoint, **shown)


def _with(joined: Joined, membership: Membership) -> Joined:
    """Return it with this endpoint in place of the one on the same network."""

    def current(each: Membership) -> Membership:
        return membership if each.endpoint.network_id == membership.endpoint.network_id else each

    return evolve(joined, memberships=tuple(map(current, joined.memberships)))


def _published(joined: Joined, network_id: str, ports: Sequence[Port]) -> Joined:
    """Return it with ports that its endpoint on a network publishes, and no other."""
    found = evolve(joined, ports=tuple(ports), publisher=network_id)
    for each in joined.memberships:
        its = tuple(ports) if each.endpoint.network_id == network_id else ()
        found = _with(found, evolve(each, attachment=evolve(each.attachment, ports=its)))
    return found
