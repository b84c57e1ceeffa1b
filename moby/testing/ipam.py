"""The conformance suite of the kind `ipam`; `moby.testing.ipam_mutants` holds what it must fail."""

import ipaddress
from collections.abc import Callable

import pytest

from moby.contracts.ipam import Ipam, Pool
from moby.errors import Conflict, Invalid, NotFound

__all__ = ["IpamSuite"]

_IN_USE = "^Address already in use"
_NONSENSE = (
    (Pool("10.1.0.5/24"), "invalid subnet 10.1.0.5/24: it should be 10.1.0.0/24"),
    (Pool("10.1.0.0"), "invalid subnet 10.1.0.0: invalid CIDR block notation"),
    (Pool(gateway="10.1.0.1"), "invalid subnet : invalid CIDR block notation"),
    (Pool("10.1.0.0/24", "10.2.0.0/25"), "parent subnet 10.1.0.0/24 doesn't contain ip-range"),
    (Pool("10.1.0.0/24", "10.0.0.0/8"), "CIDR block is bigger than its parent subnet 10.1.0.0/24"),
    (Pool("10.1.0.0/24", "fd00::/80"), "invalid ip-range fd00::/80: parent subnet is an IPv4 block"),
    (Pool("10.1.0.0/24", gateway="10.2.0.1"), "invalid gateway 10.2.0.1: parent subnet 10.1.0.0/24 doesn't"),
    (Pool("10.1.0.0/24", gateway="x"), "invalid gateway x: invalid address"),
    (Pool("fd00::/64", gateway="10.2.0.1"), "invalid gateway 10.2.0.1: parent subnet is an IPv6 block"),
    (Pool("10.1.0.0/24", reserved={"a": "10.2.0.1"}), "invalid auxiliary address a: parent subnet"),
)


def _taken(ipam: Ipam, network: str, subnet: str, gateway: str = "") -> None:
    ipam.take(network, [Pool(subnet, gateway=gateway)])


