"""Networks by name, and containers' endpoints on them."""

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Self

from moby.contracts.networks import Endpoint, EndpointConfig, Network, Sandbox, SandboxConfig
from moby.errors import Conflict, NotFound, Unsupported
from moby.values import evolve
from moby_networks.registry import ways
from moby_networks.registry.checks import check_config, check_made, check_reachable, check_together, is_exclusive
from moby_networks.registry.context import Context
from moby_networks.registry.following import Following
from moby_networks.registry.joining import Joining
from moby_networks.registry.making import Making
from moby_networks.registry.presences import Presences
from moby_networks.registry.records import Joined, Known
from moby_networks.registry.recovery import recover

__all__ = ["Registry"]

_PREDEFINED = ("bridge", "host", "none")
_ID = re.compile(r"[0-9a-f]{1,64}")
_PLAIN = SandboxConfig()
_NOT_LATER = "container cannot be disconnected from host network or connected to host network"


class Registry:
    """Networks of all drivers; see the contract."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._records = context.records
        self._making = Making(context)
        self._presences = Presences(context)
        self._joining = Joining(context, self._presences)
        self._following: Following | None = None

    def __enter__(self) -> Self:
        """Have the networks that are there from the start be known."""
        self._making.predefine()
        return self

    def __exit__(self, *error: object) -> None:
        """Stop following what other hosts do; nothing else is held."""
        if self._following:
            self._following.close()
            self._following = None

    def reclaim(self) -> None:
        """Have all leave, and take back whatever there is on the host."""
        for each in recover(self._context, self._joining, (), everything=True):
            self._context.log.warning("what is left of networks can't be removed", error=each)
        for known in self._records.networks():
            if self._context.has_driver(known.network.driver):
                self._context.driver(known.network.driver).unmake(known.segment)

    def drivers(self) -> tuple[str, ...]:
        """Return the names of all network drivers."""
        return self._context.driver_names()

    def default(self) -> str:
        """Return the network of a container that names none."""
        there = [self._context.driver(each).predefined for each in self.drivers()]
        return "bridge" if "bridge" in there else "none"

    def create(self, network: Network) -> tuple[Network, tuple[str, ...]]:
        """Make a network."""
        return self._making.create(network).network, ()

    def get(self, name: str) -> Network:
        """Return a network, with who is on it."""
        with self._records.snapshot():
            return _filled([self._find(name)], self._records.all_joined())[0]

    def list(self) -> tuple[Network, ...]:
        """Return all networks, but those of drivers that this engine has no more."""
        with self._records.snapshot():
            return _filled(self._there(), self._records.all_joined())

    def remove(self, name: str) -> None:
        """Delete a network."""
        self._making.remove(self._find(name))

    def check(self, wanted: Mapping[str, EndpointConfig]) -> None:
        """Refuse what can't be joined."""
        found = []
        for name, config in wanted.items():
            try:
                known = self._find(self._meant(name))
            except (Conflict, NotFound):
                continue
            driver = self._context.driver(known.network.driver)
            check_config(known, driver, config, prefix=f"invalid config for network {known.network.name}: ")
            found.append(known.network)
        check_together(found, self._context.driver)

    def join(self, container_id: str, wanted: Mapping[str, EndpointConfig], config: SandboxConfig = _PLAIN) -> Sandbox:
        """Connect a container to its networks."""
        found = {}
        for name, each in wanted.items():
            known = self._find(self._meant(name))
            check_made(known.network)
            found[known.network.id] = (known, each)
        self.check(wanted)
        in_order = sorted(found.values(), key=lambda pair: ways.order(*pair))
        with self._context.container(container_id):
            joined, new = self._joining.join(container_id, in_order, config)
        if new:
            self._presences.enter_who_knows(container_id)
        return self._presences.sandbox(joined)

    def sandbox(self, container_id: str) -> Sandbox:
        """Return what a container has joined."""
        return self._presences.sandbox(self._joined(container_id))

    def leave(self, container_id: str) -> None:
        """Undo that."""
        with self._context.container(container_id):
            joined = self._records.joined(container_id)
            if joined is None:
                self._records.delete_joined(container_id)  # one of another boot
                return
            self._joining.leave(joined)

    def rename(self, container_id: str, name: str) -> None:
        """Have a container be found by another name."""
        with self._context.container(container_id):
            joined = self._records.joined(container_id)
            if joined is not None and joined.config.name != name:
                self._joining.rename(joined, name)

    def recover(self, running: Collection[str]) -> Sequence[str]:
        """Make all that stands be what these have joined."""
        shared = self._records.shared
        far = shared.far() if shared else {}
        failed = recover(self._context, self._joining, running, far=far)
        if shared:
            self.__exit__()
            self._following = Following(self._context, self._joining, shared, far)
        return failed

    def connect(
        self,
        network: str,
        container_id: str,
        config: EndpointConfig,
        *,
        running: bool,
        wants: SandboxConfig = _PLAIN,
        namespace: str = "",
    ) -> Endpoint:
        """Put a container on one more network."""
        known = self._find(network)
        check_made(known.network)
        driver = self._context.driver(known.network.driver)
        check_config(known, driver, config)
        if driver.shares_host:
            raise Unsupported(_NOT_LATER, hint="create it with --network host")
        if not running:
            names = self._presences.names(container_id, known.network, config, wants)
            return Endpoint(known.network.id, known.network.name, dns_names=names, config=config)
        with self._context.container(container_id):
            joined = self._joined(container_id)
            if joined.membership(known.network.id):
                name = joined.config.name or container_id[:12]
                raise Conflict(f"endpoint with name {name} already exists in network {known.network.name}")
            check_together([*self._those_of(joined), known.network], self._context.driver)
            if is_exclusive(known.network, driver):
                namespace = ""  # it needs none
            elif not namespace:
                check_reachable(joined)
            joined = self._joining.connect(joined, known, config, namespace)
        self._presences.enter_who_knows(container_id)
        membership = joined.membership(known.network.id)
        assert membership is not None
        return membership.endpoint

    def disconnect(self, network: str, container_id: str, *, force: bool = False) -> None:
        """Take a container off a network."""
        known = self._find(network)
        with self._context.container(container_id):
            joined = self._records.joined(container_id)
            if joined is None or joined.membership(known.network.id) is None:
                if force:
                    return
                raise NotFound(f"container {container_id} is not connected to network {known.network.name}")
            if self._context.driver(known.network.driver).shares_host:
                raise Unsupported(_NOT_LATER, hint="create it on another network")
            self._joining.disconnect(joined, known)
        self._presences.enter_who_knows(container_id)

    def _those_of(self, joined: Joined) -> Sequence[Network]:
        """Return the networks that a container is on."""
        there = {each.endpoint.network_id for each in joined.memberships}
        return [each.network for each in self._there() if each.network.id in there]

    def _joined(self, container_id: str) -> Joined:
        found = self._records.joined(container_id)
        if found is None:
            raise NotFound(f"container {container_id} has joined no network", hint="start it")
        return found

    def _there(self) -> Sequence[Known]:
        found = [each for each in self._records.networks() if self._context.has_driver(each.network.driver)]
        return sorted(found, key=lambda each: each.network.name)

    def _find(self, name: str) -> Known:
        """Return a network: by its name, else by its id, else by a prefix of that."""
        found = self._there()
        for each in found:
            if each.network.name == name:
                return each
        fitting = [each for each in found if each.network.id.startswith(name)] if _ID.fullmatch(name) else []
        if not fitting:
            raise NotFound(f"network {name} not found{self._why_absent(name)}")  # docker's words, where it has such
        if len(fitting) > 1:
            text = f"network {name} is ambiguous ({len(fitting)} matches found based on ID prefix)"
            raise Conflict(text, hint="write more of its id")
        return fitting[0]

    def _why_absent(self, name: str) -> str:
        """Say why a network isn't there that docker always has."""
        names = self.drivers()
        if name not in _PREDEFINED or name in {self._context.driver(each).predefined for each in names}:
            return ""
        return (
            f": this engine has no network driver that brings it, but {', '.join(names)}; name a network that was made "
            f"with one of these, or have the assembly choose the driver {name} as well"
        )

    def _meant(self, name: str) -> str:
        """Return which network a container means: docker's clients spell the default one so."""
        return self.default() if name in ("", "default") else name


def _filled(networks: Sequence[Known], joined: Sequence[Joined]) -> tuple[Network, ...]:
    """Return networks with who is on each."""
    on: dict[str, dict[str, Endpoint]] = {}
    for each in joined:
        for membership in each.memberships:
            on.setdefault(membership.endpoint.network_id, {})[each.container_id] = membership.endpoint
    return tuple(evolve(each.network, containers=on.get(each.network.id, {})) for each in networks)
