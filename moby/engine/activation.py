"""What systemd and an engine tell each other, without a library: sockets that are there already, and readiness."""

import os
import socket
from collections.abc import Mapping, MutableMapping

from moby.errors import Invalid

__all__ = ["expanded", "notify", "passed_sockets"]

FIRST = 3


def passed_sockets(environ: MutableMapping[str, str] = os.environ) -> dict[int, str]:
    """Take the listening sockets that this process was started with: number to name (sd_listen_fds(3)).

    They no longer pass on to children, and the variables are gone, so that no child takes them for its own. Invalid
    where fewer are open than the variables say.
    """
    pid, count = environ.pop("LISTEN_PID", ""), environ.pop("LISTEN_FDS", "")
    names = environ.pop("LISTEN_FDNAMES", "").split(":")
    if pid != str(os.getpid()) or not count.isdigit():
        return {}
    found = {}
    for place in range(min(int(count), 1024)):
        try:
            os.set_inheritable(FIRST + place, False)
        except OSError as error:
            raise Invalid(
                f"LISTEN_FDS={count} says that {count} sockets were passed, but {FIRST + place} isn't open",
                hint="start it by a systemd socket unit, or unset LISTEN_FDS",
            ) from error
        found[FIRST + place] = names[place] if place < len(names) else ""
    return found


def expanded(address: str, passed: Mapping[int, str]) -> list[str]:
    """Return an address, or what `fd://` and `fd://NAME` stand for: the sockets that systemd passed, or some of them.

    Invalid where there are none.
    """
    if not address.startswith("fd://"):
        return [address]
    wanted = address.removeprefix("fd://")
    found = [fd for fd, name in passed.items() if wanted in ("", "*", name, str(fd))]
    if not found:
        raise Invalid(
            f"{address}: systemd has passed no such socket", hint="start the socket unit (`install` makes one)"
        )
    return [f"fd://{fd}" for fd in found]


def notify(text: str, environ: Mapping[str, str] = os.environ) -> bool:
    """Tell the service manager, as in `READY=1`; return whether there is one that listens (sd_notify(3))."""
    address = environ.get("NOTIFY_SOCKET", "")
    if not address:
        return False
    if address[0] == "@":
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
        try:
            sock.sendto(text.encode(), address)
        except OSError:
            return False
    return True
