"""The package: an archive of ar with two tars (deb(5)), written without dpkg, the same bytes everywhere."""

import hashlib
import json
import lzma
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from attrs import evolve, frozen

from moby.contracts.packager import FORMAT, Artifact, Source
from moby.errors import Unsupported
from moby_packager.deb import scripts
from moby_packager.deb.scripts import Package
from moby_packager.trees.nodes import Node, plain, with_folders, write
from moby_packager.trees.shares import added, shares, weights

__all__ = ["Deb"]

LOCK = "moby-lock.json"
LONGEST_NAME = 255
"""Of a file, on the file systems that there are."""
_AR_MAGIC = b"!<arch>\n"
_LICENCES = "licenses/"


@frozen
class Deb:
    """Builds the package; as a value it can be used from many threads."""

    version: str = ""
    maintainer: str = ""
    command: str = ""
    group: str = "docker"

    def build(self, source: Source, out: Path) -> Artifact:
        """Write `NAME.deb`."""
        assert source.given is not None, "the component says what it takes"
        package = self._package(source)
        files = _files(source, package)
        data = lzma.compress(_tar(files, source.epoch_s), check=lzma.CHECK_CRC32, preset=6)
        about = lzma.compress(_tar(_control(package, files), source.epoch_s), check=lzma.CHECK_CRC32, preset=6)
        members = [("debian-binary", b"2.0\n"), ("control.tar.xz", about), ("data.tar.xz", data)]
        whole = _ar(members, source.epoch_s)
        path = Path(f"{source.name}.deb")
        (out / path).write_bytes(whole)
        inside = shares(len(data), weights(files))
        return Artifact((path,), added(inside, {FORMAT: len(whole) - len(data)}))

    def _package(self, source: Source) -> Package:
        lock: dict[str, Any] = next((json.loads(each.data) for each in source.entries if each.path == LOCK), {})
        package = Package(
            source.name,
            self.version or lock.get("framework", "0"),
            self.maintainer or f"{source.name} <root@localhost>",
            self.command or f"moby-{source.name}",
            self.group,
            lock.get("engine", {}).get("instances", ()),
        )
        longest = f"{package.name}.service"
        if len(longest) > LONGEST_NAME:
            raise Unsupported(f"{longest} is longer than a file's name can be", hint="give the assembly a shorter name")
        if not re.fullmatch(r"[0-9][A-Za-z0-9.+~-]*", package.version):
            raise Unsupported(f"{package.version!r} is no version of a Debian package", hint="set the option version")
        return package


def _files(source: Source, package: Package) -> list[Node]:
    """Return all that the package installs."""
    assert source.given is not None
    archive = source.given.path().read_bytes()
    # Debian's own interpreter, whatever comes first on a caller's PATH, and whatever is in the caller's environment.
    head, _, rest = archive.partition(b"\n")
    # What follows must not come nearer to the beginning: the zip counts from there.
    program = b"#!/usr/bin/python3 -I".ljust(len(head)) + b"\n" + rest
    owners = dict(source.given.artifact.sizes_bytes)
    owners[FORMAT] = owners.get(FORMAT, 0) + len(program) - len(head) - 1 - len(rest)
    units = "usr/lib/systemd/system"
    served = [
        plain(f"{units}/{package.name}.service", scripts.service(package).encode(), FORMAT),
        plain(f"{units}/{package.name}.socket", scripts.socket(package).encode(), FORMAT),
        plain(f"usr/lib/sysusers.d/{package.name}.conf", scripts.sysusers(package).encode(), FORMAT),
    ]
    licences = [
        plain(f"usr/share/doc/{package.name}/{each.path}", each.data, each.owner)
        for each in source.entries
        if each.path.startswith(_LICENCES)
    ]
    return with_folders(
        [
            Node(f"usr/bin/{package.command}", program, owners, 0o755),
            plain(f"etc/moby/{package.engine}.toml", scripts.configuration(package).encode(), FORMAT),
            *(served if package.serves else []),
            *licences,
        ]
    )


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
