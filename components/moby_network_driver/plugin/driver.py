"""A plugin's networks. The plugin makes interfaces; they are put into containers, and given addresses, here."""

import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from types import MappingProxyType
from typing import TYPE_CHECKING

from moby.contracts.ambient import Log, Place
from moby.contracts.network_driver import Attachment, Link, Segment
from moby.contracts.types import Fd
from moby.errors import HostUnfit, Invalid, MobyError, NotFound
from moby.host.docker_plugins import Answered, Plugin
from moby.host.elsewhere import in_namespace
from moby.host.netlink import Channel
from moby.host.rtnetlink import addresses, links, routes
from moby.values import evolve
from moby_network_driver.interfaces import inside
from moby_network_driver.interfaces.addressing import mac_of, with_link_local
from moby_network_driver.interfaces.inside import SYSCTLS, Interface
from moby_network_driver.interfaces.removal import delete_named
from moby_network_driver.interfaces.unfit import Failures, explained
from moby_network_driver.plugin import words
from moby_network_driver.plugin.records import Endpoint, Known, Records
from moby_network_driver.plugin.words import Joined

__all__ = ["PluginNetworks"]


class PluginNetworks:
    """A network driver; see the contract. What its plugin says of what it can't do is told as it is."""

    predefined = ""
    predefined_options: Mapping[str, str] = MappingProxyType({})
    creatable = True
    shares_host = False
    addressed = True

    def __init__(self, plugin: Plugin, place: Place, log: Log, *, publishes: bool = False) -> None:
        self.name = plugin.name
        self.publishes = publishes
        self._plugin = plugin
        self._records = Records(place.state / "networks")
        self._log = log
        self._lock = threading.RLock()
        self._scope = ""

    if TYPE_CHECKING:
        scope: str
    else:

        @property
        def scope(self) -> str:
            """As the plugin says; `local` as long as it doesn't."""
            if not self._scope:
                with suppress(MobyError):
                    told = self._plugin.call("GetCapabilities").get("Scope")
                    self._scope = "swarm" if told in ("global", "swarm") else "local"
            return self._scope or "local"

    def check(self, options: Mapping[str, str]) -> None:
        """Say nothing: what a plugin knows, it says when a network is made."""

    def make(self, segment: Segment) -> None:
        """Have the plugin make a network; one that it knows may be told again, and refuse."""
        what = f"can't make network {segment.name}"
        with self._lock, explained(what):
            known = self._records.get(segment.id)
            try:
                self._plugin.call("CreateNetwork", **words.network_of(segment))
            except Answered as error:
                if known is None:
                    raise Invalid(f"{what}: {error.message}") from error
            if known is None:
                self._records.put(Known(segment.id))

    def unmake(self, segment: Segment) -> None:
        """Have the plugin remove a network, and what is on it; see the contract."""
        with self._lock, explained(f"network {segment.name}"):
            self._forget(segment.id)

    def _forget(self, network_id: str) -> None:
        known = self._records.get(network_id)
        if known is None:
            return
        failures = Failures()
        for endpoint_id in known.endpoints:
            with failures.collected(f"endpoint {endpoint_id}"):
                self._undo(network_id, endpoint_id, None)
        with failures.collected(f"network {network_id}"):
            self._call("DeleteNetwork", NetworkID=network_id)
            self._records.remove(network_id)
        failures.tell()

    def attach(self, segment: Segment, attachment: Attachment, namespace: Fd) -> Link:
        """Put a container on a network; see the contract."""
        settings = inside.settings_of(attachment.options, attachment.interface)
        what = f"interface {attachment.interface} on network {segment.name}"
        with self._lock, explained(what), ExitStack() as undo:
            inside.absent(namespace, attachment.interface)
            if self._records.get(segment.id) is None:
                self.make(segment)
            self._clear(segment.id, attachment.id, namespace)  # what was interrupted
            endpoint = Endpoint(attachment.interface, ports=attachment.ports)
            self._note(segment.id, attachment.id, endpoint)  # first, so that what is killed half-way is undone
            undo.callback(self._clear, segment.id, attachment.id, namespace)
            mac, own = self._created(segment, attachment)
            joined = self._joined(segment, attachment, namespace, endpoint)
            self._note(segment.id, attachment.id, evolve(endpoint, made_as=joined.made_as, joined=True))
            wanted = evolve(attachment, addresses=own)
            device = Interface(
                attachment.interface, joined.made_as, with_link_local(wanted), settings=settings
            )  # fmt: skip
            self._put(device, mac, namespace)
            in_namespace(namespace, lambda: _route(attachment.interface, joined))
            self._program(segment.id, attachment)
            undo.pop_all()
        return Link(attachment.interface, mac, own, joined.gateways)

    def _created(self, segment: Segment, attachment: Attachment) -> tuple[str, tuple[str, ...]]:
        """Have the plugin make an endpoint; return its MAC address and its addresses, which it may choose."""
        options = {key: value for key, value in attachment.options.items() if key != SYSCTLS}
        told = words.endpoint_of(segment, evolve(attachment, options=options))
        mac, chosen = words.own_of(self._call("CreateEndpoint", **told), self.name)
        taken = {":" in each for each in attachment.addresses}
        own = (*attachment.addresses, *(each for each in chosen if (":" in each) not in taken))
        return attachment.mac_address or mac or mac_of(segment, attachment), own

    def _joined(self, segment: Segment, attachment: Attachment, namespace: Fd, endpoint: Endpoint) -> Joined:
        """Have the plugin join an endpoint, which it leaves again even if its answer is nonsense or this is killed."""
        key = f"/proc/{os.getpid()}/fd/{namespace}"
        options = words.ports_of(attachment.ports)
        self._note(segment.id, attachment.id, evolve(endpoint, joined=True))
        try:
            answer = self._call(
                "Join", NetworkID=segment.id, EndpointID=attachment.id, SandboxKey=key, Options=options
            )  # fmt: skip
        except HostUnfit as error:
            if isinstance(error.__cause__, Answered):  # it says that it hasn't
                self._note(segment.id, attachment.id, endpoint)
            raise
        return words.joined_of(answer, self.name)

    def _put(self, device: Interface, mac: str, namespace: Fd) -> None:
        """Move what the plugin made into the container, and have it be as it should."""
        with Channel() as channel:
            found = links.look_up(channel, device.made_as)
            if found is None:
                raise HostUnfit(f"the plugin {self.name} says that it made {device.made_as}, which isn't here")
            if found.mac != mac:
                channel.run(links.change(found.index, mac=mac, what=device.made_as))
            channel.run(links.change(found.index, namespace=namespace, what=device.made_as))
        inside.configure(namespace, device)

    def _program(self, network_id: str, attachment: Attachment) -> None:
        options = words.ports_of(attachment.ports)
        self._call(
            "ProgramExternalConnectivity", NetworkID=network_id, EndpointID=attachment.id, Options=options
        )  # fmt: skip

    def publish(self, segment: Segment, attachment: Attachment) -> None:
        """Have the plugin publish other ports; see the contract."""
        with self._lock, explained(f"ports on network {segment.name}"):
            known = self._records.get(segment.id)
            endpoint = known.endpoints.get(attachment.id) if known else None
            if endpoint is None or not endpoint.made_as:
                raise NotFound(f"container {attachment.container_id} is not on network {segment.name}")
            if endpoint.ports == attachment.ports:
                return
            self._call("RevokeExternalConnectivity", NetworkID=segment.id, EndpointID=attachment.id)
            # So that what fails now can be tried again.
            self._note(segment.id, attachment.id, evolve(endpoint, ports=()))
            self._program(segment.id, attachment)
            self._note(segment.id, attachment.id, evolve(endpoint, ports=attachment.ports))

    def detach(self, segment: Segment, attachment: Attachment, namespace: Fd | None = None) -> None:
        """Undo `attach`; see the contract."""
        with self._lock, explained(f"interface {attachment.interface} on network {segment.name}"):
            self._undo(segment.id, attachment.id, namespace)

    def _clear(self, network_id: str, endpoint_id: str, namespace: Fd) -> None:
        """Undo what an attachment that was interrupted left, or one that fails."""
        try:
            self._undo(network_id, endpoint_id, namespace)
        except MobyError as error:
            self._log.warning("what a network plugin made can't be undone", reason=str(error))

    def _undo(self, network_id: str, endpoint_id: str, namespace: Fd | None) -> None:
        """Undo all of an endpoint, even if some of it fails; the interface goes back to the plugin, which made it."""
        known = self._records.get(network_id)
        endpoint = known.endpoints.get(endpoint_id) if known else None
        if known is None or endpoint is None:
            return
        failures = Failures()
        names = {"NetworkID": network_id, "EndpointID": endpoint_id}
        if endpoint.made_as:
            with failures.collected("ports"):
                self._call("RevokeExternalConnectivity", **names)
        if endpoint.joined:
            with failures.collected("leaving"):
                self._call("Leave", **names)
        if endpoint.made_as and namespace is not None:
            with failures.collected(f"interface {endpoint.interface}"):
                _take_back(namespace, endpoint)
        with failures.collected("the endpoint"):
            self._call("DeleteEndpoint", **names)
        if endpoint.made_as:
            with failures.collected(f"interface {endpoint.made_as}"):
                _delete_made(endpoint.made_as)
        self._records.put(evolve(known, endpoints={k: v for k, v in known.endpoints.items() if k != endpoint_id}))
        failures.tell()

    def keep(self, held: Sequence[tuple[Segment, Sequence[Attachment]]]) -> None:
        """Have the plugin remove what is others', and publish what is to be by now; see the contract."""
        wanted = {segment.id: {each.id for each in attachments} for segment, attachments in held}
        failures = Failures()
        with self._lock, explained(f"networks of the plugin {self.name}"):
            for network_id in self._records.ids():
                with failures.collected(f"network {network_id}"):
                    self._keep_endpoints(network_id, wanted.get(network_id))
            for segment, attachments in held:
                if self._records.get(segment.id) is None:
                    with failures.collected(f"network {segment.name}"):
                        self.make(segment)
                for each in attachments if self.publishes else ():
                    with failures.collected(f"ports of {each.interface}"), suppress(NotFound):
                        self.publish(segment, each)
        failures.tell()

    def _keep_endpoints(self, network_id: str, wanted: set[str] | None) -> None:
        """Remove a network that nobody wants, else the endpoints on it that nobody wants."""
        if wanted is None:
            self._forget(network_id)
            return
        known = self._records.get(network_id)
        for endpoint_id in known.endpoints if known else ():
            if endpoint_id not in wanted:
                self._undo(network_id, endpoint_id, None)

    def reclaim(self) -> None:
        """Have the plugin remove all that the engine had it make."""
        self.keep(())

    def _note(self, network_id: str, endpoint_id: str, endpoint: Endpoint) -> None:
        known = self._records.get(network_id) or Known(network_id)
        self._records.put(evolve(known, endpoints={**known.endpoints, endpoint_id: endpoint}))

    def _call(self, method: str, **values: object) -> dict[str, object]:
        with _told(self.name):
            return self._plugin.call(method, **values)


