"""One client's connection: requests in, answers out, by h11; until it is idle, taken over, or at its end."""

import contextlib
import re
import select
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NoReturn, TypeGuard

import h11
from attrs import evolve

from moby.errors import Invalid
from moby_frontend.docker.call import Client, Ending, Gone, Reply, Stranger
from moby_frontend.docker.chunks import BadChunks, Chunks
from moby_frontend.docker.ends import Ends
from moby_frontend.docker.times import http_date

if TYPE_CHECKING:
    import ssl

__all__ = ["Connection", "Request"]

MAX_HEAD_BYTES = 128 << 10
HEAD_S = 30.0
"""How long a client may take to send the head of a request, from its first byte."""
BODY_S = 300.0
LINGER_S = 0.25
"""How long a thread stays with a connection that is idle, before it is only watched."""
SPARE_BODY_BYTES = 1 << 20
_LINGER_CLOSE_S = 2.0
_READ = 64 << 10
_LONG_BODY_BYTES = 1 << 20
"""After so many, what is left of a body in chunks is read without an event for each of them."""
_LONG_READ = 128 << 10
_JOIN = 32 << 10
_WIDE_BYTES = 1 << 20
_BYTES = re.compile(r"bytearray\(b(.+)\)")
"""Bytes in h11's words, as Python writes them."""

Request = h11.Request
Answer = Callable[["Connection", h11.Request], Reply | None]


def _is_tls(sock: socket.socket) -> TypeGuard["ssl.SSLSocket"]:
    """Whether a socket speaks TLS, without importing what does."""
    return hasattr(sock, "do_handshake")


