"""The component `ipam/default`."""

from collections.abc import Iterable

from attrs import field, frozen

from moby.component import Component
from moby.contracts.ipam import Ipam
from moby.contracts.metadata import Metadata
from moby.hookspecs import hookimpl

__all__ = ["Config", "PoolOfSubnets", "make", "moby_components"]


@frozen
class PoolOfSubnets:
    """A block of addresses, and how large the subnets are that are cut out of it."""

    base: str
    """`10.0.0.0/8`."""
    size: int
    """The length of their prefix."""


@frozen
class Config:
    """Options of `ipam/default`."""

    pools: tuple[PoolOfSubnets, ...] = field(
        default=(),
        metadata={
            "help": "Blocks that subnets are cut out of, in this order (docker's default-address-pools). Without one "
            "of a family: docker's, and a /48 of unique local IPv6 addresses of the engine's own."
        },
    )


def make(config: Config, *, metadata: Metadata) -> Ipam:
    """Hands out subnets and addresses in order, and keeps them in the metadata."""
    from moby_ipam.default.allocator import Allocator
    from moby_ipam.default.subnets import blocks_of

    return Allocator(metadata, blocks_of((each.base, each.size) for each in config.pools))


@hookimpl
def moby_components() -> Iterable[Component]:
    """Return this module's components."""
    return [Component(name="default", factory=make, preferred=True)]
