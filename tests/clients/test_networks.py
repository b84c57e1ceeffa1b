"""Containers that talk: by name, through published ports, and on while the engine is killed and comes back.

What talks are programs of the sandbox's in the containers' network namespaces, since the image has none for that.
"""

import socket
import subprocess

import pytest
from peers.box import NAME
from peers.sandbox import PATIENCE_S

pytestmark = pytest.mark.slow

SERVER = """
import socket, sys, threading
def serve(connection):
    while data := connection.recv(100):
        connection.sendall(sys.argv[2].encode() + b" heard " + data)
def accept(server):
    while True:
        threading.Thread(target=serve, args=server.accept()[:1], daemon=True).start()
server = socket.create_server(("::", int(sys.argv[1])), family=socket.AF_INET6, dualstack_ipv6=True)
threading.Thread(target=accept, args=(server,), daemon=True).start()
print("ready", flush=True)
sys.stdin.read()
"""
ASK = """
import socket, sys
with socket.create_connection((sys.argv[1], int(sys.argv[2])), 10) as client:
    client.sendall(b"hello")
    print(client.recv(100).decode(), client.getpeername()[0])
"""
HOLD = """
import socket, sys
with socket.create_connection((sys.argv[1], int(sys.argv[2])), 10) as client:
    while line := sys.stdin.readline():
        client.sendall(line.encode())
        print(client.recv(100).decode(), end="", flush=True)
"""


def inside(engine, name):
    """Return the words that run a program in a container's network, with its own resolv.conf."""
    key = engine.inspect(name, ".NetworkSettings.SandboxKey")
    resolv = engine.inspect(name, ".ResolvConfPath")
    script = f'mount --bind {resolv} /etc/resolv.conf && exec nsenter --net={key} "$@"'
    return ["unshare", "-m", "sh", "-c", script, "sh"]


def ask(engine, host, port, where=()):
    done = engine.sandbox.run(*where, "python3", "-c", ASK, host, str(port), check=False, timeout=PATIENCE_S)
    return done.stdout.strip() or done.stderr.strip().splitlines()[-1]


class Talk:
    """A program inside that goes on until its input ends, and is read line by line."""

    def __init__(self, engine, *words):
        self.process = subprocess.Popen(
            engine.sandbox.argv(*words), env=engine.sandbox.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            text=True,
        )  # fmt: skip

    def line(self, said=""):
        if said:
            self.process.stdin.write(f"{said}\n")
            self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.process.communicate(timeout=PATIENCE_S)  # which ends it, since its input does


@pytest.fixture(scope="module")
def town(moby):
    """A network with `web`, which is published and answers, and `client`; and one on the default bridge."""
    moby("network", "create", "--ipv6", "town")
    where = ("--network", "town", "--network-alias", "shop", "-p", "8080:80")
    moby("run", "-d", "--name", "web", *where, NAME, "sleep", "1000")
    moby("run", "-d", "--name", "client", "--network", "town", NAME, "sleep", "1000")
    soon = ("--dns-option", "timeout:1", "--dns-option", "attempts:1")  # whom it asks for other names is away
    moby("run", "-d", "--name", "stranger", *soon, NAME, "sleep", "1000")
    with Talk(moby, *inside(moby, "web"), "python3", "-c", SERVER, "80", "web") as server:
        assert server.line() == "ready"
        yield moby
    moby("rm", "-f", "web", "client", "stranger")
    moby("network", "rm", "town")


@pytest.mark.parametrize("name", ["web", "shop", "web.town"])
def test_by_name(town, name):
    found = ask(town, name, 80, inside(town, "client"))
    address = town.inspect("web", ".NetworkSettings.Networks.town.IPAddress")
    assert found.startswith("web heard hello ")
    assert found.endswith((address, town.inspect("web", ".NetworkSettings.Networks.town.GlobalIPv6Address")))


def test_nobody_is_found_from_another_network(town):
    assert ask(town, "web", 80, inside(town, "stranger")).startswith("socket.gaierror: ")


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_by_a_published_port(town, host):
    assert ask(town, host, 8080).startswith("web heard hello ")


