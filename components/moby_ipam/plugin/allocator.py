"""A plugin's subnets and addresses (libnetwork, docs/ipam.md). What it gave, and to whom, is in the metadata."""

import ipaddress
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

from moby.contracts.ipam import Pool
from moby.contracts.metadata import Metadata
from moby.errors import Conflict, HostUnfit, MobyError, NotFound, Unsupported
from moby.host.docker_plugins import Answered, Plugin
from moby.values import asdict, evolve, field, frozen
from moby_ipam.pools import subnets
from moby_ipam.pools.subnets import Address, Network

__all__ = ["PluginAddresses"]

_GATEWAY = {"RequestAddressType": "com.docker.network.gateway"}
_IN_USE = "Address already in use"
_MOST_TRIES = 64
"""How many subnets of a plugin's choice may be what the host has already."""


@frozen
class _Given:
    """A pool that the plugin gave."""

    id: str
    pool: Pool
    held: tuple[str, ...] = field(default=())
    """Addresses that nobody gets: its gateway, and what is reserved."""

    @property
    def subnet(self) -> Network:
        return subnets.network_of(self.pool)


@contextmanager
def _collected(refusals: list[MobyError]) -> Iterator[None]:
    try:
        yield
    except MobyError as error:
        refusals.append(error)


class PluginAddresses:
    """An IPAM; see the contract. What its plugin says of what it can't do is told as it is."""

    def __init__(self, plugin: Plugin, metadata: Metadata) -> None:
        self.name = plugin.name
        self._plugin = plugin
        self._networks = metadata.bucket(f"ipam-plugin-{plugin.name}-networks")
        self._endpoints = metadata.bucket(f"ipam-plugin-{plugin.name}-endpoints")
        self._lock = threading.RLock()

    def take(
        self,
        network_id: str,
        wanted: Sequence[Pool],
        *,
        ipv6: bool = False,
        options: Mapping[str, str] | None = None,
        occupied: Sequence[str] = (),
    ) -> tuple[Pool, ...]:
        """Have the plugin give a network its pools."""
        wishes = list(subnets.checked(wanted))
        there = {subnets.network_of(each).version for each in wishes}
        others = [ipaddress.ip_network(each, strict=False) for each in occupied]
        with self._lock, ExitStack() as undo:
            known = self._given(network_id)
            if known is not None:
                return tuple(each.pool for each in known)
            space = self._space()
            asked = dict(options or {})
            found = [self._wished(space, each, asked, undo) for each in wishes]
            for version in (4, 6) if ipv6 else (4,):
                if version not in there:
                    found.append(self._chosen(space, version, asked, others, undo))
            found = [self._held(each, undo) for each in found]
            self._networks.put(network_id, [asdict(each) for each in found])
            undo.pop_all()
        return tuple(each.pool for each in found)

    def _space(self) -> str:
        """Return the plugin's own name for this host's addresses."""
        try:
            capable = self._plugin.call("GetCapabilities")
        except Answered:  # it is asked for since docker 1.10
            capable = {}
        if capable.get("RequiresMACAddress"):
            raise Unsupported(f"the plugin {self.name} wants to know MAC addresses, which aren't chosen yet")
        return str(self._call("GetDefaultAddressSpaces").get("LocalDefaultAddressSpace") or "")

    def _wished(self, space: str, wish: Pool, options: Mapping[str, str], undo: ExitStack) -> _Given:
        subnet = subnets.network_of(wish)
        values = {
            "AddressSpace": space, "Pool": wish.subnet, "SubPool": wish.ip_range, "Options": options,
            "V6": subnet.version == 6,
        }  # fmt: skip
        return evolve(self._pool(values, undo), pool=wish)

    def _chosen(
        self, space: str, version: int, options: Mapping[str, str], others: Sequence[Network], undo: ExitStack
    ) -> _Given:
        """Have the plugin choose; what the host has already is given back, once another one is found."""
        values = {"AddressSpace": space, "Pool": "", "SubPool": "", "Options": options, "V6": version == 6}
        with ExitStack() as passed:
            for _ in range(_MOST_TRIES):
                with ExitStack() as mine:
                    found = self._pool(values, mine)
                    overlaps = any(
                        found.subnet.version == each.version and found.subnet.overlaps(each) for each in others
                    )
                    (passed if overlaps else undo).push(mine.pop_all())
                if not overlaps:
                    return found
        raise Conflict(f"the plugin {self.name} offers only subnets that this host uses already", hint="name a subnet")

    def _pool(self, values: Mapping[str, Any], undo: ExitStack) -> _Given:
        try:
            answer = self._plugin.call("RequestPool", **values)
        except Answered as error:
            raise Conflict(self._said("RequestPool", error), hint="choose another subnet") from error
        try:
            found = _Given(str(answer["PoolID"]), Pool(str(ipaddress.ip_network(str(answer["Pool"])))))
        except (KeyError, ValueError) as error:
            raise self._nonsense("RequestPool", error) from error
        undo.callback(self._quietly, lambda: self._call("ReleasePool", PoolID=found.id))
        return found

    def _held(self, given: _Given, undo: ExitStack) -> _Given:
        """Keep what of a pool is never handed out; the plugin chooses a gateway that nobody wishes for."""
        wish = given.pool
        what = f"failed to allocate gateway ({wish.gateway})"
        gateway = self._address(given, wish.gateway, what, undo, **_GATEWAY).partition("/")[0]
        held = [gateway]
        for name, address in wish.reserved.items():
            what = f"failed to allocate secondary ip address ({name}:{address})"
            held.append(self._address(given, address, what, undo).partition("/")[0])
        return evolve(given, pool=evolve(wish, gateway=gateway), held=tuple(held))

    def _address(self, given: _Given, wish: str, what: str, undo: ExitStack, **options: str) -> str:
        """Return an address that the plugin gave, with its prefix; Conflict begins with `what`."""
        said = f"{what}: " if what else ""
        if wish and subnets.is_kept(ipaddress.ip_address(wish), given.subnet):
            raise Conflict(f"{said}{_IN_USE}", hint="choose another address")
        try:
            answer = self._plugin.call("RequestAddress", PoolID=given.id, Address=wish, Options=options)
        except Answered as error:
            raise Conflict(f"{said}{self._said('RequestAddress', error)}", hint="choose another address") from error
        try:
            found = ipaddress.ip_interface(str(answer["Address"]))
            if found.ip not in given.subnet or (wish and found.ip != ipaddress.ip_address(wish)):
                raise ValueError(f"{found} isn't what was asked for")
        except (KeyError, ValueError) as error:
            raise self._nonsense("RequestAddress", error) from error
        undo.callback(self._quietly, lambda: self._release(given.id, str(found.ip)))
        return f"{found.ip}/{given.subnet.prefixlen}"

    def give_back(self, network_id: str) -> None:
        """Have the plugin take a network's pools back, with all addresses."""
        with self._lock:
            given = self._given(network_id)
            if given is None:
                return
            for key in tuple(self._endpoints.keys(f"{network_id}/")):
                self.unassign(network_id, key.partition("/")[2])
            for each in given:
                for address in each.held:
                    self._quietly(lambda each=each, address=address: self._release(each.id, address))  # type: ignore[misc]
                self._call("ReleasePool", PoolID=each.id)
            self._networks.delete(network_id)

    def assign(self, network_id: str, endpoint_id: str, wanted: Sequence[str] = ()) -> tuple[str, ...]:
        """Have the plugin give an endpoint its addresses."""
        wishes = subnets.addresses_of(wanted)
        with self._lock, ExitStack() as undo:
            given = self._given(network_id)
            if given is None:
                raise NotFound(f"network {network_id} has no addresses", hint="it was removed, or never made")
            key = f"{network_id}/{endpoint_id}"
            there = self._endpoints.get(key)
            if there is not None:
                return tuple(each["address"] for each in there)
            pools = [each.pool for each in given]
            homes = {each: subnets.home(each, pools) for each in wishes}
            found = []
            for version in sorted({each.subnet.version for each in given}):
                mine = [each for each in given if each.subnet.version == version]
                wish = next((each for each in wishes if each.version == version), None)
                if wish is not None:
                    mine = [each for each in mine if each.subnet == homes[wish]]
                found.append(self._one(network_id, mine, wish, undo))
            self._endpoints.put(key, [{"pool": pool, "address": address} for pool, address in found])
            undo.pop_all()
        return tuple(address for _, address in found)

    def _one(self, network_id: str, given: Sequence[_Given], wish: Address | None, undo: ExitStack) -> tuple[str, str]:
        """Return an address of the first pool that has one, and that pool."""
        last: Conflict | None = None
        for each in given:
            try:
                return each.id, self._address(each, str(wish or ""), "", undo)
            except Conflict as error:
                last = error
        assert last is not None
        if wish is not None:
            raise last
        version = given[0].subnet.version
        text = f"no available IPv{version} addresses on this network's address pools: {network_id}: {last.message}"
        raise Conflict(text, hint="stop a container that is on it, or make a larger network") from last

    def unassign(self, network_id: str, endpoint_id: str) -> None:
        """Have the plugin take an endpoint's addresses back."""
        with self._lock:
            key = f"{network_id}/{endpoint_id}"
            for each in self._endpoints.get(key) or ():
                self._release(each["pool"], each["address"].partition("/")[0])
            self._endpoints.delete(key)

    def keep(self, endpoints: Mapping[str, Collection[str]]) -> None:
        """Have the plugin take back what is nobody's, also where it refuses some of it; the first refusal is told."""
        refusals: list[MobyError] = []
        with self._lock:
            for key in tuple(self._endpoints.keys()):
                network_id, _, endpoint_id = key.partition("/")
                if endpoint_id not in endpoints.get(network_id, ()):
                    with _collected(refusals):
                        self.unassign(network_id, endpoint_id)
            for network_id in sorted(set(self._networks.keys()) - set(endpoints)):
                with _collected(refusals):
                    self.give_back(network_id)
        if refusals:
            raise refusals[0]

    def _release(self, pool: str, address: str) -> None:
        self._call("ReleaseAddress", PoolID=pool, Address=address)

    def _given(self, network_id: str) -> tuple[_Given, ...] | None:
        found: Any = self._networks.get(network_id)
        if found is None:
            return None
        return tuple(_Given(each["id"], Pool(**each["pool"]), tuple(each["held"])) for each in found)

    def _call(self, method: str, **values: object) -> dict[str, Any]:
        try:
            return self._plugin.call(method, **values)
        except Answered as error:
            raise HostUnfit(f"the plugin {self.name} says: {error.message}") from error

    def _quietly(self, call: Callable[[], object]) -> None:
        """Undo something; what is told is what went wrong before."""
        with suppress(MobyError):
            call()

    def _said(self, method: str, error: Answered) -> str:
        return error.message.removeprefix(f"IpamDriver.{method}: ")

    def _nonsense(self, method: str, error: Exception) -> HostUnfit:
        return HostUnfit(f"the plugin {self.name} answers {method} with what can't be: {error}")
