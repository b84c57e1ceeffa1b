"""The event that ends every prune."""

from moby.contracts.events import Event
from moby_frontend.docker.parts import Parts

__all__ = ["tell_pruned"]


def tell_pruned(parts: Parts, kind: str, reclaimed_bytes: int = 0) -> None:
    """Publish that what nobody uses of a kind is gone, also where that was nothing; it has no id, as docker's."""
    parts.events.publish(Event(kind, "prune", "", {"reclaimed": str(reclaimed_bytes)}))
