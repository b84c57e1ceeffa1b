"""The package: an archive of ar with two tars (deb(5)), written without dpkg, the same bytes everywhere."""

import hashlib
import lzma
import re
from collections.abc import Sequence
from pathlib import Path

from attrs import evolve, frozen

from moby.contracts.packager import FORMAT, Artifact, Source
from moby.errors import Unsupported
from moby_packager.deb import scripts
from moby_packager.installed.package import Package, files, package_of
from moby_packager.trees.nodes import Node, plain, with_folders, write
from moby_packager.trees.shares import added, shares, weights

__all__ = ["Deb"]

_AR_MAGIC = b"!<arch>\n"


@frozen
class Deb:
    """Builds the package; as a value it can be used from many threads."""

    version: str = ""
    maintainer: str = ""
    command: str = ""
    group: str = "docker"
    level: int = 6

    def build(self, source: Source, out: Path) -> Artifact:
        """Write `NAME.deb`."""
        package = self._package(source)
        nodes = with_folders(files(source, package))
        data = lzma.compress(_tar(nodes, source.epoch_s), check=lzma.CHECK_CRC32, preset=self.level)
        about = lzma.compress(_tar(_control(package, nodes), source.epoch_s), check=lzma.CHECK_CRC32, preset=self.level)
        members = [("debian-binary", b"2.0\n"), ("control.tar.xz", about), ("data.tar.xz", data)]
        whole = _ar(members, source.epoch_s)
        path = Path(f"{source.name}.deb")
        (out / path).write_bytes(whole)
        inside = shares(len(data), weights(nodes))
        return Artifact((path,), added(inside, {FORMAT: len(whole) - len(data)}))

    def _package(self, source: Source) -> Package:
        found = package_of(source, self.version, self.maintainer, self.command, self.group)
        if not re.fullmatch(r"[0-9][A-Za-z0-9.+~-]*", found.version):
            raise Unsupported(f"{found.version!r} is no version of a Debian package", hint="set the option version")
        return found


def _control(package: Package, files: Sequence[Node]) -> list[Node]:
    summed = [(hashlib.md5(each.data, usedforsecurity=False).hexdigest(), each.path) for each in files if each.data]
    sums = [f"{digest}  {path}\n" for digest, path in summed]
    conffiles = [f"/{each.path}\n" for each in files if each.path.startswith("etc/") and not each.is_folder]
    texts = {
        "control": scripts.control(package, sum(len(each.data) for each in files)),
        "conffiles": "".join(conffiles),
        "md5sums": "".join(sums),
    }
    nodes = [plain(name, text.encode(), FORMAT) for name, text in texts.items()]
    nodes += [plain(name, text.encode(), FORMAT, executable=True) for name, text in scripts.scripts(package).items()]
    return sorted(nodes, key=lambda node: node.path)


def _tar(nodes: Sequence[Node], epoch_s: int) -> bytes:
    """Return a tar as dpkg expects it: names begin with `./`."""
    return write([evolve(node, path=f"./{node.path}") for node in nodes], epoch_s)


def _ar(members: Sequence[tuple[str, bytes]], epoch_s: int) -> bytes:
    out = [_AR_MAGIC]
    for name, data in members:
        out.append(f"{name:<16}{epoch_s:<12}{0:<6}{0:<6}{'100644':<8}{len(data):<10}`\n".encode())
        out.append(data + b"\n" * (len(data) % 2))
    return b"".join(out)
