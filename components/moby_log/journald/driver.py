"""journald: sends each record to the systemd journal as an entry with docker's fields, and reads by journalctl."""

import errno
import fcntl
import os
import socket
from collections.abc import Iterator, Mapping

from moby.contracts.log_driver import LogConfig, LogQuery
from moby.contracts.types import Fd
from moby.errors import HostUnfit
from moby_log.journald.entries import Entries
from moby_log.journald.reading import read
from moby_log.records.lines import Batch, Lines, records
from moby_log.records.options import COMMON, check_common, refuse_unknown

__all__ = ["Journald"]

_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL


class _Writer:
    def __init__(self, config: LogConfig, path: str) -> None:
        self._entries = Entries(config)
        self._lines = Lines()
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            self._socket.connect(path)
        except BaseException:
            self._socket.close()
            raise
        self._closed = False

    def _send(self, batches: list[Batch]) -> None:
        for batch in batches:
            for record in records(batch):
                # docker gives empty lines to the journal too.
                self._entry(self._entries.entry(batch, record))

    def _entry(self, data: bytes) -> None:
        try:
            self._socket.send(data)
        except OSError as error:
            if error.errno in (errno.EMSGSIZE, errno.ENOBUFS):
                self._as_file(data)
                return
            # journald has restarted: its socket is another one.
            self._socket.connect(self._path)
            self._socket.send(data)

    def _as_file(self, data: bytes) -> None:
        """Send an entry that is too long for a datagram as a sealed file in memory (memfd_create(2))."""
        fd = os.memfd_create("journal-entry", os.MFD_ALLOW_SEALING | os.MFD_CLOEXEC)
        try:
            with os.fdopen(fd, "wb", closefd=False) as file:
                file.write(data)
            fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)
            socket.send_fds(self._socket, [b""], [fd])
        finally:
            os.close(fd)

    def write(self, stream: int, time_ns: int, chunk: bytes) -> None:
        """Send the records that a chunk makes whole."""
        self._send(self._lines.feed(stream, time_ns, chunk))

    def close(self) -> None:
        """Send what has no end, and let go."""
        if self._closed:
            return
        self._closed = True
        try:
            self._send(self._lines.end())
        finally:
            self._socket.close()


class Journald:
    """Sends records to the journal, and reads them back."""

    waits = True
    readable = True

    def __init__(self, socket_path: str, directory: str) -> None:
        self._socket = socket_path
        self._directory = directory

    def check(self, options: Mapping[str, str]) -> None:
        """Refuse options as docker does."""
        refuse_unknown(options, COMMON, "journald log driver")
        check_common(options)

    def open(self, config: LogConfig) -> _Writer:
        """Connect; HostUnfit where there is no journal."""
        self.check(config.options)
        try:
            return _Writer(config, self._socket)
        except OSError as error:
            raise HostUnfit(
                f"journald is not enabled on this host: {self._socket}: {error.strerror}",
                hint="start systemd-journald, or choose another log driver",
            ) from error

    def read(self, config: LogConfig, query: LogQuery, ended: Fd) -> Iterator[bytes]:
        """Yield records by journalctl."""
        return read(config, query, ended, self._directory)
