"""Containers' ports on bridges: pairs of veths, whose other end is the container's interface."""

import errno
from contextlib import ExitStack

from moby.contracts.network_driver import Attachment, Segment
from moby.contracts.types import Fd
from moby.errors import Conflict
from moby.host.netlink import Channel
from moby.host.rtnetlink import links
from moby.host.rtnetlink.links import Device, Peer
from moby_network_driver.bridged.devices import port_flags
from moby_network_driver.bridged.settings import Settings
from moby_network_driver.interfaces import inside
from moby_network_driver.interfaces.addressing import mac_of
from moby_network_driver.interfaces.marks import Marks
from moby_network_driver.interfaces.removal import delete_named

__all__ = ["Ports", "port_name"]

_ENDPOINT = "endpoint"


def port_name(endpoint_id: str) -> str:
    """Return the name of an endpoint's port on the host, as long as one may be."""
    return f"veth{endpoint_id[:11]}"


class Ports:
    """The ports of one engine in the network namespace of a channel. OSError as the kernel has it."""

    def __init__(self, channel: Channel, marks: Marks) -> None:
        self._channel = channel
        self._marks = marks

    def find(self, segment: Segment, attachment: Attachment) -> Device | None:
        """Return an attachment's port, or None where it has gone."""
        found = links.look_up(self._channel, port_name(attachment.id))
        mine = (_ENDPOINT, segment.id, attachment.id)
        return found if found and self._marks.purpose(found) in (mine, ()) and self._marks.own(found) else None

    def make(
        self, segment: Segment, settings: Settings, bridge: Device, attachment: Attachment, namespace: Fd
    ) -> Device:
        """Make a pair, up at this end; Conflict where the container has the interface, or the host the name."""
        name, peer = port_name(attachment.id), Peer(attachment.interface, namespace, mac_of(segment, attachment))
        pair = links.veth(name, peer, mtu=bridge.mtu, master=bridge.index, group=self._marks.group)
        try:
            self._channel.run(pair)
        except OSError as error:
            if error.errno != errno.EEXIST:
                raise
            inside.absent(namespace, attachment.interface)
            self._clear(segment, attachment)
            self._channel.run(pair)
        with ExitStack() as undo:
            undo.callback(delete_named, self._channel, name)
            found = Device(links.index_of(self._channel, name), name)
            self._settle(segment, settings, attachment, found)
            undo.pop_all()
        return found

    def _settle(self, segment: Segment, settings: Settings, attachment: Attachment, port: Device) -> None:
        alias = self._marks.alias(_ENDPOINT, segment.id, attachment.id)
        self._channel.run(
            port_flags(port, settings),
            links.without_link_local(port.index, port.name),
            links.change(port.index, alias=alias, up=True, what=port.name),
        )

    def _clear(self, segment: Segment, attachment: Attachment) -> None:
        """Remove what an attachment that was interrupted left."""
        left = self.find(segment, attachment)
        if left is None:
            raise Conflict(f"an interface {port_name(attachment.id)} is there already, and isn't this engine's")
        delete_named(self._channel, left.name)
