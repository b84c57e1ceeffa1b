"""What engines of several hosts know together: networks of the sorts that reach over hosts, and who is on them.

It is in a store that they share. Whoever changes something counts up one number, by which the others see that there is
something to read.
"""

import secrets
from collections.abc import Collection, Mapping

from moby.contracts.discovery import Presence
from moby.contracts.metadata import Metadata
from moby.errors import NotFound

__all__ = ["Shared", "host_id"]

_REVISION = "revision"
_ID = "host-id"
_SHORT = 12


def host_id(metadata: Metadata) -> str:
    """Return what this host is known by to others, which is made once and kept in its own metadata."""
    settings = metadata.bucket("network-settings")
    with metadata.transaction():
        if settings.get(_ID) is None:
            settings.put(_ID, secrets.token_hex(16))
    return str(settings.get(_ID))


class Shared:
    """What one engine reads and writes of it. Thread-safe; every call is one transaction."""

    def __init__(self, metadata: Metadata, host: str, ipam: str) -> None:
        self.metadata = metadata
        self.ipam = ipam
        """Name of the IPAM that hands out these networks' addresses, to all of the hosts."""
        self.networks = metadata.bucket("networks")
        self._host = host
        self._places = metadata.bucket("network-places")
        """Who is on a network, by network, host and container."""
        self._settings = metadata.bucket("network-settings")

    def revision(self) -> int:
        """Return the number that is another one once somebody has changed something."""
        return int(self._settings.get(_REVISION) or 0)

    def changed(self) -> None:
        """Have the others see that there is something to read; within a transaction."""
        self._settings.put(_REVISION, self.revision() + 1)

    def put(self, container_id: str, presences: Collection[Presence]) -> None:
        """Say where a container of this host is, in place of what was said; NotFound for a network that has gone."""
        wanted = {self._key(each.network_id, container_id): each for each in presences}
        with self.metadata.transaction():
            for key in self._of(container_id):
                if key not in wanted:
                    self._places.delete(key)
                    self.changed()
            for key, each in wanted.items():
                if self.networks.text(each.network_id) is None:
                    raise NotFound(f"network {each.network_id} not found", hint="another host has removed it")
                document = {"names": list(each.names), "addresses": list(each.addresses)}
                if self._places.get(key) != document:
                    self._places.put(key, document)
                    self.changed()

    def _key(self, network_id: str, container_id: str) -> str:
        return f"{network_id}/{self._host}/{container_id}"

    def _of(self, container_id: str) -> tuple[str, ...]:
        return tuple(key for key, _ in self._places.items() if key.endswith(f"/{self._host}/{container_id}"))

    def keep(self, container_ids: Collection[str]) -> None:
        """Have no others of this host be anywhere."""
        with self.metadata.transaction():
            for key, _ in self._places.items():
                _, host, container_id = key.split("/")
                if host == self._host and container_id not in container_ids:
                    self._places.delete(key)
                    self.changed()

    def elsewhere(self, network_id: str) -> tuple[str, ...]:
        """Return the containers of other hosts that are on a network, each with its host."""
        keys = (key.split("/") for key in self._places.keys(f"{network_id}/"))
        return tuple(
            f"{container[:_SHORT]} of host {host[:_SHORT]}" for _, host, container in keys if host != self._host
        )

    def far(self) -> Mapping[str, tuple[Presence, ...]]:
        """Return where containers of other hosts are, each by an id that none of this host's has."""
        found: dict[str, tuple[Presence, ...]] = {}
        for key, each in self._places.items():
            network_id, host, container_id = key.split("/")
            if host != self._host and each["names"]:
                presence = Presence(network_id, tuple(each["names"]), tuple(each["addresses"]))
                known = f"{host}.{container_id}"
                found[known] = (*found.get(known, ()), presence)
        return found
