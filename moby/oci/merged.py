"""Packing what several layers show together, as overlayfs would, with nothing mounted."""

import os
import stat
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack
from operator import itemgetter

from moby.host import tree
from moby.oci.layer import EntryType
from moby.oci.pack import Entry, Level, Packing, is_opaque, is_whiteout, xattrs_of

__all__ = ["MergedPacking", "folders_at"]


class _Shown:
    """A folder that several layers have, on the way down; the topmost first. `above` is what paths in it begin with."""

    def __init__(self, folders: Sequence[int], above: str, held: ExitStack) -> None:
        self.folders = folders
        self.above = above
        self.held = held
        self._left: Iterator[tuple[str, bool, Sequence[int]]] | None = None

    def names(self) -> Iterator[tuple[str, bool, Sequence[int]]]:
        """As a level has them; each with the topmost folder first."""
        if self._left is None:
            names: dict[str, tuple[str, bool, list[int]]] = {}
            for fd in self.folders:
                with os.scandir(fd) as entries:
                    for each in entries:
                        name = each.name
                        if name in names:
                            names[name][2].append(fd)
                        else:
                            names[name] = (name, each.is_file(follow_symlinks=False), [fd])
            self._left = iter(sorted(names.values(), key=_name))
        return self._left

    def close(self) -> None:
        """Close what is held for it."""
        self.held.close()


_name = itemgetter(0)


class MergedPacking(Packing):
    """Layers, the topmost of which is `root_fd`, on their way into one tar; `lowers` are those below, in order.

    `marks` are what overlayfs goes by there.
    """

    def __init__(self, root_fd: int, *, marks: Sequence[str], lowers: Sequence[int] = (), base: str = "") -> None:
        super().__init__(root_fd, base=base)
        self.marks = marks
        self.lowers = lowers

    def entries(self) -> Iterator[Entry]:
        """Yield the entries, the root's own first; the descriptors stay the caller's."""
        root = os.fstat(self.root_fd)
        yield self._described(self.base, root, EntryType.DIRECTORY, xattrs=xattrs_of(self.root_fd)), ()
        yield from self._below(_Shown((self.root_fd, *self.lowers), self._above(), ExitStack()))

    def _met(self, name: str, folders: Sequence[int], path: str) -> Generator[Entry, None, Level | None]:
        """Yield what several layers show at a name; return the folders that are to be looked into."""
        with ExitStack() as held:
            shown = folders_at(name, folders, held, self.marks)
            if shown is None:
                folder = yield from self._one(folders[0], name, path)
                if folder is not None:  # it has just become one
                    os.close(folder)
            elif shown:
                found = os.fstat(shown[0])
                yield self._described(path, found, EntryType.DIRECTORY, xattrs=xattrs_of(shown[0])), ()
                return _Shown(shown, f"{path}/", held.pop_all())
        return None


def folders_at(name: str, folders: Sequence[int], held: ExitStack, marks: Sequence[str]) -> list[int] | None:
    """Return the folders of one name that show together, which `held` closes; the topmost first.

    None where the topmost isn't one, an empty list where it hides what is below.
    """
    shown: list[int] = []
    for fd in folders:
        try:
            found = os.lstat(name, dir_fd=fd)
        except FileNotFoundError:
            continue
        if not stat.S_ISDIR(found.st_mode):
            if shown or is_whiteout(found):
                break
            return None
        inner = os.open(name, tree.DIRECTORY_FLAGS, dir_fd=fd)
        held.callback(os.close, inner)
        shown.append(inner)
        if is_opaque(inner, marks):
            break
    return shown
