"""The archive: a zip behind an interpreter line, whose bytes depend on its source alone."""

import io
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from attrs import evolve, frozen

from moby.contracts.packager import Artifact, Entry, Source
from moby.errors import Unsupported
from moby_packager.bytecode.compiling import compile_all

__all__ = ["Pyz"]

NATIVE = (".so", ".pyd", ".dylib", ".dll")
UNIX = 3
FORMAT = "(format)"
CENTRAL_HEADER_BYTES = 46
"""Fixed part of a central directory header (APPNOTE.TXT 4.3.12)."""


@frozen
class Pyz:
    """Builds the archive; as a value it can be used from many threads."""

    interpreter: str = "/usr/bin/env python3"
    bytecode: bool = True
    compress: bool = True
    stored_bytecode: bool = False

    def build(self, source: Source, out: Path) -> Artifact:
        """Write `NAME.pyz`, executable, into the folder."""
        entries = sorted(source.entries, key=lambda entry: entry.path)
        _refuse(entries)
        if self.bytecode:
            entries = _with_bytecode(entries)
        data, sizes = _zip(entries, f"#!{self.interpreter}\n".encode(), source.epoch_s, self._deflates)
        path = Path(f"{source.name}.pyz")
        (out / path).write_bytes(data)
        (out / path).chmod(0o755)
        return Artifact((path,), sizes)

    def _deflates(self, path: str) -> bool:
        return self.compress and not (self.stored_bytecode and path.endswith(".pyc"))


def _refuse(entries: Sequence[Entry]) -> None:
    for entry in entries:
        if entry.path.endswith(NATIVE):
            raise Unsupported(
                f"{entry.owner} needs {entry.path}, a native module, which Python can't load from a zip",
                hint="choose a format that unpacks, or a part that needs no native module",
            )


def _with_bytecode(entries: Sequence[Entry]) -> list[Entry]:
    """Add a `.pyc` beside each `.py`, where the importer of zips looks first (legacy layout, PEP 3147)."""
    sources = [entry for entry in entries if entry.path.endswith(".py")]
    compiled = compile_all([(entry.path, entry.data) for entry in sources])
    made = [
        evolve(entry, path=f"{entry.path}c", data=data) for entry, data in zip(sources, compiled, strict=True) if data
    ]
    return sorted([*entries, *made], key=lambda entry: entry.path)


def _zip(
    entries: Sequence[Entry], head: bytes, epoch_s: int, deflates: Callable[[str], bool]
) -> tuple[bytes, dict[str, int]]:
    """Return the archive's bytes, and how many of them each owner brought."""
    buffer = io.BytesIO()
    buffer.write(head)
    sizes: Counter[str] = Counter()
    with zipfile.ZipFile(buffer, "w") as archive:
        for entry in entries:
            before = buffer.tell()
            info = zipfile.ZipInfo(entry.path, time.gmtime(epoch_s)[:6])
            info.create_system = UNIX
            info.external_attr = (0o100755 if entry.executable else 0o100644) << 16
            method = zipfile.ZIP_DEFLATED if deflates(entry.path) else zipfile.ZIP_STORED
            archive.writestr(info, entry.data, method, 9)
            sizes[entry.owner] += buffer.tell() - before + CENTRAL_HEADER_BYTES + len(info.filename.encode())
    data = buffer.getvalue()
    sizes[FORMAT] = len(data) - sizes.total()
    return data, dict(sorted(sizes.items()))
