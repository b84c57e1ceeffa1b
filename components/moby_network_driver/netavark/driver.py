"""The driver of networks that netavark makes: a bridge that comes with the first container and goes with the last."""

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from types import MappingProxyType

from moby.contracts.ambient import Log, Place
from moby.contracts.network_driver import Attachment, Link, Segment
from moby.contracts.types import Fd
from moby.errors import Conflict, MobyError, NotFound
from moby.host import network_settings
from moby.host.elsewhere import in_namespace
from moby.host.netlink import Channel
from moby.host.rtnetlink import addresses, links
from moby.values import evolve
from moby_network_driver.interfaces import inside, words
from moby_network_driver.interfaces.addressing import gateways_of, mac_of
from moby_network_driver.interfaces.inside import SYSCTLS
from moby_network_driver.interfaces.removal import delete_named
from moby_network_driver.interfaces.unfit import Failures, explained
from moby_network_driver.netavark.calls import beside_names, bridge_of, call_of, checked, host_end
from moby_network_driver.netavark.config import Config
from moby_network_driver.netavark.records import Record, Records
from moby_network_driver.netavark.running import Program
from moby_network_driver.netavark.stand_ins import OWN, beside, nowhere, path

__all__ = ["NetavarkNetworks"]

_OF_ENDPOINTS = frozenset({SYSCTLS, "com.docker.network.endpoint.ifname"})


class NetavarkNetworks:
    """A network driver; see the contract."""

    name = "netavark"
    scope = "local"
    predefined = ""
    predefined_options: Mapping[str, str] = MappingProxyType({})
    creatable = True
    shares_host = False
    addressed = True

    def __init__(self, config: Config, place: Place, log: Log) -> None:
        self.publishes = config.firewall != "none"
        self._program = Program(config.binary, place.run / "netavark", config.firewall, config.timeout_s)
        self._records = Records(place.run / "places")
        self._log = log
        self._lock = threading.RLock()
        """Held while netavark runs, which is not made to run twice at once."""

    def check(self, options: Mapping[str, str]) -> None:
        """Refuse options of a network; see the contract."""
        checked(options)

    def make(self, segment: Segment) -> None:
        """See that a network can be made: netavark makes it when the first container comes."""
        self.check(segment.options)
        self._program.need()
        bridge = bridge_of(segment)
        with self._lock, explained(f"network {segment.name}"), Channel() as channel:
            mine = any(each.call.bridge == bridge for each in self._records.all().values())
            if links.look_up(channel, bridge) and not mine:
                raise Conflict(f"an interface {bridge} is there already, and isn't this engine's")

    def unmake(self, segment: Segment) -> None:
        """Remove all endpoints on a network, which goes with the last of them; see the contract."""
        failures = Failures()
        with self._lock, explained(f"network {segment.name}"):
            for each in self._records.all().values():
                if each.network_id == segment.id:
                    with failures.collected(f"interface {each.call.interface}"):
                        self._undo(each, None)
        failures.tell()

    def attach(self, segment: Segment, attachment: Attachment, namespace: Fd) -> Link:
        """Put a container on a network; see the contract."""
        words.known(attachment.options, _OF_ENDPOINTS, "endpoints on netavark")
        settings = inside.settings_of(attachment.options, attachment.interface)
        call = call_of(segment, attachment)
        what = f"interface {attachment.interface} on network {segment.name}"
        with self._lock, explained(what), ExitStack() as undo:
            inside.absent(namespace, attachment.interface)
            self._clear(attachment.id)
            _delete(host_end(attachment.id))  # of one whose namespace is still going
            record = Record(attachment.id, segment.id, call, attachment.ports)
            self._records.put(record)  # first, so that what is killed half-way is undone
            undo.callback(self._clear, attachment.id)
            with _loopback_as_it_is(namespace):
                self._program.set_up(call, path(namespace))
            self._gather(call.bridge)
            in_namespace(namespace, lambda: _settle(attachment, settings))
            undo.pop_all()
        return Link(
            attachment.interface, mac_of(segment, attachment), attachment.addresses, gateways_of(segment, attachment)
        )  # fmt: skip

    def _gather(self, bridge: str) -> None:
        """Put all endpoints of a bridge on it: where somebody deleted it, netavark made it anew for just one."""
        with Channel() as channel:
            found = {each.name: each for each in links.dump(channel)}
            index = found[bridge].index if bridge in found else 0
            for each in self._records.all().values():
                own = found.get(host_end(each.id))
                if index and own and each.call.bridge == bridge and own.master != index:
                    channel.run(links.change(own.index, master=index, up=True, what=own.name))

    def publish(self, segment: Segment, attachment: Attachment) -> None:
        """Have other ports be published; see the contract."""
        with self._lock, explained(f"ports on network {segment.name}"):
            record = self._records.get(attachment.id)
            if record is None:
                raise NotFound(f"container {attachment.container_id} is not on network {segment.name}")
            self._publish(record, attachment)

    def _publish(self, record: Record, attachment: Attachment) -> None:
        """Have an attachment's ports be published in place of those that are."""
        if record.ports == attachment.ports:
            return
        new = record.call.with_ports(attachment.ports)
        with beside(record.call.interface) as namespace:
            self._program.tear_down(record.call, path(namespace))  # the rules alone: others are on the bridge
        none = evolve(record, call=record.call.with_ports(()), ports=())
        self._records.put(none)  # so that what fails now can be tried again, with these ports or those before
        with nowhere() as namespace:
            _delete(*beside_names(attachment.id))  # of one that was killed
            try:
                self._program.set_up(new.beside(attachment.id), path(namespace))
            finally:
                _delete(*beside_names(attachment.id))
        self._records.put(evolve(record, call=new, ports=attachment.ports))

    def detach(self, segment: Segment, attachment: Attachment, namespace: Fd | None = None) -> None:
        """Undo `attach`; see the contract."""
        with self._lock, explained(f"interface {attachment.interface} on network {segment.name}"):
            record = self._records.get(attachment.id)
            if record is not None:
                self._undo(record, namespace, going=namespace is None)

    def _clear(self, endpoint_id: str) -> None:
        """Undo what an attachment that was interrupted left, or one that fails."""
        left = self._records.get(endpoint_id)
        if left is None:
            return
        try:
            self._undo(left, None)
        except MobyError as error:
            self._log.warning("what netavark made can't be undone", reason=str(error))

    def _undo(self, record: Record, namespace: Fd | None, *, going: bool = False) -> None:
        """Undo all of an endpoint; of one whose namespace is `going`, the kernel may take the interface away later."""
        failures, others = Failures(), self._others(record)
        with failures.collected("netavark"):
            if others and self._program.makes_nothing_of(record.call):
                _take_off(record, namespace, going=going)
                self._program.forget(record.call)
            else:
                self._tear_down(record, namespace)
            self._records.remove(record.id)  # else its rules would stay, and lead to whoever has the address next
        with failures.collected(f"interface {host_end(record.id)}"):
            ends = () if going else (host_end(record.id),)
            _delete(*ends, *beside_names(record.id))
            if not others:
                _delete(record.call.bridge)
        failures.tell()

    def _others(self, record: Record) -> bool:
        """Whether there are other endpoints on its bridge."""
        return any(
            each.call.bridge == record.call.bridge for each in self._records.all().values() if each.id != record.id
        )

    def _tear_down(self, record: Record, namespace: Fd | None) -> None:
        """Have netavark undo an endpoint. Its namespace or interface may be gone: netavark wants to delete one itself.

        Deleting the host's end deletes both. That, as any other, takes the kernel a while: so none is deleted besides.
        """
        call = record.call
        _make_bridge(call.bridge)  # where it has gone, netavark would leave the rules
        if namespace is not None and in_namespace(namespace, lambda: _is_there(call.interface)):
            self._program.tear_down(call, path(namespace))
        elif _is_there(host_end(record.id)):
            self._program.tear_down(evolve(call, interface=host_end(record.id)), OWN)
        else:
            with beside(call.interface) as other:
                self._program.tear_down(call, path(other))

    def keep(self, held: Sequence[tuple[Segment, Sequence[Attachment]]]) -> None:
        """Undo what was made for others, and publish what is to be by now; see the contract."""
        kept = {each.id: each for _, attachments in held for each in attachments}
        failures = Failures()
        with self._lock, explained("netavark's networks"):
            for each in self._records.all().values():
                with failures.collected(f"interface {each.call.interface}"):
                    if each.id in kept:
                        self._publish(each, kept[each.id])
                    else:
                        self._undo(each, None)
        failures.tell()

    def reclaim(self) -> None:
        """Remove all that an engine left on the host."""
        self.keep(())


