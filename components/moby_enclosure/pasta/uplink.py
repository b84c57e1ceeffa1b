"""pasta(1): connections of the engine's network are its user's own on the host, with the host's own addresses."""

import os
import subprocess
from pathlib import Path

from moby_enclosure.rootless.uplink import Uplink, failed, program

__all__ = ["PASTA"]

_PATIENCE_S = 30.0
_RESOLVER = "169.254.1.1"
_HOST = "169.254.1.2"
"""Where containers reach the host by, whose own addresses are the namespace's too; passt from August 2024 can that."""
_MAPS_HOST = "--map-guest-addr"
_CLOSED = ("-t", "none", "-u", "none", "-T", "none", "-U", "none", "--no-map-gw")
"""What is published comes in by the gate, and the host's loopback stays the host's."""


def _start(pid: int, folder: Path) -> int:
    """Start it; it goes to the background once the network is there, and ends with the namespaces' first process."""
    file = folder / "uplink.pid"
    file.unlink(missing_ok=True)
    words = ["--config-net", "--quiet", *_CLOSED, "--dns-forward", _RESOLVER, "--pid", str(file)]
    if _MAPS_HOST in _called("--help").stdout:
        words += [_MAPS_HOST, _HOST]
    done = _called(*words, str(pid))
    if done.returncode:
        raise failed("pasta", done)
    return os.pidfd_open(int(file.read_text("ascii")))


def _called(*words: str) -> subprocess.CompletedProcess[str]:
    command = [program("pasta", "passt"), *words]
    try:
        return subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False,
            timeout=_PATIENCE_S,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        done = subprocess.CompletedProcess(command, 1, "", f"it says nothing for {_PATIENCE_S:.0f} s")
        raise failed("pasta", done) from error


PASTA = Uplink("pasta", "moby_enclosure.pasta.uplink:PASTA", _RESOLVER, _start)