class Connection:
    """A connection, used by one thread at a time."""

    def __init__(self, sock: socket.socket, client: Client, ends: Ends, common: Callable[[], Any]) -> None:
        self.sock = sock
        self.client = client
        self._ends = ends
        self._common = common
        self._h11 = self._begun()
        self._chunks: Chunks | None = None
        """What is left of a long body."""
        self._came_bytes = 0
        """Of the body, before that."""
        self._hijacked = False
        self._wide = False
        """Whether the socket's buffer is one for long answers."""
        self.shaken = not _is_tls(sock)
        self.silent = True
        """Whether nothing may have come yet."""

    @staticmethod
    def _begun() -> h11.Connection:
        return h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD_BYTES)

    def fileno(self) -> int:
        """Return the socket's descriptor, -1 once it is closed."""
        return self.sock.fileno()

    def close(self) -> None:
        """Let go of the socket."""
        self.sock.close()

    def abort(self) -> None:
        """End the connection, for whichever thread waits on it."""
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)

    def serve(self, answer: Answer) -> bool:
        """Answer requests; return whether it is idle and is to be watched, else it is closed.

        Stranger where it comes by TLS, and fails to.
        """
        try:
            self._shake()
            if self.silent and not self._more(LINGER_S):
                return True
            while self._once(answer):
                if not self._h11.trailing_data[0] and not self._more(LINGER_S):
                    return True
        except (Gone, Ending, OSError, h11.RemoteProtocolError, h11.LocalProtocolError):
            pass  # nobody is there to be told
        except Exception:
            self._finish()
            raise
        self._finish()
        return False

    def _finish(self) -> None:
        if not self._hijacked:
            self._linger()
            self.close()

    def _linger(self) -> None:
        """Give the client time to read an answer to a body that nobody read: closing would reset its end."""
        if self._h11.their_state not in {h11.SEND_BODY, h11.ERROR} or self._is_whole() or not self.shaken:
            return
        limit = time.monotonic() + _LINGER_CLOSE_S
        with contextlib.suppress(OSError, ValueError):
            self.sock.shutdown(socket.SHUT_WR)
            while (left := limit - time.monotonic()) > 0:
                self.sock.settimeout(left)
                if not self.sock.recv(_READ):
                    return

    def _shake(self) -> None:
        if not self.shaken and _is_tls(self.sock):
            self.sock.settimeout(HEAD_S)
            try:
                self.sock.do_handshake()
            except AttributeError:  # the module's own, where another thread has ended the connection (`abort`)
                raise Gone from None
            except OSError as error:
                self._refuse_stranger(error)
            from moby_frontend.docker.tls import subject

            self.client = evolve(self.client, subject=subject(self.sock))
            self.shaken = True

    def _refuse_stranger(self, error: OSError) -> NoReturn:
        from moby_frontend.docker.tls import refuse_plain, why

        refuse_plain(self.sock, error)
        told = why(error)
        raise Stranger(told) if told else Gone from error

    def _more(self, timeout_s: float) -> bool:
        if _is_tls(self.sock) and self.sock.pending():
            return True
        poll = select.poll()
        poll.register(self.sock, select.POLLIN)
        poll.register(self._ends.draining_fd, select.POLLIN)
        found = poll.poll(timeout_s * 1000)
        if any(fd == self._ends.draining_fd for fd, _ in found):
            raise Ending
        return bool(found)

    # One request ----------------------------------------------------------------------------------------------------

    def _once(self, answer: Answer) -> bool:
        """Answer one request; return whether another may follow."""
        try:
            request = self._head()
        except h11.RemoteProtocolError as error:
            self._refuse(error)
            return False
        if request is None or self._ends.draining:
            return False
        reply = answer(self, request)
        if self._hijacked or reply is None:
            return False
        self._send(reply, request.method == b"HEAD")
        if not self._drained():
            return False
        return self._begins_next()

    def _begins_next(self) -> bool:
        """Be ready for another request; False where none may follow."""
        if self._h11.our_state is not h11.DONE or not self._is_whole():
            return False
        if self._chunks is None:
            self._h11.start_next_cycle()
        else:
            rest, self._chunks, self._h11 = self._chunks.rest, None, self._begun()
            self._h11.receive_data(rest)
        self._held, self._came_bytes = b"", 0
        return True

    def _head(self) -> h11.Request | None:
        """Return the next request, None at the end of the connection."""
        limit = time.monotonic() + HEAD_S
        while True:
            event = self._h11.next_event()
            if isinstance(event, h11.Request):
                return event
            if isinstance(event, h11.ConnectionClosed):
                return None
            left = limit - time.monotonic()
            if left <= 0:
                raise h11.RemoteProtocolError("the head of the request took too long", 408)
            self._receive(left)

    def _receive(self, timeout_s: float) -> None:
        self.sock.settimeout(timeout_s)
        try:
            data = self.sock.recv(_READ)
        except TimeoutError:
            if self._h11.trailing_data[0]:
                raise h11.RemoteProtocolError("the request took too long", 408) from None
            raise Gone from None
        except ConnectionError:
            raise Gone from None
        self._h11.receive_data(data)

    def _read_chunks(self, chunks: Chunks) -> bytes:
        """Return some of what is left of a long body."""
        self.sock.settimeout(BODY_S)
        try:
            found = b""
            while not found and not chunks.whole:
                data = self.sock.recv(_LONG_READ)
                if not data:
                    raise Gone
                found = chunks.feed(data)
        except (BadChunks, TimeoutError, ConnectionError) as error:
            raise Gone from error
        return found

    def _refuse(self, error: h11.RemoteProtocolError) -> None:
        """Say what is wrong with what isn't HTTP; the connection ends."""
        status = error.error_status_hint
        why = _BYTES.sub(r"\1", str(error))
        body = f"{status} {_REASONS.get(status, 'Bad Request')}: {why}".encode()
        with contextlib.suppress(h11.LocalProtocolError, OSError):
            kind = [("Content-Type", "text/plain; charset=utf-8"), ("Connection", "close")]
            self._send(Reply(status, body, tuple(kind)), head_only=False)

    def _drained(self) -> bool:
        """Read what the client still sends of its body, if it is little; else the connection has to end."""
        if self._is_whole():
            return True
        if self._h11.they_are_waiting_for_100_continue:
            return False
        left = SPARE_BODY_BYTES
        while left > 0 and self._h11.their_state is h11.SEND_BODY:
            chunk = self.read(left)
            if not chunk:
                return self._is_whole()
            left -= len(chunk)
        return False

    def _is_whole(self) -> bool:
        return self._h11.their_state is h11.DONE if self._chunks is None else self._chunks.whole

    # Body -----------------------------------------------------------------------------------------------------------

    def read(self, size: int = -1) -> bytes:
        """Return at most so many bytes of the request's body, and none at its end; Gone where it is cut short."""
        if size < 0:
            return self.rest(1 << 62)
        if size == 0:
            return b""
        if not self._held:
            self._held = self._chunk()
        found, self._held = self._held[:size], self._held[size:]
        return found

    _held = b""

    def _chunk(self) -> bytes:
        if self._chunks is not None:
            return self._read_chunks(self._chunks)
        if self._h11.their_state is not h11.SEND_BODY:
            return b""
        if self._h11.they_are_waiting_for_100_continue:
            proceed = self._h11.send(h11.InformationalResponse(status_code=100, headers=[], reason=b"Continue"))
            self.sock.sendall(proceed or b"")
        while True:
            try:
                event = self._h11.next_event()
            except h11.RemoteProtocolError as error:
                raise Gone from error
            if isinstance(event, h11.Data):
                return self._began_chunk(event)
            if isinstance(event, h11.EndOfMessage):
                return b""
            self._receive(BODY_S)

    def _began_chunk(self, event: h11.Data) -> bytes:
        """Return the bytes of an event; what comes after a long body's is read past h11 from then on."""
        data = bytes(event.data)
        self._came_bytes += len(data)
        if not event.chunk_end or self._came_bytes < _LONG_BODY_BYTES:
            return data
        self._chunks = Chunks()
        try:
            return data + self._chunks.feed(self._h11.trailing_data[0])
        except BadChunks as error:
            raise Gone from error

    def rest(self, limit: int) -> bytes:
        """Return all that is left of the body; Invalid where that is more than the limit."""
        parts, size = [], 0
        while chunk := self.read(_READ):
            size += len(chunk)
            if size > limit:
                raise Invalid(f"the body is larger than {limit} bytes, the limit here")
            parts.append(chunk)
        return b"".join(parts)

    # Answer ---------------------------------------------------------------------------------------------------------

    def _send(self, reply: Reply, head_only: bool) -> None:
        self.sock.settimeout(None)
        if isinstance(reply.body, bytes):
            self._send_whole(reply, reply.body, head_only)
        else:
            self._send_chunks(reply, reply.body, head_only)

    def _headers(self, reply: Reply, *more: tuple[str, str]) -> list[tuple[str, str]]:
        last = (("Connection", "close"),) if self._ends.draining and not _closes(reply) else ()
        return [*self.common_headers(), *reply.headers, ("Date", _date(int(time.time()))), *last, *more]

    def _send_whole(self, reply: Reply, body: bytes, head_only: bool) -> None:
        length = () if reply.status in {204, 304} else (("Content-Length", str(len(body))),)
        response = h11.Response(
            status_code=reply.status, headers=self._headers(reply, *length), reason=_REASONS.get(reply.status, "")
        )
        parts = [self._h11.send(response)]
        if body and not head_only:
            parts.append(self._h11.send(h11.Data(data=body)))
        parts.append(self._h11.send(h11.EndOfMessage()))
        self.sock.sendall(b"".join(filter(None, parts)))

    def _send_chunks(self, reply: Reply, chunks: Iterable[bytes], head_only: bool) -> None:
        """Send chunks as they come. What fails before the first is raised, so that it can be told.

        Without the last one, where something fails later or the front end stops, a client sees that there were more.
        """
        iterator: Iterator[bytes] = iter(chunks)
        try:
            first = next(iterator, b"")
            response = h11.Response(
                status_code=reply.status, headers=self._headers(reply), reason=_REASONS.get(reply.status, "")
            )
            self.sock.sendall(self._h11.send(response) or b"")
            if not head_only:
                self._chunked(first)
                for chunk in iterator:
                    self._chunked(chunk)
            self.sock.sendall(self._h11.send(h11.EndOfMessage()) or b"")
        finally:
            close = getattr(iterator, "close", None)
            if close is not None:
                close()

    def _chunked(self, chunk: bytes) -> None:
        if not chunk:
            return
        parts = self._h11.send_with_data_passthrough(h11.Data(data=chunk)) or []
        if len(chunk) < _JOIN:
            self.sock.sendall(b"".join(parts))
        elif _is_tls(self.sock):
            for part in parts:
                self.sock.sendall(part)
        else:
            self._send_parts(parts)

    def _send_parts(self, parts: list[bytes]) -> None:
        """Send all at once, into a buffer that takes as much as a client reads in a while."""
        if not self._wide and self.sock.family == socket.AF_UNIX:  # the kernel sizes those of TCP by itself
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _WIDE_BYTES)
            self._wide = True
        sent = self.sock.sendmsg(parts)
        if sent < sum(map(len, parts)):  # a signal came between
            self.sock.sendall(memoryview(b"".join(parts))[sent:])

    # What calls see of it -------------------------------------------------------------------------------------------

    def watch(self, fd: int, timeout_s: float | None = None, *, follows: bool = False) -> bool:
        """Wait until a descriptor is readable, return whether it is; Gone or Ending where that comes first."""
        ending = self._ends.draining_fd if follows else self._ends.ending_fd
        poll = select.poll()
        if fd >= 0:
            poll.register(fd, select.POLLIN)
        poll.register(ending, select.POLLIN)
        poll.register(self.sock, select.POLLRDHUP)
        found = dict(poll.poll(None if timeout_s is None else max(0.0, timeout_s) * 1000))
        if follows and ending in found:  # whatever there is to be followed, which may be no end of it
            raise Ending
        if fd in found:
            return True
        if self.sock.fileno() in found:
            raise Gone
        if found:
            raise Ending
        return False

    def hijack(self, head: bytes) -> socket.socket:
        """Take the connection from HTTP, send these bytes, and return it as a plain socket, to be closed."""
        self._hijacked = True
        self.sock.settimeout(None)
        self.sock.sendall(head)
        if _is_tls(self.sock):
            from moby_frontend.docker.tls import bridged

            return bridged(self.sock)
        return self.sock

    def early(self) -> bytes:
        """Return what the client sent after the call, once it is hijacked."""
        return bytes(self._h11.trailing_data[0]) if self._chunks is None else self._chunks.rest

    def draining_fd(self) -> int:
        """Return a descriptor that becomes readable once no call begins any more; it stays this one's."""
        return self._ends.draining_fd

    def ending_fd(self) -> int:
        """Return a descriptor that becomes readable once calls under way are given up; it stays this one's."""
        return self._ends.ending_fd

    def common_headers(self) -> tuple[tuple[str, str], ...]:
        """Return the headers that all answers have."""
        found: tuple[tuple[str, str], ...] = self._common()
        return found


def _closes(reply: Reply) -> bool:
    return any(name == "Connection" for name, _ in reply.headers)


_date = lru_cache(maxsize=1)(http_date)


_REASONS = {
    200: "OK", 201: "Created", 204: "No Content", 304: "Not Modified", 400: "Bad Request", 401: "Unauthorized",
    403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed", 408: "Request Timeout", 409: "Conflict",
    413: "Content Too Large", 431: "Request Header Fields Too Large", 500: "Internal Server Error",
    501: "Not Implemented", 503: "Service Unavailable", 505: "HTTP Version Not Supported",
}  # fmt: skip
