"""The distribution `rootless` of an ordinary user, in a sandbox whose network is joined to another, the world."""

import contextlib
import shutil
import sys
from pathlib import Path

from attrs import define
from clients.engine import Moby
from peers.binaries import need
from peers.sandbox import PATIENCE_S, Sandbox, until

UID = 1000
HOME = "/var/lib/docker/home"
RUNTIME = f"/run/user/{UID}"
SOCKET = f"{RUNTIME}/docker.sock"
HOST, WORLD = "192.0.2.2", "192.0.2.1"
PYZ = f"{HOME}/rootless.pyz"
PYTHON = f"{HOME}/python"
"""No copy of the engine's own interpreter's file is run in containers."""
PROGRAMS = [
    word
    for each in ("/usr:/usr", "/usr/lib:/lib", "/usr/lib64:/lib64", f"{HOME}:/home")
    for word in ("-v", f"{each}:ro")
]
_ACCOUNT = {
    "/etc/passwd": f"peer:x:{UID}:{UID}::{HOME}:/bin/sh", "/etc/group": f"peer:x:{UID}:",
    "/etc/subuid": "other:300000:65536\npeer:100000:65536", "/etc/subgid": "peer:100000:30000\npeer:200000:35536",
}  # fmt: skip
_PREPARE = f"""
mkdir -p {HOME} {RUNTIME} /run/netns; chmod 711 /run/user; chmod 755 /var/lib/docker
mknod /var/lib/docker/tun c 10 200; chmod 666 /var/lib/docker/tun; mount --bind /var/lib/docker/tun /dev/net/tun
cp {sys._base_executable} {PYTHON}
chown -R {UID}:{UID} {HOME} {RUNTIME}
ip netns add world
ip link add out type veth peer name in netns world
ip link set out addrgenmode none; ip -n world link set in addrgenmode none
ip addr add {HOST}/24 dev out; ip link set out up; ip route add default via {WORLD}
ip -n world addr add {WORLD}/24 dev in; ip -n world link set in up; ip -n world link set lo up
"""
SERVER = """
import socket, sys, threading
host, port = sys.argv[1], int(sys.argv[2])
tcp = socket.create_server((host, port), family=socket.AF_INET)
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.bind((host, port))
def answer():
    while True:
        data, peer = udp.recvfrom(2000)
        udp.sendto(b"udp " + data, peer)
threading.Thread(target=answer, daemon=True).start()
print("up", flush=True)
while True:
    connection, peer = tcp.accept()
    connection.sendall(f"tcp {peer[0]}".encode())
    connection.close()
"""
ASK = """
import socket, sys
host, port, kind = sys.argv[1], int(sys.argv[2]), sys.argv[3]
if kind == "tcp":
    with socket.create_connection((host, port), 30) as sock:
        print(sock.recv(100).decode())
else:
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    sock.settimeout(30)
    sock.sendto(b"asked", (host, port))
    print(sock.recv(100).decode())
"""


def prepare(sandbox):
    """Give a sandbox an ordinary user, and a world."""
    sandbox.run("sh", "-ec", _PREPARE)
    for path, text in _ACCOUNT.items():
        sandbox.run("tee", "-a", path, input=f"{text}\n")
    for name, text in (("server.py", SERVER), ("ask.py", ASK)):
        sandbox.seen(f"{HOME}/{name}").write_text(text)


def as_user(*words, **variables):
    """Return the words that run a program as the ordinary user."""
    places = {"HOME": HOME, "XDG_RUNTIME_DIR": RUNTIME, "USER": "peer", "DOCKER_HOST": f"unix://{SOCKET}"}
    pairs = [f"{name}={value}" for name, value in (places | variables).items()]
    return ["setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups", "env", *pairs, *map(str, words)]


