"""Signals that wait for a step that must not be left half-way."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["deferred"]

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def deferred() -> Iterator[None]:
    """Hold back signals that end the process until the block is done; a second one gets through at once.

    Between a part's start and the note that it must be stopped, a signal would leave it started for ever.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread is interrupted by signals
        return
    before = {number: signal.getsignal(number) for number in ENDING}
    held: list[int] = []

    def hold(number: int, frame: FrameType | None) -> None:
        handler = before[signal.Signals(number)]
        if held and callable(handler):
            handler(number, frame)
        held.append(number)

    handled = [number for number, handler in before.items() if callable(handler)]
    for number in handled:
        signal.signal(number, hold)
    try:
        yield
    finally:
        for number in handled:
            signal.signal(number, before[number])
        if held:
            signal.raise_signal(held[0])
