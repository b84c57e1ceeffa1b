"""A folder as the archive that `POST /build` takes: without what is ignored, with the Dockerfile wherever that is."""

import os
import secrets
import stat
import tarfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from moby.context.patterns import read_ignore_file
from moby.context.sending import send
from moby.contracts.builder import Entry, Selection
from moby.errors import Unavailable

__all__ = ["packed"]

_BLOCK = 512
_CHUNK = 1 << 20
_TYPES = {
    stat.S_IFDIR: tarfile.DIRTYPE, stat.S_IFLNK: tarfile.SYMTYPE, stat.S_IFCHR: tarfile.CHRTYPE,
    stat.S_IFBLK: tarfile.BLKTYPE, stat.S_IFIFO: tarfile.FIFOTYPE,
}  # fmt: skip


def packed(folder: Path, above: Path | None, name: str) -> tuple[str, Iterator[bytes]]:
    """Return where the Dockerfile is in the archive, and the archive; `above` is the Dockerfile's own folder."""
    file = (above or folder) / name
    place = _inside(folder, file)
    extra = {} if place else {f".dockerfile.{secrets.token_hex(8)}": file.read_bytes()}
    place = place or next(iter(extra))
    own = file.with_name(f"{file.name}.dockerignore")
    ignore = own if own.is_file() else folder / ".dockerignore"
    patterns = read_ignore_file(ignore.read_bytes()) if ignore.is_file() else ()
    kept = (*patterns, f"!{place}", "!.dockerignore") if patterns else ()
    return place, _archive(folder, Selection(exclude=kept), extra)


def _inside(folder: Path, file: Path) -> str:
    """Return a Dockerfile's path in a context; empty where it is elsewhere, or a link."""
    with suppress(ValueError):
        if not file.is_symlink():
            return str(file.resolve().relative_to(folder.resolve()))
    return ""


def _archive(folder: Path, selection: Selection, extra: Mapping[str, bytes]) -> Iterator[bytes]:
    reads, writes = os.pipe2(os.O_CLOEXEC)
    failed: list[Exception] = []

    def work() -> None:
        with os.fdopen(writes, "wb", _CHUNK) as out, suppress(BrokenPipeError):
            try:
                receiver = _Tar(out)
                for name, data in extra.items():
                    receiver.add(name, data)
                send(folder, selection, receiver)
                out.write(bytes(2 * _BLOCK))
            except BrokenPipeError:
                raise
            except Exception as error:
                failed.append(error)

    thread = threading.Thread(target=work, name="context", daemon=True)
    thread.start()
    try:
        while chunk := os.read(reads, 1 << 16):
            yield chunk
    finally:
        os.close(reads)
        thread.join()
    if failed:
        raise failed[0]


class _Tar:
    """Writes a folder into an archive as it arrives."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self._left = 0
        self._size = 0

    def add(self, name: str, data: bytes) -> None:
        """Write a file of the archive's own."""
        if self.entry(Entry(name, stat.S_IFREG | 0o600, size_bytes=len(data))):
            self.content(name, data)
            self.content(name, b"")

    def entry(self, entry: Entry) -> bool:
        """Write what a file is; see the contract of receivers."""
        kind = stat.S_IFMT(entry.mode)
        member = tarfile.TarInfo(entry.path)
        member.mode, member.mtime = stat.S_IMODE(entry.mode), entry.time_ns // 10**9
        member.devmajor, member.devminor = entry.device
        regular = kind == stat.S_IFREG
        member.type = _TYPES.get(kind, tarfile.LNKTYPE if entry.link else tarfile.REGTYPE)
        member.linkname = entry.link
        member.size = self._size = self._left = entry.size_bytes if regular and not entry.link else 0
        prefix = "SCHILY.xattr."
        member.pax_headers = {
            prefix + key: value.decode("utf-8", "surrogateescape") for key, value in entry.xattrs.items()
        }
        self._out.write(member.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape"))
        return regular and not entry.link

    def content(self, path: str, chunk: bytes) -> None:
        """Write a piece; an empty one is the end. Unavailable where the file isn't as long as it was."""
        self._left -= len(chunk)
        if self._left < 0 or (not chunk and self._left):
            raise Unavailable(f"{path} changed while it was read", hint="build again")
        self._out.write(chunk or bytes(-self._size % _BLOCK))
