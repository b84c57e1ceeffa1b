"""What is kept of networks, and of who is on them in this boot."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, TypeVar

import attrs
from attrs import field, frozen

from moby.contracts.discovery import PortRequest
from moby.contracts.ipam import Pool
from moby.contracts.metadata import Metadata
from moby.contracts.network_driver import Attachment, Port, Segment
from moby.contracts.networks import Endpoint, EndpointConfig, Network, SandboxConfig
from moby.values import asdict

__all__ = ["Joined", "Known", "Place", "Records"]

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_NOT_KEPT = ("id", "containers")
_MADE = ("pools", "asked")
T = TypeVar("T")


@frozen
class Known:
    """A network, and what was made of it."""

    network: Network
    """Without who is on it."""
    pools: tuple[Pool, ...] = ()
    asked: tuple[str, ...] = ()
    """The subnets that somebody asked for."""

    @property
    def segment(self) -> Segment:
        """What its driver makes."""
        found = self.network
        return Segment(found.id, found.name, self.pools, found.internal, found.options)


@frozen
class Place:
    """A container's place on a network, as it is shown and as it is made."""

    endpoint: Endpoint
    attachment: Attachment
    gateways: tuple[str, ...] = ()
    """The way out, by family."""
    direct: bool = False
    """Whether the interface itself is the way out."""


@frozen
class Joined:
    """A container that runs, or is about to, and its places."""

    container_id: str
    namespace: str = ""
    """As in Sandbox."""
    config: SandboxConfig = field(factory=SandboxConfig)
    places: tuple[Place, ...] = ()
    ports: tuple[Port, ...] = ()
    publisher: str = ""
    """Id of the network that publishes the ports."""
    interfaces: int = 0
    """How many there ever were; the next one is named by it."""

    def place(self, network_id: str) -> Place | None:
        """Return its place on a network."""
        return next((each for each in self.places if each.endpoint.network_id == network_id), None)


class Records:
    """Networks by id, who has joined which by container, and who knows whom by names of its own."""

    def __init__(self, metadata: Metadata) -> None:
        self._metadata = metadata
        self._networks = metadata.bucket("networks")
        self._joined = metadata.bucket("network-sandboxes")
        self._links = metadata.bucket("network-links")
        # No container survives its kernel, so what was noted under another is nobody's.
        self._boot = _BOOT_ID.read_text(encoding="ascii").strip()

    def transaction(self) -> AbstractContextManager[None]:
        """Make what follows one change."""
        return self._metadata.transaction()

    def snapshot(self) -> AbstractContextManager[None]:
        """See one moment in all that follows."""
        return self._metadata.snapshot()

    def networks(self) -> tuple[Known, ...]:
        """Return all networks."""
        return tuple(_known(each, document) for each, document in self._networks.items())

    def network(self, network_id: str) -> Known | None:
        """Return one of them."""
        found = self._networks.get(network_id) if network_id else None
        return None if found is None else _known(network_id, found)

    def put(self, known: Known) -> None:
        """Store a network, without who is on it."""
        document = {key: value for key, value in attrs.asdict(known.network).items() if key not in _NOT_KEPT}
        pools = [asdict(each) for each in known.pools]
        self._networks.put(known.network.id, document | {"pools": pools, "asked": list(known.asked)})

    def delete(self, network_id: str) -> None:
        """Forget a network."""
        self._networks.delete(network_id)

    def all_joined(self) -> tuple[Joined, ...]:
        """Return who has joined any, in this boot."""
        return tuple(_joined(key, document) for key, document in self._joined.items() if document["boot"] == self._boot)

    def joined(self, container_id: str) -> Joined | None:
        """Return what a container has joined in this boot."""
        found = self._joined.get(container_id)
        return _joined(container_id, found) if found is not None and found["boot"] == self._boot else None

    def put_joined(self, joined: Joined) -> None:
        """Store what a container has joined, and whom it knows."""
        document = attrs.asdict(joined)
        with self.transaction():
            self._joined.put(joined.container_id, {"boot": self._boot, **document})
            for other, _ in joined.config.links:
                self._links.put(f"{other}/{joined.container_id}", True)

    def delete_joined(self, container_id: str) -> None:
        """Forget what a container has joined, in whichever boot."""
        with self.transaction():
            found = self._joined.get(container_id)
            for other, _ in found["config"]["links"] if found else ():
                self._links.delete(f"{other}/{container_id}")
            self._joined.delete(container_id)

    def strangers(self) -> Sequence[str]:
        """Return all containers that are noted, of other boots too."""
        return self._joined.keys()

    def who_knows(self, container_id: str) -> Sequence[str]:
        """Return the containers that know one by names of their own."""
        return [key.partition("/")[2] for key in self._links.keys(f"{container_id}/")]


def _known(network_id: str, document: Mapping[str, Any]) -> Known:
    rest = {key: value for key, value in document.items() if key not in _MADE}
    network = Network(**{**rest, "ipam": tuple(document["ipam"])}, id=network_id)
    pools = tuple(Pool(**each) for each in document.get("pools", ()))
    return Known(network, pools, tuple(document.get("asked", ())))


def _joined(container_id: str, document: Mapping[str, Any]) -> Joined:
    config = document["config"]
    return Joined(
        container_id=container_id,
        namespace=document["namespace"],
        config=_made(
            SandboxConfig,
            config,
            ports=tuple(_made(PortRequest, each) for each in config["ports"]),
            links=tuple((other, name) for other, name in config["links"]),
        ),
        places=tuple(_place(each) for each in document["places"]),
        ports=tuple(Port(**each) for each in document["ports"]),
        publisher=document["publisher"],
        interfaces=document["interfaces"],
    )


def _place(document: Mapping[str, Any]) -> Place:
    endpoint = document["endpoint"]
    return _made(
        Place,
        document,
        endpoint=_made(Endpoint, endpoint, config=_made(EndpointConfig, endpoint["config"])),
        attachment=_made(
            Attachment, document["attachment"], ports=tuple(Port(**each) for each in document["attachment"]["ports"])
        ),
    )


def _made(kind: type[T], document: Mapping[str, Any], **others: Any) -> T:
    """Return a value of a document whose lists are tuples, but for what is given."""
    plain = {key: tuple(value) if isinstance(value, list) else value for key, value in document.items()}
    return kind(**{**plain, **others})
