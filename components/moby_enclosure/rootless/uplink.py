"""A program that joins a network namespace to the host's network, as its user may: what the gate has to know of one."""

import importlib
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from moby.errors import HostUnfit
from moby.values import frozen

__all__ = ["Uplink", "failed", "named", "program", "resolv_conf"]


@frozen
class Uplink:
    """One such program."""

    name: str
    where: str
    """The module and the name of this value, by which the gate finds it."""
    resolver: str
    """The address at which it answers for the host's resolver, also where that is at the host's loopback."""
    start: Callable[[int, Path], int]
    """Starts it for the namespaces of a process, with a folder for what it writes; returns its pidfd. HostUnfit."""


def named(where: str) -> Uplink | None:
    """Return the uplink that a text names; none for an empty one."""
    module, _, name = where.partition(":")
    found: Uplink | None = getattr(importlib.import_module(module), name) if where else None
    return found


def program(name: str, package: str) -> str:
    """Return the path of a program; HostUnfit where it isn't there."""
    found = shutil.which(name)
    if found is None:
        raise HostUnfit(
            f"{name} isn't on PATH, which joins the engine's network to the host's",
            hint=f"apt install {package}, or choose another part `enclosure`",
        )
    return found


def failed(name: str, done: subprocess.CompletedProcess[str]) -> HostUnfit:
    """Return the error of a program that has ended instead of joining anything."""
    said = "; ".join((done.stderr or done.stdout).split("\n")).strip("; ") or f"it ended with {done.returncode}"
    hint = "see that this user may open /dev/net/tun (chmod 666), or choose another part `enclosure`"
    return HostUnfit(f"{name} can't join the engine's network to the host's: {said[-500:]}", hint=hint)


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
