"""The kind `ipam`: hands out subnets to networks and addresses to containers, none of them twice.

Source: Docker's container network model (libnetwork, docs/ipam.md); words of Docker Engine API, IPAMConfig.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from moby.contracts.kind import contract
from moby.values import field, frozen

__all__ = ["Ipam", "IpamFeature", "Pool"]


class IpamFeature:
    """Names of what a part may be instead."""

    NOTHING = "nothing"
    """It hands out nothing: networks have no pools of it, whoever wants one is refused, endpoints get no address."""


@frozen
class Pool:
    """A subnet of a network, and what of it is handed out. As a wish, what is empty is chosen."""

    subnet: str = ""
    """`172.18.0.0/16` or `fd00:1::/64`; as a wish it is empty only where all else is too, and is then an IPv4 one."""
    ip_range: str = ""
    """The part of it that addresses are taken from; empty is all of it."""
    gateway: str = ""
    """Without the prefix; never handed out. The first address that is, unless it is wished for."""
    reserved: Mapping[str, str] = field(factory=dict)
    """Addresses that are others', by what they are for (Docker's AuxiliaryAddresses)."""


@contract("ipam", version=1, many=True)
class Ipam(Protocol):
    """Hands out subnets and addresses. Thread-safe; what it answered for is on disk, and stays until it is given back.

    Addresses are text, as `ipaddress` writes them. Neither network, broadcast nor reserved addresses are handed out.
    """

    name: str
    """As users ask for it: `docker network create --ipam-driver`."""

    def take(
        self,
        network_id: str,
        wanted: Sequence[Pool],
        *,
        ipv6: bool = False,
        options: Mapping[str, str] | None = None,
        occupied: Sequence[str] = (),
    ) -> tuple[Pool, ...]:
        """Give a network its pools: those that it wants, completed, and one of each family that it has none of.

        IPv4 always, IPv6 where that is asked for. Those that are wanted come first, IPv4 before IPv6. What is chosen
        overlaps with no pool of another network and nothing that is `occupied`, such as the host's routes. Invalid for
        nonsense, in docker's words; Conflict where what is wanted overlaps with another network's, or nothing is left.
        Repeating for the same id returns the same.
        """
        ...

    def give_back(self, network_id: str) -> None:
        """Take a network's pools back, with all addresses; nothing where it has none."""
        ...

    def assign(self, network_id: str, endpoint_id: str, wanted: Sequence[str] = ()) -> tuple[str, ...]:
        """Give an endpoint one address of each family that its network has, as `172.18.0.2/16`.

        `wanted` names some of them, without prefix. The others are handed out in order, round and round, so that one
        that was given back has its turn again after all others of its pool. Conflict, `Address already in use`, where a
        wanted one is taken, and where the pool is exhausted; Invalid where it is in none of the pools; NotFound for a
        network that has none. Repeating for the same endpoint returns the same.
        """
        ...

    def unassign(self, network_id: str, endpoint_id: str) -> None:
        """Take an endpoint's addresses back; nothing where it has none."""
        ...

    def keep(self, endpoints: Mapping[str, Collection[str]]) -> None:
        """Take back whatever belongs to no network, or no endpoint of it, in `endpoints`; as after a crash."""
        ...
