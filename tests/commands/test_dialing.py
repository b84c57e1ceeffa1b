"""A connection at two descriptors: each way ends by itself."""

import os
import socket
import threading

import pytest
from moby_containers.command.dialing import relay


@pytest.fixture
def dialled():
    """The ends of a relayed connection: engine, input, output; what tells the outcome, and what is open."""
    ours, engine = socket.socketpair()
    source, typed = os.pipe()
    said, target = os.pipe()
    outcome = []
    thread = threading.Thread(target=lambda: outcome.append(relay(ours, source, target)))
    thread.start()

    def end():
        thread.join(60)
        assert not thread.is_alive()
        return outcome[0]

    open_ = {typed, said}
    yield engine, typed, said, end, open_
    engine.close()
    for fd in open_:
        os.close(fd)
    thread.join(60)
    os.close(source)


def test_the_input_s_end_leaves_the_output(dialled):
    engine, typed, said, end, open_ = dialled
    os.write(typed, b"asked")
    os.close(typed)
    open_.remove(typed)
    assert (engine.recv(10), engine.recv(10)) == (b"asked", b"")
    engine.sendall(b"answered")
    assert os.read(said, 10) == b"answered"
    engine.close()
    assert (os.read(said, 10), end()) == (b"", True)


def test_the_output_s_end_leaves_the_input(dialled):
    engine, typed, said, end, open_ = dialled
    engine.shutdown(socket.SHUT_WR)
    assert os.read(said, 10) == b""
    os.write(typed, b"still")
    assert engine.recv(10) == b"still"
    os.close(typed)
    open_.remove(typed)
    assert (engine.recv(10), end()) == (b"", True)


def test_an_engine_that_goes_ends_both(dialled):
    engine, _typed, said, end, _ = dialled
    engine.close()
    assert (os.read(said, 10), end()) == (b"", True)


def test_an_output_that_nobody_reads_ends_it(dialled):
    engine, _typed, said, end, open_ = dialled
    os.close(said)
    open_.remove(said)
    engine.sendall(b"x")
    assert end() is False


def test_a_slow_reader_holds_up_its_own_way_alone(dialled):
    engine, typed, _said, _end, _ = dialled
    engine.settimeout(60)
    engine.setblocking(False)
    try:
        while True:
            engine.send(b"x" * 65536)
    except BlockingIOError:
        engine.settimeout(60)
    os.write(typed, b"asked")
    assert engine.recv(10) == b"asked"
