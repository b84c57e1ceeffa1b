"""A program of this machine with the streams of a container's, for containers that are none."""

import fcntl
import os
import socket
import struct
import subprocess
import termios
import threading
import time
from contextlib import suppress

from moby.contracts.log_driver import STDERR, STDOUT, frame
from moby.contracts.supervisor import Streams

__all__ = ["Program"]


class Program:
    """Runs once; may be attached to before, by several; its log is kept."""

    def __init__(self, argv, *, terminal=False, stdin=False, environment=()):
        self.argv, self.terminal, self.environment = list(argv), terminal, dict(e.split("=", 1) for e in environment)
        self.process = None
        self.ended = threading.Event()
        self.code = None
        self.log = []
        self._lock = threading.Lock()
        self._clients = []
        self._socks = []
        self._stdin = os.pipe() if stdin and not terminal else None
        self._master = self._slave = -1
        if terminal:
            self._master, self._slave = os.openpty()

    def attach(self):
        with self._lock:
            if self.terminal:
                ours, theirs = socket.socketpair()
                self._clients.append({STDOUT: ours})
                self._socks.append(ours)
                threading.Thread(target=self._type, args=(ours,), daemon=True).start()
                fd = theirs.detach()
                return Streams(fd, fd, -1)
            out, err = os.pipe(), os.pipe()
            self._clients.append({STDOUT: out[1], STDERR: err[1]})
            stdin = -1
            if self._stdin and self._stdin[1] >= 0:
                stdin, self._stdin = self._stdin[1], (self._stdin[0], -1)
            return Streams(stdin, out[0], err[0])

    def _type(self, sock):
        with suppress(OSError):
            while data := sock.recv(4096):
                os.write(self._master, data)

    def start(self):
        environment = {**os.environ, **self.environment}
        if self.terminal:
            # setsid(1), which is no leader of a group here, becomes the program.
            self.process = subprocess.Popen(
                ["setsid", "--ctty", *self.argv],
                stdin=self._slave, stdout=self._slave, stderr=self._slave, env=environment,
            )  # fmt: skip
            os.close(self._slave)
            sources = [(STDOUT, self._master)]
        else:
            stdin = self._stdin[0] if self._stdin else subprocess.DEVNULL
            self.process = subprocess.Popen(
                self.argv, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
            )
            if self._stdin:
                os.close(self._stdin[0])
            sources = [(STDOUT, self.process.stdout.fileno()), (STDERR, self.process.stderr.fileno())]
        threads = [threading.Thread(target=self._read, args=each, daemon=True) for each in sources]
        for each in threads:
            each.start()
        self.watcher = threading.Thread(target=self._watch, args=(threads,), daemon=True)
        self.watcher.start()

    def _read(self, stream, fd):
        while True:
            try:
                data = os.read(fd, 65536)
            except OSError:
                data = b""
            with self._lock:
                for line in data.splitlines(keepends=True):
                    self.log.append((time.time_ns(), stream, line))
                for client in self._clients:
                    self._give(client, stream, data)
            if not data:
                return

    @staticmethod
    def _give(client, stream, data):
        end = client.get(stream)
        if end is None:
            return
        with suppress(OSError):
            if not data:
                client[stream] = None
                end.shutdown(socket.SHUT_WR) if isinstance(end, socket.socket) else os.close(end)
            elif isinstance(end, socket.socket):
                end.sendall(data)
            else:
                os.write(end, data)

    def _watch(self, threads):
        code = self.process.wait()
        for each in threads:
            each.join()
        if self.process.stdout:
            self.process.stdout.close()
            self.process.stderr.close()
        if self.terminal:
            os.close(self._master)
        if self._stdin and self._stdin[1] >= 0:
            os.close(self._stdin[1])
            self._stdin = None
        self.code = code if code >= 0 else 128 - code
        self.ended.set()

    def resize(self, window):
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", window.rows, window.columns, 0, 0))

    def records(self, query):
        """What `query` asks for of the log, framed or not."""
        found = []
        with self._lock:
            log = list(self.log)
        for at, stream, line in log:
            if (query.stdout if stream == STDOUT else query.stderr) and at >= query.since_ns:
                if query.until_ns and at > query.until_ns:
                    continue
                found.append((frame(stream, len(line)) if query.framed else b"") + line)
        return found if query.tail < 0 else found[len(found) - min(query.tail, len(found)) :]

    def close(self):
        """End it, and all that is attached."""
        self._end()
        for each in self._socks:
            each.close()

    def give_up(self):
        """End what is attached to one that could not be started."""
        for client in self._clients:
            for stream in client:
                self._give(client, stream, b"")

    def _end(self):
        if self.process is None:
            for client in self._clients:
                for end in filter(None, client.values()):
                    end.close() if isinstance(end, socket.socket) else os.close(end)
            return
        with suppress(ProcessLookupError):
            self.process.kill()
        self.watcher.join(60)
