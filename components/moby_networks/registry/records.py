"""What is kept of networks, and of who is on them in this boot."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import attrs

from moby.contracts.metadata import Metadata
from moby.contracts.networks import Endpoint, EndpointConfig, Network

__all__ = ["Records"]

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_NOT_KEPT = ("id", "containers")


class Records:
    """Networks by id, and endpoints by container and network, in two buckets."""

    def __init__(self, metadata: Metadata) -> None:
        self._metadata = metadata
        self._networks = metadata.bucket("networks")
        self._endpoints = metadata.bucket("network-endpoints")
        # No container survives its kernel, so what was noted under another is nobody's.
        self._boot = _BOOT_ID.read_text(encoding="ascii").strip()

    def transaction(self) -> AbstractContextManager[None]:
        """Make what follows one change."""
        return self._metadata.transaction()

    def snapshot(self) -> AbstractContextManager[None]:
        """See one moment in all that follows."""
        return self._metadata.snapshot()

    def all(self) -> tuple[Network, ...]:
        """Return all networks, each with the endpoints on it."""
        found = self.endpoints()
        return tuple(self._network(each, document, found) for each, document in self._networks.items())

    def put(self, network: Network) -> None:
        """Store a network, without who is on it."""
        document = {key: value for key, value in attrs.asdict(network).items() if key not in _NOT_KEPT}
        self._networks.put(network.id, document)

    def delete(self, network: Network) -> None:
        """Forget a network."""
        self._networks.delete(network.id)

    def endpoints(self, container_id: str = "") -> Mapping[str, tuple[Endpoint, ...]]:
        """Return the endpoints of all containers, or of one, by its id."""
        found: dict[str, list[Endpoint]] = {}
        for key, document in self._endpoints.items(f"{container_id}/" if container_id else ""):
            if document["boot"] == self._boot:
                found.setdefault(key.partition("/")[0], []).append(_endpoint(document["endpoint"]))
        return {each: tuple(endpoints) for each, endpoints in found.items()}

    def put_endpoint(self, container_id: str, endpoint: Endpoint) -> None:
        """Store an endpoint."""
        document = {"boot": self._boot, "endpoint": attrs.asdict(endpoint)}
        self._endpoints.put(f"{container_id}/{endpoint.network_id}", document)

    def delete_endpoint(self, container_id: str, network_id: str) -> None:
        """Forget an endpoint."""
        self._endpoints.delete(f"{container_id}/{network_id}")

    def _network(
        self, number: str, document: Mapping[str, Any], endpoints: Mapping[str, tuple[Endpoint, ...]]
    ) -> Network:
        on_it = {
            container: each for container, all_of_it in endpoints.items() for each in all_of_it
            if each.network_id == number
        }  # fmt: skip
        return Network(**{**document, "ipam": tuple(document["ipam"])}, id=number, containers=on_it)


def _endpoint(document: Mapping[str, Any]) -> Endpoint:
    config: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in document["config"].items()
    }
    return Endpoint(**{**document, "dns_names": tuple(document["dns_names"]), "config": EndpointConfig(**config)})
