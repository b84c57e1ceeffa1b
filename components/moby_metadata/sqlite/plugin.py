"""The component `metadata/sqlite`."""

from collections.abc import Iterable

from attrs import field, frozen

from moby.component import Component
from moby.contracts.ambient import Place
from moby.contracts.metadata import Metadata
from moby.hookspecs import hookimpl

__all__ = ["Config", "make", "moby_components"]


@frozen
class Config:
    """Options of `metadata/sqlite`."""

    durable: bool = field(
        default=False,
        metadata={
            "help": "Wait for the disk at every commit, so that a loss of power loses nothing; ten times slower."
        },
    )


def make(config: Config, *, place: Place) -> Metadata:
    """Keeps documents in one SQLite database, which survives the death of any process."""
    from moby_metadata.sqlite.store import Store

    return Store(place.state / "metadata.db", durable=config.durable)


@hookimpl
def moby_components() -> Iterable[Component]:
    """Return this module's components."""
    return [Component(name="sqlite", factory=make, preferred=True)]
