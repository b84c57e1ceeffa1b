import pytest
from moby_ipam.default.plugin import Config as IpamConfig
from moby_ipam.default.plugin import make as make_ipam
from moby_metadata.sqlite import connections
from moby_metadata.sqlite.store import Store
from moby_network_driver.host.plugin import Config as HostConfig
from moby_network_driver.host.plugin import make as make_host
from moby_networks.registry import records
from networks.wired import Ledger, Lonely, Towns, Veths, World

from moby.contracts.networks import EndpointConfig, Network
from moby.errors import Conflict, Denied, HostUnfit, Invalid, NotFound, Unsupported
from moby.testing.net_namespaces import own_network
from moby.testing.network_mutants import MUTANTS
from moby.testing.networks import Given, NetworksSuite
from moby.values import evolve

PLAIN = EndpointConfig()


@pytest.fixture
def world(tmp_path):
    with Store(tmp_path / "metadata.db") as store, own_network():
        found = World(tmp_path, store)
        yield found
        found.open().recover(())


@pytest.fixture
def lonely(world):
    world.drivers["own"] = Lonely()
    return world.open()


@pytest.fixture
def towns(world):
    world.drivers["own"] = Towns()
    world.discovery = Ledger()
    return world


class TestRegistry(NetworksSuite):
    @pytest.fixture
    def given(self, towns):
        return Given(towns.open, towns.events, "towns")


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: f"{mutant.name}-{mutant.test}")
def test_networks_mutant_is_caught(mutant, towns):
    given = Given(lambda: mutant.wrap(towns.open()), towns.events, "towns")
    with pytest.raises(BaseException) as caught:  # an assertion, pytest.fail, or what the fault raises
        getattr(NetworksSuite(), mutant.test)(given)
    assert not isinstance(caught.value, KeyboardInterrupt | AttributeError | TypeError)


def test_drivers_and_the_default(world):
    networks = world.open()
    assert (networks.drivers(), networks.default()) == (("null", "host"), "none")
    assert [(each.name, each.driver) for each in networks.list()] == [("host", "host"), ("none", "null")]

    class Bridge(Lonely):
        name = predefined = "bridge"

    world.drivers["bridge"] = Bridge()
    assert (world.open().default(), world.open().get("bridge").predefined) == ("bridge", True)
    assert world.open().create(Network("", "mine", "", ""))[0].driver == "bridge"


def test_what_the_host_lacks_at_a_recovery_is_told_with_what_helps(world):
    class Lan(Lonely):
        name = "lan"

        def keep(self, held):
            raise HostUnfit("no lan here", hint="run as root")

    world.drivers["lan"] = Lan()
    assert [*world.open().recover(())] == ["no lan here (run as root)"]


def test_where_docker_has_networks_that_this_engine_lacks(world):
    class Lan(Lonely):
        name = "lan"

    world.drivers.clear()
    world.drivers["lan"] = Lan()
    networks = world.open()
    with pytest.raises(NotFound, match="none not found: this engine has no network driver that brings it, but lan; "):
        networks.join("c1", {"": PLAIN})
    with pytest.raises(NotFound, match=r"nonesuch not found$"):
        networks.join("c1", {"nonesuch": PLAIN})
    with pytest.raises(NotFound, match="not found: this engine has lan; name one of them with --driver"):
        networks.create(Network("", "mine", "bridge", ""))
    with pytest.raises(NotFound, match=r'^plugin "nonesuch" not found\n'):
        networks.create(Network("", "mine", "nonesuch", ""))


def test_the_default_network_is_joined_where_none_is_named(world):
    assert [each.network for each in world.open().join("c1", {"": PLAIN}).endpoints] == ["none"]


def test_the_network_that_is_named_is_joined_without_more(world):
    assert world.open().join("c1", {"host": PLAIN}).namespace == "host"
    assert [each.network for each in world.open().join("c1", {"default": PLAIN}).endpoints] == ["none"]


def test_an_address_of_a_card_of_the_host(world):
    with pytest.raises(Invalid, match="mac-address"):
        world.open().join("c1", {"host": EndpointConfig(mac_address="02:00:00:00:00:01")})
    world.open().join("c1", {"none": EndpointConfig(mac_address="02:00:00:00:00:01")})
    assert world.open().get("none").containers["c1"].config.mac_address == "02:00:00:00:00:01"


def test_nobody_leaves_the_host_s_network(world):
    networks = world.open()
    networks.join("c1", {"host": PLAIN})
    with pytest.raises(Unsupported, match="container cannot be disconnected from host network"):
        networks.disconnect("host", "c1")
    networks.leave("c1")
    networks.disconnect("host", "c1", force=True)


def test_a_container_that_changed_its_network(world):
    networks = world.open()
    networks.join("c1", {"host": PLAIN})
    assert networks.join("c1", {"none": PLAIN}).namespace == ""
    assert (networks.get("host").containers, list(networks.get("none").containers)) == ({}, ["c1"])