class IpamSuite:
    """What every part that hands out addresses must do. A subclass brings the fixture `open_ipam`."""

    @pytest.fixture
    def open_ipam(self) -> Callable[[], Ipam]:
        """Return what opens the part under test, on the same store at each call."""
        raise NotImplementedError

    def test_subnets_that_are_chosen(self, open_ipam: Callable[[], Ipam]) -> None:
        """Overlap with no other one, and have their first address as the gateway."""
        ipam = open_ipam()
        found = [ipaddress.ip_network(ipam.take(f"n{number}", [])[0].subnet) for number in range(12)]
        assert not any(a.overlaps(b) for a in found for b in found if a is not b)
        [pool] = ipam.take("n0", [])
        assert (pool.subnet, pool.ip_range, pool.reserved) == (str(found[0]), "", {})
        assert pool.gateway == str(found[0].network_address + 1)

    def test_both_families(self, open_ipam: Callable[[], Ipam]) -> None:
        """IPv4 always, IPv6 as well where it is asked for; an endpoint has one address of each."""
        ipam = open_ipam()
        found = ipam.take("n1", [], ipv6=True)
        assert [ipaddress.ip_network(each.subnet).version for each in found] == [4, 6]
        four, six = (ipaddress.ip_interface(each) for each in ipam.assign("n1", "e1"))
        for address, pool in ((four, found[0]), (six, found[1])):
            assert (str(address.network), str(address.ip) != pool.gateway) == (pool.subnet, True)
        other = ipam.take("n2", [], ipv6=True)
        assert not {each.subnet for each in found} & {each.subnet for each in other}

    def test_what_is_occupied(self, open_ipam: Callable[[], Ipam]) -> None:
        """Is nothing to choose from."""
        ipam = open_ipam()
        first = ipam.take("n1", [])[0].subnet
        ipam.give_back("n1")
        [pool] = ipam.take("n2", [], occupied=[first])
        assert not ipaddress.ip_network(pool.subnet).overlaps(ipaddress.ip_network(first))

    def test_wishes(self, open_ipam: Callable[[], Ipam]) -> None:
        """Are kept, and completed: the gateway is the first address of the range."""
        ipam = open_ipam()
        wish = Pool("10.1.0.0/24", "10.1.0.128/25", reserved={"printer": "10.1.0.129"})
        assert ipam.take("n1", [wish]) == (Pool("10.1.0.0/24", "10.1.0.128/25", "10.1.0.128", wish.reserved),)
        assert ipam.assign("n1", "e1") == ("10.1.0.130/24",)
        both = ipam.take("n2", [Pool("fd00:1::/64"), Pool("10.2.0.0/24", gateway="10.2.0.9")])
        assert both == (Pool("10.2.0.0/24", gateway="10.2.0.9"), Pool("fd00:1::/64", gateway="fd00:1::1"))
        assert ipam.assign("n2", "e1") == ("10.2.0.1/24", "fd00:1::2/64")

    def test_taking_again(self, open_ipam: Callable[[], Ipam]) -> None:
        """Returns the same, whichever process asks."""
        first = open_ipam().take("n1", [])
        assert open_ipam().take("n1", [Pool("10.9.0.0/24")]) == first

    def test_overlapping_wishes(self, open_ipam: Callable[[], Ipam]) -> None:
        """Are a Conflict, of which nothing stays."""
        ipam = open_ipam()
        _taken(ipam, "n1", "10.1.0.0/16")
        for subnet in ("10.1.0.0/16", "10.1.7.0/24", "10.0.0.0/8"):
            with pytest.raises(Conflict, match="Pool overlaps with other one on this address space"):
                _taken(ipam, "n2", subnet)
        with pytest.raises(Conflict, match="Pool overlaps"):
            ipam.take("n2", [Pool("10.5.0.0/24"), Pool("10.5.0.0/25")])
        with pytest.raises(NotFound):
            ipam.assign("n2", "e1")
        _taken(ipam, "n3", "10.5.0.0/24")

    def test_nonsense(self, open_ipam: Callable[[], Ipam]) -> None:
        """Is Invalid in docker's words, and leaves nothing."""
        ipam = open_ipam()
        for pool, words in _NONSENSE:
            with pytest.raises(Invalid) as caught:
                ipam.take("n1", [pool])
            assert caught.value.message.startswith("invalid network config:\n")
            assert words in caught.value.message
            with pytest.raises(NotFound):
                ipam.assign("n1", "e1")

    def test_reserved_twice(self, open_ipam: Callable[[], Ipam]) -> None:
        """Is a Conflict, also with the gateway, and with what nobody can have."""
        ipam = open_ipam()
        for address in ("10.1.0.1", "10.1.0.0", "10.1.0.255"):
            with pytest.raises(
                Conflict, match=rf"failed to allocate secondary ip address \(a:{address}\): {_IN_USE[1:]}"
            ):
                ipam.take("n1", [Pool("10.1.0.0/24", reserved={"a": address})])
        with pytest.raises(Conflict, match=r"failed to allocate gateway \(10.1.0.255\): Address already in use"):
            ipam.take("n1", [Pool("10.1.0.0/24", gateway="10.1.0.255")])

    def test_addresses_in_order(self, open_ipam: Callable[[], Ipam]) -> None:
        """One after the other, whichever process asks, none of them twice, and none that is nobody's to have."""
        _taken(open_ipam(), "n1", "10.1.0.0/29")
        found = [open_ipam().assign("n1", f"e{number}") for number in range(5)]
        assert found == [(f"10.1.0.{number}/29",) for number in range(2, 7)]
        with pytest.raises(Conflict, match="no available IPv4 addresses on this network's address pools: n1"):
            open_ipam().assign("n1", "e9")

    def test_one_that_was_given_back_waits_for_its_turn(self, open_ipam: Callable[[], Ipam]) -> None:
        """Until all others of its pool had theirs."""
        ipam = open_ipam()
        _taken(ipam, "n1", "10.1.0.0/29")
        ipam.assign("n1", "e1")
        found: list[str] = []
        for _ in range(5):
            ipam.unassign("n1", "e1")
            found += ipam.assign("n1", "e1")
        assert found == [f"10.1.0.{number}/29" for number in (3, 4, 5, 6, 2)]

    def test_assigning_again(self, open_ipam: Callable[[], Ipam]) -> None:
        """Returns the same, whichever process asks; networks don't mix."""
        ipam = open_ipam()
        _taken(ipam, "n1", "10.1.0.0/24")
        _taken(ipam, "n2", "10.2.0.0/24")
        first = ipam.assign("n1", "e1")
        assert open_ipam().assign("n1", "e1") == first == ("10.1.0.2/24",)
        assert ipam.assign("n2", "e1") == ("10.2.0.2/24",)

    def test_wanted_addresses(self, open_ipam: Callable[[], Ipam]) -> None:
        """Are given where nobody has them, also outside of the range; the other family's is handed out."""
        ipam = open_ipam()
        ipam.take("n1", [Pool("10.1.0.0/24", "10.1.0.128/25"), Pool("fd00:1::/64")])
        assert ipam.assign("n1", "e1", ["10.1.0.7"]) == ("10.1.0.7/24", "fd00:1::2/64")
        assert ipam.assign("n1", "e2", ["FD00:1::0:7"])[1] == "fd00:1::7/64"
        for wanted in ("10.1.0.7", "10.1.0.128", "10.1.0.0", "10.1.0.255", "fd00:1::7", "fd00:1::1", "fd00:1::"):
            with pytest.raises(Conflict, match=_IN_USE):
                ipam.assign("n1", "e3", [wanted])
        for wanted in ("10.2.0.7", "nonesuch", ""):
            with pytest.raises(Invalid, match="address"):
                ipam.assign("n1", "e3", [wanted])
        with pytest.raises(Conflict, match=_IN_USE):
            ipam.assign("n1", "e3", ["10.1.0.9", "fd00:1::7"])
        assert ipam.assign("n1", "e3", ["10.1.0.9"])[0] == "10.1.0.9/24"

    def test_handing_out_leaps_over_what_is_wanted(self, open_ipam: Callable[[], Ipam]) -> None:
        """And over what is reserved."""
        ipam = open_ipam()
        ipam.take("n1", [Pool("10.1.0.0/24", reserved={"a": "10.1.0.3"})])
        ipam.assign("n1", "e1", ["10.1.0.2"])
        assert ipam.assign("n1", "e2") == ("10.1.0.4/24",)

    def test_one_of_a_family(self, open_ipam: Callable[[], Ipam]) -> None:
        """Is all that an endpoint has."""
        ipam = open_ipam()
        _taken(ipam, "n1", "10.1.0.0/24")
        with pytest.raises(Invalid, match="one address of each family"):
            ipam.assign("n1", "e1", ["10.1.0.5", "10.1.0.6"])

    def test_giving_back(self, open_ipam: Callable[[], Ipam]) -> None:
        """Frees addresses and subnets; giving back what isn't there is fine."""
        ipam = open_ipam()
        ipam.give_back("n1")
        ipam.unassign("n1", "e1")
        _taken(ipam, "n1", "10.1.0.0/30")
        ipam.assign("n1", "e1")
        ipam.unassign("n1", "e")
        with pytest.raises(Conflict):
            ipam.assign("n1", "e2")
        ipam.unassign("n1", "e1")
        assert ipam.assign("n1", "e2") == ("10.1.0.2/30",)
        ipam.give_back("n1")
        with pytest.raises(NotFound):
            ipam.assign("n1", "e2")
        _taken(open_ipam(), "n2", "10.1.0.0/30")
        assert ipam.assign("n2", "e1") == ("10.1.0.2/30",)

    def test_keeping(self, open_ipam: Callable[[], Ipam]) -> None:
        """Takes back what belongs to nobody, and leaves the rest."""
        ipam = open_ipam()
        _taken(ipam, "n1", "10.1.0.0/29")
        _taken(ipam, "n2", "10.2.0.0/29")
        for number in range(5):
            ipam.assign("n1", f"e{number}")
        ipam.keep({"n1": ["e0", "e1", "e2", "e9"], "n9": ["e1"]})
        assert [ipam.assign("n1", each) for each in ("e0", "new", "newer")] == [
            ("10.1.0.2/29",), ("10.1.0.5/29",), ("10.1.0.6/29",)
        ]  # fmt: skip
        with pytest.raises(NotFound):
            ipam.assign("n2", "e1")
        _taken(ipam, "n3", "10.2.0.0/29")
