"""The kind `events`: what has happened in an engine, to be followed and, for a while, replayed."""

from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

from moby.contracts.kind import contract
from moby.contracts.types import Fd
from moby.values import field, frozen

__all__ = ["Event", "Events", "Subscription"]


@frozen
class Event:
    """Something that happened to an object (Docker Engine API, /events)."""

    type: str
    """`container`, `image`, `volume`, `network`, `daemon`, `plugin`, `builder`."""
    action: str
    """As docker has it: `create`, `start`, `die`, `exec_create: sh -c ...`, `health_status: healthy`."""
    id: str
    """Of the object; a volume's and an image's name."""
    attributes: Mapping[str, str] = field(factory=dict)
    time_ns: int = 0
    """Since the epoch; 0 is when it is published."""
    scope: str = "local"


class Subscription(Protocol):
    """The events from a moment on, for one reader, who is dropped where 1024 wait for it. Closed by its reader."""

    def fileno(self) -> Fd:
        """Return a descriptor that is readable while there is an event, or the end, to take; it stays this one's."""
        ...

    def take(self) -> tuple[Event, ...]:
        """Return what has come since the last call, oldest first, without waiting; empty where nothing has."""
        ...

    @property
    def ended(self) -> bool:
        """Whether all was taken and nothing comes any more: the service closes, or the reader was too slow."""
        ...

    def close(self) -> None:
        """Let go; a repeated call does nothing."""
        ...


@contract("events", version=1)
class Events(Protocol):
    """Tells what happens in an engine to all who follow. Thread-safe; publishing never waits for a reader."""

    def publish(self, event: Event) -> None:
        """Tell of an event; its time is set where it has none. Never raises."""
        ...

    def subscribe(self, since_ns: int = 0, wanted: Callable[[Event], bool] | None = None) -> Subscription:
        """Follow events; with `since_ns` those of the last 256 first that are no older, with none lost between.

        `wanted` chooses; it is called under a lock, is short, and calls nothing of this. One that fails later on ends
        its own subscription. HostUnfit where no descriptor is left.
        """
        ...

    def past(self, since_ns: int, until_ns: int) -> Iterator[Event]:
        """Yield the events of the last 256 that are between two moments, both included, oldest first."""
        ...
