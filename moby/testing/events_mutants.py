"""Mutants of a part that tells of events: each breaks one promise, and names the test that must see it."""

import os
import time
from collections.abc import Callable, Iterator
from typing import Any

from moby.contracts.events import Event, Events, Subscription
from moby.testing.mutants import Mutant
from moby.values import evolve

__all__ = ["MUTANTS"]


class _Broken:
    """Passes everything on; subclasses break one promise each."""

    def __init__(self, events: Events) -> None:
        self.events = events

    def __exit__(self, *error: object) -> None:
        self.events.__exit__(*error)  # type: ignore[attr-defined]

    def publish(self, event: Event) -> None:
        """Pass on."""
        self.events.publish(event)

    def subscribe(self, since_ns: int = 0, wanted: Callable[[Event], bool] | None = None) -> Subscription:
        """Pass on."""
        return self.events.subscribe(since_ns, wanted)

    def past(self, since_ns: int, until_ns: int) -> Iterator[Event]:
        """Pass on."""
        return self.events.past(since_ns, until_ns)


class _Reader:
    """A subscription that passes everything on."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def fileno(self) -> int:
        return int(self.inner.fileno())

    def take(self) -> tuple[Event, ...]:
        found: tuple[Event, ...] = self.inner.take()
        return found

    @property
    def ended(self) -> bool:
        return bool(self.inner.ended)

    def close(self) -> None:
        self.inner.close()


def _with(reader: type[_Reader]) -> Callable[[Events], Events]:
    class Wrapped(_Broken):
        def subscribe(self, since_ns: int = 0, wanted: Callable[[Event], bool] | None = None) -> Subscription:
            return reader(self.events.subscribe(since_ns, wanted))

    Wrapped.__name__ = reader.__name__
    return Wrapped


class _TakesNewestFirst(_Reader):
    def take(self) -> tuple[Event, ...]:
        return self.inner.take()[::-1]  # type: ignore[no-any-return]


class _TakesAgain(_Reader):
    kept: tuple[Event, ...] = ()

    def take(self) -> tuple[Event, ...]:
        self.kept = self.inner.take() or self.kept
        return self.kept


class _AlwaysReadable(_Reader):
    def __init__(self, inner: Any) -> None:
        super().__init__(inner)
        self.fd = os.eventfd(1)

    def fileno(self) -> int:
        return self.fd

    def close(self) -> None:
        os.close(self.fd)
        super().close()


class _OtherDescriptors(_Reader):
    def __init__(self, inner: Any) -> None:
        super().__init__(inner)
        self.fds: list[int] = []

    def fileno(self) -> int:
        self.fds.append(os.dup(self.inner.fileno()))
        return self.fds[-1]

    def close(self) -> None:
        for fd in self.fds:
            os.close(fd)
        self.fds.clear()
        super().close()


class _EndsWithoutTaking(_Reader):
    @property
    def ended(self) -> bool:
        return bool(getattr(self.inner, "_last"))  # noqa: B009  # of the part that is wrapped


class _ForgetsTheEnd(_Reader):
    @property
    def ended(self) -> bool:
        return False


class _KeepsDescriptor(_Reader):
    def close(self) -> None:
        return None


class _ClosesOnce(_Reader):
    def close(self) -> None:
        fd = self.inner.fileno()
        self.inner.close()
        os.close(fd)


class _Takes10(_Reader):
    """Says that it waits no more though more is there."""

    def take(self) -> tuple[Event, ...]:
        return self.inner.take()[:10]  # type: ignore[no-any-return]


class _TellsOfThePast(_Broken):
    def subscribe(self, since_ns: int = 0, wanted: Callable[[Event], bool] | None = None) -> Subscription:
        return self.events.subscribe(since_ns or 1, wanted)


class _NoPast(_Broken):
    def subscribe(self, since_ns: int = 0, wanted: Callable[[Event], bool] | None = None) -> Subscription:
        return self.events.subscribe(0, wanted)


class _LateBySomething(_Broken):
    """Leaves the first moment out."""

    def subscribe(self, since_ns: int = 0, wanted: Callable[[Event], bool] | None = None) -> Subscription:
        return self.events.subscribe(since_ns and since_ns + 1, wanted)

    def past(self, since_ns: int, until_ns: int) -> Iterator[Event]:
        return self.events.past(since_ns + 1, until_ns)


class _ExcludesUntil(_Broken):
    def past(self, since_ns: int, until_ns: int) -> Iterator[Event]:
        return self.events.past(since_ns, until_ns - 1)


class _SetsAllTimes(_Broken):
    def publish(self, event: Event) -> None:
        self.events.publish(evolve(event, time_ns=0))


class _SetsNoTime(_Broken):
    def publish(self, event: Event) -> None:
        self.events.publish(evolve(event, time_ns=event.time_ns or 1))


class _SharesAttributes(_Broken):
    def publish(self, event: Event) -> None:
        given = event.attributes

        class Live(dict[str, str]):
            def __eq__(self, other: object) -> bool:
                return given == other

            __hash__ = None

            def copy(self) -> "Live":
                return self

        self.events.publish(event)
        kept = self.events._kept[-1]  # type: ignore[attr-defined]
        object.__setattr__(kept, "attributes", Live())


class _WantsAll(_Broken):
    def subscribe(self, since_ns: int = 0, wanted: Callable[[Event], bool] | None = None) -> Subscription:
        return self.events.subscribe(since_ns)


class _ChoosesLive(_Broken):
    """Chooses of what comes, and replays all."""

    def subscribe(self, since_ns: int = 0, wanted: Callable[[Event], bool] | None = None) -> Subscription:
        until = time.time_ns()
        now = [False]

        def choose(event: Event) -> bool:
            return not now[0] or wanted is None or wanted(event)

        found = self.events.subscribe(since_ns, choose)
        now[0] = bool(until)
        return found


class _RaisesWhatChooses(_Broken):
    def __init__(self, events: Events) -> None:
        super().__init__(events)
        self.wanted: list[Callable[[Event], bool]] = []

    def publish(self, event: Event) -> None:
        for each in self.wanted:
            each(event)
        self.events.publish(event)

    def subscribe(self, since_ns: int = 0, wanted: Callable[[Event], bool] | None = None) -> Subscription:
        self.wanted += [wanted] if wanted else []
        return self.events.subscribe(since_ns, wanted)


class _NeverEnds(_Broken):
    def __exit__(self, *error: object) -> None:
        return None


class _Gap(_Broken):
    """Reads the past first, and begins to follow later."""

    def subscribe(self, since_ns: int = 0, wanted: Callable[[Event], bool] | None = None) -> Subscription:
        past = list(self.events.past(since_ns, 1 << 62)) if since_ns else []
        until = time.monotonic() + 1
        while past and [*self.events.past(since_ns, 1 << 62)] == past and time.monotonic() < until:
            time.sleep(0.001)
        inner = self.events.subscribe(0, wanted)

        class Late(_Reader):
            def fileno(self) -> int:
                return self.inner.fileno() if not past else ready

            def take(self) -> tuple[Event, ...]:
                found = (*past, *self.inner.take())
                past.clear()
                return found

            def close(self) -> None:
                os.close(ready)
                super().close()

        ready = os.eventfd(1)
        return Late(inner)


class _TellsTwice(_Broken):
    def publish(self, event: Event) -> None:
        self.events.publish(event)
        if int(event.id) % 10 == 3:
            self.events.publish(event)


class _Unbounded(_Broken):
    """Drops nobody."""

    def subscribe(self, since_ns: int = 0, wanted: Callable[[Event], bool] | None = None) -> Subscription:
        inner = self.events.subscribe(since_ns, wanted)
        waiting: list[Event] = []

        class Patient(_Reader):
            def take(self) -> tuple[Event, ...]:
                found = (*waiting, *self.inner.take())
                waiting.clear()
                return found

        reader = Patient(inner)
        offer = inner.offer  # type: ignore[attr-defined]

        def patient(event: Event) -> bool:
            if len(inner._waiting) >= 1000:  # type: ignore[attr-defined]
                waiting.extend(inner._waiting)  # type: ignore[attr-defined]
                inner._waiting.clear()  # type: ignore[attr-defined]
            return bool(offer(event))

        inner.offer = patient  # type: ignore[attr-defined]
        return reader


MUTANTS = (
    Mutant(_with(_TakesNewestFirst), "test_all_readers_get_all_in_order"),
    Mutant(_with(_TakesAgain), "test_all_readers_get_all_in_order"),
    Mutant(_TellsOfThePast, "test_all_readers_get_all_in_order"),
    Mutant(_SetsAllTimes, "test_time_is_set_where_there_is_none"),
    Mutant(_SetsNoTime, "test_time_is_set_where_there_is_none"),
    Mutant(_SharesAttributes, "test_attributes_are_a_copy"),
    Mutant(_with(_AlwaysReadable), "test_the_descriptor_tells"),
    Mutant(_with(_OtherDescriptors), "test_the_descriptor_tells"),
    Mutant(_with(_AlwaysReadable), "test_one_reader_takes_from_no_other"),
    Mutant(_NoPast, "test_the_last_256_are_replayed"),
    Mutant(_LateBySomething, "test_the_last_256_are_replayed"),
    Mutant(_with(_Takes10), "test_the_last_256_are_replayed"),
    Mutant(_LateBySomething, "test_past"),
    Mutant(_ExcludesUntil, "test_past"),
    Mutant(_WantsAll, "test_wanted_chooses"),
    Mutant(_ChoosesLive, "test_wanted_chooses"),
    Mutant(_RaisesWhatChooses, "test_a_reader_that_fails_to_choose"),
    Mutant(_WantsAll, "test_a_reader_that_fails_to_choose"),
    Mutant(_Unbounded, "test_a_slow_reader_is_dropped"),
    Mutant(_with(_ForgetsTheEnd), "test_a_slow_reader_is_dropped"),
    Mutant(_with(_EndsWithoutTaking), "test_a_slow_reader_is_dropped"),
    Mutant(_with(_KeepsDescriptor), "test_closing"),
    Mutant(_with(_ClosesOnce), "test_closing"),
    Mutant(_NeverEnds, "test_the_end_of_the_service_ends_its_readers"),
    Mutant(_with(_EndsWithoutTaking), "test_the_end_of_the_service_ends_its_readers"),
    Mutant(_with(_ForgetsTheEnd), "test_the_end_wakes_who_waits"),
    Mutant(_Gap, "test_nothing_is_lost_between_past_and_present"),
    Mutant(_TellsTwice, "test_many_publish_at_once"),
)
