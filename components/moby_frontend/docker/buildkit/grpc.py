"""gRPC over HTTP/2 (grpc.io, PROTOCOL-HTTP2): calls that this end makes, and calls that it answers."""

import base64
import binascii
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from enum import IntEnum
from typing import Any, TypeVar
from urllib.parse import quote_from_bytes, unquote

from attrs import define, field, frozen

from moby.errors import Invalid, MobyError
from moby_frontend.docker.buildkit.http2.frames import Code as Http2Code
from moby_frontend.docker.buildkit.http2.link import Given, Link, Stream
from moby_frontend.docker.buildkit.messages import decode, encode
from moby_frontend.docker.buildkit.protocol.common import Any as AnyMessage
from moby_frontend.docker.buildkit.protocol.common import Status

__all__ = ["Answering", "Caller", "Code", "Exchange", "Fault", "Messages", "Method", "Served", "pack"]

M = TypeVar("M")
_PREFIX_BYTES = 5
_MOST_BYTES = 16 << 20
"""Of a message that comes."""
_MOST_CALLS = 64
"""Under way on one connection."""
_BEGINNING = ((":status", "200"), ("content-type", "application/grpc"))
_END = (("grpc-status", "0"),)
"""Headers before and after an answer."""
_DETAILS = "grpc-status-details-bin"
_MOST_TEXT_BYTES = 64 << 10
_MOST_DETAILS_BYTES = 8 << 20
"""Of an error: clients take 16 MiB of headers in all (grpc-go), and lose a call that has more."""
_RELAYED = re.compile(r"^rpc error: code = \w+ desc = ")
"""What clients write before what somebody else told them."""


class Code(IntEnum):
    """How a call ends (google.rpc.Code)."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    UNAUTHENTICATED = 16


_CODES = frozenset(map(str, range(17)))
"""All that there are, as they are written."""


class Fault(MobyError):
    """A call that failed: its code, and what else is said of why."""

    exit_code = 1

    def __init__(self, code: int, message: str, details: Sequence[AnyMessage] = ()) -> None:
        super().__init__(message)
        self.code, self.details = code, tuple(details)


def pack(message: Any) -> bytes:
    """Return a message with its length before it."""
    data = encode(message)
    return b"\0" + len(data).to_bytes(4, "big") + data


class Messages:
    """Bytes in, messages out, as they are on the wire."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._wanted = 0
        """How many bytes are to be held before there is anything to do with them."""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield what is whole with these bytes; Invalid for what is compressed, or too large."""
        if self._held:
            self._held += data
            if len(self._held) < self._wanted:  # else a message in small pieces would be copied for each
                return
            data = bytes(self._held)
            self._held.clear()
        self._wanted = _PREFIX_BYTES
        at, end = 0, len(data)
        while end - at >= _PREFIX_BYTES:
            size = int.from_bytes(data[at + 1 : at + _PREFIX_BYTES], "big")
            if data[at]:
                raise Invalid("a message that is compressed, which nobody asked for")
            if size > _MOST_BYTES:
                raise Invalid(f"a message of {size} bytes; at most {_MOST_BYTES} are allowed")
            start = at + _PREFIX_BYTES
            if end - start < size:
                self._wanted = _PREFIX_BYTES + size
                break
            at = start + size
            yield data[start:at]
        self._held += data[at:]

    def whole(self) -> bool:
        """Return whether nothing is left over."""
        return not self._held


# Calls that this end makes ------------------------------------------------------------------------------------------


class Exchange:
    """A call under way: one thread sends, one receives. Fault is how the peer ended it; Given that it never did."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._messages = Messages()

    def send(self, *messages: Any, end: bool = False) -> None:
        """Send messages, at once; `end` says that no more follow."""
        try:
            self._stream.send(b"".join(map(pack, messages)), end=end)
        except Given:
            if self._stream.trailers:
                self._check()  # the peer ended the call, and said how, before it had all of it
                if not messages:
                    return
            raise

    def batches(self, kind: type[M]) -> Iterator[list[M]]:
        """Yield messages as they come, those that came together at once, to the end of the call."""
        while data := self._stream.receive():
            found = [decode(kind, each) for each in self._messages.feed(data)]
            if found:
                yield found
        self._check()

    def waiting(self, kind: type[M]) -> list[M]:
        """Return what has come so far, without waiting."""
        return [decode(kind, each) for each in self._messages.feed(self._stream.receive(wait=False))]

    def begun(self) -> None:
        """Wait for the peer's first word; Fault where that is how it ended."""
        self._stream.begun()
        if self._stream.trailers:
            self._check()

    def finish(self) -> None:
        """Wait for the end of the call; what comes before is dropped."""
        while self._stream.receive():
            pass
        self._check()

    def close(self) -> None:
        """Let go of it, however far it is; a repeated call does nothing."""
        self._stream.give_up()

    def __enter__(self) -> "Exchange":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _check(self) -> None:
        """Raise how the call ended, unless that was well."""
        trailers = dict(self._stream.trailers or self._stream.headers)
        if "grpc-status" not in trailers:
            raise Fault(Code.UNAVAILABLE, f"a call ended without its status ({trailers.get(':status', 'no headers')})")
        code = trailers["grpc-status"]
        if code != "0":
            text = _RELAYED.sub("", unquote(trailers.get("grpc-message", "")))
            details = details_of(trailers.get(_DETAILS, ""))
            raise Fault(int(code) if code in _CODES else Code.UNKNOWN, text, details)
        if not self._messages.whole():
            raise Fault(Code.INTERNAL, "a call ended within a message")


