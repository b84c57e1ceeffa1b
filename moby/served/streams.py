"""Streams of bytes that a method returns, over a pipe of their own: chunks with a length before each."""

import contextlib
import json
import os
import typing
from collections.abc import Generator, Iterable, Iterator
from typing import Any

from moby.errors import Unavailable
from moby.served import faults

__all__ = ["is_stream", "pump", "receive"]

_END = b"\0\0\0\0"
_ERROR = b"\xff\xff\xff\xff"
_LONGEST = 1 << 24


def is_stream(hint: Any) -> bool:
    """Return whether a method's result is a stream of bytes."""
    return typing.get_origin(hint) in (Iterator, Iterable) and typing.get_args(hint) == (bytes,)


def pump(chunks: Iterable[bytes], fd: int) -> None:
    """Write a stream to a pipe, which is closed; a reader who has gone ends it, an error goes to him."""
    with open(fd, "wb", buffering=0) as pipe:
        source = iter(chunks)
        try:
            for chunk in source:
                for start in range(0, len(chunk), _LONGEST):
                    part = chunk[start : start + _LONGEST]
                    _write(fd, len(part).to_bytes(4, "big"))
                    _write(fd, part)
            _write(fd, _END)
        except BrokenPipeError:
            return
        except Exception as error:
            with contextlib.suppress(OSError):
                pipe.write(_ERROR + json.dumps(faults.dump(error)).encode())
        finally:
            if isinstance(source, Generator):
                source.close()


def _write(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def receive(fd: int) -> Iterator[bytes]:
    """Yield the chunks of a stream and raise its error; Unavailable where it ends in the middle."""
    with open(fd, "rb") as pipe:
        while (head := pipe.read(4)) != _END:
            if head == _ERROR:
                raise _error(pipe.read(1 << 20))
            length = int.from_bytes(head, "big")
            chunk = pipe.read(length) if len(head) == 4 and length <= _LONGEST else b""
            if not chunk or len(chunk) < length:
                raise Unavailable("the process that sent these bytes ended meanwhile", hint="do it again")
            yield chunk


def _error(text: bytes) -> Exception:
    try:
        return faults.load(json.loads(text))
    except (ValueError, RecursionError):
        return faults.load(None)
