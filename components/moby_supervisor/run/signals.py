"""Signals that this process gets: first they end what it does, then they are handed on."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType, TracebackType
from typing import Self

__all__ = ["FORWARDED", "Interrupted", "Signals"]

FORWARDED = (
    signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGWINCH,
)  # fmt: skip
_ENDING = frozenset({signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM})


class Interrupted(Exception):  # it is no error, and must pass through `except MobyError`
    """A signal came before there was a container to hand it to."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


class Signals:
    """Takes the process's signals over while it is entered; main thread only.

    An ending signal raises Interrupted in the main thread, until `hold` is called. From then on signals queue up
    behind `descriptor`, which polls readable, and `take` returns them.
    """

    def __init__(self) -> None:
        self.descriptor, self._written = os.pipe()
        os.set_blocking(self.descriptor, False)
        os.set_blocking(self._written, False)
        self._raising = True
        self._deferred = False
        self._late = 0
        self._before: dict[int, object] = {}

    def __enter__(self) -> Self:
        # The C handler itself writes here, so that a signal between two system calls wakes the next poll.
        self._wakeup_before = signal.set_wakeup_fd(self._written, warn_on_full_buffer=False)
        for number in (*FORWARDED, signal.SIGALRM):
            # Who started us may have had one ignored (nohup(1)); that is for us to keep to.
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._arrived)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]  # it is what signal.signal returned
        signal.set_wakeup_fd(self._wakeup_before)
        os.close(self.descriptor)
        os.close(self._written)

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Let a signal wait for the end of the block: for what must not be left without a note that it is to go."""
        self._deferred = True
        try:
            yield
        finally:
            self._deferred = False
        if self._late and self._raising:
            self._raising = False
            raise Interrupted(self._late)

    def hold(self) -> None:
        """From now on queue signals, and raise none."""
        self._raising = False

    def hears(self, number: int) -> bool:
        """Whether a signal is taken over; one that is ignored isn't."""
        return number in self._before

    def alarm(self, seconds: float) -> None:
        """Let SIGALRM come once after a time, in place of one that was to come."""
        signal.setitimer(signal.ITIMER_REAL, seconds)

    def take(self) -> tuple[int, ...]:
        """Return the signals that have come, in order."""
        with suppress(BlockingIOError):
            return tuple(each for each in os.read(self.descriptor, 4096) if each in self._before)
        return ()

    def _arrived(self, number: int, frame: FrameType | None) -> None:
        if not self._raising or number not in _ENDING:
            return
        if self._deferred:
            self._late = number
        else:
            self._raising = False
            raise Interrupted(number)
