"""Connections to held ports, by however many from this host: they leave descriptors for everything else."""

import os
import resource
import select
import socket
import threading
import time
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import pytest
from descriptors import closed_again, descriptors
from moby_discovery.dns.forwarder import Forwarder
from moby_discovery.dns.loop import Loop

from moby.surroundings import TextLog

PATIENCE_S = 60


@pytest.fixture
def target():
    """A server that greets, and lends its address."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def greet():
            while True:
                try:
                    sock, _ = server.accept()
                except OSError:
                    return
                with sock, suppress(OSError):
                    sock.sendall(b"hello")

        thread = threading.Thread(target=greet)
        thread.start()
        yield server.getsockname()
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


@pytest.fixture
def held(target, monkeypatch):
    """A port that is carried, two connections at a time."""
    monkeypatch.setattr(resource, "getrlimit", lambda which: (24, 24))
    loop = Loop("ports", TextLog("ports"))
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK, socket.IPPROTO_TCP) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        forwarder = Forwarder(loop)
        forwarder.add(sock, [target[0]], target[1])
        loop.start()
        yield sock.getsockname()
        limit = time.monotonic() + PATIENCE_S
        while forwarder._room < 2 and time.monotonic() < limit:
            time.sleep(0.01)
        loop.stop()
        assert forwarder._room == 2


def greeting(address):
    """Return a connection, and what it says first: nothing where it is ended, or reset, maybe at once."""
    sock = socket.socket()
    sock.settimeout(PATIENCE_S)
    try:
        sock.connect(address)
        return sock, sock.recv(5)
    except (ConnectionResetError, BrokenPipeError):
        return sock, b""


def test_more_connections_than_there_is_room_for(held):
    one, said = greeting(held)
    other, too = greeting(held)
    with closing(one), closing(other):
        assert (said, too) == (b"hello", b"hello")
        refused, nothing = greeting(held)
        refused.close()
        assert nothing == b""
        one.close()
        limit = time.monotonic() + PATIENCE_S
        said = b""
        while not said and time.monotonic() < limit:
            again, said = greeting(held)
            again.close()
        assert said == b"hello"


def test_where_no_descriptors_are_left_none_is_lost(held, monkeypatch):
    pipe2, made = os.pipe2, []

    def few(flags):
        made.append(1)
        if len(made) % 2 == 0:
            raise OSError(24, "Too many open files")
        return pipe2(flags)

    monkeypatch.setattr(os, "pipe2", few)
    refuses(held, monkeypatch)


@pytest.mark.parametrize("number", [pytest.param(1, id="server"), pytest.param(2, id="client")])
def test_where_no_more_is_watched_none_is_lost(held, monkeypatch, number):
    watch, asked = Loop.watch, []

    def few(*arguments):
        asked.append(1)
        if len(asked) % number == 0:
            raise OSError(28, "No space left on device")
        watch(*arguments)

    monkeypatch.setattr(Loop, "watch", few)
    refuses(held, monkeypatch, (b"", b"hello"))  # which may be there before it has to be waited for


def refuses(held, monkeypatch, greetings=(b"",)):
    """See that connections are ended, and that no descriptor of theirs stays."""
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(5):
        sock, said = greeting(held)
        with sock, suppress(ConnectionResetError):
            assert said in greetings
            assert sock.recv(1) == b""
    monkeypatch.undo()
    limit = time.monotonic() + PATIENCE_S
    while (after := len(list(Path("/proc/self/fd").iterdir()))) > before + 5 and time.monotonic() < limit:
        time.sleep(0.01)
    assert after <= before + 5, "the server's ends may still be open"


def test_what_is_under_way_ends_with_it():
    before, loop = descriptors(), Loop("ports", TextLog("ports"))
    forwarder = Forwarder(loop)
    with ExitStack() as stack:

        def bound(kind, protocol):
            sock = stack.enter_context(socket.socket(socket.AF_INET, kind | socket.SOCK_NONBLOCK, protocol))
            sock.bind(("127.0.0.1", 0))
            return sock

        tcp = bound(socket.SOCK_STREAM, socket.IPPROTO_TCP)
        tcp.listen()
        udp = bound(socket.SOCK_DGRAM, socket.IPPROTO_UDP)
        server = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        service = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        service.bind(("127.0.0.1", 0))
        for sock, to in ((tcp, server), (udp, service)):
            forwarder.add(sock, ["127.0.0.1"], to.getsockname()[1])
        loop.start()
        client = stack.enter_context(socket.create_connection(tcp.getsockname(), PATIENCE_S))
        server.settimeout(PATIENCE_S)
        answers = stack.enter_context(server.accept()[0])
        asks = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        asks.sendto(b"asked", udp.getsockname())
        service.settimeout(PATIENCE_S)
        assert service.recv(100) == b"asked"
        forwarder.close()
        assert (client.recv(1), answers.recv(1)) == (b"", b"")
        loop.stop()
    closed_again(before)


def test_what_could_not_be_watched_can_be_later():
    loop = Loop("ports", TextLog("ports"))
    near, far = os.pipe()
    try:
        os.close(near)
        with pytest.raises(OSError, match="Bad file descriptor"):
            loop.watch(near, select.EPOLLIN, lambda events: None)
        assert os.dup2(far, near) == near
        loop.watch(near, select.EPOLLOUT, lambda events: None)
        loop.unwatch(near)
    finally:
        for each in (near, far):
            os.close(each)
        loop.stop()
