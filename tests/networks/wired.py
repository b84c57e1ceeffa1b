"""A registry on real parts, and drivers of the tests' own."""

import ipaddress

from attrs import define, field
from moby_discovery.none.nobody import Nobody
from moby_events.ring.ring import Ring
from moby_ipam.default.plugin import Config as IpamConfig
from moby_ipam.default.plugin import make as make_ipam
from moby_ipam.null.plugin import Config as NullConfig
from moby_ipam.null.plugin import make as make_null
from moby_metadata.sqlite.store import Store
from moby_network_driver.host.plugin import Config as HostConfig
from moby_network_driver.host.plugin import make as make_host
from moby_network_driver.none.plugin import Config as NoneConfig
from moby_network_driver.none.plugin import make as make_none
from moby_network_driver.nothing.driver import NothingMade
from moby_networks.registry.plugin import Config, make

from moby.contracts.ambient import Place
from moby.contracts.network_driver import Link, Port
from moby.errors import Conflict, Invalid
from moby.host.elsewhere import in_namespace
from moby.host.netlink import Channel
from moby.host.rtnetlink import addresses, links, routes
from moby.surroundings import SystemClock


class Quiet:
    """A log that keeps what it is told."""

    def __init__(self):
        self.said = []

    def __getattr__(self, name):
        return lambda message, **fields: self.said.append((message, fields))


class Lonely(NothingMade):
    """A sort of which users make networks, each of a container's own."""

    name = "lonely"
    scope = "swarm"
    creatable = True

    def check(self, options):
        if options:
            raise Invalid(f"{next(iter(options))} is no option")


class Towns(NothingMade):
    """A sort of which users make networks, whose addresses nobody has."""

    name = "towns"
    creatable = True
    addressed = True


KNOWN = {
    "kind",
    "com.docker.network.container_iface_prefix",
    "com.docker.network.bridge.host_binding_ipv4",
    "com.docker.network.bridge.gateway_mode_ipv4",
    "com.docker.network.bridge.gateway_mode_ipv6",
}


@define(eq=False)
class Veths(NothingMade):
    """Pairs of devices of the kernel's, one end in the container and one here, with the gateway's address."""

    failing: str = ""
    """What the next call of fails."""
    made: dict = field(factory=dict)
    attached: dict = field(factory=dict)
    calls: list = field(factory=list)
    name = "veths"
    predefined = "bridge"
    predefined_options = {"kind": "veth"}  # noqa: RUF012
    creatable = True
    addressed = True
    publishes = True

    def check(self, options):
        if unknown := set(options) - KNOWN:
            raise Invalid(f"{sorted(unknown)[0]} is no option")

    def step(self, name, *args):
        self.calls.append((name, *args))
        if self.failing == name:
            self.failing = ""
            raise Conflict(f"{name} fails")

    def make(self, segment):
        self.step("make", segment.name)
        self.made[segment.id] = segment

    def unmake(self, segment):
        self.made.pop(segment.id, None)
        self.step("unmake", segment.name)

    def attach(self, segment, attachment, namespace):
        self.step("attach", segment.name, attachment.interface)
        outer = self.outer(attachment.id)
        mac = attachment.mac_address or f"02:42:{':'.join(attachment.id[n : n + 2] for n in (0, 2, 4, 6))}"
        with Channel() as channel:
            channel.run(links.veth(outer, links.Peer(f"p{outer}", namespace, mac), up=True))
        in_namespace(namespace, lambda: self.settle(f"p{outer}", attachment))
        self.attached[attachment.id] = attachment
        gateways = () if segment.internal else tuple(each.gateway for each in segment.pools)
        return Link(attachment.interface, mac, attachment.addresses, gateways)

    def settle(self, name, attachment):
        with Channel() as channel:
            index = links.index_of(channel, name)
            channel.run(links.change(index, name=attachment.interface), links.change(index, up=True))
            channel.run(*(addresses.add(index, each) for each in attachment.addresses))

    def publish(self, segment, attachment):
        self.step("publish", segment.name, [each.host_port for each in attachment.ports])
        self.attached[attachment.id] = attachment

    def detach(self, segment, attachment, namespace=None):
        self.attached.pop(attachment.id, None)
        with Channel() as channel:
            found = links.look_up(channel, self.outer(attachment.id))
            if found:
                channel.run(links.delete(found.index))
        self.step("detach", segment.name)

    def keep(self, held):
        wanted = {each.id: each for _, attachments in held for each in attachments}
        self.made = {segment.id: segment for segment, _ in held}
        for each in set(self.there()) - {self.outer(each) for each in wanted}:
            with Channel() as channel:
                channel.run(links.delete(links.index_of(channel, each)))
        self.attached = wanted

    def outer(self, attachment_id):
        return f"t{attachment_id[:10]}"

    def there(self):
        """Return the ends that are here."""
        with Channel() as channel:
            return [each.name for each in links.dump(channel) if each.kind == "veth"]


