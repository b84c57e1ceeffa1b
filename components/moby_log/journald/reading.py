"""Reads a container's entries by journalctl, whose export is read as it comes."""

import os
import select
import time
from collections.abc import Iterator, Sequence

from moby.contracts.log_driver import LogConfig, LogQuery
from moby.contracts.types import Fd
from moby.errors import Corrupt, HostUnfit
from moby_log.journald.entries import Export, run_of
from moby_log.records.output import Run, Selection

__all__ = ["read"]

_COMMAND = "journalctl"
_DRAIN_S = 1.0
"""How long after the container's end an entry may still be on its way."""


def _argv(config: LogConfig, query: LogQuery, directory: str, more: Sequence[str]) -> list[str]:
    found = [_COMMAND, "--quiet", "--no-pager", "--all", "--output=export", *more]
    if directory:
        found.append(f"--directory={directory}")
    if query.since_ns:
        # An entry comes to the journal after its record was made, so that this leaves out none.
        found.append(f"--since=@{query.since_ns // 10**9}")
    return [*found, f"CONTAINER_ID_FULL={config.container_id}"]


class _Journal:
    """One run of journalctl."""

    def __init__(self, argv: Sequence[str]) -> None:
        import shutil  # with which the supervisor begins, where anybody reads a journal
        import subprocess

        if not shutil.which(_COMMAND):
            raise HostUnfit("journalctl is not there", hint="install systemd, which brings it")
        self._said = os.memfd_create("journalctl")
        self._process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._said,
            env={**os.environ, "LC_ALL": "C"},
        )
        self._export = Export()

    def runs(self, ended: Fd = -1) -> Iterator[Run]:
        """Yield records to the export's end; if that goes on, until `ended` is readable and no more come."""
        assert self._process.stdout is not None
        output = self._process.stdout.fileno()
        poll = select.poll()
        poll.register(output, select.POLLIN)
        if ended >= 0:
            poll.register(ended, select.POLLIN)
        limit = 0.0
        while True:
            wait_ms = max(0, int((limit - time.monotonic()) * 1000)) if limit else None
            ready = [fd for fd, _ in poll.poll(wait_ms)]
            if ended in ready:
                poll.unregister(ended)
                limit = time.monotonic() + _DRAIN_S
            if output in ready:
                data = os.read(output, 1 << 18)
                if not data:
                    self._finish()
                    return
                for fields in self._export.feed(data):
                    run = run_of(fields)
                    if run is not None:
                        yield run
            elif limit and not ready:
                return

    def _finish(self) -> None:
        code = self._process.wait()
        said = os.pread(self._said, 4096, 0).decode(errors="replace").strip()
        if code and said:
            raise Corrupt(f"the journal can't be read: {said}")

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._said)
        if self._process.stdout is not None:
            self._process.stdout.close()


def _runs(config: LogConfig, query: LogQuery, directory: str, more: Sequence[str], ended: Fd = -1) -> Iterator[Run]:
    journal = _Journal(_argv(config, query, directory, more))
    try:
        yield from journal.runs(ended)
    finally:
        journal.close()


def read(config: LogConfig, query: LogQuery, ended: Fd, directory: str) -> Iterator[bytes]:
    """Yield records; as LogDriver.read. With a tail, the journal is read once more, to count."""
    skip = 0
    if query.tail >= 0:
        counting = Selection(query)
        found = sum(counting.count(run) for run in _runs(config, query, directory, []))
        skip = max(0, found - query.tail)
    if query.tail == 0 and not query.follow:
        return
    selection = Selection(query, skip)
    more, until = (["--follow", "--no-tail"], ended) if query.follow else ([], -1)
    runs = _runs(config, query, directory, more, until)
    try:
        yield from selection.chosen(runs)
    finally:
        runs.close()  # type: ignore[attr-defined]
