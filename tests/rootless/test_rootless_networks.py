"""Networks of an ordinary user's engine: out by pasta, in by the host's own ports, and who is killed meanwhile."""

import pytest
from peers.sandbox import until
from rootless_engine import HOST, WORLD

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def world(engine):
    """Start a server in the world, at its port 7000, and one at the host's loopback."""
    started = [engine.serve(WORLD, 7000, world=True), engine.serve("127.0.0.1", 7001)]
    yield
    for each in started:
        each.kill()
        each.wait()


def test_the_way_out(engine, world):
    """As the host itself; what is at the host's loopback isn't reached."""
    assert engine.asked_inside(WORLD, 7000) == f"tcp {HOST}"
    assert engine.asked_inside(WORLD, 7000, "udp") == "udp asked"
    gateway = engine.out("network", "inspect", "bridge", "--format", "{{(index .IPAM.Config 0).Gateway}}")
    for host in (gateway, "127.0.0.1"):
        assert "refused" in engine.asked_inside(host, 7001).lower()


def test_the_host_itself(engine):
    """By an address of pasta's, since the host's own are the engine's network's too."""
    server = engine.serve("0.0.0.0", 7002)
    options = ["--add-host", "host.docker.internal:host-gateway"]
    assert engine.asked_inside("host.docker.internal", 7002, options=options).startswith("tcp ")
    assert "refused" in engine.asked_inside(HOST, 7002).lower()
    server.kill()
    server.wait()


@pytest.mark.parametrize("kind", ["tcp", "udp"])
def test_published_ports(engine, kind):
    """From the host by all of its addresses, from the world, and from a container by the host's address."""
    name = engine.server("-p", f"8080:80/{kind}", "-p", f"127.0.0.1:8081:80/{kind}")
    for host, port in (("127.0.0.1", 8080), ("::1", 8080), (HOST, 8080), ("127.0.0.1", 8081)):
        assert engine.asked(host, port, kind).startswith(kind)
    assert engine.asked(HOST, 8080, kind, world=True).startswith(kind)
    if kind == "tcp":
        assert "refused" in engine.asked(HOST, 8081, kind, world=True).lower()
        assert engine.asked_inside(HOST, 8080).startswith("tcp")
    engine("rm", "-f", name)
    if kind == "tcp":
        assert "refused" in engine.asked("127.0.0.1", 8080).lower()


def test_a_random_port(engine):
    name = engine.server("-p", "80")
    port = engine.out("port", name, "80").splitlines()[0].rpartition(":")[2]
    assert engine.asked(HOST, int(port), world=True).startswith("tcp")
    engine("rm", "-f", name)


def test_ports_that_can_t_be_had(engine):
    """Low ones are root's; others somebody has, outside or inside."""
    for port, said in (("80", "net.ipv4.ip_unprivileged_port_start"), ("8090", "port is already allocated")):
        holder = None
        if port == "8090":
            holder = engine.serve("0.0.0.0", port)
        done = engine("run", "--rm", "-p", f"{port}:80", "localhost/box", "true", check=False)
        assert done.returncode == 125
        assert said in done.stderr
        if holder:
            holder.kill()
            holder.wait()


def test_names(engine):
    engine("network", "create", "town")
    name = engine.server("--network=town", "--network-alias=shop")
    for each in (name, "shop"):
        assert engine.asked_inside(each, 80, options=["--network=town"]).startswith("tcp")
    engine("rm", "-f", name)
    engine("network", "rm", "town")


def test_networks_that_are_the_hosts(engine):
    """`host` is the engine's namespace, since the host's own isn't an ordinary user's."""
    found = engine("run", "--rm", "--network=host", "localhost/box", "ip", "-o", "link").stdout
    assert "docker0" in found or "br-" in found
    assert "out@" not in found
    done = engine("network", "create", "-d", "macvlan", "no", check=False)
    assert "macvlan" in done.stderr


def test_everybody_is_killed_in_turn(engine, world):
    """Containers go on, their ports are theirs, and what was killed is there again for the next who needs it."""
    name = engine.server("-p", "8086:80")
    engine.kill(engine.pid())
    engine._daemon.wait(60)
    assert engine.asked("127.0.0.1", 8086).startswith("tcp")
    engine._begin()
    assert engine.inspect(name, ".State.Running")

    outside, inside = engine.gate()
    engine.kill(outside)
    until(lambda: outside not in engine.sandbox.processes(), "the gate's end")
    assert engine.asked("127.0.0.1", 8086).startswith("tcp")
    done = engine("run", "--rm", "-p", "8087:80", "localhost/box", "true", check=False)
    assert "opens the host's ports has ended" in done.stderr
    assert name in engine.verb("ps").stdout
    assert inside not in engine.gate()
    other = engine.server("-p", "8087:80")
    assert engine.asked(HOST, 8087, world=True).startswith("tcp")
    until(lambda: engine.asked_inside(WORLD, 7000) == f"tcp {HOST}", "the way out")

    (link,) = [pid for pid, words in engine.sandbox.processes().items() if words.startswith("/usr/bin/pasta")]
    engine.kill(link)
    until(lambda: engine.asked_inside(WORLD, 7000) == f"tcp {HOST}", "the way out")

    (keeper,) = [pid for pid, words in engine.sandbox.processes().items() if "/keeper/program-" in words]
    engine.kill(keeper)
    assert engine.out("exec", name, "echo", "here") == "here"
    engine("rm", "-f", name, other)


def test_the_gate_outlives_no_engine(engine):
    """It stays for containers alone, too, and ends after the last of them."""
    engine.remove_all()
    name = engine.server("-p", "8088:80")
    engine.sandbox.run("kill", str(engine.pid()))
    engine._daemon.wait(60)
    assert engine.asked("127.0.0.1", 8088).startswith("tcp")
    assert len(engine.gate()) == 2
    engine.verb("rm", "-f", name)
    until(lambda: not [words for words in engine.sandbox.processes().values() if "gate" in words], "the gate's end")
    engine._begin()


def test_who_was_on_none_is_put_on_another(engine):
    name = engine.up()
    engine("network", "disconnect", "none", name)
    engine("network", "connect", "bridge", name)
    address = engine.inspect(name, ".NetworkSettings.Networks.bridge.IPAddress")
    assert f"inet {address}/" in engine.out("exec", name, "ip", "-o", "address", "show", "eth0")
    engine.remove(name)
