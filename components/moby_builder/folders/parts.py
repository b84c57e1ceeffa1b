"""Folders: what was built as a tree of files, given to the client as they are or as one archive."""

import io
import os
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

from attrs import field, frozen

from moby.contracts.builder import Entry
from moby.errors import NotFound
from moby.host import tree
from moby.host.mounts import open_in_root
from moby.oci import layer
from moby.oci.layer import EntryType, LayerEntry
from moby.oci.pack import Entry as PackedEntry
from moby.oci.pack import Packing
from moby.values import evolve

__all__ = ["Part", "Parts", "archived"]

_TYPES = {
    EntryType.FILE: stat.S_IFREG, EntryType.HARDLINK: stat.S_IFREG, EntryType.SYMLINK: stat.S_IFLNK,
    EntryType.CHARACTER: stat.S_IFCHR, EntryType.BLOCK: stat.S_IFBLK, EntryType.DIRECTORY: stat.S_IFDIR,
    EntryType.FIFO: stat.S_IFIFO,
}  # fmt: skip


@frozen
class Part:
    """One tree of files, in a folder of this name, or at the top where it has none."""

    root: Path
    name: str = ""
    files: Mapping[str, bytes] = field(factory=dict)
    """Further files at its top, by name."""


class Parts:
    """Trees as one folder that is given away; they are there for as long as it is used."""

    def __init__(self, parts: Sequence[Part], epoch_s: int | None = None) -> None:
        self._parts = {each.name: each for each in parts}
        self._time_ns = None if epoch_s is None else epoch_s * 1_000_000_000

    def entries(self) -> Iterator[Entry]:
        """Yield all entries, folders before what is in them, names in byte order."""
        for entry, _ in self.packed():
            if entry.path:
                yield Entry(
                    entry.path, _TYPES[entry.type] | entry.mode, entry.uid, entry.gid,
                    entry.size_bytes, entry.mtime_ns, entry.link, entry.device, dict(entry.xattrs),
                )  # fmt: skip

    def open(self, path: str) -> BinaryIO:
        """Open a regular file; no link is followed out of its tree."""
        name, _, inside = path.partition("/") if "" not in self._parts else ("", "", path)
        part = self._parts.get(name)
        if part is None or not inside:
            raise NotFound(f"there is no file {path[:200]!r}")
        if inside in part.files:
            return io.BytesIO(part.files[inside])
        root = os.open(part.root, tree.DIRECTORY_FLAGS)
        try:
            return os.fdopen(open_in_root(root, inside, os.O_RDONLY | os.O_NOFOLLOW), "rb")
        except FileNotFoundError:
            raise NotFound(f"there is no file {path[:200]!r}") from None
        finally:
            os.close(root)

    def packed(self) -> Iterator[PackedEntry]:
        """Yield all as entries of an archive."""
        for name in sorted(self._parts, key=os.fsencode):
            part = self._parts[name]
            if name:
                yield LayerEntry(name, EntryType.DIRECTORY, 0o755, mtime_ns=self._time_ns or 0), ()
            for entry, content in _with(part.files, _tree(part.root)):
                moved = f"{name}/{entry.path}".strip("/")
                link = f"{name}/{entry.link}" if name and entry.type is EntryType.HARDLINK else entry.link
                time_ns = entry.mtime_ns if self._time_ns is None else self._time_ns
                if moved != name:
                    yield evolve(entry, path=moved, link=link, mtime_ns=time_ns), content


def archived(parts: Parts) -> BinaryIO:
    """Return a reader of trees as one archive."""
    return layer.write(parts.packed())


def _tree(root: Path) -> Iterator[PackedEntry]:
    fd = os.open(root, tree.DIRECTORY_FLAGS)
    try:
        yield from Packing(fd).entries()
    finally:
        os.close(fd)


def _with(files: Mapping[str, bytes], entries: Iterable[PackedEntry]) -> Iterator[PackedEntry]:
    """Yield entries with further files at the top in their places, which hide what is there."""
    left = sorted(files, key=os.fsencode)
    for entry, content in entries:
        top = entry.path.partition("/")[0]
        while left and os.fsencode(left[0]) <= os.fsencode(top):
            name = left.pop(0)
            yield LayerEntry(name, size_bytes=len(files[name])), [files[name]]
        if top not in files:
            yield entry, content
    for name in left:
        yield LayerEntry(name, size_bytes=len(files[name])), [files[name]]
