"""Work in a few threads whose progress one caller follows; the first failure, or its leaving, ends all of it."""

import queue
import threading
from collections.abc import Callable, Iterator, Sequence

from moby.contracts.images import Progress

__all__ = ["Crew", "GivenUp", "Job", "Tell"]

Tell = Callable[[Progress], None]
Job = Callable[[Tell], None]


class GivenUp(Exception):
    """Nobody waits for this work any more; never seen outside."""


class Crew:
    """Does jobs, each at most so many at once; `check` is called by jobs wherever they can end."""

    def __init__(self) -> None:
        self._ended = threading.Event()
        self._told: queue.SimpleQueue[Progress | None] = queue.SimpleQueue()

    def check(self) -> None:
        """Raise GivenUp where nobody waits any more."""
        if self._ended.is_set():
            raise GivenUp

    def wait(self, seconds: float) -> None:
        """Wait so long, or until nobody waits any more, which raises GivenUp."""
        if self._ended.wait(seconds):
            raise GivenUp

    def work(self, *groups: tuple[int, Sequence[Job]]) -> Iterator[Progress]:
        """Yield what the jobs of all groups tell, each group in so many threads; raise what failed first.

        All threads have ended when this does, however it ends.
        """
        from concurrent.futures import Future, ThreadPoolExecutor  # with logging, which a start needn't wait for

        pools = [ThreadPoolExecutor(threads) for threads, jobs in groups if jobs]
        futures: list[Future[None]] = []
        try:
            for pool, (_, jobs) in zip(pools, [each for each in groups if each[1]], strict=True):
                futures += [pool.submit(self._do, job) for job in jobs]
            left = len(futures)
            while left:
                told = self._told.get()
                if told is not None:
                    yield told
                    continue
                left -= 1
        finally:
            self._ended.set()
            for pool in pools:
                pool.shutdown(cancel_futures=True)
        failures = [each.exception() for each in futures if not each.cancelled()]
        for error in failures:
            if error is not None and not isinstance(error, GivenUp):
                raise error

    def _do(self, job: Job) -> None:
        try:
            self.check()
            job(self._told.put)
        except BaseException:
            self._ended.set()
            raise
        finally:
            self._told.put(None)
