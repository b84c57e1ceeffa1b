"""How networks are made and removed."""

import secrets
from contextlib import ExitStack
from typing import Any

from moby.contracts.ipam import Pool
from moby.contracts.networks import Network
from moby.errors import Conflict, Denied, Invalid, NotFound, Unavailable
from moby.oci.times import fixed
from moby.values import evolve
from moby_networks.registry import ways
from moby_networks.registry.checks import check_configuration, check_name
from moby_networks.registry.context import Context, Failures
from moby_networks.registry.records import SHARED_SCOPE, Known

__all__ = ["Making"]

_NULL = "null"
_WORDS = {"Subnet": "subnet", "IPRange": "ip_range", "Gateway": "gateway", "AuxiliaryAddresses": "reserved"}


class Making:
    """Makes and removes networks."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def predefine(self) -> None:
        """Have the networks that drivers bring be known; nothing is made on the host yet.

        No transaction is open while an IPAM is asked, which may write to the same store from a process of its own.
        """
        records = self._context.records
        there = {each.network.name for each in records.networks()}
        for name in self._context.driver_names():
            driver = self._context.driver(name)
            if driver.predefined and driver.predefined not in there:
                options = dict(driver.predefined_options)
                network = self._new(Network("", driver.predefined, name, "", predefined=True, options=options))
                records.put(self._settled(network) if driver.addressed else Known(network))

    def create(self, network: Network) -> Known:
        """Make a network; an error leaves nothing."""
        context = self._context
        check_name(network.name)
        check_configuration(network)
        if network.config_only:
            return self._configuration(network)
        network = self._configured(network)
        driver = context.driver(network.driver or self._usual_driver())
        if not driver.creatable:
            names = [each for each in context.driver_names() if context.driver(each).creatable]
            which = ", ".join(names)
            hint = f"users make networks of {which}" if which else "this engine has no driver whose networks users make"
            raise Denied(f'only one instance of "{driver.name}" network is allowed', hint=hint)
        driver.check(network.options)
        if driver.addressed:
            context.ipam(network.ipam_driver)
        self._refuse_taken(network)
        shared = context.records.shared if driver.scope == SHARED_SCOPE and driver.addressed else None
        ipam = shared.ipam if shared else network.ipam_driver
        made = self._new(evolve(network, driver=driver.name, ipam_driver=ipam, predefined=False))
        with ExitStack() as undo:
            known = Known(made)
            if shared:
                undo.callback(shared.finish, made.id)
                shared.begin(made.id)
            if driver.addressed:
                known = self._settled(made)
                undo.callback(context.ipam(made.ipam_driver).give_back, made.id)
            undo.callback(driver.unmake, known.segment)
            driver.make(known.segment)
            with context.records.transaction():
                self._refuse_taken(made)
                if shared and not shared.finish(made.id):
                    raise Unavailable("other hosts have meanwhile declared this one dead", hint="try again")
                context.records.put(known)
            undo.pop_all()
        context.made.add(made.id)
        context.tell("create", made)
        return known

    def _configuration(self, network: Network) -> Known:
        """Keep what others are made from."""
        context = self._context
        known = Known(self._new(evolve(network, driver=context.driver(_NULL).name, predefined=False)))
        with context.records.transaction():
            self._refuse_taken(network)
            context.records.put(known)
        context.tell("create", known.network)
        return known

    def _configured(self, network: Network) -> Network:
        """Return a network with what it is made from, if it is so."""
        if not network.config_from:
            return network
        for each in self._context.records.networks():
            found = each.network
            if found.config_only and found.name == network.config_from:
                return evolve(
                    network,
                    options=found.options,
                    labels=found.labels,
                    enable_ipv6=found.enable_ipv6,
                    ipam_driver=found.ipam_driver,
                    ipam_options=found.ipam_options,
                    ipam=found.ipam,
                )
        raise NotFound(f'configuration network "{network.config_from}" does not exist')

    def _refuse_taken(self, network: Network) -> None:
        if any(each.network.name == network.name for each in self._context.records.networks()):
            raise Conflict(f"network with name {network.name} already exists")

    def _settled(self, network: Network) -> Known:
        """Give a network its pools."""
        ipam = self._context.ipam(network.ipam_driver)
        routes = ways.host_subnets()
        wanted = [_pool(each) for each in network.ipam]
        used = [each for each in wanted if network.enable_ipv6 or ":" not in each.subnet]
        pools = ipam.take(
            network.id,
            used,
            ipv6=network.enable_ipv6,
            options=network.ipam_options,
            occupied=[each.destination for each in routes],
        )
        asked = tuple(each.subnet for each in pools[: sum(each != Pool() for each in used)])
        try:
            ways.refuse_host_subnets(asked, routes)
        except Conflict:
            ipam.give_back(network.id)
            raise
        chosen = tuple({"Subnet": each.subnet, "Gateway": each.gateway} for each in pools[len(asked) :])
        shown = sorted(
            (dict(each) for each in network.ipam if each.get("Subnet")), key=lambda each: ":" in each["Subnet"]
        )
        return Known(evolve(network, ipam=(*shown, *chosen)), pools, asked)

    def remove(self, known: Known) -> None:
        """Delete a network, all of it also where some of that fails."""
        context, network = self._context, known.network
        if network.predefined:
            raise Denied(f"{network.name} is a pre-defined network and cannot be removed")
        if network.config_only and any(each.network.config_from == network.name for each in context.records.networks()):
            raise Denied(f'error while removing network: configuration network "{network.name}" is in use')
        driver = context.driver(network.driver)
        with context.removing(network):
            failures = Failures()
            context.made.discard(network.id)
            if context.records.is_shared(network.id):
                context.records.delete(network.id)  # first, so that no other host comes onto it
            failures.run(driver.unmake, known.segment)
            context.records.delete(network.id)
            if driver.addressed:
                failures.run(context.ipam(network.ipam_driver).give_back, network.id)
        context.tell("destroy", network)
        failures.tell()

    def _usual_driver(self) -> str:
        return "bridge" if self._context.has_driver("bridge") else self._context.driver_names()[0]

    def _new(self, network: Network) -> Network:
        scope = self._context.driver(network.driver).scope
        return evolve(
            network,
            id=secrets.token_hex(32),
            created=fixed(self._context.clock.now_ns()),
            scope=scope,
            containers={},
            services_only=network.services_only and scope == SHARED_SCOPE,
        )


def _pool(asked: Any) -> Pool:
    """Return a pool as docker words it."""
    unknown = sorted(set(asked) - set(_WORDS))
    if unknown:
        raise Invalid(f"a pool has no {unknown[0]!r}", hint=f"it has {', '.join(_WORDS)}")
    return Pool(**{name: asked[word] for word, name in _WORDS.items() if asked.get(word)})
