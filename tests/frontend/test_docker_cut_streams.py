"""Streams that are cut, as a killed supervisor does it, and had again: a client's connection goes on with those."""

import os
import socket
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest
from frontend.streaming import PATIENCE_S, joined
from moby_frontend.docker.carried import Carried
from moby_frontend.docker.hijack import Pump

from moby.contracts.supervisor import Streams
from moby.errors import Unavailable


class Ends:
    """The program's ends of streams, and the pump's."""

    def __init__(self):
        self.stdin, stdin = os.pipe()
        stdout, self.stdout = os.pipe()
        self.streams = Streams(stdin, stdout, -1)

    def read(self, size):
        return os.read(self.stdin, size)

    def rest(self):
        with os.fdopen(self.stdin, "rb") as file:
            return file.read()

    def cut(self):
        """Close all as a process that is killed does."""
        for each in (self.stdin, self.stdout):
            os.close(each)


class Carriers:
    """Those who carry streams, one after another."""

    def __init__(self):
        self.number, self.fresh, self.away = 1, [], False
        self.asked = threading.Event()

    def carrier(self):
        if self.away:
            raise Unavailable("nobody carries them")
        return self.number

    def attach_again(self, id):
        self.asked.set()
        return self.fresh.pop(0) if self.fresh else None

    def another(self, streams):
        self.fresh.append(streams)
        self.number += 1


@pytest.fixture
def carriers():
    return Carriers()


@pytest.fixture
def pump(carriers):
    """Run a pump on streams; return the client's end of the connection."""
    threads, socks = [], []

    def run(streams, **options):
        client, server = socket.socketpair()
        client.settimeout(PATIENCE_S)
        carried = Carried(carriers)
        pump = Pump(server, streams, os.eventfd(0), terminal=False, carried=carried)
        work = {"last": lambda sock: carried.again("it"), **options}
        threads.append(threading.Thread(target=lambda: pump.run(b"", **work), daemon=True))
        threads[-1].start()
        socks.append(client)
        return client

    yield run
    for each in socks:
        each.close()
    for each in threads:
        each.join(PATIENCE_S)
        assert not each.is_alive()


def all_of(sock):
    found = b""
    while chunk := sock.recv(65536):
        found += chunk
    return joined(found)


def test_output_goes_on(pump, carriers):
    first, second = Ends(), Ends()
    client = pump(first.streams, stdin=False)
    os.write(first.stdout, b"before ")
    carriers.another(second.streams)
    first.cut()
    os.write(second.stdout, b"after")
    second.cut()
    assert all_of(client) == b"before after"


def test_input_that_nobody_has_read_goes_to_the_next(pump, carriers):
    first, second = Ends(), Ends()
    data = os.urandom(300_000)
    client = pump(first.streams, stdin=True)
    sender = threading.Thread(target=lambda: (client.sendall(data), client.shutdown(socket.SHUT_WR)))
    sender.start()
    taken = first.read(1000)
    carriers.another(second.streams)
    first.cut()
    taken += second.rest()
    assert taken == data
    os.write(second.stdout, b"done")
    os.close(second.stdout)
    assert all_of(client) == b"done"
    sender.join()


def test_so_does_what_a_client_sent_that_has_ended_its_half(pump, carriers):
    first, second, third = Ends(), Ends(), Ends()
    client = pump(first.streams, stdin=True)
    client.sendall(b"typed")
    client.shutdown(socket.SHUT_WR)
    limit = time.monotonic() + PATIENCE_S
    while _has_writers(first) and time.monotonic() < limit:
        time.sleep(0.005)
    assert first.read(1) == b"t"
    carriers.another(second.streams)
    first.cut()
    assert second.read(1) == b"y"
    carriers.another(third.streams)
    second.cut()
    assert third.rest() == b"ped"
    os.close(third.stdout)
    assert all_of(client) == b""


def _has_writers(ends):
    """Whether the other end of a pipe is open still, here, where all its ends are."""
    pipe = f"/proc/self/fd/{ends.stdin}"
    for each in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):
            flags = Path(f"/proc/self/fdinfo/{each.name}").read_text().split("flags:")[1].split()[0]
            if each.readlink() == Path(pipe).readlink() and int(flags, 8) & os.O_WRONLY:
                return True
    return False


def test_a_cut_may_be_seen_late(pump, carriers):
    """What a process has open, it closes one by one."""
    first, second = Ends(), Ends()
    client = pump(first.streams, stdin=True)
    client.sendall(b"one ")
    assert first.read(4) == b"one "
    os.close(first.stdin)
    client.sendall(b"two ")
    time.sleep(0.03)
    carriers.another(second.streams)
    os.close(first.stdout)
    assert second.read(4) == b"two "
    os.close(second.stdout)
    assert all_of(client) == b""
    os.close(second.stdin)


def test_a_program_may_read_no_more(pump, carriers):
    """What follows is thrown away, and its output still comes."""
    only = Ends()
    client = pump(only.streams, stdin=True)
    os.close(only.stdin)
    client.sendall(os.urandom(500_000))
    os.write(only.stdout, b"enough")
    os.close(only.stdout)
    assert all_of(client) == b"enough"
    assert not carriers.asked.is_set()


@pytest.mark.parametrize("away", [True, False])
def test_where_nothing_goes_on_it_ends(pump, carriers, away):
    only = Ends()
    client = pump(only.streams, stdin=True)
    os.write(only.stdout, b"all")
    carriers.number, carriers.away = 2, away
    only.cut()
    client.sendall(b"typed")
    assert all_of(client) == b"all"
    assert carriers.asked.is_set() is not away
