"""Docker's plugins of the first protocol: processes that answer JSON over HTTP, found by files in well-known folders.

Source: docker's documentation, "Docker Plugin API" (extend/plugin_api).
"""

import http.client
import json
import os
import select
import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from attrs import frozen

from moby.errors import HostUnfit, Invalid, MobyError, Unavailable
from moby.host.unix_http import UnixConnection

if TYPE_CHECKING:
    import ssl

__all__ = ["PLACES", "Answered", "Plugin", "object_of"]

PLACES = (Path("/run/docker/plugins"), Path("/etc/docker/plugins"), Path("/usr/lib/docker/plugins"))
"""Where sockets, and files that say where a plugin listens, are looked for, in this order."""
_TYPE = "application/vnd.docker.plugins.v1.2+json"
_MOST_BYTES = 2 << 20
"""Of an answer (docker's own limit is 1 MiB)."""
_SHOWN = 200
_CALL_S = 60.0
_AGAIN_S = 0.1
_QUIET_S = 0.5
"""How long nothing may come of what has ended elsewhere."""


class Answered(MobyError):
    """What a plugin says of a call that it couldn't make."""


@frozen
class Plugin:
    """One plugin, by its name; found anew for every call, so that it may be started, and moved, at any time."""

    name: str
    kind: str
    """Of which the calls are: `VolumeDriver`, `LogDriver`, `NetworkDriver`, `AuthZPlugin`."""
    places: Sequence[Path] = PLACES
    patience_s: float = 10.0
    """How long one may take until it answers."""
    implements: str = ""
    """What it must say that it is, where that isn't the kind."""

    def call(self, method: str, **values: Any) -> dict[str, Any]:
        """Call `KIND.METHOD`; return what it answers.

        Answered where that is an error, HostUnfit where there is no such plugin, Unavailable where it doesn't answer.
        """
        with self._asked(method, values) as answer:
            return self._read(method, answer)

    def stream(self, method: str, ended: int = -1, **values: Any) -> Iterator[bytes]:
        """Call a method whose answer is bytes, and yield them as they come.

        Once the descriptor `ended` is readable, it ends where nothing more has come for a while.
        """
        answer = self._asked(method, values)
        with answer:
            if answer.status != http.client.OK:
                self._read(method, answer)
            yield from _flow(answer, ended)

    def _read(self, method: str, answer: http.client.HTTPResponse) -> dict[str, Any]:
        try:
            data = answer.read(_MOST_BYTES + 1)
        except (OSError, http.client.HTTPException) as error:
            raise Unavailable(
                f"the plugin {self.name} breaks off its answer to {self.kind}.{method}: {error}"
            ) from error
        if answer.status == http.client.NOT_FOUND:
            raise Answered(f"the plugin {self.name} knows no {self.kind}.{method}")
        found = object_of(data)
        if found is None and answer.status == http.client.OK:
            raise Answered(f"the plugin {self.name} answers {self.kind}.{method} with what is no object of JSON")
        said = str((found or {}).get("Err") or "") or ("" if answer.status == http.client.OK else _text(data))
        if said:
            raise Answered(f"{self.kind}.{method}: {said}")
        return found or {}

    def _asked(self, method: str, values: Mapping[str, Any]) -> http.client.HTTPResponse:
        """Make a request, once the plugin is there; the answer's `with` closes the connection."""
        until = time.monotonic() + self.patience_s
        while True:
            address = self._address()
            connection = _connection(*address)
            try:
                connection.connect()
                break
            except OSError as error:
                connection.close()
                if time.monotonic() > until:
                    raise Unavailable(
                        f"the plugin {self.name} doesn't answer at {address[0]}: {error}", hint="see whether it runs"
                    ) from error
                time.sleep(_AGAIN_S)
        try:
            about = object_of(_post(connection, "/Plugin.Activate", {}).read(_MOST_BYTES)) or {}
            implements = about.get("Implements")
            if not isinstance(implements, list) or (self.implements or self.kind) not in implements:
                raise HostUnfit(f"the plugin {self.name} is no {self.kind}; it is: {str(implements)[:_SHOWN]}")
            answer = _post(connection, f"/{self.kind}.{method}", values)
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise Unavailable(f"the plugin {self.name} doesn't answer {self.kind}.{method}: {error}") from error
        except MobyError:
            connection.close()
            raise
        if connection.sock is not None:
            _closed_with(answer, connection)
        return answer

    def _address(self) -> tuple[str, Mapping[str, Any]]:
        """Return where it listens, and how TLS is done there."""
        for place in self.places:
            for path in (place / f"{self.name}.sock", place / self.name / f"{self.name}.sock"):
                if path.is_socket():
                    return f"unix://{path}", {}
        for place in self.places:
            for path in (place / f"{self.name}.spec", place / self.name / f"{self.name}.spec"):
                with suppress(FileNotFoundError):
                    return path.read_text(encoding="utf-8").strip(), {}
            for path in (place / f"{self.name}.json", place / self.name / f"{self.name}.json"):
                with suppress(FileNotFoundError):
                    found = object_of(path.read_bytes())
                    if found is None or not isinstance(found.get("Addr"), str):
                        raise Invalid(f"{path} doesn't say where the plugin listens", hint="it wants an `Addr`")
                    return found["Addr"], found.get("TLSConfig") or {}
        looked = ", ".join(map(str, self.places))
        raise HostUnfit(f"there is no plugin {self.name}", hint=f"looked for its .sock, .spec and .json in {looked}")


