"""Has a host, and who is on its bridge, forget at which MAC address somebody else had an address before."""

import contextlib
import errno

from moby.contracts.network_driver import Attachment, Segment
from moby.host.announcements import Announcer
from moby.host.netlink import Channel
from moby.host.rtnetlink import neighbours
from moby.host.rtnetlink.links import Device
from moby.host.rtnetlink.neighbours import Neighbour
from moby.values import evolve
from moby_network_driver.interfaces.addressing import mac_of

__all__ = ["Introductions"]


class Introductions:
    """Those of one engine in the network namespace of a channel."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._announcer = Announcer()

    def close(self) -> None:
        """End it."""
        self._announcer.close()

    def introduce(self, bridge: Device, segment: Segment, attachment: Attachment) -> None:
        """Say where an attachment's addresses are, before it has them; nothing where nobody can know a wrong one."""
        mac = mac_of(segment, attachment)
        for each in attachment.addresses:
            address = each.partition("/")[0]
            usual = mac_of(segment, evolve(attachment, mac_address="", addresses=(each,)))
            # The host asks for all that it lets in; who it never asked for was hardly asked for by others.
            if self._forgotten(bridge, address, mac) or mac != usual:
                with contextlib.suppress(OSError):  # a bridge that somebody has just set down
                    self._announcer.announce(bridge.name, mac, address)

    def _forgotten(self, bridge: Device, address: str, mac: str) -> bool:
        """Have the host forget an address; return whether it knew it."""
        try:
            self._channel.run(neighbours.remove(Neighbour(bridge.index, address, mac)))
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.EINVAL):  # no such address, or a bridge without IPv6
                raise
            return False
        return True