def test_places_of_an_earlier_boot_are_nobody_s(world, tmp_path, monkeypatch):
    first = world.open().join("c1", {"none": PLAIN})
    (tmp_path / "boot").write_text("another\n")
    monkeypatch.setattr(records, "_BOOT_ID", tmp_path / "boot")
    networks = world.open()
    assert networks.get("none").containers == {}
    assert networks.join("c1", {"none": PLAIN}).endpoints[0].endpoint_id != first.endpoints[0].endpoint_id


def test_a_driver_that_is_gone(world):
    number = world.open().get("host").id
    del world.drivers["host"]
    assert [each.name for each in world.open().list()] == ["none"]
    with pytest.raises(NotFound):
        world.open().get("host")
    world.drivers["host"] = make_host(HostConfig())
    assert world.open().get("host").id == number


def test_a_beginning_of_several_ids(world, monkeypatch):
    numbers = iter(["ab" * 32, "ac" * 32])
    monkeypatch.setattr("moby_networks.registry.making.secrets.token_hex", lambda size: next(numbers))
    networks = world.open()
    with pytest.raises(Conflict, match=r"network a is ambiguous .2 matches found based on ID prefix"):
        networks.get("a")
    assert networks.get("ac").name == "host"


# Networks that users make


def test_making_one(lonely, world):
    asked = Network("ignored", "mine", "own", "", labels={"a": "b"}, ipam=({"Subnet": "192.0.2.0/24"},), internal=True)
    made, warnings = lonely.create(asked)
    assert (made.name, made.driver, made.scope, made.predefined, warnings) == ("mine", "lonely", "swarm", False, ())
    assert (made.labels, made.ipam, made.internal) == ({"a": "b"}, ({"Subnet": "192.0.2.0/24"},), True)
    assert (len(made.id), world.open().get("mine")) == (64, made)
    with pytest.raises(Conflict, match="network with name mine already exists"):
        lonely.create(asked)
    with pytest.raises(Invalid, match="colour"):
        lonely.create(Network("", "other", "lonely", "", options={"colour": "red"}))
    assert [each.name for each in lonely.list()] == ["host", "mine", "none"]


def test_one_that_is_made_from_another(lonely):
    lonely.create(Network("", "conf", "lonely", "", config_only=True, labels={"a": "b"}, enable_ipv6=True))
    made, _ = lonely.create(Network("", "mine", "lonely", "", config_from="conf"))
    assert (made.driver, dict(made.labels), made.enable_ipv6) == ("lonely", {"a": "b"}, True)
    assert (made.config_only, made.config_from) == (False, "conf")
    assert lonely.get("conf").driver == "null"
    with pytest.raises(Denied, match='error while removing network: configuration network "conf" is in use'):
        lonely.remove("conf")
    for name in ("mine", "conf"):
        lonely.remove(name)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"internal": True}, "can only contain network specific fields"),
        ({"attachable": True}, "can only contain network specific fields"),
        ({"ingress": True}, "can only contain network specific fields"),
        ({"config_from": "conf"}, "cannot depend on another configuration network"),
    ],
)
def test_what_others_are_made_from_cannot_be(lonely, more, words):
    with pytest.raises(Denied, match=words):
        lonely.create(Network("", "conf", "lonely", "", config_only=True, **more))
    lonely.create(Network("", "conf", "lonely", "", config_only=True))
    with pytest.raises(Conflict, match="network with name conf already exists"):
        lonely.create(Network("", "conf", "lonely", "", config_only=True))


def test_one_for_services_only(lonely):
    lonely.create(Network("", "shop", "lonely", "", services_only=True))
    lonely.create(Network("", "open", "lonely", ""))
    refused = "Could not attach to network shop: .* desc = network shop not manually attachable"
    with pytest.raises(Denied, match=refused):
        lonely.join("c1", {"open": PLAIN, "shop": PLAIN})
    lonely.join("c1", {"open": PLAIN})
    with pytest.raises(Denied, match=refused):
        lonely.connect("shop", "c1", PLAIN, running=True)
    assert [each.network for each in lonely.sandbox("c1").endpoints] == ["open"]
    lonely.connect("shop", "c1", EndpointConfig(service=True), running=True)
    lonely.join("c2", {"shop": EndpointConfig(service=True)})
    assert sorted(lonely.get("shop").containers) == ["c1", "c2"]


def test_what_one_host_has_is_for_all(world):
    class Here(Lonely):
        scope = "local"

    world.drivers["own"] = Here()
    made, _ = world.open().create(Network("", "mine", "lonely", "", services_only=True))
    assert not made.services_only


