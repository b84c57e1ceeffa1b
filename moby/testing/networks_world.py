"""What the suite of networks works on."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from attrs import frozen

from moby.contracts.events import Event, Events
from moby.contracts.networks import EndpointConfig, Networks

__all__ = ["PLAIN", "Given", "NetworksFixtures", "told"]

PLAIN = EndpointConfig()


@frozen
class Given:
    """A part under test, on the same store at each call, which has the networks `none` and, perhaps, `host`."""

    open: Callable[[], Networks]
    events: Events | None = None
    """None where the part was wired with events of its own."""
    sort: str = ""
    """A driver of which users make networks, which have addresses; empty where there is none."""


class NetworksFixtures:
    """What the suite's tests are given."""

    @pytest.fixture
    def given(self) -> Given:
        """Return the part under test."""
        raise NotImplementedError


@contextmanager
def told(given: Given) -> Iterator[Callable[[], list[Event]]]:
    """Yield what returns the events since then; skips where the part's are its own."""
    if given.events is None:
        pytest.skip("this part's events are its own")
    reader = given.events.subscribe()
    try:
        yield lambda: [*reader.take()]
    finally:
        reader.close()
