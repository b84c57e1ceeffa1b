"""Other engines in a sandbox, each told which runtime to use; docker and podman share most of their command line."""

import contextlib
import fcntl
import json
import os
import socket
import struct
import subprocess
import sys
import termios
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import pytest
from attrs import define, field
from peers.binaries import need
from peers.box import NAME
from peers.sandbox import PATIENCE_S, Sandbox, until

from moby.testing.boxes import read_until, readable

OURS = "moby-runtime"


def command_of(runtime):
    """Return the path of a runtime's command as it is seen in a sandbox; MOBY_RUNTIME may name another of ours."""
    if runtime != OURS:
        need(runtime, runtime)
        return f"/usr/bin/{runtime}"
    found = Path(os.environ.get("MOBY_RUNTIME") or Path(sys.executable).parent / OURS)
    assert found.exists(), f"{found} is not there; `make` installs it"
    return str(found)


@define
class Terminal:
    """A program inside a sandbox on a terminal of the test's."""

    process: subprocess.Popen
    fd: int

    def write(self, text):
        os.write(self.fd, text.encode())

    def read_until(self, mark):
        return read_until(self.fd, mark)

    def resize(self, rows, columns):
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def resize_until(self, mark, rows, columns):
        """Resize until something has come: a client that doesn't listen for changes yet misses the first ones."""
        limit = time.monotonic() + PATIENCE_S
        while not readable(self.fd, 0.2) and time.monotonic() < limit:
            self.resize(rows, columns + 1)
            self.resize(rows, columns)
        self.read_until(mark)

    def code(self):
        """Wait for its end, reading what it still says, and return its exit code."""
        while True:
            try:
                if not os.read(self.fd, 65536):
                    break
            except OSError:
                break
        os.close(self.fd)
        return self.process.wait(PATIENCE_S)


