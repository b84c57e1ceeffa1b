"""The component `ipam/default`."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from attrs import field, frozen

from moby.component import Component
from moby.contracts.ipam import Ipam
from moby.contracts.metadata import Metadata, host_id
from moby.errors import Invalid
from moby.hookspecs import hookimpl

if TYPE_CHECKING:
    from attrs import Attribute

__all__ = ["Config", "PoolOfSubnets", "make", "moby_components"]


@frozen
class PoolOfSubnets:
    """A block of addresses, and how large the subnets are that are cut out of it."""

    base: str
    """`10.0.0.0/8`."""
    size: int
    """The length of their prefix."""


def _pools(
    _config: "Config", _option: "Attribute[tuple[PoolOfSubnets, ...]]", value: tuple[PoolOfSubnets, ...]
) -> None:
    from moby_ipam.pools.subnets import blocks_of

    blocks_of((each.base, each.size) for each in value)


@frozen
class Config:
    """Options of `ipam/default`."""

    pools: tuple[PoolOfSubnets, ...] = field(
        default=(),
        validator=_pools,
        metadata={
            "help": "Blocks that subnets are cut out of, in this order (docker's default-address-pools). Without one "
            "of a family: docker's, and a /48 of unique local IPv6 addresses of the engine's own."
        },
    )
    store: str = field(
        default="",
        metadata={"help": "Name of the part `metadata` that hosts share, for networks over them; empty is its own."},
    )
    name: str = field(
        default="default", metadata={"help": "As users ask for it: `docker network create --ipam-driver`."}
    )


def make(config: Config, *, metadata: Metadata, stores: Mapping[str, Metadata] = MappingProxyType({})) -> Ipam:
    """Hands out subnets and addresses in order, and keeps them in the metadata."""
    from moby_ipam.default.allocator import Allocator
    from moby_ipam.pools.subnets import blocks_of

    blocks = blocks_of((each.base, each.size) for each in config.pools)
    if not config.store:
        return Allocator(metadata, blocks, config.name)
    if config.store not in stores:
        text = f"ipam/default: its store is {config.store!r}, and there is no such part"
        raise Invalid(text, hint=f"there are {', '.join(stores)}")
    return Allocator(stores[config.store], blocks, config.name, host_id(metadata, "ipam-settings"))


@hookimpl
def moby_components() -> Iterable[Component]:
    """Return this module's components."""
    return [Component(name="default", factory=make, preferred=True)]
