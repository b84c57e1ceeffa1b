"""local: what is written goes to `FOLDER/local-logs/container.log`, as docker's does, in a form of its own."""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from moby.contracts.log_driver import LogConfig, LogQuery
from moby.contracts.types import Fd
from moby.errors import HostUnfit, Invalid
from moby_log.files.reading import read
from moby_log.files.rotation import RotatedFile, Rotation
from moby_log.local.blocks import Blocks, attributes_text, encoded, whole_length
from moby_log.records.attributes import attributes
from moby_log.records.go_values import decimal_size, integer, truth
from moby_log.records.lines import Lines
from moby_log.records.options import COMMON, check_common, refuse_unknown
from moby_log.records.tags import tag

__all__ = ["Local"]

_KNOWN = COMMON | {"max-size", "max-file", "compress"}
_MAX_BYTES, _MAX_FILES = 20 << 20, 5


def rotation(options: Mapping[str, str]) -> Rotation:
    """Return what the options say of rotation; Invalid in docker's words (its driver local, config.go)."""
    max_bytes, max_files, compress = _MAX_BYTES, _MAX_FILES, True
    try:
        what = "value for max-size: "
        if "max-size" in options:
            max_bytes = decimal_size(options["max-size"])
        what = "value for max-file: "
        if "max-file" in options:
            max_files = integer(options["max-file"])
    except Invalid as error:
        raise Invalid(f"invalid {what}{options[what[10:-2]]}: {error.message}") from None
    try:
        compress = truth(options.get("compress", "true"))
    except Invalid as error:
        raise Invalid(f"invalid boolean value for compress: {error.message}") from None
    if max_files < 0:
        raise Invalid("max-file must not be negative")
    if compress and max_files <= 1:
        raise Invalid("compression cannot be enabled when max file count is 1")
    return Rotation(max_bytes, max_files, compress)


def file_of(config: LogConfig) -> Path:
    """Return where a container's log is."""
    return config.folder / "local-logs" / "container.log"


class _Writer:
    def __init__(self, config: LogConfig) -> None:
        found = attributes(config)
        if config.options.get("tag"):
            found["tag"] = tag(config)
        self._attributes = attributes_text(found)
        self._lines = Lines()
        path = file_of(config)
        path.parent.mkdir(mode=0o700, exist_ok=True)
        self._file = RotatedFile(path, rotation(config.options), whole_length=whole_length)
        self._closed = False

    def write(self, stream: int, time_ns: int, chunk: bytes) -> None:
        """Write the lines that a chunk makes whole."""
        for batch in self._lines.feed(stream, time_ns, chunk):
            self._file.append(encoded(batch, self._attributes))

    def close(self) -> None:
        """Write what has no end, and let go."""
        if self._closed:
            return
        self._closed = True
        with contextlib.ExitStack() as stack:
            stack.callback(self._file.close)
            for batch in self._lines.end():
                self._file.append(encoded(batch, self._attributes))


class Local:
    """Writes blocks of lines to files beside the container, and reads them back."""

    waits = False
    readable = True

    def check(self, options: Mapping[str, str]) -> None:
        """Refuse options as docker does."""
        refuse_unknown(options, _KNOWN, "log driver local")
        rotation(options)
        check_common(options)

    def open(self, config: LogConfig) -> _Writer:
        """Begin, or go on after whole blocks of an earlier writer."""
        self.check(config.options)
        try:
            return _Writer(config)
        except OSError as error:
            raise HostUnfit(f"the log {file_of(config)} can't be written: {error.strerror}") from error

    def read(self, config: LogConfig, query: LogQuery, ended: Fd) -> Iterator[bytes]:
        """Yield records out of the current and all rotated files."""
        return read(file_of(config), Blocks(), query, ended)
