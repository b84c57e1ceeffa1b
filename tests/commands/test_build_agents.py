"""ssh agents that a build in this process is lent: the user's, and those that hold keys of files."""

import shutil
import socket
import subprocess
import threading
from contextlib import suppress

import pytest
from moby_builder.command.agents import Agent, agents
from moby_builder.command.lending import Lending

from moby.errors import HostUnfit, Invalid, NotFound, Unavailable

FAILURE = b"\0\0\0\x01\x05"
LIST, ANSWER = b"\0\0\0\x01\x0b", b"\0\0\0\x05\x0c\0\0\0\0"


@pytest.fixture
def agent(tmp_path):
    """An agent without keys, which notes what it is asked."""
    path, asked = tmp_path / "agent", []
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()

    def serve():
        with suppress(OSError):  # nobody came
            answer(listener.accept()[0])

    def answer(sock):
        with sock:
            while data := sock.recv(65536):
                asked.append(data)
                sock.sendall(ANSWER)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield path, asked
    listener.close()


def asked(fd, message):
    """What an agent answers a message."""
    sock = socket.socket(fileno=fd)
    with sock:
        sock.sendall(message)
        size = int.from_bytes(sock.recv(4, socket.MSG_WAITALL), "big")
        return size.to_bytes(4, "big") + sock.recv(size, socket.MSG_WAITALL)


def keys_of(fd):
    """The comments of the keys that an agent has."""
    answer = asked(fd, LIST)
    count, at, found = int.from_bytes(answer[5:9], "big"), 9, []
    for _ in range(2 * count):
        size = int.from_bytes(answer[at : at + 4], "big")
        found.append(answer[at + 4 : at + 4 + size])
        at += 4 + size
    return [each.decode() for each in found[1::2]]


def key(folder, name, *, passphrase=""):
    if shutil.which("ssh-keygen") is None:
        pytest.skip("there is no ssh-keygen; apt install openssh-client")
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-C", name, "-f", folder / name], check=True, timeout=60
    )
    return folder / name


def test_what_options_name(agent, tmp_path):
    path, _ = agent
    (tmp_path / "key").write_text("x")
    found = agents(["default", f"other={path}", f"={tmp_path / 'key'}"], {"SSH_AUTH_SOCK": str(path)})
    assert found == {"default": Agent(None, (tmp_path / "key",)), "other": Agent(path)}
    with pytest.raises(Invalid, match="SSH_AUTH_SOCK isn't set"):
        agents(["default"], {})
    with pytest.raises(Invalid, match="/dev/null is neither a socket of an ssh agent nor a key"):
        agents(["x=/dev/null"], {})


def test_an_agent_is_asked_for_its_keys_and_to_sign(agent):
    path, heard = agent
    lent = Lending(agents={"default": Agent(path)})
    sock = socket.socket(fileno=lent.ssh("default"))
    with sock:
        for message, answer in (
            (LIST, ANSWER),
            (b"\0\0\0\x02\x11x", FAILURE),  # to add a key
            (b"\0\0\0\x01\x13", FAILURE),  # to remove all
            (b"\0\0\0\0", FAILURE),
            (b"\0\0\0\x02\x0dx", ANSWER),
        ):
            sock.sendall(message)
            assert sock.recv(len(answer), socket.MSG_WAITALL) == answer
        sock.sendall(b"\xff\xff\xff\xff")
        assert sock.recv(1) == b""
    assert b"".join(heard) == LIST + b"\0\0\0\x02\x0dx"


def test_agents_that_are_not_there(tmp_path):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "gone"))
    lent = Lending(agents={"default": Agent(tmp_path / "gone")})
    with pytest.raises(Unavailable, match="doesn't answer"):
        lent.ssh("default")
    with pytest.raises(NotFound, match="no ssh agent 'x'"):
        lent.ssh("x")


def test_keys_are_held_as_long_as_the_build_goes_on(tmp_path):
    first, second = key(tmp_path, "first"), key(tmp_path, "second")
    first.chmod(0o644)
    lent = Lending(agents={"default": Agent(None, (first, second)), "other": Agent(None, (second,))})
    try:
        for _ in range(2):
            assert keys_of(lent.ssh("default")) == ["first", "second"]
        assert keys_of(lent.ssh("other")) == ["second"]
        open_still = lent.ssh("default")
    finally:
        lent.close()
    with socket.socket(fileno=open_still) as sock, pytest.raises((OSError, AssertionError)):
        sock.sendall(LIST)
        assert sock.recv(5)


@pytest.mark.parametrize("kind", ["locked", "none"])
def test_keys_that_can_not_be_used(tmp_path, kind):
    path = key(tmp_path, "locked", passphrase="secret") if kind == "locked" else tmp_path / "none"
    if kind == "none":
        path.write_text("no key\n")
    lent = Lending(agents={"default": Agent(None, (path,))})
    try:
        with pytest.raises(Invalid, match=f"the ssh key {path} can't be used"):
            lent.ssh("default")
    finally:
        lent.close()


def test_a_host_without_ssh_agent(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    lent = Lending(agents={"default": Agent(None, (tmp_path,))})
    with pytest.raises(HostUnfit, match="ssh-agent, which holds keys for a build"):
        lent.ssh("default")
    lent.close()
    broken = tmp_path / "ssh-agent"
    broken.write_text("#!/bin/sh\nexit 1\n")
    broken.chmod(0o755)
    lent = Lending(agents={"default": Agent(None, (tmp_path,))})
    with pytest.raises(Unavailable, match="ssh-agent doesn't start"):
        lent.ssh("default")
    lent.close()
    assert [each.name for each in tmp_path.iterdir()] == ["ssh-agent"]
