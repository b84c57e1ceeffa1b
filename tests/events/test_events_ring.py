import contextlib
import resource
import threading

import pytest
from moby_events.ring.plugin import Config, make

from moby.contracts.events import Event
from moby.errors import HostUnfit
from moby.surroundings import SystemClock
from moby.testing.events import EventsSuite, numbered
from moby.testing.events_mutants import MUTANTS


@pytest.fixture
def ring():
    with make(Config(), clock=SystemClock()) as found:
        yield found


class TestRing(EventsSuite):
    @pytest.fixture
    def events(self, ring):
        return ring


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: f"{mutant.name}-{mutant.test}")
def test_mutant_is_caught(mutant, ring):
    with pytest.raises(BaseException) as caught:  # an assertion, pytest.fail, or what the fault raises
        getattr(EventsSuite(), mutant.test)(mutant.wrap(ring))
    assert not isinstance(caught.value, KeyboardInterrupt | AttributeError | TypeError)


def test_no_descriptor_is_left(ring):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
        with pytest.raises(HostUnfit, match="Too many open files"):
            ring.subscribe()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    ring.publish(numbered(0))
    with contextlib.closing(ring.subscribe(1)) as reader:
        assert len(reader.take()) == 1


def test_readers_come_and_go_while_events_come(ring):
    """None is kept after its close, and none is written to: its descriptor may be another's by then."""
    stop = threading.Event()

    def publish():
        while not stop.is_set():
            ring.publish(Event("container", "start", "0"))

    threads = [threading.Thread(target=publish) for _ in range(2)]
    for each in threads:
        each.start()
    try:
        for _ in range(200):
            with contextlib.closing(ring.subscribe(1)) as reader:
                reader.take()
    finally:
        stop.set()
        for each in threads:
            each.join()
    assert ring._readers == set()
