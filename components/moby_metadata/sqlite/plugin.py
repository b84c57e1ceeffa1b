"""The component `metadata/sqlite`."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import field, frozen

from moby.component import COPIED, Component
from moby.contracts.ambient import Place
from moby.contracts.metadata import Metadata
from moby.errors import Invalid
from moby.hookspecs import hookimpl

if TYPE_CHECKING:
    from attrs import Attribute

__all__ = ["Config", "make", "moby_components"]


def _whole(_config: "Config", _option: "Attribute[str]", value: str) -> None:
    if value and not Path(value).is_absolute():
        raise Invalid(f"{value} is no absolute path", hint="write the whole path")


@frozen
class Config:
    """Options of `metadata/sqlite`."""

    durable: bool = field(
        default=False,
        metadata={
            "help": "Wait for the disk at every commit, so that a loss of power loses nothing; ten times slower."
        },
    )
    path: str = field(
        default="",
        validator=_whole,
        metadata={"help": "Where the database is, for one that several engines of a machine share; empty is its own."},
    )


def make(config: Config, *, place: Place) -> Metadata:
    """Keeps documents in one SQLite database, which survives the death of any process."""
    from moby_metadata.sqlite.store import Store

    path = Path(config.path) if config.path else place.state / "metadata.db"
    return Store(path, durable=config.durable)


@hookimpl
def moby_components() -> Iterable[Component]:
    """Return this module's components."""
    return [Component(name="sqlite", factory=make, served=COPIED, preferred=True)]
