"""Records as entries of the journal, in its native protocol and in its export format (systemd's JOURNAL_NATIVE_PROTOCOL
and JOURNAL_EXPORT_FORMATS)."""

import os
from collections.abc import Iterator, Mapping

from moby.contracts.log_driver import STDERR, STDOUT, LogConfig
from moby.errors import Corrupt
from moby.oci.times import nano
from moby_log.records.attributes import attributes
from moby_log.records.lines import Batch
from moby_log.records.output import Run
from moby_log.records.tags import DEFAULT, short, tag
from moby_log.records.times import parse

__all__ = ["Entries", "Export", "field_name", "run_of"]

_ERROR, _INFORMATION = 3, 6
_OURS = frozenset({
    "MESSAGE", "MESSAGE_ID", "PRIORITY", "CODE_FILE", "CODE_LINE", "CODE_FUNC", "ERRNO", "SYSLOG_FACILITY",
    "SYSLOG_IDENTIFIER", "SYSLOG_PID", "SYSLOG_TIMESTAMP", "CONTAINER_NAME", "CONTAINER_ID", "CONTAINER_ID_FULL",
    "CONTAINER_TAG", "IMAGE_NAME", "CONTAINER_PARTIAL_ID", "CONTAINER_PARTIAL_ORDINAL", "CONTAINER_PARTIAL_LAST",
    "CONTAINER_PARTIAL_MESSAGE", "CONTAINER_LOG_EPOCH", "CONTAINER_LOG_ORDINAL",
})  # fmt: skip
_LONGEST_FIELD = 8 << 20


def field_name(name: str) -> str:
    """Return a label's or variable's name as a field's: capitals, digits and underscores, none of these first."""
    upper = "".join(each.upper() if "a" <= each <= "z" else each for each in name)
    return "".join(each if each.isascii() and each.isalnum() else "_" for each in upper).lstrip("_")


def _field(name: str, value: bytes) -> bytes:
    if b"\n" in value:
        return name.encode() + b"\n" + len(value).to_bytes(8, "little") + value + b"\n"
    return b"%b=%b\n" % (name.encode(), value)


class Entries:
    """Makes entries of one container, numbered from 1."""

    def __init__(self, config: LogConfig) -> None:
        chosen = tag(config, DEFAULT)
        fields = {
            "CONTAINER_ID": short(config.container_id), "CONTAINER_ID_FULL": config.container_id,
            "CONTAINER_NAME": config.name.removeprefix("/"), "CONTAINER_TAG": chosen, "IMAGE_NAME": config.image,
            "SYSLOG_IDENTIFIER": chosen, "CONTAINER_LOG_EPOCH": os.urandom(32).hex(),
        }  # fmt: skip
        fields |= {name: value for name, value in attributes(config, field_name).items() if name}
        self._same = b"".join(_field(name, value.encode("utf-8", "replace")) for name, value in fields.items())
        self._number = 0

    def entry(self, batch: Batch, record: bytes) -> bytes:
        """Return the entry of a record."""
        self._number += 1
        severity = _ERROR if batch.stream == STDERR else _INFORMATION
        found = [
            _field("MESSAGE", record),
            b"PRIORITY=%d\nSYSLOG_TIMESTAMP=%b\n" % (severity, nano(batch.time_ns).encode()),
            b"CONTAINER_LOG_ORDINAL=%d\n" % self._number,
            self._same,
        ]
        if batch.ordinal:
            last = b"true" if batch.last else b"false"
            found.append(b"CONTAINER_PARTIAL_ID=%b\n" % batch.line_id.encode())
            found.append(b"CONTAINER_PARTIAL_ORDINAL=%d\nCONTAINER_PARTIAL_LAST=%b\n" % (batch.ordinal, last))
            if not batch.last:
                found.append(b"CONTAINER_PARTIAL_MESSAGE=true\n")
        return b"".join(found)


class Export:
    """Entries out of journalctl's export, in whatever pieces it comes; Corrupt for what is none."""

    def __init__(self) -> None:
        self._rest = b""
        self._fields: dict[str, bytes] = {}

    def feed(self, data: bytes) -> Iterator[Mapping[str, bytes]]:
        """Yield the fields of each entry that is whole."""
        self._rest += data
        at = 0
        while (end := self._rest.find(b"\n", at)) >= 0:
            line = self._rest[at:end]
            name, mark, value = line.partition(b"=")
            if not line:
                if self._fields:
                    yield self._fields
                    self._fields = {}
            elif mark:
                self._fields[name.decode("ascii", "replace")] = value
            else:
                if len(self._rest) < end + 9:
                    break
                length = int.from_bytes(self._rest[end + 1 : end + 9], "little")
                if length > _LONGEST_FIELD:
                    raise Corrupt(f"the journal has a field of {length} bytes")
                if len(self._rest) < end + 9 + length + 1:
                    break
                self._fields[name.decode("ascii", "replace")] = self._rest[end + 9 : end + 9 + length]
                end += 9 + length
            at = end + 1
        self._rest = self._rest[at:]
        if len(self._rest) > 2 * _LONGEST_FIELD:
            raise Corrupt("the journal's export has a field without an end")


def run_of(fields: Mapping[str, bytes]) -> Run | None:
    """Return the record of an entry; None where it has no message."""
    if "MESSAGE" not in fields:
        return None
    stream = {b"3": STDERR, b"6": STDOUT}.get(fields.get("PRIORITY", b""), 0)
    try:
        time_ns = parse(fields["SYSLOG_TIMESTAMP"].decode("ascii"))
    except (KeyError, ValueError):
        text = fields.get("__REALTIME_TIMESTAMP", b"0")
        time_ns = int(text) * 1000 if text.isdigit() and len(text) < 20 else 0
    end = b"" if fields.get("CONTAINER_PARTIAL_MESSAGE") == b"true" else b"\n"
    more = {
        name: value.decode("utf-8", "replace")
        for name, value in fields.items()
        if name[:1] != "_" and name not in _OURS
    }
    return Run(stream, time_ns, [fields["MESSAGE"]], end, more or None)
