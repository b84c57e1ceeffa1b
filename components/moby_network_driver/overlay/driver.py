"""The driver of overlay networks: a bridge on each host, and a tunnel between them."""

import secrets
import threading
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import MappingProxyType

from moby.contracts.ambient import Clock, Log, Place
from moby.contracts.metadata import Metadata
from moby.contracts.network_driver import Attachment, Link, Segment
from moby.contracts.types import Fd
from moby.errors import HostUnfit, Invalid, MobyError
from moby.host.liveness import HOUR_NS, MOST_HOURS, Liveness
from moby.host.lookout import Lookout
from moby.host.netlink import Channel
from moby.host.rtnetlink import links
from moby.values import evolve
from moby_network_driver.bridged.driver import Bridged, Sort
from moby_network_driver.bridged.settings import Settings
from moby_network_driver.interfaces.addressing import mac_of
from moby_network_driver.interfaces.marks import Marks
from moby_network_driver.interfaces.unfit import Failures, explained
from moby_network_driver.overlay.addresses import USUAL_MTU, Own, checked, own_address
from moby_network_driver.overlay.config import Config
from moby_network_driver.overlay.directory import Directory
from moby_network_driver.overlay.encryption import Encryption
from moby_network_driver.overlay.options import (
    ENCRYPTED_OVERHEAD,
    device_of,
    settings_of,
    tunnel_of,
    wishes_of,
)  # fmt: skip
from moby_network_driver.overlay.tunnels import Tunnel, Tunnels

__all__ = ["OverlayNetworks", "overlay"]

_ID_FILE = "host-id"


def overlay(config: Config, stores: Mapping[str, Metadata], place: Place, clock: Clock, log: Log) -> "OverlayNetworks":
    """Return the driver; Invalid for options that can't be."""
    if config.store and config.store not in stores:
        raise Invalid(
            f"network-driver/overlay: there is no part metadata named {config.store!r}",
            hint=f"there are {', '.join(stores)}; name one of them by the option `store`",
        )
    if config.port == config.encrypted_port:
        raise Invalid(
            f"network-driver/overlay: port {config.port} is for networks of both sorts",
            hint="choose another encrypted_port",
        )
    if not 0 < config.key_hours <= MOST_HOURS:
        raise Invalid(f"network-driver/overlay: key_hours is {config.key_hours}", hint=f"from 1 to {MOST_HOURS}")
    if not 0 <= config.gone_hours <= MOST_HOURS:
        raise Invalid(f"network-driver/overlay: gone_hours is {config.gone_hours}", hint=f"from 0 to {MOST_HOURS}")
    store = stores[config.store] if config.store else next(iter(stores.values()))
    return OverlayNetworks(config, Directory(store, _host_id(place.state)), place, clock, log)


def _host_id(state: Path) -> str:
    """Return what this host is known by to others, made once."""
    path = state / _ID_FILE
    if not path.exists():
        aside = state / f"{_ID_FILE}.{secrets.token_hex(4)}"
        aside.write_text(secrets.token_hex(16), encoding="ascii")
        aside.replace(path)
    return path.read_text(encoding="ascii")


