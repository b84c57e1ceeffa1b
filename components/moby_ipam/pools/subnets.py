"""Subnets: what is wished for, checked, and what is chosen, out of blocks. Nothing here is remembered."""

import ipaddress
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

from moby.contracts.ipam import Pool
from moby.errors import Conflict, Invalid
from moby.values import evolve, frozen

__all__ = [
    "Address",
    "Block",
    "Network",
    "Span",
    "addresses_of",
    "blocks_of",
    "checked",
    "choose",
    "first_gateway",
    "home",
    "is_kept",
    "network_of",
    "span",
]

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_DOCKERS = [*((f"172.{number}.0.0/16", 16) for number in range(17, 32)), ("192.168.0.0/16", 20)]


@frozen
class Block:
    """Addresses that subnets of one size are cut out of."""

    base: Network
    size: int


@frozen
class Span:
    """The addresses of a pool that are handed out, as numbers, both ends included."""

    first: int
    last: int


def blocks_of(pools: Iterable[tuple[str, int]]) -> tuple[Block, ...]:
    """Return blocks, with docker's where there is none of IPv4; Invalid names the one that can't be."""
    found = tuple(_block(base, size) for base, size in pools)
    if not any(each.base.version == 4 for each in found):
        found += tuple(Block(ipaddress.ip_network(base), size) for base, size in _DOCKERS)
    return found


def _block(base: str, size: int) -> Block:
    try:
        network = ipaddress.ip_network(base)
    except ValueError as error:
        raise Invalid(f"invalid address pool {base}: {error}", hint="write it as 10.0.0.0/8") from error
    if not network.prefixlen <= size <= network.max_prefixlen - 2:
        text = f"invalid address pool {base}: no subnets with a prefix of {size} can be cut out of it"
        raise Invalid(text, hint=f"choose a size of {network.prefixlen} to {network.max_prefixlen - 2}")
    return Block(network, size)


def network_of(pool: Pool) -> Network:
    """Return a pool's subnet."""
    return ipaddress.ip_network(pool.subnet)


def checked(wanted: Sequence[Pool]) -> tuple[Pool, ...]:
    """Return wishes as `ipaddress` writes them, IPv4 first; Invalid, in docker's words, tells all that is wrong."""
    problems: list[str] = []
    found = [_checked(each, problems) for each in wanted if each != Pool()]
    if problems:
        raise Invalid("\n".join(["invalid network config:", *problems]))
    return tuple(sorted(found, key=lambda each: network_of(each).version))


def _checked(pool: Pool, problems: list[str]) -> Pool:
    subnet = _prefix(pool.subnet, "subnet", problems)
    if subnet is None:
        return pool
    part: Network | None = None
    if pool.ip_range:
        part = _prefix(pool.ip_range, "ip-range", problems)
        problems += _misplaced(part, subnet, f"invalid ip-range {pool.ip_range}") if part else []
    return Pool(
        str(subnet),
        str(part) if part else "",
        _inside(pool.gateway, subnet, f"invalid gateway {pool.gateway}", problems) if pool.gateway else "",
        {
            name: _inside(each, subnet, f"invalid auxiliary address {name}", problems)
            for name, each in pool.reserved.items()
        },
    )


def _prefix(text: str, what: str, problems: list[str]) -> Network | None:
    """Return a block as it was written; None, and a problem, where it is none."""
    address, slash, length = text.partition("/")
    try:
        if not slash or not (length.isascii() and length.isdigit()) or "%" in address:
            raise ValueError(text)
        found = ipaddress.ip_network(text, strict=False)
        if ipaddress.ip_address(address) != found.network_address:
            problems.append(f"invalid {what} {text}: it should be {found}")
    except ValueError:
        problems.append(f"invalid {what} {text}: invalid CIDR block notation")
        return None
    return found


