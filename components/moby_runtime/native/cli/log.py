"""The log, in the two formats that engines read (those of logrus): text lines, and JSON objects."""

from __future__ import annotations

import os
import sys
import time

from moby_runtime.native.cli.flags import WrongUsage

TYPE_CHECKING = False

__all__ = ["Log"]


class Log:
    """Where messages go: a file that is appended to, or standard error."""

    __slots__ = ("_debug", "_fd", "_json")

    def __init__(self, path: str, form: str, *, debug: bool) -> None:
        if form not in ("", "text", "json"):
            raise WrongUsage(f"invalid log-format: {form}")
        self._json = form == "json"
        self._debug = debug
        self._fd = 2
        if path:
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
            self._fd = os.open(path, flags, 0o644)

    def debug(self, message: str) -> None:
        """Write what only a developer wants."""
        if self._debug:
            self._write("debug", message)

    def warning(self, message: str, **fields: object) -> None:
        """Write what an operator should look at, and what it is about."""
        self._write("warning", " ".join([message, *(f"({each})" for each in fields.values())]))

    def error(self, message: str, *, console: bool = True) -> None:
        """Write what failed, to standard error too."""
        self._write("error", message)
        if console and self._fd != 2:
            sys.stderr.write(f"{message}\n")

    def failed(self, message: str, error: Exception) -> None:
        """Write what failed; where it is a bug or `--debug` is on, also how it came to it."""
        from moby.errors import MobyError

        if self._debug or not isinstance(error, (MobyError, OSError)):
            import traceback

            self._write("debug", "".join(traceback.format_exception(error)))
        self.error(message)

    def _write(self, level: str, message: str) -> None:
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        if self._json:
            import json

            line = json.dumps({"level": level, "msg": message, "time": now}, separators=(",", ":"))
        else:
            line = f'time="{now}" level={level} msg={_quoted(message)}'
        # A log that can't be written must not hide what it was to tell.
        data = f"{line}\n".encode(errors="replace")
        try:
            os.write(self._fd, data)
        except OSError:
            if self._fd != 2:
                sys.stderr.write(f"{line}\n")


def _quoted(message: str) -> str:
    escaped = message.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
