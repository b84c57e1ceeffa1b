"""Follows what the supervisor tells: by its journal, or where it keeps none, by each task's exit."""

import os
import select
import threading
from collections.abc import Callable

from moby.contracts.ambient import Log
from moby.contracts.supervisor import EventKind, Supervisor, TaskEvent
from moby.errors import MobyError, NotFound
from moby_containers.engine.failures import NOT_NOW
from moby_containers.engine.life import Watch

__all__ = ["Exits", "Journal"]

_TRIM_AFTER = 256
_RETRY_MS, _LONGEST_RETRY_MS = 200, 6400


class _Warnings:
    """Logs what goes wrong, once while it does."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._said = ""

    def say(self, what: str, error: Exception) -> None:
        """Log an error, unless it was the last one."""
        if str(error) != self._said:
            self._said = str(error)
            self._log.warning(what, error=self._said)

    def over(self) -> None:
        """Know that it goes well again."""
        self._said = ""


class Journal(Watch):
    """Reads the journal in a thread of its own, from an entry on."""

    def __init__(self, supervisor: Supervisor, handle: Callable[[TaskEvent], None], log: Log) -> None:
        self._supervisor = supervisor
        self._handle = handle
        self._log = log
        self._position = 0
        self._trimmed = 0
        self._wake = -1
        self._thread: threading.Thread | None = None
        self._warnings = _Warnings(log)

    def catch_up(self, position: int) -> None:
        """Deal with all that has happened since an entry, in the caller's thread, or with what can be by now."""
        self._position = self._trimmed = position
        try:
            while self._read():
                pass
        except NOT_NOW as error:
            self._warnings.say("what the supervisor tells can't be written down now", error)

    def open(self) -> None:
        """Go on in a thread."""
        self._wake = os.eventfd(0, os.EFD_CLOEXEC)
        self._thread = threading.Thread(target=self._run, name="containers-journal", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop reading; the entry that is being dealt with is finished."""
        if self._thread is not None:
            os.eventfd_write(self._wake, 1)
            self._thread.join()
            os.close(self._wake)
            self._thread = None

    def _run(self) -> None:
        poll = select.poll()
        poll.register(self._wake, select.POLLIN)
        while True:
            try:
                descriptor = self._supervisor.journal_fd(self._position)
            except (MobyError, OSError) as error:
                self._warnings.say("the supervisor's journal can't be followed now", error)
                if poll.poll(_RETRY_MS):
                    return
                continue
            poll.register(descriptor, select.POLLIN)
            ready = poll.poll()
            poll.unregister(descriptor)
            os.close(descriptor)
            if any(fd == self._wake for fd, _ in ready):
                return
            try:
                self._read()
                self._warnings.over()
            except (MobyError, OSError) as error:
                self._warnings.say("what the supervisor tells can't be dealt with now", error)
                if poll.poll(_RETRY_MS):
                    return

    def _read(self) -> bool:
        """Deal with what is there; False where there was nothing. An entry that can't be now stays the next one."""
        found = self._supervisor.journal(self._position)
        for each in found:
            try:
                self._handle(each)
            except NOT_NOW:
                raise
            except MobyError as error:
                self._log.error("an entry of the journal can't be dealt with", number=each.number, error=str(error))
            self._position = each.number
        if self._position - self._trimmed >= _TRIM_AFTER:
            self._supervisor.trim_journal(self._position)
            self._trimmed = self._position
        return bool(found)


class Exits(Watch):
    """Waits for the end of each task that it is told of."""

    def __init__(self, supervisor: Supervisor, handle: Callable[[TaskEvent], None], log: Log) -> None:
        self._supervisor = supervisor
        self._handle = handle
        self._log = log
        self._epoll = select.epoll()
        self._wake = os.eventfd(0, os.EFD_CLOEXEC)
        self._tasks: dict[int, str] = {}
        self._late: list[TaskEvent] = []
        """Ends that couldn't be written down yet."""
        self._warnings = _Warnings(log)
        self._thread: threading.Thread | None = None

    def watch(self, task_id: str) -> None:
        """Wait for a task."""
        try:
            descriptor = self._supervisor.exit_fd(task_id)
        except NotFound:
            return
        self._tasks[descriptor] = task_id
        self._epoll.register(descriptor, select.EPOLLIN | select.EPOLLONESHOT)

    def catch_up(self, position: int) -> None:
        """Do nothing: there is no past."""

    def open(self) -> None:
        """Begin to wait."""
        self._epoll.register(self._wake, select.EPOLLIN)
        self._thread = threading.Thread(target=self._run, name="containers-exits", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Wait no more."""
        if self._thread is not None:
            os.eventfd_write(self._wake, 1)
            self._thread.join()
            self._thread = None
        for each in (*self._tasks, self._wake):
            os.close(each)
        self._tasks.clear()
        self._epoll.close()

    def _run(self) -> None:
        wait_ms = _RETRY_MS
        while True:
            late, self._late = self._late, []
            for event in late:
                self._take(event)
            wait_ms = min(2 * wait_ms, _LONGEST_RETRY_MS) if self._late else _RETRY_MS // 2
            for descriptor, _ in self._epoll.poll(wait_ms / 1000 if self._late else None):
                if descriptor == self._wake:
                    return
                task = self._tasks.pop(descriptor)
                self._epoll.unregister(descriptor)
                os.close(descriptor)
                try:
                    state = self._supervisor.state(task)
                except (MobyError, OSError) as error:
                    self._log.warning("how a task ended can't be had", task=task, error=str(error))
                    continue
                when = state.exit.time_ns if state.exit else 0
                self._take(TaskEvent(0, when, EventKind.EXIT, task, exit=state.exit))

    def _take(self, event: TaskEvent) -> None:
        """Deal with an end, or keep it for later."""
        try:
            self._handle(event)
            self._warnings.over()
        except NOT_NOW as error:
            self._late.append(event)
            self._warnings.say(f"the end of {event.task_id} can't be written down now", error)
        except MobyError as error:
            self._log.error("an end can't be dealt with", task=event.task_id, error=str(error))