def _misplaced(part: Network, subnet: Network, what: str) -> list[str]:
    if part.version != subnet.version:
        return [f"{what}: parent subnet is an IPv{subnet.version} block"]
    if part.prefixlen < subnet.prefixlen:
        return [f"{what}: CIDR block is bigger than its parent subnet {subnet}"]
    if part.network_address not in subnet:
        return [f"{what}: parent subnet {subnet} doesn't contain ip-range"]
    return []


def _inside(text: str, subnet: Network, what: str, problems: list[str]) -> str:
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        problems.append(f"{what}: invalid address")
        return text
    if found.version != subnet.version:
        problems.append(f"{what}: parent subnet is an IPv{subnet.version} block")
    elif found not in subnet:
        problems.append(f"{what}: parent subnet {subnet} doesn't contain this address")
    return str(found)


def span(pool: Pool) -> Span:
    """Return which addresses of a pool are handed out: neither the network's own one nor broadcast (RFC 3021)."""
    subnet = network_of(pool)
    part = ipaddress.ip_network(pool.ip_range) if pool.ip_range else subnet
    first, last = int(part.network_address), int(part.broadcast_address)
    if subnet.max_prefixlen - subnet.prefixlen >= 2:
        first = max(first, int(subnet.network_address) + 1)
        last = min(last, int(subnet.broadcast_address) - (subnet.version == 4))
    return Span(first, last)


def first_gateway(pool: Pool) -> Pool:
    """Return a pool with its gateway: the first address that is handed out, where none is wished for."""
    if pool.gateway:
        return pool
    kind = type(network_of(pool).network_address)
    return evolve(pool, gateway=str(kind(span(pool).first)))


def choose(blocks: Sequence[Block], version: int, occupied: Iterable[Network]) -> Pool:
    """Return the first subnet of a family that overlaps with nothing; Conflict where there is none."""
    there = [each for each in occupied if each.version == version]
    for each in chain.from_iterable(_cut(block, there) for block in blocks if block.base.version == version):
        return Pool(str(each))
    raise Conflict(
        f"could not find an available, non-overlapping IPv{version} address pool among the defaults to assign to the "
        "network",
        hint="name a subnet, remove a network, or give the ipam more pools",
    )


def _cut(block: Block, occupied: Sequence[Network]) -> Iterator[Network]:
    """Yield the free subnets of a block; what is occupied is leapt over, so that a large block costs no more."""
    kind = type(block.base)
    step = 1 << (block.base.max_prefixlen - block.size)
    start, end = int(block.base.network_address), int(block.base.broadcast_address)
    there = sorted((int(each.network_address), int(each.broadcast_address)) for each in occupied)
    while start + step - 1 <= end:
        beyond = [last for first, last in there if first <= start + step - 1 and last >= start]
        if not beyond:
            yield kind((start, block.size))
            start += step
        else:
            start = -(-(max(beyond) + 1) // step) * step


def addresses_of(wanted: Sequence[str]) -> list[Address]:
    """Return the addresses that an endpoint wishes for; Invalid for nonsense, and for two of a family."""
    found = [_address(each) for each in wanted]
    if len({each.version for each in found}) < len(found):
        raise Invalid("an endpoint has one address of each family", hint=f"leave out some of {', '.join(wanted)}")
    return found


def _address(text: str) -> Address:
    try:
        return ipaddress.ip_address(text)
    except ValueError as error:
        raise Invalid(f"invalid IP address: {text}") from error


def home(address: Address, pools: Sequence[Pool]) -> Network:
    """Return the subnet that an address is in."""
    for each in pools:
        subnet = network_of(each)
        if address in subnet:
            return subnet
    text = f"no configured subnet or ip-range contain the IP address {address}"
    raise Invalid(text, hint=f"the network has {', '.join(each.subnet for each in pools)}")


def is_kept(address: Address, subnet: Network) -> bool:
    """Whether an address is the network's own, or broadcast."""
    if subnet.max_prefixlen - subnet.prefixlen < 2:
        return False
    return address == subnet.network_address or (address.version == 4 and address == subnet.broadcast_address)
