"""Declares `command/compose`; the orchestrator has a module of its own, whose contracts a verb needn't import."""

from collections.abc import Iterable, Sequence

from attrs import frozen

from moby.component import Component
from moby.contracts.ambient import Place
from moby.contracts.command import THROUGH_FRONTEND, Command
from moby.contracts.frontend import Frontend
from moby.hookspecs import hookimpl

__all__ = ["Config", "make", "moby_components"]


@frozen
class Config:
    """`compose` has no options of its own."""


def make(config: Config, *, frontend: Frontend | None, place: Place) -> Command:
    """Docker's `compose`: applications as compose files describe them, over the engine's own API."""
    return _Verb(place)


@frozen
class _Verb:
    """See the contract of commands; an engine that serves has it too, and doesn't import what a verb does."""

    place: Place

    def run(self, arguments: Sequence[str]) -> int:
        """Do it with the process's own standard streams, and return the exit code."""
        from moby_orchestrator.compose.verb import run

        return run(self.place, arguments)

    def answered(self, arguments: Sequence[str]) -> int | None:
        """Answer what takes no engine; None for all else."""
        from moby_orchestrator.compose.verb import answered

        return answered(arguments)


@hookimpl
def moby_components() -> Iterable[Component]:
    """Return this module's component."""
    offers = (THROUGH_FRONTEND,)
    return [Component(name="compose", factory=make, offers=offers, brings=("pyyaml",))]
