"""What is kept of networks, and of who is on them in this boot."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any, Generic, TypeVar

from moby.contracts.discovery import PortRequest, Presence
from moby.contracts.ipam import Pool
from moby.contracts.metadata import Metadata
from moby.contracts.network_driver import Attachment, Port, Segment
from moby.contracts.networks import Endpoint, EndpointConfig, Network, SandboxConfig
from moby.errors import Denied
from moby.values import asdict, field, frozen
from moby_networks.registry.shared import Shared

__all__ = ["SHARED_SCOPE", "Joined", "Known", "Membership", "Records", "presence_of"]

SHARED_SCOPE = "swarm"
"""Of sorts that reach over hosts."""

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_NOT_KEPT = ("id", "containers")
_MADE = ("pools", "asked")
_MEMBERSHIPS = "places"
"""How records name them, also those of engines before this one."""
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
class Membership:
    """A container's endpoint on a network, as it is shown and as it is made."""

    endpoint: Endpoint
    attachment: Attachment
    gateways: tuple[str, ...] = ()
    """The way out, by family."""
    direct: bool = False
    """Whether the interface itself is the way out."""
    claim: str = ""
    """What the IPAM knows its addresses by, where that isn't the attachment's id."""

    @property
    def taker(self) -> str:
        """What the IPAM knows its addresses by."""
        return self.claim or self.attachment.id


@frozen
class Joined:
    """A container that runs, or is about to, and its endpoints."""

    container_id: str
    namespace: str = ""
    """As in Sandbox."""
    config: SandboxConfig = field(factory=SandboxConfig)
    memberships: tuple[Membership, ...] = ()
    ports: tuple[Port, ...] = ()
    publisher: str = ""
    """Id of the network that publishes the ports."""
    interfaces: int = 0
    """How many there ever were; the next one is named by it."""
    discovered: bool = False
    """Whether the discovery has been told of it."""

    def membership(self, network_id: str) -> Membership | None:
        """Return its endpoint on a network."""
        return next((each for each in self.memberships if each.endpoint.network_id == network_id), None)


class _Read(Generic[T]):
    """What was read last, by key and text: making values of a text takes ten times as long as finding it unchanged."""

    def __init__(self, read: Callable[[str, Any], T]) -> None:
        self._read = read
        self._found: dict[str, tuple[str, T]] = {}

    def __call__(self, key: str, text: str) -> T:
        """Return what a text says, whoever has written it."""
        found = self._found.get(key)
        if found is None or found[0] != text:
            found = self._found[key] = (text, self._read(key, json.loads(text)))
        return found[1]

    def forget(self, key: str) -> None:
        """Keep nothing of a key."""
        self._found.pop(key, None)


