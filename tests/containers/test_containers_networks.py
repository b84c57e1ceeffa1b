"""Containers on networks: what they have of them, what changes while they run, and what an engine finds again."""

from pathlib import Path

import pytest
from containers_engine import Engine
from networks.wired import Ledger, Veths, inside

from moby.contracts.containers import ContainerConfig, MountRequest, PortBinding
from moby.contracts.networks import EndpointConfig, Network
from moby.errors import Conflict, Invalid, NotFound
from moby.testing.net_namespaces import own_network
from moby.values import evolve

pytestmark = pytest.mark.slow

PLAIN = EndpointConfig()


@pytest.fixture
def networked(tmp_path, rootfs):
    with own_network(), Engine(tmp_path, rootfs, drivers={"veths": Veths()}, discovery=Ledger()) as engine:
        for name, subnet in (("one", "10.1.0.0/24"), ("two", "10.2.0.0/24")):
            engine.networks.create(Network("", name, "veths", "", ipam=({"Subnet": subnet},)))
        yield engine


def create(engine, name="", **config):
    asked = ContainerConfig("box", ("sh", "-c", "read x"), open_stdin=True, **config)
    return engine.containers.create(asked, name).id


def begin(engine, name="", **config):
    made = create(engine, name, **config)
    engine.containers.start(made)
    return made


def file(engine, made, name):
    return Path(engine.containers.get(made).hosts_path).with_name(name).read_text()


def hosts(engine, made):
    lines = file(engine, made, "hosts").splitlines()
    return [each for each in lines if each.startswith(("10.", "172."))]


def test_a_place_on_a_network(networked):
    made = begin(networked, "web", network="one", hostname="here", domainname="x.y")
    shown = networked.containers.get(made)
    [endpoint] = shown.endpoints
    assert (endpoint.ipv4_address, endpoint.dns_names) == ("10.1.0.2", ("web", made[:12], "here"))
    assert shown.sandbox == networked.networks.sandbox(made).namespace
    assert hosts(networked, made) == ["10.1.0.2\there.x.y here"]
    resolv = file(networked, made, "resolv.conf")
    assert "\nnameserver 127.0.0.11\noptions ndots:0\n" in resolv
    assert "(internal resolver)" in resolv
    networked.containers.stop(made, timeout_s=0)
    assert networked.containers.get(made).endpoints[0].ipv4_address == ""
    begin(networked, "other", network="one")
    networked.containers.start(made)
    assert networked.containers.get(made).endpoints[0].ipv4_address == "10.1.0.2"
    networked.containers.restart(made, timeout_s=0)
    assert networked.containers.get(made).endpoints[0].ipv4_address == "10.1.0.2"


def test_an_address_that_another_has_by_now(networked):
    made = begin(networked, network="one")
    networked.containers.stop(made, timeout_s=0)
    begin(networked, network="one", endpoints={"one": EndpointConfig(ipv4_address="10.1.0.2")})
    networked.containers.start(made)
    assert networked.containers.get(made).endpoints[0].ipv4_address == "10.1.0.3"


@pytest.mark.parametrize(
    ("hostname", "domainname", "names"),
    [("a", "d.e", "a.d.e a"), ("a.b.c", "", "a.b.c a"), ("a.b.c", "d.e", "a.b.c.d.e a")],
)
def test_the_short_name_is_what_is_before_the_first_dot(networked, hostname, domainname, names):
    made = begin(networked, network="one", hostname=hostname, domainname=domainname)
    assert hosts(networked, made) == [f"10.1.0.2\t{names}"]


def test_who_was_on_none_can_be_on_another(networked):
    made = begin(networked, network="none")
    with pytest.raises(Invalid, match="cannot be connected to multiple networks"):
        networked.containers.connect(made, "one", PLAIN)
    networked.containers.disconnect(made, "none")
    networked.containers.connect(made, "one", PLAIN)
    assert hosts(networked, made) == [f"10.1.0.2\t{made[:12]}"]
    pid = networked.containers.get(made).state.pid
    found, ways = inside(f"/proc/{pid}/ns/net")
    assert (found["eth0"], ways) == (["10.1.0.2/24"], {("eth0", "10.1.0.1")})
    assert networked.containers.get(made).endpoints == networked.networks.sandbox(made).endpoints
    networked.containers.stop(made, timeout_s=0)
    networked.containers.start(made)
    assert [each.network for each in networked.containers.get(made).endpoints] == ["one"]


def test_files_follow_what_changes(networked):
    made = begin(networked, "web", network="bridge", hostname="here")
    assert hosts(networked, made) == ["172.17.0.2\there"]
    assert "(legacy)" in file(networked, made, "resolv.conf")
    path = networked.containers.get(made).hosts_path
    with Path(path).open("a") as mine:
        mine.write("10.9.9.9\tmine\n")
    networked.containers.connect(made, "one", EndpointConfig(aliases=("w",)))
    assert hosts(networked, made) == ["172.17.0.2\there", "10.9.9.9\tmine", "10.1.0.2\there"]
    assert "nameserver 127.0.0.11" in file(networked, made, "resolv.conf")
    networked.containers.disconnect(made, "bridge")
    assert hosts(networked, made) == ["10.9.9.9\tmine", "10.1.0.2\there"]
    networked.containers.disconnect(made, "one")
    assert "(legacy)" in file(networked, made, "resolv.conf")


