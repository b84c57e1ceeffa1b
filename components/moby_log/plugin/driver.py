"""A plugin's logs: records cross a named pipe that the plugin reads, as docker's engine writes them."""

import os
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from attrs import define

from moby.contracts.log_driver import STDERR, STDOUT, LogConfig, LogQuery
from moby.contracts.types import Fd
from moby.errors import Corrupt, HostUnfit, MobyError, Unsupported
from moby.grpc.messages import decode, encode
from moby.host.docker_plugins import Answered, Plugin
from moby.oci.times import fixed
from moby_log.records.attributes import attributes
from moby_log.records.lines import NAMES, Batch, Lines, records
from moby_log.records.options import own
from moby_log.records.output import Run, Selection

__all__ = ["Entry", "PluginLogs", "entries"]

_MOST_BYTES = 1 << 20
"""Of one record."""
_OPEN_S = 10.0
_STEP_S = 0.01


@define
class Partial:
    """Which piece of a long line a record is (docker, api/types/plugins/logdriver, PartialLogEntryMetadata)."""

    last: Annotated[bool, 1] = False
    id: Annotated[str, 2] = ""
    ordinal: Annotated[int, 3] = 0


@define
class Entry:
    """A record (docker, api/types/plugins/logdriver, LogEntry)."""

    source: Annotated[str, 1] = ""
    time_nano: Annotated[int, 2] = 0
    line: Annotated[bytes, 3] = b""
    partial: Annotated[bool, 4] = False
    partial_log_metadata: Annotated[Partial | None, 5] = None


def entries(chunks: Iterator[bytes]) -> Iterator[Entry]:
    """Yield the records of a stream of them; Corrupt for what is none."""
    held = b""
    for chunk in chunks:
        held += chunk
        while len(held) >= 4:
            size = int.from_bytes(held[:4], "big")
            if size > _MOST_BYTES:
                raise Corrupt(f"a plugin sends a record of {size} bytes; at most {_MOST_BYTES} are allowed")
            if len(held) < 4 + size:
                break
            yield decode(Entry, held[4 : 4 + size])
            held = held[4 + size :]


class PluginWriter:
    """Writes one container's records."""

    def __init__(self, plugin: Plugin, path: Path, info: Mapping[str, Any]) -> None:
        self._plugin = plugin
        self._path = path
        self._lines = Lines()
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if path.exists():  # of a writer that was killed: the plugin is to be through with that before it begins anew
            with suppress(MobyError):
                plugin.call("StopLogging", File=str(path))
            path.unlink(missing_ok=True)
        os.mkfifo(path, 0o700)
        try:
            plugin.call("StartLogging", File=str(path), Info=info)
            self._fd = _opened(path)
        except BaseException:
            path.unlink(missing_ok=True)
            raise

    def write(self, stream: int, time_ns: int, chunk: bytes) -> None:
        """Write the records that a chunk makes whole."""
        self._send(self._lines.feed(stream, time_ns, chunk))

    def close(self) -> None:
        """Write what has no end, and say that there is no more."""
        if self._fd < 0:
            return
        try:
            self._send(self._lines.end())
        finally:
            os.close(self._fd)
            self._fd = -1
            with suppress(MobyError):  # it has seen the end of the pipe
                self._plugin.call("StopLogging", File=str(self._path))
            self._path.unlink(missing_ok=True)

    def _send(self, batches: list[Batch]) -> None:
        data = b"".join(_packed(batch, each) for batch in batches for each in records(batch))
        while data:
            data = data[os.write(self._fd, data) :]


def _packed(batch: Batch, record: bytes) -> bytes:
    entry = Entry(NAMES[batch.stream], batch.time_ns, record, bool(batch.ordinal))
    if batch.ordinal:
        entry.partial_log_metadata = Partial(batch.last, batch.line_id, batch.ordinal)
    data = encode(entry)
    return len(data).to_bytes(4, "big") + data


def _opened(path: Path) -> int:
    """Open a named pipe for writing, once its reader has; HostUnfit where it doesn't."""
    until = time.monotonic() + _OPEN_S
    while True:
        try:
            fd = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            if time.monotonic() > until:
                raise HostUnfit(f"the plugin doesn't open the pipe that it is to read: {error}") from error
            time.sleep(_STEP_S)
        else:
            os.set_blocking(fd, True)
            return fd


class PluginLogs:
    """A log driver; see the contract."""

    waits = True

    def __init__(self, plugin: Plugin, folder: Path) -> None:
        self.plugin = plugin
        self.folder = folder
        self._readable: bool | None = None

    if TYPE_CHECKING:
        readable: bool
    else:

        @property
        def readable(self) -> bool:
            """Whether the plugin says that it can be read; asked each time until it has said so or not."""
            if self._readable is None:
                with suppress(MobyError):
                    found = self.plugin.call("Capabilities").get("Cap") or {}
                    self._readable = bool(found.get("ReadLogs"))
            return bool(self._readable)

    def check(self, options: Mapping[str, str]) -> None:
        """Refuse nothing: only the plugin knows what it takes, and says so when it begins."""

    def open(self, config: LogConfig) -> PluginWriter:
        """Have the plugin read a pipe; HostUnfit in its words where it won't."""
        try:
            return PluginWriter(self.plugin, self.folder / "pipes" / config.container_id, _info(config))
        except Answered as error:
            raise HostUnfit(f"the plugin {self.plugin.name} doesn't take the log: {error.message}") from error

    def read(self, config: LogConfig, query: LogQuery, ended: Fd) -> Iterator[bytes]:
        """Yield records as the plugin has them."""
        if not self.readable:
            raise Unsupported("configured logging driver does not support reading")
        # What a plugin counts is all that it has.
        whole = query.stdout and query.stderr and not query.until_ns and not query.since_ns
        wanted = {
            "Since": fixed(query.since_ns) if query.since_ns else "0001-01-01T00:00:00Z",
            "Until": fixed(query.until_ns) if query.until_ns else "0001-01-01T00:00:00Z",
            "Tail": query.tail if whole or query.follow else -1,
            "Follow": query.follow,
        }  # fmt: skip
        chunks = self.plugin.stream("ReadLogs", ended if query.follow else -1, Config=wanted, Info=_info(config))
        runs = _runs(chunks, attributes(config))
        if query.tail >= 0 and not whole and not query.follow:
            counting = Selection(query)
            runs = iter(deque((run for run in runs if counting.count(run)), query.tail))
        yield from Selection(query).chosen(runs)


def _runs(chunks: Iterator[bytes], more: Mapping[str, str]) -> Iterator[Run]:
    for each in entries(chunks):
        stream = STDERR if each.source == NAMES[STDERR] else STDOUT
        piece = each.partial_log_metadata
        end = b"" if each.partial and not (piece and piece.last) else b"\n"
        # Some give lines back with their ends, though they got them without.
        yield Run(stream, each.time_nano, [each.line.removesuffix(b"\n")], end, more)


def _info(config: LogConfig) -> dict[str, Any]:
    """Return what docker tells plugins of a container (daemon/logger, Info)."""
    return {
        "Config": own(config.options), "ContainerID": config.container_id,
        "ContainerName": "/" + config.name.removeprefix("/"), "ContainerEntrypoint": (config.command or ("",))[0],
        "ContainerArgs": list(config.command[1:]), "ContainerImageID": config.image_id,
        "ContainerImageName": config.image, "ContainerCreated": config.created or "0001-01-01T00:00:00Z",
        "ContainerEnv": list(config.environment), "ContainerLabels": dict(config.labels), "LogPath": "",
        "DaemonName": "docker",
    }  # fmt: skip
