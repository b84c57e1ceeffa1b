"""One end of a connection, without any I/O: bytes in, events out; what is to be sent is returned."""

import struct
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache

from attrs import define, frozen
from hpack import Decoder, Encoder
from hpack.exceptions import HPACKError

from moby.grpc.frames import (
    ACK,
    END_HEADERS,
    END_STREAM,
    PREFACE,
    Code,
    Frame,
    Frames,
    Kind,
    ProtocolError,
    Setting,
    frame,
    settings,
    settings_in,
)

__all__ = ["Chunk", "Connection", "Event", "Headers", "Reset", "WentAway", "WindowOpened"]

HeaderList = Sequence[tuple[str, str]]
_LARGEST_WINDOW = (1 << 31) - 1
_DEFAULT_WINDOW = 65535
_MOST_HEADER_BYTES = 128 << 10
"""Of one block, before and after it is unpacked."""
_MOST_CODED_BYTES = 4096
_LONG = struct.Struct(">L")


@frozen
class Headers:
    """A stream begins, or, where it had headers before, its trailers."""

    stream: int
    headers: tuple[tuple[str, str], ...]
    ended: bool


@frozen
class Chunk:
    """Data of a stream; its reader says when it has taken it (`Connection.taken`)."""

    stream: int
    data: bytes
    size: int
    ended: bool


@frozen
class Reset:
    """The peer has given up a stream."""

    stream: int
    code: int


@frozen
class WindowOpened:
    """More may be sent, on one stream, or (0) on all."""

    stream: int


@frozen
class WentAway:
    """The peer takes no more streams than up to this one."""

    last: int


Event = Headers | Chunk | Reset | WindowOpened | WentAway


@define
class _Stream:
    """What is known of a stream."""

    room: int
    """How many bytes may be sent."""
    unread: int = 0
    """How many came and aren't taken."""
    owed: int = 0
    """How many of those that were taken the peer hasn't been told of."""
    sent_end: bool = False
    seen_end: bool = False


