"""What engines of several hosts know together: networks of the sorts that reach over hosts, and who is on them.

It is in a store that they share. Whoever changes something counts up one number, by which the others see that there is
something to read.
"""

from collections.abc import Collection, Mapping, Sequence

from moby.contracts.discovery import Presence
from moby.contracts.metadata import Metadata
from moby.errors import NotFound

__all__ = ["Shared"]

_REVISION = "revision"
_SHORT = 12
_GIVEN_UP, _COMING_BACK = 0, -1
"""Counts of a host that others have given up, and of one that is there again and hasn't told all anew."""
_AT_ONCE = 40
"""Places in one transaction, of which some stores take no more than some hundred changes."""


class Shared:
    """What one engine reads and writes of it. Thread-safe; every call is one transaction, but for much that goes."""

    def __init__(self, metadata: Metadata, host: str, ipam: str) -> None:
        self.metadata = metadata
        self.ipam = ipam
        """Name of the IPAM that hands out these networks' addresses, to all of the hosts."""
        self.networks = metadata.bucket("networks")
        self._host = host
        self._places = metadata.bucket("network-places")
        """Who is on a network, by network, host and container."""
        self._settings = metadata.bucket("network-settings")
        self._counts = metadata.bucket("network-counts")
        """By host, a number that goes up while it lives."""
        self._begun = metadata.bucket("network-begun")
        """Networks that are being made, by host, and not known to all yet."""
        self._left = metadata.bucket("network-left")
        """Whose addresses are to be given back, since their host has gone: by network, what the IPAM knows them by.

        By nothing where it is the network that has come to be no more than begun.
        """
        self.given_up = False
        """Whether others had given this host up, and it hasn't told them all anew; as `count_on` saw last."""

    def count_on(self) -> Mapping[str, int]:
        """Have others see that this host lives; return the counts of all that ever did so."""
        with self.metadata.transaction():
            before = self._counts.get(self._host)
            self.given_up = before in {_GIVEN_UP, _COMING_BACK}
            self._counts.put(self._host, _COMING_BACK if self.given_up else (before or 0) + 1)
            return dict(self._counts.items())

    def notice(self) -> None:
        """Have it be known here, if others have given this host up."""
        if self._counts.get(self._host) == _GIVEN_UP:
            self.count_on()

    def come_back(self) -> None:
        """Say that others know all of this host again."""
        with self.metadata.transaction():
            self._counts.put(self._host, 1)
            self.given_up = False

    def bury(self, host: str, count: int) -> bool:
        """Give a host up, with all that is on it, unless it has counted on; return whether nobody had done so before.

        The addresses of what was on it are `left`, until somebody has given them back.
        """
        with self.metadata.transaction():
            if self._counts.get(host) != count:
                return False
            if count != _GIVEN_UP:
                self._counts.put(host, _GIVEN_UP)
        while self._bury_some(host):
            pass
        return count != _GIVEN_UP

    def _bury_some(self, host: str) -> bool:
        """Forget some of what is on a host, unless it is there again; return whether there was some."""
        with self.metadata.transaction():
            if self._counts.get(host) != _GIVEN_UP:
                return False
            some = [(key, each) for key, each in self._places.items() if key.split("/")[1] == host][:_AT_ONCE]
            for key, each in some:
                if each.get("taker"):
                    self._left.put(f"{key.split('/')[0]}/{each['taker']}", True)
                self._places.delete(key)
            begun = self._begun.keys(f"{host}/")[: _AT_ONCE - len(some)]
            for key in begun:
                self._left.put(f"{key.partition('/')[2]}/", True)
                self._begun.delete(key)
            if some or begun:
                self.changed()
        return bool(some or begun)

    def left(self) -> Sequence[tuple[str, str]]:
        """Return whose addresses are to be given back: of networks, what the IPAM knows them by; "" is all."""
        parts = (key.partition("/") for key, _ in self._left.items())
        return [(network_id, taker) for network_id, _, taker in parts]

    def given_back(self, network_id: str, taker: str) -> None:
        """Say that it is done."""
        self._left.delete(f"{network_id}/{taker}")

    def revision(self) -> int:
        """Return the number that is another one once somebody has changed something."""
        return int(self._settings.get(_REVISION) or 0)

    def changed(self) -> None:
        """Have the others see that there is something to read; within a transaction."""
        self._settings.put(_REVISION, self.revision() + 1)

    def put(self, container_id: str, there: Collection[tuple[Presence, str]]) -> None:
        """Say where a container of this host is, in place of what was said, and what the IPAM knows it by.

        NotFound for a network that has gone.
        """
        wanted = {self._key(each.network_id, container_id): (each, taker) for each, taker in there}
        if not wanted and not self._of(container_id):
            return  # as of most, for which nobody waits
        with self.metadata.transaction():
            for key in self._of(container_id):
                if key not in wanted:
                    self._places.delete(key)
                    self.changed()
            for key, (each, taker) in wanted.items():
                if self.networks.text(each.network_id) is None:
                    raise NotFound(f"network {each.network_id} not found", hint="another host has removed it")
                document = {"names": list(each.names), "addresses": list(each.addresses), "taker": taker}
                if self._places.get(key) != document:
                    self._places.put(key, document)
                    self.changed()

    def begin(self, network_id: str) -> None:
        """Say that this host is about to make a network, before the IPAM is asked.

        So others can give its subnets back, were this host to go for good before all know the network.
        """
        self._begun.put(f"{self._host}/{network_id}", True)

    def finish(self, network_id: str) -> bool:
        """Say that it is made, or won't be; False where others have given this host up, and its subnets back."""
        return self._begun.delete(f"{self._host}/{network_id}")

    def promise(self, network_id: str, container_id: str, taker: str) -> None:
        """Say that a container of this host is about to have addresses on a network, before the IPAM is asked.

        So they are known by what others would give back, were this host to go for good before it says where it is.
        """
        self._places.put(self._key(network_id, container_id), {"names": [], "addresses": [], "taker": taker})

    def take_back(self, network_id: str, container_id: str) -> None:
        """Say that it hasn't come to that."""
        with self.metadata.transaction():
            if self._places.delete(self._key(network_id, container_id)):
                self.changed()

    def _key(self, network_id: str, container_id: str) -> str:
        return f"{network_id}/{self._host}/{container_id}"

    def _of(self, container_id: str) -> tuple[str, ...]:
        return tuple(key for key, _ in self._places.items() if key.endswith(f"/{self._host}/{container_id}"))

    def stands(self, network_id: str, container_id: str, taker: str) -> bool:
        """Whether it is known where a container of this host is on a network, by that name of the IPAM's."""
        document = self._places.get(self._key(network_id, container_id))
        return document is not None and document.get("taker", taker) == taker

    def keep(self, places: Collection[tuple[str, str]]) -> None:
        """Have nothing of this host be anywhere else, or begun: only on these networks these containers."""
        for each in self._begun.keys(f"{self._host}/"):
            self._begun.delete(each)
        kept = {self._key(*each) for each in places}
        while self._drop_some(kept):
            pass

    def _drop_some(self, kept: Collection[str]) -> bool:
        """Forget some places of this host; return whether there may be more."""
        with self.metadata.transaction():
            own = [key for key in self._places.keys() if key.split("/")[1] == self._host]  # noqa: SIM118 - no mapping
            gone = [key for key in own if key not in kept]
            for key in gone[:_AT_ONCE]:
                self._places.delete(key)
            if gone:
                self.changed()
        return len(gone) > _AT_ONCE

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
