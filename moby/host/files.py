"""Small files of the kernel, read and written in as few calls as it takes."""

from __future__ import annotations

import os

__all__ = ["read_bytes", "read_text", "write_text"]

_CHUNK = 1 << 16


def read_text(path: str) -> str:
    """Return all that is in a file, as os.fsdecode decodes it; OSError names the path."""
    return read_bytes(path).decode("utf-8", "surrogateescape")


def read_bytes(path: str) -> bytes:
    """Return all that is in a file; OSError names the path."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        data = os.read(fd, _CHUNK)
        # Files of the kernel may give less than was asked for, and then more.
        while chunk := os.read(fd, _CHUNK) if data else b"":
            data += chunk
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from None
    finally:
        os.close(fd)
    return data


def write_text(path: str, text: str) -> None:
    """Write to a file that is there, in one call, as the kernel wants it; OSError names the path."""
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode("utf-8", "surrogateescape"))
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from None
    finally:
        os.close(fd)