def test_a_changed_resolv_conf_stays(networked):
    made = begin(networked, network="bridge")
    Path(networked.containers.get(made).resolv_conf_path).write_text("nameserver 10.9.9.9\n")
    networked.containers.connect(made, "one", PLAIN)
    assert file(networked, made, "resolv.conf") == "nameserver 10.9.9.9\n"


@pytest.mark.slow
def test_links(networked):
    first = begin(networked, "db", network="bridge", hostname="store")
    made = begin(networked, network="bridge", links=("db:database",), hostname="here")
    assert hosts(networked, made) == ["172.17.0.2\tdatabase store db", "172.17.0.3\there"]
    networked.containers.stop(first, timeout_s=0)
    networked.networks.join("c1", {"bridge": EndpointConfig(earlier_addresses=("172.17.0.2",))})
    networked.containers.start(first)
    assert hosts(networked, made) == ["172.17.0.3\there", "172.17.0.4\tdatabase store db"]
    networked.containers.stop(first, timeout_s=0)
    other = create(networked, "late", network="bridge", links=("db",))
    with pytest.raises(Conflict, match="Cannot link to a non running container: /db AS /late/db"):
        networked.containers.start(other)
    apart = begin(networked, "apart", network="one")
    with pytest.raises(Conflict, match="Cannot link to /apart, as it does not belong to the default network"):
        networked.containers.start(create(networked, network="bridge", links=("apart",)))
    with pytest.raises(Invalid, match="could not get container for nonesuch: No such container: nonesuch"):
        create(networked, network="bridge", links=("nonesuch",))
    wish = EndpointConfig(links=("apart:a", "nonesuch:b"))
    made = begin(networked, network="one", endpoints={"one": wish})
    assert networked.discovery.resolvers[made].own_names == {"a": ("10.1.0.2",)}
    assert networked.containers.get(apart).endpoints[0].ipv4_address == "10.1.0.2"


def test_names(networked):
    made = begin(networked, "web", network="one")
    networked.containers.rename(made, "shop")
    assert networked.containers.get(made).endpoints[0].dns_names[0] == "shop"
    assert networked.discovery.present[made][0].names[1] == "shop"


def test_ports(networked):
    bindings = (
        PortBinding("80/tcp", "", "8080"),
        PortBinding("81/udp", "127.0.0.1", ""),
        PortBinding("82/tcp", "", "9000-9005"),
    )
    made = begin(networked, network="one", ports=bindings, publish_all_ports=True, exposed_ports=("80/tcp", "90/tcp"))
    found = [(each.container_port, each.protocol, each.host_address, each.host_port)
             for each in networked.containers.get(made).ports]  # fmt: skip
    assert found == [
        (80, "tcp", "0.0.0.0", 8080), (80, "tcp", "::", 8080), (82, "tcp", "0.0.0.0", 9000), (82, "tcp", "::", 9000),
        (90, "tcp", "0.0.0.0", 32768), (90, "tcp", "::", 32768), (81, "udp", "127.0.0.1", 32769),
    ]  # fmt: skip
    networked.containers.restart(made, timeout_s=0)
    assert {each.host_port for each in networked.containers.get(made).ports} == {8080, 9000, 32770, 32771}
    networked.containers.stop(made, timeout_s=0)
    assert (networked.containers.get(made).ports, networked.discovery.claimed) == ((), {})


@pytest.mark.parametrize(
    ("port", "host"), [("80/tcp", "70000"), ("80/tcp", "9-8"), ("x/tcp", ""), ("80/tcp", "x"), ("99999/tcp", "80")]
)
def test_ports_that_can_t_be(networked, port, host):
    with pytest.raises(Invalid, match="invalid port specification"):
        create(networked, ports=(PortBinding(port, "", host),))


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"hostname": "x"}, "hostname and the network mode"),
        ({"dns": ("10.0.0.1",)}, "dns and the network mode"),
        ({"extra_hosts": ("a:10.0.0.1",)}, "custom host-to-IP mapping and the network mode"),
        ({"mac_address": "02:00:00:00:00:01"}, "mac-address and the network mode"),
        ({"ports": (PortBinding("80/tcp"),)}, "port publishing and the container type network mode"),
        ({"exposed_ports": ("80/tcp",)}, "port exposing and the container type network mode"),
        ({"links": ("other",)}, "container type network can't be used with links"),
    ],
)
def test_another_s_network(networked, config, words):
    begin(networked, "other", network="one")
    with pytest.raises(Invalid, match=words):
        create(networked, network="container:other", **config)
    made = begin(networked, network="container:other")
    assert (networked.containers.get(made).endpoints, networked.containers.get(made).config.network) == (
        (), f"container:{networked.containers.get('other').id}"
    )  # fmt: skip
    assert networked.containers.get(made).config.hostname == networked.containers.get("other").config.hostname
    with pytest.raises(Invalid, match="cannot be connected to any other network"):
        networked.containers.connect(made, "one", PLAIN)


