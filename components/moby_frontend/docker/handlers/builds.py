"""Building by one call, and giving a build up."""

import os
import queue
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from typing import IO, TYPE_CHECKING, Any

from moby.contracts.builder import Build, Builder, BuildFailed, Event, Export, Exported, Request
from moby.errors import Conflict, Invalid, MobyError, NotFound, Unsupported
from moby_frontend.docker.buildkit.building import Called
from moby_frontend.docker.call import Call, Reply, empty, stream
from moby_frontend.docker.failures import Status, message
from moby_frontend.docker.handlers.progress import line
from moby_frontend.docker.parts import Parts

if TYPE_CHECKING:
    from moby_frontend.docker.classic.lending import CallSession
    from moby_frontend.docker.classic.traces import Traces
    from moby_frontend.docker.classic.transcript import Transcript

__all__ = ["build", "cancel"]

_MOST_BYTES = 64 << 30
_SESSION_S = 5.0
"""How long a session may take to come after the build that has it."""
Message = dict[str, Any]


def build(parts: Parts, call: Call) -> Reply:
    """Build an image of the archive that comes with the call, of a URL, or of what the client's session lends."""
    if parts.builder is None:
        raise Unsupported("this engine has no builder; build elsewhere and bring the image with docker load")
    from moby_frontend.docker.classic.options import exports, request

    asked, wanted = request(call.query), exports(call.query)
    work = _Work(parts, call, parts.builder, asked, wanted)
    messages = _quiet(work.messages()) if call.query.flag("q") else work.messages()
    return stream(map(line, messages), "application/json")


def cancel(parts: Parts, call: Call) -> Reply:
    """Give a build up, by the name that its client gave it."""
    name = call.query.text("id")
    if parts.builder is None:
        raise NotFound(f"no such build: {name}")
    if not name:
        raise Invalid("build ID not provided")
    job, called = parts.building.jobs.get(name, 0), parts.building.calls.get(name, 0)
    if job is not None:
        job.cancel()
    if called is not None:
        called.build.cancel()
    return empty(200)


def _kept(parts: Parts, call: Call) -> IO[bytes]:
    """Return the call's body as a file without a name: it is taken whole before anything is answered."""
    kept = tempfile.TemporaryFile(dir=parts.place.cache)  # noqa: SIM115  # who builds closes it
    try:
        body = call.stream()
        size = 0
        while chunk := body.read(1 << 20):
            size += len(chunk)
            if size > _MOST_BYTES:
                raise Invalid(f"the archive is larger than {_MOST_BYTES} bytes, the limit here")
            kept.write(chunk)
        kept.seek(0)
    except BaseException:
        kept.close()
        raise
    return kept


def _session(parts: Parts, call: Call) -> "CallSession":
    """Return what the call lends, with the client's session where it names one."""
    from moby_frontend.docker.classic.lending import CallSession, credentials_in

    name = call.query.text("session")
    client = parts.building.sessions.get(name, _SESSION_S) if name else None
    if name and client is None:
        raise NotFound(f"no active session for {name}")
    archive = None if call.query.text("remote") else _kept(parts, call)
    return CallSession(archive, credentials_in(call.headers.get("x-registry-config", "")), client)


def _teller(call: Call) -> "Transcript | Traces":
    from moby_frontend.docker.classic.options import is_traced
    from moby_frontend.docker.classic.traces import Traces
    from moby_frontend.docker.classic.transcript import Transcript

    return Traces() if is_traced(call.query) else Transcript(removes=call.query.flag("rm", True))


class _Work:
    """A build in a thread of its own, whose events another tells the client."""

    def __init__(self, parts: Parts, call: Call, builder: Builder, asked: Request, wanted: Sequence[Export]) -> None:
        self._parts, self._call, self._builder = parts, call, builder
        self._asked, self._wanted, self._teller = asked, wanted, _teller(call)
        self._session = _session(parts, call)
        self._told: queue.SimpleQueue[Event | Exception | Exported] = queue.SimpleQueue()
        self._fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)

    def messages(self) -> Iterator[Message]:
        """Yield what a client is told; what fails before the first is raised. It ends with its client."""
        with ExitStack() as last:
            last.callback(os.close, self._fd)
            last.callback(self._session.close)
            opened = self._builder.open(self._session, self._tell)
            last.callback(opened.close)
            self._name(opened, last)
            thread = threading.Thread(target=self._run, args=(opened,), name="build", daemon=True)
            thread.start()
            last.callback(thread.join)
            last.callback(opened.cancel)
            yield from self._followed()

    def _name(self, opened: Build, last: ExitStack) -> None:
        """Have the build known by the name that its client gives it, for a call that cancels it."""
        name, calls = self._call.query.text("buildid"), self._parts.building.calls
        if not name:
            return
        if not calls.add(name, Called(opened, self._call.query.text("session"))):
            raise Conflict(f"the build {name} goes on already")
        last.callback(calls.remove, name)

    def _run(self, opened: Build) -> None:
        try:
            result = opened.solve(self._asked)
            exported = opened.export(result, self._wanted)
            self._tell(exported[0] if exported else Exported())
        except Exception as error:
            self._tell(error)

    def _tell(self, event: Event | Exception | Exported) -> None:
        self._told.put(event)
        os.eventfd_write(self._fd, 1)

    def _followed(self) -> Iterator[Message]:
        while True:
            self._call.link.watch(self._fd)
            os.eventfd_read(self._fd)
            for event in _taken(self._told.get_nowait):
                if isinstance(event, Exported):
                    yield from self._teller.built(event)
                    return
                if isinstance(event, Exception):
                    yield self._failure(event)
                    return
                yield from self._teller.feed(event)

    def _failure(self, error: Exception) -> Message:
        """Return how it failed; where the file itself is at fault that is raised, as an answer of its own."""
        if not isinstance(error, MobyError | OSError):
            raise error
        if not self._teller.begun and isinstance(error, BuildFailed | Invalid):
            raise Status(400, message(error)) from error
        return self._teller.failed(error)


def _taken(take: Callable[[], Any]) -> Iterator[Any]:
    with suppress(queue.Empty):
        while True:
            yield take()


def _quiet(messages: Iterator[Message]) -> Iterator[Message]:
    """Yield the image's id alone, or the error."""
    for each in messages:
        if "error" in each:
            yield each
        elif "aux" in each:
            yield {"stream": f"{each['aux']['ID']}\n"}
