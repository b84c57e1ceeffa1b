"""The part `ipam/plugin`, with a plugin that speaks docker's protocol and nothing else."""

import json
import threading

import pytest
from docker_plugins.plugin_server import Refused, Server
from moby_ipam.plugin import plugin as part
from moby_ipam.plugin.allocator import PluginAddresses
from moby_metadata.sqlite.store import Store

from moby.contracts.ipam import Pool
from moby.errors import Conflict, HostUnfit, NotFound, Unsupported
from moby.host.docker_plugins import Plugin
from moby.testing.ipam import IpamSuite
from moby.testing.ipam_mutants import MUTANTS


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "metadata.db") as found:
        yield found


@pytest.fixture
def server(tmp_path):
    (tmp_path / "plugins").mkdir()
    with Server(tmp_path / "plugins/given.sock", tmp_path) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def opened(server, store, tmp_path):
    plugin = Plugin("given", "IpamDriver", [tmp_path / "plugins"], patience_s=0.2)
    return lambda: PluginAddresses(plugin, store)


class TestPluginAddresses(IpamSuite):
    @pytest.fixture
    def open_ipam(self, opened):
        return opened


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: f"{mutant.name}-{mutant.test}")
def test_ipam_mutant_by_a_plugin_is_caught(mutant, opened):
    part = mutant.wrap(opened())
    with pytest.raises(BaseException) as caught:  # an assertion, pytest.fail, or what the fault raises
        getattr(IpamSuite(), mutant.test)(lambda: part)
    assert not isinstance(caught.value, KeyboardInterrupt | AttributeError | TypeError)


def told(server):
    found = [json.loads(line) for line in server.calls.read_text().splitlines()]
    return [(path.removeprefix("IpamDriver."), given) for path, given in found if path != "Plugin.Activate"]


def test_what_a_plugin_is_told(opened, server):
    ipam = opened()
    wish = Pool("10.1.0.0/24", "10.1.0.128/25", reserved={"printer": "10.1.0.5"})
    ipam.take("n1", [wish], ipv6=True, options={"zone": "a"})
    assert ipam.assign("n1", "e1", ["10.1.0.9"]) == ("10.1.0.9/24", "fd0a::2/64")
    ipam.give_back("n1")
    wished, chosen = "pool 10.1.0.0/24", "pool fd0a::/64"
    gateway = {"RequestAddressType": "com.docker.network.gateway"}
    assert told(server) == [
        ("GetCapabilities", {}),
        ("GetDefaultAddressSpaces", {}),
        ("RequestPool", {
            "AddressSpace": "here", "Pool": "10.1.0.0/24", "SubPool": "10.1.0.128/25", "Options": {"zone": "a"},
            "V6": False,
        }),
        ("RequestPool", {"AddressSpace": "here", "Pool": "", "SubPool": "", "Options": {"zone": "a"}, "V6": True}),
        ("RequestAddress", {"PoolID": wished, "Address": "", "Options": gateway}),
        ("RequestAddress", {"PoolID": wished, "Address": "10.1.0.5", "Options": {}}),
        ("RequestAddress", {"PoolID": chosen, "Address": "", "Options": gateway}),
        ("RequestAddress", {"PoolID": wished, "Address": "10.1.0.9", "Options": {}}),
        ("RequestAddress", {"PoolID": chosen, "Address": "", "Options": {}}),
        ("ReleaseAddress", {"PoolID": wished, "Address": "10.1.0.9"}),
        ("ReleaseAddress", {"PoolID": chosen, "Address": "fd0a::2"}),
        ("ReleaseAddress", {"PoolID": wished, "Address": "10.1.0.128"}),
        ("ReleaseAddress", {"PoolID": wished, "Address": "10.1.0.5"}),
        ("ReleasePool", {"PoolID": wished}),
        ("ReleaseAddress", {"PoolID": chosen, "Address": "fd0a::1"}),
        ("ReleasePool", {"PoolID": chosen}),
    ]  # fmt: skip
    assert server.parts["IpamDriver"].pools == {}


