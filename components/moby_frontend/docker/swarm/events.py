"""Events of an engine together with those of the swarm that it is a manager of."""

import select
from collections.abc import Callable
from contextlib import closing, suppress

from moby.contracts.events import Event, Subscription
from moby.errors import MobyError
from moby.values import evolve
from moby_frontend.docker.parts import Parts
from moby_frontend.docker.swarm.membership import manager
from moby_frontend.docker.swarm.networks import SWARM

__all__ = ["KINDS", "Joined", "past", "worded"]

KINDS = frozenset({"service", "node", "secret", "config"})
"""Of what docker tells in a swarm; tasks it doesn't."""
_AGAIN_NS = 10**9
"""How long after a swarm's events ended they are looked for anew, at the next of the engine's own."""


def worded(event: Event) -> Event:
    """Return an event of the engine's own as docker words it: networks of a swarm are removed, not destroyed."""
    if event.type != "network" or event.scope != SWARM:
        return event
    action = "remove" if event.action == "destroy" else event.action
    return evolve(event, action=action, attributes={"name": event.attributes.get("name", "")})


def past(parts: Parts, since_ns: int, until_ns: int) -> list[Event]:
    """Return the events between two moments, both included, oldest first, of the engine and of its swarm."""
    found = list(parts.events.past(since_ns, until_ns))
    with suppress(MobyError), closing(manager(parts).watch(since_ns)) as swarm:
        found += (_shown(each) for each in swarm.take() if each.type in KINDS and each.time_ns <= until_ns)
    return sorted(found, key=lambda each: each.time_ns)


def _shown(event: Event) -> Event:
    """Return an event of a swarm's as docker has it: states only where they change, and nothing that is empty."""
    given = event.attributes.items()
    return evolve(event, attributes={name: text for name, text in given if text and name != "state"})


class Joined:
    """The engine's own events, and a swarm's as long as there is one: also one that begins later is followed.

    A swarm that begins is noticed at the next event of the engine's own, of which the making of its networks is one.
    """

    def __init__(self, own: Subscription, parts: Parts, since_ns: int, wanted: Callable[[Event], bool]) -> None:
        self._own, self._parts, self._wanted = own, parts, wanted
        self._swarm: Subscription | None = None
        self._tried_ns = 0
        self._poll = select.epoll()
        self._poll.register(own.fileno(), select.EPOLLIN)
        self._follow(since_ns)

    def fileno(self) -> int:
        """Return a descriptor that is readable while there is an event of either to take."""
        return self._poll.fileno()

    def take(self) -> tuple[Event, ...]:
        """Return what has come of either, oldest first."""
        found = [*self._own.take(), *self._taken()]
        if self._swarm is None and self._parts.clock.now_ns() - self._tried_ns > _AGAIN_NS:
            self._follow(self._tried_ns)
            found += self._taken()
        return tuple(sorted(found, key=lambda each: each.time_ns))

    def _taken(self) -> list[Event]:
        if self._swarm is None:
            return []
        taken = [_shown(each) for each in self._swarm.take() if each.type in KINDS and self._wanted(each)]
        if self._swarm.ended:
            self._let_go()
        return taken

    def _follow(self, since_ns: int) -> None:
        self._tried_ns = self._parts.clock.now_ns()
        try:
            self._swarm = manager(self._parts).watch(since_ns)
        except MobyError:  # no swarm, or none that can be asked: then nothing happens in it
            return
        self._poll.register(self._swarm.fileno(), select.EPOLLIN)

    def _let_go(self) -> None:
        if self._swarm is not None:
            self._poll.unregister(self._swarm.fileno())
            self._swarm.close()
            self._swarm = None

    def close(self) -> None:
        """Let go of the swarm's events; the engine's own stay whose they are."""
        self._let_go()
        self._poll.close()
