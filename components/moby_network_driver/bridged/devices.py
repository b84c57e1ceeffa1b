"""The bridges: made, repaired and removed."""

import ipaddress
from collections.abc import Collection, Iterator
from contextlib import ExitStack

from moby.contracts.network_driver import Segment
from moby.errors import Conflict, HostUnfit
from moby.host import network_settings
from moby.host.netlink import Channel, Message
from moby.host.rtnetlink import addresses, links, routes
from moby.host.rtnetlink.links import Device
from moby.values import frozen
from moby_network_driver.bridged.settings import Settings
from moby_network_driver.interfaces.marks import Marks, stable_mac
from moby_network_driver.interfaces.removal import delete, delete_named

__all__ = ["Bridges", "Made", "gateways", "port_flags"]

_NETWORK = "network"
_USUAL_MTU = 1500
_EVERYWHERE = ("0.0.0.0/0", "::/0")
_BRIDGE_CALLS = ("bridge", "bridge-nf-call-iptables")


def gateways(segment: Segment, settings: Settings) -> tuple[str, ...]:
    """Return the bridge's own addresses, with prefixes."""
    found = []
    for pool in segment.pools:
        network = ipaddress.ip_network(pool.subnet)
        inhibited = network.version in settings.apart or (settings.inhibit_ipv4 and network.version == 4)
        if pool.gateway and not inhibited:
            found.append(f"{ipaddress.ip_address(pool.gateway)}/{network.prefixlen}")
    return tuple(found)


def _takes(route: routes.Route, subnet: ipaddress.IPv4Network | ipaddress.IPv6Network) -> bool:
    """Whether a subnet would take something of a route: one by a gateway, that is wider, is for what is left."""
    there = ipaddress.ip_network(route.destination)
    return there.overlaps(subnet) and (route.from_kernel or there.prefixlen >= subnet.prefixlen)


@frozen
class Made:
    """A bridge that stands, and whether it is new."""

    device: Device
    new: bool


def port_flags(device: Device, settings: Settings) -> Message:
    """Return what says how a bridge treats a container's port.

    Where bridges call iptables, what a container sends to a port that itself published comes back by the bridge.
    """
    hairpin = network_settings.read(*_BRIDGE_CALLS) == "1"
    return links.port(device.index, isolated=not settings.icc, hairpin=hairpin, what=device.name)


