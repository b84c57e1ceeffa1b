"""The devices that lead to a network's other hosts, and what they know: made, repaired, fed and removed."""

import ipaddress
from collections.abc import Mapping, Sequence
from contextlib import ExitStack

from moby.contracts.network_driver import Segment
from moby.errors import Conflict
from moby.host.netlink import Channel, Message
from moby.host.rtnetlink import links, neighbours
from moby.host.rtnetlink.links import Device
from moby.host.rtnetlink.neighbours import Entry, Neighbour
from moby.values import frozen
from moby_network_driver.interfaces.marks import Marks
from moby_network_driver.interfaces.removal import delete_named
from moby_network_driver.overlay.directory import Far, Host
from moby_network_driver.overlay.options import device_of, tunnel_of

__all__ = ["Tunnel", "Tunnels"]

_TUNNEL = "tunnel"
_AT_ONCE = 200
"""Changes in a datagram, which must fit into the kernel's buffer."""


@frozen
class Tunnel:
    """How such a device is to be."""

    number: int
    local: str
    port: int
    mtu: int

    def fits(self, device: Device) -> bool:
        """Whether a device is so: what is changed of it takes a new one."""
        there = (device.vxlan_id, device.vxlan_local, device.vxlan_port)
        return there == (self.number, ipaddress.ip_address(self.local).packed, self.port)


class Tunnels:
    """Those of one engine in the network namespace of a channel. OSError as the kernel has it."""

    def __init__(self, channel: Channel, marks: Marks) -> None:
        self._channel = channel
        self._marks = marks

    def stands(self, segment: Segment, tunnel: Tunnel) -> bool:
        """Whether a network's device is as it should be, and on its bridge."""
        found = links.look_up(self._channel, tunnel_of(segment.id))
        bridge = links.look_up(self._channel, device_of(segment.id)) if found else None
        return bool(found and bridge and found.up and found.master == bridge.index and tunnel.fits(found))

    def make(self, segment: Segment, tunnel: Tunnel, undo: ExitStack) -> None:
        """Have a network's device stand on its bridge; `undo` removes it if it wasn't there."""
        name = tunnel_of(segment.id)
        bridge = links.index_of(self._channel, device_of(segment.id))
        found = links.look_up(self._channel, name)
        if found and not self._marks.own(found):
            raise Conflict(f"an interface {name} is there already, and isn't this engine's", hint="remove it")
        if found and not tunnel.fits(found):
            delete_named(self._channel, name)
            found = None
        if found is None:
            local = ipaddress.ip_address(tunnel.local).packed
            made = links.vxlan(name, tunnel.number, local=local, port=tunnel.port, group=self._marks.group)
            self._channel.run(made)
            undo.callback(delete_named, self._channel, name)
        index = links.index_of(self._channel, name)
        alias = self._marks.alias(_TUNNEL, segment.id)
        changed = links.change(index, alias=alias, mtu=tunnel.mtu, master=bridge, up=True, what=name)
        self._channel.run(links.without_link_local(index, name), changed)

    def devices(self) -> Mapping[str, Device]:
        """Return those that are there, by network."""
        found = {}
        for each in links.dump(self._channel):
            purpose = self._marks.purpose(each) if each.kind == "vxlan" else ()
            if purpose[:1] == (_TUNNEL,):
                found[purpose[1]] = each
        return found

    def feed(self, device: Device, far: Sequence[Far], hosts: Mapping[str, Host]) -> None:
        """Have a device know just these containers, and on which hosts they are."""
        entries, near = set(), set()
        for each in far:
            if each.host in hosts:  # one that has gone for good leads nowhere
                entries.add(Entry(device.index, each.mac, hosts[each.host].address))
                near |= {Neighbour(device.index, address, each.mac) for address in each.addresses}
        known = {each for each in neighbours.dump_entries(self._channel) if each.index == device.index}
        beside = {each for each in neighbours.dump(self._channel) if each.index == device.index}
        # A container that moved keeps its addresses: what takes another's place removes that.
        lost = [each for each in known - entries if each.mac not in {entry.mac for entry in entries}]
        gone = [each for each in beside - near if each.address not in {other.address for other in near}]
        changes: list[Message] = [neighbours.remove_entry(each) for each in lost]
        changes += [neighbours.remove(each) for each in gone]
        changes += [neighbours.add_entry(each) for each in entries - known]
        changes += [neighbours.add(each) for each in near - beside]
        for at in range(0, len(changes), _AT_ONCE):
            self._channel.run(*changes[at : at + _AT_ONCE])
