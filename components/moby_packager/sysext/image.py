"""The image: a file system that holds /usr alone, and says which systems it extends (systemd-sysext(8))."""

from pathlib import Path

from attrs import frozen

from moby.contracts.packager import FORMAT, Artifact, Source
from moby_packager.installed import texts
from moby_packager.installed.package import Package, package_of
from moby_packager.squashed.image import maker, squash
from moby_packager.squashed.tree import installed, units
from moby_packager.trees.nodes import Node, plain

__all__ = ["Sysext"]


@frozen
class Sysext:
    """Builds the image; as a value it can be used from many threads."""

    group: str = "docker"
    system: str = "_any"
    level: int = 12

    def build(self, source: Source, out: Path) -> Artifact:
        """Write `NAME.sysext.raw`."""
        package = package_of(source, "", "", source.name, self.group)
        nodes = [*installed(source), *units(package), *self._settings(package)]
        return squash(nodes, out / f"{source.name}.sysext.raw", source.epoch_s, self.level)

    def fingerprint(self) -> str:
        """Return what makes the file system."""
        return maker()

    def _settings(self, package: Package) -> list[Node]:
        release = f"ID={self.system}\nARCHITECTURE=x86-64\n"
        if self.system != "_any":
            release += "SYSEXT_LEVEL=1.0\n"
        folder, name = "usr/lib/extension-release.d/extension-release", package.engine
        # A system of before version 257 takes all but `.raw` for the image's name.
        names = (f"{folder}.{name}", f"{folder}.{name}.sysext")
        found = [plain(each, f"{release}EXTENSION_RELOAD_MANAGER=1\n".encode(), FORMAT) for each in names]
        if package.serves:
            sample, place = f"usr/share/moby/{name}.toml", f"/etc/moby/{name}.toml"
            copied = f"C {place} 0644 root root - /{sample}\n"
            found += [
                plain(sample, texts.configuration(package).encode(), FORMAT),
                plain(f"usr/lib/tmpfiles.d/{package.name}.conf", copied.encode(), FORMAT),
                plain(f"usr/lib/sysusers.d/{package.name}.conf", texts.sysusers(package).encode(), FORMAT),
            ]
        return found
