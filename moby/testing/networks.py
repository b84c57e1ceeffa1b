"""The conformance suite of the kind `networks`; `moby.testing.network_mutants` holds what it must fail."""

import re

import pytest

from moby.contracts.networks import EndpointConfig, Network, SandboxConfig
from moby.errors import Conflict, Denied, Invalid, NotFound, Unsupported
from moby.testing.networks_made import MadeNetworks
from moby.testing.networks_world import PLAIN, Given, told

__all__ = ["Given", "NetworksSuite"]


class NetworksSuite(MadeNetworks):
    """What every part that knows networks must do. A subclass brings the fixture `given`."""

    def test_networks_that_are_there_from_the_start(self, given: Given) -> None:
        """Are those of its drivers, sorted by name, and stay the same for every process."""
        networks = given.open()
        found = networks.list()
        assert "none" in [each.name for each in found]
        assert [each.name for each in found] == sorted(each.name for each in found)
        assert all(each.predefined and re.fullmatch("[0-9a-f]{64}", each.id) for each in found)
        assert {each.driver for each in found} <= set(networks.drivers())
        assert given.open().list() == found
        assert [each.containers for each in found] == [{}] * len(found)
        assert networks.default() in [each.name for each in found]

    def test_none_is_as_docker_shows_it(self, given: Given) -> None:
        """Field by field."""
        found = given.open().get("none")
        assert (found.driver, found.scope, found.ipam_driver, found.ipam) == ("null", "local", "default", ())
        assert (found.internal, found.attachable, found.ingress, found.enable_ipv6) == (False,) * 4
        assert (found.options, found.labels) == ({}, {})
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", found.created)

    def test_finding_one(self, given: Given) -> None:
        """By name, by id, by a beginning of that; NotFound in docker's words."""
        networks = given.open()
        found = networks.get("none")
        assert (networks.get(found.id), networks.get(found.id[:12])) == (found, found)
        for name in ("nonesuch", "", "non", "f" * 65, "no ne", f"{found.id}0"):
            with pytest.raises(NotFound, match=f"^network {name} not found"):
                networks.get(name)

    def test_names_that_are_kept(self, given: Given) -> None:
        """Denied, whether there is such a network or not."""
        networks = given.open()
        before = networks.list()
        for name in ("none", "host", "bridge", "default"):
            with pytest.raises(Denied, match=f"operation is not permitted on predefined {name} network"):
                networks.create(Network("", name, "null", ""))
        assert networks.list() == before

    def test_networks_of_which_users_make_none(self, given: Given) -> None:
        """Denied in docker's words; NotFound for a driver that isn't there, Invalid for a name that is none."""
        networks = given.open()
        before = networks.list()
        with pytest.raises(Denied, match='only one instance of "null" network is allowed'):
            networks.create(Network("", "mine", "null", ""))
        with pytest.raises(NotFound, match='plugin "nonesuch" not found'):
            networks.create(Network("", "mine", "nonesuch", ""))
        for name in ("", " ", "a b", "-x", "a/b"):
            with pytest.raises(Invalid, match="name"):
                networks.create(Network("", name, "null", ""))
        assert networks.list() == before

    def test_what_others_are_made_from(self, given: Given) -> None:
        """Is known, and nobody can be on it; what both it and a network made from it say is Denied."""
        networks = given.open()
        wanted = Network(
            "", "conf", "", "", config_only=True, options={"colour": "red"}, ipam=({"Subnet": "10.8.0.0/24"},)
        )
        made, _ = networks.create(wanted)
        found = given.open().get("conf")
        assert (found, found.config_only, dict(found.options)) == (made, True, {"colour": "red"})
        for call in (
            lambda: networks.join("c1", {"conf": PLAIN}),
            lambda: networks.connect("conf", "c1", PLAIN, running=False),
        ):
            with pytest.raises(Denied, match="cannot create endpoint on configuration-only network"):
                call()
        for more in ({"options": {"a": "b"}}, {"labels": {"a": "b"}}, {"ipam": ({"Subnet": "10.9.0.0/24"},)}):
            with pytest.raises(Denied, match="are not supported if the network depends on a configuration network"):
                networks.create(Network("", "mine", "null", "", config_from="conf", **more))
        with pytest.raises(NotFound, match='configuration network "none" does not exist'):
            networks.create(Network("", "mine", "null", "", config_from="none"))
        networks.remove("conf")
        with pytest.raises(NotFound):
            networks.get("conf")

    def test_removing(self, given: Given) -> None:
        """Denied for those that are there from the start."""
        networks = given.open()
        with pytest.raises(Denied, match="none is a pre-defined network and cannot be removed"):
            networks.remove("none")
        with pytest.raises(NotFound):
            networks.remove("nonesuch")
        assert networks.get("none").predefined

    def test_joining_none(self, given: Given) -> None:
        """Gives a namespace of its own, and a place that the network shows while it lasts."""
        networks = given.open()
        sandbox = networks.join("c1", {"none": PLAIN})
        [endpoint] = sandbox.endpoints
        number = networks.get("none").id
        assert (sandbox.namespace, sandbox.nameservers) == ("", ())
        assert (endpoint.network, endpoint.network_id, endpoint.config) == ("none", number, PLAIN)
        assert re.fullmatch("[0-9a-f]{64}", endpoint.endpoint_id)
        assert (endpoint.ipv4_address, endpoint.ipv6_address, endpoint.mac_address) == ("", "", "")
        assert given.open().get("none").containers == {"c1": endpoint}
        networks.leave("c1")
        assert given.open().get("none").containers == {}

    def test_joining_host(self, given: Given) -> None:
        """Gives the host's namespace."""
        networks = given.open()
        if "host" not in networks.drivers():
            pytest.skip("this part was wired without the network `host`")
        sandbox = networks.join("c1", {"host": PLAIN})
        assert (sandbox.namespace, [each.network for each in sandbox.endpoints]) == ("host", ["host"])
        assert list(networks.get("host").containers) == ["c1"]

    def test_joining_again(self, given: Given) -> None:
        """Gives the same, whichever process asks; others' places are others."""
        networks = given.open()
        first = networks.join("c1", {"none": PLAIN})
        assert networks.join("c1", {"none": PLAIN}) == first
        assert given.open().join("c1", {"none": PLAIN}) == first
        other = networks.join("c2", {"none": PLAIN})
        assert other.endpoints[0].endpoint_id != first.endpoints[0].endpoint_id
        networks.leave("c1")
        assert list(networks.get("none").containers) == ["c2"]
        again = networks.join("c1", {"none": PLAIN})
        assert again.endpoints[0].endpoint_id != first.endpoints[0].endpoint_id

    def test_leaving_what_one_isnt_on(self, given: Given) -> None:
        """Does nothing."""
        networks = given.open()
        networks.leave("c1")
        networks.join("c1", {"none": PLAIN})
        networks.leave("c")
        assert list(networks.get("none").containers) == ["c1"]
        networks.leave("c1")
        networks.leave("c1")

    def test_what_can_t_be_joined(self, given: Given) -> None:
        """NotFound for no network, Invalid for an address where none can be chosen; nothing of it stays."""
        networks = given.open()
        with pytest.raises(NotFound, match="network nonesuch not found"):
            networks.join("c1", {"nonesuch": PLAIN})
        for config in (EndpointConfig(ipv4_address="192.0.2.7"), EndpointConfig(ipv6_address="2001:db8::7")):
            with pytest.raises(Invalid, match="user specified IP address is supported on user defined networks only"):
                networks.join("c1", {"none": config})
        assert networks.get("none").containers == {}

    def test_none_and_another(self, given: Given) -> None:
        """Don't go together: Invalid."""
        networks = given.open()
        if "host" not in networks.drivers():
            pytest.skip("this part was wired without the network `host`")
        with pytest.raises(Invalid, match="cannot be connected to any other network"):
            networks.join("c1", {"none": PLAIN, "host": PLAIN})
        assert [each.containers for each in networks.list()] == [{}] * len(networks.list())

    def test_joining_nothing(self, given: Given) -> None:
        """Gives a namespace of its own with a loopback, and nothing else."""
        networks = given.open()
        sandbox = networks.join("c1", {})
        assert (sandbox.endpoints, sandbox.ports, sandbox.nameservers) == ((), (), ())
        assert sandbox.namespace not in ("", "host")
        assert networks.join("c1", {}) == sandbox
        networks.leave("c1")

    def test_what_was_joined(self, given: Given) -> None:
        """Can be asked for while it lasts; NotFound before and after."""
        networks = given.open()
        with pytest.raises(NotFound, match="c1"):
            networks.sandbox("c1")
        sandbox = networks.join("c1", {"none": PLAIN})
        assert given.open().sandbox("c1") == sandbox
        networks.leave("c1")
        with pytest.raises(NotFound, match="c1"):
            networks.sandbox("c1")

    def test_checking(self, given: Given) -> None:
        """Refuses what can't be joined, and passes over what isn't there; nothing is joined."""
        networks = given.open()
        networks.check({"none": PLAIN})
        networks.check({"nonesuch": EndpointConfig(ipv4_address="192.0.2.7")})
        with pytest.raises(Invalid, match="invalid config for network none: invalid endpoint settings:"):
            networks.check({"none": EndpointConfig(ipv4_address="192.0.2.7")})
        assert networks.get("none").containers == {}

    def test_recovering(self, given: Given) -> None:
        """Has all leave who don't run, and leaves the others as they are."""
        networks = given.open()
        kept = networks.join("c1", {"none": PLAIN})
        networks.join("c2", {"none": PLAIN})
        again = given.open()
        assert list(again.recover(["c1", "c9"])) == []
        assert list(again.get("none").containers) == ["c1"]
        assert again.sandbox("c1") == kept

    def test_renaming(self, given: Given) -> None:
        """Is fine where nobody finds a container by its name, and where it hasn't joined."""
        networks = given.open()
        networks.rename("c1", "other")
        sandbox = networks.join("c1", {"none": PLAIN}, SandboxConfig(name="web"))
        networks.rename("c1", "other")
        assert networks.sandbox("c1") == sandbox

    def test_connecting_later(self, given: Given) -> None:
        """Is Unsupported for `host`, whether the container runs or not."""
        networks = given.open()
        for running in (True, False) if "host" in [each.name for each in networks.list()] else ():
            with pytest.raises(Unsupported, match="cannot"):
                networks.connect("host", "c1", PLAIN, running=running)
        with pytest.raises(NotFound):
            networks.connect("nonesuch", "c1", PLAIN, running=False)

    def test_connecting_to_none_later(self, given: Given) -> None:
        """Is for who is on no network, whether the container runs or not; Conflict where it is on it."""
        networks = given.open()
        shown = networks.connect("none", "c1", PLAIN, running=False)
        assert (shown.network, shown.endpoint_id, networks.get("none").containers) == ("none", "", {})
        for before in ({"none": PLAIN}, {}):
            networks.join("c1", before)
            networks.disconnect("none", "c1", force=True)
            added = networks.connect("none", "c1", PLAIN, running=True)
            assert given.open().get("none").containers == {"c1": added}
            assert networks.sandbox("c1").endpoints == (added,)
            with pytest.raises(Conflict, match="endpoint with name c1 already exists in network none"):
                networks.connect("none", "c1", PLAIN, running=True)
            networks.leave("c1")

    def test_disconnecting(self, given: Given) -> None:
        """Takes it off; NotFound where it isn't on it, unless by force."""
        networks = given.open()
        with pytest.raises(NotFound, match="container c1 is not connected to network none"):
            networks.disconnect("none", "c1")
        networks.disconnect("none", "c1", force=True)
        networks.join("c1", {"none": PLAIN})
        networks.disconnect("none", "c1")
        assert given.open().get("none").containers == {}
        with pytest.raises(NotFound, match="nonesuch"):
            networks.disconnect("nonesuch", "c1", force=True)

    def test_events(self, given: Given) -> None:
        """Tell of who comes and goes, once each."""
        networks = given.open()
        number = networks.get("none").id
        with told(given) as events:
            for _ in range(2):
                networks.join("c1", {"none": PLAIN})
            networks.leave("c1")
            networks.leave("c1")
            found = [(each.type, each.action, each.id, dict(each.attributes)) for each in events()]
        attributes = {"container": "c1", "name": "none", "type": "null"}
        assert found == [("network", action, number, attributes) for action in ("connect", "disconnect")]
