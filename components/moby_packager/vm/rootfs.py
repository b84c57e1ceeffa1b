"""Layers on top of each other as the files of one root, in memory (image-spec, layer.md)."""

import io
import posixpath
import stat
from collections.abc import Iterable, Iterator, Mapping

from moby.errors import Invalid, Unsupported
from moby.oci import compression, layer
from moby.oci.layer import EntryType, LayerEntry
from moby_packager.vm.cpio import Record

__all__ = ["flattened", "placed", "program_in", "resolved", "text_of"]

_HIDDEN, _OPAQUE = ".wh.", ".wh..wh..opq"
_MOST_LINKS = 40
_DEEPEST_SCRIPT = 5
_USUAL_PATH = "/bin:/usr/bin"
_CAPABILITY = "security.capability"
_KINDS = {
    EntryType.FILE: stat.S_IFREG, EntryType.HARDLINK: stat.S_IFREG, EntryType.SYMLINK: stat.S_IFLNK,
    EntryType.CHARACTER: stat.S_IFCHR, EntryType.BLOCK: stat.S_IFBLK, EntryType.DIRECTORY: stat.S_IFDIR,
    EntryType.FIFO: stat.S_IFIFO,
}  # fmt: skip
Files = dict[str, Record]


def flattened(layers: Iterable[bytes]) -> Files:
    """Return the files that layers come to, by path; Invalid where one is damaged.

    Unsupported names a file with capabilities, which the archive of a machine can't carry.
    """
    files: Files = {}
    for data in layers:
        new: set[str] = set()
        for entry, content in layer.read(compression.plain(io.BytesIO(data))):
            if entry.path:
                _apply(files, entry, b"".join(content), new)
    return files


def placed(files: Files, path: str, *, folder: bool) -> None:
    """Make a place for a mount, unless there is something; links on the way are followed inside the root."""
    place = _resolved(files, path.strip("/"), last=True)
    if place and place not in files:
        _with_parents(files, place)
        files[place] = Record(place, stat.S_IFDIR | 0o755 if folder else stat.S_IFREG | 0o644)


def text_of(files: Mapping[str, Record], path: str) -> str:
    """Return a regular file's text; empty where there is none."""
    found = _regular(files, path)
    return found.data.decode(errors="replace") if found else ""


def resolved(files: Mapping[str, Record], path: str) -> str:
    """Return where a path of the root leads, relative to it; Invalid for one that leads round and round."""
    return _resolved(files, path.strip("/"), last=True)


def program_in(
    files: Mapping[str, Record], name: str, environment: Iterable[str], folder: str
) -> tuple[str, list[str]]:
    """Find a program as execvp(3) does: its path, and where it and its interpreters lie, where it is a script.

    Nothing where all of that isn't in the root.
    """
    search = next((each[5:] for each in environment if each.startswith("PATH=")), _USUAL_PATH)
    paths = [name] if "/" in name else [f"{each or '.'}/{name}" for each in search.split(":")]
    for path in paths:
        places = _executed(files, path, folder)
        if places:
            return path, places
    return "", []


def _executed(files: Mapping[str, Record], path: str, folder: str) -> list[str]:
    """Return where the files lie that a program's start reads; none where one isn't there, or may not be run."""
    places: list[str] = []
    while path and len(places) < _DEEPEST_SCRIPT:
        whole = path if path.startswith("/") else f"{folder}/{path}"
        found = _regular(files, whole.strip("/"))
        if found is None or not found.mode & 0o111:
            return []
        places.append(resolved(files, whole))
        if not found.data.startswith(b"#!"):
            return places
        words = found.data.partition(b"\n")[0][2:].split()
        path = words[0].decode(errors="surrogateescape") if words else ""
    return []


def _regular(files: Mapping[str, Record], path: str) -> Record | None:
    found = files.get(_resolved(files, path, last=True))
    while found is not None and found.link_of:
        found = files.get(found.link_of)
    return found if found and stat.S_ISREG(found.mode) else None


