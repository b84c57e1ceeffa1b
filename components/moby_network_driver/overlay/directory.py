"""What the hosts of overlay networks tell each other: who they are, and which container is on which of them.

It is in a store that they share. Whoever changes something counts up one number, by which the others see that there is
something to read.
"""

import secrets
from collections.abc import Callable, Collection, Mapping
from typing import Any

from moby.contracts.metadata import Metadata
from moby.errors import Conflict
from moby.values import frozen
from moby_network_driver.overlay.options import MOST_NUMBER

__all__ = ["Directory", "Far", "Host", "Key"]

_FIRST_NUMBER = 4096
"""Docker's; smaller ones are left to administrators."""
_REVISION, _KEYS = "revision", "keys"
_AT_ONCE = 40
"""Of what a host leaves, in one transaction, of which some stores take no more than some hundred changes."""


@frozen
class Host:
    """A host, as others know it."""

    id: str
    address: str
    """By which it is reached."""
    boot: str
    """Another one each time that it forgets how far it counted packets."""


@frozen
class Far:
    """A container on another host."""

    host: str
    """That one's id."""
    mac: str
    addresses: tuple[str, ...]
    """Without prefixes."""


@frozen
class Key:
    """A secret of all hosts; the newest whose time has come is used, and what the others sent is still understood."""

    number: int
    secret: str
    """64 hexadecimal digits."""
    from_ns: int


