"""Networks by name, and the places of containers on them."""

import re
import secrets
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime

from attrs import evolve

from moby.contracts.ambient import Clock
from moby.contracts.events import Event, Events
from moby.contracts.metadata import Metadata
from moby.contracts.network_driver import NetworkDriver
from moby.contracts.networks import Endpoint, EndpointConfig, Network, Sandbox, SandboxConfig
from moby.errors import Conflict, Denied, Invalid, NotFound, Unsupported
from moby_networks.registry.records import Records

__all__ = ["Registry"]

_KEPT_NAMES = ("bridge", "host", "none", "default")
_CHARACTERS = "[a-zA-Z0-9][a-zA-Z0-9_.-]"
_NAME = re.compile(f"{_CHARACTERS}+")
_ID = re.compile(r"[0-9a-f]{1,64}")
_HOST = "host"
_PLAIN = SandboxConfig()


class Registry:
    """Networks of all drivers; see the contract."""

    def __init__(self, drivers: Mapping[str, NetworkDriver], metadata: Metadata, events: Events, clock: Clock) -> None:
        self._drivers = drivers
        self._by_name: dict[str, NetworkDriver] = {}
        for each in drivers.values():
            self._by_name.setdefault(each.name, each)
        self._records = Records(metadata)
        self._events = events
        self._clock = clock

    def __enter__(self) -> "Registry":
        """Make the networks that are there from the start."""
        with self._records.transaction():
            there = {each.name for each in self._records.all()}
            for driver in self._by_name.values():
                if driver.predefined and driver.predefined not in there:
                    self._records.put(self._new(Network("", driver.predefined, driver.name, "", predefined=True)))
        return self

    def __exit__(self, *error: object) -> None:
        """Stop: nothing is held."""

    def drivers(self) -> tuple[str, ...]:
        """Return the names of all network drivers."""
        return tuple(dict.fromkeys(each.name for each in self._drivers.values()))

    def default(self) -> str:
        """Return the network of a container that names none."""
        there = [each.predefined for each in self._drivers.values()]
        return "bridge" if "bridge" in there else "none"

    def create(self, network: Network) -> tuple[Network, tuple[str, ...]]:
        """Make a network."""
        if network.name in _KEPT_NAMES:
            raise Denied(f"operation is not permitted on predefined {network.name} network", hint="take another name")
        if not _NAME.fullmatch(network.name):
            raise Invalid(
                f'"{network.name}" includes invalid characters for a network name, only "{_CHARACTERS}" are allowed'
            )
        driver = self._driver(network.driver or self._usual_driver())
        if not driver.creatable:
            which = ", ".join(each.name for each in self._by_name.values() if each.creatable)
            hint = f"users make networks of {which}" if which else "this engine has no driver whose networks users make"
            raise Denied(f'only one instance of "{driver.name}" network is allowed', hint=hint)
        driver.check(network.options)
        made = self._new(evolve(network, driver=driver.name, predefined=False))
        with self._records.transaction():
            if any(each.name == made.name for each in self._records.all()):
                raise Conflict(f"network with name {made.name} already exists")
            self._records.put(made)
        self._tell("create", made)
        return made, ()

    def get(self, name: str) -> Network:
        """Return a network: by its name, else by its id, else by a prefix of that."""
        found = self.list()
        for each in found:
            if each.name == name:
                return each
        fitting = [each for each in found if each.id.startswith(name)] if _ID.fullmatch(name) else []
        if not fitting:
            raise NotFound(f"network {name} not found")  # docker's words, whole
        if len(fitting) > 1:
            text = f"network {name} is ambiguous ({len(fitting)} matches found based on ID prefix)"
            raise Conflict(text, hint="write more of its id")
        return fitting[0]

    def list(self) -> tuple[Network, ...]:
        """Return all networks, but those of drivers that this engine has no more."""
        with self._records.snapshot():
            found = [each for each in self._records.all() if each.driver in self._by_name]
        return tuple(sorted(found, key=lambda each: each.name))

    def remove(self, name: str) -> None:
        """Delete a network."""
        with self._records.transaction():
            found = self.get(name)
            if found.predefined:
                raise Denied(f"{found.name} is a pre-defined network and cannot be removed")
            if found.containers:
                text = f"error while removing network: network {found.name} id {found.id} has active endpoints"
                raise Denied(text, hint=f"stop {', '.join(each[:12] for each in found.containers)} first")
            self._records.delete(found)
        self._tell("destroy", found)

    def join(
        self,
        container_id: str,
        network: str,
        wanted: Mapping[str, EndpointConfig],
        config: SandboxConfig = _PLAIN,
    ) -> Sandbox:
        """Make a container's place on its networks."""
        configs = {self._meant(each): config for each, config in wanted.items()}
        configs.setdefault(self._meant(network), EndpointConfig())
        networks = {each: self.get(each) for each in configs}
        self._check_together(list(networks.values()))
        endpoints, new = [], []
        with self._records.transaction():
            there = {each.network_id: each for each in self._records.endpoints(container_id).get(container_id, ())}
            for asked, its in networks.items():
                self._check_config(its, configs[asked])
                found = there.pop(its.id, None)
                if found is None or found.config != configs[asked]:
                    found = _placed(its, configs[asked])
                    self._records.put_endpoint(container_id, found)
                    new.append(its)
                endpoints.append(found)
            for each in there.values():
                self._records.delete_endpoint(container_id, each.network_id)
        for joined in new:
            self._tell("connect", joined, container_id)
        shares = any(self._driver(each.driver).shares_host for each in networks.values())
        return Sandbox(namespace=_HOST if shares else "", endpoints=tuple(endpoints))

    def leave(self, container_id: str) -> None:
        """Undo that."""
        with self._records.transaction():
            networks = {each.id: each for each in self._records.all()}
            found = self._records.endpoints(container_id).get(container_id, ())
            for each in found:
                self._records.delete_endpoint(container_id, each.network_id)
        for each in found:
            if each.network_id in networks:
                self._tell("disconnect", networks[each.network_id], container_id)

    def rename(self, container_id: str, name: str) -> None:
        """Do nothing: on these networks nobody is found by name."""

    def recover(self, running: Collection[str]) -> Sequence[str]:
        """Have all others leave."""
        for each in set(self._records.endpoints()) - set(running):
            self.leave(each)
        return ()

    def connect(self, network: str, container_id: str, config: EndpointConfig, *, running: bool) -> Endpoint:
        """Put a container on one more network."""
        found = self.get(network)
        driver = self._driver(found.driver)
        if driver.shares_host:
            text = "cannot connect container to host network - container must be created in host network mode"
            raise Unsupported(text, hint="create it with --network host")
        if found.predefined and not driver.creatable:
            text = f"container cannot be connected to multiple networks with one of the networks in {found.name} mode"
            raise Unsupported(text, hint=f"create it with --network {found.name}")
        self._check_config(found, config)
        if not running:
            return Endpoint(found.id, found.name, config=config)
        with self._records.transaction():
            there = self._records.endpoints(container_id).get(container_id, ())
            if any(self._is_exclusive(each.network_id) for each in there):
                raise Unsupported(_ALONE, hint="create it on that network")
            if any(each.network_id == found.id for each in there):
                raise Conflict(f"endpoint of {container_id[:12]} already exists in network {found.name}")
            made = _placed(found, config)
            self._records.put_endpoint(container_id, made)
        self._tell("connect", found, container_id)
        return made

    def disconnect(self, network: str, container_id: str, *, force: bool = False) -> None:
        """Take a container off a network."""
        found = self.get(network)
        if container_id not in found.containers:
            if force:
                return
            raise NotFound(f"container {container_id} is not connected to network {found.name}")
        if self._driver(found.driver).shares_host:
            text = "cannot disconnect container from host network - container was created in host network mode"
            raise Unsupported(text, hint="create it on another network")
        self._records.delete_endpoint(container_id, found.id)
        self._tell("disconnect", found, container_id)

    def _meant(self, name: str) -> str:
        """Return which network a container means: docker's clients spell the default one so."""
        return self.default() if name in ("", "default") else name

    def _usual_driver(self) -> str:
        return "bridge" if "bridge" in self._by_name else self.drivers()[0]

    def _driver(self, name: str) -> NetworkDriver:
        found = self._by_name.get(name) or self._drivers.get(name)
        if found is None:
            raise NotFound(f'plugin "{name}" not found', hint=f"this engine has {', '.join(self.drivers())}")
        return found

    def _is_exclusive(self, network_id: str) -> bool:
        """Whether who is on a network can be on no other."""
        found = self.get(network_id)
        return found.predefined and not self._driver(found.driver).creatable

    def _check_together(self, networks: Sequence[Network]) -> None:
        if len(networks) > 1 and any(self._is_exclusive(each.id) for each in networks):
            raise Invalid(_ALONE, hint="choose one of them")

    def _check_config(self, network: Network, config: EndpointConfig) -> None:
        if network.predefined and (config.ipv4_address or config.ipv6_address):
            raise Invalid("user specified IP address is supported on user defined networks only")
        if network.predefined and config.mac_address and self._driver(network.driver).shares_host:
            raise Invalid("conflicting options: mac-address and the network mode")

    def _new(self, network: Network) -> Network:
        seconds, rest = divmod(self._clock.now_ns(), 1_000_000_000)
        created = f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:09}Z"
        scope = self._driver(network.driver).scope
        return evolve(network, id=secrets.token_hex(32), created=created, scope=scope, containers={})

    def _tell(self, action: str, network: Network, container_id: str = "") -> None:
        more = {"container": container_id} if container_id else {}
        self._events.publish(
            Event("network", action, network.id, {**more, "name": network.name, "type": network.driver})
        )


_ALONE = (
    "container sharing network namespace with another container or host, or with none, cannot be connected to any "
    "other network"
)


def _placed(network: Network, config: EndpointConfig) -> Endpoint:
    return Endpoint(network.id, network.name, endpoint_id=secrets.token_hex(32), config=config)
