"""Skeletons: what roots of containers have whatever their image says, as a snapshot between image and container.

It is made once for each image, through the image's own root, mounted where nobody else sees it; every step of a path
is taken by descriptor, and no link of the image is followed.
"""

import os
import stat
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from functools import lru_cache

from moby.contracts.images import Fixture
from moby.contracts.types import Mount
from moby.errors import HostUnfit, Invalid
from moby.host.overlay import mount_root, unmount_root
from moby.host.private_mounts import apart
from moby.host.tree import DIRECTORY_FLAGS
from moby.oci import digest as digests
from moby_images.store.layers import EXTRACT
from moby_images.store.parts import SKELETON, Shared

__all__ = ["Skeletons", "furnish"]

_MODE = 0o755


@lru_cache(maxsize=8)
def _wish(fixtures: tuple[Fixture, ...]) -> str:
    return digests.sha256(repr(fixtures).encode()).hex[:12]


class Skeletons:
    """Makes skeletons."""

    def __init__(self, shared: Shared) -> None:
        self._layers = shared.layers
        self._snapshotter = shared.parts.snapshotter
        self._folder = shared.parts.place.run / "skeleton"

    def ensure(self, chain: str, fixtures: Sequence[Fixture]) -> str:
        """Return the key of what a container of an image is on: the image itself where nothing is wished for."""
        if not fixtures:
            return chain
        name = f"{SKELETON}{chain}/{_wish(tuple(fixtures))}"
        if not self._layers.has(name):
            self._make(name, chain, fixtures)
        return name

    def _make(self, name: str, chain: str, fixtures: Sequence[Fixture]) -> None:
        key = EXTRACT + name
        with self._layers.lock(name):
            if self._layers.has(name):
                return
            self._layers.drop(key)  # a killed process's
            mounts = self._snapshotter.prepare(key, chain)
            try:
                self._furnish(mounts, fixtures)
                self._snapshotter.commit(name, key)
            except BaseException:
                self._layers.drop(key)
                raise

    def _furnish(self, mounts: Sequence[Mount], fixtures: Sequence[Fixture]) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        place = str(self._folder)

        def work() -> None:
            mount_root(mounts, place)
            root = os.open(place, DIRECTORY_FLAGS)
            try:
                for each in fixtures:
                    furnish(root, each)
            finally:
                os.close(root)  # which would keep the mount
                unmount_root(place, mounts)  # now: what is committed mustn't be mounted

        try:
            apart(work)
        except OSError as error:
            hint = "mounting takes root, or an enclosure, as the assembly `rootless` has one"
            raise HostUnfit(f"can't make what containers have besides their image: {error}", hint=hint) from error


def furnish(root_fd: int, fixture: Fixture) -> None:
    """Make a fixture below a root; folders stay, whatever else is in its way is replaced, links are never followed."""
    *folders, name = _names(fixture.path)
    with ExitStack() as held:
        fd = root_fd
        for each in folders:
            fd = _folder(fd, each)
            held.callback(os.close, fd)
        if fixture.is_folder:
            os.close(_folder(fd, name))
        elif not _clear(fd, name):
            return  # a folder, which stays
        elif fixture.link:
            os.symlink(fixture.link, name, dir_fd=fd)
        else:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            made = os.open(name, flags, _MODE, dir_fd=fd)
            os.fchmod(made, _MODE)  # whatever the umask is
            os.close(made)


def _names(path: str) -> list[str]:
    names = path.split("/")[1:]
    if not path.startswith("/") or not names or {"", ".", ".."} & set(names):
        raise Invalid(f"{path[:200]!r} is no absolute path without . and .. of something in a root")
    return names


def _folder(fd: int, name: str) -> int:
    """Open a folder, which is made if there is none."""
    if _clear(fd, name):
        os.mkdir(name, _MODE, dir_fd=fd)
        inner = os.open(name, DIRECTORY_FLAGS, dir_fd=fd)
        os.fchmod(inner, _MODE)
        return inner
    return os.open(name, DIRECTORY_FLAGS, dir_fd=fd)


def _clear(fd: int, name: str) -> bool:
    """Take away what is at a name; False for a folder, which stays."""
    with suppress(FileNotFoundError):
        if stat.S_ISDIR(os.lstat(name, dir_fd=fd).st_mode):
            return False
        os.unlink(name, dir_fd=fd)
    return True
