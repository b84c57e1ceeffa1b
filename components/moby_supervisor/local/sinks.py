"""Where a task's output is logged: a driver's writer in this loop, or in a process that may wait for others."""

import os
import select
import signal
import socket
from collections.abc import Callable
from contextlib import suppress

from moby.contracts.ambient import Clock, Log
from moby.contracts.log_driver import LogConfig, LogDriver, LogWriter
from moby.errors import MobyError, Unavailable
from moby.host import processes
from moby_supervisor.local.log_buffer import Buffer
from moby_supervisor.local.log_options import for_driver
from moby_supervisor.local.logger import FINISH, HEAD, HEARD, MISSED, Logger
from moby_supervisor.local.loop import Loop, Promise
from moby_supervisor.local.marks import Slot
from moby_supervisor.local.starter import Starter, decode_error

__all__ = ["DirectSink", "LoggerSink"]

_AGAIN_S = 1.0
_OPENED_S = 60.0


class DirectSink:
    """A writer that waits for nothing but a local disk."""

    full = False

    def __init__(self, driver: LogDriver, config: LogConfig, slot: Slot, clock: Clock, log: Log) -> None:
        self._driver = driver
        self._config = for_driver(config)
        self._slot = slot
        self._clock = clock
        self._log = log
        self._writer: LogWriter | None = None
        self._again_ns = 0
        self._failing = False

    def open(self) -> None:
        """Begin to write; errors as LogDriver.open."""
        self._writer = self._driver.open(self._config)

    def open_again(self) -> None:
        """Go on after another supervisor's writer; where that fails now, it is tried again as output comes."""
        try:
            self.open()
        except Exception as error:
            self._failed(error)
            self._again_ns = self._clock.monotonic_ns() + int(_AGAIN_S * 1e9)

    def expect(self, size: int) -> None:
        """Note what is about to be read."""
        self._slot.write(Slot.IN_FLIGHT, size)

    def write(self, stream: int, chunk: bytes) -> None:
        """Log a chunk; what can't be logged is counted."""
        size = len(chunk)
        try:
            if self._writer is None and self._clock.monotonic_ns() >= self._again_ns:
                self.open_again()
            if self._writer is None:
                self._slot.add(Slot.LOST, size)
            else:
                self._writer.write(stream, self._clock.now_ns(), chunk)
                self._failing = False
        except Exception as error:
            self._slot.add(Slot.LOST, size)
            self._failed(error)
        finally:
            self._slot.write(Slot.IN_FLIGHT, 0)

    def _failed(self, error: Exception) -> None:
        if not self._failing:
            self._failing = True
            self._log.warning("output can't be logged", task=self._config.container_id, error=str(error))

    async def close(self, timeout_s: float) -> None:
        """Write what is left."""
        self.finish()

    def finish(self) -> None:
        """Write what is left, a line without an end too; more output begins anew."""
        writer, self._writer = self._writer, None
        if writer is not None:
            try:
                writer.close()
            except Exception as error:
                self._failed(error)


