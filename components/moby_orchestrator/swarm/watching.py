"""Those who follow what changes in a cluster."""

import threading
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any

from moby.contracts.ambient import Clock
from moby.contracts.events import Event
from moby.contracts.orchestrator import Node, Service, Task
from moby.errors import HostUnfit
from moby.host.inbox import Inbox
from moby_orchestrator.swarm.world import World

__all__ = ["Watch", "Watcher"]

_MOST = 1024
_KEPT = 256


class Watcher(Inbox[Event]):
    """One who follows; see the contract of events, Subscription."""

    def __init__(self, watch: "Watch", past: list[Event]) -> None:
        try:
            super().__init__(watch.lock, _MOST)
        except OSError as error:
            hint = "end some of those who follow events, or raise the engine's limit of open files"
            raise HostUnfit(f"can't follow a cluster: {error.strerror}", hint=hint) from error
        self._watch = watch
        for each in past:
            self.put(each)

    def close(self) -> None:
        """Let go."""
        with self._lock:
            self._watch.forget(self)
            self.discard()


class Watch:
    """Tells changes of a world to all who follow, and the last ones to who asks for the past."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.lock = threading.Lock()
        self._past: deque[Event] = deque(maxlen=_KEPT)
        self._watchers: list[Watcher] = []
        self._closed = False

    def follow(self, since_ns: int) -> Watcher:
        """Return one who follows from now on, or from a moment that isn't long ago."""
        with self.lock:
            past = [each for each in self._past if since_ns and each.time_ns >= since_ns]
            found = Watcher(self, past)
            if self._closed:
                found.end()
            else:
                self._watchers.append(found)
            return found

    def forget(self, watcher: Watcher) -> None:
        """Tell one no more. The lock is held."""
        if watcher in self._watchers:
            self._watchers.remove(watcher)

    def changed(self, before: World, after: World) -> None:
        """Tell what is other in a world than in the one before."""
        now_ns = self._clock.now_ns()
        with self.lock:
            for type, action, id, attributes in _differences(before, after):  # noqa: A001
                event = Event(type, action, id, attributes, now_ns, "swarm")
                self._past.append(event)
                for each in self._watchers:
                    each.put(event)

    def close(self) -> None:
        """End all."""
        with self.lock:
            self._closed = True
            for each in self._watchers:
                each.end()


_Difference = tuple[str, str, str, Mapping[str, str]]


def _differences(before: World, after: World) -> Iterator[_Difference]:
    for kind, old, new in (
        ("service", before.services, after.services),
        ("task", before.tasks, after.tasks),
        ("node", before.nodes, after.nodes),
        ("secret", before.secrets, after.secrets),
        ("config", before.configs, after.configs),
    ):
        yield from _of_kind(kind, old, new)


def _of_kind(kind: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[_Difference]:
    if old is new:
        return
    for id, value in new.items():  # noqa: A001
        was = old.get(id)
        if was is None:
            yield kind, "create", id, _told(value, value)
        elif was is not value:
            goes = isinstance(value, Service) and value.removing
            if goes and not was.removing:
                yield kind, "remove", id, {"name": value.spec.name}
            elif not goes:
                yield kind, "update", id, _told(was, value)
    for id in old.keys() - new.keys():  # noqa: A001
        was = old[id]
        if not (isinstance(was, Service) and was.removing):
            yield kind, "remove", id, {"name": _name(was)}


def _name(value: Any) -> str:
    match value:
        case Service():
            return value.spec.name
        case Task():
            return value.spec.name
        case Node():
            return value.description.hostname
        case _:
            return str((getattr(value, "secret", None) and value.secret.name) or value.spec.name)


def _told(was: Any, value: Any) -> Mapping[str, str]:
    """Return an event's attributes: a name, and states that changed, in docker's words."""
    found = {"name": _name(value)}
    match value:
        case Service():
            states = [each.update.state.value if each.update else "" for each in (was, value)]
            changed = {"updatestate": states, "replicas": [str(each.spec.replicas) for each in (was, value)]}
        case Task():
            changed = {
                "state": [each.status.state.value for each in (was, value)],
                "desired": [each.desired.value for each in (was, value)],
                "health": [each.status.health.value for each in (was, value)],
            }
            found |= {"service.id": value.service_id, "node.id": value.node_id, "state": value.status.state.value}
        case Node():
            changed = {
                "state": [each.state.value for each in (was, value)],
                "availability": [each.spec.availability.value for each in (was, value)],
                "role": [each.spec.role.value for each in (was, value)],
            }
            found |= {"state": value.state.value}
        case _:
            changed = {}
    for name, (old, new) in changed.items():
        if old != new and new:  # what has no state any more has no news of it, as with docker
            found |= {f"{name}.old": old, f"{name}.new": new}
    return found
