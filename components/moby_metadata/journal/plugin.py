"""The component `metadata/journal`."""

from collections.abc import Iterable

from attrs import field, frozen

from moby.component import COPIED, Component
from moby.contracts.ambient import Place
from moby.contracts.metadata import Metadata
from moby.hookspecs import hookimpl

__all__ = ["Config", "make", "moby_components"]


@frozen
class Config:
    """Options of `metadata/journal`."""

    durable: bool = field(
        default=False, metadata={"help": "Wait for the disk at every commit, so that a loss of power loses nothing."}
    )


def make(config: Config, *, place: Place) -> Metadata:
    """Keeps documents in memory, and their changes in a file that every process reads."""
    from moby_metadata.journal.store import Store

    return Store(place.state / "metadata.journal", durable=config.durable)


@hookimpl
def moby_components() -> Iterable[Component]:
    """Return this module's components."""
    return [Component(name="journal", factory=make, served=COPIED)]
