"""Digests: content addresses, their syntax, and readers that prove them (image-spec, descriptor.md, digests)."""

import hashlib
import io
from typing import BinaryIO

from moby.contracts.types import Digest
from moby.errors import Corrupt, Invalid

__all__ = ["CHUNK_BYTES", "Verified", "parse", "sha256"]

CHUNK_BYTES = 1 << 20
_LENGTHS = {"sha256": 64, "sha384": 96, "sha512": 128}
_HEX = frozenset("0123456789abcdef")


def parse(text: str) -> Digest:
    """Return the digest that `algorithm:hex` writes; Invalid where it is none of an algorithm that is known here."""
    algorithm, colon, encoded = text.partition(":")
    if not colon:
        raise Invalid(f"{_short(text)} is no digest", hint="a digest is written sha256:HEX")
    length = _LENGTHS.get(algorithm)
    if length is None:
        raise Invalid(f"digest {_short(text)} has an unknown algorithm", hint=f"known are {', '.join(_LENGTHS)}")
    if len(encoded) != length or not _HEX.issuperset(encoded):
        raise Invalid(f"digest {_short(text)} must have {length} lower-case hexadecimal digits after {algorithm}:")
    return Digest(algorithm, encoded)


def sha256(data: bytes) -> Digest:
    """Return the SHA-256 digest of bytes."""
    return Digest("sha256", hashlib.sha256(data).hexdigest())


def _short(text: str) -> str:
    return repr(text if len(text) <= 80 else text[:77] + "...")


class Verified(io.RawIOBase):
    """A reader that hashes what passes; reading to the end proves the digest.

    Corrupt where the bytes, or how many there are, aren't what was expected. Closing closes the source.
    """

    def __init__(self, source: BinaryIO, expected: Digest, *, size_bytes: int | None = None, what: str = "") -> None:
        super().__init__()
        self._source = source
        self._expected = expected
        self._size_bytes = size_bytes
        self._what = what or f"blob {expected}"
        self._hash = hashlib.new(expected.algorithm)
        self._count = 0
        self._done = False

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # typeshed's type isn't importable
        """Fill a buffer from the source, hashing on the way."""
        view = memoryview(buffer)
        data = self._source.read(len(view))
        self._take(data)
        view[: len(data)] = data
        return len(data)

    def read(self, size: int = -1) -> bytes:
        """Return up to so many bytes, with no copy; all where negative."""
        if size is None or size < 0:
            return self.readall()
        data = self._source.read(size)
        if size:
            self._take(data)
        return data

    def close(self) -> None:
        """Close the source as well."""
        if not self.closed:
            self._source.close()
        super().close()

    def _take(self, data: bytes) -> None:
        if data:
            self._count += len(data)
            if self._size_bytes is not None and self._count > self._size_bytes:
                raise self._corrupt(f"is longer than {self._size_bytes} bytes")
            self._hash.update(data)
        elif not self._done:
            self._done = True
            if self._size_bytes is not None and self._count != self._size_bytes:
                raise self._corrupt(f"has {self._count} of {self._size_bytes} bytes")
            if self._hash.hexdigest() != self._expected.hex:
                raise self._corrupt(f"hashes to {self._expected.algorithm}:{self._hash.hexdigest()}")

    def _corrupt(self, how: str) -> Corrupt:
        return Corrupt(f"{self._what} is damaged: it {how}", hint="remove the image and make or fetch it again")
