"""slirp4netns(1): a network of its own, 10.0.2.0/24, whose connections are its user's own on the host."""

import os
import subprocess
from pathlib import Path

from moby.host import processes
from moby_enclosure.rootless.uplink import Uplink, failed, program

__all__ = ["SLIRP"]

_PATIENCE_S = 30.0
_SIGTERM = 15


def _start(pid: int, folder: Path) -> int:
    """Start it, and wait until the network is there; it ends with this process."""
    path = program("slirp4netns", "slirp4netns")
    ready, says = os.pipe2(os.O_CLOEXEC)
    log = folder / "uplink.log"
    words = ["--configure", "--mtu=65520", "--disable-host-loopback", f"--ready-fd={says}", str(pid), "tap0"]
    try:
        with log.open("wb") as out:
            process = subprocess.Popen(
                [path, *words], stdin=subprocess.DEVNULL, stdout=out, stderr=out, pass_fds=(says,),
                preexec_fn=lambda: processes.set_parent_death_signal(_SIGTERM),  # noqa: PLW1509 - it has one thread
            )  # fmt: skip
        os.close(says)
        says = -1
        came = processes.readable(ready, _PATIENCE_S) and os.read(ready, 1)
    finally:
        for fd in (ready, says):
            if fd >= 0:
                os.close(fd)
    if not came:
        process.kill()
        done = subprocess.CompletedProcess(words, process.wait(), "", log.read_text("utf-8", errors="replace"))
        raise failed("slirp4netns", done)
    process.returncode = 0  # whoever waits for it does so by its pidfd
    return os.pidfd_open(process.pid)


SLIRP = Uplink("slirp4netns", "moby_enclosure.slirp4netns.uplink:SLIRP", "10.0.2.3", _start)
