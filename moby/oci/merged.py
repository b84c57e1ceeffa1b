"""Packing what several layers show together, as overlayfs would, with nothing mounted."""

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress

from moby.host import tree
from moby.oci.layer import EntryType
from moby.oci.pack import Entry, Packing, is_opaque, is_whiteout, xattrs_of

__all__ = ["MergedPacking"]


class MergedPacking(Packing):
    """Layers, the topmost of which is `root_fd`, on their way into one tar; `lowers` are those below, in order."""

    def __init__(self, root_fd: int, *, lowers: tuple[int, ...] = ()) -> None:
        super().__init__(root_fd)
        self.lowers = lowers

    def entries(self) -> Iterator[Entry]:
        """Yield the entries, the root's own first; the descriptors stay the caller's."""
        yield self._described("", os.fstat(self.root_fd), EntryType.DIRECTORY, xattrs=xattrs_of(self.root_fd)), ()
        yield from self._merge((self.root_fd, *self.lowers), "", 0)

    def _merge(self, folders: Sequence[int], path: str, depth: int) -> Iterator[Entry]:
        """Yield what is in a folder that several layers have, the topmost first."""
        names: dict[str, list[int]] = {}
        for fd in folders:
            with os.scandir(fd) as entries:
                for each in entries:
                    names.setdefault(each.name, []).append(fd)
        for name in sorted(names):
            inner = f"{path}/{name}" if path else name
            with suppress(FileNotFoundError), ExitStack() as held:
                shown = self._shown(name, names[name], held)
                if shown is None:
                    yield from self._one(names[name][0], name, inner, depth)
                elif shown:
                    if depth > 1024:
                        raise OSError(f"{inner[:200]!r} is nested deeper than 1024 folders")
                    found = os.fstat(shown[0])
                    yield self._described(inner, found, EntryType.DIRECTORY, xattrs=xattrs_of(shown[0])), ()
                    yield from self._merge(shown, inner, depth + 1)

    def _shown(self, name: str, folders: Sequence[int], held: ExitStack) -> list[int] | None:
        """Return the folders of one name that show together; None where the topmost isn't one, none where it hides."""
        shown: list[int] = []
        for fd in folders:
            found = os.lstat(name, dir_fd=fd)
            if not stat.S_ISDIR(found.st_mode):
                if shown or is_whiteout(found):
                    break
                return None
            inner = os.open(name, tree.DIRECTORY_FLAGS, dir_fd=fd)
            held.callback(os.close, inner)
            shown.append(inner)
            if is_opaque(inner):
                break
        return shown