class Records:
    """Networks by id, who has joined which by container, and who knows whom by names of its own."""

    def __init__(self, metadata: Metadata, shared: Shared | None = None) -> None:
        self._metadata = metadata
        self.shared = shared
        self._networks = metadata.bucket("networks")
        self._joined = metadata.bucket("network-sandboxes")
        self._links = metadata.bucket("network-links")
        # No container survives its kernel, so what was noted under another is nobody's.
        self._boot = _BOOT_ID.read_text(encoding="ascii").strip()
        self._known = _Read(_known)
        self._sandbox = _Read(_sandbox)

    def transaction(self) -> AbstractContextManager[None]:
        """Make what follows one change, in each of the two stores where there are two."""
        return self._both(Metadata.transaction)

    def snapshot(self) -> AbstractContextManager[None]:
        """See one moment in all that follows."""
        return self._both(Metadata.snapshot)

    @contextmanager
    def _both(self, what: Callable[[Metadata], AbstractContextManager[None]]) -> Iterator[None]:
        name = what.__name__
        with ExitStack() as stack:
            for each in (self._metadata, self.shared.metadata) if self.shared else (self._metadata,):
                stack.enter_context(getattr(each, name)())
            yield

    def networks(self) -> tuple[Known, ...]:
        """Return all networks, those that other hosts know too among them."""
        own = tuple(self._known(key, text) for key, text in self._networks.texts())
        return (*own, *self.shared_networks())

    def shared_networks(self) -> tuple[Known, ...]:
        """Return those that all hosts know."""
        return tuple(self._known(key, text) for key, text in self.shared.networks.texts()) if self.shared else ()

    def is_shared(self, network_id: str) -> bool:
        """Whether a network is one of those."""
        return self.shared is not None and self.shared.networks.text(network_id) is not None

    def network(self, network_id: str) -> Known | None:
        """Return one of them."""
        for bucket in (self._networks, self.shared.networks) if self.shared and network_id else (self._networks,):
            found = bucket.text(network_id) if network_id else None
            if found is not None:
                return self._known(network_id, found)
        return None

    def put(self, known: Known) -> None:
        """Store a network, without who is on it."""
        document = {key: value for key, value in asdict(known.network).items() if key not in _NOT_KEPT}
        pools = [asdict(each) for each in known.pools]
        document |= {"pools": pools, "asked": list(known.asked)}
        if self.shared and known.network.scope == SHARED_SCOPE:
            with self.shared.metadata.transaction():
                self.shared.networks.put(known.network.id, document)
                self.shared.changed()
        else:
            self._networks.put(known.network.id, document)

    def delete(self, network_id: str) -> None:
        """Forget a network; Denied where a container of another host is on it."""
        if self.shared and self.is_shared(network_id):
            with self.shared.metadata.transaction():
                self._refuse_used(self.shared, network_id)
                self.shared.networks.delete(network_id)
                self.shared.changed()
        self._networks.delete(network_id)
        self._known.forget(network_id)

    def _refuse_used(self, shared: Shared, network_id: str) -> None:
        used = shared.elsewhere(network_id)
        known = self.network(network_id)
        if used and known:
            name = f"network {known.network.name} id {network_id}"
            raise Denied(
                f"error while removing network: {name} has active endpoints", hint=f"stop {', '.join(used)} first"
            )

    def all_joined(self) -> tuple[Joined, ...]:
        """Return who has joined any, in this boot."""
        found = (self._sandbox(key, text) for key, text in self._joined.texts())
        return tuple(joined for boot, joined in found if boot == self._boot)

    def joined(self, container_id: str) -> Joined | None:
        """Return what a container has joined in this boot."""
        text = self._joined.text(container_id)
        boot, joined = self._sandbox(container_id, text) if text is not None else ("", None)
        return joined if boot == self._boot else None

    def put_joined(self, joined: Joined) -> None:
        """Store what a container has joined, and whom it knows."""
        document = asdict(joined)
        document[_MEMBERSHIPS] = document.pop("memberships")
        if self.shared:
            on = [each for each in joined.memberships if self._networks.text(each.endpoint.network_id) is None]
            self.shared.put(joined.container_id, [(presence_of(each.endpoint), each.taker) for each in on])
        with self._metadata.transaction():
            self._joined.put(joined.container_id, {"boot": self._boot, **document})
            for other, _ in joined.config.links:
                self._links.put(f"{other}/{joined.container_id}", True)

    def delete_joined(self, container_id: str) -> None:
        """Forget what a container has joined, in whichever boot."""
        if self.shared:
            self.shared.put(container_id, ())
        with self._metadata.transaction():
            found = self._joined.get(container_id)
            for other, _ in found["config"]["links"] if found else ():
                self._links.delete(f"{other}/{container_id}")
            self._joined.delete(container_id)
        self._sandbox.forget(container_id)

    def strangers(self) -> Sequence[str]:
        """Return all containers that are noted, of other boots too."""
        return self._joined.keys()

    def who_knows(self, container_id: str) -> Sequence[str]:
        """Return the containers that know one by names of their own."""
        return [key.partition("/")[2] for key in self._links.keys(f"{container_id}/")]


def presence_of(endpoint: Endpoint) -> Presence:
    """Return where a container is found on a network: by its names, and each with the network's behind a dot."""
    names = [f"{each}.{endpoint.network}" for each in endpoint.dns_names]
    addresses = tuple(each for each in (endpoint.ipv4_address, endpoint.ipv6_address) if each)
    return Presence(endpoint.network_id, (*names[:1], *endpoint.dns_names, *names[1:]), addresses)


def _known(network_id: str, document: Mapping[str, Any]) -> Known:
    rest = {key: value for key, value in document.items() if key not in _MADE}
    network = Network(**{**rest, "ipam": tuple(document["ipam"])}, id=network_id)
    pools = tuple(Pool(**each) for each in document.get("pools", ()))
    return Known(network, pools, tuple(document.get("asked", ())))


def _sandbox(container_id: str, document: Mapping[str, Any]) -> tuple[str, Joined]:
    """Return in which boot a container has joined, and what."""
    config = document["config"]
    return document["boot"], Joined(
        container_id=container_id,
        namespace=document["namespace"],
        config=_made(
            SandboxConfig,
            config,
            ports=tuple(_made(PortRequest, each) for each in config["ports"]),
            links=tuple((other, name) for other, name in config["links"]),
        ),
        memberships=tuple(_membership(each) for each in document[_MEMBERSHIPS]),
        ports=tuple(Port(**each) for each in document["ports"]),
        publisher=document["publisher"],
        interfaces=document["interfaces"],
        discovered=document.get("discovered", True),
    )


def _membership(document: Mapping[str, Any]) -> Membership:
    endpoint = document["endpoint"]
    return _made(
        Membership,
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