class Ledger:
    """A discovery that notes what it is told."""

    serves_names = True

    def __init__(self):
        self.present, self.resolvers, self.claimed, self.next = {}, {}, {}, 32768
        self.failing = ""

    def enter(self, sandbox, namespace, presences, resolver=None):
        self.step("enter")
        assert (namespace is None) == (resolver is None)
        self.present[sandbox] = tuple(presences)
        self.resolvers[sandbox] = resolver

    def claim(self, sandbox, requests):
        self.step("claim")
        found = []
        others = {port for key, ports in self.claimed.items() if key != sandbox for port in ports}
        for each in requests:
            self.next += not each.first
            number = each.first or self.next - 1
            for address in [each.host_address] if each.host_address else ["0.0.0.0", "::"]:
                found.append(Port(each.protocol, each.container_port, address, number))
            if any((each.protocol, number) == (other.protocol, other.host_port) for other in others):
                raise Conflict(f"Bind for 0.0.0.0:{number} failed: port is already allocated")
        self.claimed[sandbox] = tuple(found)
        return tuple(found)

    def leave(self, sandbox):
        for each in (self.present, self.resolvers, self.claimed):
            each.pop(sandbox, None)
        self.step("leave")

    def keep(self, sandboxes):
        for each in (self.present, self.resolvers, self.claimed):
            for sandbox in set(each) - set(sandboxes):
                del each[sandbox]

    def step(self, name):
        if self.failing == name:
            self.failing = ""
            raise Conflict(f"{name} fails")


@define(eq=False)
class World:
    """What a registry is wired with; one folder's worth of state."""

    folder: object
    store: Store
    drivers: dict = field(factory=lambda: {"none": make_none(NoneConfig()), "host": make_host(HostConfig())})
    discovery: object = field(factory=Nobody)
    events: Ring = field(factory=lambda: Ring(SystemClock()))
    log: Quiet = field(factory=Quiet)
    shared: Store | None = None
    """What several hosts use, where there are any."""
    clock: object = field(factory=SystemClock)
    gone_hours: int = 72

    def wrap(self, part):
        """Return a part as the registry is to see it."""
        return part

    def open(self):
        """Return a registry, as another process of the engine would have it."""
        for each in ("state", "run", "cache"):
            (self.folder / each).mkdir(exist_ok=True)
        place = Place(self.folder / "state", self.folder / "run", self.folder / "cache", "tests")
        stores = {"own": self.store} | ({"cluster": self.shared} if self.shared else {})
        config, more = Config(), {}
        if self.shared:
            config = Config(store="cluster", ipam="cluster", gone_hours=self.gone_hours)
            more["cluster"] = make_ipam(IpamConfig(store="cluster", name="cluster"), metadata=self.store, stores=stores)
        return make(
            config,
            drivers={name: self.wrap(each) for name, each in self.drivers.items()},
            ipams={
                "default": self.wrap(make_ipam(IpamConfig(), metadata=self.store)),
                "null": make_null(NullConfig()),
                **more,
            },
            discovery=self.wrap(self.discovery),
            metadata=self.store,
            stores=stores,
            events=self.events,
            place=place,
            clock=self.clock,
            log=self.log,
        ).__enter__()


def inside(path):
    """Return the addresses by device, and the default routes, of a namespace."""

    def look():
        with Channel() as channel:
            names = {each.index: each.name for each in links.dump(channel)}
            found = {name: [] for name in names.values()}
            for each in addresses.dump(channel):
                if not ipaddress.ip_interface(each.text).is_link_local:
                    found[names[each.index]].append(each.text)
            ways = {
                (names[each.index], each.gateway) for each in routes.dump(channel) if each.destination == "0.0.0.0/0"
            }
        return found, ways

    with open(path, "rb") as file:  # noqa: PTH123
        return in_namespace(file.fileno(), look)
