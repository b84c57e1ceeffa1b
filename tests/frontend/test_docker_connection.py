"""A connection that another thread ends."""

import os
import socket
import ssl

from moby_frontend.docker.call import Client
from moby_frontend.docker.connection import Connection


def test_one_that_is_ended_before_its_client_has_said_who_it_is():
    ours, theirs = socket.socketpair()
    ending = os.eventfd(0)
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        wrapped = context.wrap_socket(ours, server_side=True, do_handshake_on_connect=False)
        connection = Connection(wrapped, Client("afar"), ending, lambda: ())
        connection.abort()
        assert connection.serve(lambda *asked: None) is False
        assert connection.fileno() == -1
    finally:
        theirs.close()
        os.close(ending)
