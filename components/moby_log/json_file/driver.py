"""json-file: what is written goes to `FOLDER/ID-json.log`, which dockerd reads too, as this reads dockerd's."""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from moby.contracts.log_driver import LogConfig, LogQuery
from moby.contracts.types import Fd
from moby.errors import HostUnfit, Invalid
from moby_log.files.reading import read
from moby_log.files.rotation import RotatedFile, Rotation
from moby_log.json_file.decoding import JsonLines
from moby_log.json_file.encoding import Encoder
from moby_log.records.attributes import attributes
from moby_log.records.go_values import decimal_size, integer, truth
from moby_log.records.lines import Lines
from moby_log.records.options import COMMON, check_common, refuse_unknown
from moby_log.records.tags import tag

__all__ = ["JsonFile"]

_KNOWN = COMMON | {"max-size", "max-file", "compress"}


def rotation(options: Mapping[str, str]) -> Rotation:
    """Return what the options say of rotation; Invalid in docker's words (jsonfilelog.go)."""
    max_bytes, max_files, compress = 0, 1, False
    if "max-size" in options:
        # docker has -1 for no limit and then refuses it, so that here too only the option's absence is none.
        max_bytes = decimal_size(options["max-size"])
        if max_bytes <= 0:
            raise Invalid("max-size must be a positive number")
    if "max-file" in options:
        max_files = integer(options["max-file"])
        if max_files < 1:
            raise Invalid("max-file cannot be less than 1")
    if "compress" in options:
        compress = truth(options["compress"])
        if compress and (max_files == 1 or not max_bytes):
            raise Invalid("compress cannot be true when max-file is less than 2 or max-size is not set")
    return Rotation(max_bytes, max_files, compress)


def file_of(config: LogConfig) -> Path:
    """Return where a container's log is."""
    return config.folder / f"{config.container_id}-json.log"


class _Writer:
    def __init__(self, config: LogConfig) -> None:
        found = attributes(config)
        if config.options.get("tag"):
            found["tag"] = tag(config)
        self._encoder = Encoder(found)
        self._lines = Lines()
        self._file = RotatedFile(file_of(config), rotation(config.options))
        self._closed = False

    def write(self, stream: int, time_ns: int, chunk: bytes) -> None:
        """Write the lines that a chunk makes whole."""
        batches = self._lines.feed(stream, time_ns, chunk)
        if len(batches) == 1:
            self._file.append(self._encoder.lines(batches[0]), b"\n")
        elif batches:
            self._file.append(b"".join([self._encoder.lines(each) for each in batches]), b"\n")

    def close(self) -> None:
        """Write what has no end, and let go."""
        if self._closed:
            return
        self._closed = True
        with contextlib.ExitStack() as stack:
            stack.callback(self._file.close)
            for batch in self._lines.end():
                self._file.append(self._encoder.lines(batch), b"\n")


class JsonFile:
    """Writes lines of JSON to a file beside the container, and reads them back."""

    waits = False
    readable = True

    def check(self, options: Mapping[str, str]) -> None:
        """Refuse options as docker does."""
        refuse_unknown(options, _KNOWN, "json-file log driver")
        rotation(options)
        check_common(options)

    def open(self, config: LogConfig) -> _Writer:
        """Begin, or go on after whole lines of an earlier writer."""
        self.check(config.options)
        try:
            return _Writer(config)
        except OSError as error:
            raise HostUnfit(f"the log {file_of(config)} can't be written: {error.strerror}") from error

    def read(self, config: LogConfig, query: LogQuery, ended: Fd) -> Iterator[bytes]:
        """Yield records out of the current and all rotated files."""
        return read(file_of(config), JsonLines(), query, ended)
