"""The distribution's own verbs about networks, beside docker's command at the same engine."""

import json
import re
import shlex

import pytest
from clients.engine import SOCKET
from test_verbs_beside_docker import said

pytestmark = pytest.mark.slow

LINES = """
network ls --filter type=custom --format "{{.Name}} {{.Driver}} {{.Scope}} {{.Internal}} {{.IPv6}} {{.Labels}}"
network ls -q --filter nonesuch=1
network inspect mine -f "{{.Name}} {{json .IPAM}} {{.Internal}} {{.Attachable}} {{json .Options}} {{json .Labels}}"
network create mine
network create -d nonesuch other
network create -d host other
network create bridge
network create --subnet 10.5.0.0/25 other
network create --subnet 10.6.0.5/24 other
network create --subnet 10.6.0.0/24 --gateway 10.7.0.1 other
network create --subnet 10.6.0.0/24 --ip-range 10.7.0.0/25 other
network create --subnet 10.6.0.0/24 --aux-address a=10.7.0.1 other
network create --gateway 10.7.0.1 other
network create --ipam-driver nonesuch other
network rm nonesuch mine bridge
network connect mine there
network connect nonesuch there
network connect mine nonesuch
network connect host there
network connect none there
network connect --ip 10.9.0.1 mine made
network disconnect none there
network disconnect nonesuch there
network prune
inspect -f "{{json .NetworkSettings}}" there
inspect -f "{{json .HostConfig.PortBindings}} {{json .NetworkSettings.Networks}}" made
port there
port there 80
port there 81/udp
port there 82
ps --format "{{.Names}} {{.Ports}} {{.Networks}}"
run --rm --network mine --ip 10.5.0.77 localhost/box true
run --rm --network mine --ip 10.9.0.77 localhost/box true
run --rm --ip 172.17.0.77 localhost/box true
run --rm --network container:there -p 80 localhost/box true
run --rm --network container:there localhost/box ip -o -4 addr show eth0
run --rm --network host -p 80 localhost/box true
run --rm --network mine --add-host one.x:10.0.0.1 --add-host two.x:host-gateway localhost/box grep "\\.x$" /etc/hosts
run --rm --network mine --dns 10.9.9.9 --dns-search x.y --dns-option ndots:3 localhost/box cat /etc/resolv.conf
run --rm --dns 10.9.9.9 localhost/box cat /etc/resolv.conf
run --rm --network-alias x localhost/box true
run --rm --mac-address 02:42:ac:11:00:99 localhost/box cat /sys/class/net/eth0/address
run --rm --link nonesuch:a localhost/box true
""".strip().splitlines()


@pytest.fixture(scope="module")
def networked(engine):
    pool = ("--subnet", "10.5.0.0/24", "--ip-range", "10.5.0.0/25", "--gateway", "10.5.0.1")
    more = ("--aux-address", "a=10.5.0.9", "--attachable", "--label", "a=b", "-o", "com.docker.network.driver.mtu=1400")
    assert re.fullmatch("[0-9a-f]{64}\n", engine.verb("network", "create", *pool, *more, "mine").stdout)
    ports = ("-p", "8080:80", "-p", "127.0.0.1:8081-8085:81/udp", "--expose", "90")
    where = ("--network", "mine", "--ip", "10.5.0.77", "--network-alias", "w")
    engine.verb("run", "-d", "--name", "there", "-h", "here", *where, *ports, "localhost/box", "sleep", "1000")
    engine.verb("create", "--name", "made", "--network", "mine", "-p", "9000-9001:90-91", "localhost/box")
    yield
    engine.verb("rm", "-f", "there", "made")
    engine.verb("network", "rm", "mine")


@pytest.mark.parametrize("line", LINES)
def test_it_is_as_docker_does_it(engine, networked, line):
    words = shlex.split(line)
    own = engine.verb(*words, check=False)
    docker = engine.sandbox.run("docker", "-H", f"unix://{SOCKET}", *words, check=False)
    assert said(own) == said(docker)
    assert own.returncode == docker.returncode


def test_connecting_and_disconnecting(engine, networked):
    engine.verb("network", "create", "--internal", "second")
    more = ("--alias", "a", "--link", "made:m", "--driver-opt", "com.docker.network.endpoint.ifname=net7")
    engine.verb("network", "connect", *more, "second", "there")
    found = json.loads(engine.verb("inspect", "-f", "{{json .NetworkSettings.Networks.second}}", "there").stdout)
    assert (found["Aliases"], found["Links"], found["Gateway"]) == (["a"], ["made:m"], "")
    assert "net7" in engine.verb("exec", "there", "ls", "/sys/class/net").stdout
    assert "Are you sure" in engine.verb("network", "prune", input="n\n").stdout
    engine.verb("network", "disconnect", "-f", "second", "there")
    assert engine.verb("network", "prune", "-f", "--filter", "label!=a").stdout == "Deleted Networks:\nsecond\n\n"


def test_several_networks_from_the_start(engine, networked):
    engine.verb("network", "create", "second")
    wanted = ("--network", "name=mine,ip=10.5.0.78,alias=q", "--network", "second")
    engine.verb("run", "-d", "--name", "both", *wanted, "localhost/box", "sleep", "1000")
    found = json.loads(engine.verb("inspect", "-f", "{{json .NetworkSettings.Networks}}", "both").stdout)
    assert (found["mine"]["IPAddress"], found["mine"]["Aliases"], sorted(found)) == (
        "10.5.0.78", ["q"], ["mine", "second"]
    )  # fmt: skip
    engine.verb("rm", "-f", "both")
    engine.verb("network", "rm", "second")
