"""Root file systems that are lent with nothing mounted: an image's layers, unpacked over each other."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from moby.host.user_maps import keeps_owners
from moby.oci.unpack import Limits, Unpacking
from moby_images.folders.leases import lease

__all__ = ["Roots"]


class Roots:
    """Folders that go when their users leave."""

    def __init__(self, folder: Path, limits: Limits) -> None:
        self._folder = folder
        self._limits = limits

    @contextmanager
    def unpacked(self, layers: Sequence[BinaryIO]) -> Iterator[Path]:
        """Lend a folder with layers unpacked into it, lowest first."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with lease(self._folder, self._folder.with_name("roots.lock")) as held:
            path = held / "rootfs"
            path.mkdir(mode=0o700)
            fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                unpacking = Unpacking(fd, keeps_owners(), self._limits)
                for each in layers:
                    unpacking.apply(each)
                unpacking.finish()
            finally:
                os.close(fd)
            yield path
