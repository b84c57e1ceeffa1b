"""The component `networks/registry`."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from attrs import field, frozen

from moby.component import Component
from moby.contracts.ambient import Clock, Log, Place
from moby.contracts.discovery import Discovery
from moby.contracts.events import Events
from moby.contracts.ipam import Ipam
from moby.contracts.metadata import Metadata, host_id
from moby.contracts.network_driver import NetworkDriver
from moby.contracts.networks import Networks
from moby.errors import Invalid
from moby.hookspecs import hookimpl

if TYPE_CHECKING:
    from attrs import Attribute

__all__ = ["Config", "make", "moby_components"]


def _hours(_config: "Config", _option: "Attribute[int]", value: int) -> None:
    from moby.host.liveness import MOST_HOURS

    if not 0 <= value <= MOST_HOURS:
        raise Invalid(f"gone_hours is {value}", hint=f"from 0 to {MOST_HOURS}")


def _address(_config: "Config", _option: "Attribute[str]", value: str) -> None:
    from moby_networks.registry.presences import is_address

    if value and not is_address(value):
        raise Invalid(f"{value!r} is no address", hint="write one of IPv4 or IPv6")


@frozen
class Config:
    """Options of `networks/registry`."""

    store: str = field(
        default="",
        metadata={
            "help": "Name of the part `metadata` that hosts share, in which networks are that reach over hosts; empty "
            "is the engine's own."
        },
    )
    ipam: str = field(
        default="",
        metadata={"help": "Name of the `ipam` that hands out addresses of these networks; it uses the same store."},
    )
    gone_hours: int = field(
        default=72,
        validator=_hours,
        metadata={
            "help": "After how long without a sign of life a host has gone for good, with names and addresses of its "
            "containers, where hosts share a store; 0 is never."
        },
    )
    host_gateway: str = field(
        default="",
        validator=_address,
        metadata={"help": "Address at which containers find the host (`host-gateway`); empty is the default bridge's."},
    )


def make(
    config: Config,
    *,
    drivers: Mapping[str, NetworkDriver],
    ipams: Mapping[str, Ipam],
    discovery: Discovery,
    metadata: Metadata,
    events: Events,
    place: Place,
    clock: Clock,
    log: Log,
    stores: Mapping[str, Metadata] = MappingProxyType({}),
) -> Networks:
    """Knows networks by name, connects containers to them, and keeps their endpoints in the metadata."""
    from moby_networks.registry.context import Context
    from moby_networks.registry.namespaces import Namespaces
    from moby_networks.registry.records import Records
    from moby_networks.registry.registry import Registry
    from moby_networks.registry.shared import Shared

    shared = None
    if config.store:
        names = [each.name for each in ipams.values()]
        for what, name, known in (("store", config.store, list(stores)), ("ipam", config.ipam, names)):
            if name not in known:
                text = f"networks/registry: its {what} is {name!r}, and there is no such part"
                raise Invalid(text, hint=f"there are {', '.join(known)}")
        shared = Shared(stores[config.store], host_id(metadata, "network-settings"), config.ipam)
    namespaces = Namespaces(place.run / "netns")
    records = Records(metadata, shared)
    return Registry(
        Context(
            drivers, ipams, discovery, events, clock, log, records, namespaces, config.host_gateway, config.gone_hours
        )
    )


@hookimpl
def moby_components() -> Iterable[Component]:
    """Return this module's components."""
    return [Component(name="registry", factory=make, preferred=True)]
