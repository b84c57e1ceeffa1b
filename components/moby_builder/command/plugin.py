"""Declares `command/build` and `command/builder`."""

from collections.abc import Iterable

from attrs import frozen

from moby.component import Component
from moby.contracts.ambient import Place
from moby.contracts.builder import Builder
from moby.contracts.command import THROUGH_FRONTEND, Command
from moby.contracts.frontend import Frontend
from moby.hookspecs import hookimpl

__all__ = ["Config", "make", "make_builder", "moby_components"]


@frozen
class Config:
    """Neither has options."""


def make(config: Config, *, builder: Builder | None, frontend: Frontend | None, place: Place) -> Command:
    """Docker's `build`, with the engine's builder; over the engine's own API where another process serves it."""
    from moby_builder.command.verb import BuildVerb

    return BuildVerb(builder, place)


def make_builder(config: Config, *, builder: Builder | None, frontend: Frontend | None, place: Place) -> Command:
    """Docker's `builder du` and `builder prune`: show and remove the build cache."""
    from moby_builder.command.verb import BuilderVerb

    return BuilderVerb(place)


@hookimpl
def moby_components() -> Iterable[Component]:
    """Return this module's components."""
    return [
        Component(name="build", factory=make, offers=(THROUGH_FRONTEND,)),
        Component(name="builder", factory=make_builder, offers=(THROUGH_FRONTEND,)),
    ]