class Bridges:
    """The bridges of one engine in the network namespace of a channel. OSError as the kernel has it."""

    def __init__(self, channel: Channel, marks: Marks) -> None:
        self._channel = channel
        self._marks = marks

    def find(self, segment: Segment, settings: Settings) -> Device | None:
        """Return a network's bridge, or None where it has gone; Conflict where its name is somebody else's."""
        found = links.look_up(self._channel, settings.device)
        if found is None:
            return None
        purpose = self._marks.purpose(found)
        if not self._marks.own(found) or found.kind != "bridge":
            raise Conflict(
                f"an interface {found.name} is there already, and isn't this engine's",
                hint="remove it, or choose another name by the option com.docker.network.bridge.name",
            )
        if purpose and purpose != (_NETWORK, segment.id):
            one, other = f"{segment.id} ({found.name})", f"{purpose[-1]} ({found.name})"
            text = f"cannot create network {one}: conflicts with network {other}: networks have same bridge name"
            raise Conflict(text, hint="choose another name for this one")
        return found

    def make(self, segment: Segment, settings: Settings, undo: ExitStack) -> Made:
        """Have a network's bridge stand, with its addresses and ports; `undo` removes it if it wasn't there."""
        found = self.find(segment, settings)
        new = found is None
        self._refuse_overlap(segment, found.index if found else 0)
        if found is None:
            mtu, mac = settings.mtu or self._usual_mtu(), stable_mac(segment.id)
            self._channel.run(links.bridge(settings.device, mac=mac, mtu=mtu, group=self._marks.group))
            undo.callback(delete_named, self._channel, settings.device)
            found = Device(links.index_of(self._channel, settings.device), settings.device, mtu=mtu)
        self._settle(segment, settings, found)
        return Made(found, new)

    def _settle(self, segment: Segment, settings: Settings, device: Device) -> None:
        """Have a bridge be as its network says."""
        wanted = gateways(segment, settings)
        self._settings(device.name, ipv6=any(":" in each for each in wanted))
        there = {each.text for each in addresses.dump(self._channel) if each.index == device.index and not each.of_link}
        alias = self._marks.alias(_NETWORK, segment.id)
        self._channel.run(
            links.change(device.index, alias=alias, what=device.name),
            *(addresses.remove(device.index, each) for each in sorted(there - set(wanted))),
            *(addresses.add(device.index, each) for each in wanted if each not in there),
            *self._lost_ports(segment, settings, device),
            links.change(device.index, up=True, what=device.name),
        )

    def _settings(self, name: str, *, ipv6: bool) -> None:
        """Have a bridge without IPv6 have none, and none listen to routers."""
        if ipv6 and not network_settings.read("ipv6", "conf", name, "disable_ipv6"):
            raise HostUnfit("this kernel has IPv6 switched off", hint="boot it without ipv6.disable=1")
        for setting, value in (("accept_ra", "0"), ("disable_ipv6", "0" if ipv6 else "1")):
            if network_settings.read("ipv6", "conf", name, setting):
                network_settings.set_to(value, "ipv6", "conf", name, setting)

    def _lost_ports(self, segment: Segment, settings: Settings, bridge: Device) -> Iterator[Message]:
        """Yield what puts the network's interfaces on its bridge again, after somebody deleted that one."""
        for each in links.dump(self._channel):
            if each.kind == "veth" and self._is_of(each, segment, settings) and each.master != bridge.index:
                yield links.change(each.index, master=bridge.index, what=each.name)
                yield port_flags(each, settings)

    def _usual_mtu(self) -> int:
        """Return the MTU of the host's way out, at most the usual one."""
        ways = {each.index for each in routes.dump(self._channel) if each.destination in _EVERYWHERE}
        mtus = [each.mtu for each in links.dump(self._channel) if each.index in ways] if ways else []
        return min([_USUAL_MTU, *mtus])

    def _refuse_overlap(self, segment: Segment, own: int) -> None:
        """Conflict where a subnet would take what is somebody else's on this host."""
        known = [each for each in routes.dump(self._channel) if each.index != own]
        for pool in segment.pools:
            subnet = ipaddress.ip_network(pool.subnet)
            for route in known:
                there = ipaddress.ip_network(route.destination)
                if (
                    there.version == subnet.version
                    and there.prefixlen
                    and there.overlaps(subnet)
                    and _takes(route, subnet)
                ):
                    raise Conflict(
                        f"subnet {subnet} overlaps with {there}, to which this host has a route{self._through(route)}",
                        hint="choose another subnet",
                    )

    def _through(self, route: routes.Route) -> str:
        names = [each.name for each in links.dump(self._channel) if each.index == route.index]
        return f" through {names[0]}" if names else ""

    def remove(self, segment: Segment, settings: Settings) -> None:
        """Delete a network's bridge and what is on it, as far as they are there."""
        ours = (each for each in links.dump(self._channel) if self._marks.own(each))
        mine = [each for each in ours if self._is_of(each, segment, settings)]
        delete(self._channel, self._marks, mine)

    def _is_of(self, device: Device, segment: Segment, settings: Settings) -> bool:
        """Whether a device of this engine's belongs to a network."""
        purpose = self._marks.purpose(device)
        return purpose[1:2] == (segment.id,) if purpose else device.name == settings.device

    def sweep(self, kept: Collection[str]) -> bool:
        """Delete all devices of this engine's but those of these names; return whether there were any."""
        ours = [each for each in links.dump(self._channel) if self._marks.own(each)]
        gone = [each for each in ours if each.name not in kept or each.group == self._marks.doomed]
        delete(self._channel, self._marks, gone)
        return bool(gone)
