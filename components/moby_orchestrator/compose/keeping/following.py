"""What is told of services and tasks, of what the engine tells of containers."""

from moby.contracts.events import Event, Subscription
from moby.contracts.types import Fd
from moby.values import evolve
from moby_orchestrator.compose import names
from moby_orchestrator.compose.keeping.values import OWN, whole_name

__all__ = ["TYPE", "Following", "concerns"]

TYPE = "service"
_TASKS = {
    "create": ("create", "ready"),
    "start": ("update", "running"),
    "die": ("update", "failed"),
    "destroy": ("remove", "shutdown"),
}


def concerns(event: Event) -> bool:
    """Whether an event is of a service, or of a service's container."""
    if event.type == TYPE:
        return True
    return event.type == "container" and names.SERVICE in event.attributes and _known(event.action)


def _known(action: str) -> bool:
    return action in _TASKS or action.startswith("health_status")


class Following:
    """See the contract of subscriptions; what concerns no service was left out before."""

    def __init__(self, inner: Subscription) -> None:
        self._inner = inner

    def fileno(self) -> Fd:
        """Return the descriptor to wait for."""
        return self._inner.fileno()

    def take(self) -> tuple[Event, ...]:
        """Return what has come, told of services and tasks."""
        return tuple(each if each.type == TYPE else _task(each) for each in self._inner.take())

    @property
    def ended(self) -> bool:
        """Whether nothing comes any more."""
        return self._inner.ended

    def close(self) -> None:
        """Let go."""
        self._inner.close()


def _task(event: Event) -> Event:
    given = event.attributes
    action, state = _TASKS.get(event.action, ("update", "running"))
    if event.action == "die" and given.get("exitCode") == "0":
        state = "complete"
    attributes = {
        "name": whole_name(given.get(names.PROJECT, ""), given[names.SERVICE]),
        "state": state,
        "slot": given.get(names.NUMBER, ""),
        "service": given.get(OWN, ""),
    }
    if event.action.startswith("health_status"):
        attributes["health"] = event.action.partition(": ")[2]
    return evolve(event, type="task", action=action, attributes=attributes)