def test_what_a_plugin_refuses_is_told_in_its_words_and_leaves_nothing(opened, server):
    ipam = opened()
    with pytest.raises(Conflict, match=r"^no luck today"):
        ipam.take("n1", [], options={"refuse": "luck"})
    ipam.take("n2", [])
    before = dict(server.parts["IpamDriver"].pools)
    with pytest.raises(Conflict, match=r"^Pool overlaps"):
        ipam.take("n1", [Pool("10.1.0.0/24"), Pool("172.20.0.0/24")])
    with pytest.raises(Conflict, match="secondary ip address"):
        ipam.take("n1", [Pool("10.1.0.0/24", reserved={"a": "10.1.0.1"})])
    assert server.parts["IpamDriver"].pools == before


def test_what_it_cannot_take_back_stays_known(opened, server):
    ipam = opened()
    ipam.take("n1", [])
    usual = server.parts["IpamDriver"].ReleasePool

    def refuse(given):
        raise Refused("in use")

    server.parts["IpamDriver"].ReleasePool = refuse
    with pytest.raises(HostUnfit, match=r"the plugin given says: IpamDriver\.ReleasePool: in use"):
        ipam.give_back("n1")
    server.parts["IpamDriver"].ReleasePool = usual
    ipam.keep({})
    assert server.parts["IpamDriver"].pools == {}
    with pytest.raises(NotFound):
        ipam.assign("n1", "e1")


def test_what_is_nobody_s_is_taken_back_beside_what_is_refused(opened, server):
    ipam = opened()
    for number in range(3):
        ipam.take(f"n{number}", [])
        ipam.assign(f"n{number}", "e")
    inner = server.parts["IpamDriver"]
    usual, stuck = inner.ReleaseAddress, ipam.assign("n0", "e")[0].partition("/")[0]

    def refuse(given):
        if given["Address"] == stuck:
            raise Refused("in use")
        return usual(given)

    inner.ReleaseAddress = refuse
    with pytest.raises(HostUnfit, match=r"ReleaseAddress: in use"):
        ipam.keep({"n2": ()})
    assert len(inner.pools) == 2
    assert ipam.assign("n2", "e") == ipam.assign("n2", "e")
    inner.ReleaseAddress = usual
    ipam.keep({})
    assert inner.pools == {}


def test_subnets_that_the_host_has_are_passed_over_and_given_back(opened, server):
    occupied = [f"172.20.{number}.0/24" for number in range(3)]
    [pool] = opened().take("n1", [], occupied=occupied)
    assert pool.subnet == "172.20.3.0/24"
    assert list(server.parts["IpamDriver"].pools) == ["pool 172.20.3.0/24"]
    with pytest.raises(Conflict, match="the plugin given offers only subnets that this host uses"):
        opened().take("n2", [], occupied=["172.20.0.0/16"])
    assert list(server.parts["IpamDriver"].pools) == ["pool 172.20.3.0/24"]


@pytest.mark.parametrize(
    ("method", "answer", "message"),
    [
        ("RequestPool", {}, "answers RequestPool with what can't be: 'PoolID'"),
        ("RequestPool", {"PoolID": "x", "Pool": "here"}, "answers RequestPool with what can't be"),
        ("RequestAddress", {}, "answers RequestAddress with what can't be: 'Address'"),
        ("RequestAddress", {"Address": "there"}, "answers RequestAddress with what can't be"),
        ("RequestAddress", {"Address": "10.9.0.1/24"}, "10.9.0.1/24 isn't what was asked for"),
    ],
)
def test_answers_that_are_none(opened, server, method, answer, message):
    setattr(server.parts["IpamDriver"], method, lambda given: dict(answer))
    with pytest.raises(HostUnfit, match=message):
        opened().take("n1", [])
    assert server.parts["IpamDriver"].pools == {}


def test_one_that_wants_hardware_addresses(opened, server):
    server.parts["IpamDriver"].GetCapabilities = lambda given: {"RequiresMACAddress": True}
    with pytest.raises(Unsupported, match="wants to know MAC addresses"):
        opened().take("n1", [])


def test_one_that_says_nothing_of_itself(opened, server):
    def refuse(given):
        raise Refused("what?")

    server.parts["IpamDriver"].GetCapabilities = refuse
    assert opened().take("n1", [])[0].gateway == "172.20.0.1"


def test_the_part(store):
    found = part.make(part.Config("given"), metadata=store)
    assert found.name == "given"
    found.keep({})  # with nothing that it could know, it isn't asked
    with pytest.raises(HostUnfit, match="there is no plugin given"):
        found.take("n1", [])
