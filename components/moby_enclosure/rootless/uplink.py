"""A program that joins a network namespace to the host's network, as its user may: what the gate has to know of one."""

import importlib
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

from moby.errors import HostUnfit, Unavailable
from moby.host import processes, programs
from moby.values import frozen

__all__ = ["PATIENCE_S", "Starting", "Uplink", "failed", "named", "program", "resolv_conf", "silent", "start"]

PATIENCE_S = 30.0
"""Far more than any uplink needs, however busy the machine."""
_CANT = "{} can't join the engine's network to the host's: {}"
_HINT = "see that this user may open /dev/net/tun (chmod 666), or choose another part `enclosure`"


@frozen
class Starting:
    """One that was started, and may not have joined anything yet."""

    name: str
    process: subprocess.Popen[bytes]
    fd: int
    """Readable once it has, or has ended."""
    log: Path
    """Where it writes."""
    joined: Callable[[], int]
    """Returns the pidfd of what keeps the networks joined, once `fd` is readable; HostUnfit says why there is none."""

    def outcome(self) -> int:
        """Return what `joined` does, and let go."""
        try:
            return self.joined()
        finally:
            os.close(self.fd)

    def ended(self) -> HostUnfit:
        """Return the error of one that has ended instead."""
        code = self.process.wait()
        return failed(self.name, self.log.read_text("utf-8", errors="replace"), code)

    def give_up(self) -> Unavailable:
        """End one that says nothing, and return that as an error: another try would take as long."""
        self.process.kill()
        self.process.wait()
        os.close(self.fd)
        return silent(self.name)


@frozen
class Uplink:
    """One such program."""

    name: str
    where: str
    """The module and the name of this value, by which the gate finds it."""
    resolver: str
    """The address at which it answers for the host's resolver, also where that is at the host's loopback."""
    begin: Callable[[int, Path], Starting]
    """Starts it for the namespaces of a process, with a folder for what it writes, and waits for nothing. HostUnfit."""


def start(uplink: Uplink, pid: int, folder: Path) -> int:
    """Start an uplink, wait until the networks are joined, and return its pidfd; HostUnfit, Unavailable."""
    starting = uplink.begin(pid, folder)
    if not processes.readable(starting.fd, PATIENCE_S):
        raise starting.give_up()
    return starting.outcome()


def named(where: str) -> Uplink | None:
    """Return the uplink that a text names; none for an empty one."""
    module, _, name = where.partition(":")
    found: Uplink | None = getattr(importlib.import_module(module), name) if where else None
    return found


def program(name: str, package: str) -> str:
    """Return the path of a program; HostUnfit where it isn't there."""
    found = programs.find(name)
    if found is None:
        raise HostUnfit(
            f"{name}, which connects the engine's network to the host's, isn't on PATH",
            hint=f"apt install {package}, or choose another part `enclosure`",
        )
    return found


def failed(name: str, said: str, code: int) -> HostUnfit:
    """Return the error of a program that has ended instead of joining anything."""
    why = "; ".join(said.split("\n")).strip("; ") or f"it ended with {code}"
    return HostUnfit(_CANT.format(name, why[-500:]), hint=_HINT)


def silent(name: str) -> Unavailable:
    """Return the error of one that neither joins anything nor ends."""
    return Unavailable(_CANT.format(name, f"it says nothing for {PATIENCE_S:.0f} s"), hint=_HINT)


def resolv_conf(host: str, resolver: str) -> str:
    """Return a resolv.conf(5) for inside: a name server at the host's loopback is reached by the uplink's own address.

    Empty where the host's is right inside too.
    """
    lines, changed = [], False
    for line in host.splitlines():
        word, address, *_ = *line.split(), "", ""
        if word == "nameserver" and (address.startswith("127.") or address == "::1"):
            if not changed:
                lines.append(f"nameserver {resolver}")
            changed = True
        else:
            lines.append(line)
    return "\n".join(lines) + "\n" if changed else ""
