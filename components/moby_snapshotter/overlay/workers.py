"""The processes that unpack layers: each does one after the other, and all end once nothing is unpacked any more."""

import fcntl
import io
import json
import os
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, BinaryIO

from attrs import frozen

from moby.contracts.snapshotter import Usage
from moby.errors import Conflict, HostUnfit, Invalid, MobyError, Unsupported
from moby.oci.digest import CHUNK_BYTES
from moby.oci.unpack import Limits
from moby_snapshotter.overlay.worker import BATCH, BELOW, LONGEST

if TYPE_CHECKING:
    import subprocess

__all__ = ["Task", "Worker", "Workers"]

_PROGRAM = "from moby_snapshotter.overlay.worker import main; main()"
_KEEPS_MEMORY = {"MALLOC_TRIM_THRESHOLD_": str(1 << 25), "MALLOC_MMAP_THRESHOLD_": str(1 << 25)}
"""For glibc: what is freed is needed again at once (mallopt(3))."""
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
    marks: tuple[str, ...]
    """What overlayfs goes by there."""


class Workers:
    """Lends processes, to threads each one of its own."""

    def __init__(self) -> None:
        self._change = threading.Lock()
        self._idle: list[Worker] = []
        self._lent = 0

    @contextmanager
    def lent(self) -> Iterator["Worker"]:
        """Lend one that is idle, else a new one; it is ended where that fails, and all idle ones with the last."""
        with self._change:
            self._lent += 1
            worker = self._idle.pop() if self._idle else None
        ended: list[Worker] = []
        try:
            worker = worker or Worker()
            yield worker
        except BaseException:
            ended += [worker] if worker else []
            raise
        else:
            with self._change:
                self._idle.append(worker)
        finally:
            with self._change:
                self._lent -= 1
                if not self._lent:
                    ended += self._idle
                    self._idle = []
            for each in ended:
                each.end()


class Worker:
    """A process that unpacks."""

    def __init__(self) -> None:
        import subprocess  # which a start needn't wait for

        self._failed: BaseException | None = None
        self._control, control = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-S", "-P", "-X", "utf8", "-c", _PROGRAM, str(control.fileno())],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, pass_fds=(control.fileno(),),
                env={"PYTHONPATH": os.pathsep.join(sys.path), **_KEEPS_MEMORY},
            )  # fmt: skip
        except BaseException:
            self._control.close()
            raise
        finally:
            control.close()

    def end(self) -> None:
        """Wait until it has ended, which it does for having nobody who waits for it."""
        self._control.close()
        self._process.wait()

    def unpack_file(self, task: Task, layer: int) -> Usage:
        """Have a layer unpacked that it reads from a file."""
        try:
            answer = self._answer(task, layer)
        except BaseException:
            self._process.kill()
            raise
        return _usage(answer, self._process)

    def unpack(self, task: Task, head: list[bytes], layer: BinaryIO) -> Usage:
        """Have a layer unpacked, which a thread feeds to it; what reading it raises comes first."""
        theirs, ours = os.pipe2(os.O_CLOEXEC)
        with suppress(OSError):  # more than a user may have; it goes slower then
            fcntl.fcntl(ours, fcntl.F_SETPIPE_SZ, CHUNK_BYTES)
        feeder = threading.Thread(target=self._feed, args=(ours, head, layer), name="layer", daemon=True)
        feeder.start()
        try:
            try:
                answer = self._answer(task, theirs)
            finally:
                os.close(theirs)
        except BaseException:
            self._process.kill()
            raise
        finally:
            feeder.join()
        if self._failed is not None:
            raise self._failed
        return _usage(answer, self._process)

    def _feed(self, out: int, head: list[bytes], layer: BinaryIO) -> None:
        try:
            with open(out, "wb", buffering=0) as file, suppress(BrokenPipeError):
                for chunk in head:
                    _write(file, chunk)
                while chunk := layer.read(CHUNK_BYTES):
                    _write(file, chunk)
        except BaseException as error:
            self._failed = error
            self._process.kill()

    def _answer(self, task: Task, layer: int) -> bytes:
        """Ask, and return what it says in the end, nothing where it ended; lend it what is below if it wants."""
        limits = task.limits
        asked = {"owners": task.owners, "bytes": limits.bytes, "entries": limits.entries, "marks": task.marks}
        with suppress(BrokenPipeError, ConnectionResetError):
            socket.send_fds(self._control, [json.dumps(asked).encode()], [layer, task.own, task.lock])
            answer = self._control.recv(LONGEST)
            if answer == BELOW:
                fds = task.lowers()
                for start in range(0, len(fds), BATCH):
                    socket.send_fds(self._control, [b"\0"], fds[start : start + BATCH])
                self._control.sendall(b"\0")
                answer = self._control.recv(LONGEST)
            return answer
        return b""


def _write(out: io.FileIO, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[out.write(view) :]


def _usage(answer: bytes, process: "subprocess.Popen[bytes]") -> Usage:
    """Read what a worker said; raise what it did."""
    if not answer:
        raise HostUnfit(
            f"the process that unpacks a layer ended with {process.wait()}",
            hint="dmesg says whether there was too little memory, or a disk that can't be read",
        )
    said: dict[str, Any] = json.loads(answer)
    kind = said.get("error")
    if kind is None:
        return Usage(said["size_bytes"], said["inodes"])
    if kind == "OSError":
        raise OSError(said["errno"], said["message"], said["path"])
    raise _ERRORS.get(kind, MobyError)(said["message"], hint=said["hint"])
