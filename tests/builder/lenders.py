"""A session that lends folders of this machine, as BuildKit's clients do."""

import io
import os
import stat

from attrs import define, field

from moby.contracts.builder import Entry
from moby.errors import NotFound

CHUNK = 32 << 10


def entries_of(folder, selection=None):
    """Yield a folder's entries in the order of a client's walk; owners are root's, as clients send them."""
    del selection
    known = {}
    yield from _walk(str(folder), "", known)


def _walk(root, path, known):
    for name in sorted(os.listdir(os.path.join(root, path)), key=os.fsencode):
        inner = f"{path}/{name}" if path else name
        yield _entry(root, inner, known)
        if stat.S_ISDIR(os.lstat(os.path.join(root, inner)).st_mode):
            yield from _walk(root, inner, known)


def _entry(root, path, known):
    full = os.path.join(root, path)
    found = os.lstat(full)
    link, size = "", 0
    if stat.S_ISLNK(found.st_mode):
        link = os.readlink(full)
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
            with open(os.path.join(self.folders[name], path), "rb") as file:
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
