"""The swarm that this engine is part of: begun, joined, left, settled anew, unlocked."""

from moby.contracts.orchestrator import Availability
from moby.errors import Conflict, Denied, Invalid, Unavailable
from moby.values import evolve
from moby_frontend.docker.call import Call, Reply, empty, reply_json
from moby_frontend.docker.failures import Status, message
from moby_frontend.docker.parts import Parts
from moby_frontend.docker.swarm.asking import truth, version_of
from moby_frontend.docker.swarm.cluster import checked_listen, read_cluster, read_init, show_swarm
from moby_frontend.docker.swarm.faults import Code, told
from moby_frontend.docker.swarm.membership import NO_MANAGER, NO_PART, cluster, manager, membership
from moby_frontend.docker.swarm.nodes import read_availability
from moby_frontend.docker.swarm.strict import lowered, read_all
from moby_frontend.docker.translate.forms import TEXT, TEXTS, Field

__all__ = ["init", "inspect", "join", "leave", "unlock", "unlock_key", "update"]

_PART_ALREADY = (
    'This node is already part of a swarm. Use "docker swarm leave" to leave this swarm and join another one.'
)
_AS_MANAGER = "You are attempting to leave the swarm on a node that is participating as a manager. "
_LAST = "Removing the last manager erases all current state of the swarm. Use `--force` to ignore this message. "
_OTHERS = "Demote it first, or use `--force` to ignore this message."
_WHILE_LOCKED = "Swarm is encrypted and locked. Please unlock it first or use `--force` to ignore this message."
_ROTATED = {"rotateWorkerToken": "worker", "rotateManagerToken": "manager", "rotateManagerUnlockKey": "unlock"}


def inspect(parts: Parts, call: Call) -> Reply:
    """Show the swarm, with the tokens to join it."""
    state = manager(parts).cluster().state()
    if state is None:
        raise Unavailable(NO_MANAGER)
    return reply_json(show_swarm(state))


def init(parts: Parts, call: Call) -> Reply:
    """Begin a swarm of this machine."""
    begun, body = cluster(parts), call.json(required=True)
    forced = lowered(body, "InitRequest").get("forcenewcluster") is True
    if begun.state() is not None and not forced:
        raise Unavailable(_PART_ALREADY)
    spec, where = read_init(body)
    availability = read_availability(lowered(body, "InitRequest").get("availability"))
    node = begun.create(spec, **where)
    _make_available(parts, node, availability)
    return reply_json(node)


def _make_available(parts: Parts, node: str, availability: Availability) -> None:
    if availability is not Availability.ACTIVE and parts.orchestrator is not None:
        found = parts.orchestrator.node(node)
        parts.orchestrator.update_node(node, evolve(found.spec, availability=availability))


_JOIN = (
    Field("ListenAddr", "listen", TEXT),
    Field("AdvertiseAddr", "advertise", TEXT),
    Field("RemoteAddrs", "addresses", TEXTS),
    Field("JoinToken", "token", TEXT),
)


def join(parts: Parts, call: Call) -> Reply:
    """Become a node of a swarm."""
    joined, body = cluster(parts), call.json(required=True)
    if joined.state() is not None:
        raise Unavailable(_PART_ALREADY)
    found = read_all(_JOIN, body, "JoinRequest", ("Availability",))
    if read_availability(lowered(body, "JoinRequest").get("availability")) is not Availability.ACTIVE:
        raise Invalid("JoinRequest.Availability: a node that joins takes tasks; change that once it has joined")
    if not found.get("addresses"):
        raise Invalid("at least 1 RemoteAddr is required to join")
    listen = checked_listen(found.get("listen", ""))
    try:
        joined.join(
            found["addresses"], found.get("token", ""), listen=listen, advertise=found.get("advertise", "")
        )  # fmt: skip
    except Conflict as error:
        raise Unavailable(_PART_ALREADY) from error
    return empty(200)


def leave(parts: Parts, call: Call) -> Reply:
    """Be no part of the swarm any more."""
    state, force = membership(parts), call.query.flag("force")
    if state is None:
        raise Unavailable(NO_PART)
    if not force and state.locked:
        raise Unavailable(_WHILE_LOCKED)
    if not force and state.manager:
        raise Unavailable(_AS_MANAGER + (_OTHERS if len(state.managers) > 1 else _LAST))
    cluster(parts).leave(force=force)
    return empty(200)


def update(parts: Parts, call: Call) -> Reply:
    """Settle the swarm anew."""
    kept = manager(parts).cluster()
    body, version = call.json(required=True), version_of(call, "swarm")
    rotate = frozenset(part for name, part in _ROTATED.items() if truth(call, name))
    present = kept.state()
    if present is None:
        raise Unavailable(NO_MANAGER)
    spec = read_cluster(body, present.spec.address_pools, present.spec.subnet_prefix)
    with told(Code.UNKNOWN, lambda: True):
        kept.update(spec, version, rotate=rotate)
    return empty(200)


def unlock_key(parts: Parts, call: Call) -> Reply:
    """Show what unlocks managers."""
    return reply_json({"UnlockKey": manager(parts).cluster().unlock_key()})


def unlock(parts: Parts, call: Call) -> Reply:
    """Open a locked manager's state."""
    body = call.json(required=True)
    key = read_all((Field("UnlockKey", "key", TEXT),), body, "UnlockRequest").get("key", "")
    state = membership(parts)
    if state is None:
        raise Unavailable(NO_PART)
    if not state.locked:
        raise Conflict("swarm is not locked")
    try:
        cluster(parts).unlock(key)
    except (Denied, Invalid) as error:
        raise Status(401, "swarm could not be unlocked: invalid key provided") from error
    except Conflict as error:
        raise Conflict(message(error)) from error
    return empty(200)
