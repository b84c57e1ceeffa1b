"""ssh agents that steps are lent, asked by many at once, and gone."""

import select
import socket
from contextlib import ExitStack

from moby_builder.dockerfile.effects.agents import Agent
from peers.sandbox import until

from moby.errors import NotFound


def test_an_agent_that_many_connect_to_at_once(tmp_path):
    """All are served, but no more at a time than a step may take of the engine; and all are hung up at the end."""
    held = []

    def connect():
        ours, theirs = socket.socketpair()
        held.append(theirs)
        return ours.detach()

    with ExitStack() as stack:
        clients = []
        with Agent(tmp_path / "agent", connect):
            for _ in range(40):
                client = stack.enter_context(socket.socket(socket.AF_UNIX))
                client.connect(str(tmp_path / "agent"))
                client.settimeout(60)
                clients.append(client)
            until(lambda: len(held) == 32, "as many connections as there may be")
            assert not select.select([held[0]], [], [], 0.2)[0]
            assert len(held) == 32
            for each in clients[:8]:
                each.close()
            for each in held[:8]:
                assert each.recv(1) == b""
                each.close()
            until(lambda: len(held) == 40, "the rest")
        assert [each.recv(1) for each in clients[8:]] == [b""] * 32
        assert not (tmp_path / "agent").exists()
        for each in held:
            each.close()


def test_an_agent_that_is_gone(tmp_path):
    def connect():
        raise NotFound("no agent")

    with Agent(tmp_path / "agent", connect), socket.socket(socket.AF_UNIX) as client:
        client.connect(str(tmp_path / "agent"))
        assert client.recv(1) == b""
