"""Log drivers of tests, as parts: one that is called in the supervisor's loop, and one that may wait."""

import sys
from collections.abc import Iterable
from pathlib import Path

from attrs import frozen

from moby.component import Component
from moby.contracts.log_driver import LogDriver
from moby.hookspecs import hookimpl

sys.path.append(str(Path(__file__).parents[1]))


@frozen
class Config:
    """No options."""


def make(config: Config) -> LogDriver:
    """Writes lines of JSON."""
    from holding import LinesDriver

    return LinesDriver()


def make_waiting(config: Config) -> LogDriver:
    """Writes lines of JSON, and says that it may wait."""
    from holding import LinesDriver

    return LinesDriver(waits=True)


@hookimpl
def moby_components() -> Iterable[Component]:
    """Return the components."""
    return [Component(name="lines", factory=make), Component(name="waiting", factory=make_waiting)]