@frozen
class Caller:
    """Makes calls over a link."""

    link: Link

    def begin(self, path: str, metadata: Sequence[tuple[str, str]] = ()) -> Exchange:
        """Begin a call."""
        head = [
            (":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "localhost"), ("te", "trailers"),
            ("content-type", "application/grpc"), *metadata,
        ]  # fmt: skip
        return Exchange(self.link.open(head))

    def ask(self, path: str, request: Any, kind: type[M], metadata: Sequence[tuple[str, str]] = ()) -> M:
        """Make a call of one message each way."""
        with self.begin(path, metadata) as exchange:
            exchange.send(request, end=True)
            found: list[M] = []
            for batch in exchange.batches(kind):
                found += batch
                if len(found) > 1:
                    break
        if len(found) != 1:
            raise Fault(Code.INTERNAL, f"{len(found)} answers where one was asked for")
        return found[0]


# Calls that this end answers ----------------------------------------------------------------------------------------


@define
class Served:
    """A call that is answered: what came with it, and what it may do besides answering."""

    metadata: Mapping[str, str]
    _stream: Stream
    afterwards: list[Callable[[], None]] = field(factory=list)
    """Called once the client has its answer."""

    def when_lost(self, call: Callable[[], None]) -> None:
        """Have something called when the client gives the call up, at once where it has."""
        self._stream.when_lost(call)


@frozen
class Method:
    """What answers a call: from a request to a message, or to an iterator of them."""

    request: type
    handler: Callable[[Served, Any], Any]


class Answering:
    """Answers the calls that come over a link, each in a thread of its own."""

    def __init__(
        self, methods: Mapping[str, Method], fault: Callable[[Exception], Fault], tell: Callable[[str, Exception], None]
    ) -> None:
        self._methods, self._fault, self._tell = methods, fault, tell
        self._changed = threading.Condition()
        self._count = 0

    def busy(self) -> bool:
        """Return whether calls are under way."""
        return self._count > 0

    def wait(self, patience_s: float) -> None:
        """Wait until no call is under way, at most so long."""
        with self._changed:
            self._changed.wait_for(lambda: not self._count, patience_s)

    def accept(self, stream: Stream) -> None:
        """Answer a call."""
        with self._changed:
            refused = self._count >= _MOST_CALLS
            self._count += not refused
        if refused:
            stream.give_up(Http2Code.REFUSED_STREAM)
            return
        threading.Thread(target=self._answer, args=(stream,), name="build call", daemon=True).start()

    def _answer(self, stream: Stream) -> None:
        metadata = dict(stream.headers)
        call = Served(metadata, stream)
        try:
            self._run(call, stream, metadata.get(":path", ""))
        except Exception as error:
            fault = self._fault(error)
            if fault.code == Code.INTERNAL:
                self._tell(metadata.get(":path", ""), error)
            with suppress(Given):
                self._fail(stream, fault)
        finally:
            for each in call.afterwards:
                each()
            with self._changed:
                self._count -= 1
                self._changed.notify_all()

    def _run(self, call: Served, stream: Stream, path: str) -> None:
        method = self._methods.get(path)
        if method is None:
            raise Fault(Code.UNIMPLEMENTED, f"unknown method {path}")
        answer = method.handler(call, decode(method.request, _whole(stream)))
        if isinstance(answer, Iterator):
            stream.send_headers(_BEGINNING)
            for each in answer:
                stream.send(pack(each))
            stream.send_headers(_END, end=True)
            return
        data = pack(answer)
        with stream.together():
            stream.send_headers(_BEGINNING)
            stream.send(data)
            stream.send_headers(_END, end=True)

    def _fail(self, stream: Stream, fault: Fault) -> None:
        """Tell how the call ended; what streams were sent before stays."""
        status = Status(fault.code, fault.message[:_MOST_TEXT_BYTES], list(fault.details))
        text = quote_from_bytes(
            fault.message.encode("utf-8", "replace")[:_MOST_TEXT_BYTES], safe=" !\"#$&'()*+,-./:;<=>?@[\\]^_`{|}~"
        )
        details = base64.b64encode(encode(status)).decode().rstrip("=")
        trailers = [("grpc-status", str(int(fault.code))), ("grpc-message", text)]
        if fault.details and len(details) <= _MOST_DETAILS_BYTES:
            trailers.append((_DETAILS, details))
        begun = () if stream.answered else _BEGINNING
        stream.send_headers((*begun, *trailers), end=True)


def _whole(stream: Stream) -> bytes:
    """Return a call's one message."""
    messages = Messages()
    found: list[bytes] = []
    for data in iter(stream.receive, b""):
        found += messages.feed(data)
        if len(found) > 1:
            break
    if len(found) != 1:
        raise Fault(Code.INVALID_ARGUMENT, f"{len(found)} messages where one is asked for")
    return found[0]


def details_of(text: str) -> tuple[AnyMessage, ...]:
    """Return what a peer said besides of why a call failed; what can't be read is left out."""
    try:
        return tuple(decode(Status, base64.b64decode(text + "=" * (-len(text) % 4))).details)
    except (binascii.Error, ValueError, Invalid):
        return ()
