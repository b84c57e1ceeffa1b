"""The front end: from an HTTP request to a route's handler, and where it listens."""

import importlib
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from secrets import token_hex
from types import TracebackType
from urllib.parse import quote, unquote

from moby.contracts.requests import REQUEST
from moby.errors import Invalid, MobyError
from moby.values import frozen
from moby_frontend.docker.access import Access, guarded
from moby_frontend.docker.call import Call, Ending, Gone, Query, Reply, Version, empty
from moby_frontend.docker.connection import Connection, Request
from moby_frontend.docker.failures import Status, failed, message, status_of
from moby_frontend.docker.parts import RELEASE, Parts, spelled
from moby_frontend.docker.routes import Route, find
from moby_frontend.docker.server import Server
from moby_frontend.docker.targets import shown
from moby_frontend.listening.addresses import Listener, checked, listening

__all__ = ["DockerFrontend", "Tls"]

Handler = Callable[[Parts, Call], Reply | None]
_VERSIONED = re.compile(r"/v(\d{1,3})\.(\d{1,3})(/.*)")


def _elsewhere(path: str, query: str) -> Reply:
    """Lead to a path with single slashes: clients ask for a container by the name that it is shown with, as `/web`."""
    clean = quote(re.sub("/{2,}", "/", path))
    return Reply(301, b"", (("Location", f"{clean}?{query}" if query else clean),))


@frozen
class Tls:
    """PEM files of a server that wants certificates of its clients."""

    certificate: Path
    key: Path
    authority: Path


