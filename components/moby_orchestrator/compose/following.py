"""What containers say, each line with who said it."""

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

from moby.errors import MobyError
from moby_orchestrator.compose.calling import Engine
from moby_orchestrator.compose.files.project import Project
from moby_orchestrator.compose.observed import Container, containers

__all__ = ["Following", "Lines", "frames"]

_HEAD = 8
_COLOURS = (36, 33, 32, 35, 34, 96, 93, 92, 95, 94)


def frames(answer: Any, *, terminal: bool) -> Iterator[bytes]:
    """Yield the output in an answer, taken out of its frames where it has them."""
    while True:
        if terminal:
            data = answer.read1(65536)
        else:
            head = answer.read(_HEAD)
            data = answer.read(int.from_bytes(head[4:_HEAD], "big")) if len(head) == _HEAD else b""
        if not data:
            return
        yield data


class Lines:
    """Prints lines of several containers, none in the middle of another's."""

    def __init__(self, *, prefix: bool) -> None:
        self._prefix = prefix
        self._lock = threading.Lock()
        self._names: list[str] = []
        self._out = sys.stdout

    def add(self, name: str) -> None:
        """Make room for a name."""
        if name not in self._names:
            self._names.append(name)

    def copy(self, name: str, pieces: Iterator[bytes]) -> None:
        """Print what comes, line by line."""
        rest = b""
        for piece in pieces:
            *whole, rest = (rest + piece).split(b"\n")
            for line in whole:
                self._print(name, line)
        if rest:
            self._print(name, rest)

    def _print(self, name: str, line: bytes) -> None:
        text = line.decode(errors="replace").rstrip("\r")
        head = f"{name:{max(map(len, self._names))}}  | " if self._prefix else ""
        if head and self._out.isatty():
            head = f"\x1b[{_COLOURS[self._names.index(name) % len(_COLOURS)]}m{head}\x1b[0m"
        with self._lock:
            self._out.write(f"{head}{text}\n")
            self._out.flush()


class Following:
    """An `up` that isn't left: shows what containers say until they have ended, or until it is interrupted."""

    def __init__(self, engine: Engine, project: Project, *, prefix: bool) -> None:
        self._engine, self._project = engine, project
        self._lines = Lines(prefix=prefix)
        self._ended = threading.Event()
        self._left = 0
        self._lock = threading.Lock()
        self._abort = False

    def until_end(self, begin: Callable[[], None], stop: Callable[[], None], *, abort: bool) -> int:
        """Start, show, and stop at SIGINT and SIGTERM; return 130 for those."""
        self._abort = abort
        interrupted = threading.Event()

        def handle(*_: Any) -> None:
            interrupted.set()
            self._ended.set()

        before = {each: signal.signal(each, handle) for each in (signal.SIGINT, signal.SIGTERM)}
        try:
            mine = [each for each in containers(self._engine, self._project.name) if self._shown(each)]
            for each in mine:
                self._lines.add(each.name.removeprefix(f"{self._project.name}-"))
            self._left = len(mine)
            begin()
            threads = [threading.Thread(target=self._follow, args=(each,), daemon=True) for each in mine]
            for thread in threads:
                thread.start()
            while mine and not self._ended.wait(0.5):
                pass
            if interrupted.is_set() or abort:
                stop()
            for thread in threads:
                thread.join(5)
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        return 130 if interrupted.is_set() else 0

    def _shown(self, each: Container) -> bool:
        service = self._project.services.get(each.service)
        return service is not None and service.get("attach", True)

    def _follow(self, each: Container) -> None:
        name = each.name.removeprefix(f"{self._project.name}-")
        query = {"stdout": True, "stderr": True, "follow": True}
        with suppress(MobyError):  # it was removed meanwhile
            found = self._engine.get("containers", each.id, "json")
            terminal = found["Config"]["Tty"]
            with self._engine.open("GET", ("containers", each.id, "logs"), query, None) as answer:
                self._lines.copy(name, frames(answer, terminal=terminal))
            code = self._engine.post("containers", each.id, "wait")["StatusCode"]
            self._lines.copy(name, iter([f"{name} exited with code {code}\n".encode()]))
        with self._lock:
            self._left -= 1
            if self._left == 0 or self._abort:
                self._ended.set()
