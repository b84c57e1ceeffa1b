"""The conformance suite of the kind `events`; `moby.testing.events_mutants` holds what it must fail."""

import contextlib
import itertools
import os
import select
import threading
import time

import pytest

from moby.contracts.events import Event, Events, Subscription

__all__ = ["EventsSuite", "following", "numbered", "numbers"]

PATIENCE_S = 60.0
KEPT = 256
MOST = 1024


def numbered(number: int) -> Event:
    """Return an event that can be told apart."""
    return Event("container", "start", str(number), {"name": f"n{number}"}, time_ns=number + 1)


def numbers(events: tuple[Event, ...]) -> list[int]:
    """Return which events these are."""
    return [int(each.id) for each in events]


def readable(subscription: Subscription, timeout_s: float = 0) -> bool:
    """Whether its descriptor says that there is something to take."""
    return bool(select.select([subscription.fileno()], [], [], timeout_s)[0])


def following(subscription: Subscription, count: int) -> list[int]:
    """Take so many events as they come; fail where they don't, or where the subscription ends before."""
    found: list[int] = []
    while len(found) < count:
        if not readable(subscription, PATIENCE_S):
            pytest.fail(f"no more events after {len(found)} of {count}")
        found += numbers(subscription.take())
        if subscription.ended:
            break
    return found


