"""Devices that go."""

import errno
from collections.abc import Sequence

from moby.host.netlink import Channel, Message
from moby.host.rtnetlink import links
from moby.host.rtnetlink.links import Device
from moby_network_driver.interfaces.marks import Marks

__all__ = ["delete", "delete_named"]


def delete(channel: Channel, marks: Marks, devices: Sequence[Device]) -> None:
    """Delete devices, as far as they are there, in the time that one takes."""
    if len(devices) == 1:
        _unless_gone(channel, links.delete(devices[0].index, devices[0].name))
    elif devices:
        for each in devices:
            _unless_gone(channel, links.change(each.index, group=marks.doomed, what=each.name))
        _unless_gone(channel, links.delete_group(marks.doomed))


def delete_named(channel: Channel, name: str) -> None:
    """Delete a device that was just made; nothing where it has gone, as with a container's namespace."""
    found = links.look_up(channel, name)
    if found is not None:
        _unless_gone(channel, links.delete(found.index, name))


def _unless_gone(channel: Channel, message: Message) -> None:
    try:
        channel.run(message)
    except OSError as error:
        if error.errno != errno.ENODEV:
            raise
