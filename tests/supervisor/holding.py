"""A writer of plain logs."""

import json
import os
import select
import time

from moby.contracts.log_driver import STDOUT, frame
from moby.errors import HostUnfit, Invalid


class LinesDriver:
    """Writes lines of JSON: when, the stream, what was read; and reads them again."""

    readable = True

    def __init__(self, waits=False):
        self.waits = waits

    def check(self, options):
        if set(options) - {"refuse", "fail", "slow"}:
            raise Invalid(f"unknown log opt {min(set(options))!r} for lines log driver")

    def open(self, config):
        if "refuse" in config.options:
            raise HostUnfit("the sink isn't there")
        return LinesWriter(config)

    def read(self, config, query, ended):
        yield from LinesReader(config, query, ended).chunks()


class SentLines(LinesDriver):
    """Writes the same, and says that it is sent where it can't be read."""

    readable = False

    def __init__(self):
        super().__init__(waits=True)

    def check(self, options):
        super().check({name: value for name, value in options.items() if name not in ("labels", "tag")})


class LinesWriter:
    def __init__(self, config):
        self.folder = config.folder
        self.options = config.options
        self.fd = os.open(config.folder / "lines", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def write(self, stream, time_ns, chunk):
        if "fail" in self.options and (self.folder / "failing").exists():
            raise OSError(28, "the disk is full")
        while "slow" in self.options and (self.folder / "waiting").exists():
            time.sleep(0.01)
        os.write(self.fd, json.dumps([time_ns, stream, chunk.decode("latin-1")]).encode() + b"\n")

    def close(self):
        os.write(self.fd, b"")
        os.close(self.fd)


class LinesReader:
    def __init__(self, config, query, ended):
        self.path, self.query, self.ended = config.folder / "lines", query, ended

    def chunks(self):
        at = 0
        while True:
            over = bool(select.select([self.ended], [], [], 0)[0])
            with self.path.open("rb") as file:
                file.seek(at)
                for line in file:
                    if not line.endswith(b"\n"):
                        break
                    at += len(line)
                    _, stream, text = json.loads(line)
                    if not (self.query.stdout if stream == STDOUT else self.query.stderr):
                        continue
                    data = text.encode("latin-1")
                    yield frame(stream, len(data)) + data if self.query.framed else data
            if over or not self.query.follow:
                return
            select.select([self.ended], [], [], 0.02)


def logged(folder, stream=None):
    """What a log has, of one stream or both, but for a line that is just being written."""
    lines = (folder / "lines").read_text().splitlines(keepends=True)
    found = (json.loads(line) for line in lines if line.endswith("\n"))
    return b"".join(text.encode("latin-1") for _, each, text in found if stream in (None, each))
