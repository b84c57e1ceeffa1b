"""A tree of files to be, in memory: what goes into an image, from where, with links resolved inside the tree."""

import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from attrs import define, field

from moby.errors import Conflict, HostUnfit, Invalid
from moby.oci.digest import CHUNK_BYTES
from moby.oci.layer import EntryType, LayerEntry

__all__ = ["Files"]

_MOST_LINKS = 40
_PERMISSIONS = 0o777


@define
class Files:
    """Files by path in the image; each has its bytes, the host's file that has them, or nothing."""

    _entries: dict[str, tuple[LayerEntry, Path | bytes]] = field(factory=dict)

    def folder(self, path: str, mode: int = 0o755) -> None:
        """Put a folder; a folder that is there keeps its mode."""
        self._put(LayerEntry(path.strip("/"), EntryType.DIRECTORY, mode), b"")

    def text(self, path: str, text: str) -> None:
        """Put a file with a text."""
        data = text.encode()
        self._put(LayerEntry(self._resolved(path), mode=0o644, size_bytes=len(data)), data)

    def same(self, path: str) -> str:
        """Put a file of the host's at its own path, and every link on the way; return where it really is.

        NotFound and the like are the host's own errors, as HostUnfit.
        """
        left = path.strip("/").split("/")[::-1]
        done: list[str] = []
        links = 0
        while left:
            name = left.pop()
            if name in ("", "."):
                continue
            if name == "..":
                done = done[:-1]
                continue
            here = "/".join([*done, name])
            host = Path("/", here)
            found = _lstat(host)
            if not stat.S_ISLNK(found.st_mode):
                done.append(name)
                if left or stat.S_ISDIR(found.st_mode):
                    self.folder(here)
                else:
                    self._file(here, host, found)
                continue
            links += 1
            if links > _MOST_LINKS:
                raise HostUnfit(f"{path} goes round in circles of links")
            target = os.fspath(host.readlink())
            self._put(LayerEntry(here, EntryType.SYMLINK, 0o777, link=target), b"")
            done = [] if target.startswith("/") else done
            left.extend(reversed(target.split("/")))
        return "/" + "/".join(done)

    def copy(self, source: Path, target: str) -> None:
        """Put a file, link or folder of the host's, with all that is in it, at a path of the image.

        Links are put as they are. Invalid for a socket, pipe or device, or a target that leads out.
        """
        if ".." in target.split("/") or not target.startswith("/"):
            raise Invalid(f"{target!r} is no place in an image", hint="write PATH:/ABSOLUTE/DESTINATION")
        self._copy(source, self._resolved(target), _lstat(source))

    def layer(self) -> Iterator[tuple[LayerEntry, Iterable[bytes]]]:
        """Yield all entries, sorted by path, with their bytes."""
        for path in sorted(self._entries):
            entry, content = self._entries[path]
            yield entry, _chunks(content) if isinstance(content, Path) else [content]

    def _copy(self, source: Path, target: str, found: os.stat_result) -> None:
        if stat.S_ISDIR(found.st_mode):
            if target:
                self._put(LayerEntry(target, EntryType.DIRECTORY, stat.S_IMODE(found.st_mode) & 0o1777), b"")
            try:
                inside = sorted(source.iterdir())
            except OSError as error:
                raise _unreadable(source, error) from error
            for each in inside:
                self._copy(each, f"{target}/{each.name}".strip("/"), _lstat(each))
        elif stat.S_ISLNK(found.st_mode):
            self._put(LayerEntry(target, EntryType.SYMLINK, 0o777, link=os.fspath(source.readlink())), b"")
        elif stat.S_ISREG(found.st_mode):
            self._file(target, source, found)
        else:
            raise Invalid(f"{source} is neither file, folder nor link, so no image can hold it")

    def _file(self, path: str, host: Path, found: os.stat_result) -> None:
        if not stat.S_ISREG(found.st_mode):
            raise Invalid(f"{host} is no regular file")
        if not os.access(host, os.R_OK):
            raise HostUnfit(f"can't read {host}: Permission denied", hint="run as a user who may read it")
        # The owner becomes root, so set-user-ID would give more than it did on the host.
        self._put(LayerEntry(path, mode=stat.S_IMODE(found.st_mode) & _PERMISSIONS, size_bytes=found.st_size), host)

    def _put(self, entry: LayerEntry, content: Path | bytes) -> None:
        before = self._entries.get(entry.path)
        above = entry.path.rpartition("/")[0]
        if above:
            self.folder(above)
        if before and before[0].type is not entry.type:
            raise Conflict(
                f"/{entry.path} would be both {_noun(before[0])} and {_noun(entry)}", hint="add it elsewhere"
            )
        if not (before and entry.type is EntryType.DIRECTORY):
            self._entries[entry.path] = (entry, content)

    def _resolved(self, path: str) -> str:
        """Return where a path leads in this tree, its last name as it is."""
        done: list[str] = []
        left = path.strip("/").split("/")[::-1]
        links = 0
        while left:
            name = left.pop()
            here = "/".join([*done, name])
            entry = self._entries.get(here, (None,))[0]
            if left and entry and entry.type is EntryType.SYMLINK and links < _MOST_LINKS:
                links += 1
                done = [] if entry.link.startswith("/") else done
                left.extend(reversed(entry.link.split("/")))
            elif name == "..":
                done = done[:-1]
            elif name not in ("", "."):
                done.append(name)
        return "/".join(done)


def _noun(entry: LayerEntry) -> str:
    return {EntryType.DIRECTORY: "a folder", EntryType.SYMLINK: "a link"}.get(entry.type, "a file")


def _chunks(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb", buffering=0) as file:
            while chunk := file.read(CHUNK_BYTES):
                yield chunk
    except OSError as error:
        raise _unreadable(path, error) from error


def _lstat(path: Path) -> os.stat_result:
    try:
        return path.lstat()
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError) -> HostUnfit:
    return HostUnfit(f"can't read {path}: {error.strerror}", hint="name a file that is there and that you may read")