def on_terminal(sandbox, argv, rows=24, columns=80):
    """Start a program inside, with a new terminal of that size."""
    ours, theirs = os.openpty()
    fcntl.ioctl(ours, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    process = subprocess.Popen(
        ["setsid", "--ctty", "--wait", *sandbox.argv(*argv)],
        env=sandbox.environment | {"TERM": "xterm"}, stdin=theirs, stdout=theirs, stderr=theirs,
    )  # fmt: skip
    os.close(theirs)
    return Terminal(process, ours)


@define
class Engine:
    """What docker and podman have in common."""

    sandbox: Sandbox
    runtime: str
    log: Path
    name = "engine"
    first: ClassVar[Sequence[str]] = ("-m", "64m", "--pids-limit", "50")
    """Options of the first container, after which what is left is no longer of one."""
    before: Counter[str] = field(factory=Counter)
    """What there was inside once the first container had gone."""
    _count: int = 0
    _daemon: subprocess.Popen | None = None

    def command(self, *args):
        """Return the words of one command of this engine."""
        raise NotImplementedError

    def __call__(self, *args, **options):
        """Run a command of the engine to its end."""
        return self.sandbox.run(*self.command(*args), **options)

    def out(self, *args, **options):
        """Return what a command prints, without the last line's end."""
        return self(*args, **options).stdout.rstrip("\n")

    def fresh(self):
        """Return a name that no other container has."""
        self._count += 1
        return f"box{self._count}"

    def run(self, *args, image=NAME, options=(), **more):
        """Run a program in a new container to its end and remove that; return exit code, output and errors."""
        return self("run", "--rm", "--network=none", *options, image, *args, check=False, **more)

    def said(self, *args, options=(), **more):
        """Return what a program prints in a new container, which ends well."""
        done = self.run(*args, options=options, **more)
        assert done.returncode == 0, done.stderr
        return done.stdout.rstrip("\n")

    def start(self, *args, options=(), image=NAME):
        """Run a container in the background; return its name."""
        name = self.fresh()
        self("run", "-d", "--network=none", "--name", name, *options, image, *args)
        return name

    def up(self, options=(), image=NAME):
        """Start a container that stays until it is told to end."""
        script = "trap 'exit 3' TERM; echo up; while :; do sleep 0.1; done"
        name = self.start("sh", "-c", script, options=options, image=image)
        until(lambda: self.out("logs", name).endswith("up"), "the program's word")
        return name

    def inspect(self, name, path):
        """Return one field of a container's description."""
        return json.loads(self.out("inspect", "--format", f"{{{{json {path}}}}}", name))

    def wait_for(self, name, path, wanted):
        """Wait until a field of a container has a value."""
        until(lambda: self.inspect(name, path) == wanted, f"{path} of {name} as {wanted!r}")

    def terminal(self, *args, rows=24, columns=80):
        """Run a command of the engine on a terminal."""
        return on_terminal(self.sandbox, self.command(*args), rows, columns)

    def remove(self, *names, check=True):
        """Remove containers, by force."""
        self("rm", "-f", *names, check=check)

    def remove_all(self):
        """Remove all containers, by force."""
        names = self.out("ps", "-aq").split()
        if names:
            self.remove(*names)

    def left(self):
        """Return what there is inside that wasn't there before the containers."""
        return sorted((self.sandbox.trace() - self.before).elements())

    def open(self, image):
        """Start what there is to start, and load an image."""
        self("load", "-i", str(image))
        self.said("true", options=self.first)
        self.before = self.sandbox.trace()

    def close(self):
        """Reap what was started, which the sandbox has ended."""
        if self._daemon:
            self._daemon.wait(PATIENCE_S)


@define
class Podman(Engine):
    """Podman as root; it has no daemon."""

    name = "podman"

    def command(self, *args):
        return ["podman", "--cgroup-manager=cgroupfs", f"--runtime={command_of(self.runtime)}", *args]

    def remove(self, *names, check=True):
        self("rm", "-f", "-t", "0", *names, check=check)


@define
class RootlessPodman(Podman):
    """Podman as an ordinary user, to whom 65536 more ids are given."""

    name = "rootless podman"
    first: ClassVar[Sequence[str]] = ()

    def command(self, *args):
        user = ["setpriv", "--reuid=1000", "--regid=1000", "--clear-groups"]
        places = ["HOME=/run/peer", "XDG_RUNTIME_DIR=/run/user/1000", "USER=peer", "TMPDIR=/tmp"]
        return [*user, "env", *places, *super().command(*args)]

    def open(self, image):
        for path, line in {
            "/etc/passwd": "peer:x:1000:1000::/run/peer:/bin/sh", "/etc/group": "peer:x:1000:",
            "/etc/subuid": "peer:100000:65536", "/etc/subgid": "peer:100000:65536",
        }.items():  # fmt: skip
            self.sandbox.run("tee", "-a", path, input=f"{line}\n")
        self.sandbox.run("sh", "-c", "mkdir -p /run/peer /run/user/1000; chown 1000:1000 /run/peer /run/user/1000")
        # As the ordinary user's, the archive is read where everybody may.
        self.sandbox.run("cp", image, "/run/peer/image.tar")
        super().open("/run/peer/image.tar")


@define
class Docker(Engine):
    """dockerd, with a containerd of its own."""

    name = "docker"
    options: tuple[str, ...] = ()
    started_s: float = 0.0
    """How long the daemon took to answer."""

    def command(self, *args):
        return ["docker", *args]

    def open(self, image):
        self._begin()
        super().open(image)

    def again(self):
        """End the daemon, and start another in its place."""
        self.sandbox.run("sh", "-c", "kill $(cat /run/docker.pid)")
        self._daemon.wait(PATIENCE_S)
        self._begin()

    def daemon(self):
        """Return the words that start the daemon."""
        runtime = [] if self.runtime == "runc" else [
            f"--add-runtime={self.runtime}={command_of(self.runtime)}", f"--default-runtime={self.runtime}"
        ]  # fmt: skip
        return ["dockerd", "--bridge=none", "--iptables=false", "--ip6tables=false", *runtime, *self.options]

    def _begin(self):
        began = time.perf_counter()
        self._daemon = self.sandbox.start(*self.daemon(), log=self.log)
        until(self._answers, "the daemon's answer", every_s=0.005)
        self.started_s = time.perf_counter() - began

    def _answers(self):
        if self._daemon.poll() is not None:
            pytest.fail(f"{self.name} ended:\n{self.log.read_text()[-3000:]}")
        with socket.socket(socket.AF_UNIX) as client:
            try:
                client.connect(str(self.sandbox.seen("/run/docker.sock")))
            except OSError:
                return False
            client.settimeout(PATIENCE_S)
            client.sendall(b"GET /_ping HTTP/1.1\r\nHost: engine\r\nConnection: close\r\n\r\n")
            return client.recv(100).startswith(b"HTTP/1.1 200 ")


@define
class Containerd:
    """containerd, and its plain client ctr."""

    sandbox: Sandbox
    runtime: str
    log: Path
    before: Counter[str] = field(factory=Counter)
    _count: int = 0
    _daemon: subprocess.Popen | None = field(init=False, default=None)

    def open(self, image):
        self._daemon = self.sandbox.start("containerd", log=self.log)
        until(lambda: self("version", check=False).returncode == 0, "containerd's answer")
        self("images", "import", str(image))
        assert self.run("true").returncode == 0
        self.before = self.sandbox.trace()

    def __call__(self, *args, **options):
        """Run ctr to its end."""
        return self.sandbox.run("ctr", *args, **options)

    def chosen(self):
        """Return the options of `ctr run` that choose the runtime."""
        return ["--runtime=io.containerd.runc.v2", f"--runc-binary={command_of(self.runtime)}"]

    def fresh(self):
        self._count += 1
        return f"box{self._count}"

    def remove_all(self):
        """Remove all containers, by force."""
        for name in self("tasks", "ls", "-q").stdout.split():
            self("tasks", "rm", "-f", name)
        for name in self("containers", "ls", "-q").stdout.split():
            self("containers", "rm", name)

    def left(self):
        """Return what there is inside that wasn't there before the containers."""
        return sorted((self.sandbox.trace() - self.before).elements())

    def run(self, *args, options=(), **more):
        """Run a program in a new container to its end and remove that."""
        return self("run", "--rm", *self.chosen(), *options, NAME, self.fresh(), *args, check=False, **more)

    def start(self, *args, options=()):
        name = self.fresh()
        self("run", "-d", *self.chosen(), *options, NAME, name, *args)
        return name

    def terminal(self, *args, rows=24, columns=80):
        return on_terminal(self.sandbox, ["ctr", *args], rows, columns)

    def close(self):
        if self._daemon:
            self._daemon.wait(PATIENCE_S)


_PEERS = {
    "podman": ("podman", "podman"),
    "docker": ("dockerd", "docker"),
    "ctr": ("ctr", "containerd"),
    "rootless": ("podman", "podman"),
}
_KINDS = {"podman": Podman, "docker": Docker, "ctr": Containerd, "rootless": RootlessPodman}
_OTHERS = {"podman": "crun", "docker": "runc", "ctr": "runc", "rootless": "crun"}
# What crun can't do on hybrid control groups, it can where the unified hierarchy isn't seen.
_HIDDEN = {"crun": ("unified",)}


def choices(*engines):
    """Return engines with our runtime and, as a comparison, with another's, under which the tests pass as well."""
    ours = [pytest.param((name, OURS), id=f"{name}-{OURS}", marks=pytest.mark.slow) for name in engines]
    others = [(name, _OTHERS[name]) for name in engines]
    return [*ours, *(pytest.param(each, id="-".join(each), marks=pytest.mark.long) for each in others)]


@contextlib.contextmanager
def opened(kind, runtime, folder, image, prepare="true", **options):
    """Lend an engine with that runtime, in a sandbox of its own, where a script has run first."""
    need(*_PEERS[kind])
    (folder / "memory").mkdir()
    sandbox = Sandbox(folder / "memory", _HIDDEN.get(runtime, ()))
    sandbox.open()
    engine = _KINDS[kind](sandbox, runtime, folder / "daemon.log", **options)
    try:
        sandbox.run("sh", "-c", prepare)
        engine.open(image)
        yield engine
    finally:
        sandbox.close()
        engine.close()