def _is_there(name: str) -> bool:
    with Channel() as channel:
        return links.look_up(channel, name) is not None


def _delete(*names: str) -> None:
    with Channel() as channel:
        for each in names:
            delete_named(channel, each)


def _take_off(record: Record, namespace: Fd | None, *, going: bool) -> None:
    """Take an endpoint off its bridge. Its interface goes, but with a namespace that is going."""
    if namespace is not None:
        in_namespace(namespace, lambda: _delete(record.call.interface))
    elif not going:
        _delete(host_end(record.id))
    with Channel() as channel:
        end = links.look_up(channel, host_end(record.id))
        if end is not None:
            channel.run(links.change(end.index, master=0, what=end.name))


def _make_bridge(name: str) -> None:
    with Channel() as channel:
        if links.look_up(channel, name) is None:
            channel.run(links.bridge(name))


@contextmanager
def _loopback_as_it_is(namespace: Fd) -> Iterator[None]:
    """Have netavark leave the loopback device as it was, which isn't its to set up here."""

    def is_up() -> bool:
        with Channel() as channel:
            return links.get(channel, "lo").up

    def set_down() -> None:
        with Channel() as channel:
            channel.run(links.change(links.index_of(channel, "lo"), up=False, what="lo"))

    before = in_namespace(namespace, is_up)
    try:
        yield
    finally:
        if not before:
            in_namespace(namespace, set_down)


def _settle(attachment: Attachment, settings: Mapping[tuple[str, ...], str]) -> None:
    """Give an interface what netavark knows nothing of."""
    more = [f"{each}/{64 if ':' in each else 16}" for each in attachment.link_local]
    with Channel() as channel:
        index = links.index_of(channel, attachment.interface)
        for each in attachment.addresses:
            if ":" in each:  # netavark's can be used some time later, since the kernel looks for them on the link
                channel.run(addresses.remove(index, each), addresses.add(index, each))
        channel.run(*(addresses.add(index, each) for each in more))
    for parts, value in settings.items():
        network_settings.set_to(value, *parts)