def test_by_a_published_port_from_itself_and_from_others(town):
    gateway = town.inspect("web", ".NetworkSettings.Networks.town.Gateway")
    for name in ("web", "client", "stranger"):
        assert ask(town, gateway, 8080, inside(town, name)).startswith("web heard hello "), name


def test_another_has_no_port_that_is_taken(town):
    done = town("run", "--rm", "-p", "8080:80", NAME, "true", check=False)
    assert "Bind for 0.0.0.0:8080 failed: port is already allocated" in done.stderr
    mine = "import socket; socket.create_server(('0.0.0.0', 8080))"
    assert "Address already in use" in town.sandbox.run("python3", "-c", mine, check=False).stderr


def test_connections_outlive_the_engine(town):
    """Which is killed, and finds all again: the connections, the names and the ports."""
    before = {each: town.out("inspect", each, "--format", "{{json .NetworkSettings}}") for each in ("web", "client")}
    client = inside(town, "client")
    outer = Talk(town, "python3", "-c", HOLD, "127.0.0.1", "8080")
    inner = Talk(town, *client, "python3", "-c", HOLD, "web", "80")
    with outer, inner:
        assert (outer.line("one"), inner.line("one")) == ("web heard one", "web heard one")
        town.sandbox.run("kill", "-9", str(town.pid()))
        town._daemon.wait(PATIENCE_S)
        assert (outer.line("two"), inner.line("two")) == ("web heard two", "web heard two")
        assert ask(town, "shop", 80, client).startswith("web heard hello ")
        town._begin()
        assert (outer.line("three"), inner.line("three")) == ("web heard three", "web heard three")
    assert ask(town, "127.0.0.1", 8080).startswith("web heard hello ")
    assert ask(town, "web", 80, client).startswith("web heard hello ")
    for name, settings in before.items():
        assert town.out("inspect", name, "--format", "{{json .NetworkSettings}}") == settings


def test_a_move_to_another_network(town):
    town("network", "create", "village")
    town("network", "connect", "--alias", "visitor", "village", "client")
    town("network", "disconnect", "town", "client")
    assert ask(town, "visitor", 80, inside(town, "client")) == "ConnectionRefusedError: [Errno 111] Connection refused"
    assert "web heard" not in ask(town, "web", 80, inside(town, "client"))
    town("network", "connect", "town", "client")
    assert ask(town, "web", 80, inside(town, "client")).startswith("web heard hello ")
    town("network", "disconnect", "village", "client")
    town("network", "rm", "village")


def test_nothing_is_left_of_a_container(town):
    before = town.sandbox.network()
    town("run", "--rm", "--network", "town", "-p", "8090:90", NAME, "true")
    town._check(lambda: sorted({*town.sandbox.network()} ^ {*before}), "the container, or gone with it")


def has_sctp():
    """Whether this kernel has it."""
    try:
        socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_SCTP).close()
    except OSError:
        return False
    return True


def test_ports_of_sctp(moby):
    """Are kept and shown as asked for; published where the kernel has SCTP, and else refused by that name."""
    words = ("--name", "switch", "-p", "8082:80/sctp", "--expose", "81/sctp", NAME, "sleep", "1000")
    done = moby("run", "-d", *words, check=False)
    try:
        bindings = moby.inspect("switch", ".HostConfig.PortBindings")
        assert bindings == {"80/sctp": [{"HostIp": "", "HostPort": "8082"}]}
        assert sorted(moby.inspect("switch", ".Config.ExposedPorts")) == ["80/sctp", "81/sctp"]
        listed = moby.out("ps", "--all", "--filter", "name=^/switch$", "--format", "{{.Names}} {{.State}} {{.Ports}}")
        if has_sctp():
            assert done.returncode == 0, done.stderr
            assert listed.replace("[::]:", ":::") == "switch running 81/sctp, 0.0.0.0:8082->80/sctp, :::8082->80/sctp"
            assert moby.out("port", "switch").splitlines() == ["80/sctp -> 0.0.0.0:8082", "80/sctp -> [::]:8082"]
        else:
            assert done.returncode == 125
            assert "ports of sctp can't be published" in done.stderr
            assert listed.split() == ["switch", "created"]
    finally:
        moby("rm", "-f", "switch")
