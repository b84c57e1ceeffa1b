"""Frames: what both ends of HTTP/2 exchange (RFC 9113, section 4 and 6)."""

import struct
from collections.abc import Iterator
from enum import IntEnum

from attrs import frozen

from moby.errors import MobyError

__all__ = [
    "ACK", "END_HEADERS", "END_STREAM", "PREFACE", "Code", "Frame", "Frames", "Kind", "ProtocolError", "Setting",
    "frame", "settings",
]  # fmt: skip

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
MOST_BYTES = 16384
"""Of a frame that comes: what every peer keeps to that isn't told otherwise."""
END_STREAM = ACK = 0x1
END_HEADERS, PADDED, PRIORITY = 0x4, 0x8, 0x20
_HEAD = struct.Struct(">BHBBL")
_SETTING = struct.Struct(">HL")


class Kind(IntEnum):
    """Types of frames."""

    DATA = 0
    HEADERS = 1
    PRIORITY = 2
    RST_STREAM = 3
    SETTINGS = 4
    PUSH_PROMISE = 5
    PING = 6
    GOAWAY = 7
    WINDOW_UPDATE = 8
    CONTINUATION = 9


class Setting(IntEnum):
    """What ends tell each other."""

    HEADER_TABLE_SIZE = 1
    ENABLE_PUSH = 2
    MAX_CONCURRENT_STREAMS = 3
    INITIAL_WINDOW_SIZE = 4
    MAX_FRAME_SIZE = 5
    MAX_HEADER_LIST_SIZE = 6


class Code(IntEnum):
    """Why a stream or a connection ends."""

    NO_ERROR = 0
    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2
    FLOW_CONTROL_ERROR = 3
    STREAM_CLOSED = 5
    FRAME_SIZE_ERROR = 6
    REFUSED_STREAM = 7
    CANCEL = 8
    COMPRESSION_ERROR = 9
    ENHANCE_YOUR_CALM = 11


class ProtocolError(MobyError):
    """The peer doesn't keep to HTTP/2; the connection is over."""

    exit_code = 3

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message)
        self.code = code


@frozen
class Frame:
    """A frame, without its padding."""

    kind: int
    flags: int
    stream: int
    payload: bytes
    size: int
    """Of the payload as it was sent, which is what windows count."""

    def has(self, flag: int) -> bool:
        """Whether a flag is set."""
        return self.flags & flag != 0


def frame(kind: Kind, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """Return a frame as it is sent."""
    return _HEAD.pack(len(payload) >> 16, len(payload) & 0xFFFF, kind, flags, stream) + payload


def settings(values: dict[Setting, int]) -> bytes:
    """Return a frame of settings."""
    return frame(Kind.SETTINGS, 0, 0, b"".join(_SETTING.pack(key, value) for key, value in values.items()))


def settings_in(payload: bytes) -> Iterator[tuple[int, int]]:
    """Yield the settings of a frame."""
    if len(payload) % _SETTING.size:
        raise ProtocolError(Code.FRAME_SIZE_ERROR, "settings that are cut short")
    yield from _SETTING.iter_unpack(payload)


class Frames:
    """Bytes in, frames out."""

    def __init__(self) -> None:
        self._held = b""

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Yield the frames that are whole with these bytes."""
        data = self._held + data if self._held else data
        at, end = 0, len(data)
        try:
            while end - at >= _HEAD.size:
                high, low, kind, flags, stream = _HEAD.unpack_from(data, at)
                size = high << 16 | low
                if size > MOST_BYTES:
                    raise ProtocolError(Code.FRAME_SIZE_ERROR, f"a frame of {size} bytes")
                if end - at < _HEAD.size + size:
                    return
                start = at + _HEAD.size
                at = start + size
                payload = data[start:at]
                if flags & (PADDED | PRIORITY):
                    payload = _bare(kind, flags, payload)
                yield Frame(kind, flags, stream & 0x7FFFFFFF, payload, size)
        finally:
            self._held = data[at:]


def _bare(kind: int, flags: int, payload: bytes) -> bytes:
    """Return what a frame carries, without padding and priority."""
    if flags & PADDED and kind in {Kind.DATA, Kind.HEADERS}:
        if not payload or payload[0] >= len(payload):
            raise ProtocolError(Code.PROTOCOL_ERROR, "a frame with more padding than bytes")
        payload = payload[1 : len(payload) - payload[0]]
    if flags & PRIORITY and kind == Kind.HEADERS:
        if len(payload) < 5:
            raise ProtocolError(Code.FRAME_SIZE_ERROR, "headers with half a priority")
        payload = payload[5:]
    return payload
