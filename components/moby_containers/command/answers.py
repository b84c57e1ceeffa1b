"""Answers of the engine's, which are whole, or raise."""

import http.client

from moby.errors import Unavailable

__all__ = ["Answer"]

_READ = 64 << 10


class Answer(http.client.HTTPResponse):
    """An answer of the standard library's client; Unavailable where the engine ends before the answer does.

    Lines are read by these methods alone, for the library takes an answer that is broken off between two for its end.
    """

    _begun = b""
    """The part of a line that has come, and what lines follow it."""

    def read(self, amt: int | None = None) -> bytes:
        """Return at most so many bytes, all by default."""
        try:
            return super().read(amt)
        except (http.client.HTTPException, OSError) as error:
            raise _cut() from error

    def read1(self, n: int = -1) -> bytes:
        """Return what has come, and at the end nothing."""
        try:
            return super().read1(n)
        except (http.client.HTTPException, OSError) as error:
            raise _cut() from error

    def readline(self, limit: int = -1) -> bytes:  # type: ignore[override]  # which is called without a limit here
        """Return the next line, with its end where it has one, and at the end nothing."""
        while b"\n" not in self._begun and (more := self.read1(_READ)):
            self._begun += more
        line, end, self._begun = self._begun.partition(b"\n")
        return line + end


def _cut() -> Unavailable:
    return Unavailable("the engine ended before it had answered", hint="see its log; and `ps` for what goes on")
