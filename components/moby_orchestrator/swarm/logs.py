"""The output of a service's tasks, as one stream."""

import os
import select
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress

from moby.contracts.containers import Containers
from moby.contracts.log_driver import LogQuery, frame
from moby.contracts.orchestrator import Task
from moby.contracts.types import Fd
from moby.errors import MobyError, NotFound
from moby.values import evolve
from moby_orchestrator.swarm import finding
from moby_orchestrator.swarm.containering import NODE_ID, SERVICE_ID, TASK_ID
from moby_orchestrator.swarm.store import Store
from moby_orchestrator.swarm.world import World

__all__ = ["Logs"]

_HEADER = 8
_LOOK_MS = 1000
"""How often one who follows is given the output of tasks that came since."""
_CHUNK = 1 << 16


class Logs:
    """Reads tasks' logs side by side, each on its way to the caller in whole records."""

    def __init__(self, containers: Containers, store: Store) -> None:
        self._containers, self._store = containers, store

    def read(self, name: str, query: LogQuery) -> Fd:
        """Return a descriptor to read from; NotFound where nothing is called so."""
        wanted = _wanted(name, self._store.world())
        reader, writer = os.pipe2(os.O_CLOEXEC)
        merging = _Merging(self._containers, query, writer)
        try:
            merging.add(wanted(self._store.world()))
        except BaseException:
            os.close(reader)
            merging.close()
            raise

        def more() -> Sequence[Task]:
            try:
                return wanted(self._store.world())
            except MobyError:  # no manager any more
                return ()

        threading.Thread(target=merging.run, args=(more,), name="swarm-logs", daemon=True).start()
        return reader


def _wanted(name: str, world: World) -> Callable[[World], Sequence[Task]]:
    """Return what finds a service's tasks, or the one task that is called so."""
    try:
        service_id = finding.service(name, world.services).id
    except NotFound:
        try:
            task_id = finding.task(name, world.tasks).id
        except NotFound:
            raise NotFound(f"no such task or service: {name}") from None
        return lambda now: [each for each in now.tasks.values() if each.id == task_id]
    return lambda now: [each for each in now.tasks.values() if each.service_id == service_id]


class _Source:
    """A task's log, as it is read, until a record is whole."""

    def __init__(self, task: Task, fd: Fd, query: LogQuery) -> None:
        self.fd = fd
        self._pending = b""
        self._terminal = task.spec.container.terminal
        self._framed = query.framed
        self._timestamps = query.timestamps
        details = {NODE_ID: task.node_id, SERVICE_ID: task.service_id, TASK_ID: task.id} if query.details else {}
        self._details = ",".join(f"{name}={value}" for name, value in details.items()).encode()

    def read(self) -> bytes | None:
        """Return what can be passed on; None at the end."""
        try:
            chunk = os.read(self.fd, _CHUNK)
        except OSError:
            chunk = b""
        if not chunk:
            return None
        return chunk if self._terminal else b"".join(self._records(chunk))

    def _records(self, chunk: bytes) -> Iterable[bytes]:
        self._pending += chunk
        while len(self._pending) >= _HEADER:
            size = int.from_bytes(self._pending[4:_HEADER], "big")
            if len(self._pending) < _HEADER + size:
                return
            stream, text = self._pending[0], self._pending[_HEADER : _HEADER + size]
            self._pending = self._pending[_HEADER + size :]
            yield self._detailed(stream, text)

    def _detailed(self, stream: int, text: bytes) -> bytes:
        if self._details:
            time, rest = (text.partition(b" ")[0] + b" ", text.partition(b" ")[2]) if self._timestamps else (b"", text)
            text = time + self._details + b" " + rest
        return frame(stream, len(text)) + text if self._framed else text


class _Merging:
    """What one caller reads. Used by one thread at a time."""

    def __init__(self, containers: Containers, query: LogQuery, writer: Fd) -> None:
        self._containers, self._query, self._writer = containers, query, writer
        self._sources: dict[int, _Source] = {}
        self._known: set[str] = set()
        self._poll = select.poll()
        self._poll.register(writer, 0)

    def add(self, tasks: Iterable[Task]) -> None:
        """Read the logs of those that have a container, and aren't read yet; a log that can't be read is passed over.

        Unsupported where none can.
        """
        failed: MobyError | None = None
        for task in tasks:
            if task.id in self._known or not task.status.container_id:
                continue
            query = evolve(self._query, details=False, framed=not task.spec.container.terminal)
            try:
                fd = self._containers.logs(task.status.container_id, query)
            except MobyError as error:
                failed = None if isinstance(error, NotFound) else error
                continue
            self._known.add(task.id)
            self._sources[fd] = _Source(task, fd, self._query)
            self._poll.register(fd, select.POLLIN)
        if failed is not None and not self._sources:
            raise failed

    def run(self, more: Callable[[], Sequence[Task]]) -> None:
        """Pass on what comes, until all is read; with `follow` until the caller goes, or nothing can come any more."""
        try:
            while self._sources or self._query.follow:
                self._step()
                if self._query.follow:
                    with suppress(MobyError):
                        self.add(more())
        except OSError:  # the caller has gone
            pass
        finally:
            self.close()

    def _step(self) -> None:
        for fd, events in self._poll.poll(_LOOK_MS):
            if fd == self._writer:
                raise BrokenPipeError(events)
            found = self._sources[fd].read()
            if found is None:
                self._poll.unregister(fd)
                os.close(self._sources.pop(fd).fd)
                continue
            while found:
                found = found[os.write(self._writer, found) :]

    def close(self) -> None:
        """Let go of all."""
        for each in self._sources:
            os.close(each)
        self._sources.clear()
        os.close(self._writer)
