"""docker-py's calls about networks: our engine answers each as Debian's dockerd does."""

import re

import docker as dockerpy
import pytest
from docker.errors import APIError
from docker.types import EndpointConfig, IPAMConfig, IPAMPool
from peers.box import NAME

pytestmark = pytest.mark.slow
VERSION = "1.45"
"""What the dockerd at hand speaks; our engine knows later ones, with more in their answers."""
STAY = ["sleep", "1000"]
RANDOM = re.compile(r"\b([0-9a-f]{64}|[0-9a-f]{12})\b")
PLACE = (
    "Aliases", "DNSNames", "Gateway", "GlobalIPv6Address", "IPAMConfig", "IPAddress", "IPPrefixLen", "Links",
    "MacAddress",
)  # fmt: skip


def said(call, *args, **options):
    """Return what a call gives, or the code and words of its refusal, without what is random."""
    try:
        found = call(*args, **options)
    except APIError as error:
        found = (error.status_code, error.explanation)
    return RANDOM.sub("ID", str(found))


def places(container):
    """Return where a container is, as its client sees it."""
    container.reload()
    found = container.attrs["NetworkSettings"]["Networks"]
    return RANDOM.sub("ID", str({name: [place[key] for key in PLACE] for name, place in sorted(found.items())}))


def network(client):
    """Yield what is seen of a network that is made, found, and removed."""
    pool = IPAMPool(subnet="10.5.0.0/24", iprange="10.5.0.128/25", gateway="10.5.0.1", aux_addresses={"a": "10.5.0.9"})
    settings = {
        "driver": "bridge", "ipam": IPAMConfig(pool_configs=[pool]), "labels": {"a": "b"}, "attachable": True,
        "options": {"com.docker.network.driver.mtu": "1400"},
    }  # fmt: skip
    made = client.networks.create("mine", **settings)
    made.reload()
    made.attrs["IPAM"].pop("Options")  # which dockerd shows as null where docker-py, other than its command, sends none
    yield {key: value for key, value in made.attrs.items() if key not in ("Id", "Created")}
    yield said(client.networks.create, "mine", check_duplicate=True)
    yield said(client.networks.create, "other", ipam=IPAMConfig(pool_configs=[IPAMPool(subnet="10.5.0.0/25")]))
    both = IPAMConfig(pool_configs=[IPAMPool(subnet="10.6.0.0/24"), IPAMPool(subnet="fd00:6::/64")])
    inner = client.networks.create("inner", internal=True, enable_ipv6=True, ipam=both)
    inner.reload()
    yield {key: inner.attrs[key] for key in ("Internal", "EnableIPv6", "Options", "Labels", "Scope")}
    yield inner.attrs["IPAM"]["Config"]
    for filters in ({"label": "a=b"}, {"name": "inn"}, {"driver": "null"}, {"type": "custom"}, {"id": made.id}):
        yield sorted(each.name for each in client.networks.list(filters=filters))
    yield sorted(each.name for each in client.networks.list(names=["mine", "host"]))
    yield [each.name for each in client.networks.list(ids=[made.id], greedy=True)]
    yield said(client.networks.list, filters={"nonesuch": "a"})
    yield client.networks.get(made.id[:12]).name, client.networks.get("mine", verbose=True, scope="local").name
    yield said(client.networks.get, "nonesuch")
    yield said(client.networks.get("bridge").remove)
    inner.remove()
    yield said(inner.remove)
    yield client.networks.prune(filters={"label": "a=b"}), said(made.reload)