class Directory:
    """What one host reads and writes of it. Thread-safe; every call is one transaction, but for much that goes."""

    def __init__(self, metadata: Metadata, host_id: str) -> None:
        self.host_id = host_id
        self._metadata = metadata
        self._settings = metadata.bucket("overlay-settings")
        self._hosts = metadata.bucket("overlay-hosts")
        self._numbers = metadata.bucket("overlay-numbers")
        """Networks by their number on the wire."""
        self._networks = metadata.bucket("overlay-networks")
        self._members = metadata.bucket("overlay-members")
        """By network and host, which hosts have made one."""
        self._endpoints = metadata.bucket("overlay-endpoints")
        """By network and endpoint."""
        self._counts = metadata.bucket("overlay-counts")
        """By host, a number that goes up while it lives."""

    def revision(self) -> int:
        """Return the number that is another one once somebody has changed something."""
        return int(self._settings.get(_REVISION) or 0)

    def _changed(self) -> None:
        self._settings.put(_REVISION, self.revision() + 1)

    def enter(self, address: str, boot: str) -> None:
        """Say how this host is reached."""
        wanted = {"address": address, "boot": boot}
        if self._hosts.get(self.host_id) != wanted:
            with self._metadata.transaction():
                self._hosts.put(self.host_id, wanted)
                self._changed()

    def forget(self) -> None:
        """Have others know this host no more."""
        with self._metadata.transaction():
            self._counts.delete(self.host_id)
            if self._hosts.delete(self.host_id):
                self._changed()

    def count_on(self) -> Mapping[str, int]:
        """Have others see that this host lives; return the counts of all that ever did so."""
        with self._metadata.transaction():
            self._counts.put(self.host_id, int(self._counts.get(self.host_id) or 0) + 1)
            return dict(self._counts.items())

    def bury(self, host_id: str, count: int) -> str:
        """Forget a host, and all that is on it, unless it has counted on; return its address, empty where it lives.

        Its id is returned where it told no address.
        """
        with self._metadata.transaction():
            if self._counts.get(host_id) != count:
                return ""
            there = self._hosts.get(host_id)
            self._hosts.delete(host_id)
            self._changed()
        while self._bury_some(host_id, count):
            pass
        return str(there["address"]) if there else host_id

    def _bury_some(self, host_id: str, count: int) -> bool:
        """Forget some of what is on a host, unless it is there again; return whether there is more."""
        with self._metadata.transaction():
            if self._counts.get(host_id) != count or self._hosts.get(host_id) is not None:
                return False
            endpoints = [key for key, each in self._endpoints.items() if each["host"] == host_id][:_AT_ONCE]
            for key in endpoints:
                self._endpoints.delete(key)
            on = [key.partition("/")[0] for key, _ in self._members.items() if key.endswith(f"/{host_id}")]
            for network_id in on[:_AT_ONCE] if not endpoints else ():
                self._left(network_id, host_id)
            if not endpoints and not on:
                self._counts.delete(host_id)
                return False
            self._changed()
        return True

    def hosts(self) -> Mapping[str, Host]:
        """Return all hosts by id."""
        return {key: Host(key, each["address"], each["boot"]) for key, each in self._hosts.items()}

    def join(self, network_id: str, name: str, wanted: int = 0) -> int:
        """Have this host be on a network; return its number on the wire, the same for all hosts.

        Conflict where the wanted one is another network's.
        """
        with self._metadata.transaction():
            number = self._networks.get(network_id)
            if number is None:
                number = wanted or self._free()
                if self._numbers.get(_numbered(number)) is not None:
                    raise Conflict(f"VXLAN number {number} of network {name} is another's", hint="choose another one")
                self._numbers.put(_numbered(number), network_id)
                self._networks.put(network_id, number)
            if self._members.get(f"{network_id}/{self.host_id}") is None:
                self._members.put(f"{network_id}/{self.host_id}", True)
        return int(number)

    def _free(self) -> int:
        for number in range(_FIRST_NUMBER, MOST_NUMBER + 1):
            if self._numbers.get(_numbered(number)) is None:
                return number
        raise Conflict("all VXLAN numbers are taken", hint="remove a network")

    def leave(self, network_id: str) -> None:
        """Have this host be on a network no more; with the last host its number is free again."""
        with self._metadata.transaction():
            self._left(network_id, self.host_id)

    def _left(self, network_id: str, host_id: str) -> None:
        for key, each in self._endpoints.items(f"{network_id}/"):
            if each["host"] == host_id:
                self._endpoints.delete(key)
                self._changed()
        if self._members.delete(f"{network_id}/{host_id}") and not self._members.count(f"{network_id}/"):
            self._numbers.delete(_numbered(self._networks.get(network_id)))
            self._networks.delete(network_id)

    def put(self, network_id: str, endpoint_id: str, mac: str, addresses: Collection[str]) -> None:
        """Say that a container is on this host."""
        key, document = f"{network_id}/{endpoint_id}", {"host": self.host_id, "mac": mac, "addresses": [*addresses]}
        with self._metadata.transaction():
            if self._endpoints.get(key) != document:
                self._endpoints.put(key, document)
                self._changed()

    def remove(self, network_id: str, endpoint_id: str) -> None:
        """Take that back; nothing where it wasn't said."""
        with self._metadata.transaction():
            if self._endpoints.delete(f"{network_id}/{endpoint_id}"):
                self._changed()

    def keep(self, held: Mapping[str, Collection[str]]) -> None:
        """Have nothing on this host but these endpoints, by network."""
        while self._drop_some(lambda network_id, endpoint_id: endpoint_id not in held.get(network_id, ())):
            pass
        for key, _ in self._members.items():
            network_id, _, host_id = key.partition("/")
            if host_id == self.host_id and network_id not in held:
                self.leave(network_id)

    def _drop_some(self, goes: Callable[[str, str], bool]) -> bool:
        """Remove some endpoints of this host; return whether there may be more."""
        with self._metadata.transaction():
            own = (key.partition("/") for key, each in self._endpoints.items() if each["host"] == self.host_id)
            gone = [(network_id, endpoint_id) for network_id, _, endpoint_id in own if goes(network_id, endpoint_id)]
            for network_id, endpoint_id in gone[:_AT_ONCE]:
                self.remove(network_id, endpoint_id)
        return len(gone) > _AT_ONCE

    def far(self, network_id: str) -> tuple[Far, ...]:
        """Return who is on a network elsewhere."""
        found = (each for _, each in self._endpoints.items(f"{network_id}/"))
        return tuple(
            Far(each["host"], each["mac"], tuple(each["addresses"])) for each in found if each["host"] != self.host_id
        )

    def keys(self) -> tuple[Key, ...]:
        """Return the keys, the newest last."""
        found: Any = self._settings.get(_KEYS) or ()
        return tuple(Key(each["number"], each["secret"], each["from_ns"]) for each in found)

    def renew_keys(self, now_ns: int, lifetime_ns: int, notice_ns: int) -> tuple[Key, ...]:
        """Return the keys; there is a new one where the newest is old, which all know for a while before it is used.

        Of older ones that which was used before the newest stays.
        """
        with self._metadata.transaction():
            there = self.keys()
            if there and now_ns < there[-1].from_ns + lifetime_ns:
                return there
            number = there[-1].number + 1 if there else 1
            new = Key(number, secrets.token_hex(32), now_ns + notice_ns if there else now_ns)
            kept = (*there[-1:], new)
            documents = [{"number": each.number, "secret": each.secret, "from_ns": each.from_ns} for each in kept]
            self._settings.put(_KEYS, documents)
            self._changed()
        return kept


def _numbered(number: int) -> str:
    return f"{number:08}"
