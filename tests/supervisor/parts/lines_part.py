"""Log drivers of tests, as parts: called in the supervisor's loop, or one that may wait, or can't be read either."""

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


def make_sent(config: Config) -> LogDriver:
    """Writes lines of JSON where they can't be read."""
    from holding import SentLines

    return SentLines()


@hookimpl
def moby_components() -> Iterable[Component]:
    """Return the components."""
    made = {"lines": make, "waiting": make_waiting, "sent": make_sent}
    return [Component(name=name, factory=factory) for name, factory in made.items()]
