"""A service manager's socket, lent to a container: its first word of being ready is passed on (sd_notify(3)).

The container sees a folder of ours at /run/notify; with the manager's own socket it could say anything in our name.
"""

from __future__ import annotations

import os
import select
import socket

from moby.host.blocks import suppress
from moby_runtime.native.values import MountPoint

TYPE_CHECKING = False

__all__ = ["ENVIRONMENT", "MOUNT_POINT", "Relay", "asked", "folder", "mount_point"]

MOUNT_POINT = "/run/notify"
_NAME = "notify.sock"
ENVIRONMENT = f"NOTIFY_SOCKET={MOUNT_POINT}/{_NAME}"
_BARRIER_S = 30.0


def asked() -> str:
    """Return the address of the service manager's socket, empty where there is none."""
    return os.environ.get("NOTIFY_SOCKET", "")


def folder(root: str, container_id: str) -> str:
    """Return the folder that a container sees."""
    return f"{root}/{container_id}/notify"


def mount_point(root: str, container_id: str) -> MountPoint:
    """Return how it sees it."""
    options = ("bind", "nosuid", "noexec", "nodev", "ro")
    return MountPoint(MOUNT_POINT, "bind", folder(root, container_id), options, "NOTIFY_SOCKET")


class Relay:
    """The socket in a container's folder, from before its start until it is ready."""

    def __init__(self, root: str, container_id: str) -> None:
        self._manager = asked()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            with _short(folder(root, container_id)) as place:
                path = f"{place}/{_NAME}"
                with suppress(FileNotFoundError):
                    os.unlink(path)
                self._socket.bind(path)
                os.chmod(path, 0o777)  # noqa: S103
        except BaseException:
            self._socket.close()
            raise

    def close(self) -> None:
        """Stop listening."""
        self._socket.close()

    def fileno(self) -> int:
        """Return the descriptor to wait for."""
        return self._socket.fileno()

    def take(self, main_pid: int) -> bool:
        """Read one message, and tell the manager where it says that the container is ready; whether it did."""
        lines = self._socket.recv(65536).split(b"\n")
        if b"READY=1" not in lines:
            return False
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            address = self._manager
            manager.connect(f"\0{address[1:]}" if address.startswith("@") else address)
            manager.send(b"MAINPID=%d\nREADY=1" % main_pid)
            _await_barrier(manager)
        return True

    def wait(self, main_pid: int, process: int) -> None:
        """Wait until the container is ready or `process` (a pidfd) has ended."""
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        poll.register(process, select.POLLIN)
        while True:
            ready = dict(poll.poll())
            if self.fileno() in ready:
                if self.take(main_pid):
                    return
            elif process in ready:
                return


class _short:  # noqa: N801 - lent by a with statement
    """Lends a short name of a folder, since a socket's may have only 107 bytes."""

    def __init__(self, path: str) -> None:
        self._fd = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)

    def __enter__(self) -> str:
        return f"/proc/self/fd/{self._fd}"

    def __exit__(self, *error: object) -> None:
        os.close(self._fd)


def _await_barrier(manager: socket.socket) -> None:
    """Wait until the manager has read what was sent, while this process is there to vouch for it (sd_notify(3))."""
    read, write = os.pipe()
    try:
        socket.send_fds(manager, [b"BARRIER=1"], [write])
        os.close(write)
        write = -1
        poll = select.poll()
        poll.register(read, 0)  # POLLHUP comes unasked
        poll.poll(_BARRIER_S * 1000)
    finally:
        os.close(read)
        if write >= 0:
            os.close(write)
