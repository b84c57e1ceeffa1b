"""This machine's membership of a cluster."""

import ipaddress
import threading
from collections.abc import Callable
from contextlib import suppress

from moby.contracts.networks import Network
from moby.contracts.orchestrator import ClusterSpec, ClusterState
from moby.errors import Conflict, Denied, Invalid, NotFound, Unavailable, Unsupported
from moby.values import evolve
from moby_orchestrator.swarm import finding
from moby_orchestrator.swarm.containering import INGRESS
from moby_orchestrator.swarm.describing import own_address
from moby_orchestrator.swarm.membership import LOCKED, NO_MANAGER, Membership
from moby_orchestrator.swarm.parts import Parts
from moby_orchestrator.swarm.running import present
from moby_orchestrator.swarm.sealing import fresh_id, fresh_tokens, new_key, read_key, written_key
from moby_orchestrator.swarm.store import Store
from moby_orchestrator.swarm.world import CLUSTER, Settled

__all__ = ["Own"]

_PART = 'This node is already part of a swarm. Use "docker swarm leave" to leave this swarm and join another one.'
_LAST = (
    "You are attempting to leave the swarm on a node that is participating as a manager. Removing the last manager "
    "erases all current state of the swarm. Use `--force` to ignore this message."
)
_ROTATABLE = frozenset({"worker", "manager", "unlock"})


class Own:
    """The contract's `Cluster`. `begin` is called when this machine is a manager that can work, `end` to end that."""

    def __init__(
        self,
        store: Store,
        membership: Membership,
        parts: Parts,
        begin: Callable[[], None],
        end: Callable[[], None],
    ) -> None:
        self._store, self._membership, self._parts = store, membership, parts
        self._networks, self._clock = parts.networks, parts.clock
        self._begin, self._end = begin, end
        self._lock = threading.RLock()

    def state(self) -> ClusterState | None:
        """Return what is known of the cluster."""
        node_id = self._membership.node_id
        if not node_id:
            return None
        if self._membership.locked:
            return ClusterState(node_id, manager=True, locked=True)
        world = self._store.world()
        if (it := world.cluster) is None:
            return None
        managers = tuple(each.manager.address for each in world.nodes.values() if each.manager)
        address = world.nodes[node_id].address if node_id in world.nodes else ""
        return ClusterState(
            node_id, manager=True, id=it.id, spec=it.spec, version=it.version, tokens=it.tokens, address=address,
            managers=managers, created_ns=it.created_ns, updated_ns=it.updated_ns,
        )  # fmt: skip

    def create(
        self, spec: ClusterSpec, *, listen: str = "", advertise: str = "", force: bool = False, name: str = ""
    ) -> str:
        """Begin a cluster of this machine."""
        with self._lock:
            address = _address(advertise) or _address(listen) or own_address()
            if self._membership.locked:
                raise Unavailable(LOCKED)
            if self.state() is not None:
                if not force:
                    raise Conflict(_PART)
                present(self._parts, self._store, self._membership.node_id, address)
                return self._membership.node_id
            _check(spec)
            if self._store.used():
                if not force:
                    hint = "with --force it is forgotten, and another one begun"
                    raise Conflict("the store has a cluster already, whose key this machine hasn't", hint=hint)
                self._store.clear()
            return self._created(spec, address, name)

    def _created(self, spec: ClusterSpec, address: str, name: str) -> str:
        node_id, cluster_id, lock = fresh_id(), fresh_id(), new_key() if spec.autolock else b""
        now_ns = self._clock.now_ns()
        self._membership.begin(node_id, new_key(), lock)
        try:
            self._make_ingress()
            unlock = written_key(lock) if lock else ""
            with self._store.change() as draft:
                draft.clusters[CLUSTER] = Settled(
                    cluster_id, spec, fresh_tokens(cluster_id), now_ns, now_ns, unlock_key=unlock
                )
            present(self._parts, self._store, node_id, address, name)
        except BaseException:
            self._membership.end()
            raise
        self._begin()
        return node_id

    def _make_ingress(self) -> None:
        try:
            self._networks.get(INGRESS)
        except NotFound:
            drivers = self._networks.drivers()
            driver = next((each for each in ("bridge", "overlay") if each in drivers), "")
            if driver:
                self._networks.create(Network("", INGRESS, driver, "", ingress=True))

    def join(self, addresses: tuple[str, ...], token: str, *, listen: str = "", advertise: str = "") -> str:
        """Become a node of another machine's cluster, which takes a store that several machines share."""
        if self._membership.node_id:
            raise Conflict(_PART)
        if not token.startswith("SWMTKN-1-"):
            raise Denied("A valid join token is necessary to join this cluster", hint="it begins with SWMTKN-1-")
        if not addresses:
            raise Invalid("at least one RemoteAddr is required to join")
        raise Unsupported(
            f"this engine can't join the cluster at {addresses[0]}: that takes a store that all managers share, "
            "certificates of nodes, and managers that answer other machines' nodes, which aren't there yet; it can be "
            "the only node of a cluster of its own (`swarm init`)",
            hint="begin one with `swarm init`",
        )

    def leave(self, *, force: bool = False) -> None:
        """End all its tasks here, and forget the cluster, of which this machine is the last manager."""
        with self._lock:
            if not self._membership.node_id:
                raise Unavailable("This node is not part of a swarm")
            if not force:
                raise Conflict(_LAST)
            self._end()
            self._store.clear()
            for name in (INGRESS, *(each.id for each in self._networks.list() if each.services_only)):
                with suppress(NotFound):
                    self._networks.remove(name)
            self._membership.end()

    def update(self, spec: ClusterSpec, version: int, *, rotate: frozenset[str] = frozenset()) -> None:
        """Settle the cluster anew."""
        _check(spec)
        if unknown := sorted(rotate - _ROTATABLE):
            raise Invalid(f"there is no {unknown[0]!r} to rotate", hint="worker, manager, unlock")
        with self._lock:
            with self._store.change() as draft:
                it = draft.clusters.get(CLUSTER)
                if it is None:
                    raise Unavailable(NO_MANAGER)
                finding.check_version(version, it.version)
                unlock = it.unlock_key if spec.autolock else ""
                if spec.autolock and (not unlock or "unlock" in rotate):
                    unlock = written_key(new_key())
                draft.clusters[CLUSTER] = evolve(
                    it,
                    spec=spec,
                    tokens=fresh_tokens(it.id, it.tokens, rotate),
                    unlock_key=unlock,
                    updated_ns=self._clock.now_ns(),
                )
            self.lock_as_settled()

    def lock_as_settled(self) -> None:
        """Have this machine's file be locked as the store says; a death may have come between the two."""
        it = self._store.world().cluster
        if it is not None:
            lock = read_key(it.unlock_key) if it.unlock_key else b""
            self._membership.lock(lock)

    def unlock_key(self) -> str:
        """Return what unlocks managers."""
        it = self._store.world().cluster
        if it is None:
            raise Unavailable(NO_MANAGER)
        return it.unlock_key

    def unlock(self, key: str) -> None:
        """Open this manager's state."""
        with self._lock:
            if not self._membership.locked:
                raise Conflict("swarm is not locked")
            self._membership.unlock(read_key(key))
            self._begin()


