"""The default way of answering: a thread for each connection, which calls the part as its contract allows."""

import os
import select
import signal
import socket
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from moby.contracts.ambient import Log
from moby.errors import MobyError
from moby.served import answering, handshake, wire
from moby.served.exchange import Side
from moby.served.methods import Interface
from moby.served.outgoing import Crew

__all__ = ["Server"]

_OBJECTS_S = 2.0
"""For calls of objects that were given away to end; streams end at once."""


class Server:
    """Answers calls of one part at a listening socket, which it closes in the end.

    `rest` is called after the part was reclaimed, for what else lives in this process.
    """

    def __init__(
        self, listener: socket.socket, interface: Interface, part: object, log: Log, rest: Callable[[], None]
    ) -> None:
        self._listener = listener
        self._interface = interface
        self._log = log
        self._crew = Crew(self._note)
        self._side = self._crew.home = Side(interface, part, self._crew, rest)
        self._open: set[socket.socket] = set()
        self._ending = threading.Event()
        self._lock = threading.Lock()

    def serve(self, woken: int) -> None:
        """Answer until the descriptor `woken` becomes readable; then end each connection once its call is answered."""
        threads: list[threading.Thread] = []
        with _signals() as signals:
            poll = select.poll()
            for fd in (self._listener.fileno(), woken, signals):
                poll.register(fd, select.POLLIN)
            while woken not in (ready := dict(poll.poll())):
                if signals in ready:
                    os.read(signals, 4096)  # by now the handlers have run
                with suppress(BlockingIOError, ConnectionError):
                    connection, _ = self._listener.accept()
                    connection.setblocking(True)
                    threads = [each for each in threads if each.is_alive()]
                    threads.append(threading.Thread(target=self._converse, args=(connection,), daemon=True))
                    threads[-1].start()
        self._listener.close()
        self._ending.set()
        with self._lock:
            for each in self._open:
                with suppress(OSError):
                    each.shutdown(socket.SHUT_RD)
        for thread in threads:
            thread.join()
        self._crew.end(_OBJECTS_S)

    def _converse(self, connection: socket.socket) -> None:
        reader = wire.Reader()
        with self._lock:
            self._open.add(connection)
            if self._ending.is_set():
                connection.shutdown(socket.SHUT_RD)
        try:
            if self._greet(connection, reader):
                while not self._ending.is_set():
                    self._side.answer(connection, *wire.receive(connection, reader))
        except (wire.Closed, OSError):
            pass  # the caller has gone
        except MobyError as error:
            self._log.warning("a caller was sent away", error=str(error))
            with suppress(OSError):
                wire.send(connection, answering.failure(error)[0])
        finally:
            reader.close()
            with self._lock:
                self._open.discard(connection)
            connection.close()

    def _greet(self, connection: socket.socket, reader: wire.Reader) -> bool:
        wire.check_peer(connection)
        said, fds = wire.receive(connection, reader)
        wire.close_all(fds)
        if error := handshake.refusal(self._interface, said):
            raise error
        wire.send(connection, wire.pack(handshake.greeting(self._interface)))
        return True

    def _note(self, error: Exception) -> None:
        if not isinstance(error, MobyError | OSError):
            self._log.error("a call failed by a bug", trace="".join(traceback.format_exception(error)))


@contextmanager
def _signals() -> Iterator[int]:
    """Lend a descriptor that becomes readable at a signal, whichever thread the kernel gave it to.

    Only the main thread runs handlers, and where another one was interrupted it would sleep on.
    """
    reads, writes = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    is_main = threading.current_thread() is threading.main_thread()
    before = signal.set_wakeup_fd(writes, warn_on_full_buffer=False) if is_main else -1
    try:
        yield reads
    finally:
        if is_main:
            signal.set_wakeup_fd(before)
        os.close(reads)
        os.close(writes)