@contextmanager
def _told(plugin: str) -> Iterator[None]:
    """Tell what a plugin couldn't do."""
    try:
        yield
    except Answered as error:
        raise HostUnfit(f"the plugin {plugin} says: {error.message}") from error


def _route(interface: str, joined: Joined) -> None:
    """Make the routes that a plugin wants, but the default ones, which are the caller's."""
    if not joined.ways:
        return
    with Channel() as channel:
        index = links.index_of(channel, interface)
        channel.run(*(routes.add(routes.Route(each.destination, index, each.gateway)) for each in joined.ways))


def _delete_made(name: str) -> None:
    """Delete what a plugin left of what it made; hardware that it lent stays."""
    with Channel() as channel:
        found = links.look_up(channel, name)
        if found is not None and found.kind:
            delete_named(channel, name)


def _take_back(namespace: Fd, endpoint: Endpoint) -> None:
    """Have an interface be where and as the plugin made it, as docker does before the plugin removes it."""
    own = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        with in_namespace(namespace, Channel) as channel:
            found = links.look_up(channel, endpoint.interface) or links.look_up(channel, endpoint.made_as)
            if found is not None:
                for each in addresses.dump(channel):
                    if each.index == found.index and not each.of_link:
                        channel.run(addresses.remove(each.index, each.text))
                channel.run(links.change(found.index, up=False, what=found.name))
                channel.run(links.change(found.index, name=endpoint.made_as, namespace=own, what=found.name))
    finally:
        os.close(own)
