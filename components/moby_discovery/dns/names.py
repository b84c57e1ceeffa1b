"""Who is called what on which network."""

from collections.abc import Mapping, Sequence
from ipaddress import ip_address

from moby.contracts.discovery import Presence

__all__ = ["Names"]

_NOBODY: Mapping[str, tuple[str, ...]] = {}


class Names:
    """The presences of all sandboxes, found by name and by address; a sandbox sees those of its own networks."""

    def __init__(self) -> None:
        self._presences: dict[str, tuple[Presence, ...]] = {}
        self._named: dict[tuple[str, str], dict[str, tuple[str, ...]]] = {}
        """Addresses by sandbox, by network and name."""
        self._addressed: dict[tuple[str, str], dict[str, str]] = {}
        """The name of an address by sandbox, by network and address."""
        self._own: dict[str, Mapping[str, tuple[str, ...]]] = {}

    def put(self, sandbox: str, presences: Sequence[Presence], own: Mapping[str, tuple[str, ...]]) -> None:
        """Say where a sandbox is to be found, and which names it alone knows."""
        self.drop(sandbox)
        self._presences[sandbox] = tuple(presences)
        self._own[sandbox] = {name.lower().rstrip("."): addresses for name, addresses in own.items()}
        for presence in presences:
            network = presence.network_id
            for name in presence.names:
                there = self._named.setdefault((network, name.lower().rstrip(".")), {})
                there[sandbox] = (*there.get(sandbox, ()), *presence.addresses)
            for address in presence.addresses if presence.names else ():
                self._addressed.setdefault((network, str(ip_address(address))), {})[sandbox] = presence.names[0]

    def drop(self, sandbox: str) -> None:
        """Forget a sandbox."""
        self._own.pop(sandbox, None)
        for presence in self._presences.pop(sandbox, ()):
            network = presence.network_id
            for name in presence.names:
                _take_out(self._named, (network, name.lower().rstrip(".")), sandbox)
            for address in presence.addresses:
                _take_out(self._addressed, (network, str(ip_address(address))), sandbox)

    def addresses(self, sandbox: str, name: str) -> tuple[str, ...]:
        """Return the addresses of a name as a sandbox sees it, its own names first; empty where there is no such."""
        if own := self._own.get(sandbox, _NOBODY).get(name):
            return own
        found: dict[str, None] = {}
        for presence in self._presences.get(sandbox, ()):
            for addresses in self._named.get((presence.network_id, name), _NOBODY).values():
                found.update(dict.fromkeys(addresses))
        return tuple(found)

    def name(self, sandbox: str, address: str) -> str:
        """Return the name of an address as a sandbox sees it; empty where it is nobody's."""
        for presence in self._presences.get(sandbox, ()):
            for name in self._addressed.get((presence.network_id, address), {}).values():
                return name
        return ""


def _take_out(index: dict[tuple[str, str], dict[str, object]] | dict, key: tuple[str, str], sandbox: str) -> None:  # type: ignore[type-arg]
    there = index.get(key)
    if there is not None:
        there.pop(sandbox, None)
        if not there:
            del index[key]
