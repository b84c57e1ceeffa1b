"""The image: a whole root that holds the engine, its units, and where systemd mounts what the host has."""

from pathlib import Path

from attrs import frozen

from moby.contracts.packager import FORMAT, Artifact, Source
from moby.errors import Unsupported
from moby_packager.installed import texts
from moby_packager.installed.package import Package, package_of
from moby_packager.squashed.image import maker, squash
from moby_packager.squashed.tree import installed, units
from moby_packager.trees.nodes import Node, folder, plain

__all__ = ["Portable"]

EMPTY = ("dev", "proc", "run", "sys", "tmp", "var/lib/moby", "var/cache/moby", "var/tmp")
"""Where systemd mounts what the host has, and the engine's own folders there."""
MOUNTED = ("etc/machine-id", "etc/resolv.conf")
"""Files of the host's that are mounted over these."""
FOLDERS = ("StateDirectory=moby", "StateDirectoryMode=0711", "CacheDirectory=moby")


@frozen
class Portable:
    """Builds the image; as a value it can be used from many threads."""

    group: str = "docker"
    level: int = 12

    def build(self, source: Source, out: Path) -> Artifact:
        """Write `NAME.portable.raw`; Unsupported for an engine without a front end, which is no service."""
        package = package_of(source, "", "", source.name, self.group)
        if not package.serves:
            raise Unsupported(
                f"the engine {source.name} has no front end, and a portable service is just that",
                hint="choose a part of the kind frontend, or another format, as sysext",
            )
        nodes = [*installed(source), *units(package, *FOLDERS), *_root(package)]
        return squash(nodes, out / f"{source.name}.portable.raw", source.epoch_s, self.level)

    def fingerprint(self) -> str:
        """Return what makes the file system."""
        return maker()


def _root(package: Package) -> list[Node]:
    """Return what a root has besides (portablectl(1), os-release(5))."""
    release = (
        "ID=moby",
        f'NAME="moby {package.engine}"',
        f"VERSION_ID={package.version}",
        f"PORTABLE_PREFIXES={package.name}",
    )
    return [
        *(folder(each) for each in EMPTY),
        *(plain(each, b"", FORMAT) for each in MOUNTED),
        plain("usr/lib/os-release", "".join(f"{line}\n" for line in release).encode(), FORMAT),
        plain(f"etc/moby/{package.engine}.toml", texts.configuration(package).encode(), FORMAT),
        plain("etc/passwd", b"root:x:0:0:root:/root:/bin/false\n", FORMAT),
        plain("etc/group", f"root:x:0:\n{package.group}:x:999:\n".encode(), FORMAT),
    ]
