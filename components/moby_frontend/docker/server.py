"""Many connections: one thread accepts and watches those that are idle, others answer, each as long as it takes."""

import contextlib
import os
import queue
import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Sequence

from moby.contracts.ambient import Log
from moby_frontend.docker.call import Client, Stranger
from moby_frontend.docker.connection import Answer, Connection
from moby_frontend.docker.ends import Ends
from moby_frontend.listening.addresses import Listener

__all__ = ["Server"]

_IDLE_THREADS = 4
_PEER = struct.Struct("3i")


class Server:
    """Answers clients at listening sockets until it is closed."""

    def __init__(self, answer: Answer, common: Callable[[], object], log: Log, limit: int) -> None:
        self._answer, self._common, self._log, self._limit = answer, common, log, limit
        self._poll = select.epoll()
        self._ends = Ends()
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._poll.register(self._wake, select.EPOLLIN)
        self._lock = threading.Condition()
        self._listeners: dict[int, tuple[Listener, object]] = {}
        self._idle: dict[int, Connection] = {}
        self._busy: set[Connection] = set()
        self._ready: queue.SimpleQueue[Connection | None] = queue.SimpleQueue()
        self._spare = 0
        self._thread: threading.Thread | None = None
        self._closed = False

    def add(self, listeners: Sequence[Listener], tls: object) -> None:
        """Answer at these too; `tls` is the context of those that want it."""
        with self._lock:
            for each in listeners:
                each.sock.setblocking(False)
                self._listeners[each.sock.fileno()] = (each, tls)
                self._poll.register(each.sock, select.EPOLLIN)
            if self._thread is None and listeners:
                self._thread = threading.Thread(target=self._loop, name="frontend", daemon=True)
                self._thread.start()

    def drain(self, timeout_s: float) -> bool:
        """Accept no more, end what only clients would, and wait for the rest.

        Whose stream ends asks how its program ended, and must not be told so by an engine that has let go of it.
        """
        self._stop_listening()
        self._close_idle()
        self._ends.drain()
        limit = time.monotonic() + timeout_s
        with self._lock:
            while self._busy:
                left = limit - time.monotonic()
                if left <= 0:
                    return False
                self._lock.wait(left)
        return True

    def close(self) -> None:
        """End all connections, and let go of all sockets; a repeated call does nothing."""
        if self._closed:
            return
        self._stop_listening()
        self._ends.end()
        self._closed = True
        os.eventfd_write(self._wake, 1)
        self._close_idle()
        with self._lock:
            for each in self._busy:
                each.abort()
            limit = time.monotonic() + 5
            while self._busy and (left := limit - time.monotonic()) > 0:
                self._lock.wait(left)
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(5)
        for _ in range(self._spare):
            self._ready.put(None)
        if not self._busy:  # else a thread that is stuck in a call still knows these by their numbers
            self._poll.close()
            os.close(self._wake)
            self._ends.close()

    def _stop_listening(self) -> None:
        with self._lock:
            for fd, (each, _) in self._listeners.items():
                with contextlib.suppress(OSError):
                    self._poll.unregister(fd)
                each.close()
            self._listeners.clear()

    def _close_idle(self) -> None:
        with self._lock:
            for fd, each in self._idle.items():
                with contextlib.suppress(OSError):
                    self._poll.unregister(fd)
                each.close()
            self._idle.clear()

    # The watching thread --------------------------------------------------------------------------------------------

    def _loop(self) -> None:
        while not self._closed:
            for fd, _ in self._poll.poll():
                if fd == self._wake:
                    continue
                with self._lock:
                    listener = self._listeners.get(fd)
                    connection = None if listener else self._idle.pop(fd, None)
                    if connection:
                        with contextlib.suppress(OSError):
                            self._poll.unregister(fd)
                if listener:
                    self._accept(*listener)
                elif connection:
                    self._hand_over(connection)

    def _accept(self, listener: Listener, tls: object) -> None:
        for _ in range(64):  # then others have their turn
            try:
                sock, address = listener.sock.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if not self._closed and listener.sock.fileno() >= 0:
                    self._log.warning("can't accept a client", address=listener.address, error=str(error))
                    time.sleep(0.05)  # as with too many open files, until one is closed
                return
            if len(self._idle) + len(self._busy) >= self._limit or (listener.tls and not self._takes_stranger()):
                self._log.warning("too many clients", limit=self._limit)
                sock.close()
                continue
            try:
                connection = self._connection(sock, address, listener, tls)
            except OSError:
                sock.close()
                continue
            if not (connection.shaken and self._hand_to_spare(connection)):
                self._watch(connection)

    def _takes_stranger(self) -> bool:
        """Whether one more may come who hasn't said who it is: they have half of the room, and the latest come first.

        Anybody who reaches the port can come so, and would keep those out who may.
        """
        with self._lock:
            strangers = [each for each in (*self._idle.values(), *self._busy) if not each.shaken]
            if len(strangers) < max(1, self._limit // 2):
                return True
            first = strangers[0]  # of those that are idle the first to have come
            if self._idle.get(first.fileno()) is not first:
                return False
            del self._idle[first.fileno()]
            with contextlib.suppress(OSError):
                self._poll.unregister(first.fileno())
            first.close()
            return True

    def _connection(self, sock: socket.socket, address: object, listener: Listener, tls: object) -> Connection:
        sock.setblocking(True)
        if sock.family == socket.AF_UNIX:
            pid, uid, gid = _PEER.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))
            client = Client(listener.address, pid, uid, gid)
        else:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            client = Client(f"{address[0]}:{address[1]}" if isinstance(address, tuple) else str(address))
        if listener.tls:
            import ssl

            assert isinstance(tls, ssl.SSLContext)
            sock = tls.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        return Connection(sock, client, self._ends, self._common)

    def _watch(self, connection: Connection) -> None:
        """Wait for its next request, without a thread."""
        with self._lock:
            if self._closed or not self._listeners:
                connection.close()
                return
            self._idle[connection.fileno()] = connection
            self._poll.register(connection.fileno(), select.EPOLLIN)

    def _hand_to_spare(self, connection: Connection) -> bool:
        """Have a thread with nothing to do wait for the first request, which is about to come; False where none is."""
        with self._lock:
            if self._spare == 0 or self._closed or not self._listeners:
                return False
            self._spare -= 1
            self._busy.add(connection)
            self._ready.put(connection)
            return True

    def _hand_over(self, connection: Connection) -> None:
        connection.silent = False
        if self._hand_to_spare(connection):
            return
        with self._lock:
            self._busy.add(connection)
        threading.Thread(target=self._work, args=(connection,), name="call", daemon=True).start()

    # The answering threads ------------------------------------------------------------------------------------------

    def _work(self, connection: Connection | None) -> None:
        while connection is not None:
            self._serve(connection)
            connection = None
            with self._lock:
                if self._spare >= _IDLE_THREADS or self._closed:
                    return
                self._spare += 1
            connection = self._ready.get()

    def _serve(self, connection: Connection) -> None:
        idle = False
        try:
            idle = connection.serve(self._answer)
        except Stranger as error:
            self._log.warning("TLS handshake failed", client=connection.client.address, error=str(error))
        except Exception as error:
            self._log.error("a connection failed", client=str(connection.client), error=repr(error))
        finally:
            with self._lock:
                self._busy.discard(connection)
                self._lock.notify_all()
        if idle:
            self._watch(connection)