def _post(connection: http.client.HTTPConnection, path: str, values: Mapping[str, Any]) -> http.client.HTTPResponse:
    body = json.dumps(values).encode() if values else b"{}"
    connection.request("POST", path, body, {"Content-Type": _TYPE, "Accept": _TYPE})
    return connection.getresponse()


def _closed_with(answer: http.client.HTTPResponse, connection: http.client.HTTPConnection) -> None:
    """Have a connection be closed where its answer is."""
    close = answer.close

    def both() -> None:
        close()
        connection.close()

    answer.close = both  # type: ignore[method-assign]


def _connection(address: str, tls: Mapping[str, Any]) -> http.client.HTTPConnection:
    wrong = Invalid(
        f"{address[:_SHOWN]!r} is no address of a plugin", hint="there are unix:///PATH and tcp://HOST:PORT"
    )
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError as error:
        raise wrong from error
    if parts.scheme == "unix":
        found: http.client.HTTPConnection = UnixConnection(Path(parts.path))
        found.timeout = _CALL_S
        return found
    if parts.scheme not in {"tcp", "http", "https"} or not parts.hostname or not port:
        raise wrong
    if not tls and parts.scheme != "https":
        return http.client.HTTPConnection(parts.hostname, port, timeout=_CALL_S)
    return http.client.HTTPSConnection(parts.hostname, port, timeout=_CALL_S, context=_context(address, tls))


def _context(address: str, tls: Mapping[str, Any]) -> "ssl.SSLContext":
    import ssl

    try:
        context = ssl.create_default_context(cafile=tls.get("CAFile") or None)
        if tls.get("InsecureSkipVerify"):
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        if tls.get("CertFile"):
            context.load_cert_chain(tls["CertFile"], tls.get("KeyFile") or None)
    except (OSError, TypeError) as error:
        hint = "see CAFile, CertFile and KeyFile of its TLSConfig"
        raise HostUnfit(f"TLS to the plugin at {address} can't be done: {error}", hint=hint) from error
    return context


def _flow(answer: http.client.HTTPResponse, ended: int) -> Iterator[bytes]:
    """Yield a body as it comes; a thread reads it, since what a response has buffered no descriptor tells."""
    ours, theirs = os.pipe2(os.O_CLOEXEC)
    sock = socket.socket(fileno=os.dup(answer.fileno()))  # the answer's own number is another file's once it has ended
    thread = threading.Thread(target=_pass_on, args=(answer, theirs), name="plugin", daemon=True)
    thread.start()
    try:
        wanted = [ours, *([ended] if ended >= 0 else [])]
        while True:
            ready, _, _ = select.select(wanted, [], [])
            if ours not in ready and not select.select([ours], [], [], _QUIET_S)[0]:
                return
            chunk = os.read(ours, 1 << 16)
            if not chunk:
                return
            yield chunk
    finally:
        os.close(ours)
        with sock, suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)
        thread.join()


def _pass_on(answer: http.client.HTTPResponse, to: int) -> None:
    """Write a body to a pipe, to its end, or until nobody reads that any more."""
    with suppress(OSError, ValueError, http.client.HTTPException):
        while chunk := answer.read1(1 << 16):
            while chunk:
                chunk = chunk[os.write(to, chunk) :]
    os.close(to)


def object_of(data: bytes) -> dict[str, Any] | None:
    """Return an object of JSON; None for anything else."""
    with suppress(ValueError, RecursionError):
        found = json.loads(data)
        if isinstance(found, dict):
            return found
    return None


def _text(data: bytes) -> str:
    return data[:500].decode(errors="replace").strip() or "it failed, and doesn't say why"
