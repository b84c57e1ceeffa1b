"""A session that lends folders of this machine, as BuildKit's clients do."""

import io
import os
import stat
from pathlib import Path

from attrs import define, field

from moby.contracts.builder import Entry
from moby.errors import NotFound

CHUNK = 32 << 10


def entries_of(folder, selection=None):
    """Yield a folder's entries in the order of a client's walk; owners are root's, as clients send them."""
    del selection
    known = {}
    yield from _walk(Path(folder), "", known)


def _walk(root, path, known):
    for each in sorted((root / path).iterdir(), key=os.fsencode):
        inner = f"{path}/{each.name}" if path else each.name
        yield _entry(root, inner, known)
        if stat.S_ISDIR(each.lstat().st_mode):
            yield from _walk(root, inner, known)


def _entry(root, path, known):
    full = root / path
    found = full.lstat()
    link, size = "", 0
    if stat.S_ISLNK(found.st_mode):
        link = str(full.readlink())
    elif stat.S_ISREG(found.st_mode):
        size = found.st_size
        first = known.setdefault(found.st_ino, path)
        link = first if first != path else ""
    device = (os.major(found.st_rdev), os.minor(found.st_rdev))
    return Entry(path, found.st_mode, 0, 0, size, found.st_mtime_ns, link, device)


@define
class Lender:
    """Lends folders by name, streams, secrets; counts what it is asked for."""

    folders: dict = field(factory=dict)
    streams: dict = field(factory=dict)
    secrets: dict = field(factory=dict)
    stores: dict = field(factory=dict)
    key: str = "here"
    sent: list = field(factory=list)
    """Paths of files whose content was wanted."""

    def folder(self, name, selection, receiver):
        if name not in self.folders:
            raise NotFound(f"no folder {name}")
        wanted = [each.path for each in entries_of(self.folders[name], selection) if receiver.entry(each)]
        for path in wanted:
            self.sent.append(path)
            with (Path(self.folders[name]) / path).open("rb") as file:
                while chunk := file.read(CHUNK):
                    receiver.content(path, chunk)
            receiver.content(path, b"")

    def stream(self, name):
        if name not in self.streams:
            raise NotFound(f"no stream {name}")
        return io.BytesIO(self.streams.pop(name))

    def secret(self, name):
        if name not in self.secrets:
            raise NotFound(f"secret {name}: not found")
        return self.secrets[name]

    def ssh(self, name):
        raise NotFound(f"no agent {name}")

    def credentials(self, host):
        return None

    def blobs(self, name):
        if name not in self.stores:
            raise NotFound(f"no store {name}")
        return self.stores[name]
