"""The engine's connection at standard input and output (`system dial-stdio`), for clients that come by ssh."""

import os
import select
import socket
import threading
from contextlib import suppress

from moby_containers.command.streams import write_all

__all__ = ["relay"]

_CHUNK = 1 << 16


def relay(sock: socket.socket, source: int = 0, target: int = 1) -> bool:
    """Copy both ways, each to its own end, which is passed on; False where nobody reads the output any more.

    It ends once both ways have ended, or the engine has closed the connection. Both descriptors are used up.
    """
    # Each way waits for its own reader alone, so that one that is slow doesn't hold up the other.
    threading.Thread(target=_send, args=(source, sock), daemon=True).start()
    with sock:
        try:
            while chunk := sock.recv(_CHUNK):
                write_all(target, chunk)
        except BrokenPipeError:
            return False
        except ConnectionResetError:
            return True
        finally:
            os.close(target)
        poll = select.poll()
        poll.register(sock, 0)  # tells of a connection that has no way left (POLLHUP)
        poll.poll()
    return True


def _send(source: int, sock: socket.socket) -> None:
    with suppress(OSError):  # the engine takes no more
        while chunk := os.read(source, _CHUNK):
            sock.sendall(chunk)
    with suppress(OSError):
        sock.shutdown(socket.SHUT_WR)
