"""Network devices of the host that become a container's (config-linux.md, Network Devices)."""

from __future__ import annotations

import errno
import json
import os
import socket
from functools import partial

from moby.host import link_transfer, namespaces, processes
from moby_runtime.records.failures import Failed, Failure, doing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any, NoReturn

    from moby.host.blocks import Undo
    from moby.host.link_transfer import Link

__all__ = ["move"]


def move(devices: Mapping[str, Any], pid: int, undo: Undo, lent: Undo) -> None:
    """Move devices into a process's network namespace, with their addresses, and set them up there.

    `undo` takes them back, as they were; `lent` closes what that needs, once it is needed no more.
    """
    theirs, ours = (os.open(f"/proc/{each}/ns/net", os.O_RDONLY | os.O_CLOEXEC) for each in (pid, "self"))
    for fd in (theirs, ours):
        lent.callback(os.close, fd)
    for name, each in devices.items():
        field = f"linux.netDevices.{name}"
        with doing(f"move the network device {name}", field):
            link = link_transfer.look_up(name)
        new = each.get("name") or name
        # What a name with a number in it becomes is known from what is there before and after.
        before = _inside(theirs, field, _names)
        with doing(f"move the network device {name} as {new}", field):
            if new in before:  # the kernel says so too, but only once it has moved it
                raise OSError(errno.EEXIST, os.strerror(errno.EEXIST), new)
            link_transfer.hand_over(link, theirs, new)
        fresh = _fresh(before, _inside(theirs, field, _names))
        undo.callback(_take_back, link, fresh, ours, theirs, field)
        _inside(theirs, field, partial(_settle, link, fresh, up=True))


def _fresh(before: list[str], after: list[str]) -> str:
    return next(name for name in after if name not in before)


def _names() -> list[str]:
    return [name for _, name in socket.if_nameindex()]


def _settle(link: Link, name: str, *, up: bool) -> list[str]:
    link_transfer.settle(link, socket.if_nametoindex(name), up=up)
    return []


def _take_back(link: Link, name: str, ours: int, theirs: int, field: str) -> None:
    def hand_back() -> list[str]:
        link_transfer.hand_over(link_transfer.look_up(name), ours, link.name)
        return []

    _inside(theirs, field, hand_back)
    _settle(link, link.name, up=link.up)


def _inside(namespace: int, field: str, action: Callable[[], list[str]]) -> list[str]:
    """Do something in another network namespace, in a copy of this process, and return what comes of it."""
    read, write = os.pipe()

    def act() -> NoReturn:
        try:
            with doing("set up the network device", field):
                namespaces.join(namespace, namespaces.FLAGS["network"])
                found = action()
            os.write(write, json.dumps(found).encode())
        except Failed as error:
            os.write(write, b"!" + error.failure.encode())
        os._exit(0)

    try:
        _, pidfd = processes.fork(act)
        os.close(write)
        write = -1
        processes.reap(pidfd)
        os.close(pidfd)
        data = os.read(read, 65536)
    finally:
        os.close(read)
        if write >= 0:
            os.close(write)
    if not data or data.startswith(b"!"):
        raise Failed(Failure.decode(data[1:]) if data else Failure("set up the network device", field, 0, "it ended"))
    found: list[str] = json.loads(data)
    return found
