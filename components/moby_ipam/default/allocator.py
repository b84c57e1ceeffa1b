"""Who has which subnets and addresses: in the metadata, and nowhere else."""

import ipaddress
import secrets
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from moby.contracts.ipam import Pool
from moby.contracts.metadata import Metadata
from moby.errors import Conflict, NotFound
from moby.values import asdict
from moby_ipam.pools import subnets
from moby_ipam.pools.subnets import Address, Block, Network

__all__ = ["Allocator"]

_IN_USE = "Address already in use"
_PAGE = 256
_AT_ONCE = 25
"""Endpoints in one transaction, each with an entry or four, of which some stores take no more than some hundred."""
_ROWS_AT_ONCE = 100
_LOCAL_SUBNET_BITS = 64


class Allocator:
    """An IPAM; see the contract. Each answer is one transaction, so what is killed has given all or nothing.

    What is taken back goes in parts, where it is much.
    """

    def __init__(self, metadata: Metadata, blocks: Sequence[Block], name: str = "default", host: str = "") -> None:
        self.name = name
        self._metadata = metadata
        self._host = host
        """What this host is known by to others, where several use the same metadata; else empty."""
        self._takers = metadata.bucket("ipam-takers")
        """Which host has taken what, by host, network and endpoint, where there are several."""
        self._blocks = blocks
        self._networks = metadata.bucket("ipam-networks")
        self._addresses = metadata.bucket("ipam-addresses")
        """Who has an address, by network, family and number, so that they sort."""
        self._endpoints = metadata.bucket("ipam-endpoints")
        self._turns = metadata.bucket("ipam-turns")
        """The last address that had its turn, by network and pool."""
        self._settings = metadata.bucket("ipam-settings")

    def take(
        self,
        network_id: str,
        wanted: Sequence[Pool],
        *,
        ipv6: bool = False,
        options: Mapping[str, str] | None = None,
        occupied: Sequence[str] = (),
    ) -> tuple[Pool, ...]:
        """Give a network its pools."""
        wishes = subnets.checked(wanted)
        others = [ipaddress.ip_network(each, strict=False) for each in occupied]
        with self._metadata.transaction():
            there = self._pools(network_id)
            if there is not None:
                return there
            taken = [subnets.network_of(each) for key, _ in self._networks.items() for each in self._pools(key) or ()]
            found: list[Pool] = []
            for each in wishes:
                subnet = subnets.network_of(each)
                if any(subnet.overlaps(other) for other in taken if other.version == subnet.version):
                    raise Conflict("Pool overlaps with other one on this address space", hint="choose another subnet")
                taken.append(subnet)
                found.append(each)
            for version in (4, 6) if ipv6 else (4,):
                if not any(subnets.network_of(each).version == version for each in found):
                    found.append(self._chosen(version, [*taken, *others]))
            pools = tuple(subnets.first_gateway(each) for each in found)
            self._networks.put(network_id, [asdict(each) for each in pools])
            self._took(network_id)
            for each in pools:
                self._reserve(network_id, each)
        return pools

    def _chosen(self, version: int, occupied: Sequence[Network]) -> Pool:
        blocks = self._blocks
        if version == 6 and not any(each.base.version == 6 for each in blocks):
            blocks = [Block(self._local_block(), _LOCAL_SUBNET_BITS)]
        return subnets.choose(blocks, version, occupied)

    def _local_block(self) -> Network:
        """Return this engine's own /48 of unique local addresses, whose bits are chosen once (RFC 4193, 3.2)."""
        text = self._settings.get("unique-local")
        if text is None:
            text = str(ipaddress.IPv6Network((0xFD << 120 | secrets.randbits(40) << 80, 48)))
            self._settings.put("unique-local", text)
        return ipaddress.ip_network(text)

    def _reserve(self, network_id: str, pool: Pool) -> None:
        """Keep what of a pool is never handed out."""
        self._hold(network_id, pool, pool.gateway, "gateway", f"failed to allocate gateway ({pool.gateway})")
        for name, address in pool.reserved.items():
            what = f"failed to allocate secondary ip address ({name}:{address})"
            self._hold(network_id, pool, address, "reserved", what)

    def _hold(self, network_id: str, pool: Pool, text: str, who: str, what: str) -> None:
        address = ipaddress.ip_address(text)
        if (
            subnets.is_kept(address, subnets.network_of(pool))
            or self._addresses.get(_key(network_id, address)) is not None
        ):
            raise Conflict(f"{what}: {_IN_USE}", hint="choose another address")
        self._addresses.put(_key(network_id, address), who)

    def give_back(self, network_id: str) -> None:
        """Take a network's pools back, and before them what is left of its addresses."""
        while self._give_back_some(network_id):
            pass

    def _give_back_some(self, network_id: str) -> bool:
        """Take back as much as goes in one transaction; return whether there is more."""
        with self._metadata.transaction():
            rows = [
                (bucket, key)
                for bucket in (self._addresses, self._endpoints, self._turns)
                for key in bucket.keys(f"{network_id}/")
            ]
            for bucket, key in rows[:_ROWS_AT_ONCE]:
                bucket.delete(key)
            if len(rows) > _ROWS_AT_ONCE:
                return True
            self._networks.delete(network_id)
            self._untook(network_id)
        return False

    def assign(self, network_id: str, endpoint_id: str, wanted: Sequence[str] = ()) -> tuple[str, ...]:
        """Give an endpoint its addresses."""
        wishes = subnets.addresses_of(wanted)
        with self._metadata.transaction():
            pools = self._pools(network_id)
            if pools is None:
                raise NotFound(f"network {network_id} has no addresses", hint="it was removed, or never made")
            there = self._endpoints.get(f"{network_id}/{endpoint_id}")
            if there is not None:
                return tuple(there)
            found: list[tuple[Address, Network]] = [(each, subnets.home(each, pools)) for each in wishes]
            for each, subnet in found:
                key = _key(network_id, each)
                if subnets.is_kept(each, subnet) or self._addresses.get(key) is not None:
                    raise Conflict(_IN_USE, hint=f"choose another address than {each}")
                self._addresses.put(key, endpoint_id)
            for version in sorted({subnets.network_of(each).version for each in pools}):
                if not any(each.version == version for each, _ in found):
                    found.append(self._next(network_id, endpoint_id, pools, version))
            texts = [f"{each}/{subnet.prefixlen}" for each, subnet in sorted(found, key=lambda pair: pair[0].version)]
            self._endpoints.put(f"{network_id}/{endpoint_id}", texts)
            self._took(f"{network_id}/{endpoint_id}")
        return tuple(texts)

    def _took(self, what: str) -> None:
        if self._host:
            self._takers.put(f"{self._host}/{what}", True)

    def _untook(self, what: str) -> None:
        """Forget who took something: most often this host, else one that has gone for good."""
        if self._host and not self._takers.delete(f"{self._host}/{what}"):
            for key, _ in self._takers.items():
                if key.partition("/")[2] == what:
                    self._takers.delete(key)

    def _next(self, network_id: str, endpoint_id: str, pools: Sequence[Pool], version: int) -> tuple[Address, Network]:
        """Hand out the address whose turn it is, of the first pool of a family that has one."""
        for number, pool in enumerate(pools):
            subnet = subnets.network_of(pool)
            if subnet.version != version:
                continue
            span, turns = subnets.span(pool), f"{network_id}/{number}"
            before = self._turns.get(turns)
            start = span.first if before is None or not span.first <= before < span.last else before + 1
            for first, last in ((start, span.last), (span.first, start - 1)):
                free = self._free(network_id, version, first, last)
                if free is not None:
                    address = type(subnet.network_address)(free)
                    self._addresses.put(_key(network_id, address), endpoint_id)
                    self._turns.put(turns, free)
                    return address, subnet
        text = f"no available IPv{version} addresses on this network's address pools: {network_id}"
        raise Conflict(text, hint="stop a container that is on it, or make a larger network")

    def _free(self, network_id: str, version: int, first: int, last: int) -> int | None:
        """Return the first number that nobody has, of those between two."""
        prefix = f"{network_id}/{version}/"
        while first <= last:
            page = self._addresses.items(prefix, after=_numbered(prefix, version, first - 1), limit=_PAGE)
            for key, _ in page:
                if int(key.rpartition("/")[2], 16) != first:
                    return first
                first += 1
                if first > last:
                    return None
            if len(page) < _PAGE:
                return first
        return None

    def unassign(self, network_id: str, endpoint_id: str) -> None:
        """Take an endpoint's addresses back."""
        with self._metadata.transaction():
            key = f"{network_id}/{endpoint_id}"
            for text in self._endpoints.get(key) or ():
                self._addresses.delete(_key(network_id, ipaddress.ip_interface(text).ip))
            self._endpoints.delete(key)
            self._untook(key)

    def keep(self, endpoints: Mapping[str, Collection[str]]) -> None:
        """Take back what is nobody's, as far as this host took it."""
        taken = [key.split("/")[1:] for key in self._takers.keys(f"{self._host}/")] if self._host else self._all()
        for network_id in {network_id for network_id, *_ in taken} - set(endpoints):
            self.give_back(network_id)
        stale = [
            (network_id, endpoint)
            for network_id, *endpoint in taken
            if network_id not in endpoints or (endpoint and endpoint[0] not in endpoints[network_id])
        ]
        for at in range(0, len(stale), _AT_ONCE):
            with self._metadata.transaction():
                for network_id, endpoint in stale[at : at + _AT_ONCE]:
                    if endpoint:
                        self.unassign(network_id, endpoint[0])
                    elif self._host:
                        self._takers.delete(f"{self._host}/{network_id}")

    def _all(self) -> list[list[str]]:
        """Return all that is taken: networks, and endpoints on them."""
        return [[each] for each in self._networks.keys()] + [key.split("/") for key in self._endpoints.keys()]  # noqa: SIM118 - no mapping

    def _pools(self, network_id: str) -> tuple[Pool, ...] | None:
        """Return the pools of a network; None where it has none."""
        found: Any = self._networks.get(network_id)
        return None if found is None else tuple(Pool(**each) for each in found)


def _numbered(prefix: str, version: int, number: int) -> str:
    return f"{prefix}{max(number, 0):0{8 if version == 4 else 32}x}" if number >= 0 else prefix


def _key(network_id: str, address: Address) -> str:
    return _numbered(f"{network_id}/{address.version}/", address.version, int(address))