def _check(spec: ClusterSpec) -> None:
    if spec.task_history < 0:
        raise Invalid("invalid task history retention limit: it can't be below 0")
    if spec.heartbeat_ns < 0:
        raise Invalid("invalid heartbeat period: it can't be below 0")
    if spec.certificate_ns < 3600 * 1_000_000_000:
        raise Invalid("invalid node certificate expiry: it is an hour at least")
    for each in spec.address_pools:
        try:
            pool = ipaddress.ip_network(each)
        except ValueError as error:
            raise Invalid(f"invalid address pool {each!r}: {error}") from error
        if not pool.prefixlen <= spec.subnet_prefix <= pool.max_prefixlen - 2:
            raise Invalid(f"subnets of /{spec.subnet_prefix} don't fit into the address pool {each}")


def _address(text: str) -> str:
    """Return the address of `ADDRESS` or `ADDRESS:PORT`; empty for none, and for all of a machine's."""
    if not text:
        return ""
    host = text[1:].partition("]")[0] if text.startswith("[") else text
    if text.count(":") == 1:
        host = text.partition(":")[0]
    try:
        found = ipaddress.ip_address(host)
    except ValueError as error:
        raise Invalid(f"{text!r} is no address", hint="give an address of this machine's, as 10.0.0.1:2377") from error
    return "" if found.is_unspecified else str(found)