class Connection:
    """A connection, used by one thread at a time.

    A stream is forgotten once both ends have ended it. ProtocolError ends the connection.
    """

    def __init__(self, *, client: bool, window: int, most_streams: int = 100) -> None:
        self.client = client
        self._window, self._most_streams = window, most_streams
        self._frames = Frames()
        self._greeted = client
        self._early = b""
        self._decoder = Decoder(_MOST_HEADER_BYTES)
        self._streams: dict[int, _Stream] = {}
        self._next = 1 if client else 2
        self._last = 0
        self._room, self._initial, self._largest_frame = _DEFAULT_WINDOW, _DEFAULT_WINDOW, 16384
        self._owed = 0
        self._block: list[bytes] = []
        self._block_of: Frame | None = None
        self._out: list[bytes] = []

    # Sending --------------------------------------------------------------------------------------------------------

    def begin(self) -> bytes:
        """Return what is sent first."""
        wanted = {
            Setting.INITIAL_WINDOW_SIZE: self._window,
            Setting.MAX_HEADER_LIST_SIZE: _MOST_HEADER_BYTES,
            **({Setting.ENABLE_PUSH: 0} if self.client else {Setting.MAX_CONCURRENT_STREAMS: self._most_streams}),
        }
        more = frame(Kind.WINDOW_UPDATE, 0, 0, _LONG.pack(_LARGEST_WINDOW - _DEFAULT_WINDOW))
        return (PREFACE if self.client else b"") + settings(wanted) + more

    @property
    def owes(self) -> bool:
        """Whether something is `pending`."""
        return bool(self._out)

    def pending(self) -> bytes:
        """Return what is to be sent for what was received."""
        found, self._out = b"".join(self._out), []
        return found

    def open(self, headers: HeaderList, *, end: bool = False) -> tuple[int, bytes]:
        """Begin a stream; return its number and what is to be sent."""
        number = self._next
        self._next += 2
        self._streams[number] = _Stream(self._initial)
        return number, self.headers(number, headers, end=end)

    def headers(self, number: int, headers: HeaderList, *, end: bool = False) -> bytes:
        """Return headers, or trailers, as they are to be sent."""
        block = _block(tuple(headers))
        pieces = [block[at : at + self._largest_frame] for at in range(0, len(block), self._largest_frame)] or [b""]
        kinds = [Kind.HEADERS, *[Kind.CONTINUATION] * (len(pieces) - 1)]
        flags = [END_STREAM if end else 0, *[0] * (len(pieces) - 1)]
        flags[-1] |= END_HEADERS
        if end:
            self._end(number, sent=True)
        parts = zip(kinds, flags, pieces, strict=True)
        return b"".join(frame(kind, flag, number, piece) for kind, flag, piece in parts)

    def knows(self, number: int) -> bool:
        """Return whether a stream is open, at least one way."""
        return number in self._streams

    def room(self, number: int) -> int:
        """Return how many bytes a stream may send now; 0 too where it is over."""
        stream = self._streams.get(number)
        return max(0, min(stream.room, self._room)) if stream and not stream.sent_end else 0

    def data(self, number: int, data: bytes, *, end: bool = False) -> bytes:
        """Return data as they are to be sent; there must be room for them."""
        stream = self._streams[number]
        stream.room -= len(data)
        self._room -= len(data)
        size = self._largest_frame
        pieces = [data[at : at + size] for at in range(0, len(data), size)] or [b""]
        flags = [0] * (len(pieces) - 1) + [END_STREAM if end else 0]
        if end:
            self._end(number, sent=True)
        return b"".join(frame(Kind.DATA, flag, number, piece) for flag, piece in zip(flags, pieces, strict=True))

    def taken(self, number: int, size: int) -> bytes:
        """Note that a stream's reader took what came; return what is to be sent, often nothing."""
        stream = self._streams.get(number)
        if stream is None:
            return b""
        stream.unread -= size
        stream.owed += size
        if stream.owed < self._window // 2 or stream.seen_end:
            return b""
        owed, stream.owed = stream.owed, 0
        return frame(Kind.WINDOW_UPDATE, 0, number, _LONG.pack(owed))

    def reset(self, number: int, code: Code) -> bytes:
        """Give a stream up; return what is to be sent."""
        known = self._streams.pop(number, None)
        return frame(Kind.RST_STREAM, 0, number, _LONG.pack(code)) if known else b""

    def leave(self, code: Code, message: str = "") -> bytes:
        """Return the last that is sent."""
        return frame(Kind.GOAWAY, 0, 0, _LONG.pack(self._last) + _LONG.pack(code) + message.encode()[:200])

    def _end(self, number: int, *, sent: bool) -> None:
        stream = self._streams.get(number)
        if stream is None:
            return
        if sent:
            stream.sent_end = True
        else:
            stream.seen_end = True
        if stream.sent_end and stream.seen_end:
            del self._streams[number]

    # Receiving ------------------------------------------------------------------------------------------------------

    def receive(self, data: bytes) -> Iterator[Event]:
        """Take bytes from the peer; yield what they mean. Then `pending` is to be sent."""
        if not self._greeted:
            self._early += data
            if not PREFACE.startswith(self._early[: len(PREFACE)]):
                raise ProtocolError(Code.PROTOCOL_ERROR, "this isn't HTTP/2")
            if len(self._early) < len(PREFACE):
                return
            data, self._early, self._greeted = self._early[len(PREFACE) :], b"", True
        for each in self._frames.feed(data):
            yield from self._frame(each)
        self._grant()

    def _frame(self, each: Frame) -> Iterator[Event]:
        if self._block_of is not None and (each.kind != Kind.CONTINUATION or each.stream != self._block_of.stream):
            raise ProtocolError(Code.PROTOCOL_ERROR, "headers that something else breaks into")
        read = _READERS.get(each.kind)
        if read is not None:
            yield from read(self, each)

    def _grant(self) -> None:
        """Let the peer send as much again on the connection: only streams hold it back."""
        if self._owed > _LARGEST_WINDOW // 4:
            self._out.append(frame(Kind.WINDOW_UPDATE, 0, 0, _LONG.pack(self._owed)))
            self._owed = 0

    def _data(self, each: Frame) -> Iterator[Event]:
        self._owed += each.size
        stream = self._known(each)
        if stream is None or stream.seen_end:
            return  # of one that was given up here, while this was on its way
        stream.unread += each.size
        if stream.unread + stream.owed > self._window:
            raise ProtocolError(Code.FLOW_CONTROL_ERROR, "more data than the window has room for")
        ended = each.has(END_STREAM)
        if ended:
            self._end(each.stream, sent=False)
        yield Chunk(each.stream, each.payload, each.size, ended)

    def _known(self, each: Frame) -> _Stream | None:
        """Return a stream that is open; None for one that was, an error for one that never was."""
        if each.stream == 0 or (each.stream > self._last and each.stream >= self._next):
            raise ProtocolError(Code.PROTOCOL_ERROR, f"a frame for the stream {each.stream}, which isn't there")
        return self._streams.get(each.stream)

    def _headers(self, each: Frame) -> Iterator[Event]:
        self._block = [each.payload]
        self._block_of = each
        yield from self._block_ended(each)

    def _continuation(self, each: Frame) -> Iterator[Event]:
        if self._block_of is None:
            raise ProtocolError(Code.PROTOCOL_ERROR, "a continuation of nothing")
        self._block.append(each.payload)
        # Many empty ones would take as long as full ones.
        if sum(map(len, self._block)) > _MOST_HEADER_BYTES or len(self._block) > 64:
            raise ProtocolError(Code.ENHANCE_YOUR_CALM, "headers that don't end")
        yield from self._block_ended(each)

    def _block_ended(self, each: Frame) -> Iterator[Event]:
        if not each.has(END_HEADERS):
            return
        first, self._block_of = self._block_of, None
        assert first is not None
        try:
            found = self._decoder.decode(b"".join(self._block), raw=True)
        except (HPACKError, IndexError, ValueError) as error:
            raise ProtocolError(Code.COMPRESSION_ERROR, f"headers that can't be read: {error}") from error
        headers = tuple((name.decode("latin-1"), value.decode("utf-8", "replace")) for name, value in found)
        ended = first.has(END_STREAM)
        if first.stream not in self._streams and not self._began(first.stream):
            return
        if ended:
            self._end(first.stream, sent=False)
        yield Headers(first.stream, headers, ended)

    def _began(self, number: int) -> bool:
        """Note a stream that the peer begins; return whether it is one."""
        if self.client or number <= self._last:
            if number == 0 or (self.client and number >= self._next):
                raise ProtocolError(Code.PROTOCOL_ERROR, f"headers for the stream {number}, which isn't there")
            return False  # trailers of one that was given up here
        if number % 2 == 0:
            raise ProtocolError(Code.PROTOCOL_ERROR, f"a client began the stream {number}")
        self._last = number
        if len(self._streams) >= self._most_streams:
            self._out.append(frame(Kind.RST_STREAM, 0, number, _LONG.pack(Code.REFUSED_STREAM)))
            return False
        self._streams[number] = _Stream(self._initial)
        return True

    def _reset(self, each: Frame) -> Iterator[Event]:
        self._known(each)
        if self._streams.pop(each.stream, None) is not None:
            yield Reset(each.stream, _number(each))

    def _settings(self, each: Frame) -> Iterator[Event]:
        if each.has(ACK):
            return
        for key, value in settings_in(each.payload):
            if key == Setting.INITIAL_WINDOW_SIZE:
                if value > _LARGEST_WINDOW:
                    raise ProtocolError(Code.FLOW_CONTROL_ERROR, f"a window of {value} bytes")
                for stream in self._streams.values():
                    stream.room += value - self._initial
                self._initial = value
            elif key == Setting.MAX_FRAME_SIZE:
                if not 16384 <= value < 1 << 24:
                    raise ProtocolError(Code.PROTOCOL_ERROR, f"frames of {value} bytes")
                self._largest_frame = min(value, 1 << 20)
        self._out.append(frame(Kind.SETTINGS, ACK, 0))
        yield WindowOpened(0)

    def _ping(self, each: Frame) -> Iterator[Event]:
        if len(each.payload) != 8:
            raise ProtocolError(Code.FRAME_SIZE_ERROR, "a ping that isn't 8 bytes")
        if not each.has(ACK):
            self._out.append(frame(Kind.PING, ACK, 0, each.payload))
        yield from ()

    def _goaway(self, each: Frame) -> Iterator[Event]:
        if len(each.payload) < 8:
            raise ProtocolError(Code.FRAME_SIZE_ERROR, "half a farewell")
        yield WentAway(_LONG.unpack_from(each.payload)[0] & 0x7FFFFFFF)

    def _window_update(self, each: Frame) -> Iterator[Event]:
        more = _number(each) & 0x7FFFFFFF
        if each.stream == 0:
            self._room = self._widened(self._room, more)
        else:
            stream = self._known(each)
            if stream is None:
                return
            stream.room = self._widened(stream.room, more)
        yield WindowOpened(each.stream)

    def _widened(self, room: int, more: int) -> int:
        if more == 0 or room + more > _LARGEST_WINDOW:
            raise ProtocolError(Code.FLOW_CONTROL_ERROR, f"a window that grows by {more} to {room + more}")
        return room + more

    def _pushed(self, each: Frame) -> Iterator[Event]:
        raise ProtocolError(Code.PROTOCOL_ERROR, "a push that nobody wanted")


