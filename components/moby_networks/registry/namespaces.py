"""Network namespaces that nobody need be in: each is held by a mount of its own, and so outlives this process."""

import errno
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from moby.errors import HostUnfit, NotFound
from moby.host import mounts
from moby.host.links import bring_up_loopback
from moby.host.namespaces import FLAGS, unshare

__all__ = ["Namespaces"]

_OWN = "/proc/thread-self/ns/net"
_SHORT = 12


class Namespaces:
    """Namespaces by container, in a folder of this boot."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, container_id: str) -> str:
        """Return where a container's namespace is, or would be."""
        return str(self._folder / container_id[:_SHORT])

    def make(self, container_id: str) -> str:
        """Make a namespace with a loopback that is up, in place of an older one; HostUnfit says why not."""
        self.remove(container_id)
        path = self.path(container_id)
        errors: list[OSError] = []

        def work() -> None:
            try:
                unshare(FLAGS["network"])
                bring_up_loopback()
                mounts.mount(_OWN, path, flags=mounts.FLAGS["bind"])
            except OSError as error:
                errors.append(error)

        self._folder.mkdir(mode=0o700, exist_ok=True)
        Path(path).touch(mode=0o600)
        thread = threading.Thread(target=work, name="netns")
        thread.start()
        thread.join()
        if errors:
            self.remove(container_id)
            text = f"a network namespace can't be made at {path}: {errors[0].strerror}"
            raise HostUnfit(text, hint="the engine must be root on this host") from errors[0]
        return path

    def adopt(self, container_id: str, source: str) -> str:
        """Hold a namespace that a container has; HostUnfit where that can't be, or it is this process's own."""
        self.remove(container_id)
        path = self.path(container_id)
        self._folder.mkdir(mode=0o700, exist_ok=True)
        Path(path).touch(mode=0o600)
        try:
            if Path(source).samefile(_OWN):  # as of who got a number that was a container's
                raise OSError(errno.ESRCH, os.strerror(errno.ESRCH))
            mounts.mount(source, path, flags=mounts.FLAGS["bind"])
        except OSError as error:
            self.remove(container_id)
            text = f"container {container_id[:_SHORT]}'s network namespace {source} can't be held: {error.strerror}"
            raise HostUnfit(text, hint="stop the container, connect it, and start it again") from error
        return path

    @contextmanager
    def opened(self, path: str) -> Iterator[int]:
        """Lend a descriptor of a namespace; NotFound where it has gone."""
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise NotFound(f"the network namespace {path} can't be opened: {error.strerror}") from error
        try:
            yield fd
        finally:
            os.close(fd)

    def remove(self, container_id: str) -> None:
        """Let a container's namespace go; nothing where there is none."""
        path = self.path(container_id)
        with suppress(OSError):
            while True:  # until nothing is mounted there
                mounts.unmount(path, detach=True)
        with suppress(FileNotFoundError):
            os.unlink(path)  # noqa: PTH108  # with os.open above

    def keep(self, container_ids: set[str]) -> None:
        """Let all others go."""
        kept = {each[:_SHORT] for each in container_ids}
        if self._folder.is_dir():
            for each in sorted(self._folder.iterdir()):
                if each.name not in kept:
                    self.remove(each.name)
