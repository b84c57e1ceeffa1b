"""ssh agents that steps are lent, asked by many at once, and gone."""

import socket
import time
from contextlib import ExitStack

from moby_builder.dockerfile.effects.agents import Agent
from peers.sandbox import PATIENCE_S, until

from moby.errors import NotFound


def test_an_agent_that_many_connect_to_at_once(tmp_path):
    """All are served, but no more at a time than a step may take of the engine; and all are hung up at the end."""
    held = []

    def connect():
        ours, theirs = socket.socketpair()
        theirs.settimeout(PATIENCE_S)
        held.append(theirs)
        return ours.detach()

    with ExitStack() as stack:
        clients = []
        with Agent(tmp_path / "agent", connect):
            for number in range(40):
                client = stack.enter_context(socket.socket(socket.AF_UNIX))
                client.connect(str(tmp_path / "agent"))
                client.settimeout(PATIENCE_S)
                client.sendall(bytes([number]))
                clients.append(client)
            until(lambda: len(held) == 32, "as many connections as there may be")
            served = {each.recv(1)[0]: each for each in tuple(held)}
            time.sleep(0.2)  # for one more, if there were to be one
            assert len(held) == 32
            for number in sorted(served)[:8]:
                clients[number].close()
                assert served[number].recv(1) == b""
                served[number].close()
            until(lambda: len(held) == 40, "the rest")
        left = [each for each in clients if each.fileno() >= 0]
        assert [each.recv(1) for each in left] == [b""] * 32
        assert not (tmp_path / "agent").exists()
        for each in held:
            each.close()


def test_an_agent_that_is_gone(tmp_path):
    def connect():
        raise NotFound("no agent")

    with Agent(tmp_path / "agent", connect), socket.socket(socket.AF_UNIX) as client:
        client.settimeout(PATIENCE_S)
        client.connect(str(tmp_path / "agent"))
        assert client.recv(1) == b""
