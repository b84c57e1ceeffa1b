"""What is said of an image registry that gives no answer, or not all of one: nothing of the library that asks."""

import socket
import ssl
import threading
from contextlib import contextmanager

import pytest
import urllib3
from moby_image_registry.distribution.words import in_words

LONG = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc"


@contextmanager
def listening(said, *, ends=True):
    """Lend the port of who says something to a client, and then ends, or says nothing more."""
    over = threading.Event()

    def serve():
        client, _ = server.accept()
        with client:
            client.recv(65536)
            client.sendall(said)
            if not ends:
                over.wait(60)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            over.set()
            thread.join(60)


def failed(url, read_s=30.0):
    """Return the error of asking there and reading all."""
    pool = urllib3.connection_from_url(url)
    with pytest.raises((urllib3.exceptions.HTTPError, OSError)) as caught:
        pool.urlopen("GET", "/", retries=False, timeout=urllib3.Timeout(connect=30.0, read=read_s))
    return caught.value


@pytest.mark.parametrize(
    ("scheme", "said", "words"),
    [
        pytest.param("http", b"", "it ended the connection", id="nothing"),
        pytest.param("http", b"so what\r\n\r\n", "it says what is no HTTP", id="nonsense"),
        pytest.param("http", LONG, "it ended the connection", id="short"),
        pytest.param("https", b"HTTP/1.1 400 Bad\r\n\r\n", "no TLS with it: wrong version number", id="no-tls"),
    ],
)
def test_one_that_says_something_else(scheme, said, words):
    with listening(said) as port:
        error = failed(f"{scheme}://127.0.0.1:{port}")
    assert in_words(error) == words


@pytest.mark.parametrize("said", [b"", LONG], ids=["before", "within"])
def test_one_that_says_nothing_more(said):
    with listening(said, ends=False) as port:
        error = failed(f"http://127.0.0.1:{port}", read_s=0.05)
    assert in_words(error) == "waiting for it timed out"


def test_nobody():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert in_words(failed(f"http://127.0.0.1:{port}")) == "connection refused"
    assert in_words(urllib3.exceptions.ConnectTimeoutError(None, "x")) == "connecting timed out"


def test_a_name_that_is_none():
    assert in_words(failed(f"http://{'a' * 64}.example")) == "no host can have its name"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (urllib3.exceptions.ResponseError("a redirects more than 5 times"), "a redirects more than 5 times"),
        (TimeoutError("timed out"), "timed out"),
        (ConnectionResetError(104, "Connection reset by peer"), "connection reset by peer"),
        (urllib3.exceptions.HTTPError(), "it says what is no HTTP"),
        (None, "it says what is no HTTP"),
    ],
)
def test_others(error, words):
    assert in_words(error) == words


def test_a_certificate_that_does_not_hold():
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_message = "certificate has expired"
    found = in_words(urllib3.exceptions.SSLError(error))
    assert found == "its certificate doesn't hold: certificate has expired"
