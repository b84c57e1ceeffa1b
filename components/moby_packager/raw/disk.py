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
FEATURES = (
    "none,has_journal,ext_attr,resize_inode,dir_index,filetype,extent,64bit,flex_bg,sparse_super,large_file,huge_file,"
    "dir_nlink,extra_isize,metadata_csum"
)
"""Of ext4, all said, since a host's own settings would decide the others."""
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
        path = Path(f"{source.name}.raw")
        with tempfile.TemporaryDirectory(dir=out) as folder:
            with Path(folder, "disk").open("wb") as file:
                file.seek(FIRST_MIB * MIB)
                file.write(boot)
                file.truncate((FIRST_MIB + self.data_mib + LAST_MIB) * MIB + len(boot))
            if self.data_mib:
                self._make_data(source, Path(folder), FIRST_MIB * MIB + len(boot))
            table = self._table(source.name, len(boot)).encode()
            command = ["sfdisk", "--quiet", "--no-reread", "--no-tell-kernel", "disk"]
            run(command, package="fdisk", data=table, folder=Path(folder))
            Path(folder, "disk").rename(out / path)
        return Artifact((path,), carried(source.given.artifact.sizes_bytes, (out / path).stat().st_size))

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

    def _make_data(self, source: Source, folder: Path, offset: int) -> None:
        """Make an empty file system, ext4, that the machine finds by its label."""
        number = identifier(source.name, "data file system")
        flags = [
            "-q",
            "-F",
            "-O",
            FEATURES,
            "-I",
            "256",
            "-i",
            "16384",
            "-b",
            "4096",
            "-m",
            "1",
            "-L",
            self.label,
            "-U",
            str(number),
        ]
        flags += ["-E", f"hash_seed={number},root_owner=0:0,nodiscard,offset={offset}", "disk", f"{self.data_mib}M"]
        run(["mke2fs", *flags], package="e2fsprogs", folder=folder, epoch_s=source.epoch_s)
