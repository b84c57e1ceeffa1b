"""none: what is written is thrown away."""

from collections.abc import Iterator, Mapping

from moby.contracts.log_driver import LogConfig, LogQuery
from moby.contracts.types import Fd
from moby.errors import Unsupported

__all__ = ["Nothing"]


class _Writer:
    def write(self, stream: int, time_ns: int, chunk: bytes) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


class Nothing:
    """Keeps nothing."""

    waits = False
    readable = False

    def check(self, options: Mapping[str, str]) -> None:
        """Accept all options, as docker does for this driver."""

    def open(self, config: LogConfig) -> _Writer:
        """Return what throws away."""
        return _Writer()

    def read(self, config: LogConfig, query: LogQuery, ended: Fd) -> Iterator[bytes]:
        """Raise Unsupported, in docker's words."""
        raise Unsupported("configured logging driver does not support reading")
