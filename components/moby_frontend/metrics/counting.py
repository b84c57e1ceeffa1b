"""Counts what happens in the engine, by a thread that follows the events."""

import os
import select
import threading
from collections import Counter
from collections.abc import Mapping

from moby.contracts.events import Events, Subscription

__all__ = ["EventCounts"]


class EventCounts:
    """How often what has happened, from `start` to `close`."""

    def __init__(self, events: Events) -> None:
        self._events = events
        self._counts: Counter[tuple[str, str]] = Counter()
        self._lock = threading.Lock()
        self._end = -1
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Count from now on."""
        self._end = os.eventfd(0, os.EFD_CLOEXEC)
        subscription = self._events.subscribe()
        self._thread = threading.Thread(target=self._count, args=(subscription,), name="metrics", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Count no more; a repeated call does nothing."""
        thread, self._thread = self._thread, None
        if thread is not None:
            os.eventfd_write(self._end, 1)
            thread.join()
            os.close(self._end)

    def now(self) -> Mapping[tuple[str, str], int]:
        """Return the counts by type and action."""
        with self._lock:
            return dict(self._counts)

    def _count(self, subscription: Subscription) -> None:
        poll = select.poll()
        poll.register(self._end, select.POLLIN)
        while True:
            poll.register(subscription.fileno(), select.POLLIN)
            ready = {fd for fd, _ in poll.poll()}
            with self._lock:
                for each in subscription.take():
                    # Of `exec_create: sh -c ...` what follows has no end of values.
                    self._counts[each.type, each.action.partition(":")[0]] += 1
            if self._end in ready:
                subscription.close()
                return
            if subscription.ended:  # this was too slow: what came meanwhile isn't counted
                poll.unregister(subscription.fileno())
                subscription.close()
                subscription = self._events.subscribe()
