"""What has happened to tasks, numbered, on disk before anybody is told."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from moby.contracts.ambient import Log
from moby.contracts.supervisor import EventKind, HealthStatus, TaskEvent
from moby.contracts.types import Exit
from moby.values import evolve

__all__ = ["Journal"]

_FORMAT = 1


class Journal:
    """A file of lines: first the format and the last number that was trimmed, then an entry each."""

    def __init__(self, path: Path, log: Log) -> None:
        self._path = path
        self._log = log
        self._entries: list[TaskEvent] = []
        self._trimmed = 0
        self._watchers: list[tuple[int, Callable[[], object]]] = []
        self._read()
        self._fd = self._written(self._first)

    def close(self) -> None:
        """Let go of the file, which stays."""
        os.close(self._fd)

    @property
    def last(self) -> int:
        """The number of the last entry there has been."""
        return self._entries[-1].number if self._entries else self._trimmed

    def append(self, event: TaskEvent) -> TaskEvent:
        """Write an entry, give it its number, and tell who waits for it. OSError where the disk takes no more."""
        event = evolve(event, number=self.last + 1)
        line = json.dumps(_plain(event)).encode() + b"\n"
        size = os.fstat(self._fd).st_size
        if os.write(self._fd, line) != len(line):
            os.truncate(self._fd, size)
            raise OSError(28, "the disk is full", str(self._path))
        self._entries.append(event)
        self._tell()
        return event

    def after(self, number: int) -> tuple[TaskEvent, ...]:
        """Return the entries after a number, oldest first."""
        return tuple(self._entries[max(0, number - self._first) :])

    @property
    def kept(self) -> int:
        """How many entries nobody has trimmed yet."""
        return len(self._entries)

    @property
    def _first(self) -> int:
        """The number before that of the oldest entry."""
        return self._entries[0].number - 1 if self._entries else self._trimmed

    def knows(self, task_id: str, time_ns: int) -> bool:
        """Whether a task's exit at a time has been written."""
        return any(
            each.kind is EventKind.EXIT
            and each.task_id == task_id
            and each.exit is not None
            and each.exit.time_ns == time_ns
            for each in reversed(self._entries)
        )

    def trim(self, until: int) -> None:
        """Forget the entries up to a number. OSError where the disk takes no more, and nothing is forgotten."""
        until = min(until, self.last)
        if until <= self._first:
            return
        fresh = self._written(until)
        os.close(self._fd)
        self._fd = fresh
        self._entries = [each for each in self._entries if each.number > until]
        self._trimmed = until

    def watch(self, after: int, callback: Callable[[], object]) -> None:
        """Call back, once, when there is an entry after a number; at once where there is one."""
        self._watchers.append((after, callback))
        self._tell()

    def unwatch(self, callback: Callable[[], object]) -> None:
        """Don't call back any more."""
        self._watchers = [each for each in self._watchers if each[1] is not callback]

    def _tell(self) -> None:
        due = [each for each in self._watchers if each[0] < self.last and self._entries]
        self._watchers = [each for each in self._watchers if each not in due]
        for _, callback in due:
            callback()

    def _read(self) -> None:
        try:
            first, *lines = self._path.read_bytes().split(b"\n")
        except FileNotFoundError:
            return
        try:
            self._trimmed = int(json.loads(first)["trimmed"])
            for line in lines[:-1]:  # what follows the last line's end was being written when the process was killed
                event = _event(json.loads(line))
                if event.number != self.last + 1:
                    raise ValueError(f"entry {event.number} comes after {self.last}")
                self._entries.append(event)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            kept = self._path.with_name("journal.damaged")
            kept.write_bytes(b"\n".join([first, *lines]))
            self._log.error("the journal is damaged; what comes after is left out", file=str(kept), error=str(error))

    def _written(self, until: int) -> int:
        """Write what comes after a number anew, in one step; return a descriptor to add to it."""
        fresh = self._path.with_name("journal.new")
        head = json.dumps({"format": _FORMAT, "trimmed": until})
        rest = [json.dumps(_plain(each)) for each in self._entries if each.number > until]
        fresh.write_text("\n".join([head, *rest, ""]), encoding="utf-8")
        fd = os.open(fresh, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        fresh.replace(self._path)
        return fd


def _plain(event: TaskEvent) -> dict[str, Any]:
    found: dict[str, Any] = {"n": event.number, "time": event.time_ns, "kind": event.kind, "task": event.task_id}
    if event.exit is not None:
        found["exit"] = [event.exit.code, event.exit.time_ns, event.exit.oom_killed]
    if event.health is not None:
        found["health"] = event.health
    return found


def _event(data: dict[str, Any]) -> TaskEvent:
    health = HealthStatus(data["health"]) if "health" in data else None
    ended = Exit(*data["exit"]) if "exit" in data else None
    return TaskEvent(int(data["n"]), int(data["time"]), EventKind(data["kind"]), str(data["task"]), ended, health)