class LoggerSink:
    """A writer in a process of its own, which is told by a socket and answers each chunk.

    The keeper holds the socket, so that neither side notices where this one's process is replaced.
    """

    def __init__(
        self,
        logger: Logger,
        slot: Slot,
        clock: Clock,
        log: Log,
        starter: Starter,
        on_change: Callable[[], object],
    ) -> None:
        self.full = False
        self.sock: socket.socket | None = None
        self.process = (0, 0)
        """Pid and start time of the writer's process, while there is one."""
        self.on_room: Callable[[], object] = lambda: None
        self.on_heard: Callable[[], object] = lambda: None
        """Called when it has `behind` no more."""
        self._logger = logger
        self._slot = slot
        self._clock = clock
        self._log = log
        self._starter = starter
        self._loop: Loop = starter.loop
        self._on_change = on_change
        self._blocking = logger.mode.blocking
        self._buffer = Buffer(None if self._blocking else logger.mode.buffer_bytes)
        self._unfinished = self._finish_due = False
        self._finishing = 0
        """How often its process was, or is to be, told to finish, and hasn't said that it has."""
        self._opened: Promise[None] = Promise()
        self._pidfd = -1
        self._closing = False
        self._closed: Promise[None] = Promise()

    @property
    def behind(self) -> bool:
        """Whether its process is there and hasn't said of all yet that it is written."""
        waiting = bool(self._buffer) or self._finishing > 0
        return self.sock is not None and (waiting or self._slot.read(Slot.UNHEARD) > 0)

    # --- its process --------------------------------------------------------------------------------------------

    async def begin(self) -> None:
        """Start the process; errors as LogDriver.open."""
        self._fork()
        timer = self._loop.after(_OPENED_S, lambda: self._opened.fail(Unavailable("the log's sink doesn't answer")))
        try:
            await self._opened
        except BaseException:
            self._end_process()
            raise
        finally:
            timer.cancel()

    def take_over(self, sock: socket.socket | None, process: tuple[int, int]) -> None:
        """Go on with the process of another supervisor; where its socket is lost, with a new one once it has ended."""
        self.process = process
        self._unfinished = True
        stat = processes.process_stat(process[0]) if process[0] else None
        alive = stat is not None and stat.start_ticks == process[1] and not stat.ended
        if alive:
            with suppress(ProcessLookupError):
                self._pidfd = os.pidfd_open(process[0])
        if sock is not None and self._pidfd >= 0:
            self._opened.set(None)
            self._take(sock)
            return
        self._slot.lose(Slot.UNHEARD)
        if sock is not None:
            sock.close()
        self._loop.background(self._replace(), "start a log's process again")

    async def _replace(self) -> None:
        """Start another process when the one before has ended, of which there may be one at a time."""
        if self._pidfd >= 0:
            if not await self._loop.readable(self._pidfd, _OPENED_S):
                processes.send_signal(self._pidfd, signal.SIGKILL)
                await self._loop.readable(self._pidfd)
            self._forget_process()
        while not self._closing:
            self._opened = Promise()
            try:
                await self.begin()
            except (MobyError, RuntimeError) as error:
                self._log.warning("a log can't be opened", task=self._logger.task, error=str(error))
                await self._loop.sleep(_AGAIN_S)
            else:
                return

    def _fork(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            pid, self._pidfd = self._starter.fork(lambda: self._logger.run(theirs), {theirs.fileno()})
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        stat = processes.process_stat(pid)
        self.process = (pid, stat.start_ticks if stat else 0)
        self._take(ours)

    def _take(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self.sock = sock
        self._on_change()
        self._loop.watch(sock.fileno(), select.EPOLLIN, self._ready)
        self._flush()

    def _ready(self, events: int) -> None:
        if events & select.EPOLLOUT:
            self._flush()
        while self.sock is not None:
            try:
                said = self.sock.recv(4096)
            except BlockingIOError:
                return
            except ConnectionError:
                said = b""
            if not said:
                self._ended()
            elif self._opened.done:
                self._heard(said)
            elif said == b"open":
                self._opened.set(None)
                self._flush()
            else:
                self._opened.fail(_refusal(said))

    def _heard(self, said: bytes) -> None:
        """Count what the process says of what it was given."""
        if len(said) == MISSED.size:
            lost, dropped = MISSED.unpack(said)
            self._slot.add(Slot.LOST, lost)
            self._slot.add(Slot.DROPPED, dropped)
        elif len(said) == HEARD.size:
            size, well = HEARD.unpack(said)
            self._slot.write(Slot.UNHEARD, max(0, self._slot.read(Slot.UNHEARD) - size))
            if not well:
                self._slot.add(Slot.LOST, size)
            if not size:
                self._finishing = max(0, self._finishing - 1)
            if not self.behind:
                self.on_heard()

    def _ended(self) -> None:
        """Take notice that the process has ended."""
        self._finish_due, self._finishing = False, 0
        waiting = not self._opened.done
        self._drop_socket()
        self._slot.lose(Slot.UNHEARD)
        self._opened.fail(Unavailable("the process that writes the log was killed", hint="try again"))
        self.on_heard()
        if self._closing:
            self._closed.set(None)
        elif not waiting:
            self._log.warning("the process that writes a log has ended", task=self._logger.task)
            self._loop.after(_AGAIN_S, lambda: self._loop.background(self._replace(), "start a log's process again"))

    def _drop_socket(self) -> None:
        if self.sock is not None:
            self._loop.forget(self.sock.fileno())
            self.sock.close()
            self.sock = None

    def _forget_process(self) -> None:
        if self._pidfd >= 0:
            with suppress(ChildProcessError):
                processes.reap(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = -1
        self.process = (0, 0)

    def _end_process(self) -> None:
        self._drop_socket()
        if self._pidfd >= 0:
            with suppress(ProcessLookupError):
                processes.send_signal(self._pidfd, signal.SIGKILL)
            self._forget_process()

    # --- writing ------------------------------------------------------------------------------------------------

    def expect(self, size: int) -> None:
        """Note what is about to be read, besides what waits."""
        self._slot.write(Slot.IN_FLIGHT, self._buffer.size + size)

    def write(self, stream: int, chunk: bytes) -> None:
        """Log a chunk; in the mode `non-blocking`, drop what there is no room for."""
        self._unfinished = True
        dropped = self._buffer.push(stream, self._clock.now_ns(), chunk)
        if dropped:
            self._slot.add(Slot.DROPPED, dropped)
        self._flush()

    def finish(self) -> None:
        """Have all that is left be there to be read, a line without an end too; it is `behind` until then."""
        if self._unfinished and not self._closing and self.sock is not None:
            self._unfinished = False
            if not self._finish_due:
                self._finish_due = True
                self._finishing += 1
            self._flush()

    def _flush(self) -> None:
        if self.sock is not None and self._opened.done:
            while self._buffer:
                stream, time_ns, chunk = self._buffer.first()
                try:
                    self.sock.send(HEAD.pack(stream, time_ns) + chunk)
                except BlockingIOError:
                    break
                except OSError:
                    break  # its end shows by reading
                self._slot.add(Slot.UNHEARD, len(chunk))
                self._buffer.taken()
            if self._finish_due and not self._buffer:
                with suppress(OSError):  # as above
                    self.sock.send(HEAD.pack(FINISH, 0))
                    self._finish_due = False
            watched = select.EPOLLIN | (select.EPOLLOUT if self._buffer or self._finish_due else 0)
            self._loop.watch(self.sock.fileno(), watched, self._ready)
        self._slot.write(Slot.IN_FLIGHT, self._buffer.size)
        was_full, self.full = self.full, self._blocking and bool(self._buffer)
        if was_full and not self.full:
            self.on_room()
        if self._closing and not self._buffer and self.sock is not None:
            with suppress(OSError):
                self.sock.shutdown(socket.SHUT_WR)

    async def close(self, timeout_s: float) -> None:
        """Have all written that is left; what takes longer than this is lost, and counted."""
        if self._closing:
            return
        self._closing = True
        well = False
        if self.sock is not None:
            timer = self._loop.after(timeout_s, lambda: self._closed.set(None))
            self._flush()
            await self._closed
            timer.cancel()
            well = self.sock is None
        self._slot.lose(Slot.UNHEARD)
        self._slot.lose(Slot.IN_FLIGHT)
        if well:
            pidfd, self._pidfd = self._pidfd, -1
            self._loop.background(_reaped(self._loop, pidfd), "reap a log's process")
        self._end_process()


async def _reaped(loop: Loop, pidfd: int) -> None:
    """Reap a process that has written all, and ends once all that it has started has."""
    try:
        await loop.readable(pidfd)
        processes.reap(pidfd)
    finally:
        os.close(pidfd)


def _refusal(said: bytes) -> MobyError:
    error = decode_error(said)
    return error if isinstance(error, MobyError) else Unavailable(f"the log can't be opened: {error}")
