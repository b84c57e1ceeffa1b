"""Building by one call, and giving a build up."""

import os
import queue
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import IO, TYPE_CHECKING, Any

from moby.contracts.builder import Build, Builder, BuildFailed, Event, Export, Exported, Request
from moby.errors import Invalid, MobyError, NotFound, Unsupported
from moby.oci.reference import familiar, parse
from moby_frontend.docker.call import Call, Reply, empty, stream
from moby_frontend.docker.failures import Status, message
from moby_frontend.docker.handlers.images import line
from moby_frontend.docker.parts import Parts

if TYPE_CHECKING:
    from moby_frontend.docker.classic.lending import CallSession
    from moby_frontend.docker.classic.transcript import Transcript

__all__ = ["build", "cancel"]

_MOST_BYTES = 64 << 30
_SHORT = 12
Message = dict[str, Any]


def build(parts: Parts, call: Call) -> Reply:
    """Build an image of the archive that comes with the call, or of a URL."""
    if parts.builder is None:
        raise Unsupported("this engine has no builder; build elsewhere and bring the image with docker load")
    from moby_frontend.docker.classic.lending import CallSession, credentials_in
    from moby_frontend.docker.classic.options import export, request

    asked, wanted = request(call.query), export(call.query)
    archive = None if call.query.text("remote") else _kept(parts, call)
    session = CallSession(archive, credentials_in(call.headers.get("x-registry-config", "")))
    work = _Work(parts.builder, session, asked, wanted)
    messages = _quiet(work.messages(call)) if call.query.flag("q") else work.messages(call)
    return stream(map(line, messages), "application/json")


def cancel(parts: Parts, call: Call) -> Reply:
    """Give a build up, by the name that its client gave it."""
    name = call.query.text("id")
    if parts.builder is None:
        raise NotFound(f"no such build: {name}")
    if not name:
        raise Invalid("build ID not provided")
    job = parts.building.jobs.get(name, 0)
    if job is not None:
        job.cancel()
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
                raise Invalid(f"the archive is larger than {_MOST_BYTES} bytes, which is the most here")
            kept.write(chunk)
        kept.seek(0)
    except BaseException:
        kept.close()
        raise
    return kept


class _Work:
    """A build in a thread of its own, whose events another tells the client."""

    def __init__(self, builder: Builder, session: "CallSession", asked: Request, wanted: Export) -> None:
        self._builder, self._session, self._asked, self._wanted = builder, session, asked, wanted
        self._told: queue.SimpleQueue[Event | Exception | Exported] = queue.SimpleQueue()
        self._fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)

    def messages(self, call: Call) -> Iterator[Message]:
        """Yield what a client is told; what fails before the first is raised. It ends with its client."""
        from moby_frontend.docker.classic.transcript import Transcript

        transcript = Transcript()
        opened = self._builder.open(self._session, self._tell)
        thread = threading.Thread(target=self._run, args=(opened,), name="build", daemon=True)
        thread.start()
        try:
            yield from self._followed(call, transcript)
        finally:
            opened.cancel()
            thread.join()
            opened.close()
            self._session.close()
            os.close(self._fd)

    def _run(self, opened: Build) -> None:
        try:
            result = opened.solve(self._asked)
            (exported,) = opened.export(result, (self._wanted,))
            self._tell(exported)
        except Exception as error:
            self._tell(error)

    def _tell(self, event: Event | Exception | Exported) -> None:
        self._told.put(event)
        os.eventfd_write(self._fd, 1)

    def _followed(self, call: Call, transcript: "Transcript") -> Iterator[Message]:
        while True:
            call.link.watch(self._fd)
            os.eventfd_read(self._fd)
            for event in _taken(self._told.get_nowait):
                if isinstance(event, Exported):
                    yield from _built(event, self._wanted)
                    return
                if isinstance(event, Exception):
                    yield _failure(event, transcript.begun)
                    return
                yield from transcript.feed(event)


def _taken(take: Callable[[], Any]) -> Iterator[Any]:
    with suppress(queue.Empty):
        while True:
            yield take()


def _failure(error: Exception, begun: bool) -> Message:
    """Return how a build failed; where the file itself is at fault that is raised, as an answer of its own."""
    from moby_frontend.docker.classic.transcript import failed

    if not isinstance(error, MobyError | OSError):
        raise error
    if not begun and isinstance(error, BuildFailed | Invalid):
        raise Status(400, message(error)) from error
    return failed(error)


def _built(exported: Exported, wanted: Export) -> Iterator[Message]:
    """Yield which image it is, and its names."""
    if exported.image is None:
        return
    yield {"aux": {"ID": str(exported.image)}}
    yield {"stream": f"Successfully built {exported.image.hex[:_SHORT]}\n"}
    for each in wanted.names:
        yield {"stream": f"Successfully tagged {familiar(parse(each))}\n"}


def _quiet(messages: Iterator[Message]) -> Iterator[Message]:
    """Yield the image's id alone, or the error."""
    for each in messages:
        if "error" in each:
            yield each
        elif "aux" in each:
            yield {"stream": f"{each['aux']['ID']}\n"}
