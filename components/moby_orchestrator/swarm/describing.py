"""What this machine says of itself as a node."""

import os
import socket
from pathlib import Path

from moby.contracts.orchestrator import NodeDescription
from moby.contracts.types import Platform
from moby_orchestrator.swarm.parts import Parts

__all__ = ["describe", "own_address"]

_RELEASE = "0.1.0"
_MEMORY = Path("/proc/meminfo")
_ANYWHERE = ("192.0.2.1", 9)
"""An address of nobody's (RFC 5737): choosing a way there sends nothing."""


def describe(parts: Parts) -> NodeDescription:
    """Return this machine's name, platform and room, and which drivers its engine has."""
    drivers = {
        "volume": parts.volumes.drivers(),
        "network": parts.networks.drivers(),
        "log": parts.supervisor.log_drivers(),
    }
    return NodeDescription(
        hostname=socket.gethostname(),
        platform=Platform.host(),
        nano_cpus=len(os.sched_getaffinity(0)) * 1_000_000_000,
        memory_bytes=_memory_bytes(),
        engine_version=_RELEASE,
        plugins=frozenset((kind, name) for kind, names in drivers.items() for name in names),
    )


def _memory_bytes() -> int:
    for line in _MEMORY.read_text(encoding="ascii").splitlines():
        name, _, rest = line.partition(":")
        if name == "MemTotal":
            return int(rest.split()[0]) * 1024
    return 0


def own_address() -> str:
    """Return the address by which this machine gets out; its loopback's where it doesn't."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(_ANYWHERE)
            return str(probe.getsockname()[0])
        except OSError:
            return "127.0.0.1"