@define
class Rootless(Moby):
    """The engine, serving at the user's usual socket."""

    name = "rootless"

    def command(self, *args):
        return as_user("docker", *args)

    def argv(self, *args):
        return as_user(sys.executable, PYZ, *args)

    def daemon(self):
        return self.argv("serve")

    def open(self, image):
        prepare(self.sandbox)
        self.nothing = self._all()
        shutil.copy(self.distribution, self.sandbox.seen(PYZ))
        shutil.copy(image, self.sandbox.seen(f"{HOME}/image.tar"))
        for name in ("rootless.pyz", "image.tar"):
            self.sandbox.seen(f"{HOME}/{name}").chmod(0o644)
        self._begin()
        self("load", "-i", f"{HOME}/image.tar")
        self.said("true")
        self.before = self.sandbox.trace()

    def _answers(self):
        if self._daemon.poll() is not None:
            return super()._answers()  # which says how it has ended
        return self.sandbox.run(*self.command("version"), check=False).returncode == 0

    def left(self):
        """Return what there is inside that wasn't there before the containers, but for the engine's own folder."""
        return [each for each in super().left() if not each.startswith(f"file {RUNTIME}/moby/")]

    def _all(self):
        folders = (f"{HOME}/.local/state/moby", f"{HOME}/.cache/moby", f"{RUNTIME}/moby")
        files = [f"file {each}" for folder in folders for each in self.sandbox.seen(folder).rglob("*")]
        trace = [each for each in self.sandbox.trace().elements() if each != f"file {RUNTIME}/moby"]
        return tuple(sorted([*trace, *self.sandbox.network(), *files]))

    def pid(self):
        (found,) = [pid for pid, words in self.sandbox.processes().items() if words.endswith("rootless.pyz serve")]
        return found

    def gate(self):
        """Return the process outside the namespaces, and the first one inside."""
        found = sorted(pid for pid, words in self.sandbox.processes().items() if ".rootless.gate " in words)
        assert len(found) == 2, self.sandbox.processes()
        return found

    def serve(self, host, port, *, world=False):
        """Start a server on the host, or in the world; return its process."""
        enter = ("ip", "netns", "exec", "world") if world else ()
        words = ("setpriv", "--pdeathsig", "KILL", *enter, PYTHON, "-u", f"{HOME}/server.py", host, str(port))
        process = self.sandbox.start(*words, log=self.log)
        until(lambda: self.asked("127.0.0.1" if host == "0.0.0.0" else host, port).startswith("tcp"), "the server")
        return process

    def kill(self, pid):
        """Kill a process, of which nobody in the sandbox waits to be told."""
        self.sandbox.run("kill", "-9", str(pid))

    def asked(self, host, port, kind="tcp", *, world=False):
        """Return what a server answers, who is asked by the host, or by the world."""
        enter = ("ip", "netns", "exec", "world") if world else ()
        done = self.sandbox.run(*enter, PYTHON, f"{HOME}/ask.py", host, str(port), kind, check=False)
        return done.stdout.strip() or done.stderr.strip().splitlines()[-1]

    def asked_inside(self, host, port, kind="tcp", options=()):
        """Return what a server answers a container."""
        words = ("/home/python", "/home/ask.py", host, str(port), kind)
        done = self("run", "--rm", *options, *PROGRAMS, "localhost/box", *words, check=False)
        return done.stdout.strip() or done.stderr.strip().splitlines()[-1]

    def server(self, *options):
        """Start a container that serves at its port 80; return its name."""
        name = self.fresh()
        words = ("/home/python", "-u", "/home/server.py", "0.0.0.0", "80")
        self("run", "-d", "--name", name, *options, *PROGRAMS, "localhost/box", *words)
        until(lambda: self.out("logs", name) == "up", "the server")
        return name


@contextlib.contextmanager
def opened(folder, image, distribution, hidden=()):
    """Lend the engine, with an image loaded; trees of control groups that are `hidden` it doesn't see."""
    for program, what in (("docker", "docker"), ("newuidmap", "uidmap"), ("pasta", "passt")):
        need(program, what)
    (folder / "memory").mkdir(parents=True)
    sandbox = Sandbox(folder / "memory", hidden)
    sandbox.open()
    engine = Rootless(sandbox, "native", folder / "daemon.log", distribution=Path(distribution))
    try:
        engine.open(image)
        yield engine
    finally:
        sandbox.close()
        if engine._daemon is not None:
            engine._daemon.wait(PATIENCE_S)
