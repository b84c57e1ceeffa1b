"""fluentd: sends each record as an event to a forward input of fluentd or fluent-bit."""

from collections.abc import Iterator, Mapping

from moby.contracts.log_driver import LogConfig, LogQuery
from moby.contracts.types import Fd
from moby.errors import HostUnfit, Unsupported
from moby_log.fluentd.msgpack import array_head, event_time, mapping, text, unsigned
from moby_log.fluentd.options import KNOWN, Settings, settings
from moby_log.fluentd.sender import Event, Queued, Sender
from moby_log.records.attributes import attributes
from moby_log.records.lines import NAMES, Batch, Lines, records
from moby_log.records.options import check_common, refuse_unknown
from moby_log.records.tags import DEFAULT, tag

__all__ = ["Fluentd"]


class _Writer:
    def __init__(self, config: LogConfig, given: Settings) -> None:
        self._given = given
        self._tag = text(tag(config, DEFAULT).encode("utf-8", "replace"))
        fields = {"container_id": config.container_id, "container_name": "/" + config.name.removeprefix("/")}
        more = attributes(config)
        self._fields = {_bytes(name): _bytes(value) for name, value in fields.items()}
        self._attributes = {_bytes(name): _bytes(value) for name, value in more.items()}
        self._lines = Lines()
        self._sender = Sender(given)
        self._queued = Queued(self._sender, given.buffer_limit) if given.asynchronous else None
        self._closed = False
        if not given.asynchronous:
            self._sender.connect()

    def _event(self, batch: Batch, record: bytes) -> Event:
        values = self._fields | {b"source": NAMES[batch.stream].encode(), b"log": record} | self._attributes
        if batch.ordinal:
            values |= {
                b"partial_message": b"true",
                b"partial_id": batch.line_id.encode(),
                b"partial_ordinal": b"%d" % batch.ordinal,
                b"partial_last": b"true" if batch.last else b"false",
            }
        at = event_time(batch.time_ns) if self._given.sub_second else unsigned(batch.time_ns // 10**9)
        data = array_head(4) + self._tag + at + mapping(values)
        return Event(data, acknowledged=self._given.request_ack)

    def _send(self, batches: list[Batch]) -> None:
        to = self._queued or self._sender
        for batch in batches:
            for record in records(batch):
                to.send(self._event(batch, record))

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
            (self._queued.close if self._queued else self._sender.disconnect)()


def _bytes(value: str) -> bytes:
    return value.encode("utf-8", "replace")


class Fluentd:
    """Sends records as events."""

    waits = True
    readable = False

    def check(self, options: Mapping[str, str]) -> None:
        """Refuse options as docker does."""
        refuse_unknown(options, KNOWN, "fluentd log driver")
        settings(options)
        check_common(options)

    def open(self, config: LogConfig) -> _Writer:
        """Connect, unless it is asynchronous; HostUnfit where there is nobody."""
        self.check(config.options)
        given = settings(config.options)
        try:
            return _Writer(config, given)
        except OSError as error:
            raise HostUnfit(f"no fluentd at {given.address}: {error}") from error

    def read(self, config: LogConfig, query: LogQuery, ended: Fd) -> Iterator[bytes]:
        """Raise Unsupported, in docker's words."""
        raise Unsupported("configured logging driver does not support reading")
