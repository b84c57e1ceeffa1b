"""What a message takes along besides JSON: its descriptors, and the work behind some of them until it is done."""

import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable, Sequence

from moby.errors import Unavailable, Unsupported
from moby.served import wire
from moby.served.wire import close_all

__all__ = ["LOOPS", "Crew", "Job", "Outgoing", "packed"]

LOOPS = "a part with a loop of its own sends no streams of bytes, and no objects"


class Job:
    """Work at one end of a socket, in a thread of its own; the other end goes to another process."""

    def __init__(self, sock: socket.socket, work: Callable[[socket.socket], None], after: Callable[[], object]) -> None:
        self._sock = sock
        self._work = work
        self._after = after
        self._lock = threading.Lock()

    def run(self) -> None:
        """Do it, and close it."""
        try:
            self._work(self._sock)
        finally:
            self.close()

    def stop(self) -> None:
        """Let it end: whatever it waits for at its socket has ended."""
        with self._lock, contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close its socket, and do what comes after it."""
        with self._lock:
            self._sock.close()
        self._after()


class Crew:
    """Jobs that are under way, each in a thread of its own; `note` is told of what a job's own side raised."""

    def __init__(self, note: Callable[[Exception], object]) -> None:
        self.note = note
        self.home: object = None
        """Who is called where no object is named: the part itself."""
        self._lock = threading.Lock()
        self._busy: dict[Job, threading.Thread] = {}

    def start(self, jobs: Sequence[Job], lent: Sequence[int] = ()) -> None:
        """Begin jobs; the descriptors are closed once all of them are done."""
        left = [*jobs]
        for number, job in enumerate(jobs):
            thread = threading.Thread(target=self._do, args=(job, left, lent), daemon=True)
            try:
                with self._lock:  # whoever ends it finds it started
                    thread.start()
                    self._busy[job] = thread
            except RuntimeError as error:
                self._give_up(jobs[number:], left, lent)
                raise Unavailable(
                    f"this process can start no more threads: {error}", hint="raise its TasksMax"
                ) from error

    def end(self, patience_s: float | None = None) -> None:
        """Have all jobs end, and wait until they have, or so long: one that is in a call comes back from it first."""
        with self._lock:
            busy = {**self._busy}
        for job in busy:
            job.stop()
        deadline = None if patience_s is None else time.monotonic() + patience_s
        for thread in busy.values():
            if thread is not threading.current_thread():
                thread.join(None if deadline is None else max(0.0, deadline - time.monotonic()))

    def _give_up(self, jobs: Sequence[Job], left: list[Job], lent: Sequence[int]) -> None:
        for job in jobs:
            job.close()
            self._over(job, left, lent)

    def _do(self, job: Job, left: list[Job], lent: Sequence[int]) -> None:
        try:
            job.run()
        finally:
            self._over(job, left, lent)

    def _over(self, job: Job, left: list[Job], lent: Sequence[int]) -> None:
        with self._lock:
            left.remove(job)
            last = not left
            self._busy.pop(job, None)
        if last:
            close_all(lent)


class Outgoing(list[int]):
    """The descriptors of a message, in their order.

    Those of `results` are closed with it, all of them; of arguments just those that were made for it.
    """

    def __init__(self, crew: Crew | None, *, results: bool) -> None:
        super().__init__()
        self.crew = crew
        """Who does the work behind them; None in a process that has no threads for it."""
        self.results = results
        self.lends = False
        """Whether objects among results stay their owner's, who closes them."""
        self.jobs: list[Job] = []
        self._made: list[int] = []

    def add(self, work: Callable[[socket.socket], None], after: Callable[[], object] = lambda: None) -> int:
        """Add one end of a new socket, and return its place; `work` is done at the other end, and then `after`."""
        if self.crew is None:
            raise Unsupported(LOOPS)
        ours, theirs = socket.socketpair()
        self.jobs.append(Job(ours, work, after))
        self._made.append(theirs.detach())
        self.append(self._made[-1])
        return len(self) - 1

    def beside(self, data: bytes | memoryview) -> int:
        """Add a descriptor to read many bytes from, and return its place."""
        fd = os.memfd_create("bytes", os.MFD_CLOEXEC)
        self._made.append(fd)
        self.append(fd)
        with open(fd, "wb", buffering=0, closefd=False) as file:
            rest = memoryview(data)
            while rest:
                rest = rest[file.write(rest) :]
            file.seek(0)
        return len(self) - 1

    def start(self, lent: Sequence[int] = ()) -> None:
        """Begin the work behind it; lent descriptors are closed when that is done."""
        jobs, self.jobs = self.jobs, []
        if jobs and self.crew is not None:
            self.crew.start(jobs, lent)
        else:
            close_all(lent)

    def close(self) -> None:
        """Close the descriptors, and do none of the work that wasn't begun."""
        close_all(self if self.results else self._made)
        self._made = []
        self.clear()
        for job in self.jobs:
            job.close()
        self.jobs = []


def packed(message: object, out: Outgoing) -> bytes:
    """Return a message's bytes; what is longer than one may be goes beside it. Invalid as `wire.pack`."""
    body = wire.text_of(message)
    if wire.LONGEST < len(body) <= wire.MOST:
        body = wire.text_of({wire.BESIDE: out.beside(body)})
    return wire.framed(body, out)
