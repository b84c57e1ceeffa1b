"""What comes of a build, written on this machine: a file that is there once it is whole, and a folder."""

import io
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from moby.contracts.builder import Entry, Folder
from moby.errors import Invalid
from moby.host import tree

__all__ = ["Incoming", "write_folder"]

_FRESH = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Incoming(io.FileIO):
    """A file that takes its place when it is closed, and leaves nothing where it is given up."""

    def __init__(self, path: Path) -> None:
        if path.is_dir():
            raise Invalid(f"the output {path} is a folder", hint="name a file")
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._fresh = path.with_name(f".{path.name[:200]}.{secrets.token_hex(6)}")
        super().__init__(os.open(self._fresh, _FRESH, 0o666), "wb")

    def close(self) -> None:
        """Put the file in its place."""
        if not self.closed:
            super().close()
            self._fresh.replace(self._path)

    def give_up(self) -> None:
        """Remove what came, unless it is whole."""
        if not self.closed:
            super().close()
            self._fresh.unlink(missing_ok=True)


def write_folder(target: Path, folder: Folder) -> None:
    """Write a tree into a folder, beside what is there; owners are the caller's, and no link in it is followed."""
    target.mkdir(parents=True, exist_ok=True)
    root = os.open(target, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    folders: list[Entry] = []
    try:
        for entry in folder.entries():
            with _above(root, entry.path) as (above, name):
                _write(root, above, name, entry, folder)
            if stat.S_ISDIR(entry.mode):
                folders.append(entry)
        for entry in reversed(folders):  # once nothing more is written into them
            with _above(root, entry.path) as (above, name):
                os.chmod(name, stat.S_IMODE(entry.mode), dir_fd=above)
                os.utime(name, ns=(entry.time_ns, entry.time_ns), dir_fd=above)
    finally:
        os.close(root)


def _write(root: int, above: int, name: str, entry: Entry, folder: Folder) -> None:
    kind = stat.S_IFMT(entry.mode)
    if kind == stat.S_IFDIR:
        if not _is_folder(above, name):
            _remove(above, name)
            os.mkdir(name, 0o700, dir_fd=above)
        return
    _remove(above, name)
    if kind == stat.S_IFREG and entry.link:
        with _above(root, entry.link) as (there, first):
            os.link(first, name, src_dir_fd=there, dst_dir_fd=above, follow_symlinks=False)
        return
    if kind == stat.S_IFREG:
        with folder.open(entry.path) as source, os.fdopen(os.open(name, _FRESH, 0o600, dir_fd=above), "wb") as file:
            shutil.copyfileobj(source, file, 1 << 20)
    elif kind == stat.S_IFLNK:
        os.symlink(entry.link, name, dir_fd=above)
    else:
        os.mknod(name, entry.mode, os.makedev(*entry.device), dir_fd=above)
    if kind != stat.S_IFLNK:
        os.chmod(name, stat.S_IMODE(entry.mode), dir_fd=above)
    os.utime(name, ns=(entry.time_ns, entry.time_ns), dir_fd=above, follow_symlinks=False)


@contextmanager
def _above(root: int, path: str) -> Iterator[tuple[int, str]]:
    """Lend the folder that a path is in, on the way to which is no link, and the path's last name."""
    above, _, last = path.rpartition("/")
    fd = tree.open_below(root, above)
    try:
        yield fd, last
    finally:
        os.close(fd)


def _is_folder(above: int, name: str) -> bool:
    try:
        return stat.S_ISDIR(os.stat(name, dir_fd=above, follow_symlinks=False).st_mode)
    except FileNotFoundError:
        return False


def _remove(above: int, name: str) -> None:
    """Remove what is in the way; a folder with all that is in it."""
    if _is_folder(above, name):
        shutil.rmtree(name, dir_fd=above)
    else:
        with suppress(FileNotFoundError):
            os.unlink(name, dir_fd=above)
