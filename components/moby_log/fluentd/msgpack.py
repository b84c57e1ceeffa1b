"""The part of MessagePack that events need, written and not read (msgpack's spec.md); a record costs one join."""

from collections.abc import Mapping

__all__ = ["array_head", "event_time", "mapping", "text", "unsigned"]


def text(data: bytes) -> bytes:
    """Return a string."""
    size = len(data)
    if size < 32:
        return bytes((0xA0 | size,)) + data
    if size < 1 << 8:
        return bytes((0xD9, size)) + data
    if size < 1 << 16:
        return b"\xda" + size.to_bytes(2, "big") + data
    return b"\xdb" + size.to_bytes(4, "big") + data


def unsigned(value: int) -> bytes:
    """Return an integer from 0 on."""
    if value < 1 << 7:
        return bytes((value,))
    for code, width in ((b"\xcc", 1), (b"\xcd", 2), (b"\xce", 4)):
        if value < 1 << 8 * width:
            return code + value.to_bytes(width, "big")
    return b"\xcf" + value.to_bytes(8, "big")


def mapping(values: Mapping[bytes, bytes]) -> bytes:
    """Return a map of strings to strings."""
    size = len(values)
    head = bytes((0x80 | size,)) if size < 16 else b"\xde" + size.to_bytes(2, "big")
    return head + b"".join([text(each) for pair in values.items() for each in pair])


def array_head(size: int) -> bytes:
    """Return what comes before fewer than 16 values."""
    return bytes((0x90 | size,))


def event_time(time_ns: int) -> bytes:
    """Return a time with nanoseconds (Fluentd's forward protocol v1, EventTime: extension 0 of eight bytes)."""
    seconds, rest = divmod(time_ns, 10**9)
    return b"\xd7\x00" + (seconds & 0xFFFFFFFF).to_bytes(4, "big") + rest.to_bytes(4, "big")
