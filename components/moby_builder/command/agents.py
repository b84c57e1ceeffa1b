"""ssh agents that a build is lent: the user's, or one that holds keys of files for as long as the build lasts.

What a build runs may ask which keys there are, and have something signed; it can't add keys, take them away or lock the
agent (as BuildKit's clients have it, session/sshforward/sshprovider).
"""

import os
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

from attrs import frozen

from moby.contracts.types import Fd
from moby.errors import HostUnfit, Invalid, NotFound, Unavailable

__all__ = ["Agent", "Agents", "agents"]

_ALLOWED = frozenset({11, 13})
"""To list keys, and to sign (draft-miller-ssh-agent, protocol messages)."""
_FAILURE = b"\0\0\0\x01\x05"
_MOST_BYTES = 256 << 10
"""Of a message, as OpenSSH's agent takes them."""
_START_S = 30.0
_ENDING_S = 10.0


@frozen
class Agent:
    """Where an agent is, or which keys it is to hold."""

    socket: Path | None = None
    keys: tuple[Path, ...] = ()


def agents(given: Sequence[str], environment: Mapping[str, str]) -> dict[str, Agent]:
    """Return agents by name, given `NAME[=SOCKET|KEY,...]`; Invalid for what makes no sense."""
    found = {}
    for each in given:
        name, _, text = each.partition("=")
        text = text or environment.get("SSH_AUTH_SOCK", "")
        if not text:
            raise Invalid(
                "there is no ssh agent: SSH_AUTH_SOCK isn't set", hint="start one, or name its socket, or a key"
            )
        paths = tuple(Path(part) for part in text.split(",") if part)
        if len(paths) == 1 and paths[0].is_socket():
            found[name or "default"] = Agent(paths[0])
            continue
        for path in paths:
            if not path.is_file():
                raise Invalid(
                    f"{path} is neither a socket of an ssh agent nor a key", hint="NAME=SOCKET, or NAME=KEY,KEY"
                )
        found[name or "default"] = Agent(None, paths)
    return found


class Agents:
    """Connects to agents by name, of which those for keys are started at the first call. Thread-safe."""

    def __init__(self, known: Mapping[str, Agent], held: ExitStack) -> None:
        self._known, self._held = known, held
        self._lock = threading.Lock()
        self._started: dict[str, Path] = {}

    def connect(self, name: str) -> Fd:
        """Return a socket that leads to an agent; see moby.contracts.builder.Session."""
        agent = self._known.get(name)
        if agent is None:
            raise NotFound(f"no ssh agent {name!r} is lent")
        path = agent.socket
        if path is None:
            with self._lock:
                if name not in self._started:
                    self._started[name] = _started(agent.keys, self._held)
                path = self._started[name]
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.connect(str(path))
        except OSError as error:
            sock.close()
            raise Unavailable(f"the ssh agent at {path} doesn't answer: {error.strerror}") from error
        ours, theirs = socket.socketpair()
        threading.Thread(target=_carry, args=(ours, sock), name="ssh agent", daemon=True).start()
        return theirs.detach()


def _carry(client: socket.socket, agent: socket.socket) -> None:
    """Pass what is allowed on, and the answers back, to the end of either."""
    with client, agent, suppress(OSError, EOFError):
        while True:
            asked = _message(client)
            if asked[4:5] and asked[4] in _ALLOWED:
                agent.sendall(asked)
                client.sendall(_message(agent))
            else:
                client.sendall(_FAILURE)


def _message(sock: socket.socket) -> bytes:
    """Read a message with its length; EOFError at the end, or for one that is too long."""
    head = _exactly(sock, 4)
    size = int.from_bytes(head, "big")
    if size > _MOST_BYTES:
        raise EOFError
    return head + _exactly(sock, size)


def _exactly(sock: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size:
        data = sock.recv(size - len(found))
        if not data:
            raise EOFError
        found += data
    return found


def _started(keys: Sequence[Path], held: ExitStack) -> Path:
    """Start an agent with keys, which ends with `held`; return its socket."""
    folder = Path(held.enter_context(tempfile.TemporaryDirectory(prefix="build-ssh-")))
    path = folder / "agent"
    try:
        agent = subprocess.Popen(
            ["ssh-agent", "-D", "-a", str(path)], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
    except FileNotFoundError as error:
        raise HostUnfit(
            "ssh-agent, which holds keys for a build, isn't on PATH", hint="apt install openssh-client"
        ) from error
    held.callback(_end, agent)
    limit = time.monotonic() + _START_S
    while not path.exists():
        if agent.poll() is not None or time.monotonic() > limit:
            raise Unavailable("ssh-agent doesn't start", hint="start an agent, and name its socket")
        time.sleep(0.005)
    for each in keys:
        _add(each, path)
    return path


def _add(key: Path, path: Path) -> None:
    """Have an agent hold a key; there is nobody to be asked for its passphrase."""
    environment = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "SSH_ASKPASS")}
    with key.open("rb") as file:
        done = subprocess.run(
            ["ssh-add", "-q", "-"], stdin=file, capture_output=True, text=True, errors="replace", check=False,
            env={**environment, "SSH_AUTH_SOCK": str(path), "SSH_ASKPASS_REQUIRE": "never"}, start_new_session=True,
        )  # fmt: skip
    if done.returncode:
        said = " ".join(done.stderr.split()) or "ssh-add refuses it"
        raise Invalid(
            f"the ssh key {key} can't be used: {said}", hint="one with a passphrase is for ssh-add and an agent"
        )


def _end(agent: subprocess.Popen[bytes]) -> None:
    agent.terminate()
    try:
        agent.wait(_ENDING_S)
    except subprocess.TimeoutExpired:
        agent.kill()
        agent.wait()
