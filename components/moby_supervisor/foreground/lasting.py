"""Threads that last: the kernel tells a child of its parent's death when the *thread* ends that made it (prctl(2))."""

import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

__all__ = ["Lasting"]

T = TypeVar("T")


class Lasting:
    """Has things done by a thread that lasts as long as the process, or until `close`. Thread-safe.

    That is the main thread where it calls; else one of as many as there ever were calls at once.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: list[_Thread] = []

    def call(self, work: Callable[[], T]) -> T:
        """Do it, and return or raise what comes of it."""
        if threading.current_thread() is threading.main_thread():
            return work()
        with self._lock:
            thread = self._idle.pop() if self._idle else _Thread()
        try:
            return thread.call(work)
        finally:
            with self._lock:
                self._idle.append(thread)

    def close(self) -> None:
        """End them, and with them what was made by them; wants no call under way."""
        with self._lock:
            ended, self._idle = self._idle, []
        for each in ended:
            each.end()


class _Thread:
    def __init__(self) -> None:
        self._asked: SimpleQueue[_Work[Any] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="lasting", daemon=True)
        self._thread.start()

    def call(self, work: Callable[[], T]) -> T:
        asked = _Work(work)
        self._asked.put(asked)
        return asked.result()

    def end(self) -> None:
        self._asked.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (asked := self._asked.get()) is not None:
            asked.do()
            del asked  # else what it holds lasts as well


class _Work(Generic[T]):
    def __init__(self, work: Callable[[], T]) -> None:
        self._work = work
        self._done: SimpleQueue[tuple[T | None, BaseException | None]] = SimpleQueue()

    def do(self) -> None:
        try:
            self._done.put((self._work(), None))
        except BaseException as error:
            self._done.put((None, error))

    def result(self) -> T:
        found, error = self._done.get()
        if error is not None:
            raise error
        return found  # type: ignore[return-value]  # as there is no error
