"""The package: lead, signature, header and an archive of cpio, written without rpm, the same bytes everywhere."""

import hashlib
import lzma
import re
import struct
from collections.abc import Sequence
from pathlib import Path

from attrs import frozen

from moby.contracts.packager import FORMAT, Artifact, Source
from moby.errors import Unsupported
from moby_packager.installed.package import Package, files, package_of
from moby_packager.rpm import relations, scripts
from moby_packager.rpm.header import Value, encoded
from moby_packager.trees.nodes import Node, with_folders
from moby_packager.trees.shares import added, shares, weights

__all__ = ["Rpm"]

SIGNATURE, IMMUTABLE = 62, 63
"""Tags of what says that a whole header is signed."""
SHA256 = 8
"""As OpenPGP numbers it."""
CONFIGURATION, KEPT, LICENCE = 1, 16, 128
"""Flags of files."""
FOLDER, FILE = 0o040000, 0o100000
_LEAD = struct.Struct(">4sBBHH66sHH16s")
_TRAILER = "TRAILER!!!"


@frozen
class Rpm:
    """Builds the package; as a value it can be used from many threads."""

    version: str = ""
    release: str = "1"
    maintainer: str = ""
    command: str = ""
    group: str = "docker"
    level: int = 6

    def build(self, source: Source, out: Path) -> Artifact:
        """Write `NAME.rpm`."""
        package = self._package(source)
        nodes = _own(with_folders(files(source, package)), package)
        plain = _cpio(nodes, source.epoch_s)
        payload = lzma.compress(plain, check=lzma.CHECK_CRC32, preset=self.level)
        header = encoded(self._header(package, nodes, source.epoch_s, payload), IMMUTABLE)
        whole = _lead(package) + _signature(header, payload, len(plain)) + header + payload
        path = Path(f"{source.name}.rpm")
        (out / path).write_bytes(whole)
        inside = shares(len(payload), weights(node for node in nodes if not node.is_folder))
        return Artifact((path,), added(inside, {FORMAT: len(whole) - len(payload)}))

    def _package(self, source: Source) -> Package:
        found = package_of(source, self.version, self.maintainer, self.command, self.group)
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._+~^]*", found.version):
            raise Unsupported(f"{found.version!r} is no version of a package of rpm", hint="set the option version")
        return found

    def _header(self, package: Package, nodes: Sequence[Node], epoch_s: int, payload: bytes) -> dict[int, Value]:
        """Return all that is said of a package, by tag."""
        return {
            100: ["C"],  # the language of what could be translated
            1000: package.name,
            1001: package.version,
            1002: self.release,
            1004: f"container engine {package.engine}",
            1005: scripts.description(package),
            1006: [epoch_s],
            1007: "localhost",  # where it was built
            1009: [sum(len(node.data) for node in nodes)],
            1014: "Apache-2.0",
            1015: package.maintainer,
            1016: "System",
            1021: "linux",
            1022: "noarch",
            1044: f"{package.name}-{package.version}-{self.release}.src.rpm",  # else it would be taken for a source
            1124: "cpio",
            1125: "xz",
            1126: "6",
            5062: "utf-8",
            5092: [hashlib.sha256(payload).hexdigest()],
            5093: [SHA256],
            **scripts.tags(package),
            **relations.tags(package, self.release),
            **_listed(nodes, epoch_s),
        }


def _own(nodes: Sequence[Node], package: Package) -> list[Node]:
    """Leave out the folders that every system has, whose permissions are the system's matter."""
    own = (f"usr/share/doc/{package.name}", "etc/moby")
    return [node for node in nodes if not node.is_folder or node.path.startswith(own)]


def _listed(nodes: Sequence[Node], epoch_s: int) -> dict[int, Value]:
    """Return what is said of files, by tag."""
    folders = sorted({f"/{node.path.rpartition('/')[0]}/" for node in nodes})
    count = len(nodes)
    return {
        1028: [len(node.data) for node in nodes],
        1030: [_mode(node) for node in nodes],
        1033: [0] * count,  # devices that they would be
        1034: [epoch_s] * count,
        1035: ["" if node.is_folder else hashlib.sha256(node.data).hexdigest() for node in nodes],
        1036: [""] * count,  # where links lead
        1037: [_flags(node) for node in nodes],
        1039: ["root"] * count,
        1040: ["root"] * count,
        1045: [0xFFFFFFFF] * count,  # verify all that can be
        1095: [1] * count,
        1096: list(range(1, count + 1)),
        1097: [""] * count,
        1116: [folders.index(f"/{node.path.rpartition('/')[0]}/") for node in nodes],
        1117: [node.path.rpartition("/")[2] for node in nodes],
        1118: folders,
        5011: [SHA256],
    }


def _mode(node: Node) -> int:
    return node.mode | (FOLDER if node.is_folder else FILE)


def _flags(node: Node) -> int:
    if node.is_folder:
        return 0
    if node.path.startswith("etc/"):
        return CONFIGURATION | KEPT
    return LICENCE if "/licenses/" in node.path else 0


def _cpio(nodes: Sequence[Node], epoch_s: int) -> bytes:
    """Return an archive in the form `newc` (cpio(5)), with names as rpm wants them."""
    out = bytearray()
    for number, node in enumerate([*nodes, None], start=1):
        name = f"./{node.path}" if node else _TRAILER
        data, mode, time = (node.data, _mode(node), epoch_s) if node else (b"", 0, 0)
        links = 1 if node is None or not node.is_folder else 2
        fields = (number if node else 0, mode, 0, 0, links, time, len(data), 0, 0, 0, 0, len(name.encode()) + 1, 0)
        out += b"070701" + b"".join(b"%08x" % each for each in fields) + name.encode() + b"\0"
        out += bytes(-len(out) % 4) + data
        out += bytes(-len(out) % 4)
    return bytes(out)


def _lead(package: Package) -> bytes:
    """Return what programs that know nothing of rpm know a package by."""
    name = f"{package.name}-{package.version}".encode()[:65]
    return _LEAD.pack(b"\xed\xab\xee\xdb", 3, 0, 0, 255, name, 1, 5, b"")


def _signature(header: bytes, payload: bytes, plain_bytes: int) -> bytes:
    """Return the header of digests, which old and new versions of rpm check."""
    md5 = hashlib.md5(header + payload, usedforsecurity=False).digest()
    signed = encoded(
        {
            269: hashlib.sha1(header, usedforsecurity=False).hexdigest(),
            273: hashlib.sha256(header).hexdigest(),
            1000: [len(header) + len(payload)],
            1004: md5,
            1007: [plain_bytes],
        },
        SIGNATURE,
    )
    return signed + bytes(-len(signed) % 8)
