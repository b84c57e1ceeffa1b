"""Parts that go on where nobody reaches them: the file of a part's socket has been removed, as by who cleans up."""

import os
import signal
from contextlib import suppress
from pathlib import Path

from moby.served.launching import Launcher

__all__ = ["end_unheard"]

_LISTENS = "00010000"
"""A flag of a socket that listens (__SO_ACCEPTCON of linux/net.h), in /proc/net/unix."""


def end_unheard(launcher: Launcher, key: str, path: Path) -> None:
    """Have a part end whose socket is gone while it listens there; its keeper starts it again, with all that it holds.

    Whoever ends by itself is fine too. One that is just starting listens nowhere yet, and is left alone.
    """
    if path.exists():
        return
    for each in launcher.parts_now():
        if each.key != key or not each.pid:
            continue
        with suppress(ProcessLookupError):
            process = os.pidfd_open(each.pid)
            try:
                if _listens(each.pid, path.name):
                    signal.pidfd_send_signal(process, signal.SIGTERM)
            finally:
                os.close(process)


def _listens(pid: int, name: str) -> bool:
    """Whether a process listens at a Unix socket of that name, in whichever folder (proc_pid_net(5))."""
    found = set()
    with suppress(OSError):  # it has ended
        for line in Path(f"/proc/{pid}/net/unix").read_text("utf-8", "surrogateescape").splitlines()[1:]:
            _, _, _, flags, _, _, inode, *path = line.split(maxsplit=7)
            if flags == _LISTENS and path and path[0].rpartition("/")[2] == name:
                found.add(f"socket:[{inode}]")
        return any(_target(each) in found for each in Path(f"/proc/{pid}/fd").iterdir())
    return False


def _target(link: Path) -> str:
    try:
        return str(link.readlink())
    except OSError:
        return ""