@pytest.mark.parametrize(
    ("first", "words"),
    [
        ("none", r"cannot be connected to multiple networks with one of the networks in private \(none\) mode"),
        ("host", "sharing network namespace with another container or host cannot be connected to any other network"),
    ],
)
def test_who_is_on_none_or_host_is_on_no_other(lonely, first, words):
    lonely.create(Network("", "mine", "lonely", ""))
    lonely.join("c1", {first: PLAIN})
    with pytest.raises(Invalid, match=words):
        lonely.connect("mine", "c1", PLAIN, running=True)
    with pytest.raises(Invalid, match=words):
        lonely.join("c1", {first: PLAIN, "mine": PLAIN})


@pytest.mark.parametrize("path", ["/proc/self/ns/net", "/nonesuch"])
def test_a_namespace_that_is_no_container_s(lonely, path):
    """Or is one no more: nothing is put into the host's own."""
    lonely.create(Network("", "mine", "lonely", ""))
    lonely.join("c1", {"none": PLAIN})
    lonely.disconnect("none", "c1")
    before = lonely.sandbox("c1")
    with pytest.raises(HostUnfit, match=f"container c1's network namespace {path} can't be held: No such"):
        lonely.connect("mine", "c1", PLAIN, running=True, namespace=path)
    assert (lonely.sandbox("c1"), lonely.get("mine").containers) == (before, {})


def test_who_is_on_none_late_can_be_on_another_after_that(lonely):
    lonely.create(Network("", "mine", "lonely", ""))
    lonely.join("c1", {"mine": PLAIN})
    lonely.disconnect("mine", "c1")
    lonely.connect("none", "c1", PLAIN, running=True)
    with pytest.raises(Invalid, match=r"private \(none\) mode"):
        lonely.connect("mine", "c1", PLAIN, running=True)
    lonely.disconnect("none", "c1")
    lonely.connect("mine", "c1", PLAIN, running=True)
    assert [each.network for each in lonely.sandbox("c1").endpoints] == ["mine"]


def test_other_names_on_networks_that_nobody_made(lonely):
    asked = EndpointConfig(aliases=("x",))
    with pytest.raises(Invalid, match="network-scoped alias is supported only for containers in user defined networks"):
        lonely.check({"none": asked})
    with pytest.raises(Invalid, match="network-scoped alias"):
        lonely.connect("none", "c1", asked, running=False)


def test_who_was_on_none_is_told_how_to_be_on_another(lonely):
    lonely.create(Network("", "mine", "lonely", ""))
    lonely.join("c1", {"none": PLAIN})
    lonely.disconnect("none", "c1")
    with pytest.raises(Unsupported, match="container c1 was started on network none") as caught:
        lonely.connect("mine", "c1", PLAIN, running=True)
    assert caught.value.hint == "stop it, connect it, and start it again"


def test_events_of_networks_that_users_make(lonely, world):
    lonely.join("c1", {})
    reader = world.events.subscribe()
    lonely.create(Network("", "mine", "lonely", ""))
    lonely.connect("mine", "c1", PLAIN, running=True)
    lonely.disconnect("mine", "c1")
    lonely.remove("mine")
    found = [(each.action, each.scope, dict(each.attributes)) for each in reader.take()]
    reader.close()
    plain = {"name": "mine", "type": "lonely"}
    there = {"container": "c1", **plain}
    assert found == [
        ("create", "swarm", plain), ("connect", "local", there), ("disconnect", "local", there),
        ("destroy", "swarm", plain),
    ]  # fmt: skip


def test_leaving_a_network_that_is_gone(lonely, world):
    made, _ = lonely.create(Network("", "mine", "lonely", ""))
    lonely.join("c1", {"mine": PLAIN})
    world.store.bucket("networks").delete(made.id)
    lonely.leave("c1")
    assert world.store.bucket("network-sandboxes").keys() == ()


def test_an_ipam_in_a_process_of_its_own(tmp_path, monkeypatch):
    """It writes to the store by a copy of the metadata, as any process does, and waits for nobody."""
    monkeypatch.setattr(connections, "_WAIT_S", 1)

    class Apart(World):
        def wrap(self, part):
            return part if getattr(part, "name", "") != "default" else make_ipam(IpamConfig(), metadata=copy)

    with Store(tmp_path / "metadata.db") as store, Store(tmp_path / "metadata.db") as copy, own_network():
        world = Apart(tmp_path, store, discovery=Ledger())
        world.drivers["veths"] = Veths()
        assert world.open().get("bridge").ipam == ({"Subnet": "172.17.0.0/16", "Gateway": "172.17.0.1"},)


def test_networks_whose_driver_is_missing_keep_their_pools(world):
    mine = Network("", "mine", "veths", "", ipam=({"Subnet": "10.1.0.0/24"},))
    world.drivers["veths"] = Veths()
    world.open().create(mine)
    driver = world.drivers.pop("veths")
    assert [*world.open().recover(())] == []
    world.drivers["veths"] = driver
    with pytest.raises(Conflict, match="overlaps"):
        world.open().create(evolve(mine, name="other"))
    world.open().remove("mine")
    world.open().create(evolve(mine, name="other"))