def _block(headers: tuple[tuple[str, str], ...]) -> bytes:
    """Return headers packed; the peer is to remember none, so that the same ones are always the same bytes."""
    if sum(len(name) + len(value) for name, value in headers) <= _MOST_CODED_BYTES:
        return _short_block(headers)
    # Huffman's code saves little of long ones, and to make it takes hpack a time that grows with their square.
    return _packed(headers, huffman=False)


@lru_cache(maxsize=64)
def _short_block(headers: tuple[tuple[str, str], ...]) -> bytes:
    """Return headers packed, which are the same for many calls; what an error is told with isn't kept."""
    return _packed(headers, huffman=True)


def _packed(headers: tuple[tuple[str, str], ...], *, huffman: bool) -> bytes:
    encoder = Encoder()
    encoder.header_table_size = 0
    return encoder.encode(list(headers), huffman=huffman)


def _number(each: Frame) -> int:
    if len(each.payload) != 4:
        raise ProtocolError(Code.FRAME_SIZE_ERROR, f"{len(each.payload)} bytes where 4 are a number")
    found: int = _LONG.unpack(each.payload)[0]
    return found


_READERS: dict[int, Callable[[Connection, Frame], Iterator[Event]]] = {
    Kind.DATA: Connection._data,
    Kind.HEADERS: Connection._headers,
    Kind.RST_STREAM: Connection._reset,
    Kind.SETTINGS: Connection._settings,
    Kind.PUSH_PROMISE: Connection._pushed,
    Kind.PING: Connection._ping,
    Kind.GOAWAY: Connection._goaway,
    Kind.WINDOW_UPDATE: Connection._window_update,
    Kind.CONTINUATION: Connection._continuation,
}
