"""The file: a program that unpacks, the interpreter that it unpacks, and the archive that it then runs."""

import hashlib
import struct
import zlib
from pathlib import Path

from attrs import frozen

from moby.contracts.packager import FORMAT, Artifact, Source
from moby.errors import Invalid
from moby_packager.launching.compiling import compile_program, compiler_version
from moby_packager.trees.nodes import Node, read
from moby_packager.trees.shares import added, shares, weights

__all__ = ["Binary"]

MARK = b"moby-packed-here"
HEAD = struct.Struct("<16sQQQI36s")
"""Mark, place and size of what is packed, its size unpacked, CRC-32, name of its folder (launching/unpack.c)."""


@frozen
class Binary:
    """Builds the file; as a value it can be used from many threads."""

    level: int = 6

    def build(self, source: Source, out: Path) -> Artifact:
        """Write `NAME.binary`, executable."""
        assert source.given is not None, "the component says what it takes"
        nodes = read(source.given.path().read_bytes())
        own = f"{source.name}.pyz"
        (archive,) = [node for node in nodes if node.path == own]
        rest = [node for node in nodes if node.path not in (own, f"bin/{source.name}")]
        records = b"".join(map(_record, rest))
        packed = _deflated(records, self.level)
        program = _filled(compile_program("unpack"), records, packed)
        path = Path(f"{source.name}.binary")
        (out / path).write_bytes(program + packed + archive.data)
        (out / path).chmod(0o755)
        sizes = added({FORMAT: len(program)}, shares(len(packed), weights(rest)), archive.owners)
        return Artifact((path,), sizes)

    def fingerprint(self) -> str:
        """Return what compiles the program, and what deflates."""
        return f"{compiler_version()}; zlib {zlib.ZLIB_RUNTIME_VERSION}"


def _record(node: Node) -> bytes:
    """Return a file, folder or link as the program reads it."""
    kind = b"d" if node.is_folder else b"l" if node.target else b"x" if node.mode & 0o100 else b"f"
    path, data = node.path.encode(), node.target.encode() or node.data
    return kind + struct.pack("<HI", len(path), len(data)) + path + data


def _deflated(data: bytes, level: int) -> bytes:
    packer = zlib.compressobj(level, zlib.DEFLATED, -zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


def _filled(program: bytes, records: bytes, packed: bytes) -> bytes:
    """Write into the program what lies behind it; the folder's name says what is in it."""
    at = program.find(MARK)
    if at < 0:
        raise Invalid("the program that unpacks has no place for what it unpacks", hint="use another compiler")
    name = hashlib.sha256(records).hexdigest()[:32].encode()
    head = HEAD.pack(MARK, len(program), len(packed), len(records), zlib.crc32(records), name)
    return program[:at] + head + program[at + HEAD.size :]
