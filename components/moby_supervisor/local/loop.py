"""One thread that waits for all descriptors and times at once, and the calls that go on in it side by side."""

import heapq
import os
import select
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from contextlib import suppress
from itertools import count
from typing import Any, Generic, TypeVar

from moby.contracts.ambient import Clock, Log
from moby.errors import MobyError

__all__ = ["Loop", "Promise", "Timer", "Turns"]

T = TypeVar("T")
Handler = Callable[[int], object]


class Promise(Generic[T]):
    """What a call waits for: a value or an error that comes later."""

    __slots__ = ("_error", "_value", "_waiting", "done")

    def __init__(self) -> None:
        self.done = False
        self._value: T | None = None
        self._error: BaseException | None = None
        self._waiting: list[Callable[[], object]] = []

    def set(self, value: T) -> None:
        """Say what it is; only the first word counts."""
        self._settle(value, None)

    def fail(self, error: BaseException) -> None:
        """Say why there is none."""
        self._settle(None, error)

    def _settle(self, value: T | None, error: BaseException | None) -> None:
        if self.done:
            return
        self.done, self._value, self._error = True, value, error
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            each()

    def then(self, callback: Callable[[], object]) -> None:
        """Call back when it is known, at once where it is."""
        if self.done:
            callback()
        else:
            self._waiting.append(callback)

    def result(self) -> T:
        """Return the value, or raise the error."""
        if self._error is not None:
            raise self._error
        return self._value  # type: ignore[return-value]

    def __await__(self) -> Generator["Promise[T]", None, T]:
        if not self.done:
            yield self
        return self.result()


class Timer:
    """Something to be done at a time, until it is cancelled."""

    __slots__ = ("callback",)

    def __init__(self, callback: Callable[[], object]) -> None:
        self.callback: Callable[[], object] | None = callback

    def cancel(self) -> None:
        """Do nothing at that time."""
        self.callback = None


class Turns:
    """Lets one call at a time in; the others wait in their order."""

    def __init__(self) -> None:
        self._taken = False
        self._waiting: deque[Promise[None]] = deque()

    async def __aenter__(self) -> None:
        if self._taken:
            mine: Promise[None] = Promise()
            self._waiting.append(mine)
            await mine
        self._taken = True

    async def __aexit__(self, *error: object) -> None:
        # It stays taken where it is handed over, so that nobody gets in between.
        if self._waiting:
            self._waiting.popleft().set(None)
        else:
            self._taken = False


