"""What an upper folder changes of the layers below, with nothing mounted.

Of most files that are new neither attributes nor what is below is looked at: their names say enough.
"""

import os
from collections.abc import Iterator
from contextlib import ExitStack

from moby.contracts.snapshotter import Change, ChangeKind
from moby.host.tree import open_below
from moby.oci.pack import is_whiteout
from moby_snapshotter.folders.trees import Seen, names, seen

__all__ = ["changes"]

_OFTEN = 16
"""So many questions after names in a folder cost more than its listing."""


def changes(own: int, lowers: list[int]) -> Iterator[Change]:
    """Yield what an upper folder changes, and the folders above that (as Docker's OverlayChanges)."""
    told: set[str] = set()
    with _Below(lowers) as below:
        for fd, name, path, is_plain in names(own):
            above = path[: -len(name) - 1]
            kind = ChangeKind.ADDED
            if not is_plain or below.has(above, name):
                found = seen(fd, name, path)
                if found is None:
                    continue
                lower = below.find(above, name, path)
                if is_whiteout(found.stat):
                    kind = ChangeKind.DELETED
                elif lower is not None:
                    if found.is_folder and lower.is_folder and not _folder_differs(found, lower):
                        continue
                    kind = ChangeKind.MODIFIED
                if found.is_folder:
                    told.add(path)
            if kind is not ChangeKind.MODIFIED and above and above not in told:
                told.add(above)
                yield Change(above, ChangeKind.MODIFIED)
            yield Change(path, kind)


def _folder_differs(found: Seen, below: Seen) -> bool:
    return found.differs(below) or found.stat.st_mtime_ns != below.stat.st_mtime_ns


class _Below:
    """What the layers below show, folder by folder: the one that was asked for last is kept open."""

    def __init__(self, lowers: list[int]) -> None:
        self._lowers = lowers
        self._held = ExitStack()
        self._folder: str | None = None
        self._fds: list[int] = []
        self._asked = 0
        self._names: set[str] | None = None

    def __enter__(self) -> "_Below":
        return self

    def __exit__(self, *_: object) -> None:
        self._held.close()

    def has(self, folder: str, name: str) -> bool:
        """Whether there may be something of a name. A folder is listed once it was asked of often."""
        self._go(folder)
        self._asked += 1
        if self._asked == _OFTEN:
            self._names = set().union(*map(os.listdir, self._fds))
        return bool(self._fds) and (self._names is None or name in self._names)

    def find(self, folder: str, name: str, path: str) -> Seen | None:
        """Return what is shown at a path, which is a name in a folder."""
        self._go(folder)
        for fd in self._fds:
            found = seen(fd, name, path)
            if found is not None:
                return None if is_whiteout(found.stat) else found
        return None

    def _go(self, folder: str) -> None:
        """Open a folder in each layer that has it, as far down as nothing else is in its place."""
        if folder == self._folder:
            return
        self._held.close()
        self._folder, self._fds, self._asked, self._names = folder, [], 0, None
        for lower in self._lowers:
            try:
                fd = open_below(lower, folder)
            except FileNotFoundError:
                continue
            except OSError:
                return  # something there that is no folder hides what is further below
            self._held.callback(os.close, fd)
            self._fds.append(fd)