class OverlayNetworks:
    """A network driver; see the contract."""

    name = "overlay"
    scope = "swarm"
    predefined = ""
    predefined_options: Mapping[str, str] = MappingProxyType({})
    creatable = True
    shares_host = False
    addressed = True
    publishes = True

    def __init__(self, config: Config, directory: Directory, place: Place, clock: Clock, log: Log) -> None:
        self._config = config
        self._address = checked(config.address)
        self._directory = directory
        self._log = log
        self._marks = Marks.of(place)
        sort = Sort(self.name, self.check, self._settings, scope=self.scope, ip_forward=config.ip_forward)
        self._bridged = Bridged(sort, place, log)
        self._encryption = Encryption(
            directory, self._marks.group, config.encrypted_port, clock, config.key_hours * HOUR_NS
        )
        self._liveness = Liveness(directory.count_on, clock.monotonic_ns, config.gone_hours * HOUR_NS)
        self._lock = threading.RLock()
        self._made: dict[str, Segment] = {}
        """Networks here, by id."""
        self._put: dict[tuple[str, str], tuple[str, tuple[str, ...]]] = {}
        """What others have been told is here: of a network and endpoint, MAC address and addresses."""
        self._owed: set[tuple[str, str]] = set()
        """What they have to be told yet that it is here no more."""
        self._given_up = False
        """Whether others forgot this host, and haven't been told all anew."""
        self._here: Own | None = None
        self._boot = ""
        self._encrypted: set[str] = set()
        """Networks here that are encrypted."""
        self._seen = -1
        self._lookout: Lookout | None = None

    def __enter__(self) -> "OverlayNetworks":
        with ExitStack() as stack, explained("overlay networks"):
            self._channel = stack.enter_context(Channel())
            stack.enter_context(self._bridged)
            stack.callback(self._encryption.close)
            self._tunnels = Tunnels(self._channel, self._marks)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        lookout, self._lookout = self._lookout, None
        if lookout:
            lookout.close()
        self._stack.close()

    def check(self, options: Mapping[str, str]) -> None:
        """Refuse options of a network; see the contract."""
        wishes_of(options)

    def _own(self) -> Own:
        """Return how others reach this host, as it was when a network was made last."""
        if self._here is None:
            self._here = own_address(self._channel, self._address)
        return self._here

    def _settings(self, segment: Segment) -> Settings:
        room = self._config.mtu or self._room()
        encrypted = wishes_of(segment.options).encrypted and not self._config.mtu
        return settings_of(segment, room - ENCRYPTED_OVERHEAD if encrypted else room)

    def _room(self) -> int:
        """Return the largest packet that fits; what is made needs the address too, and says where there is none."""
        try:
            return self._own().mtu
        except HostUnfit:
            return USUAL_MTU

    def _tunnel(self, segment: Segment) -> Tunnel:
        """Return how a network's tunnel is to be; this host is on it from now on."""
        wishes = wishes_of(segment.options)
        number = self._directory.join(segment.id, segment.name, wishes.number)
        port = self._config.encrypted_port if wishes.encrypted else self._config.port
        return Tunnel(number, self._own().address, port, self._settings(segment).mtu)

    def make(self, segment: Segment) -> None:
        """Make a network, or what is missing of it; see the contract."""
        with explained(f"network {segment.name}"), self._lock, ExitStack() as undo:
            self._here = None
            if links.look_up(self._channel, device_of(segment.id)) is None:
                undo.callback(self.unmake, segment)
            self._enter(segment)
            self._bridged.make(segment)
            self._lead(segment)
            undo.pop_all()

    def _enter(self, segment: Segment) -> None:
        """Have others know this host, and what it sends be encrypted where the network is so."""
        own = self._own()
        if wishes_of(segment.options).encrypted:
            self._encryption.begin(own.address)
            self._encrypted.add(segment.id)
        if not self._boot:
            there = self._directory.hosts().get(self._directory.host_id)
            counted = there is not None and bool(self._encrypted) and self._encryption.stands()
            self._boot = there.boot if there and counted else secrets.token_hex(8)
        self._directory.enter(own.address, self._boot)
        self._encrypt()

    def _encrypt(self) -> None:
        """Have what goes to and comes from all hosts be encrypted, where a network is so."""
        if not self._encrypted:
            return
        hosts = dict(self._directory.hosts())
        own = hosts.pop(self._directory.host_id)
        if self._encryption.settle(own, hosts.values()):
            self._boot = secrets.token_hex(8)  # what counted packets has gone, and none may be counted twice
            self._directory.enter(own.address, self._boot)
            self._encryption.settle(evolve(own, boot=self._boot), hosts.values())

    def _lead(self, segment: Segment) -> None:
        """Have a network's bridge lead to its other hosts, and follow what they say."""
        with ExitStack() as undo:
            self._tunnels.make(segment, self._tunnel(segment), undo)
            self._made[segment.id] = segment
            self._feed(segment.id)
            undo.pop_all()
        if self._lookout is None:
            self._lookout = Lookout(self._look, self._fails, "overlay")

    def unmake(self, segment: Segment) -> None:
        """Remove a network and all that is on it; see the contract."""
        with explained(f"network {segment.name}"), self._lock:
            self._bridged.unmake(segment)
            self._made.pop(segment.id, None)
            self._put = {key: each for key, each in self._put.items() if key[0] != segment.id}
            self._directory.leave(segment.id)
            self._encrypted.discard(segment.id)
            if not self._encrypted:
                self._end_encryption()

    def attach(self, segment: Segment, attachment: Attachment, namespace: Fd) -> Link:
        """Put a container on a network; see the contract."""
        with explained(f"interface {attachment.interface} on network {segment.name}"), ExitStack() as undo:
            with self._lock:
                if not self._tunnels.stands(segment, self._tunnel(segment)):
                    self.make(segment)
            link = self._bridged.attach(segment, attachment, namespace)
            undo.callback(self.detach, segment, attachment, namespace)
            self._tell(segment.id, attachment.id, link.mac_address, link.addresses)
            self._feed(segment.id)
            undo.pop_all()
        return link

    def _tell(self, network_id: str, endpoint_id: str, mac: str, addresses: Sequence[str]) -> None:
        """Tell others that a container is here."""
        bare = tuple(each.partition("/")[0] for each in addresses)
        with self._lock:
            self._put[network_id, endpoint_id] = mac, bare
            self._owed.discard((network_id, endpoint_id))
        self._directory.put(network_id, endpoint_id, mac, bare)

    def publish(self, segment: Segment, attachment: Attachment) -> None:
        """Publish what an attachment says, in place of what it did; see the contract."""
        self._bridged.publish(segment, attachment)

    def detach(self, segment: Segment, attachment: Attachment, namespace: Fd | None = None) -> None:
        """Undo `attach`; see the contract. Others are told later where their store is away."""
        with self._lock:
            self._put.pop((segment.id, attachment.id), None)
            self._owed.add((segment.id, attachment.id))
        self._bridged.detach(segment, attachment, namespace)
        try:
            self._take_back()
        except MobyError as error:
            self._log.warning("other hosts can't be told yet who has left an overlay network", reason=str(error))

    def _take_back(self) -> None:
        """Tell others who is here no more; what fails is told with the next look, or when the engine starts again."""
        with self._lock:
            for network_id, endpoint_id in tuple(self._owed):
                self._directory.remove(network_id, endpoint_id)
                self._owed.discard((network_id, endpoint_id))

    def keep(self, held: Sequence[tuple[Segment, Sequence[Attachment]]]) -> None:
        """Have all that it makes stand for these, and nothing else; see the contract.

        What nobody here is on, and isn't made, is made by who comes first.
        """
        failures = Failures()
        with self._lock, explained("overlay networks"):
            made = self._tunnels.devices()
            used = [(segment, there) for segment, there in held if there or segment.id in made]
            with failures.collected("overlay networks"):
                self._directory.keep({segment.id: [each.id for each in there] for segment, there in used})
            with failures.collected("overlay networks"):
                if used or self._bridged.left():  # else it needs no firewall either
                    self._bridged.keep(used, also=[tunnel_of(segment.id) for segment, _ in used])
            for segment, there in used:
                with failures.collected(f"network {segment.name}"):
                    self._enter(segment)
                    self._lead(segment)
                    for each in there:  # others may have given this host up
                        self._tell(segment.id, each.id, mac_of(segment, each), each.addresses)
            if not self._encrypted:
                self._end_encryption()
        failures.tell()

    def _feed(self, network_id: str) -> None:
        with self._lock:
            device = self._tunnels.devices().get(network_id)
            if device:
                self._tunnels.feed(device, self._directory.far(network_id), self._directory.hosts())

    def _fails(self, error: MobyError | OSError) -> None:
        self._log.warning("what other hosts say of overlay networks can't be followed", reason=str(error))

    def _look(self) -> None:
        """Have the kernel know what other hosts have changed, and use a new key once its time has come."""
        self._give_up()
        self._take_back()
        revision = self._directory.revision()
        with self._lock:
            if revision == self._seen and not (self._encrypted and self._encryption.due()):
                return
            if self._made and self._directory.host_id not in self._directory.hosts():
                self._given_up = True
                self._log.warning("other hosts had given this one up: they are told who is on its overlay networks")
            if self._given_up:
                self._return()
                self._given_up = False
            self._encrypt()
            hosts = self._directory.hosts()
            for network_id, device in self._tunnels.devices().items():
                self._tunnels.feed(device, self._directory.far(network_id), hosts)
            self._seen = revision

    def _give_up(self) -> None:
        """Forget hosts that have gone for good."""
        for host_id, count in self._liveness.look().items():
            address = self._directory.bury(host_id, count)
            if address:
                self._log.warning(
                    f"host {address} has shown no sign of life for {self._config.gone_hours} hours: nobody on overlay "
                    "networks is there any more"
                )

    def _return(self) -> None:
        """Tell others all of this host anew, which they had given up; what fails half-way is done again, all of it."""
        for segment in self._made.values():
            self._enter(segment)
            self._lead(segment)
        for (network_id, endpoint_id), (mac, addresses) in self._put.items():
            self._directory.put(network_id, endpoint_id, mac, addresses)

    def _end_encryption(self) -> None:
        """Take back what is encrypted with; who may not even look for it has made none, unless a device is there."""
        try:
            self._encryption.end()
        except PermissionError:
            if self._bridged.left():
                raise

    def reclaim(self) -> None:
        """Remove all that an engine left on the host, and of what it told others."""
        with self._lock, explained("overlay networks"):
            self._made, self._put, self._owed = {}, {}, set()
            self._directory.keep({})
            self._directory.forget()
            self._bridged.reclaim()
            self._end_encryption()
