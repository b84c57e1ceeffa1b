"""An agent as config-linux.md has it: it gets the listeners of containers and answers their calls."""

import array
import fcntl
import json
import os
import socket
import struct
import threading
from pathlib import Path

import pytest

from moby.testing.boxes import readable

_RECEIVE, _SEND = 0xC0502100, 0xC0182101
"""SECCOMP_IOCTL_NOTIF_RECV and SEND (seccomp_unotify(2))."""
_CONTINUE = 1


class Agent:
    """Answers calls with an error, or lets all of them go on where that is 0."""

    def __init__(self, path: Path, error: int) -> None:
        self._error = error
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))
        self._listener.listen(8)
        self._end_read, self._end_write = os.pipe()
        self._thread = threading.Thread(target=self._serve)
        self.states: list[dict] = []
        self.calls: list[int] = []

    def __enter__(self) -> "Agent":
        self._thread.start()
        return self

    def __exit__(self, *ignored: object) -> None:
        os.close(self._end_write)
        self._thread.join()
        self._listener.close()
        os.close(self._end_read)

    def _serve(self) -> None:
        import select

        poll = select.poll()
        descriptors: list[int] = []
        for each in (self._end_read, self._listener.fileno()):
            poll.register(each, select.POLLIN)
        while True:
            for fd, events in poll.poll():
                if fd == self._end_read:
                    for each in descriptors:
                        os.close(each)
                    return
                if fd == self._listener.fileno():
                    found = self._take()
                    descriptors.append(found)
                    poll.register(found, select.POLLIN)
                elif events & select.POLLIN:
                    self._answer(fd)
                else:  # everybody with this filter has ended
                    poll.unregister(fd)

    def _take(self) -> int:
        connection, _ = self._listener.accept()
        with connection:
            assert readable(connection.fileno())
            data, descriptors, _, _ = socket.recv_fds(connection, 65536, 4)
            while chunk := connection.recv(65536):
                data += chunk
        self.states.append(json.loads(data))
        assert len(descriptors) == 1
        return descriptors[0]

    def _answer(self, fd: int) -> None:
        buffer = array.array("B", bytes(80))
        try:
            fcntl.ioctl(fd, _RECEIVE, buffer)
            cookie, _, _, number = struct.unpack_from("QIIi", buffer)
            self.calls.append(number)
            answer = (0, 0, _CONTINUE) if not self._error else (0, -self._error, 0)
            fcntl.ioctl(fd, _SEND, struct.pack("QqiI", cookie, *answer))
        except FileNotFoundError:  # who asked has been killed
            return


@pytest.fixture
def agent(tmp_path: Path):
    """Lend what starts an agent."""
    from contextlib import ExitStack

    with ExitStack() as undo:
        yield lambda error: undo.enter_context(Agent(tmp_path / "agent.sock", error))
