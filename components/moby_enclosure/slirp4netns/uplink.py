"""slirp4netns(1): a network of its own, 10.0.2.0/24, whose connections are its user's own on the host."""

import os
import subprocess
from pathlib import Path

from moby.host import processes
from moby_enclosure.rootless.uplink import Starting, Uplink, program

__all__ = ["SLIRP"]

_SIGTERM = 15


def _begin(pid: int, folder: Path) -> Starting:
    """Start it; it says when the network is there, and ends with this process."""
    path = program("slirp4netns", "slirp4netns")
    log = folder / "uplink.log"
    ready, says = os.pipe2(os.O_CLOEXEC)
    words = ["--configure", "--mtu=65520", "--disable-host-loopback", f"--ready-fd={says}", str(pid), "tap0"]
    try:
        with log.open("wb") as out:
            process = subprocess.Popen(
                [path, *words], stdin=subprocess.DEVNULL, stdout=out, stderr=out, pass_fds=(says,),
                preexec_fn=lambda: processes.set_parent_death_signal(_SIGTERM),  # noqa: PLW1509 - it has one thread
            )  # fmt: skip
    except BaseException:
        os.close(ready)
        raise
    finally:
        os.close(says)

    def joined() -> int:
        if not os.read(ready, 1):
            raise starting.ended()
        process.returncode = 0  # whoever waits for it does so by its pidfd
        return os.pidfd_open(process.pid)

    starting = Starting("slirp4netns", process, ready, log, joined)
    return starting


SLIRP = Uplink("slirp4netns", "moby_enclosure.slirp4netns.uplink:SLIRP", "10.0.2.3", _begin)
