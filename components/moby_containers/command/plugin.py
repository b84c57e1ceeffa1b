"""Docker's everyday verbs, each a component `command/NAME`; `run` and `exec` are `docker-run` and so on.

A verb calls the engine's own API: that of the process that serves it, else of an engine that it starts for its own
time, whose supervisor, and so whose containers, live on.
"""

from collections.abc import Callable, Iterable

from attrs import frozen

from moby.component import Component
from moby.contracts.ambient import Place
from moby.contracts.command import EXITS_AS_CONTAINER, THROUGH_FRONTEND, Command
from moby.contracts.frontend import Frontend
from moby.hookspecs import hookimpl

__all__ = ["Config", "moby_components"]

VERBS = (
    "attach", "commit", "container", "cp", "create", "diff", "events", "exec", "export", "info", "inspect", "kill",
    "logs", "network", "pause", "port", "ps", "rename", "restart", "rm", "start", "stats", "stop", "system", "top",
    "unpause", "update", "volume", "wait",
)  # fmt: skip
RENAMED = {"run": "docker-run"}
"""Beside `command/run` of the quickstart, which knows no engine that lives on; an assembly says `as: run`."""
AS_CONTAINER = ("run", "exec")


@frozen
class Config:
    """Docker's verbs have no options."""


def _factory(verb: str) -> Callable[..., Command]:
    def make(config: Config, *, frontend: Frontend | None, place: Place) -> Command:
        from moby_containers.command.verb import Verb

        return Verb(verb, place)

    make.__doc__ = f"Docker's `{verb}`, over the engine's own API."
    return make


@hookimpl
def moby_components() -> Iterable[Component]:
    """Return this module's components."""
    for verb in ("run", *VERBS):
        offers = (THROUGH_FRONTEND, *((EXITS_AS_CONTAINER,) if verb in AS_CONTAINER else ()))
        yield Component(name=RENAMED.get(verb, verb), factory=_factory(verb), offers=offers)