class DockerFrontend:
    """Answers the Docker Engine API; see the contract."""

    def __init__(
        self,
        parts: Parts,
        allow: Access,
        *,
        addresses: Sequence[str],
        group: str,
        tls: Tls | None,
        limit: int,
    ) -> None:
        self._parts, self._allow, self._addresses, self._group, self._tls = parts, allow, addresses, group, tls
        self._common = (
            ("Api-Version", spelled(parts.highest)),
            ("Docker-Experimental", "false"),
            ("Ostype", "linux"),
            ("Server", f"Docker/{RELEASE} (linux)"),
        )
        self._limit = limit
        self._server: Server | None = None

    def __enter__(self) -> "DockerFrontend":
        self._server = Server(self._answer, lambda: self._common, self._parts.log, self._limit)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        server, self._server = self._server, None
        if server:
            server.close()

    def check(self, addresses: Sequence[str] = ()) -> None:
        """Raise what `listen` would, and listen nowhere; see the contract."""
        self._context()
        for each in addresses or self._addresses:
            checked(each, group=self._group, check=self._check)

    def listen(self, addresses: Sequence[str] = ()) -> tuple[str, ...]:
        """Answer at these addresses too, or without any at those of its own options; see the contract."""
        assert self._server is not None, "a front end listens between __enter__ and __exit__"
        opened: list[Listener] = []
        try:
            context = self._context()
            for each in addresses or self._addresses:
                opened += listening(each, group=self._group, tls=context is not None, check=self._check)
            self._server.add(opened, context)
        except BaseException:
            for listener in opened:
                listener.close()
            raise
        return tuple(each.address for each in opened)

    def _check(self, address: str, host: str) -> None:
        guarded(address, tls=self._tls is not None)

    def _context(self) -> object:
        if self._tls is None:
            return None
        from moby_frontend.docker.tls import context

        return context(self._tls.certificate, self._tls.key, self._tls.authority)

    def drain(self, timeout_s: float) -> bool:
        """Accept no more clients, and wait for requests under way; see the contract."""
        return self._server.drain(timeout_s) if self._server else True

    # Calls ----------------------------------------------------------------------------------------------------------

    def _answer(self, connection: Connection, request: Request) -> Reply | None:
        """Answer one request; what its handler raises is told to the client, streams' first chunk included."""
        method, target = request.method.decode("ascii"), request.target.decode("ascii", "replace")
        identity = token_hex(4)
        REQUEST.set(identity)  # until this thread's next one, as a stream goes on after its answer has begun
        threading.current_thread().name = f"call {identity}"  # so that a state dump tells which it is at
        self._parts.log.debug("call", method=method, target=shown(target), client=str(connection.client))
        try:
            return self._routed(connection, request, method, target)
        except (Gone, Ending):
            self._parts.log.debug("client gone", method=method, target=shown(target))
            raise
        except Exception as error:
            return self._failure(method, target, error)

    def _failure(self, method: str, target: str, error: Exception) -> Reply:
        """Return the answer to a call that failed; what isn't the client's fault is an error in the log, as dockerd's.

        So is what it asks for that isn't to be had here; else a client's own faults matter to who looks for them alone.
        """
        if not isinstance(error, MobyError | OSError):
            self._tell_bug(method, target, error)
        elif status_of(error) >= 500:
            self._parts.log.error("call failed", method=method, target=shown(target), error=message(error))
        else:
            self._parts.log.debug("call refused", method=method, target=shown(target), error=message(error))
        return failed(error)

    def _tell_bug(self, method: str, target: str, error: Exception) -> None:
        import traceback

        text = "".join(traceback.format_exception(error))
        self._parts.log.error("call met a bug", method=method, target=shown(target), error=text)

    def _begun(self, reply: Reply | None) -> Reply | None:
        """Take the first chunk of a stream, so that what fails before it is an answer of its own."""
        if reply is None or isinstance(reply.body, bytes):
            return reply
        from itertools import chain

        iterator = iter(reply.body)
        first = next(iterator, b"")
        return Reply(reply.status, _Rest(chain((first,), iterator), iterator), reply.headers)

    def _routed(self, connection: Connection, request: Request, method: str, target: str) -> Reply | None:
        path, _, query = target.partition("?")
        if path.startswith("http://"):  # a proxy's form (RFC 9112, 3.2.2)
            path = "/" + path.split("/", 3)[3] if path.count("/") > 2 else "/"
        path = unquote(path)
        if "//" in path:
            return _elsewhere(path, query)
        version, path = self._version(path)
        if method == "OPTIONS":
            return empty(200)
        found = find(method, path, version)
        if found is None:
            raise Status(404, "page not found")
        route, names = found
        headers = _joined(request)
        client = connection.client
        call = Call(method, path, Query(query), headers, version, client, connection, connection, names)
        self._allow.check(route, call)
        if self._parts.authorization:
            return self._authorized(route, call, target)
        return self._traced(route, call)

    def _authorized(self, route: Route, call: Call, target: str) -> Reply | None:
        """Answer a call if plugins allow it, and what is answered."""
        from moby_frontend.docker.authorization import authorization

        judged = authorization(self._parts.authorization).judged(call, target)
        try:
            reply = self._traced(route, call)
        except (Gone, Ending):
            raise
        except Exception as error:
            reply = self._failure(call.method, target, error)
        return judged.passed(reply)

    def _traced(self, route: Route, call: Call) -> Reply | None:
        if self._parts.tracer is not None:
            from moby_frontend.docker.tracing import within

            return within(self._parts.tracer, route, call, lambda: self._handled(route, call))
        return self._handled(route, call)

    def _handled(self, route: Route, call: Call) -> Reply | None:
        return self._begun(_handler(route.handler)(self._parts, call))

    def _version(self, path: str) -> tuple[Version, str]:
        """Return which version of the API is asked for, the newest where none is, and the path without it."""
        match = _VERSIONED.fullmatch(path)
        if not match:
            return self._parts.highest, path
        version, rest = (int(match[1]), int(match[2])), match[3]
        if version < self._parts.lowest:
            least = spelled(self._parts.lowest)
            raise Invalid(
                f"client version {spelled(version)} is too old. Minimum supported API version is {least}, "
                "please upgrade your client to a newer version"
            )
        if version > self._parts.highest:
            most = spelled(self._parts.highest)
            raise Invalid(f"client version {spelled(version)} is too new. Maximum supported API version is {most}")
        return version, rest


def _joined(request: Request) -> dict[str, str]:
    """Return headers by name, with the values of one that is there several times as a list (RFC 9110, 5.3)."""
    found: dict[str, str] = {}
    for name, value in request.headers:
        key, text = name.decode("ascii"), value.decode("latin-1")
        found[key] = f"{found[key]}, {text}" if key in found else text
    return found


class _Rest:
    """A stream whose first chunk was taken already."""

    def __init__(self, chunks: Iterator[bytes], source: Iterator[bytes]) -> None:
        self._chunks, self._source = chunks, source

    def __iter__(self) -> "_Rest":
        return self

    def __next__(self) -> bytes:
        return next(self._chunks)

    def close(self) -> None:
        """End the source."""
        close = getattr(self._source, "close", None)
        if close is not None:
            with suppress(ValueError):
                close()


@lru_cache(maxsize=256)
def _handler(name: str) -> Handler:
    """Import what answers at a route."""
    module, _, function = name.partition(".")
    found: Handler = getattr(importlib.import_module(f"moby_frontend.docker.handlers.{module}"), function)
    return found