def _apply(files: Files, entry: LayerEntry, data: bytes, new: set[str]) -> None:
    path = _resolved(files, entry.path, last=False)
    parent, name = posixpath.split(path)
    if name == _OPAQUE:
        kept = new.union(*map(_above, new))
        _take_out(files, [each for each in _below(files, parent) if each not in kept])
    elif name.startswith(_HIDDEN):
        _remove(files, posixpath.join(parent, name.removeprefix(_HIDDEN)))
    else:
        if _CAPABILITY in entry.xattrs:
            raise Unsupported(
                f"{entry.path} has capabilities of its own, which a machine's files can't",
                hint="give the service the capabilities, and run it as root",
            )
        if entry.type is not EntryType.DIRECTORY or (path in files and not stat.S_ISDIR(files[path].mode)):
            _remove(files, path)
        _with_parents(files, path)
        files[path] = _record(files, path, entry, data)
        new.add(path)


def _record(files: Files, path: str, entry: LayerEntry, data: bytes) -> Record:
    if entry.type is EntryType.HARDLINK:
        target = _resolved(files, entry.link, last=False)
        if target not in files:
            raise Invalid(f"layer entry {path!r} links to {entry.link!r}, which isn't there")
        found = files[target]
        if not stat.S_ISREG(found.mode):
            return Record(path, found.mode, found.data, found.uid, found.gid, found.device)
        return Record(path, found.mode, b"", found.uid, found.gid, link_of=found.link_of or target)
    content = entry.link.encode(errors="surrogateescape") if entry.type is EntryType.SYMLINK else data
    return Record(path, _KINDS[entry.type] | entry.mode, content, entry.uid, entry.gid, entry.device)


def _below(files: Files, folder: str) -> Iterator[str]:
    start = f"{folder}/" if folder else ""
    return (each for each in list(files) if each.startswith(start))


def _above(path: str) -> Iterator[str]:
    while path := posixpath.dirname(path):
        yield path


def _remove(files: Files, path: str) -> None:
    """Take a file out, with what is in it."""
    found = files.get(path)
    if found is not None:  # else there is nothing in it, either
        _take_out(files, [*(_below(files, path) if stat.S_ISDIR(found.mode) else ()), path])


def _take_out(files: Files, gone: Iterable[str]) -> None:
    """Take files out; where others are links to one, the first of them is the file now."""
    removed = {each: files.pop(each) for each in gone}
    heirs: dict[str, str] = {}
    for each, record in list(files.items()):
        lost = removed.get(record.link_of)
        if lost is not None:
            heir = heirs.setdefault(record.link_of, each)
            own = heir == each
            files[each] = Record(each, record.mode, lost.data if own else b"", record.uid, record.gid,
                                 link_of="" if own else heir)  # fmt: skip


def _with_parents(files: Files, path: str) -> None:
    parent = posixpath.dirname(path)
    if parent and (parent not in files or not stat.S_ISDIR(files[parent].mode)):
        _remove(files, parent)
        _with_parents(files, parent)
        files[parent] = Record(parent, stat.S_IFDIR | 0o755)


def _resolved(files: Mapping[str, Record], path: str, *, last: bool) -> str:
    """Return a path without links on the way, and with `last` none at its end; none leads out of the root."""
    done: list[str] = []
    waiting = path.split("/")
    links = 0
    while waiting:
        part = waiting.pop(0)
        if part in ("", "."):
            continue
        if part == "..":
            done = done[:-1]
            continue
        found = files.get("/".join([*done, part]))
        if found is not None and stat.S_ISLNK(found.mode) and (waiting or last):
            links += 1
            if links > _MOST_LINKS:
                raise Invalid(f"{path!r} has too many links on its way")
            target = found.data.decode(errors="surrogateescape")
            done = [] if target.startswith("/") else done
            waiting = [*target.split("/"), *waiting]
        else:
            done.append(part)
    return "/".join(done)