class EventsSuite:
    """What every part that tells of events must do. A subclass brings the fixture `events`."""

    @pytest.fixture
    def events(self) -> Events:
        """Return the part under test, started, with nothing published."""
        raise NotImplementedError

    def test_all_readers_get_all_in_order(self, events: Events) -> None:
        """As it was published, with nothing from before the subscription."""
        events.publish(numbered(0))
        with contextlib.closing(events.subscribe()) as one, contextlib.closing(events.subscribe()) as other:
            given = tuple(numbered(number) for number in range(1, 4))
            for each in given:
                events.publish(each)
            assert (one.take(), other.take()) == (given, given)
            assert (one.take(), one.ended) == ((), False)

    def test_time_is_set_where_there_is_none(self, events: Events) -> None:
        """And kept where there is one."""
        with contextlib.closing(events.subscribe()) as reader:
            before = time.time_ns()
            events.publish(Event("volume", "create", "v"))
            events.publish(Event("volume", "create", "w", time_ns=7))
            first, second = reader.take()
        assert before <= first.time_ns <= time.time_ns()
        assert second.time_ns == 7

    def test_attributes_are_a_copy(self, events: Events) -> None:
        """What the publisher changes later was never told."""
        attributes = {"name": "a"}
        with contextlib.closing(events.subscribe()) as reader:
            events.publish(Event("network", "create", "n", attributes))
            attributes["name"] = "b"
            assert [each.attributes for each in reader.take()] == [{"name": "a"}]

    def test_the_descriptor_tells(self, events: Events) -> None:
        """Readable while there is something to take, and not otherwise; it stays the same one."""
        with contextlib.closing(events.subscribe()) as reader:
            assert not readable(reader)
            fd = reader.fileno()
            for number in range(3):
                events.publish(numbered(number))
                assert readable(reader)
            assert (numbers(reader.take()), readable(reader)) == ([0, 1, 2], False)
            events.publish(numbered(3))
            assert (readable(reader), reader.fileno()) == (True, fd)
            assert (numbers(reader.take()), readable(reader)) == ([3], False)

    def test_one_reader_takes_from_no_other(self, events: Events) -> None:
        """Neither events nor the wake."""
        with contextlib.closing(events.subscribe()) as one, contextlib.closing(events.subscribe()) as other:
            events.publish(numbered(0))
            one.take()
            assert (readable(one), readable(other)) == (False, True)

    def test_the_last_256_are_replayed(self, events: Events) -> None:
        """Those that are no older than asked for."""
        for number in range(300):
            events.publish(numbered(number))
        with contextlib.closing(events.subscribe(since_ns=1)) as reader:
            assert readable(reader)
            assert numbers(reader.take()) == list(range(300 - KEPT, 300))
            assert not readable(reader)
        with contextlib.closing(events.subscribe(since_ns=numbered(290).time_ns)) as reader:
            assert numbers(reader.take()) == list(range(290, 300))

    def test_past(self, events: Events) -> None:
        """Both moments included, of the last 256."""
        for number in range(300):
            events.publish(numbered(number))
        assert numbers(tuple(events.past(numbered(250).time_ns, numbered(252).time_ns))) == [250, 251, 252]
        assert numbers(tuple(events.past(0, numbered(50).time_ns))) == list(range(300 - KEPT, 51))
        assert list(events.past(numbered(299).time_ns + 1, 1 << 62)) == []

    def test_wanted_chooses(self, events: Events) -> None:
        """Of the past and of what comes; what isn't wanted wakes nobody."""
        for number in range(4):
            events.publish(numbered(number))
        with contextlib.closing(events.subscribe(1, lambda event: int(event.id) % 2 == 1)) as reader:
            events.publish(numbered(5))
            assert numbers(reader.take()) == [1, 3, 5]
            events.publish(numbered(6))
            assert (readable(reader), reader.take()) == (False, ())

    def test_a_reader_that_fails_to_choose(self, events: Events) -> None:
        """Ends, and troubles neither the publisher nor others."""

        def choose(event: Event) -> bool:
            raise ValueError(event.id)

        with contextlib.closing(events.subscribe()) as other, contextlib.closing(events.subscribe(0, choose)) as reader:
            events.publish(numbered(0))
            events.publish(numbered(1))
            assert (reader.ended, readable(reader), reader.take()) == (True, True, ())
            assert numbers(other.take()) == [0, 1]
        with pytest.raises(ValueError, match="0"):
            events.subscribe(1, choose)

    def test_a_slow_reader_is_dropped(self, events: Events) -> None:
        """At 1024 that wait, of which none is lost; publishing goes on, and so do others."""
        with contextlib.closing(events.subscribe()) as slow, contextlib.closing(events.subscribe()) as other:
            for number in range(MOST):
                events.publish(numbered(number))
            assert (numbers(slow.take()), slow.ended) == (list(range(MOST)), False)
            other.take()
            for number in range(MOST + 1):
                events.publish(numbered(number))
                assert number < MOST or not slow.ended
                other.take()
            assert numbers(slow.take()) == list(range(MOST))
            assert (slow.ended, readable(slow)) == (True, True)
            events.publish(numbered(7))
            assert (slow.take(), numbers(other.take()), other.ended) == ((), [7], False)

    def test_closing(self, events: Events) -> None:
        """Gives the descriptor back, as often as one likes; publishing doesn't mind."""
        reader = events.subscribe()
        fd = reader.fileno()
        reader.close()
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(fd)
        reader.close()
        events.publish(numbered(0))
        assert (reader.take(), reader.ended) == ((), True)

    def test_the_end_of_the_service_ends_its_readers(self, events: Events) -> None:
        """What waits can still be taken; who comes later gets the past and the end."""
        leave = getattr(events, "__exit__", None)
        if leave is None:
            pytest.skip("this part isn't closed")
        with contextlib.closing(events.subscribe()) as reader:
            events.publish(numbered(0))
            leave(None, None, None)
            assert (readable(reader), reader.ended) == (True, False)
            assert (numbers(reader.take()), reader.ended, readable(reader)) == ([0], True, True)
            events.publish(numbered(1))
            assert reader.take() == ()
        with contextlib.closing(events.subscribe(1)) as late:
            assert readable(late)
            assert numbers(late.take())[:1] == [0]
            assert late.ended

    def test_the_end_wakes_who_waits(self, events: Events) -> None:
        """A thread that waits for the descriptor."""
        leave = getattr(events, "__exit__", None)
        if leave is None:
            pytest.skip("this part isn't closed")
        with contextlib.closing(events.subscribe()) as reader:
            threading.Timer(0.02, leave, (None, None, None)).start()
            assert readable(reader, PATIENCE_S)
            assert (reader.take(), reader.ended) == ((), True)

    def test_nothing_is_lost_between_past_and_present(self, events: Events) -> None:
        """However many publish meanwhile: a reader that begins with the past misses none, and gets none twice."""
        stop = threading.Event()

        def publish() -> None:
            for number in itertools.count():
                events.publish(numbered(number))
                if stop.wait(0.0001):
                    return

        publisher = threading.Thread(target=publish)
        publisher.start()
        try:
            for _ in range(5):
                with contextlib.closing(events.subscribe(1)) as reader:
                    found = following(reader, KEPT + 30)
                    assert found == list(range(found[0], found[0] + len(found)))
        finally:
            stop.set()
            publisher.join()

    def test_many_publish_at_once(self, events: Events) -> None:
        """Each is told once, to all in the same order."""
        with contextlib.closing(events.subscribe()) as one, contextlib.closing(events.subscribe()) as other:

            def publish(first: int) -> None:
                for number in range(first, first + 50):
                    events.publish(numbered(number))

            threads = [threading.Thread(target=publish, args=[first]) for first in (0, 100, 200, 300)]
            for each in threads:
                each.start()
            for each in threads:
                each.join(PATIENCE_S)
            found, too = numbers(one.take()), numbers(other.take())
        assert sorted(found) == [at + n for at in (0, 100, 200, 300) for n in range(50)]
        assert found == too
