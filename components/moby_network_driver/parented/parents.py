"""The host's interfaces that networks are on top of: those that are there, and those that are made for a network."""

import errno
from collections.abc import Collection, Sequence
from contextlib import ExitStack

from moby.contracts.network_driver import Segment
from moby.errors import Conflict, HostUnfit
from moby.host.netlink import Channel
from moby.host.rtnetlink import links
from moby.host.rtnetlink.links import Device
from moby_network_driver.interfaces.marks import Marks, stable_mac
from moby_network_driver.interfaces.removal import delete, delete_named

__all__ = ["Parents"]

_PARENT = "parent"
_SHORT = 12
_MOST_VLANS = 4095


class Parents:
    """The parents of one engine's networks, in the network namespace of a channel. OSError as the kernel has it.

    `eth0.50` is made where there is `eth0` and not yet that one (802.1Q). A network that names no parent has one of its
    own, which leads nowhere.
    """

    def __init__(self, channel: Channel, marks: Marks, prefix: str) -> None:
        self._channel = channel
        self._marks = marks
        self._prefix = prefix

    def _name(self, segment: Segment, parent: str) -> str:
        return parent or f"{self._prefix}{segment.id[:12]}"

    def make(self, segment: Segment, parent: str) -> Device:
        """Return a network's parent, which is made if need be; an error leaves none."""
        name = self._name(segment, parent)
        found = links.look_up(self._channel, name)
        if found is None:
            with ExitStack() as undo:
                self._create(segment, parent, name, undo)
                found = links.get(self._channel, name)
                undo.pop_all()
        return self._usable(segment, parent, found)

    def _usable(self, segment: Segment, parent: str, found: Device) -> Device:
        if self._marks.own(found):
            self._say_users(found, {*self._users(found), segment.id[:_SHORT]})
            return found
        if not parent:
            raise Conflict(f"an interface {found.name} is there already, and isn't this engine's", hint="remove it")
        if found.loopback:
            raise HostUnfit(f"{parent} is a loopback, on top of which nothing can be", hint="name another parent")
        if not found.up:
            raise HostUnfit(f"parent {parent} is down", hint=f"ip link set {parent} up")
        return found

    def _users(self, device: Device) -> tuple[str, ...]:
        """Return the networks that a parent was made for, or is used by since."""
        return self._marks.purpose(device)[1:]

    def _say_users(self, device: Device, users: Collection[str]) -> None:
        alias = self._marks.alias(_PARENT, *sorted(users))
        self._channel.run(links.change(device.index, up=True, alias=alias, what=device.name))

    def _alone(self, segment: Segment, name: str) -> None:
        """Make a device that leads nowhere, of the sort that this kernel has."""
        dummy, ifb = (
            links.lone(name, kind, mac=stable_mac(segment.id), group=self._marks.group, up=True)
            for kind in ("dummy", "ifb")
        )
        try:
            self._channel.run(dummy)
        except OSError as error:
            if error.errno != errno.EOPNOTSUPP:
                raise
            self._channel.run(ifb)

    def _create(self, segment: Segment, parent: str, name: str, undo: ExitStack) -> None:
        if not parent:
            self._alone(segment, name)
            undo.callback(delete_named, self._channel, name)
            return
        below, dot, number = parent.rpartition(".")
        card = links.look_up(self._channel, below) if dot else None
        if card is None:
            raise HostUnfit(f"this host has no interface {parent}", hint="name the parent as `ip link` shows it")
        if not (number.isascii() and number.isdigit() and 0 < int(number) < _MOST_VLANS):
            raise HostUnfit(f"{number!r} in {parent} is no VLAN", hint=f"as {below}.50, from 1 to {_MOST_VLANS - 1}")
        self._channel.run(links.vlan(name, card.index, int(number), group=self._marks.group, up=True))
        undo.callback(delete_named, self._channel, name)

    def remove(self, segment: Segment, parent: str) -> None:
        """Delete a network's parent, where it was made and no other network uses it."""
        found = links.look_up(self._channel, self._name(segment, parent))
        if found is None or not self._marks.own(found):
            return
        users = set(self._users(found)) - {segment.id[:_SHORT]}
        if users:
            self._say_users(found, users)
        else:
            delete(self._channel, self._marks, [found])

    def sweep(self, held: Sequence[tuple[Segment, str]]) -> None:
        """Delete the parents that were made but for these networks."""
        users: dict[str, set[str]] = {}
        for segment, parent in held:
            users.setdefault(self._name(segment, parent), set()).add(segment.id[:_SHORT])
        ours = [each for each in links.dump(self._channel) if self._marks.own(each)]
        delete(self._channel, self._marks, [each for each in ours if each.name not in users])
        for each in ours:
            if each.name in users:
                self._say_users(each, users[each.name])
