"""No addresses."""

from collections.abc import Collection, Mapping, Sequence

from moby.contracts.ipam import Pool
from moby.errors import Invalid

__all__ = ["NoAddresses"]


class NoAddresses:
    """An IPAM whose networks have no pools; see the contract."""

    name = "null"

    def take(
        self,
        network_id: str,
        wanted: Sequence[Pool],
        *,
        ipv6: bool = False,
        options: Mapping[str, str] | None = None,
        occupied: Sequence[str] = (),
    ) -> tuple[Pool, ...]:
        """Give no pools, and refuse to be asked for one."""
        if any(each != Pool() for each in wanted):
            raise Invalid("null ipam driver does not handle specific address pool requests", hint="name no subnet")
        if ipv6:
            raise Invalid("null ipam driver does not handle IPv6 address pool requests", hint="leave IPv6 out")
        return ()

    def give_back(self, network_id: str) -> None:
        """Do nothing."""

    def assign(self, network_id: str, endpoint_id: str, wanted: Sequence[str] = ()) -> tuple[str, ...]:
        """Give no addresses, and refuse to be asked for one."""
        if wanted:
            raise Invalid("null ipam driver does not handle specific address requests", hint="name no address")
        return ()

    def unassign(self, network_id: str, endpoint_id: str) -> None:
        """Do nothing."""

    def keep(self, endpoints: Mapping[str, Collection[str]]) -> None:
        """Do nothing."""
