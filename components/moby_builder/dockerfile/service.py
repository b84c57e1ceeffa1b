"""The builder: opens builds, and looks after what they leave for the next ones."""

import fcntl
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING

from moby.contracts.ambient import Place
from moby.contracts.builder import CacheEntry, Event, Keep, Reclaimed, Session
from moby.errors import MobyError, Unavailable
from moby_builder.dockerfile.parts import Parts, Policy

if TYPE_CHECKING:
    from moby_builder.dockerfile.building import Building
    from moby_builder.dockerfile.workshop import Workshop

__all__ = ["Service"]

_BETWEEN_NS = 600 * 10**9
"""Between two collections of what isn't to be kept, which look at all that is."""


class Service:
    """Builds side by side. Thread-safe, also against other processes on the same folders.

    What builds need is imported and put together once somebody asks, since many an engine never builds.
    """

    def __init__(self, parts: Parts, policy: Policy) -> None:
        self._parts = parts
        self._policy = policy
        self._lock = threading.RLock()
        self._made: Workshop | None = None
        self._builds: dict[Building, int] = {}
        self._leaving = False
        self._swept = False
        self._collector: threading.Thread | None = None

    def __enter__(self) -> "Service":
        """Remove what killed builds left on the host; the rest is looked at before the first build."""
        self._leaving = False
        if _left_behind(self._parts.place):
            self.reclaim()
        return self

    def __exit__(self, *_: object) -> None:
        """End all builds; what they made is kept."""
        with self._lock:
            self._leaving = True
            builds, collector, made = tuple(self._builds), self._collector, self._made
        with ExitStack() as last:
            if made is not None:
                last.callback(made.close)
            if collector is not None:
                last.callback(collector.join)
            for each in builds:
                last.callback(each.close)
            for each in builds:
                each.cancel()

    def reclaim(self) -> None:
        """Give back what killed builds had, unless another process builds."""
        with self._lock, _alone(self._parts.place) as got:
            if got:
                self._workshop().sweep()
                self._swept = True

    def open(self, session: Session, tell: Callable[[Event], None]) -> "Building":
        """Begin a build."""
        from moby_builder.dockerfile.building import Building

        with self._lock:
            if self._leaving:
                raise Unavailable("the builder ends", hint="build again once the engine is up")
            if not self._swept:
                self.reclaim()
            shop = self._workshop()
            lock = _opened(self._parts.place)
            fcntl.flock(lock, fcntl.LOCK_SH)
            lease = shop.leases.open()
            build = Building(shop.tools, session, shop.doing(session, lease), lease, tell, self._ended)
            self._builds[build] = lock
            return build

    def usage(self) -> tuple[CacheEntry, ...]:
        """Return all that is kept."""
        return () if self._has_nothing() else self._workshop().pruning.usage()

    def prune(self, keep: Keep) -> Reclaimed:
        """Remove what is kept and in no use."""
        return self._workshop().pruning.prune(keep)

    def _has_nothing(self) -> bool:
        """Whether nobody has built here yet, which can be told without putting a workshop together."""
        from moby_builder.dockerfile.solver.records import Records

        return self._made is None and not any(self._parts.place.state.iterdir()) and not Records(self._parts.metadata)

    def _workshop(self) -> "Workshop":
        from moby_builder.dockerfile.workshop import Workshop

        with self._lock:
            if self._made is None:
                self._made = Workshop.of(self._parts, self._policy)
            return self._made

    def _ended(self, build: "Building") -> None:
        with self._lock:
            os.close(self._builds.pop(build))
            if self._policy.collect and not self._leaving and self._is_due():
                self._collector = threading.Thread(target=self._collect, name="builder-collector", daemon=True)
                self._collector.start()

    def _is_due(self) -> bool:
        """Whether nobody has collected for long, in whatever process; then somebody does now."""
        mark = self._parts.place.state / "collected"
        with suppress(FileNotFoundError):
            if self._parts.clock.now_ns() - mark.stat().st_mtime_ns < _BETWEEN_NS:
                return False
        mark.touch()
        return True

    def _collect(self) -> None:
        """Remove what isn't to be kept; nobody waits for it."""
        shop = self._workshop()
        try:
            for each in shop.rules():
                shop.pruning.prune(each, lambda: self._leaving)
        except (MobyError, OSError) as error:
            self._parts.log.warning("what builds keep can't be collected", error=str(error))


def _left_behind(place: Place) -> bool:
    """Whether a killed build may have left something on the host."""
    mounts = place.run / "mounts"
    return mounts.is_dir() and any(mounts.iterdir())


@contextmanager
def _alone(place: Place) -> Iterator[bool]:
    """Have the builder to oneself; False where somebody builds."""
    lock = _opened(place)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        got = True
    except BlockingIOError:
        got = False
    try:
        yield got
    finally:
        os.close(lock)


def _opened(place: Place) -> int:
    place.run.mkdir(mode=0o700, parents=True, exist_ok=True)
    return os.open(place.run / "builder.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
