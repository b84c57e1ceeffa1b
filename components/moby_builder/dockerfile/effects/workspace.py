"""The workspace: where snapshots are mounted while a builder works on them, and how new ones come to be."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from moby.contracts.snapshotter import Snapshotter
from moby.contracts.types import Mount
from moby.errors import HostUnfit, MobyError
from moby.host import mounts as kernel
from moby.host.overlay import escape, mount_root, unmount_root
from moby_builder.dockerfile.solver.effects import Tree

__all__ = ["ACTIVE", "PREFIX", "Draft", "Workspace"]

PREFIX = "builder/"
"""Before the keys of all snapshots that are a builder's."""
ACTIVE = f"{PREFIX}active/"
"""Before the keys of those that are being made, or looked at; after a death nobody wants them."""


class Draft:
    """A snapshot that is being written, at `path`."""

    def __init__(self, path: Path, key: str) -> None:
        self.path = path
        self.key = key
        self.kept = False

    def keep(self) -> None:
        """Have it committed once nobody works on it any more."""
        self.kept = True

    @property
    def tree(self) -> Tree:
        """What it is, once it is committed."""
        return Tree(snapshot=PREFIX + self.key.removeprefix(ACTIVE))


class Workspace:
    """Mounts snapshots below a folder, each at a place of its own."""

    def __init__(self, snapshotter: Snapshotter, folder: Path) -> None:
        self._snapshotter = snapshotter
        self._folder = folder

    @contextmanager
    def writing(self, parent: str) -> Iterator[Draft]:
        """Lend a new snapshot on another; it goes again, unless it is kept."""
        key = ACTIVE + secrets.token_hex(12)
        mounts = self._snapshotter.prepare(key, parent)
        try:
            with self.mounted(mounts) as path:
                draft = Draft(path, key)
                yield draft
            if draft.kept:
                self._snapshotter.commit(draft.tree.snapshot, key)
        except BaseException:
            with suppress(MobyError, OSError):  # what went wrong is to be told; what is left goes by `sweep`
                self._snapshotter.remove(key)
            raise
        if not draft.kept:
            self._snapshotter.remove(key)

    @contextmanager
    def reading(self, tree: Tree) -> Iterator[Path]:
        """Lend a tree's files, which can't be written."""
        if tree.folder is not None:
            yield tree.folder
            return
        if not tree.snapshot:
            with self._place() as path:
                yield path
            return
        key = ACTIVE + secrets.token_hex(12)
        mounts = self._snapshotter.view(key, tree.snapshot)
        try:
            with self.mounted(mounts) as path:
                yield path
        finally:
            self._snapshotter.remove(key)

    @contextmanager
    def mounted(self, mounts: tuple[Mount, ...]) -> Iterator[Path]:
        """Lend what a snapshotter says is to be mounted."""
        with self._place() as path:
            mount_root(mounts, str(path))
            try:
                yield path
            finally:
                unmount_root(str(path), mounts)

    @contextmanager
    def memory(self, mode: int = 0o700) -> Iterator[Path]:
        """Lend a folder that is in memory alone."""
        with self._place() as path:
            flags = sum(kernel.FLAGS[each] for each in ("nosuid", "nodev"))
            try:
                kernel.mount("tmpfs", str(path), "tmpfs", flags, f"mode={mode:o}")
            except OSError as error:
                raise HostUnfit(f"can't mount a tmpfs: {error.strerror}", hint="mounting takes root") from error
            try:
                yield path
            finally:
                kernel.unmount(str(path), detach=True)

    @contextmanager
    def covered(self, lower: Path, memory: Path) -> Iterator[Path]:
        """Lend a folder's files so that they may be written, which changes what is in `memory` alone."""
        upper, work = memory / "upper", memory / "work"
        upper.mkdir()
        work.mkdir()
        found = lower.stat()
        os.chown(upper, found.st_uid, found.st_gid)
        upper.chmod(found.st_mode & 0o7777)
        options = (f"lowerdir={escape(str(lower))}", f"upperdir={escape(str(upper))}", f"workdir={escape(str(work))}")
        with self.mounted((Mount("/", "overlay", "overlay", options),)) as path:
            yield path

    def sweep(self) -> None:
        """Remove what killed processes left; called while nobody works."""
        with suppress(FileNotFoundError):
            for each in os.scandir(self._folder):
                with suppress(OSError):
                    while True:
                        kernel.unmount(each.path, detach=True)
                with suppress(OSError):
                    Path(each.path).rmdir()
        for snapshot in self._snapshotter.list():
            if snapshot.key.startswith(ACTIVE):
                self._snapshotter.remove(snapshot.key)

    @contextmanager
    def _place(self) -> Iterator[Path]:
        path = self._folder / secrets.token_hex(8)
        path.mkdir(mode=0o700, parents=True)
        try:
            yield path
        finally:
            path.rmdir()
