"""Both ends of a connection of HTTP/2 over a socket pair, in one process."""

import socket
import threading
from contextlib import contextmanager, suppress

from moby_frontend.docker.buildkit.http2.link import Given, Link


@contextmanager
def joined(serve, room=None):
    """Lend a client's link, whose peer answers each stream by a function, in a thread of its own.

    `room` is how many bytes lie between them at most, as far as the kernel takes so few.
    """
    near, far = socket.socketpair()
    for each in (near, far) if room else ():
        each.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, room)
    never, other = socket.socketpair()
    handlers = []

    def answer(stream):
        with suppress(Given):
            serve(stream)

    def accept(stream):
        handlers.append(threading.Thread(target=answer, args=(stream,)))
        handlers[-1].start()

    client, server = Link(near, client=True), Link(far, client=False, accept=accept)
    threads = [threading.Thread(target=each.run, args=(b"", never.fileno(), lambda: True)) for each in (client, server)]
    client.begin()
    server.begin()
    for each in threads:
        each.start()
    try:
        yield client
    finally:
        client.close()
        server.close()
        for each in (*threads, *handlers):
            each.join(60)
            assert not each.is_alive()
        for each in (near, far, never, other):
            each.close()
