"""Who has read an attached stream to its end finds the container ended."""

import os
import socket
import threading
import time

import pytest
from frontend.streaming import PATIENCE_S, by_websocket, joined, upgraded
from frontend.test_docker_http import until_closed
from moby_frontend.docker.handlers.websocket import message

from moby.contracts.containers import Status
from moby.contracts.supervisor import Streams

ATTACH = "/containers/{}/attach?stream=1&stdout=1&stderr=1"


@pytest.fixture
def late(served, monkeypatch):
    """An end that is told only when this event is set."""
    event, watch = threading.Event(), served.containers._watch

    def watch_later(identity, program):
        program.ended.wait()
        event.wait(PATIENCE_S)
        watch(identity, program)

    monkeypatch.setattr(served.containers, "_watch", watch_later)
    yield event
    event.set()


def goes_on(sock):
    """Whether a stream hasn't ended a while after what was in it."""
    sock.settimeout(0.2)
    try:
        while sock.recv(1000):
            pass
    except TimeoutError:
        return True
    finally:
        sock.settimeout(PATIENCE_S)
    return False


def idle(served):
    """Whether nobody is answered any more, in the end."""
    limit = time.monotonic() + PATIENCE_S
    while served.frontend._server._busy and time.monotonic() < limit:
        time.sleep(0.01)
    return not served.frontend._server._busy


def attached(served, identity):
    return upgraded(served, ATTACH.format(identity))[0]


def test_the_end_is_shown_before_the_stream_ends(served, make, late):
    identity = make("echo", "x")
    sock = attached(served, identity)
    served.containers.start(identity)
    assert goes_on(sock)
    late.set()
    assert until_closed(sock) == b""
    assert served.containers.get(identity).state.status is Status.EXITED


def test_the_end_is_shown_before_a_websocket_is_closed(served, make, late):
    identity = make("echo", "x")
    sock = by_websocket(served, f"/containers/{identity}/attach/ws?stream=1&stdout=1")
    served.containers.start(identity)
    assert sock.recv(100) == message(2, b"x\n")
    assert goes_on(sock)
    late.set()
    assert until_closed(sock) == message(8, b"\x03\xe8")
    assert served.containers.get(identity).state.status is Status.EXITED


def test_who_leaves_a_websocket_meanwhile_is_waited_for_no_more(served, make, late):
    identity = make("echo", "x")
    sock = by_websocket(served, f"/containers/{identity}/attach/ws?stream=1&stdout=1")
    served.containers.start(identity)
    assert goes_on(sock)
    sock.close()
    assert idle(served)


def test_a_start_may_be_shown_late(served, make, late, monkeypatch):
    """Later than what its program says ends."""
    identity = make("echo", "x")
    sock = attached(served, identity)
    change = served.containers.set

    def change_later(name, **changes):
        time.sleep(0.2 if changes.get("status") is Status.RUNNING else 0)
        change(name, **changes)

    monkeypatch.setattr(served.containers, "set", change_later)
    served.containers.start(identity)
    assert goes_on(sock)
    late.set()
    assert until_closed(sock) == b""
    assert served.containers.get(identity).state.status is Status.EXITED


def test_who_goes_meanwhile_is_waited_for_no_more(served, make, late):
    identity = make("echo", "x")
    sock = attached(served, identity)
    served.containers.start(identity)
    assert goes_on(sock)
    sock.close()
    assert idle(served)


def test_the_log_alone_ends_by_itself(served, make, late):
    identity = make("echo", "x")
    served.containers.start(identity)
    served.containers.programs[identity].ended.wait()
    sock, _ = upgraded(served, f"/containers/{identity}/attach?logs=1&stdout=1")
    assert joined(until_closed(sock)) == b"x\n"


@pytest.mark.parametrize("tells", [True, False])
def test_a_stream_of_a_start_that_fails_ends(served, make, monkeypatch, tells):
    """Also where it fails as it did before, so that its state is as it was."""
    identity = make("echo", "x")
    streams, other = zip(*(os.pipe() for _ in range(2)), strict=True)
    monkeypatch.setattr(served.containers, "attach", lambda name, certain=None: Streams(-1, *streams))
    sock = attached(served, identity)
    for each in other:
        os.close(each)
    if tells:
        served.containers.set(identity, error="no such program", exit_code=127)
    begun = time.monotonic()
    assert until_closed(sock) == b""
    assert (time.monotonic() - begun < 0.9) is tells
    sock.close()


def test_a_half_that_the_client_ends_changes_nothing(served, make, late):
    identity = make("cat", open_stdin=True, stdin_once=True)
    sock = upgraded(served, ATTACH.format(identity) + "&stdin=1")[0]
    served.containers.start(identity)
    sock.sendall(b"typed\n")
    sock.shutdown(socket.SHUT_WR)
    assert goes_on(sock)
    late.set()
    assert until_closed(sock) == b""
    assert served.containers.get(identity).state.status is Status.EXITED


@pytest.mark.parametrize("options", [{}, {"stdin_once": True, "terminal": True}])
def test_a_half_that_ends_is_all_where_the_input_goes_on_without_it(served, make, options):
    """As with dockerd, whose docker attach with an input that has ended returns."""
    identity = make("cat", open_stdin=True, **options)
    sock = upgraded(served, ATTACH.format(identity) + "&stdin=1")[0]
    served.containers.start(identity)
    sock.shutdown(socket.SHUT_WR)
    assert until_closed(sock) == b""
    assert served.containers.get(identity).state.status is Status.RUNNING
