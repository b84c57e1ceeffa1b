"""A reader that tells how far it has come."""

import io
from collections.abc import Callable
from typing import BinaryIO

__all__ = ["Progressing"]


class Progressing(io.RawIOBase):
    """Reads a source to its end and tells, after each piece, how many bytes were read; closing closes the source."""

    def __init__(self, source: BinaryIO, told: Callable[[int], None] | None) -> None:
        super().__init__()
        self._source = source
        self._told = told
        self._count = 0

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def read(self, size: int = -1) -> bytes:
        """Return up to so many bytes."""
        data = self._source.read(size)
        self._count += len(data)
        if self._told:
            self._told(self._count)
        return data

    def close(self) -> None:
        """Close the source as well."""
        if not self.closed:
            self._source.close()
        super().close()