def connecting(client):
    """Yield what is seen of containers that come onto networks, and leave them."""
    pools = [IPAMConfig(pool_configs=[IPAMPool(subnet=f"10.{number}.0.0/24")]) for number in (7, 8)]
    one, two = (client.networks.create(name, ipam=pool) for name, pool in zip(("one", "two"), pools, strict=True))
    place = EndpointConfig(client.api._version, aliases=["shop"], ipv4_address="10.7.0.70")
    web = client.containers.run(
        NAME, STAY, detach=True, name="web", hostname="here", network="one", networking_config={"one": place}
    )
    yield places(web)
    yield said(client.networks.get("one").connect, web)
    two.connect(web, aliases=["second"], ipv4_address="10.8.0.80", links=[("web", "itself")])
    yield places(web)
    two.reload()
    yield two.name, [each.name for each in two.containers], sorted(two.attrs["Containers"][web.id])
    yield said(one.connect, "nonesuch"), said(two.remove)
    yield said(client.containers.run, NAME, STAY, detach=True, network="one", name="late") and places(
        client.containers.get("late")
    )
    yield said(two.connect, "late", ipv4_address="10.9.0.9"), said(two.connect, "late", ipv4_address="10.8.0.80")
    two.disconnect(web)
    yield places(web)
    yield said(two.disconnect, web).partition(", ")[2]  # dockerd takes it for a fault of its own, a code of 500
    yield said(two.disconnect, "nonesuch", force=True)
    yield said(client.containers.run, NAME, STAY, detach=True, network="nonesuch", name="nobody")
    client.containers.get("nobody").remove()
    within = client.containers.run(
        NAME, ["ip", "-o", "-4", "addr", "show", "eth0"], remove=True, network="container:web"
    )
    yield re.findall(rb"inet \S+", within)
    extra = {"extra_hosts": {"far": "10.1.2.3"}, "dns": ["10.9.9.9"], "dns_search": ["x.y"], "dns_opt": ["ndots:3"]}
    yield client.containers.run(NAME, ["grep", "far", "/etc/hosts"], remove=True, network="one", **extra)
    seen = client.containers.run(NAME, ["cat", "/etc/resolv.conf"], remove=True, **extra)
    yield [line for line in seen.splitlines() if not line.startswith(b"#")]
    mac = {"mac_address": "02:42:ac:11:00:99"}
    yield client.containers.run(NAME, ["cat", "/sys/class/net/eth0/address"], remove=True, **mac)
    for each in (web, client.containers.get("late")):
        each.remove(force=True)
    for each in (one, two):
        each.remove()


def publishing(client):
    """Yield what is seen of ports that are published."""
    ports = {"80/tcp": 8080, "81/udp": ("127.0.0.1", 8081), "82/tcp": [8082, 8083], "83/tcp": ("127.0.0.1", 8084)}
    web = client.containers.run(NAME, STAY, detach=True, name="web", ports=ports)
    web.reload()
    several = sorted(web.ports.pop("82/tcp"), key=str)  # which dockerd has in no order
    yield several, web.ports, client.api.port("web", 80), client.api.port("web", "81/udp"), client.api.port("web", 84)
    yield web.attrs["HostConfig"]["PortBindings"]
    chosen = client.containers.run(NAME, STAY, detach=True, name="any", ports={"80/tcp": None}, publish_all_ports=True)
    chosen.reload()
    yield {port: [int(each["HostPort"]) >= 32768 for each in found] for port, found in chosen.ports.items()}
    linked = client.containers.run(NAME, ["env"], remove=True, links={"web": "store"})
    address = web.attrs["NetworkSettings"]["IPAddress"].encode()  # dockerd gives one out again at once
    yield sorted(line.replace(address, b"IP") for line in linked.splitlines() if line.startswith(b"STORE_PORT_80"))
    for each in (web, chosen):
        each.remove(force=True)


def answers(engine, steps):
    client = dockerpy.DockerClient(
        base_url=f"unix:/{engine.sandbox.seen('/run/docker.sock')}", timeout=60, version=VERSION
    )
    with client.api:
        return [str(each) for each in steps(client)]


@pytest.mark.parametrize("steps", [network, connecting, publishing])
def test_it_is_as_dockerd_does_it(moby, docker, steps):
    assert answers(moby, steps) == answers(docker, steps)