def test_another_s_files(networked, tmp_path):
    """Are those that it sees itself: its user's own, where it has such."""
    for name in ("own", "more"):
        (tmp_path / name).write_text(name)
    over = MountRequest("bind", "/etc/hosts", str(tmp_path / "own"))
    begin(networked, "other", network="one", mounts=(over,), hostname="here")
    assert networked.containers.get("other").hosts_path == str(tmp_path / "own")
    made = begin(networked, network="container:other")
    shown, theirs = networked.containers.get(made), networked.containers.get("other")
    assert (shown.hosts_path, shown.hostname_path, shown.resolv_conf_path) == (
        theirs.hosts_path, theirs.hostname_path, theirs.resolv_conf_path
    )  # fmt: skip
    etc = Path("/proc", str(shown.state.pid), "root", "etc")
    assert ((etc / "hosts").read_text(), (etc / "hostname").read_text()) == ("own", "here\n")
    made = begin(networked, network="container:other", mounts=(evolve(over, source=str(tmp_path / "more")),))
    assert networked.containers.get(made).hosts_path == str(tmp_path / "more")
    assert (tmp_path / "own").read_text() == "own"


def test_ones_own_network(networked):
    made = create(networked, "self", network="container:self")
    with pytest.raises(Conflict, match="cannot join own network"):
        networked.containers.start(made)


@pytest.mark.parametrize("asked", ["", "default", "bridge"])
def test_the_default_network_has_a_name(networked, asked):
    assert networked.containers.get(create(networked, network=asked)).config.network == "bridge"


def test_another_s_network_that_is_nobody_s(networked):
    with pytest.raises(Invalid, match=r"invalid container format container:<name\|id>"):
        create(networked, network="container:")


def test_links_on_the_host_s_network(networked):
    with pytest.raises(Invalid, match="host type networking can't be used with links"):
        create(networked, network="host", links=("other",))
    config = ContainerConfig("box", ("true",), network="host", ports=(PortBinding("80/tcp"),))
    assert "Published ports are discarded" in networked.containers.create(config).warnings[0]


def test_networks_are_left_before_the_end_is_told(networked):
    made = begin(networked, network="one")
    networked.containers.stop(made, timeout_s=0)
    told = networked.actions("container", "network")
    assert [each for each in told if each in ("connect", "disconnect", "die", "stop")] == [
        "connect", "disconnect", "die", "stop",
    ]  # fmt: skip


def test_wishes_are_checked_as_it_is_created(networked):
    with pytest.raises(Invalid, match="invalid config for network one: invalid endpoint settings:\nno conf"):
        create(networked, network="one", endpoints={"one": EndpointConfig(ipv4_address="10.9.0.9")})
    made = create(networked, network="one", mac_address="02:00:00:00:00:01")
    networked.containers.start(made)
    assert networked.containers.get(made).endpoints[0].mac_address == "02:00:00:00:00:01"


def test_one_that_doesn_t_run(networked):
    made = create(networked, network="one")
    networked.containers.connect(made, "two", EndpointConfig(aliases=("w",)))
    networked.containers.connect(made, "two", PLAIN)  # on which it is already, as it was asked for first
    with pytest.raises(Invalid, match="no configured subnet"):
        networked.containers.connect(made, "two", EndpointConfig(ipv4_address="10.9.0.9"))
    networked.containers.disconnect(made, "one")
    [shown] = networked.containers.get(made).endpoints
    assert (shown.config.aliases, shown.dns_names) == (("w",), (networked.containers.get(made).name, "w", made[:12]))
    networked.restart()
    networked.containers.start(made)
    assert [(each.network, each.ipv4_address) for each in networked.containers.get(made).endpoints] == [
        ("two", "10.2.0.2")
    ]
    with pytest.raises(Conflict, match=r"endpoint with name .* already exists in network two"):
        networked.containers.connect(made, "two", PLAIN)
    with pytest.raises(NotFound, match="network nonesuch not found"):
        networked.containers.disconnect(made, "nonesuch")


def test_an_engine_finds_them_again(networked):
    kept = begin(networked, "kept", network="one", ports=(PortBinding("80/tcp", "", "8080"),))
    networked.containers.connect(kept, "two", PLAIN)
    gone = begin(networked, "gone", network="one")
    before = networked.containers.get(kept)

    def meanwhile():
        networked.supervisor.delete(gone, force=True)
        networked.discovery.present.clear()

    networked.restart(meanwhile)
    after = networked.containers.get(kept)
    assert (after.endpoints, after.ports, after.sandbox) == (before.endpoints, before.ports, before.sandbox)
    assert list(networked.networks.get("one").containers) == [kept]
    assert list(networked.discovery.present) == [kept]
    networked.containers.disconnect(kept, "one")
    assert [each.network for each in networked.containers.get(kept).endpoints] == ["two"]
