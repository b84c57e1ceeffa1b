"""What the pieces of the registry share: the other parts, and who may be used now."""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from attrs import define, field

from moby.contracts.ambient import Clock, Log
from moby.contracts.discovery import Discovery
from moby.contracts.events import Event, Events
from moby.contracts.ipam import Ipam
from moby.contracts.network_driver import NetworkDriver
from moby.contracts.networks import Network
from moby.errors import Denied, MobyError, NotFound
from moby_networks.registry.namespaces import Namespaces
from moby_networks.registry.records import Records

__all__ = ["Context", "Failures"]

_STRIPES = 64
_EVERYWHERE = frozenset({"create", "destroy"})
"""What happens to a network wherever it is; containers come and go on this machine."""


class Failures:
    """What failed while all else goes on."""

    def __init__(self) -> None:
        self.errors: list[MobyError | OSError] = []

    def run(self, call: Callable[..., object], *args: Any, **options: Any) -> None:
        """Call something, and go on where it fails."""
        try:
            call(*args, **options)
        except (MobyError, OSError) as error:
            self.errors.append(error)

    def tell(self) -> None:
        """Raise what failed: the first as it was, with the others in its words."""
        if not self.errors:
            return
        first = self.errors[0]
        if len(self.errors) == 1 or not isinstance(first, MobyError):
            raise first
        words = "; ".join(each.message if isinstance(each, MobyError) else str(each) for each in self.errors)
        raise type(first)(words, hint=first.hint) from first


@define(eq=False)
class Context:
    """The rest of the engine, as the registry sees it."""

    drivers: Mapping[str, NetworkDriver]
    ipams: Mapping[str, Ipam]
    discovery: Discovery
    events: Events
    clock: Clock
    log: Log
    records: Records
    namespaces: Namespaces
    host_gateway: str = ""
    """Where containers find the host, instead of at the default bridge."""
    gone_hours: int = 0
    """After how long without a sign of life another host has gone for good; 0 is never."""
    made: set[str] = field(factory=set)
    """Ids of networks that this process has seen made; what is deleted of them later, drivers make good themselves."""
    _by_name: dict[str, NetworkDriver] = field(factory=dict)
    _lock: Any = field(factory=threading.Lock)
    _stripes: Any = field(factory=lambda: [threading.RLock() for _ in range(_STRIPES)])
    _users: dict[str, int] = field(factory=dict)
    """How many calls are making an endpoint on a network just now."""
    _going: set[str] = field(factory=set)

    def __attrs_post_init__(self) -> None:
        for each in self.drivers.values():
            self._by_name.setdefault(each.name, each)

    def driver_names(self) -> tuple[str, ...]:
        """Return the names of the drivers, the default one first."""
        return tuple(dict.fromkeys(each.name for each in self.drivers.values()))

    def driver(self, name: str) -> NetworkDriver:
        """Return a driver by its own name, or the part's; NotFound in docker's words."""
        found = self._by_name.get(name) or self.drivers.get(name)
        if found is None:
            known = ", ".join(self.driver_names())
            # Docker, whose words these are, has bridges, and its clients ask for them where nobody names a driver.
            further = f": this engine has {known}; name one of them with --driver" if name == "bridge" else ""
            raise NotFound(f'plugin "{name}" not found{further}', hint=f"this engine has {known}")
        return found

    def has_driver(self, name: str) -> bool:
        """Whether there is a driver of that name."""
        return name in self._by_name

    def ipam(self, name: str) -> Ipam:
        """Return an IPAM by its name; NotFound in docker's words."""
        for each in self.ipams.values():
            if each.name == name:
                return each
        known = ", ".join(each.name for each in self.ipams.values())
        raise NotFound(f'plugin "{name}" not found', hint=f"this engine has {known or 'no ipam'}")

    def container(self, container_id: str) -> Any:
        """Return the lock of a container; one call at a time has one."""
        return self._stripes[hash(container_id) % _STRIPES]

    @contextmanager
    def using(self, network: Network) -> Iterator[None]:
        """Keep a network from being removed; NotFound where it is being so."""
        with self._lock:
            if network.id in self._going or self.records.network(network.id) is None:
                raise NotFound(f"network {network.name} not found")
            self._users[network.id] = self._users.get(network.id, 0) + 1
        try:
            yield
        finally:
            with self._lock:
                self._users[network.id] -= 1
                if not self._users[network.id]:
                    del self._users[network.id]

    @contextmanager
    def removing(self, network: Network) -> Iterator[None]:
        """Keep a network from being used; Denied where it is."""
        with self._lock:
            on_it = [each.container_id for each in self.records.all_joined() if each.membership(network.id)]
            if on_it or self._users.get(network.id) or network.id in self._going:
                text = f"error while removing network: network {network.name} id {network.id} has active endpoints"
                raise Denied(text, hint=f"stop {', '.join(each[:12] for each in on_it) or 'what uses it'} first")
            self._going.add(network.id)
        try:
            yield
        finally:
            with self._lock:
                self._going.discard(network.id)

    def tell(self, action: str, network: Network, container_id: str = "") -> None:
        """Publish an event of a network."""
        more = {"container": container_id} if container_id else {}
        values = {**more, "name": network.name, "type": network.driver}
        scope = network.scope if action in _EVERYWHERE else "local"
        self.events.publish(Event("network", action, network.id, values, scope=scope))
