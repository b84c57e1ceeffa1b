"""pasta(1): connections of the engine's network are its user's own on the host, with the host's own addresses."""

import os
import subprocess
from functools import cache
from pathlib import Path

from moby_enclosure.rootless.uplink import PATIENCE_S, Starting, Uplink, program, silent

__all__ = ["PASTA"]

_RESOLVER = "169.254.1.1"
_HOST = "169.254.1.2"
"""Where containers reach the host by, whose own addresses are the namespace's too; passt from August 2024 can that."""
_MAPS_HOST = "--map-guest-addr"
_CLOSED = ("-t", "none", "-u", "none", "-T", "none", "-U", "none", "--no-map-gw")
"""What is published comes in by the gate, and the host's loopback stays the host's."""


def _begin(pid: int, folder: Path) -> Starting:
    """Start it; it goes to the background once the network is there, and ends with the namespaces' first process."""
    path = program("pasta", "passt")
    file, log = folder / "uplink.pid", folder / "uplink.log"
    file.unlink(missing_ok=True)
    words = ["--config-net", "--quiet", *_CLOSED, "--dns-forward", _RESOLVER, "--pid", str(file)]
    if _maps_host(path):
        words += [_MAPS_HOST, _HOST]
    with log.open("wb") as out:
        process = subprocess.Popen([path, *words, str(pid)], stdin=subprocess.DEVNULL, stdout=out, stderr=out)

    def joined() -> int:
        if process.wait():
            raise starting.ended()
        return os.pidfd_open(int(file.read_text("ascii")))

    starting = Starting("pasta", process, os.pidfd_open(process.pid), log, joined)
    return starting


@cache
def _maps_host(path: str) -> bool:
    """Whether this version knows that option; asked once, since whoever starts it again has others to answer."""
    try:
        done = subprocess.run(
            [path, "--help"], stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=PATIENCE_S
        )
    except subprocess.TimeoutExpired as error:
        raise silent("pasta") from error
    return _MAPS_HOST.encode() in done.stdout


PASTA = Uplink("pasta", "moby_enclosure.pasta.uplink:PASTA", _RESOLVER, _begin)
