"""A connection that another thread ends, one whose answers are long, and one that speaks no HTTP."""

import http.client
import socket
import ssl
import threading

import pytest
from frontend.test_docker_http import until_closed
from moby_frontend.docker.call import Client, Reply
from moby_frontend.docker.connection import Connection
from moby_frontend.docker.ends import Ends


def test_one_that_is_ended_before_its_client_has_said_who_it_is():
    ours, theirs = socket.socketpair()
    ends = Ends()
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        wrapped = context.wrap_socket(ours, server_side=True, do_handshake_on_connect=False)
        connection = Connection(wrapped, Client("afar"), ends, lambda: ())
        connection.abort()
        assert connection.serve(lambda *asked: None) is False
        assert connection.fileno() == -1
    finally:
        theirs.close()
        ends.close()


class Interrupted(socket.socket):
    """One that sends less than it could, as where a signal comes between."""

    most = 1 << 30

    def sendmsg(self, buffers, *more):
        data = b"".join(buffers)[: self.most]
        super().sendall(data, *more)
        return len(data)


@pytest.mark.parametrize("most", [1, 70_000, 1 << 30])
def test_a_long_answer_is_whole_though_a_signal_comes_between(most):
    ours, theirs = socket.socketpair()
    ends = Ends()
    sock = Interrupted(fileno=ours.detach())
    sock.most = most
    connection = Connection(sock, Client("near"), ends, lambda: ())
    chunks = [bytes([number]) * 100_000 for number in range(5)]
    answering = threading.Thread(target=connection.serve, args=(lambda *asked: Reply(200, iter(chunks)),))
    answering.start()
    try:
        theirs.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        answer = http.client.HTTPResponse(theirs)
        answer.begin()
        assert answer.read() == b"".join(chunks)
    finally:
        theirs.close()
        answering.join()
        ends.close()


@pytest.mark.parametrize(
    ("sent", "told"),
    [
        (b"GARBAGE\r\n\r\n", "illegal request line: 'GARBAGE'"),
        (b"say (b)\r\n\r\n", "illegal request line: 'say (b)'"),
        (b"GET / HTTP/1.1\r\nno header\r\n\r\n", "illegal header line: 'no header'"),
    ],
)
def test_what_is_not_http_is_told_in_words(served, sent, told):
    sock = served.raw()
    sock.sendall(sent)
    assert until_closed(sock).decode().endswith(f"\r\n\r\n400 Bad Request: {told}")
