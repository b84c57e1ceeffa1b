"""Attaching by a WebSocket (RFC 6455), as browsers can: binary messages both ways, without docker's frames."""

import base64
import hashlib
import socket
from contextlib import closing, suppress

from moby.contracts.log_driver import STDERR, STDOUT
from moby.contracts.supervisor import Streams
from moby_frontend.docker.call import Call, Reply, plain
from moby_frontend.docker.handlers.attaching import Run, prepare, release, send_past, tell_detached
from moby_frontend.docker.hijack import Pump, keys
from moby_frontend.docker.parts import Parts

__all__ = ["Messages", "attach", "message"]

_MAGIC = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_TEXT, _BINARY, _CLOSE, _PING, _PONG = 1, 2, 8, 9, 10
_LONGEST = 1 << 20


def attach(parts: Parts, call: Call) -> Reply | None:
    """Attach to it."""
    key = call.headers.get("sec-websocket-key", "")
    if call.headers.get("upgrade", "").lower() != "websocket" or not key:
        return plain("not websocket protocol", 400)
    with closing(Run(parts, call)) as run:
        _attach(parts, call, key, run)
    return None


def _attach(parts: Parts, call: Call, key: str, run: Run) -> None:
    query = call.query
    detach = keys(query.text("detachKeys"))
    old = call.version < (1, 42)
    forced = {"stream": True} | ({"stdout": True, "stderr": True} if old else {})
    container, streams, past = prepare(parts, call, forced)
    accept = base64.b64encode(hashlib.sha1((key + _MAGIC).encode(), usedforsecurity=False).digest()).decode()
    protocol = call.headers.get("sec-websocket-protocol", "").partition(",")[0].strip()
    chosen = f"Sec-WebSocket-Protocol: {protocol}\r\n" if protocol else ""
    try:
        early = call.link.early()
        sock = call.link.hijack(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Accept: {accept}\r\n{chosen}\r\n".encode()
        )
    except BaseException:
        release(streams, past)
        raise
    kind = _BINARY if call.version >= (1, 28) else _TEXT
    messages = Messages(sock.sendall)
    pump = Pump(sock, streams, call.link.ending_fd(), terminal=container.config.terminal, carried=run.carried)

    def end(sock: socket.socket) -> Streams | None:
        """Say that nothing follows, once the container is shown as ended; or return what does."""
        fresh = run.await_end(container, sock)
        if fresh is None and not run.given_up:
            with suppress(OSError):  # who has gone meanwhile
                sock.sendall(message(_CLOSE, (1000).to_bytes(2, "big")))
        return fresh

    send_past(_Wrapped(sock.sendall, kind), past)
    pump.run(
        early,
        stdin=(old or query.flag("stdin")) and container.config.open_stdin,
        stdout=old or query.flag("stdout"),
        stderr=old or query.flag("stderr"),
        until_eof=not container.config.stdin_once or container.config.terminal,
        detach=detach if container.config.terminal else b"",
        receive=messages.feed,
        wrap=lambda stream, data: message(kind, data) if stream in {STDOUT, STDERR} else b"",
        last=end,
    )
    if pump.detached:
        tell_detached(parts, container, "detach")


def message(kind: int, data: bytes) -> bytes:
    """Return one whole message of a server's, which isn't masked (section 5.2)."""
    size = len(data)
    if size < 126:
        return bytes((0x80 | kind, size)) + data
    if size < 65536:
        return bytes((0x80 | kind, 126)) + size.to_bytes(2, "big") + data
    return bytes((0x80 | kind, 127)) + size.to_bytes(8, "big") + data


class _Wrapped:
    """Sends what it is given as messages."""

    def __init__(self, send: object, kind: int) -> None:
        self._send, self._kind = send, kind

    def sendall(self, data: bytes) -> None:
        """Send a message."""
        self._send(message(self._kind, data))  # type: ignore[operator]


class Messages:
    """Takes a client's messages apart: bytes in, what they say out; pings are answered."""

    def __init__(self, send: object) -> None:
        self._send = send
        self._buffer = b""

    def feed(self, data: bytes) -> bytes | None:
        """Return what whole messages said, None at the end, or where it is no WebSocket's."""
        self._buffer += data
        said = bytearray()
        while (found := self._next()) is not None:
            kind, content = found
            if kind == _CLOSE:
                return None if not said else bytes(said)
            if kind == _PING:
                self._send(message(_PONG, content))  # type: ignore[operator]
            elif kind != _PONG:
                said += content
        return None if len(self._buffer) > _LONGEST + 14 else bytes(said)

    def _next(self) -> tuple[int, bytes] | None:
        """Return the next whole frame's kind and content."""
        buffer = self._buffer
        if len(buffer) < 2:
            return None
        size, at = buffer[1] & 0x7F, 2
        if size > 125:
            width = 2 if size == 126 else 8
            if len(buffer) < 2 + width:
                return None
            size, at = int.from_bytes(buffer[2 : 2 + width], "big"), 2 + width
        if not buffer[1] & 0x80 or size > _LONGEST:
            self._buffer = b""
            return _CLOSE, b""  # a client has to mask (section 5.1)
        if len(buffer) < at + 4 + size:
            return None
        mask = buffer[at : at + 4]
        content = buffer[at + 4 : at + 4 + size]
        self._buffer = buffer[at + 4 + size :]
        whole = (mask * (size // 4 + 1))[:size]
        plain_ = (int.from_bytes(content, "big") ^ int.from_bytes(whole, "big")).to_bytes(size, "big")
        return buffer[0] & 0x0F, plain_
