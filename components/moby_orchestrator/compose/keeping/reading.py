"""The output of several containers as one stream, in the order in which it arrives."""

import os
import selectors
import threading
from collections.abc import Mapping, Sequence

from attrs import define

from moby.contracts.types import Fd

__all__ = ["merged", "with_details"]

_HEAD = 8


@define
class _Source:
    """One container's output, and what of it isn't a whole record yet."""

    details: bytes
    rest: bytes = b""

    def records(self, data: bytes, *, framed: bool) -> list[tuple[bytes, bytes]]:
        """Return heads and texts of whole records."""
        self.rest += data
        found: list[tuple[bytes, bytes]] = []
        while True:
            if framed:
                end = _HEAD + int.from_bytes(self.rest[4:_HEAD], "big") if len(self.rest) >= _HEAD else 0
                if not end or len(self.rest) < end:
                    return found
                found.append((self.rest[:4], self.rest[_HEAD:end]))
            else:
                end = self.rest.find(b"\n") + 1
                if not end:
                    return found
                found.append((b"", self.rest[:end]))
            self.rest = self.rest[end:]


def with_details(text: bytes, details: bytes, *, timestamps: bool) -> bytes:
    """Return a record with details before it, after its time where it has one."""
    if not details:
        return text
    if not timestamps:
        return details + b" " + text
    moment, _, rest = text.partition(b" ")
    return moment + b" " + details + b" " + rest


def merged(sources: Sequence[tuple[Fd, Mapping[str, str]]], *, framed: bool, timestamps: bool) -> Fd:
    """Return a descriptor to read it all from; ends once all have, and closes them, also when its reader goes."""
    reader, writer = os.pipe2(os.O_CLOEXEC)
    given = {
        fd: _Source(",".join(f"{key}={text}" for key, text in details.items()).encode()) for fd, details in sources
    }
    arguments = (given, writer, framed, timestamps)
    threading.Thread(target=_copy, args=arguments, name="orchestrator-logs", daemon=True).start()
    return reader


def _copy(given: dict[Fd, _Source], writer: Fd, framed: bool, timestamps: bool) -> None:
    try:
        with selectors.DefaultSelector() as selector:
            for fd in given:
                selector.register(fd, selectors.EVENT_READ)
            # That the reader has gone shows as an error of this end, also while nobody writes.
            selector.register(writer, selectors.EVENT_READ)
            while len(selector.get_map()) > 1:
                for key, _ in selector.select():
                    if key.fd == writer:
                        return
                    data = os.read(key.fd, 65536)
                    source = given[key.fd]
                    for head, text in source.records(data, framed=framed):
                        _write(writer, head, with_details(text, source.details, timestamps=timestamps))
                    if not data:
                        _write(writer, b"", source.rest if not framed else b"")
                        selector.unregister(key.fd)
    except BrokenPipeError:
        return
    finally:
        for fd in (*given, writer):
            os.close(fd)


def _write(writer: Fd, head: bytes, text: bytes) -> None:
    data = (head + len(text).to_bytes(4, "big") if head else b"") + text
    while data:
        data = data[os.write(writer, data) :]
