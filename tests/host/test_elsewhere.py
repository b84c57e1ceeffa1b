import os
import socket
from pathlib import Path

import pytest

from moby.host.elsewhere import in_namespace


def own():
    return Path("/proc/thread-self/ns/net").stat().st_ino


def test_call_is_made_there_and_the_caller_stays(namespace):
    before = own()
    assert in_namespace(namespace, own) == os.fstat(namespace).st_ino != before
    assert own() == before


def test_socket_stays_there(namespace):
    with socket.create_server(("127.0.0.1", 0)) as ours:
        port = ours.getsockname()[1]
        theirs = in_namespace(namespace, lambda: socket.create_server(("127.0.0.1", port)))
        theirs.close()


def test_error_is_the_callers(namespace):
    def fail():
        raise LookupError("of the call's own")

    with pytest.raises(LookupError, match="of the call's own"):
        in_namespace(namespace, fail)


def test_what_is_no_network_namespace_is_refused():
    with Path("/proc/self/ns/uts").open() as other, pytest.raises(OSError, match="Invalid argument"):
        in_namespace(other.fileno(), own)
