"""Where a lent folder is put for buildah to find it."""

import os
import stat
from pathlib import Path

from moby.contracts.builder import Entry
from moby.errors import Invalid

__all__ = ["Placing"]

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_FILL = os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC


class Placing:
    """A receiver that writes into a new folder. Names that lead elsewhere are refused."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._folders: set[str] = {""}
        self._wanted: dict[str, Entry] = {}
        self._open: dict[str, int] = {}
        """Of files whose content comes at the moment: names come long before."""

    def entry(self, entry: Entry) -> bool:
        """Make it; files are filled later."""
        above, _, name = entry.path.rpartition("/")
        if above not in self._folders or name in ("", ".", "..") or "\0" in entry.path:
            raise Invalid(f"the context has a file at {entry.path[:200]!r}, which is not a path inside it")
        path = self._folder / entry.path
        if stat.S_ISDIR(entry.mode):
            path.mkdir(mode=0o700)
            path.chmod(stat.S_IMODE(entry.mode))
            self._folders.add(entry.path)
        elif stat.S_ISLNK(entry.mode):
            path.symlink_to(entry.link)
        elif stat.S_ISREG(entry.mode) and not entry.link:
            os.close(os.open(path, _NEW, 0o600))
            self._wanted[entry.path] = entry
            if not entry.size_bytes:
                self.content(entry.path, b"")
            return bool(entry.size_bytes)
        elif stat.S_ISREG(entry.mode):
            self._link(entry, path)
        return False

    def content(self, path: str, chunk: bytes) -> None:
        """Fill a file; those of several come in turn."""
        if path not in self._wanted:
            raise Invalid(f"{path[:200]!r} wasn't asked for")
        fd = self._open.get(path)
        if fd is None:
            fd = self._open[path] = os.open(self._folder / path, _FILL)
        view = memoryview(chunk)
        while view:
            view = view[os.write(fd, view) :]
        if not chunk:
            entry = self._wanted.pop(path)
            os.fchmod(fd, stat.S_IMODE(entry.mode))
            os.utime(fd, ns=(entry.time_ns, entry.time_ns))
            os.close(self._open.pop(path))

    def close(self) -> None:
        """Let go of files that were begun."""
        while self._open:
            os.close(self._open.popitem()[1])

    def _link(self, entry: Entry, path: Path) -> None:
        source = self._folder / entry.link
        if entry.link.rpartition("/")[0] not in self._folders or not stat.S_ISREG(source.lstat().st_mode):
            raise Invalid(f"{entry.path[:200]!r} is a link to {entry.link[:200]!r}, which isn't in the context")
        path.hardlink_to(source)
