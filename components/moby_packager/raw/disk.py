"""The disk: a table of GUIDs, a partition that firmware starts from, and one for what lasts where that is wanted."""

import tempfile
from pathlib import Path

from attrs import frozen

from moby.contracts.packager import Artifact, Source
from moby_packager.commands.running import run, version
from moby_packager.disks.esp import MIB, esp, makers
from moby_packager.disks.identifiers import identifier
from moby_packager.disks.owners import carried

__all__ = ["Raw"]

FIRST_MIB = LAST_MIB = 1
"""Kept for the table at the disk's beginning, and for the one at its end."""
SECTOR = 512
LINUX = "0FC63DAF-8483-4772-8E79-3D69D8477DE4"
ESP = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"


@frozen
class Raw:
    """Builds the disk; as a value it can be used from many threads."""

    data_mib: int = 0
    label: str = "moby-data"

    def build(self, source: Source, out: Path) -> Artifact:
        """Write `NAME.raw`."""
        assert source.given is not None, "the component says what it takes"
        boot = esp(source.given.path().read_bytes(), source.name, source.epoch_s, out)
        end = FIRST_MIB * MIB + len(boot)
        path = Path(f"{source.name}.raw")
        with tempfile.TemporaryDirectory(dir=out) as folder:
            with Path(folder, "disk").open("wb") as file:
                file.seek(FIRST_MIB * MIB)
                file.write(boot)
                if self.data_mib:
                    file.write(self._data(source, Path(folder)))
                file.truncate(end + (self.data_mib + LAST_MIB) * MIB)
            table = self._table(source.name, len(boot)).encode()
            command = ["sfdisk", "--quiet", "--no-reread", "--no-tell-kernel", "disk"]
            run(command, package="fdisk", data=table, folder=Path(folder))
            data = Path(folder, "disk").read_bytes()
        (out / path).write_bytes(data)
        return Artifact((path,), carried(source.given.artifact.sizes_bytes, len(data)))

    def fingerprint(self) -> str:
        """Return which programs make partitions and what is in them."""
        own = [
            version("sfdisk", package="fdisk"),
            *([version("mke2fs", "-V", package="e2fsprogs")] if self.data_mib else []),
        ]
        return "; ".join([makers(), *own])

    def _table(self, name: str, boot_bytes: int) -> str:
        """Return what sfdisk is told."""
        start = FIRST_MIB * MIB // SECTOR
        lines = [
            "label: gpt",
            f"label-id: {identifier(name, 'disk')}",
            f'start={start}, size={boot_bytes // SECTOR}, type={ESP}, uuid={identifier(name, "boot")}, name="boot"',
        ]
        if self.data_mib:
            start += boot_bytes // SECTOR
            size = self.data_mib * MIB // SECTOR
            lines.append(f'start={start}, size={size}, type={LINUX}, uuid={identifier(name, "data")}, name="data"')
        return "\n".join(lines) + "\n"

    def _data(self, source: Source, folder: Path) -> bytes:
        """Return an empty file system, ext4, that the machine finds by its label."""
        number = identifier(source.name, "data file system")
        flags = ["-q", "-F", "-t", "ext4", "-b", "4096", "-m", "1", "-L", self.label, "-U", str(number)]
        flags += ["-E", f"hash_seed={number},root_owner=0:0,nodiscard", "data", f"{self.data_mib}M"]
        run(["mke2fs", *flags], package="e2fsprogs", folder=folder, epoch_s=source.epoch_s)
        return (folder / "data").read_bytes()
