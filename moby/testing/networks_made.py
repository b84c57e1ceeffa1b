"""What every part that knows networks does with those that users make."""

import os
import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from moby.contracts.networks import EndpointConfig, Network, SandboxConfig
from moby.errors import Conflict, Denied, Invalid, NotFound, Unsupported
from moby.testing.net_namespaces import new_network
from moby.testing.networks_world import PLAIN, Given, NetworksFixtures, told

__all__ = ["MadeNetworks"]


def _make(given: Given, name: str, subnets: Sequence[str], *, internal: bool = False) -> Network:
    """Make a network, and return it; skips where users make none."""
    if not given.sort:
        pytest.skip("this part was wired without a driver of which users make networks")
    pools = tuple({"Subnet": each} for each in subnets)
    wanted = Network(
        "mine", name, given.sort, "", internal=internal, enable_ipv6=len(subnets) > 1, labels={"a": "b"}, ipam=pools
    )
    return given.open().create(wanted)[0]


class MadeNetworks(NetworksFixtures):
    """Networks of a driver of which users make some."""

    def test_making_one(self, given: Given) -> None:
        """Gives it an id and a date of its own; all else is as it was asked for. Conflict where the name is taken."""
        made = _make(given, "one", ["10.1.0.0/24"], internal=True)
        networks = given.open()
        assert re.fullmatch("[0-9a-f]{64}", made.id)
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", made.created)
        assert (made.name, made.driver, made.internal, made.predefined) == ("one", given.sort, True, False)
        assert (dict(made.labels), [each["Subnet"] for each in made.ipam]) == ({"a": "b"}, ["10.1.0.0/24"])
        assert (networks.get("one"), networks.get(made.id[:12])) == (made, made)
        names = [each.name for each in networks.list()]
        assert "one" in names
        assert names == sorted(names)
        with pytest.raises(Conflict, match="network with name one already exists"):
            _make(given, "one", ["10.2.0.0/24"])
        assert [each.name for each in networks.list()] == names

    def test_removing_one(self, given: Given) -> None:
        """Is Denied while somebody is on it; it is gone for every process."""
        made = _make(given, "one", ["10.1.0.0/24"])
        networks = given.open()
        networks.join("c1", {"one": PLAIN})
        with pytest.raises(Denied, match=f"network one id {made.id} has active endpoints"):
            networks.remove("one")
        networks.leave("c1")
        networks.remove(made.id[:12])
        with pytest.raises(NotFound):
            given.open().get("one")
        assert _make(given, "one", ["10.1.0.0/24"]).id != made.id

    def test_removing_what_another_is_made_from(self, given: Given) -> None:
        """Is Denied as long as there is that one, which is what it says."""
        _make(given, "other", ["10.1.0.0/24"])
        networks = given.open()
        networks.create(Network("", "conf", "", "", config_only=True, labels={"c": "d"}))
        found, _ = networks.create(Network("", "one", given.sort, "", config_from="conf"))
        assert (found.driver, dict(found.labels), found.config_from) == (given.sort, {"c": "d"}, "conf")
        with pytest.raises(Denied, match='configuration network "conf" is in use'):
            networks.remove("conf")
        networks.remove("one")
        networks.remove("conf")

    def test_the_order_of_interfaces(self, given: Given) -> None:
        """Is a higher priority's first, then not internal ones, those of both families, then by name."""
        _make(given, "a-inner", ["10.3.0.0/24"], internal=True)
        _make(given, "n-both", ["10.4.0.0/24", "fd00:4::/64"])
        for number, name in enumerate(("z-first", "one", "two"), start=5):
            _make(given, name, [f"10.{number}.0.0/24"])
        wanted = dict.fromkeys(("two", "a-inner", "one", "n-both"), PLAIN)
        first = {"z-first": EndpointConfig(gateway_priority=1)}
        networks = given.open()
        for each in ({**wanted, **first}, {**first, **dict(reversed(wanted.items()))}):
            sandbox = networks.join("c1", each)
            assert [end.network for end in sandbox.endpoints] == ["z-first", "n-both", "one", "two", "a-inner"]
            networks.leave("c1")

    def test_joining_otherwise(self, given: Given) -> None:
        """Leaves what it joined before; by an id, or its beginning, is as by the name."""
        one, two = _make(given, "one", ["10.1.0.0/24"]), _make(given, "two", ["10.2.0.0/24"])
        networks = given.open()
        before = networks.join("c1", {"one": PLAIN})
        assert networks.join("c1", {one.id[:12]: PLAIN}) == before
        networks.join("c1", {two.id: PLAIN})
        assert (networks.get("one").containers, list(networks.get("two").containers)) == ({}, ["c1"])

    def test_an_address_that_is_taken(self, given: Given) -> None:
        """Is a Conflict, which leaves nothing; it is free again once its container has left."""
        _make(given, "one", ["10.1.0.0/24"])
        _make(given, "two", ["10.2.0.0/24"])
        networks = given.open()
        asked = EndpointConfig(ipv4_address="10.2.0.77")
        [endpoint] = networks.join("c1", {"two": asked}).endpoints
        assert (endpoint.ipv4_address, endpoint.ipv4_prefix) == ("10.2.0.77", 24)
        with pytest.raises(Conflict):
            networks.join("c2", {"one": PLAIN, "two": asked})
        assert (networks.get("one").containers, list(networks.get("two").containers)) == ({}, ["c1"])
        with pytest.raises(NotFound):
            networks.sandbox("c2")
        networks.leave("c1")
        networks.join("c2", {"one": PLAIN, "two": asked})

    def test_addresses_that_one_had(self, given: Given) -> None:
        """Are a container's again where nobody has them, also after others' turns; else, and elsewhere, it gets more.

        They are no part of what it has joined, and give way to what is asked for.
        """
        _make(given, "one", ["10.1.0.0/24", "fd00:1::/64"])
        networks = given.open()
        [first] = networks.join("c1", {"one": PLAIN}).endpoints
        networks.leave("c1")
        networks.join("c2", {"one": PLAIN})
        had = (first.ipv4_address, first.ipv6_address)
        again = networks.join("c1", {"one": EndpointConfig(earlier_addresses=had)})
        [endpoint] = again.endpoints
        assert ((endpoint.ipv4_address, endpoint.ipv6_address), endpoint.config) == (had, PLAIN)
        assert networks.join("c1", {"one": PLAIN}) == again
        for other, wish in (("c3", had), ("c4", ("192.0.2.7",))):
            [endpoint] = networks.join(other, {"one": EndpointConfig(earlier_addresses=wish)}).endpoints
            assert endpoint.ipv4_address.startswith("10.1.0.")
            assert endpoint.ipv4_address not in wish
        networks.leave("c1")
        asked = EndpointConfig(ipv4_address="10.1.0.77", earlier_addresses=had)
        [endpoint] = networks.join("c1", {"one": asked}).endpoints
        assert (endpoint.ipv4_address, endpoint.ipv6_address) == ("10.1.0.77", first.ipv6_address)

    def test_one_network_more(self, given: Given) -> None:
        """Is there at once where the container runs, and goes alone."""
        for number, name in enumerate(("one", "two"), start=1):
            _make(given, name, [f"10.{number}.0.0/24"])
        networks = given.open()
        [first] = networks.join("c1", {"one": PLAIN}).endpoints
        added = networks.connect("two", "c1", EndpointConfig(aliases=("w",)), running=True)
        assert given.open().get("two").containers == {"c1": added}
        assert given.open().sandbox("c1").endpoints == (first, added)
        with pytest.raises(Conflict, match="endpoint with name c1 already exists in network two"):
            networks.connect("two", "c1", PLAIN, running=True)
        assert networks.join("c1", {"one": PLAIN, "two": added.config}).endpoints == (first, added)
        with pytest.raises(Invalid, match="cannot be connected to multiple networks"):
            networks.connect("none", "c1", PLAIN, running=True)
        networks.disconnect("one", "c1")
        assert (networks.get("one").containers, networks.sandbox("c1").endpoints) == ({}, (added,))

    def test_who_began_on_none(self, given: Given) -> None:
        """Is on another by its namespace, once it is on none no more."""
        _make(given, "one", ["10.1.0.0/24"])
        networks, own = given.open(), new_network()
        try:
            there = f"/proc/{os.getpid()}/fd/{own}"
            networks.join("c1", {"none": PLAIN})
            with pytest.raises(Invalid, match="cannot be connected to multiple networks"):
                networks.connect("one", "c1", PLAIN, running=True, namespace=there)
            networks.disconnect("none", "c1")
            with pytest.raises(Unsupported, match="started on network none"):
                networks.connect("one", "c1", PLAIN, running=True)
            added = networks.connect("one", "c1", PLAIN, running=True, namespace=there)
            sandbox = given.open().sandbox("c1")
            assert sandbox.endpoints == (added,)
            assert Path(sandbox.namespace).samefile(there)
            networks.leave("c1")
            assert not Path(sandbox.namespace).exists()
        finally:
            os.close(own)

    def test_one_network_more_for_one_that_doesn_t_run(self, given: Given) -> None:
        """Isn't joined, and shows the names by which it will be found."""
        made, wants = _make(given, "one", ["10.1.0.0/24"]), SandboxConfig("web", "host1")
        networks, asked = given.open(), EndpointConfig(aliases=("w",))
        shown = networks.connect("one", "c" * 64, asked, running=False, wants=wants)
        assert (shown.network_id, shown.network, shown.endpoint_id, shown.config) == (made.id, "one", "", asked)
        assert networks.get("one").containers == {}
        [joined] = networks.join("c" * 64, {"one": asked}, wants).endpoints
        assert shown.dns_names == joined.dns_names

    def test_events_of_those_that_are_made(self, given: Given) -> None:
        """Tell when they come and go, and who comes onto them and goes."""
        number = _make(given, "other", ["10.2.0.0/24"]).id
        networks = given.open()
        networks.join("c1", {"other": PLAIN})
        with told(given) as events:
            number = _make(given, "one", ["10.1.0.0/24"]).id
            networks.connect("one", "c1", PLAIN, running=True)
            networks.disconnect("one", "c1")
            networks.remove("one")
            found = [(each.type, each.action, each.id, dict(each.attributes)) for each in events()]
        plain = {"name": "one", "type": given.sort}
        there = {"container": "c1", **plain}
        steps = (("create", plain), ("connect", there), ("disconnect", there), ("destroy", plain))
        assert found == [("network", action, number, attributes) for action, attributes in steps]