class Loop:
    """Waits and calls back. All but `submit` is for its own thread."""

    def __init__(self, clock: Clock, log: Log) -> None:
        self._clock = clock
        self._log = log
        self._epoll = select.epoll()
        self._handlers: dict[int, Handler] = {}
        self._ready: deque[Callable[[], object]] = deque()
        self._submitted: deque[Callable[[], object]] = deque()
        self._timers: list[tuple[int, int, Timer]] = []
        self._numbers = count()
        self._woken = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self.watch(self._woken, select.EPOLLIN, self._take_submitted)

    def close(self) -> None:
        """Let go of what it waits with."""
        self._epoll.close()
        os.close(self._woken)

    # --- descriptors and times ----------------------------------------------------------------------------------

    def watch(self, fd: int, events: int, handler: Handler) -> None:
        """Call `handler` with what has happened to a descriptor, each turn, in place of an earlier handler.

        It is to be forgotten before it is closed: copies in other processes would keep it being told.
        """
        if fd in self._handlers:
            self._epoll.modify(fd, events)
        else:
            self._epoll.register(fd, events)
        self._handlers[fd] = handler

    def forget(self, fd: int) -> None:
        """Watch a descriptor no more; fine where nobody does."""
        if self._handlers.pop(fd, None) is not None:
            with suppress(OSError):
                self._epoll.unregister(fd)

    def watches(self, fd: int) -> bool:
        """Whether a descriptor is watched."""
        return fd in self._handlers

    def after(self, delay_s: float, callback: Callable[[], object]) -> Timer:
        """Call back once, when a time has passed."""
        timer = Timer(callback)
        due = self._clock.monotonic_ns() + max(0, int(delay_s * 1e9))
        heapq.heappush(self._timers, (due, next(self._numbers), timer))
        return timer

    async def readable(self, fd: int, timeout_s: float | None = None) -> bool:
        """Wait until a descriptor is readable or at its end; False where it isn't in time."""
        found: Promise[bool] = Promise()
        timer = self.after(timeout_s, lambda: found.set(False)) if timeout_s is not None else None
        self.watch(fd, select.EPOLLIN, lambda events: found.set(True))
        try:
            return await found
        finally:
            self.forget(fd)
            if timer is not None:
                timer.cancel()

    async def sleep(self, delay_s: float) -> None:
        """Wait for a time."""
        woken: Promise[None] = Promise()
        self.after(delay_s, lambda: woken.set(None))
        await woken

    # --- calls --------------------------------------------------------------------------------------------------

    def start(self, coroutine: Coroutine[Any, Any, T]) -> Promise[T]:
        """Begin a call; what it comes to is promised."""
        outcome: Promise[T] = Promise()
        self._step(coroutine, outcome)
        return outcome

    def background(self, coroutine: Coroutine[Any, Any, object], what: str) -> None:
        """Begin what nobody waits for; should it fail, the log says so."""
        outcome = self.start(coroutine)

        def told() -> None:
            try:
                outcome.result()
            except MobyError as error:
                self._log.warning(f"{what}: {error.message}")
            except Exception as error:
                self._log.error(f"{what}: a bug", error=repr(error))

        outcome.then(told)

    def _step(self, coroutine: Coroutine[Any, Any, T], outcome: Promise[T]) -> None:
        try:
            waited = coroutine.send(None)
        except StopIteration as end:
            outcome.set(end.value)
        except Exception as error:
            outcome.fail(error)
        else:
            waited.then(lambda: self._ready.append(lambda: self._step(coroutine, outcome)))

    def submit(self, callback: Callable[[], object]) -> None:
        """Have something called in the loop's own thread; for any thread."""
        self._submitted.append(callback)
        os.eventfd_write(self._woken, 1)

    def _take_submitted(self, events: int) -> None:
        with suppress(BlockingIOError):
            os.eventfd_read(self._woken)
        while self._submitted:
            self._ready.append(self._submitted.popleft())

    # --- turning ------------------------------------------------------------------------------------------------

    def turn(self, longest_s: float | None = None) -> None:
        """Wait until something happens, at most so long, and do all that is to be done then."""
        for fd, events in self._epoll.poll(self._wait_s(longest_s)):
            handler = self._handlers.get(fd)
            if handler is not None:
                self._guarded(lambda handler=handler, events=events: handler(events))  # type: ignore[misc]
        now = self._clock.monotonic_ns()
        while self._timers and (self._timers[0][0] <= now or self._timers[0][2].callback is None):
            callback = heapq.heappop(self._timers)[2].callback
            if callback is not None:
                self._guarded(callback)
        while self._ready:
            self._guarded(self._ready.popleft())

    def _guarded(self, callback: Callable[[], object]) -> None:
        """What fails here is a bug of one container's; the others go on."""
        try:
            callback()
        except Exception as error:
            self._log.error("a step failed by a bug", error=repr(error), trace=_where(error))

    def _wait_s(self, longest_s: float | None) -> float | None:
        if self._ready:
            return 0
        if not self._timers:
            return longest_s
        due_s = max(0.0, (self._timers[0][0] - self._clock.monotonic_ns()) / 1e9)
        return due_s if longest_s is None else min(due_s, longest_s)


def _where(error: BaseException) -> str:
    """Return the last steps to an error, without the imports of traceback."""
    steps, trace = [], error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        steps.append(f"{code.co_filename.rpartition('/')[2]}:{trace.tb_lineno} {code.co_name}")
        trace = trace.tb_next
    return " < ".join(reversed(steps[-6:]))
