"""Unpacking a layer into an upper folder: a large one in a process of its own, so that several go on side by side."""

import fcntl
import io
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, BinaryIO

from moby.contracts.snapshotter import Usage
from moby.errors import Conflict, HostUnfit, Invalid, MobyError, Unsupported
from moby.oci.digest import CHUNK_BYTES
from moby.oci.unpack import Limits
from moby.oci.upper import UpperUnpacking
from moby.values import frozen
from moby_snapshotter.overlay.worker import BATCH, BELOW

__all__ = ["Task", "unpack"]

_SMALL_BYTES = 8 << 20
"""A layer of no more is unpacked here: a process takes longer to start."""
_LARGEST_ANSWER = 1 << 16
_PROGRAM = "from moby_snapshotter.overlay.worker import main; main()"
_ERRORS: Mapping[str, type[MobyError]] = {each.__name__: each for each in (Conflict, HostUnfit, Invalid, Unsupported)}


@frozen
class Task:
    """Where a layer goes, and what holds for it; all descriptors are the caller's."""

    own: int
    """The folder."""
    lowers: Callable[[], tuple[int, ...]]
    """Returns the folders below, the topmost first, once they are whole."""
    owners: bool
    limits: Limits
    lock: int
    """Held for as long as anybody writes into the folder."""


def unpack(task: Task, layer: BinaryIO) -> Usage:
    """Unpack a layer; errors as `Unpacking`'s, and HostUnfit where the process is ended that does it."""
    head = _head(layer)
    if sum(map(len, head)) > _SMALL_BYTES:
        with _Worker(task) as beside:
            return beside.unpack(head, layer)
    unpacking = UpperUnpacking(task.own, task.owners, task.limits, lowers=task.lowers, user_attributes=not task.owners)
    unpacking.apply(io.BytesIO(b"".join(head)))
    unpacking.finish()
    return Usage(unpacking.size_bytes, unpacking.entries)


def _head(layer: BinaryIO) -> list[bytes]:
    """Read a small layer whole; of another one a little more than that."""
    found: list[bytes] = []
    left = _SMALL_BYTES
    while left >= 0 and (chunk := layer.read(CHUNK_BYTES)):
        found.append(chunk)
        left -= len(chunk)
    return found


class _Worker:
    """A process that unpacks one layer, which a thread feeds to it."""

    def __init__(self, task: Task) -> None:
        self._task = task
        data, self._data = os.pipe2(os.O_CLOEXEC)
        self._control, control = socket.socketpair()
        self._failed: BaseException | None = None
        with suppress(OSError):  # more than a user may have; it goes slower then
            fcntl.fcntl(self._data, fcntl.F_SETPIPE_SZ, CHUNK_BYTES)
        numbers = (data, control.fileno(), task.own, int(task.owners), task.limits.bytes, task.limits.entries)
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-S", "-P", "-X", "utf8", "-c", _PROGRAM, *map(str, numbers)],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, pass_fds=(*numbers[:3], task.lock),
                env={"PYTHONPATH": os.pathsep.join(sys.path)},
            )  # fmt: skip
        except BaseException:
            os.close(self._data)
            self._control.close()
            raise
        finally:
            os.close(data)
            control.close()

    def __enter__(self) -> "_Worker":
        return self

    def __exit__(self, *_: object) -> None:
        """Wait until it has ended, which it is made to where it hasn't answered."""
        self._control.close()
        self._process.wait()

    def unpack(self, head: list[bytes], layer: BinaryIO) -> Usage:
        """Have a layer unpacked; what reading it raises comes first."""
        feeder = threading.Thread(target=self._feed, args=(head, layer), name="layer", daemon=True)
        feeder.start()
        try:
            answer = self._answer()
        except BaseException:
            self._process.kill()
            raise
        finally:
            feeder.join()
        if self._failed is not None:
            raise self._failed
        return _usage(answer, self._process)

    def _feed(self, head: list[bytes], layer: BinaryIO) -> None:
        try:
            with open(self._data, "wb", buffering=0) as out, suppress(BrokenPipeError):  # noqa: PTH123
                for chunk in head:
                    _write(out, chunk)
                while chunk := layer.read(CHUNK_BYTES):
                    _write(out, chunk)
        except BaseException as error:
            self._failed = error
            self._process.kill()

    def _answer(self) -> bytes:
        """Return what it says at its end, after lending what is below if it asks."""
        answer = self._control.recv(_LARGEST_ANSWER)
        if answer == BELOW:
            fds = self._task.lowers()
            for start in range(0, len(fds), BATCH):
                socket.send_fds(self._control, [b"\0"], fds[start : start + BATCH])
            self._control.sendall(b"\0")
            answer = b""
        while part := self._control.recv(_LARGEST_ANSWER):
            answer += part
        return answer


def _write(out: io.FileIO, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[out.write(view) :]


def _usage(answer: bytes, process: subprocess.Popen[bytes]) -> Usage:
    """Read what a worker said; raise what it did."""
    if not answer:
        raise HostUnfit(
            f"the process that unpacks a layer ended with {process.wait()}",
            hint="if there was too little memory (dmesg says so), give the engine more",
        )
    said: dict[str, Any] = json.loads(answer)
    kind = said.get("error")
    if kind is None:
        return Usage(said["size_bytes"], said["inodes"])
    if kind == "OSError":
        raise OSError(said["errno"], said["message"], said["path"])
    raise _ERRORS.get(kind, MobyError)(said["message"], hint=said["hint"])
